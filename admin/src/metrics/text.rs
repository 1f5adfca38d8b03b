//! The text format of Prometheus, version 0.0.4.

use std::fmt::{Display, Write};

use super::Metric;
use crate::view::Latency;
use crate::view::latency::BOUNDS_US;

/// Text that grows metric by metric. A metric without a sample leaves no trace.
#[derive(Default)]
pub(super) struct Text {
    written: String,
    metric: Option<&'static Metric>,
    /// Where the present metric's heading stands, until a sample follows it.
    heading: Option<usize>,
    /// The label pairs of the present sample, made once for all lines of a histogram.
    pairs: String,
}

impl Text {
    /// For a text of so many bytes, more or less: growing means copying all of it.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { written: String::with_capacity(bytes), ..Self::default() }
    }

    pub fn begin(&mut self, metric: &'static Metric) {
        self.drop_empty_heading();
        self.heading = Some(self.written.len());
        let (name, help, kind) = (metric.name, metric.help, metric.kind.label());
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(self.written, "# HELP {name} {help}\n# TYPE {name} {kind}");
        self.metric = Some(metric);
    }

    pub fn sample(&mut self, labels: &[&str], value: impl Display) {
        self.make_pairs(labels);
        self.line("", "", value);
    }

    pub fn latency(&mut self, labels: &[&str], latency: &Latency) {
        self.make_pairs(labels);
        for ((_, count), bound) in latency.cumulative().zip(BOUNDS) {
            self.line("_bucket", bound, count);
        }
        self.line("_bucket", "+Inf", latency.count);
        self.line("_sum", "", latency.sum_us as f64 / 1e6);
        self.line("_count", "", latency.count);
    }

    pub fn finish(mut self) -> String {
        self.drop_empty_heading();
        self.written
    }

    fn line(&mut self, suffix: &str, bound: &str, value: impl Display) {
        self.heading = None;
        self.written.push_str(self.metric.map_or("", |metric| metric.name));
        self.written.push_str(suffix);
        if !(self.pairs.is_empty() && bound.is_empty()) {
            self.written.push('{');
            self.written.push_str(&self.pairs);
            if !bound.is_empty() {
                let comma = if self.pairs.is_empty() { "" } else { "," };
                let _ = write!(self.written, "{comma}le=\"{bound}\"");
            }
            self.written.push('}');
        }
        let _ = writeln!(self.written, " {value}");
    }

    fn make_pairs(&mut self, values: &[&str]) {
        self.pairs.clear();
        let names = self.metric.map_or(&[][..], |metric| metric.labels);
        debug_assert_eq!(names.len(), values.len());
        for (name, value) in names.iter().zip(values) {
            if !self.pairs.is_empty() {
                self.pairs.push(',');
            }
            self.pairs.push_str(name);
            self.pairs.push_str("=\"");
            escape(value, &mut self.pairs);
            self.pairs.push('"');
        }
    }

    fn drop_empty_heading(&mut self) {
        if let Some(heading) = self.heading.take() {
            self.written.truncate(heading);
        }
    }
}

fn escape(value: &str, text: &mut String) {
    // Nearly all of them.
    if !value.bytes().any(|b| matches!(b, b'\\' | b'"' | b'\n')) {
        text.push_str(value);
        return;
    }
    for part in value.split_inclusive(['\\', '"', '\n']) {
        let end = part.len().saturating_sub(1);
        match part.as_bytes().last() {
            Some(b'\\') => text.extend([&part[..end], "\\\\"]),
            Some(b'"') => text.extend([&part[..end], "\\\""]),
            Some(b'\n') => text.extend([&part[..end], "\\n"]),
            _ => text.push_str(part),
        }
    }
}

/// [`BOUNDS_US`] in seconds.
pub(super) const BOUNDS: [&str; BOUNDS_US.len()] = [
    "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1",
    "0.25", "0.5", "1", "2.5", "5", "10", "15", "30", "60",
];

#[cfg(test)]
mod tests {
    use super::super::MetricKind;
    use super::*;

    static PLAIN: Metric =
        Metric { name: "a", kind: MetricKind::Gauge, help: "A.", labels: &[], read: |_, _| {} };
    static LABELLED: Metric =
        Metric { name: "b", kind: MetricKind::Histogram, help: "B.", labels: &["x", "y"], read: |_, _| {} };

    #[test]
    fn bounds_are_the_same_in_both_units() {
        for (bound, us) in BOUNDS.iter().zip(BOUNDS_US) {
            let seconds: f64 = bound.parse().unwrap();
            assert!((seconds * 1e6 - us as f64).abs() < 1e-3, "{bound} {us}");
        }
    }

    #[test]
    fn a_metric_without_samples_leaves_no_trace() {
        let mut text = Text::default();
        text.begin(&LABELLED);
        text.begin(&PLAIN);
        text.sample(&[], 1.5);
        text.begin(&LABELLED);
        assert_eq!(text.finish(), "# HELP a A.\n# TYPE a gauge\na 1.5\n");
    }

    #[test]
    fn labels_are_escaped_and_histograms_cumulate() {
        let mut text = Text::default();
        text.begin(&LABELLED);
        text.latency(&["q\"\\\n", ""], &Latency::from_recorded([(40, 2), (90, 1), (70_000_000, 1)]));
        let text = text.finish();
        let lines: Vec<_> = text.lines().skip(2).collect();
        assert_eq!(lines[0], r#"b_bucket{x="q\"\\\n",y="",le="0.00005"} 2"#);
        assert_eq!(lines[1], r#"b_bucket{x="q\"\\\n",y="",le="0.0001"} 3"#);
        assert_eq!(lines[20], r#"b_bucket{x="q\"\\\n",y="",le="+Inf"} 4"#);
        assert_eq!(lines[21], r#"b_sum{x="q\"\\\n",y=""} 70.00017"#);
        assert_eq!(lines[22], r#"b_count{x="q\"\\\n",y=""} 4"#);
    }
}
