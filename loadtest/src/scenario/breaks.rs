//! What faults of pools meant to miners: how long each was without work that is worth something.

use std::collections::HashMap;
use std::fmt;
use std::time::Instant;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::steps::Action;
use crate::sim_miner::{Arrival, FleetReport};

/// Highest time told apart: ten minutes.
const TIME_MAX_US: u64 = 600_000_000;

/// A fault as it happened.
#[derive(Clone, Debug)]
pub(super) struct Break {
    pub(super) at: Instant,
    pub(super) action: Action,
    pub(super) pool: String,
    /// The tag of the work that the pool had given until then.
    pub(super) tag: String,
}

/// What one fault meant.
#[derive(Clone, Debug, Serialize)]
pub struct BreakFigures {
    /// Seconds since the first connect.
    pub at_s: f64,
    /// What happened.
    pub action: Action,
    /// To which pool.
    pub pool: String,
    /// Miners that worked for it.
    pub miners: u64,
    /// Of these, switched live to other work.
    pub switched: u64,
    /// From the fault to the first job of it: median, 99th percentile, longest.
    pub switch_ms: [f64; 3],
    /// Came back on a new connection.
    pub returned: u64,
    /// From the fault until they could submit again: median, 99th percentile, longest.
    pub back_hashing_ms: [f64; 3],
    /// Never came to other work.
    pub left_behind: u64,
}

/// All faults together.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Failover {
    /// From the kill of a pool to the first job of another, for miners that were switched live; nothing without any.
    pub switch_ms_p50: Option<f64>,
    /// The same, 99th percentile.
    pub switch_ms_p99: Option<f64>,
    /// From the kill of a pool until miners that had to come back could submit again, 99th percentile.
    pub back_hashing_ms_p99: Option<f64>,
    /// As `switch_ms_p99`, for pools that froze.
    pub frozen_switch_ms_p99: Option<f64>,
    /// As `back_hashing_ms_p99`, for pools that froze.
    pub frozen_back_hashing_ms_p99: Option<f64>,
    /// Miners of pools that were killed or froze that never came to other work.
    pub left_behind: u64,
    /// Submits that were told stale.
    pub stale: u64,
    /// Submits that were refused for anything else.
    pub rejected: u64,
    /// Submits without an answer although their connection stayed open.
    pub unanswered: u64,
    /// Submits whose connection closed before their answer.
    pub closed_before_answer: u64,
    /// Shares that reached a pool whose work they were not made from.
    pub wrong_pool: u64,
    /// Every fault.
    pub breaks: Vec<BreakFigures>,
}

/// Times of one kind.
struct Times(Histogram<u64>);

impl Times {
    fn new() -> Self {
        Self(Histogram::new_with_bounds(1, TIME_MAX_US, 3).expect("constant bounds that the histogram takes"))
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1_000.0
    }

    fn known_ms(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.quantile_ms(quantile))
    }

    fn summary_ms(&self) -> [f64; 3] {
        [0.5, 0.99, 1.0].map(|quantile| self.quantile_ms(quantile))
    }

    fn add(&mut self, other: &Self) {
        if self.0.add(&other.0).is_err() {
            log::error!("two histograms of the same bounds do not add");
        }
    }
}

/// The times that one fault took miners.
struct Taken {
    switched: Times,
    returned: Times,
    left_behind: u64,
}

impl Taken {
    fn of(broken: &Break, by_miner: &HashMap<u32, Vec<&Arrival>>) -> Self {
        let mut taken = Self { switched: Times::new(), returned: Times::new(), left_behind: 0 };
        for arrivals in by_miner.values() {
            let before = arrivals.iter().rev().find(|arrival| arrival.at <= broken.at);
            if before.is_none_or(|before| *before.to != *broken.tag) {
                continue;
            }
            match arrivals.iter().find(|arrival| arrival.at > broken.at && *arrival.to != *broken.tag) {
                None => taken.left_behind += 1,
                Some(arrival) => {
                    // It was switched only if it never had to come back in between.
                    let is_live = arrivals
                        .iter()
                        .filter(|other| other.at > broken.at && other.at <= arrival.at)
                        .all(|other| other.is_live);
                    let times = if is_live { &mut taken.switched } else { &mut taken.returned };
                    times.0.saturating_record(arrival.at.duration_since(broken.at).as_micros() as u64);
                }
            }
        }
        taken
    }
}

impl Failover {
    /// What came of these faults. `started` is when the fleet was.
    pub(super) fn new(breaks: &[Break], report: &FleetReport, wrong_pool: u64, started: Instant) -> Self {
        let mut by_miner: HashMap<u32, Vec<&Arrival>> = HashMap::new();
        for arrival in &report.arrivals {
            by_miner.entry(arrival.miner).or_default().push(arrival);
        }
        let codes = report.rejected();
        let stale = codes.get(&21).copied().unwrap_or(0);
        let mut failover = Self {
            stale,
            rejected: codes.values().sum::<u64>() - stale,
            unanswered: report.missing() as u64,
            closed_before_answer: report.count(crate::sim_miner::Answer::ConnectionClosed) as u64,
            wrong_pool,
            ..Self::default()
        };
        let [mut killed, mut frozen] = [(); 2].map(|()| [Times::new(), Times::new()]);
        for broken in breaks {
            let taken = Taken::of(broken, &by_miner);
            let sum = match broken.action {
                Action::Kill => Some(&mut killed),
                Action::Freeze => Some(&mut frozen),
                _ => None,
            };
            if let Some([switched, returned]) = sum {
                switched.add(&taken.switched);
                returned.add(&taken.returned);
                failover.left_behind += taken.left_behind;
            }
            failover.breaks.push(BreakFigures {
                at_s: broken.at.saturating_duration_since(started).as_secs_f64(),
                action: broken.action,
                pool: broken.pool.clone(),
                miners: taken.switched.0.len() + taken.returned.0.len() + taken.left_behind,
                switched: taken.switched.0.len(),
                switch_ms: taken.switched.summary_ms(),
                returned: taken.returned.0.len(),
                back_hashing_ms: taken.returned.summary_ms(),
                left_behind: taken.left_behind,
            });
        }
        failover.switch_ms_p50 = killed[0].known_ms(0.5);
        failover.switch_ms_p99 = killed[0].known_ms(0.99);
        failover.back_hashing_ms_p99 = killed[1].known_ms(0.99);
        failover.frozen_switch_ms_p99 = frozen[0].known_ms(0.99);
        failover.frozen_back_hashing_ms_p99 = frozen[1].known_ms(0.99);
        failover
    }
}

impl fmt::Display for Failover {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for broken in &self.breaks {
            let BreakFigures { at_s, action, pool, miners, switched, returned, left_behind, .. } = broken;
            let [switch_p50, switch_p99, switch_max] = broken.switch_ms;
            let [back_p50, back_p99, back_max] = broken.back_hashing_ms;
            writeln!(out, "break        at {at_s:.1} s, {action:?} of {pool}, {miners} miners")?;
            writeln!(
                out,
                "             {switched} switched live: p50 {switch_p50:.1} ms, p99 {switch_p99:.1} ms, longest {switch_max:.1} ms"
            )?;
            writeln!(
                out,
                "             {returned} came back: p50 {back_p50:.1} ms, p99 {back_p99:.1} ms, longest {back_max:.1} ms; \
                 {left_behind} did not"
            )?;
        }
        writeln!(
            out,
            "submits      {} stale, {} rejected, {} unanswered, {} closed before their answer, {} at the wrong pool",
            self.stale, self.rejected, self.unanswered, self.closed_before_answer, self.wrong_pool
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn miners_are_timed_from_the_fault_to_other_work_by_how_they_came_to_it() {
        let start = Instant::now();
        let arrival = |ms, miner, from: &str, to: &str, is_live| Arrival {
            at: start + Duration::from_millis(ms),
            miner,
            from: (!from.is_empty()).then(|| from.into()),
            to: to.into(),
            is_live,
        };
        let arrivals = vec![
            arrival(0, 1, "", "a", false),
            arrival(0, 2, "", "a", false),
            arrival(0, 3, "", "b", false), // of another pool
            arrival(0, 4, "", "a", false), // never comes to other work
            arrival(0, 5, "", "a", false),
            arrival(1_010, 1, "a", "b", true),
            arrival(2_000, 2, "a", "b", false),
            arrival(2_100, 5, "a", "a", false), // came back to the same work, and was switched then
            arrival(2_200, 5, "a", "b", true),
            arrival(3_000, 1, "b", "a", true), // much later
        ];
        let report = FleetReport { arrivals, ..FleetReport::default() };
        let at = start + Duration::from_secs(1);
        let broken = Break { at, action: Action::Kill, pool: "main".into(), tag: "a".into() };
        let failover = Failover::new(&[broken], &report, 3, start);
        let [figures] = &failover.breaks[..] else { panic!("{failover:?}") };
        assert_eq!((figures.miners, figures.switched, figures.returned, figures.left_behind), (4, 1, 2, 1));
        assert!((failover.switch_ms_p99.unwrap() - 10.0).abs() < 0.1, "{failover:?}");
        assert!((figures.back_hashing_ms[0] - 1_000.0).abs() < 2.0, "{failover:?}");
        assert!((failover.back_hashing_ms_p99.unwrap() - 1_200.0).abs() < 2.0, "{failover:?}");
        assert_eq!((failover.left_behind, failover.wrong_pool), (1, 3));
        assert_eq!(failover.frozen_switch_ms_p99, None);
    }
}
