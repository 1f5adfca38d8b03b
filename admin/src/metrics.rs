//! Metrics for Prometheus and for scripts: one declared table ([`METRICS`]), two ways to write it.
//!
//! What a scrape costs is bounded: there are series per shard and per pool, and per worker only where that is switched on,
//! for so many workers at most; the rest is summed under `worker="other"`. A worker that is gone loses its series.

mod json;
mod table;
mod text;
mod workers;

use serde::Serialize;

use crate::view::{Latency, Snapshot, Worker, Workers};
pub use json::MetricsPage;
pub use table::METRICS;
pub use workers::{OTHER, Others, WORKER_GONE_MS};

/// The media type of [`Scrape::to_text`].
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the text takes without workers, about.
const TEXT_BYTES: usize = 256 * 1024;
/// What it takes for each worker with series of its own, about.
const WORKER_TEXT_BYTES: usize = 640;

/// What kind of figure a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MetricKind {
    /// It only grows while the process lives.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

impl MetricKind {
    /// Its name in the text format.
    pub fn label(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A declared metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name: `adit_`, what it is, the base unit, `_total` for counters.
    pub name: &'static str,
    /// What kind of figure it is.
    pub kind: MetricKind,
    /// What it says.
    pub help: &'static str,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// Reads its samples.
    pub(crate) read: fn(&Scrape, &mut Samples),
}

/// Everything a scrape is made from.
#[derive(Debug, Default)]
pub struct Scrape {
    /// The figures of the engine.
    pub snapshot: Snapshot,
    /// The workers that have series of their own, and the rest summed up; empty where that is switched off.
    pub workers: Vec<Worker>,
    /// The figures of the admin side itself.
    pub admin: AdminStats,
}

/// Figures of the admin side itself, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdminStats {
    /// Requests answered, by the first digit of the status.
    pub requests: [u64; 6],
    /// Event listeners now.
    pub listeners: u64,
    /// Events told, to all listeners together.
    pub events_told: u64,
    /// Events that slow listeners missed.
    pub events_missed: u64,
    /// Events lost before anybody could be told.
    pub events_lost: u64,
    /// How often the HTTP server had to be replaced.
    pub replacements: u64,
}

impl Scrape {
    /// Takes over the workers, `workers_max` of them with series of their own, the rest by what `others` remembers of them.
    #[must_use]
    pub fn with_workers(mut self, workers: &Workers, workers_max: usize, others: &mut Others) -> Self {
        self.workers = others.capped(&workers.all, workers_max, self.snapshot.at_ms);
        self
    }

    /// The text format of Prometheus.
    pub fn to_text(&self) -> String {
        let bytes = TEXT_BYTES + self.workers.len() * WORKER_TEXT_BYTES;
        let mut samples = Samples(Out::Text(text::Text::with_capacity(bytes)));
        for metric in METRICS {
            samples.metric(metric, self);
        }
        match samples.0 {
            Out::Text(text) => text.finish(),
            Out::Json(_) => String::new(),
        }
    }

    /// The same figures as a value.
    pub fn to_page(&self) -> MetricsPage {
        let mut samples = Samples(Out::Json(MetricsPage::new(self.snapshot.at_ms)));
        for metric in METRICS {
            samples.metric(metric, self);
        }
        match samples.0 {
            Out::Json(mut page) => {
                page.drop_empty();
                page
            }
            Out::Text(_) => MetricsPage::new(self.snapshot.at_ms),
        }
    }
}

/// Where the samples of a metric go.
pub(crate) struct Samples(Out);

enum Out {
    Text(text::Text),
    Json(MetricsPage),
}

impl Samples {
    fn metric(&mut self, metric: &'static Metric, scrape: &Scrape) {
        match &mut self.0 {
            Out::Text(text) => text.begin(metric),
            Out::Json(page) => page.begin(metric),
        }
        (metric.read)(scrape, self);
    }

    /// A count, with the values of the labels in the metric's order.
    fn count(&mut self, labels: &[&str], value: u64) {
        match &mut self.0 {
            Out::Text(text) => text.sample(labels, value),
            Out::Json(page) => page.sample(labels, value as f64),
        }
    }

    /// A figure that may be a fraction.
    fn value(&mut self, labels: &[&str], value: f64) {
        match &mut self.0 {
            Out::Text(text) => text.sample(labels, value),
            Out::Json(page) => page.sample(labels, value),
        }
    }

    /// A moment or a duration in milliseconds, as seconds.
    fn seconds(&mut self, labels: &[&str], ms: u64) {
        self.value(labels, ms as f64 / 1_000.0);
    }

    /// A distribution.
    fn latency(&mut self, labels: &[&str], latency: &Latency) {
        match &mut self.0 {
            Out::Text(text) => text.latency(labels, latency),
            Out::Json(page) => page.latency(labels, latency),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_keep_the_conventions() {
        let mut seen = BTreeSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(seen.insert(name), "{name} is declared twice");
            assert!(name.starts_with("adit_"), "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}"
            );
            assert_eq!(name.ends_with("_total"), metric.kind == MetricKind::Counter, "{name}");
            assert!(metric.kind != MetricKind::Histogram || name.ends_with("_seconds"), "{name}");
            let abbreviated = ["_ms", "_us", "_kb", "_mb", "_pct", "_percent", "_minutes"];
            assert!(!abbreviated.iter().any(|unit| name.ends_with(unit)), "{name}: base units only");
            assert!(metric.help.ends_with('.') && !metric.help.contains(['\n', '\\']), "{name}");
            assert!(!metric.labels.contains(&"le"), "{name}");
        }
    }
}
