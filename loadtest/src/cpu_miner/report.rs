//! What a CPU miner has done so far.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::json_line::Verdict;
use crate::share::ShareKey;
use crate::sim_miner::{Answer, FleetReport, SubmitMade};

/// Failures kept as text; the newest go first when there are more.
const FAILURES_MAX: usize = 100;

/// Figures of a CPU miner.
#[derive(Clone, Debug, Default)]
pub struct MinerReport {
    /// Whether it is connected, authorised, and has a job.
    pub is_mining: bool,
    /// Hashes made.
    pub hashes: u64,
    /// Shares sent.
    pub submitted: u64,
    /// Shares accepted.
    pub accepted: u64,
    /// Shares refused, by code.
    pub rejected: BTreeMap<i32, u64>,
    /// Shares whose connection ended, or whose time was over, before an answer came. Shares on their way are not among them.
    pub unanswered: u64,
    /// Shares found for a job or a connection that was over; not sent.
    pub discarded: u64,
    /// Jobs received.
    pub jobs: u64,
    /// Difficulty of the present job, 0 before the first.
    pub difficulty: f64,
    /// Connections made.
    pub connects: u64,
    /// Why connections failed or ended.
    pub failures: Vec<String>,
    /// Answers to requests that wait for none.
    pub strays: u64,
    latency_us: Option<Histogram<u64>>,
    submits: Vec<SubmitMade>,
    submits_kept_max: usize,
}

/// Where a submit stands in the report.
pub(super) type Place = Option<usize>;

impl MinerReport {
    pub(super) fn new(submits_kept_max: usize) -> Self {
        // The same bounds as everywhere: one histogram can be added to another.
        Self { latency_us: Some(FleetReport::default().latency_us), submits_kept_max, ..Self::default() }
    }

    /// Shares refused, whatever the code.
    pub fn rejected_count(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Shares that wait for their answer now.
    pub fn waiting(&self) -> u64 {
        self.submitted.saturating_sub(self.accepted + self.rejected_count() + self.unanswered)
    }

    /// From submit to answer, microseconds.
    pub fn latency_us(&self) -> Histogram<u64> {
        self.latency_us.clone().unwrap_or_else(|| FleetReport::default().latency_us)
    }

    /// The same for the audit, as miner `miner` of a fleet of one.
    pub fn fleet_report(&self, miner: u32) -> FleetReport {
        let latency_us = self.latency_us();
        FleetReport {
            submits: self.submits.iter().map(|submit| SubmitMade { miner, ..*submit }).collect(),
            service_us: latency_us.clone(),
            latency_us,
            strays: self.strays,
            failures: self.failures.clone(),
            connects: self.connects,
            ..FleetReport::default()
        }
    }

    pub(super) fn submit(&mut self, key: ShareKey) -> Place {
        self.submitted += 1;
        if self.submits.len() >= self.submits_kept_max {
            return None;
        }
        self.submits.push(SubmitMade { key, miner: 0, answer: Answer::Missing });
        Some(self.submits.len() - 1)
    }

    pub(super) fn answered(&mut self, place: Place, verdict: Verdict, latency_us: u64) {
        match verdict {
            Verdict::Accepted => self.accepted += 1,
            Verdict::Rejected(code) => *self.rejected.entry(code).or_default() += 1,
        }
        if let Some(histogram) = &mut self.latency_us {
            histogram.saturating_record(latency_us.max(1));
        }
        self.note(place, Answer::Given(verdict));
    }

    /// The share will get no answer: its connection ended, or `is_open` and it was not worth waiting longer.
    pub(super) fn unanswered(&mut self, place: Place, is_open: bool) {
        self.unanswered += 1;
        self.note(place, if is_open { Answer::Missing } else { Answer::ConnectionClosed });
    }

    pub(super) fn fail(&mut self, text: String) {
        if self.failures.len() >= FAILURES_MAX {
            self.failures.remove(0);
        }
        self.failures.push(text);
    }

    fn note(&mut self, place: Place, answer: Answer) {
        if let Some(submit) = place.and_then(|place| self.submits.get_mut(place)) {
            submit.answer = answer;
        }
    }
}
