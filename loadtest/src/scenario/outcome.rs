//! What came of a scenario: figures, a timeline, and the objectives that were missed.

use std::fmt;

use serde::Serialize;

use super::breaks::Failover;
use super::file::Scenario;
use super::objectives::Objectives;
use super::page::page;
use crate::audit::Findings;

/// How Adit stood at one moment of the run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Moment {
    /// Seconds since the first connect.
    pub at_s: f64,
    /// Miners with a job.
    pub mining: u64,
    /// Submits so far.
    pub submitted: u64,
    /// Answered so far.
    pub answered: u64,
    /// Of these, accepted.
    pub accepted: u64,
    /// Memory of Adit, in KiB.
    pub resident_kib: u64,
    /// CPU time of Adit so far, in seconds.
    pub cpu_s: f64,
    /// Open descriptors of Adit.
    pub descriptors: usize,
    /// From when a submit was due until its answer, for those answered since the moment before: median.
    pub p50_ms: f64,
    /// The same, 99th percentile.
    pub p99_ms: f64,
    /// Bytes of the ledger.
    pub ledger_bytes: u64,
}

/// The figures of a whole run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Miners that had a job in time.
    pub mining: u64,
    /// Miners there were.
    pub miners: u64,
    /// Submits made.
    pub submits: u64,
    /// Of these, accepted.
    pub accepted: u64,
    /// Connects of miners.
    pub connects: u64,
    /// Connections of miners that the other side closed.
    pub closes: u64,
    /// Handshakes and connections that went wrong.
    pub failures: u64,
    /// The first of them, in words.
    pub first_failure: Option<String>,
    /// Connections that strangers made.
    pub strangers: u64,
    /// From a miner's connect to its first job, median and 99th percentile.
    pub first_job_ms: [f64; 2],
    /// From when a submit was due until its answer: median, 99th and 99.9th percentile.
    pub latency_ms: [f64; 3],
    /// From a job at the pool until every miner had it, each time it was measured.
    pub fan_out_ms: Vec<f64>,
    /// What faults of pools meant.
    pub failover: Failover,
    /// Memory before the first miner, in KiB.
    pub resident_kib_at_start: u64,
    /// Size of the ledger for each of its shares, once Adit has stopped and nothing waits in its log any more.
    pub ledger_bytes_per_share: Option<f64>,
    /// Seconds after which the steps come again; zero if they do not.
    pub round_s: f64,
    /// Once a second.
    pub timeline: Vec<Moment>,
}

/// Figures, and what they were held against.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The figures.
    pub figures: Figures,
    /// What the audit found.
    pub findings: Findings,
    /// Objectives that were missed, in words.
    pub missed: Vec<String>,
}

impl Outcome {
    pub(super) fn new(figures: Figures, findings: Findings, objectives: &Objectives) -> Self {
        let mut missed = objectives.missed(&figures);
        if figures.mining < figures.miners {
            missed.push(format!("{} of {} miners had a job in time", figures.mining, figures.miners));
        }
        if !findings.is_clean() {
            missed.push("the audit found differences".into());
        }
        Self { figures, findings, missed }
    }

    /// Whether everything held.
    pub fn is_good(&self) -> bool {
        self.missed.is_empty()
    }

    /// For people: a page that stands alone.
    pub fn html(&self, name: &str, scenario: &Scenario) -> String {
        page(name, scenario, self)
    }

    /// For machines.
    pub fn json(&self) -> serde_json::Value {
        let totals = &self.findings.totals;
        let failover = &self.figures.failover;
        serde_json::json!({
            "good": self.is_good(),
            "missed": self.missed,
            "switch_ms_p50": failover.switch_ms_p50,
            "switch_ms_p99": failover.switch_ms_p99,
            "back_hashing_ms_p99": failover.back_hashing_ms_p99,
            "stale": failover.stale,
            "rejected": failover.rejected,
            "unanswered": failover.unanswered,
            "wrong_pool": failover.wrong_pool,
            "figures": self.figures,
            "audit": {
                "clean": self.findings.is_clean(),
                "submits": totals.submits,
                "accepted": totals.accepted,
                "rejected": totals.rejected,
                "refused_here": totals.refused_here,
                "closed_before_answer": totals.closed_before_answer,
                "seen_by_pools": totals.seen_by_pools,
                "rows": totals.rows,
                "rows_unanswered": totals.rows_unanswered,
                "accepted_late": totals.accepted_late,
            },
        })
    }
}

impl Figures {
    /// Accepted shares of all submits.
    pub(super) fn accepted_ratio(&self) -> f64 {
        self.accepted as f64 / self.submits.max(1) as f64
    }

    /// Growth of memory from before the first miner to the highest point.
    pub(super) fn resident_kib_per_miner(&self) -> f64 {
        let peak = self.timeline.iter().map(|moment| moment.resident_kib).max().unwrap_or(0);
        peak.saturating_sub(self.resident_kib_at_start) as f64 / self.miners.max(1) as f64
    }

    /// How much the last quarter lies above an earlier one, by what `sum_up` makes of each; `None` for a run too short to
    /// say.
    ///
    /// The earlier one begins as near to the second quarter as it can and sees the same part of a round of steps: a run
    /// has more descriptors open after a pool has died than before, and that is no growth.
    pub(super) fn growth_percent(
        &self,
        figure: impl Fn(&Moment) -> f64,
        sum_up: fn(&mut [f64]) -> f64,
    ) -> Option<f64> {
        let (start, end) = (self.timeline.first()?.at_s, self.timeline.last()?.at_s);
        let quarter = (end - start) / 4.0;
        let back = match self.round_s {
            round if round > 0.0 => (2.0 * quarter / round).floor() * round,
            _ => 2.0 * quarter,
        };
        let quarter_before = |end: f64| {
            let is_in = |moment: &&Moment| moment.at_s > end - quarter && moment.at_s <= end;
            let mut values: Vec<f64> = self.timeline.iter().filter(is_in).map(&figure).collect();
            (!values.is_empty()).then(|| sum_up(&mut values))
        };
        let (earlier, last) = (quarter_before(end - back)?, quarter_before(end)?);
        (back > 0.0).then(|| (last / earlier.max(1.0) - 1.0) * 100.0)
    }
}

/// The mean of some values.
pub(super) fn mean(values: &mut [f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The value that as many lie below as above: what a few seconds of trouble do not move.
pub(super) fn middle(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures;
        let [first_job_p50, first_job_p99] = figures.first_job_ms;
        let [p50, p99, p999] = figures.latency_ms;
        writeln!(out, "miners       {} of {} had a job in time", figures.mining, figures.miners)?;
        writeln!(out, "connects     {}, of these closed by Adit {}", figures.connects, figures.closes)?;
        writeln!(out, "failures     {}", figures.failures)?;
        if let Some(text) = &figures.first_failure {
            writeln!(out, "             the first: {text}")?;
        }
        writeln!(out, "first job    p50 {first_job_p50:.1} ms, p99 {first_job_p99:.1} ms")?;
        writeln!(out, "submits      {}, accepted {}", figures.submits, figures.accepted)?;
        writeln!(out, "latency      p50 {p50:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms")?;
        if !figures.fan_out_ms.is_empty() {
            let longest = figures.fan_out_ms.iter().copied().fold(0.0, f64::max);
            writeln!(out, "fan-out      {} times, longest {longest:.1} ms", figures.fan_out_ms.len())?;
        }
        if figures.strangers > 0 {
            writeln!(out, "strangers    {} connects", figures.strangers)?;
        }
        if !figures.failover.breaks.is_empty() {
            write!(out, "{}", figures.failover)?;
        }
        writeln!(out, "memory       {:.2} KiB per miner at most", figures.resident_kib_per_miner())?;
        write!(out, "audit        {}", self.findings)?;
        for missed in &self.missed {
            writeln!(out, "MISSED       {missed}")?;
        }
        write!(out, "{}", if self.is_good() { "all objectives met" } else { "objectives missed" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment each second.
    fn moments(resident_kib: impl IntoIterator<Item = u64>) -> Vec<Moment> {
        let moment =
            |(nth, resident_kib): (u32, u64)| Moment { at_s: nth.into(), resident_kib, ..Moment::default() };
        (0..).zip(resident_kib).map(moment).collect()
    }

    #[test]
    fn a_missed_objective_is_named_with_its_figures() {
        let figures = Figures { miners: 2, mining: 2, closes: 3, ..Figures::default() };
        let objectives = Objectives { closes_max: Some(2), failures_max: Some(0), ..Objectives::default() };
        let outcome = Outcome::new(figures, Findings::default(), &objectives);
        assert_eq!(outcome.missed, ["closes: 3.000, at most 2.000 allowed"]);
        assert!(outcome.to_string().ends_with("objectives missed") && outcome.json()["good"] == false);
    }

    #[test]
    fn miners_without_a_job_are_missed_whatever_was_asked() {
        let figures = Figures { miners: 2, mining: 1, ..Figures::default() };
        let outcome = Outcome::new(figures, Findings::default(), &Objectives::default());
        assert_eq!(outcome.missed, ["1 of 2 miners had a job in time"]);
    }

    fn missed_growth(figures: &Figures) -> Vec<String> {
        Objectives { resident_growth_percent_max: Some(10.0), ..Objectives::default() }.missed(figures)
    }

    #[test]
    fn growth_is_judged_from_the_second_quarter_on() {
        let grown = |resident_kib: [u64; 9]| {
            let figures = Figures { timeline: moments(resident_kib), ..Figures::default() };
            !missed_growth(&figures).is_empty()
        };
        assert!(!grown([10, 50, 90, 100, 100, 100, 100, 109, 109]));
        assert!(grown([10, 50, 90, 100, 100, 100, 100, 112, 112]));
        assert_eq!(missed_growth(&Figures::default()).len(), 1, "what was asked for was not shown");
    }

    #[test]
    fn growth_is_judged_between_the_same_parts_of_two_rounds() {
        // Every ten seconds memory doubles for five.
        let wave = |grows_by: u64| {
            (0..35).map(move |second| 100 + second * grows_by + if second % 10 < 5 { 100 } else { 0 })
        };
        let missed = |seconds: usize, grows_by| {
            let timeline = moments(wave(grows_by).take(seconds));
            missed_growth(&Figures { timeline, round_s: 10.0, ..Figures::default() })
        };
        assert_eq!(missed(35, 0), Vec::<String>::new());
        assert_eq!(missed(33, 0), Vec::<String>::new());
        assert_eq!(missed(35, 4).len(), 1);
        assert_eq!(missed(15, 0).len(), 1, "less than two rounds show nothing");
    }
}
