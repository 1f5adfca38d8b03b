//! The miners of a scenario: how many, of which kinds, and how they submit.

use std::time::Duration;

use serde::Deserialize;

use crate::sim_miner::{FleetConfig, Pace, STYLES, SUBMITS_KEPT_MAX, Style};

/// How much of what the books can keep a run plans with.
const SUBMITS_SHARE: f64 = 0.9;

/// The miners of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FleetPart {
    /// How many.
    pub miners: usize,
    /// Their styles, dealt out in turn; all there are if none is named.
    pub styles: Vec<Style>,
    /// Connects per second.
    pub connects_per_second: f64,
    /// How long all may take to have a job.
    pub all_mining_within_ms: u64,
    /// Open loop: submits per second of the whole fleet, whatever the answers do; none if zero. Fewer in a run so long that
    /// the books could not keep them all.
    pub submits_per_second: f64,
    /// What becomes of that rate, step by step.
    pub ramps: Vec<Ramp>,
    /// Closed loop instead: so many submits of each miner wait for their answer at any time.
    pub in_flight: usize,
    /// How long the worker names are, dealt out in turn, so that submits differ in size; as short as they can be if none
    /// is named.
    pub name_bytes: Vec<usize>,
    /// So many of the miners read slowly once they have a job. Their latencies, which are their own doing, are not
    /// counted.
    pub slow_readers: usize,
    /// How slowly: bytes per second of each.
    pub slow_bytes_per_second: u32,
    /// How long after a close a miner comes back; never if zero.
    pub reconnect_after_ms: u64,
    /// So much later at most, each time another.
    pub reconnect_jitter_ms: u64,
    /// Miners that leave of their own accord, per second of the whole fleet.
    pub leaves_per_second: f64,
}

/// A change of the rate.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    /// From when on, counted from the time all miners had a job.
    pub after_ms: u64,
    /// How long it takes, evenly; at once if zero.
    #[serde(default)]
    pub over_ms: u64,
    /// The rate then.
    pub submits_per_second: f64,
}

impl Default for FleetPart {
    fn default() -> Self {
        Self {
            miners: 100,
            styles: STYLES.to_vec(),
            connects_per_second: 1_000.0,
            all_mining_within_ms: 30_000,
            submits_per_second: 0.0,
            ramps: Vec::new(),
            in_flight: 0,
            name_bytes: Vec::new(),
            slow_readers: 0,
            slow_bytes_per_second: 100,
            reconnect_after_ms: 0,
            reconnect_jitter_ms: 0,
            leaves_per_second: 0.0,
        }
    }
}

impl FleetPart {
    /// What does not fit each other, in words.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.in_flight > 0 && (self.submits_per_second > 0.0 || !self.ramps.is_empty()) {
            return Err("fleet.in_flight is a closed loop, and does not go with a rate".into());
        }
        if !self.ramps.is_sorted_by_key(|ramp| ramp.after_ms) {
            return Err("a ramp begins before the one that it is named behind".into());
        }
        if self.slow_readers > self.miners {
            return Err(format!("{} slow readers of {} miners", self.slow_readers, self.miners));
        }
        Ok(())
    }

    /// Submits per second, so long after all had a job, if nothing bounded them.
    fn planned_rate(&self, at: Duration) -> f64 {
        let at = at.as_secs_f64() * 1_000.0;
        self.ramps.iter().fold(self.submits_per_second, |rate, ramp| {
            let since = at - ramp.after_ms as f64;
            let done = if ramp.over_ms == 0 { f64::from(since >= 0.0) } else { since / ramp.over_ms as f64 };
            rate + (ramp.submits_per_second - rate) * done.clamp(0.0, 1.0)
        })
    }

    /// The same, as little that a run of this length fits into the books.
    pub(super) fn rate(&self, at: Duration, run: Duration) -> f64 {
        let highest =
            self.ramps.iter().map(|ramp| ramp.submits_per_second).fold(self.submits_per_second, f64::max);
        let most = SUBMITS_KEPT_MAX as f64 * SUBMITS_SHARE / run.as_secs_f64().max(f64::MIN_POSITIVE);
        self.planned_rate(at) * (most / highest.max(f64::MIN_POSITIVE)).min(1.0)
    }

    /// What the fleet is told at the start of a run of this length.
    pub(super) fn config(&self, address: std::net::SocketAddr, run: Duration) -> FleetConfig {
        let again = self.reconnect_after_ms;
        let is_paced = self.submits_per_second > 0.0 || !self.ramps.is_empty();
        FleetConfig {
            pace: match self.in_flight {
                0 if is_paced => Pace::PerSecond(self.rate(Duration::ZERO, run)),
                0 => Pace::Idle,
                count => Pace::InFlight(count),
            },
            connects_per_second: self.connects_per_second,
            styles: self.styles.clone(),
            name_bytes: self.name_bytes.clone(),
            slow_readers: self.slow_readers,
            slow_bytes_per_second: self.slow_bytes_per_second,
            leaves_per_second: self.leaves_per_second,
            reconnect_after: (again > 0).then(|| Duration::from_millis(again)),
            reconnect_jitter: Duration::from_millis(self.reconnect_jitter_ms),
            ..FleetConfig::new(address, self.miners)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(after_ms: u64, over_ms: u64, submits_per_second: f64) -> Ramp {
        Ramp { after_ms, over_ms, submits_per_second }
    }

    #[test]
    fn a_rate_goes_up_and_down_its_ramps() {
        let ramps = vec![ramp(1_000, 2_000, 500.0), ramp(5_000, 0, 50.0)];
        let part = FleetPart { submits_per_second: 100.0, ramps, ..FleetPart::default() };
        let rates = [0, 1_000, 2_000, 3_000, 4_999, 5_000, 9_000]
            .map(|ms| part.rate(Duration::from_millis(ms), Duration::from_secs(10)).round() as u32);
        assert_eq!(rates, [100, 100, 300, 500, 500, 50, 50]);
    }

    #[test]
    fn a_run_longer_than_the_books_submits_less_and_keeps_its_shape() {
        let part =
            FleetPart { submits_per_second: 100.0, ramps: vec![ramp(0, 0, 200.0)], ..FleetPart::default() };
        let week = Duration::from_secs(7 * 86_400);
        let most = SUBMITS_KEPT_MAX as f64 * SUBMITS_SHARE / week.as_secs_f64();
        assert!((part.rate(Duration::ZERO, week) - most).abs() < 1e-9);
    }
}
