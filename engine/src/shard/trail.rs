//! Moves of miners in the ledger's audit trail: one event each, or, when there are many, one for all that are alike.
//!
//! A pool that dies moves thousands of miners within a second, and one that comes and goes does it again and again. The
//! trail must tell of each of them, and must not be flooded: the first few of a second stand there by themselves, the
//! others of that second are told together, with their number and the slowest.
//!
//! Not here: who moves miners ([`super::moves`], [`super::redirects`], [`super::returns`]).

use adit_protocol::moment::Moment;
use adit_store::record::PoolKey;

/// How long events are counted together.
const WINDOW_MS: u64 = 1_000;
/// Events of a window that are told one by one.
const SINGLES_COUNT_MAX: u32 = 8;
/// Kinds of events of a window that are told apart. Those beyond it are told as others.
const KINDS_COUNT_MAX: usize = 32;

/// What events that are told together have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// A miner was moved.
    Moved {
        from: PoolKey,
        to: PoolKey,
        reason: &'static str,
        /// On the connection it had; else it was closed to come back.
        live: bool,
    },
    /// A pool wanted a client elsewhere, and what was done about it.
    Redirected { pool: PoolKey, outcome: &'static str },
    /// Anything, where there are too many kinds.
    Others,
}

/// Events of one kind that were not told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Many {
    pub(super) deed: Deed,
    pub(super) count: u64,
    pub(super) slowest_us: u64,
}

/// Decides what is told how.
#[derive(Debug)]
pub(super) struct Trail {
    window_ends: Moment,
    singles_count: u32,
    many: Vec<Many>,
}

impl Default for Trail {
    fn default() -> Self {
        Self { window_ends: Moment(0), singles_count: 0, many: Vec::new() }
    }
}

impl Trail {
    /// Takes an event. True if it is to be told by itself, else it was counted.
    pub(super) fn admit(&mut self, deed: Deed, took_us: u64, now: Moment) -> bool {
        if self.window_ends <= now && self.many.is_empty() {
            self.window_ends = now.plus_ms(WINDOW_MS);
            self.singles_count = 0;
        }
        if self.singles_count < SINGLES_COUNT_MAX {
            self.singles_count += 1;
            return true;
        }
        let is_known = self.many.iter().any(|many| many.deed == deed);
        let deed = if is_known || self.many.len() < KINDS_COUNT_MAX { deed } else { Deed::Others };
        match self.many.iter_mut().find(|many| many.deed == deed) {
            Some(many) => {
                many.count += 1;
                many.slowest_us = many.slowest_us.max(took_us);
            }
            None => self.many.push(Many { deed, count: 1, slowest_us: took_us }),
        }
        false
    }

    /// When there is something to tell of the window.
    pub(super) fn due(&self) -> Moment {
        if self.many.is_empty() { Moment::NEVER } else { self.window_ends }
    }

    /// What was counted, once the window is over.
    pub(super) fn take_due(&mut self, now: Moment) -> Vec<Many> {
        if self.due() <= now { std::mem::take(&mut self.many) } else { Vec::new() }
    }

    /// What was counted, at the end.
    pub(super) fn take_all(&mut self) -> Vec<Many> {
        std::mem::take(&mut self.many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Deed = Deed::Moved { from: PoolKey(1), to: PoolKey(2), reason: "pool_lost", live: true };

    #[test]
    fn few_events_are_told_one_by_one_and_many_are_counted_exactly() {
        let mut trail = Trail::default();
        let told = (0..5_000).filter(|&n| trail.admit(LOST, n, Moment(1))).count();
        assert_eq!(told, SINGLES_COUNT_MAX as usize);
        assert_eq!(trail.take_due(Moment(1)), []);
        let over = trail.due();
        assert_eq!(over, Moment(1).plus_ms(WINDOW_MS));
        let many = Many { deed: LOST, count: 5_000 - told as u64, slowest_us: 4_999 };
        assert_eq!(trail.take_due(over), [many]);
        assert_eq!((trail.due(), trail.take_due(over).len()), (Moment::NEVER, 0));
        assert!(trail.admit(LOST, 0, over), "a new window");
    }

    #[test]
    fn nothing_is_told_by_itself_before_the_last_window_was_told() {
        let mut trail = Trail::default();
        (0..10).for_each(|_| _ = trail.admit(LOST, 0, Moment(0)));
        let late = Moment(0).plus_ms(10 * WINDOW_MS);
        assert!(!trail.admit(LOST, 7, late), "or a flood between two looks would pass");
        assert_eq!(trail.take_due(late), [Many { deed: LOST, count: 3, slowest_us: 7 }]);
    }

    #[test]
    fn kinds_beyond_the_bound_are_told_as_others() {
        let mut trail = Trail::default();
        for n in 0..100 {
            trail.admit(Deed::Redirected { pool: PoolKey(n), outcome: "followed" }, 0, Moment(0));
        }
        let all = trail.take_all();
        assert_eq!(all.len(), KINDS_COUNT_MAX + 1);
        assert_eq!(all.iter().map(|many| many.count).sum::<u64>(), 100 - u64::from(SINGLES_COUNT_MAX));
    }
}
