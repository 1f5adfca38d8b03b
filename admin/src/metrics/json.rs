//! The metrics as a JSON value, for scripts that do not read the text format.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::text::BOUNDS;
use super::{Metric, MetricKind};
use crate::view::Latency;

/// `/metrics/json`
#[derive(Debug, Serialize, JsonSchema)]
pub struct MetricsPage {
    /// When the figures were taken.
    at_ms: u64,
    /// The metrics; those without a sample are left out.
    metrics: Vec<MetricJson>,
}

/// A metric and its samples.
#[derive(Debug, Serialize, JsonSchema)]
struct MetricJson {
    /// Its name.
    name: &'static str,
    /// What kind of figure it is.
    #[serde(rename = "type")]
    kind: MetricKind,
    /// What it says.
    help: &'static str,
    /// Its samples.
    samples: Vec<Sample>,
    #[serde(skip)]
    labels: &'static [&'static str],
}

/// One figure, or one distribution.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Sample {
    /// A counter or a gauge.
    Value {
        /// What sets it apart from the metric's other samples.
        labels: BTreeMap<&'static str, String>,
        /// The figure.
        #[serde(serialize_with = "crate::view::finite")]
        value: f64,
    },
    /// A histogram.
    Histogram {
        /// What sets it apart from the metric's other samples.
        labels: BTreeMap<&'static str, String>,
        /// Values.
        count: u64,
        /// Their sum, seconds.
        sum: f64,
        /// Values at or below each bound in seconds, in ascending order.
        buckets: Vec<(&'static str, u64)>,
    },
}

impl MetricsPage {
    pub(super) fn new(at_ms: u64) -> Self {
        Self { at_ms, metrics: Vec::new() }
    }

    pub(super) fn begin(&mut self, metric: &'static Metric) {
        self.drop_empty();
        let Metric { name, kind, help, labels, .. } = *metric;
        self.metrics.push(MetricJson { name, kind, help, samples: Vec::new(), labels });
    }

    pub(super) fn drop_empty(&mut self) {
        self.metrics.pop_if(|metric| metric.samples.is_empty());
    }

    pub(super) fn sample(&mut self, labels: &[&str], value: f64) {
        self.push(labels, |labels| Sample::Value { labels, value });
    }

    pub(super) fn latency(&mut self, labels: &[&str], latency: &Latency) {
        let counts = latency.cumulative().map(|(_, count)| count);
        let buckets = BOUNDS.into_iter().zip(counts).chain([("+Inf", latency.count)]).collect();
        let (count, sum) = (latency.count, latency.sum_us as f64 / 1e6);
        self.push(labels, |labels| Sample::Histogram { labels, count, sum, buckets });
    }

    fn push(&mut self, labels: &[&str], sample: impl FnOnce(BTreeMap<&'static str, String>) -> Sample) {
        if let Some(metric) = self.metrics.last_mut() {
            let values = labels.iter().map(|&value| value.to_owned());
            metric.samples.push(sample(metric.labels.iter().copied().zip(values).collect()));
        }
    }
}
