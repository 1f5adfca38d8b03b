//! When miners submit: in turn at a rate, which may change on the way, or whenever too few submits wait.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::Pace;
use super::crew::{Later, Loop};
use super::report::{Answer, SubmitMade};

/// A rate is looked at again after so long, however slow it is: it may have changed.
const RATE_LOOK_EVERY: Duration = Duration::from_millis(100);

/// Whose turn it is, and how much of a submit the time since the last one was worth.
#[derive(Debug, Default)]
pub(super) struct Turn {
    place: usize,
    owed: f64,
}

impl Turn {
    /// So much later comes the next turn at this rate, and whether somebody submits in this one.
    fn next(&mut self, rate: f64) -> (Duration, bool) {
        let look = RATE_LOOK_EVERY.as_secs_f64();
        if rate * look >= 1.0 {
            self.owed = 0.0;
            return (Duration::from_secs_f64(1.0 / rate), true);
        }
        self.owed += rate.max(0.0) * look;
        let submits = self.owed >= 1.0;
        self.owed -= f64::from(submits);
        (RATE_LOOK_EVERY, submits)
    }
}

impl Loop {
    /// Open loop: the next miner submits what was due then, if it can, and the one after it is planned. A turn of a miner
    /// without a job passes: nobody submits twice as often for it.
    pub(super) fn submit_in_turn(&mut self, due: Instant) {
        let part = self.miners.len() as f64 / self.config.miners.max(1) as f64;
        let (wait, submits) = self.turn.next(self.progress.rate() * part);
        if submits && !self.miners.is_empty() {
            let place = self.turn.place % self.miners.len();
            self.turn.place = place + 1;
            if self.miners[place].counted {
                self.submit(place, due);
                self.flush(place);
            }
        }
        self.timers.push(due + wait, (due + wait, Later::Submit));
    }

    /// Closed loop: lets a miner that came to mine submit as often as may wait for an answer.
    pub(super) fn fill_loop(&mut self, place: usize) {
        let Pace::InFlight(count) = self.config.pace else { return };
        let open = self.miners[place].open_submits().count();
        for _ in open..count {
            self.submit(place, Instant::now());
        }
        self.flush(place);
    }

    /// Queues a submit that was due then, if the miner can make one and the books have room.
    pub(super) fn submit(&mut self, place: usize, due: Instant) {
        let miner = &mut self.miners[place];
        if self.finish_at.is_some()
            || !miner.can_submit()
            || self.progress.submitted() >= self.config.submits_max as u64
        {
            return;
        }
        let number = self.report.submits.len();
        if let Some(key) = miner.submit(due, number) {
            self.report.submits.push(SubmitMade { key, miner: miner.number, answer: Answer::Missing });
            self.progress.submitted.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_whether_it_is_fast_or_slower_than_the_looks() {
        for rate in [0.0, 0.5, 3.0, 10.0, 333.0] {
            let (mut turn, mut at, mut submits) = (Turn::default(), Duration::ZERO, 0);
            while at < Duration::from_secs(100) {
                let (wait, is_due) = turn.next(rate);
                assert!(wait <= RATE_LOOK_EVERY);
                (at, submits) = (at + wait, submits + u32::from(is_due));
            }
            assert!((f64::from(submits) - rate * 100.0).abs() <= 1.5, "{submits} at {rate}/s");
        }
    }
}
