//! A distribution that one thread writes and any may read, without a lock: the fixed buckets of
//! [`adit_admin::view::latency`] as relaxed atomics.
//!
//! Coarser than [`crate::latency`], and as cheap as a counter: for what happens often enough to want a distribution and not
//! so often that its quantiles must be exact.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use adit_admin::view::Latency;
use adit_admin::view::latency::BOUNDS_US;

#[derive(Debug, Default)]
struct Cells {
    buckets: [AtomicU64; BOUNDS_US.len()],
    count: AtomicU64,
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

/// The reading end. Copies read the same.
#[derive(Clone, Debug, Default)]
pub struct Buckets(Arc<Cells>);

/// The writing end. There is one.
#[derive(Debug)]
pub struct BucketWriter(Arc<Cells>);

/// An empty distribution.
pub fn buckets() -> (BucketWriter, Buckets) {
    let cells = Arc::new(Cells::default());
    (BucketWriter(cells.clone()), Buckets(cells))
}

impl BucketWriter {
    /// Takes in one value.
    pub fn record(&mut self, us: u64) {
        self.record_many(us, 1);
    }

    /// Takes in `count` times the same value.
    pub fn record_many(&mut self, us: u64, count: u64) {
        // The only writer, so load and store need not be one instruction.
        let add = |cell: &AtomicU64, n: u64| cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        let bucket = BOUNDS_US.partition_point(|&bound| bound < us);
        if let Some(cell) = self.0.buckets.get(bucket) {
            add(cell, count);
        }
        add(&self.0.count, count);
        add(&self.0.sum_us, us.saturating_mul(count));
        if us > self.0.max_us.load(Relaxed) {
            self.0.max_us.store(us, Relaxed);
        }
    }
}

impl Buckets {
    /// The present values. Those that are just being written may be in one figure and not yet in another.
    pub fn read(&self) -> Latency {
        let buckets = self.0.buckets.each_ref().map(|cell| cell.load(Relaxed));
        let above = self.0.count.load(Relaxed).max(buckets.iter().sum());
        Latency::from_buckets(buckets, above, self.0.sum_us.load(Relaxed), self.0.max_us.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_same_buckets_as_recorded_ones() {
        let (mut writer, buckets) = buckets();
        let values = [0, 50, 51, 999, 1_000, 60_000_000, 60_000_001];
        for us in values {
            writer.record(us);
        }
        writer.record_many(700, 3);
        let read = buckets.read();
        let mut all = [values.to_vec(), vec![700; 3]].concat();
        all.sort_unstable();
        let expected = Latency::from_recorded(all.into_iter().map(|us| (us, 1)));
        assert_eq!(
            (read.buckets, read.count, read.sum_us, read.max_us),
            (expected.buckets, expected.count, expected.sum_us, expected.max_us)
        );
        assert_eq!((read.p50_us, read.p99_us), (1_000, 60_000_001), "upper bounds of their buckets");
    }
}
