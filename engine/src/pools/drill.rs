//! What shards tell of the miners of a failover drill: counts and times, written by one shard, read by the drill.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam::queue::ArrayQueue;

macro_rules! counts {
    ($($variant:ident $field:ident $help:literal)*) => {
        /// Something that is counted of miners under drill.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Drilled {
            $(#[doc = $help] $variant,)*
        }

        /// What was counted, of one shard or summed over several.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct DrillCounts {
            $(#[doc = $help] pub $field: u64,)*
        }

        const COUNT: usize = [$(Drilled::$variant,)*].len();

        impl DrillCounts {
            /// Adds those of another shard.
            pub fn merge(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }

        impl Tally {
            /// The present counts.
            pub fn counts(&self) -> DrillCounts {
                DrillCounts { $($field: self.counts[Drilled::$variant as usize].load(Relaxed),)* }
            }
        }
    };
}

counts! {
    Begun begun "Shards that have drawn their miners."
    Chosen chosen "Miners drawn."
    Settled settled "Those of which is known whether they were moved."
    Done done "Those that the drill has nothing to do with any more."
    Moved moved "Those that were moved, live."
    Returned returned "Those that were moved back."
    NotLive not_live "Those that stayed, for they cannot be switched live."
    Failed failed "Those that stayed, for the login failed or there is no pool for them."
    Diverted diverted "Those that something else moved meanwhile: a failure, an operator."
    Gone gone "Those that left meanwhile."
    Accepted accepted "Their shares that were accepted."
    Stale stale "Their shares that came too late for their job."
    Rejected rejected "Their shares that were rejected or refused for another reason."
    Unanswered unanswered "Their shares without a verdict."
}

impl DrillCounts {
    /// Miners that are still on their way to the standby.
    pub fn leaving(&self) -> u64 {
        self.chosen.saturating_sub(self.settled)
    }

    /// Miners that the drill still has to do with.
    pub fn under_drill(&self) -> u64 {
        self.chosen.saturating_sub(self.done)
    }
}

/// One shard's part. The shard is the only writer.
#[derive(Debug)]
pub struct Tally {
    counts: [AtomicU64; COUNT],
    /// What it took to move miners there and back, µs, as far as nobody has taken it yet.
    switch_us: ArrayQueue<u64>,
    return_us: ArrayQueue<u64>,
}

impl Tally {
    /// For so many miners at most.
    pub fn new(miners: usize) -> Arc<Self> {
        let queue = || ArrayQueue::new(miners.max(1));
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        Arc::new(Self { counts, switch_us: queue(), return_us: queue() })
    }

    /// Counts one.
    pub fn count(&self, what: Drilled) {
        let cell = &self.counts[what as usize];
        cell.store(cell.load(Relaxed) + 1, Relaxed);
    }

    /// A miner was moved to the standby.
    pub fn moved(&self, took_us: u64) {
        // There is room for one each.
        let _ = self.switch_us.push(took_us);
        self.count(Drilled::Settled);
        self.count(Drilled::Moved);
    }

    /// A miner was moved back.
    pub fn returned(&self, took_us: u64) {
        let _ = self.return_us.push(took_us);
        self.count(Drilled::Done);
        self.count(Drilled::Returned);
    }

    /// A miner has come out of the drill in another way, and `is_settled` if it had not been moved.
    pub fn left(&self, why: Drilled, is_settled: bool) {
        if is_settled {
            self.count(Drilled::Settled);
        }
        self.count(Drilled::Done);
        self.count(why);
    }

    /// Takes the times of moves to the standby since the last call.
    pub fn take_switch_times(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::from_fn(|| self.switch_us.pop())
    }

    /// The same of moves back.
    pub fn take_return_times(&self) -> impl Iterator<Item = u64> + '_ {
        std::iter::from_fn(|| self.return_us.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_miner_is_somewhere() {
        let tally = Tally::new(2);
        let open = || (tally.counts().leaving(), tally.counts().under_drill());
        (0..5).for_each(|_| tally.count(Drilled::Chosen));
        tally.left(Drilled::NotLive, true);
        assert_eq!(open(), (4, 4));
        tally.moved(7);
        tally.moved(9);
        assert_eq!(open(), (2, 4));
        tally.left(Drilled::Diverted, false);
        tally.left(Drilled::Failed, true);
        tally.left(Drilled::Gone, true);
        assert_eq!(open(), (0, 1));
        tally.returned(3);
        assert_eq!((open(), tally.counts().returned), ((0, 0), 1));
        assert_eq!((tally.take_switch_times().sum::<u64>(), tally.take_return_times().sum::<u64>()), (16, 3));
        assert_eq!(tally.take_switch_times().count(), 0, "taken once");
    }

    #[test]
    fn shards_add_up() {
        let (one, other) = (Tally::new(1), Tally::new(1));
        one.count(Drilled::Stale);
        other.count(Drilled::Stale);
        other.count(Drilled::Begun);
        let mut sum = one.counts();
        sum.merge(&other.counts());
        assert_eq!(sum, DrillCounts { stale: 2, begun: 1, ..DrillCounts::default() });
    }
}
