//! What a scenario tells while it runs.

use std::time::Duration;

use super::outcome::Moment;

/// Where a scenario stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Miners come, until all have a job.
    Gathering,
    /// The time of the run itself.
    Running,
    /// The last answers are waited for, and the books are compared.
    Settling,
}

/// One look at a scenario that runs.
#[derive(Clone, Debug)]
pub struct Live {
    /// Where it stands.
    pub phase: Phase,
    /// How much of the phase is over, from 0 to 1.
    pub done: f64,
    /// How long the phase takes at most.
    pub takes: Duration,
    /// The figures of now and of a second ago.
    pub moments: [Moment; 2],
    /// What happened since the look before, in words.
    pub happened: Vec<String>,
}

impl Live {
    /// Seconds between the two moments.
    pub fn seconds(&self) -> f64 {
        let [before, now] = &self.moments;
        (now.at_s - before.at_s).max(f64::MIN_POSITIVE)
    }

    /// What was counted between the two moments, per second.
    pub fn per_second(&self, count: impl Fn(&Moment) -> f64) -> f64 {
        let [before, now] = &self.moments;
        (count(now) - count(before)).max(0.0) / self.seconds()
    }

    /// Accepted submits of those answered between the two moments, in percent; `None` if none was answered.
    pub fn accepted_percent(&self) -> Option<f64> {
        let answered = self.per_second(|moment| moment.answered as f64);
        (answered > 0.0).then(|| self.per_second(|moment| moment.accepted as f64) / answered * 100.0)
    }
}
