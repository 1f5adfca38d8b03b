//! Tallies: what the shares of one minute, one worker and one pool add up to, and a bounded table of them.
//!
//! The same type serves twice: in a shard it folds shares that find no room in the outbox, in the writer it makes the
//! rollups.

use adit_protocol::event::Outcome;
use adit_protocol::verdict::RejectClass;

use crate::record::{OutcomeCounts, ShareRow};
use crate::sketch::Sketch;

/// Microseconds of a minute.
pub const MINUTE_US: u64 = 60_000_000;
/// Classes of rejection, [`class_index`] counts them.
pub const CLASSES_COUNT: usize = 8;
/// The columns of the rollups that count rejections, in the order of [`class_index`].
pub const CLASS_COLUMNS: [&str; CLASSES_COUNT] = [
    "stale",
    "duplicate",
    "low_difficulty",
    "unauthorized",
    "not_subscribed",
    "bad_time",
    "bad_version",
    "other",
];

/// The minute that a time in microseconds since 1970 lies in, counted from 1970.
#[inline]
pub fn minute_of(time_us: u64) -> u32 {
    (time_us / MINUTE_US) as u32
}

/// The place of a class in [`Tally::rejected`] and in [`CLASS_COLUMNS`]. `None` counts as other.
#[inline]
pub fn class_index(class: Option<RejectClass>) -> usize {
    match class {
        Some(RejectClass::Stale) => 0,
        Some(RejectClass::Duplicate) => 1,
        Some(RejectClass::LowDifficulty) => 2,
        Some(RejectClass::Unauthorized) => 3,
        Some(RejectClass::NotSubscribed) => 4,
        Some(RejectClass::Time) => 5,
        Some(RejectClass::Version) => 6,
        Some(RejectClass::Other) | None => 7,
    }
}

/// A difficulty as it is stored and summed: one that is no number, or not finite, counts as zero, since it would spoil
/// its whole sum.
#[inline]
pub fn credited(difficulty: f64) -> f64 {
    if difficulty.is_finite() { difficulty } else { 0.0 }
}

/// What a number of shares adds up to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Accepted by the pool.
    pub accepted: u64,
    /// Rejected by the pool, by [`class_index`].
    pub rejected: [u64; CLASSES_COUNT],
    /// Refused here.
    pub refused_here: u64,
    /// Without a verdict.
    pub unanswered: u64,
    /// Of all these, how many have no row of their own, since they were folded into a gap.
    pub gapped: u64,
    /// Sum of the assigned difficulty of the accepted ones.
    pub difficulty_accepted: f64,
    /// The same of the rejected ones and those refused here.
    pub difficulty_rejected: f64,
    /// The same of those without a verdict.
    pub difficulty_unanswered: f64,
    /// Latencies of those that the pool answered.
    pub latency: Sketch,
}

impl Tally {
    /// Counts a share.
    #[inline]
    pub fn add(&mut self, row: &ShareRow) {
        let difficulty = credited(row.difficulty);
        match row.outcome {
            Outcome::Accepted => {
                self.accepted += 1;
                self.difficulty_accepted += difficulty;
                self.latency.record(row.latency_us);
            }
            Outcome::Rejected => {
                self.rejected[class_index(row.class)] += 1;
                self.difficulty_rejected += difficulty;
                self.latency.record(row.latency_us);
            }
            Outcome::RefusedHere => {
                self.refused_here += 1;
                self.difficulty_rejected += difficulty;
            }
            Outcome::Unanswered => {
                self.unanswered += 1;
                self.difficulty_unanswered += difficulty;
            }
        }
    }

    /// Adds another tally.
    pub fn merge(&mut self, other: &Self) {
        self.accepted += other.accepted;
        for (mine, theirs) in self.rejected.iter_mut().zip(other.rejected) {
            *mine += theirs;
        }
        self.refused_here += other.refused_here;
        self.unanswered += other.unanswered;
        self.gapped += other.gapped;
        self.difficulty_accepted += other.difficulty_accepted;
        self.difficulty_rejected += other.difficulty_rejected;
        self.difficulty_unanswered += other.difficulty_unanswered;
        self.latency.merge(&other.latency);
    }

    /// The counts without the classes.
    pub fn outcomes(&self) -> OutcomeCounts {
        OutcomeCounts {
            accepted: self.accepted,
            rejected: self.rejected.iter().sum(),
            refused_here: self.refused_here,
            unanswered: self.unanswered,
        }
    }
}

/// Whose tally, and of which minute. Shards count in process keys, the writer in the numbers of the ledger's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TallyKey {
    /// Minutes since 1970.
    pub minute: u32,
    /// The worker.
    pub worker: u32,
    /// The pool.
    pub pool: u32,
}

/// A bounded map from [`TallyKey`] to [`Tally`]. Allocates once, when made; memory that no tally used is never touched.
#[derive(Debug)]
pub struct TallyTable {
    entries: Vec<(TallyKey, Tally)>,
    /// Open addressing; 0 is empty, n stands for `entries[n - 1]`.
    index: Vec<u32>,
    count_max: usize,
}

impl TallyTable {
    /// An empty table for at most `count_max` tallies.
    pub fn new(count_max: usize) -> Self {
        let count_max = count_max.max(1);
        let index = vec![0; (count_max * 2).next_power_of_two()];
        Self { entries: Vec::with_capacity(count_max), index, count_max }
    }

    /// The position of a key's tally, made empty if there was none; `None` when the table is full.
    #[inline]
    pub fn find_or_add(&mut self, key: TallyKey) -> Option<Found> {
        let mask = self.index.len() - 1;
        let mut at = hash(key) & mask;
        loop {
            match self.index[at] {
                0 if self.entries.len() >= self.count_max => return None,
                0 => {
                    self.entries.push((key, Tally::default()));
                    self.index[at] = self.entries.len() as u32;
                    return Some(Found { position: self.entries.len() - 1, is_new: true });
                }
                n if self.entries[n as usize - 1].0 == key => {
                    return Some(Found { position: n as usize - 1, is_new: false });
                }
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// The key's tally, made empty if there was none; `None` when the table is full.
    #[inline]
    pub fn tally(&mut self, key: TallyKey) -> Option<&mut Tally> {
        let found = self.find_or_add(key)?;
        self.entries.get_mut(found.position).map(|(_, tally)| tally)
    }

    /// All tallies, in the order in which they were made.
    pub fn entries(&self) -> &[(TallyKey, Tally)] {
        &self.entries
    }

    /// All tallies, to be changed.
    pub fn entries_mut(&mut self) -> &mut [(TallyKey, Tally)] {
        &mut self.entries
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        if !self.entries.is_empty() {
            self.entries.clear();
            self.index.fill(0);
        }
    }
}

/// Where a tally is in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place in [`TallyTable::entries`].
    pub position: usize,
    /// Whether it was made just now.
    pub is_new: bool,
}

/// Keys are small numbers counted up by ourselves: a multiplication spreads them well enough.
#[inline]
fn hash(key: TallyKey) -> usize {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mixed = (u64::from(key.worker) << 32 | u64::from(key.minute)) ^ u64::from(key.pool).wrapping_mul(ODD);
    let product = u128::from(mixed ^ ODD) * u128::from(ODD);
    ((product >> 64) as u64 ^ product as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(minute: u32, worker: u32, pool: u32) -> TallyKey {
        TallyKey { minute, worker, pool }
    }

    #[test]
    fn a_full_table_still_finds_what_it_has_and_takes_nothing_new() {
        let mut table = TallyTable::new(1_000);
        for n in 0..1_000 {
            table.tally(key(n / 100, n % 100, n % 3)).expect("room").accepted += u64::from(n);
        }
        assert_eq!(table.find_or_add(key(11, 0, 0)), None);
        assert_eq!(table.tally(key(3, 7, 307 % 3)).map(|tally| tally.accepted), Some(307));
        table.clear();
        assert!(table.entries().is_empty());
        assert!(table.find_or_add(key(3, 7, 307 % 3)).is_some_and(|found| found.is_new));
    }

    #[test]
    fn dense_keys_spread_over_the_index() {
        let took = (0..5).map(|_| {
            let mut table = TallyTable::new(16_384);
            let started = std::time::Instant::now();
            for worker in 0..16_384 {
                table.tally(key(29_000_000, worker, 1)).expect("room").accepted = 1;
            }
            assert_eq!(table.entries().len(), 16_384);
            started.elapsed()
        });
        // A clustered index would take seconds here, a good one some milliseconds even unoptimised. The best of some
        // rounds, since the machine may do other things in one.
        let took = took.min().expect("rounds");
        assert!(took.as_secs() < 2, "{took:?}");
    }
}
