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
    Moved moved "Those that were moved."
    Returned returned "Those that were moved back."
    Closed closed "Those that were closed to come back at the standby."
    Reconnected reconnected "Of those moved, they that were closed for it."
    ReconnectedBack reconnected_back "Of those moved back, they that were closed for it."
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

/// How and where miners were moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trip {
    /// To the standby, on the connection that they had.
    There,
    /// Back, the same way.
    Back,
    /// To the standby, closed and come back.
    ThereAnew,
    /// Back, the same way.
    BackAnew,
}

const TRIPS_COUNT: usize = 4;

/// One shard's part. The shard is the only writer.
#[derive(Debug)]
pub struct Tally {
    counts: [AtomicU64; COUNT],
    /// What it took to move miners, µs, by trip, as far as nobody has taken it yet.
    times_us: [ArrayQueue<u64>; TRIPS_COUNT],
}

impl Tally {
    /// For so many miners at most.
    pub fn new(miners: usize) -> Arc<Self> {
        let counts = std::array::from_fn(|_| AtomicU64::new(0));
        let times_us = std::array::from_fn(|_| ArrayQueue::new(miners.max(1)));
        Arc::new(Self { counts, times_us })
    }

    /// Counts one.
    pub fn count(&self, what: Drilled) {
        let cell = &self.counts[what as usize];
        cell.store(cell.load(Relaxed) + 1, Relaxed);
    }

    /// A miner was moved to the standby, by a reconnect if that is so.
    pub fn moved(&self, by_reconnect: bool, took_us: u64) {
        self.took(if by_reconnect { Trip::ThereAnew } else { Trip::There }, took_us);
        self.count(Drilled::Settled);
        self.count(Drilled::Moved);
        if by_reconnect {
            self.count(Drilled::Reconnected);
        }
    }

    /// A miner was moved back.
    pub fn returned(&self, by_reconnect: bool, took_us: u64) {
        self.took(if by_reconnect { Trip::BackAnew } else { Trip::Back }, took_us);
        self.count(Drilled::Done);
        self.count(Drilled::Returned);
        if by_reconnect {
            self.count(Drilled::ReconnectedBack);
        }
    }

    fn took(&self, trip: Trip, us: u64) {
        // There is room for one each.
        let _ = self.times_us[trip as usize].push(us);
    }

    /// A miner has come out of the drill in another way, and `is_settled` if it had not been moved.
    pub fn left(&self, why: Drilled, is_settled: bool) {
        if is_settled {
            self.count(Drilled::Settled);
        }
        self.count(Drilled::Done);
        self.count(why);
    }

    /// Takes what these trips took since the last call.
    pub fn take_times(&self, trip: Trip) -> impl Iterator<Item = u64> + '_ {
        let times_us = &self.times_us[trip as usize];
        std::iter::from_fn(|| times_us.pop())
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
        tally.moved(false, 7);
        tally.moved(true, 9);
        assert_eq!(open(), (2, 4));
        tally.left(Drilled::Diverted, false);
        tally.left(Drilled::Failed, true);
        tally.left(Drilled::Gone, true);
        assert_eq!(open(), (0, 1));
        tally.returned(true, 3);
        let DrillCounts { moved, returned, reconnected, reconnected_back, .. } = tally.counts();
        assert_eq!((open(), moved, returned, reconnected, reconnected_back), ((0, 0), 2, 1, 1, 1));
        let times = |trip| tally.take_times(trip).collect::<Vec<_>>();
        let all = [Trip::There, Trip::Back, Trip::ThereAnew, Trip::BackAnew].map(times);
        assert_eq!(all, [vec![7], vec![], vec![9], vec![3]]);
        assert_eq!(times(Trip::There), [0; 0], "taken once");
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
