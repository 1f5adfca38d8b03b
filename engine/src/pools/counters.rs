//! What a shard counts and measures per pool. One writer per shard, any number of readers, no locked instruction; room for
//! a pool, some 10 KiB, is made when something is counted there for the first time.
//!
//! Hashrates are not here: a decaying average is more than a cell ([`crate::shard::workers`]).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use adit_protocol::event::{ClosedShare, Outcome};
use adit_protocol::job::ChainFacts;
use adit_protocol::limits::POOLS_COUNT_MAX;
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use adit_store::tally::{CLASSES_COUNT, class_index};

use crate::spread::{Spread, SpreadSum};

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
    Unanswered "Shares that it gave no verdict on in time."
    BlockCandidates "Shares for it that were good enough for a block, as far as checked here."
}

/// Shares that somebody said no to, by class.
type Classes = [AtomicU64; CLASSES_COUNT];

/// Everything of one pool.
#[derive(Debug, Default)]
struct Cells {
    counts: [AtomicU64; COUNT],
    rejected: Classes,
    refused_here: Classes,
    /// Of the last share that got a verdict, as bits; 0 before any.
    difficulty: AtomicU64,
    last_job_at: AtomicU64,
    /// One more than the height, so that 0 is none.
    block_height: AtomicU64,
    nbits: AtomicU64,
    verdict: Spread,
    connect: Spread,
    switch: Spread,
}

#[derive(Debug)]
struct Table(Box<[OnceLock<Box<Cells>>]>);

impl Table {
    fn get(&self, pool: PoolId) -> Option<&Cells> {
        self.0.get(usize::from(pool.0)).and_then(OnceLock::get).map(|cells| &**cells)
    }
}

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

/// The only writer, so load and store need not be one instruction.
#[inline]
fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

impl PoolCounterWriter {
    #[inline]
    fn cells(&self, pool: PoolId) -> Option<&Cells> {
        let place = self.0.0.get(usize::from(pool.0))?;
        Some(&**place.get_or_init(Box::default))
    }

    /// Adds one.
    #[inline]
    pub fn count(&mut self, pool: PoolId, counter: PoolCounter) {
        self.add(pool, counter, 1);
    }

    /// Adds `n`.
    #[inline]
    pub fn add(&mut self, pool: PoolId, counter: PoolCounter, n: usize) {
        if let Some(cells) = self.cells(pool) {
            add(&cells.counts[counter as usize], n as u64);
        }
    }

    /// Shares of this shard that a pool accepted.
    pub fn accepted(&self, pool: PoolId) -> u64 {
        self.0.get(pool).map_or(0, |cells| cells.counts[PoolCounter::Accepted as usize].load(Relaxed))
    }

    /// A share ended.
    #[inline]
    pub fn share(&mut self, share: &ClosedShare, now: Moment) {
        let Some(cells) = self.cells(share.pool) else { return };
        add(
            match share.outcome {
                Outcome::Accepted => &cells.counts[PoolCounter::Accepted as usize],
                Outcome::Unanswered => &cells.counts[PoolCounter::Unanswered as usize],
                Outcome::Rejected => &cells.rejected[class_index(share.class)],
                Outcome::RefusedHere => &cells.refused_here[class_index(share.class)],
            },
            1,
        );
        if matches!(share.outcome, Outcome::Accepted | Outcome::Rejected) {
            cells.verdict.record(now.since_us(share.submitted));
            cells.difficulty.store(share.difficulty.to_bits(), Relaxed);
        }
        if share.block_candidate {
            add(&cells.counts[PoolCounter::BlockCandidates as usize], 1);
        }
    }

    /// A job came, for one of its miners.
    pub fn job(&mut self, pool: PoolId, clean: bool, chain: ChainFacts, now: Moment) {
        let Some(cells) = self.cells(pool) else { return };
        let counter = if clean { PoolCounter::CleanJobs } else { PoolCounter::Jobs };
        add(&cells.counts[counter as usize], 1);
        cells.last_job_at.store(now.0, Relaxed);
        cells.block_height.store(chain.block_height.map_or(0, |height| u64::from(height) + 1), Relaxed);
        cells.nbits.store(chain.nbits.map_or(0, u64::from), Relaxed);
    }

    /// A connection to it stands, and took so long.
    pub fn connected(&mut self, pool: PoolId, took_us: u64) {
        if let Some(cells) = self.cells(pool) {
            cells.connect.record(took_us);
        }
    }

    /// A miner has its first job from it on the connection that it had, so long after another pool was wanted for it.
    pub fn switched_to(&mut self, pool: PoolId, took_us: u64) {
        if let Some(cells) = self.cells(pool) {
            add(&cells.counts[PoolCounter::LiveTo as usize], 1);
            cells.switch.record(took_us);
        }
    }
}

impl PoolCounters {
    /// The present values of one pool.
    pub fn of(&self, pool: PoolId) -> PoolSnapshot {
        let Some(cells) = self.0.get(pool) else { return PoolSnapshot::default() };
        let all = |cells: &Classes| cells.each_ref().map(|cell| cell.load(Relaxed));
        PoolSnapshot {
            counts: cells.counts.each_ref().map(|cell| cell.load(Relaxed)),
            rejected: all(&cells.rejected),
            refused_here: all(&cells.refused_here),
        }
    }

    /// What the jobs and verdicts of one pool told last.
    pub fn last(&self, pool: PoolId) -> PoolLast {
        let Some(cells) = self.0.get(pool) else { return PoolLast::default() };
        let some = |cell: &AtomicU64| Some(cell.load(Relaxed)).filter(|&value| value > 0);
        PoolLast {
            job_at: some(&cells.last_job_at).map(Moment),
            chain: ChainFacts {
                block_height: some(&cells.block_height).and_then(|height| u32::try_from(height - 1).ok()),
                nbits: some(&cells.nbits).and_then(|nbits| u32::try_from(nbits).ok()),
            },
            difficulty: some(&cells.difficulty).map(f64::from_bits),
        }
    }

    /// Adds what things took at one pool.
    pub(crate) fn add_times(&self, pool: PoolId, times: &mut PoolTimes) {
        if let Some(cells) = self.0.get(pool) {
            times.verdict.add(&cells.verdict);
            times.connect.add(&cells.connect);
            times.switch.add(&cells.switch);
        }
    }
}

/// Values of one pool and moment, of one shard or summed over several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSnapshot {
    counts: [u64; COUNT],
    /// Shares that it rejected, by [`class_index`].
    pub rejected: [u64; CLASSES_COUNT],
    /// Shares refused here while it was the miner's pool, the same.
    pub refused_here: [u64; CLASSES_COUNT],
}

/// What one pool told last.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolLast {
    /// When the last job came.
    pub job_at: Option<Moment>,
    /// What it told of the chain.
    pub chain: ChainFacts,
    /// The difficulty that the last share with a verdict was for.
    pub difficulty: Option<f64>,
}

/// How long things took at one pool, over some shards.
#[derive(Debug, Default)]
pub(crate) struct PoolTimes {
    /// From a submit to its verdict.
    pub(crate) verdict: SpreadSum,
    /// Until a connection stood.
    pub(crate) connect: SpreadSum,
    /// From wanting it for a miner to the miner's first job.
    pub(crate) switch: SpreadSum,
}

impl PoolSnapshot {
    /// Adds another shard's values.
    pub fn merge(&mut self, other: &Self) {
        let add = |mine: &mut [u64], theirs: &[u64]| {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine = mine.wrapping_add(*theirs));
        };
        add(&mut self.counts, &other.counts);
        add(&mut self.rejected, &other.rejected);
        add(&mut self.refused_here, &other.refused_here);
    }

    /// One counter.
    pub fn get(&self, counter: PoolCounter) -> u64 {
        self.counts[counter as usize]
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
    use adit_protocol::verdict::RejectClass;

    use super::*;
    use crate::shard::workers::tests::share;

    #[test]
    fn pools_are_counted_apart_and_summed_over_shards() {
        let (mut one, one_read) = pool_counters();
        let (mut two, two_read) = pool_counters();
        one.count(PoolId(1), PoolCounter::Opened);
        one.add(PoolId(2), PoolCounter::BytesTo, 300);
        one.share(&share(7, Outcome::Accepted, None), Moment(5_000));
        two.share(&share(7, Outcome::Rejected, Some(RejectClass::Stale)), Moment(9_000));
        two.share(&share(7, Outcome::RefusedHere, None), Moment(1));
        two.count(PoolId(1), PoolCounter::Opened);
        two.count(PoolId(1), PoolCounter::Closed);
        two.count(PoolId(u16::MAX), PoolCounter::Closed);
        two.switched_to(PoolId(1), 70);
        let mut sum = one_read.of(PoolId(1));
        sum.merge(&two_read.of(PoolId(1)));
        assert_eq!((sum.open(), sum.get(PoolCounter::Accepted), sum.get(PoolCounter::BytesTo)), (1, 1, 0));
        assert_eq!(
            (sum.rejected[class_index(Some(RejectClass::Stale))], sum.rejected.iter().sum()),
            (1, 1_u64)
        );
        assert_eq!(sum.refused_here[class_index(None)], 1);
        assert_eq!(one_read.of(PoolId(2)).get(PoolCounter::BytesTo), 300);
        assert_eq!(one_read.of(PoolId(u16::MAX)), PoolSnapshot::default());

        let mut times = PoolTimes::default();
        for shard in [one_read, two_read] {
            shard.add_times(PoolId(1), &mut times);
        }
        let (verdict, switch) = (times.verdict.latency(), times.switch.latency());
        assert_eq!((verdict.count, verdict.sum_us, verdict.max_us), (2, 14_000, 9_000));
        assert_eq!((switch.count, switch.p99_us, times.connect.latency().count), (1, 70, 0));
    }

    #[test]
    fn what_each_pool_told_last_is_known() {
        let (mut writer, reader) = pool_counters();
        let chain = ChainFacts { block_height: Some(0), nbits: Some(0x1703_4219) };
        writer.job(PoolId(2), true, chain, Moment(5));
        writer.job(PoolId(u16::MAX), true, chain, Moment(6));
        writer.share(&share(7, Outcome::Accepted, None), Moment(7));
        let last = reader.last(PoolId(2));
        assert_eq!(last, PoolLast { job_at: Some(Moment(5)), chain, difficulty: None });
        assert_eq!(reader.last(PoolId(1)).difficulty, Some(1_000.0));
        assert_eq!([PoolId(3), PoolId(u16::MAX)].map(|pool| reader.last(pool)), [PoolLast::default(); 2]);
        assert_eq!(reader.of(PoolId(2)).get(PoolCounter::CleanJobs), 1);
    }

    #[test]
    fn counting_at_a_known_pool_allocates_nothing() {
        let (mut writer, _) = pool_counters();
        let rejected = share(7, Outcome::Rejected, None);
        writer.share(&rejected, Moment(1));
        let allocations = allocation_counter::measure(|| writer.share(&rejected, Moment(2)));
        assert_eq!(allocations.count_total, 0);
    }
}
