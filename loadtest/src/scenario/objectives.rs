//! What a scenario asks for, and which of it was missed.

use serde::Deserialize;

use super::outcome::{Figures, mean, middle};

/// What must hold. What is not given is not asked; the audit always is.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objectives {
    /// 99th percentile from a miner's connect to its first job.
    pub first_job_p99_ms_max: Option<f64>,
    /// Median from when a submit was due until its answer.
    pub p50_ms_max: Option<f64>,
    /// The same, 99th percentile.
    pub p99_ms_max: Option<f64>,
    /// The longest time from a job at the pool until every miner had it.
    pub fan_out_ms_max: Option<f64>,
    /// Handshakes and connections that went wrong.
    pub failures_max: Option<u64>,
    /// Connections of miners that the other side closed.
    pub closes_max: Option<u64>,
    /// Accepted shares of all submits.
    pub accepted_ratio_min: Option<f64>,
    /// Growth of memory from before the first miner to the highest point, for each miner.
    pub resident_kib_per_miner_max: Option<f64>,
    /// Growth of memory from the second quarter of the run to the last, in percent; where steps come again and again, from
    /// the same part of an earlier round to the last quarter.
    pub resident_growth_percent_max: Option<f64>,
    /// The same for open descriptors.
    pub descriptors_growth_percent_max: Option<f64>,
    /// The same for the median latency of a second.
    pub latency_growth_percent_max: Option<f64>,
    /// Size of the ledger for each of its shares, once Adit has stopped.
    pub ledger_bytes_per_share_max: Option<f64>,
    /// 99th percentile from the kill of a pool to the first job of another, for miners that were switched live.
    pub switch_p99_ms_max: Option<f64>,
    /// The same for miners that had to come back.
    pub back_hashing_p99_ms_max: Option<f64>,
    /// From the freeze of a pool to the first job of another, 99th percentile of the miners that were switched live.
    pub frozen_switch_p99_ms_max: Option<f64>,
    /// Miners of a pool that broke that never came to other work.
    pub left_behind_max: Option<u64>,
    /// Submits without an answer although their connection stayed open.
    pub unanswered_max: Option<u64>,
    /// Shares that reached a pool whose work they were not made from.
    pub wrong_pool_max: Option<u64>,
}

impl Objectives {
    /// What was missed, in words.
    pub(super) fn missed(&self, figures: &Figures) -> Vec<String> {
        let count = |count: u64| Some(count as f64);
        let bound = |bound: Option<u64>| bound.map(|bound| bound as f64);
        let fan_out = figures.fan_out_ms.iter().copied().reduce(f64::max);
        let failover = &figures.failover;
        // A figure that there is not, where one is asked for, is a miss: the run did not show what it was to show.
        let shown = |figure: Option<f64>| figure.or(Some(f64::INFINITY));
        let at_most = [
            ("first job, p99 ms", Some(figures.first_job_ms[1]), self.first_job_p99_ms_max),
            ("p50 ms", Some(figures.latency_ms[0]), self.p50_ms_max),
            ("p99 ms", Some(figures.latency_ms[1]), self.p99_ms_max),
            ("fan-out ms", shown(fan_out), self.fan_out_ms_max),
            ("failures", count(figures.failures), bound(self.failures_max)),
            ("closes", count(figures.closes), bound(self.closes_max)),
            (
                "not accepted",
                Some(1.0 - figures.accepted_ratio()),
                self.accepted_ratio_min.map(|ratio| 1.0 - ratio),
            ),
            ("KiB per miner", Some(figures.resident_kib_per_miner()), self.resident_kib_per_miner_max),
            (
                "memory growth, %",
                shown(figures.growth_percent(|moment| moment.resident_kib as f64, mean)),
                self.resident_growth_percent_max,
            ),
            (
                "descriptor growth, %",
                shown(figures.growth_percent(|moment| moment.descriptors as f64, mean)),
                self.descriptors_growth_percent_max,
            ),
            (
                "latency growth, %",
                shown(figures.growth_percent(|moment| moment.p50_ms, middle)),
                self.latency_growth_percent_max,
            ),
            (
                "ledger bytes per share",
                shown(figures.ledger_bytes_per_share),
                self.ledger_bytes_per_share_max,
            ),
            ("switch, p99 ms", shown(failover.switch_ms_p99), self.switch_p99_ms_max),
            ("back hashing, p99 ms", shown(failover.back_hashing_ms_p99), self.back_hashing_p99_ms_max),
            (
                "switch from a frozen pool, p99 ms",
                shown(failover.frozen_switch_ms_p99),
                self.frozen_switch_p99_ms_max,
            ),
            ("left behind", count(failover.left_behind), bound(self.left_behind_max)),
            ("unanswered", count(failover.unanswered), bound(self.unanswered_max)),
            ("shares at the wrong pool", count(failover.wrong_pool), bound(self.wrong_pool_max)),
        ];
        let miss = |(name, figure, bound): (&str, Option<f64>, Option<f64>)| {
            let (figure, bound) = (figure?, bound?);
            (figure > bound).then(|| format!("{name}: {figure:.3}, at most {bound:.3} allowed"))
        };
        at_most.into_iter().filter_map(miss).collect()
    }
}
