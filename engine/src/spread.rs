//! A distribution that one thread writes and any may read, without a lock, fine enough for quantiles: sixteen steps per
//! octave as relaxed atomics.
//!
//! For what is wanted per pool and shard: it takes 3 KiB, where [`crate::latency`] takes a hundred times that, and finds a
//! value's place by its leading zeros, where [`crate::buckets`] searches. In return a quantile is up to a sixteenth above
//! the true one; count, sum and largest value are exact.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use adit_admin::view::Latency;

/// Steps of an octave, as a power of two.
const STEP_BITS: u32 = 4;
const STEPS: usize = 1 << STEP_BITS;
/// Values from 2²⁶ µs on, 67 s, share the last step.
const OCTAVE_END: u32 = 26;
/// Those below 16 µs have a step each.
const CELLS_COUNT: usize = STEPS * (OCTAVE_END - STEP_BITS + 1) as usize;

/// The distribution. Only one thread may record.
#[derive(Debug)]
pub(crate) struct Spread {
    cells: [AtomicU64; CELLS_COUNT],
    sum_us: AtomicU64,
    max_us: AtomicU64,
}

impl Default for Spread {
    fn default() -> Self {
        let cells = std::array::from_fn(|_| AtomicU64::new(0));
        Self { cells, sum_us: AtomicU64::new(0), max_us: AtomicU64::new(0) }
    }
}

impl Spread {
    /// Takes in one value.
    #[inline]
    pub(crate) fn record(&self, us: u64) {
        // The only writer, so load and store need not be one instruction.
        let add = |cell: &AtomicU64, n: u64| cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        if let Some(cell) = self.cells.get(cell_of(us)) {
            add(cell, 1);
        }
        add(&self.sum_us, us);
        if us > self.max_us.load(Relaxed) {
            self.max_us.store(us, Relaxed);
        }
    }
}

/// Distributions of several shards, added up.
#[derive(Debug)]
pub(crate) struct SpreadSum {
    cells: Box<[u64; CELLS_COUNT]>,
    sum_us: u64,
    max_us: u64,
}

impl Default for SpreadSum {
    fn default() -> Self {
        Self { cells: Box::new([0; CELLS_COUNT]), sum_us: 0, max_us: 0 }
    }
}

impl SpreadSum {
    /// Adds the present values. Those that are just being written may be in one figure and not yet in another.
    pub(crate) fn add(&mut self, spread: &Spread) {
        for (mine, theirs) in self.cells.iter_mut().zip(&spread.cells) {
            *mine = mine.saturating_add(theirs.load(Relaxed));
        }
        self.sum_us = self.sum_us.saturating_add(spread.sum_us.load(Relaxed));
        self.max_us = self.max_us.max(spread.max_us.load(Relaxed));
    }

    /// As operators see it: each value counts as the largest of its step, and none as larger than the largest.
    pub(crate) fn latency(&self) -> Latency {
        let filled = self.cells.iter().enumerate().filter(|&(_, &count)| count > 0);
        let values = filled.map(|(cell, &count)| (largest_of(cell).min(self.max_us), count));
        Latency { sum_us: self.sum_us, max_us: self.max_us, ..Latency::from_recorded(values) }
    }
}

#[inline]
fn cell_of(us: u64) -> usize {
    if us < STEPS as u64 {
        return us as usize;
    }
    let octave = us.ilog2();
    let step = (us >> (octave - STEP_BITS)) as usize & (STEPS - 1);
    (STEPS * (octave - STEP_BITS + 1) as usize + step).min(CELLS_COUNT - 1)
}

/// The largest value of a cell; the last one has none.
fn largest_of(cell: usize) -> u64 {
    match (cell / STEPS, (cell % STEPS) as u64) {
        _ if cell == CELLS_COUNT - 1 => u64::MAX,
        (0, value) => value,
        (octave, step) => ((STEPS as u64 + step + 1) << (octave - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_step_that_ends_a_sixteenth_above_it_at_most() {
        let mut last = 0;
        for us in (0..100_000).chain((17..26).flat_map(|octave| [(1 << octave) - 1, 1 << octave])) {
            let cell = cell_of(us);
            let largest = largest_of(cell);
            assert!(largest >= us && largest - us <= us / STEPS as u64, "{us}: {largest}");
            assert!(cell >= last, "{us}: {cell} after {last}");
            last = cell;
        }
        assert_eq!([cell_of(1 << 26), cell_of(u64::MAX)], [CELLS_COUNT - 1; 2]);
    }

    #[test]
    fn distributions_of_shards_are_added_up() {
        let shards = [Spread::default(), Spread::default()];
        (1..=1_000).for_each(|us| shards[us as usize % 2].record(us * 100));
        let mut sum = SpreadSum::default();
        for shard in &shards {
            sum.add(shard);
        }
        let latency = sum.latency();
        assert_eq!((latency.count, latency.sum_us, latency.max_us), (1_000, 50_050_000, 100_000));
        let is_near = |told: u64, exact: u64| told >= exact && told <= exact + exact / 16;
        assert!(is_near(latency.p50_us, 50_000) && is_near(latency.p99_us, 99_000), "{latency:?}");
        assert_eq!(latency.buckets.iter().sum::<u64>(), 1_000);
        assert_eq!(SpreadSum::default().latency(), Latency::default());
    }

    #[test]
    fn recording_allocates_nothing() {
        let spread = Spread::default();
        let allocations = allocation_counter::measure(|| spread.record(70_000_000));
        assert_eq!(allocations.count_total, 0);
    }
}
