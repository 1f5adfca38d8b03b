//! How long writes took, in a few fixed buckets: small enough to copy with the status.

/// Upper bounds of the buckets, µs; what is above the last one is only in [`Durations::count`].
pub const BOUNDS_US: [u64; 20] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 15_000_000, 30_000_000, 60_000_000,
];

/// Counts per bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Values at or below each of [`BOUNDS_US`] and above the one before it.
    pub buckets: [u64; BOUNDS_US.len()],
    /// All values.
    pub count: u64,
    /// Their sum, µs.
    pub sum_us: u64,
    /// The largest one, µs.
    pub max_us: u64,
}

impl Durations {
    /// Takes in one value.
    pub fn record(&mut self, us: u64) {
        if let Some(bucket) = self.buckets.get_mut(BOUNDS_US.partition_point(|&bound| bound < us)) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.max_us = self.max_us.max(us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_in_the_bucket_whose_bound_it_does_not_exceed() {
        let mut durations = Durations::default();
        for us in [0, 50, 51, 60_000_000, 60_000_001] {
            durations.record(us);
        }
        let full: Vec<_> = durations.buckets.iter().enumerate().filter(|(_, count)| **count > 0).collect();
        assert_eq!(full, [(0, &2), (1, &1), (19, &1)]);
        assert_eq!((durations.count, durations.max_us, durations.sum_us), (5, 60_000_001, 120_000_102));
    }
}
