//! What a shard counts per pool. One writer per shard, any number of readers, no locked instruction; room for a pool is
//! made when something is counted there for the first time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use adit_protocol::event::Outcome;
use adit_protocol::limits::POOLS_COUNT_MAX;
use adit_protocol::pool::PoolId;

macro_rules! counters {
    ($($variant:ident $help:literal)*) => {
        /// A counter of one pool.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum PoolCounter {
            $(#[doc = $help] $variant,)*
        }

        /// How many there are.
        const COUNT: usize = [$(PoolCounter::$variant,)*].len();
    };
}

counters! {
    Opened "Connections to it that were given a place, those that failed included."
    Closed "Those of them that have left their place."
    DialsFailed "Connections that nobody took, or not in time."
    LoginsFailed "Connections that stood and did not come to a job."
    Lost "Connections that worked, with a miner on them, and ended before the miner did."
    LiveTo "Miners moved to it without a reconnect."
    ClosesTo "Miners closed so that they come back to it."
    Reserved "Connections to it that were kept for a miner's return."
    Taken "Of these, taken by a miner that came."
    Lapsed "Of these, closed since nobody came, or the pool went."
    Stocked "Connections to it that were put in stock, subscribed and without a miner."
    Drawn "Of these, given to a miner."
    Recycled "Of these, closed since they grew old, or the pool closed them."
    Jobs "Jobs from it that leave those before them in force."
    CleanJobs "Jobs from it that replace all before them."
    BytesFrom "Bytes received from it."
    BytesTo "Bytes given to sockets toward it, or waiting for them."
    Accepted "Shares that it accepted."
    Rejected "Shares that it rejected."
    RefusedHere "Shares refused here while it was the miner's pool."
    Unanswered "Shares that it gave no verdict on in time."
}

type Cells = Box<[AtomicU64; COUNT]>;

#[derive(Debug)]
struct Table(Box<[OnceLock<Cells>]>);

/// The writing end of one shard. There is one, and it stays with its shard.
#[derive(Debug)]
pub struct PoolCounterWriter(Arc<Table>);

/// The reading end. Copies read the same.
#[derive(Clone, Debug)]
pub struct PoolCounters(Arc<Table>);

/// Fresh counters of one shard.
pub fn pool_counters() -> (PoolCounterWriter, PoolCounters) {
    let table = Arc::new(Table((0..POOLS_COUNT_MAX).map(|_| OnceLock::new()).collect()));
    (PoolCounterWriter(table.clone()), PoolCounters(table))
}

impl PoolCounterWriter {
    /// Adds one.
    #[inline]
    pub fn count(&mut self, pool: PoolId, counter: PoolCounter) {
        self.add(pool, counter, 1);
    }

    /// Adds `n`. The only writer, so load and store need not be one instruction.
    #[inline]
    pub fn add(&mut self, pool: PoolId, counter: PoolCounter, n: usize) {
        let Some(place) = self.0.0.get(usize::from(pool.0)) else { return };
        let cells = place.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU64::new(0))));
        let cell = &cells[counter as usize];
        cell.store(cell.load(Ordering::Relaxed).wrapping_add(n as u64), Ordering::Relaxed);
    }

    /// Shares of this shard that a pool accepted.
    pub fn accepted(&self, pool: PoolId) -> u64 {
        let cells = self.0.0.get(usize::from(pool.0)).and_then(OnceLock::get);
        cells.map_or(0, |cells| cells[PoolCounter::Accepted as usize].load(Ordering::Relaxed))
    }

    /// A share ended.
    #[inline]
    pub fn share(&mut self, pool: PoolId, outcome: Outcome) {
        self.count(
            pool,
            match outcome {
                Outcome::Accepted => PoolCounter::Accepted,
                Outcome::Rejected => PoolCounter::Rejected,
                Outcome::RefusedHere => PoolCounter::RefusedHere,
                Outcome::Unanswered => PoolCounter::Unanswered,
            },
        );
    }
}

impl PoolCounters {
    /// The present values of one pool.
    pub fn of(&self, pool: PoolId) -> PoolSnapshot {
        let cells = self.0.0.get(usize::from(pool.0)).and_then(OnceLock::get);
        PoolSnapshot(std::array::from_fn(|n| cells.map_or(0, |cells| cells[n].load(Ordering::Relaxed))))
    }
}

/// Values of one pool and moment, of one shard or summed over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSnapshot([u64; COUNT]);

impl PoolSnapshot {
    /// Adds another shard's values.
    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine = mine.wrapping_add(theirs));
    }

    /// One counter.
    pub fn get(&self, counter: PoolCounter) -> u64 {
        self.0[counter as usize]
    }

    /// Connections that are kept for a miner's return.
    pub fn reserved(&self) -> u64 {
        let gone = self.get(PoolCounter::Taken) + self.get(PoolCounter::Lapsed);
        self.get(PoolCounter::Reserved).saturating_sub(gone)
    }

    /// Connections that stand ready for any miner.
    pub fn in_stock(&self) -> u64 {
        let gone = self.get(PoolCounter::Drawn) + self.get(PoolCounter::Recycled);
        self.get(PoolCounter::Stocked).saturating_sub(gone)
    }

    /// Connections that stand or are being made.
    pub fn open(&self) -> u64 {
        self.get(PoolCounter::Opened).saturating_sub(self.get(PoolCounter::Closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_counted_apart_and_summed_over_shards() {
        let (mut one, one_read) = pool_counters();
        let (mut two, two_read) = pool_counters();
        one.count(PoolId(1), PoolCounter::Opened);
        one.add(PoolId(2), PoolCounter::BytesTo, 300);
        one.share(PoolId(1), Outcome::Accepted);
        two.count(PoolId(1), PoolCounter::Opened);
        two.count(PoolId(1), PoolCounter::Closed);
        two.count(PoolId(u16::MAX), PoolCounter::Closed);
        let mut sum = one_read.of(PoolId(1));
        sum.merge(&two_read.of(PoolId(1)));
        assert_eq!((sum.open(), sum.get(PoolCounter::Accepted), sum.get(PoolCounter::BytesTo)), (1, 1, 0));
        assert_eq!(one_read.of(PoolId(2)).get(PoolCounter::BytesTo), 300);
        assert_eq!(one_read.of(PoolId(u16::MAX)), PoolSnapshot::default());
    }

    #[test]
    fn counting_at_a_known_pool_allocates_nothing() {
        let (mut writer, _) = pool_counters();
        writer.share(PoolId(1), Outcome::Rejected);
        let allocations = allocation_counter::measure(|| writer.share(PoolId(1), Outcome::Accepted));
        assert_eq!(allocations.count_total, 0);
    }
}
