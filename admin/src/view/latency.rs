//! A latency distribution with fixed bounds, small enough to copy for each scrape.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Upper bounds of the buckets, microseconds; what is above the last one is only in [`Latency::count`].
///
/// Fixed for good: a Prometheus histogram whose bounds change cannot be added up over time.
pub const BOUNDS_US: [u64; 20] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 15_000_000, 30_000_000, 60_000_000,
];

/// Counts per bucket since the start, and the quantiles of the finer histogram they were made from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// Values at or below each of [`BOUNDS_US`] and above the one before it; not cumulative.
    pub buckets: [u64; BOUNDS_US.len()],
    /// All values.
    pub count: u64,
    /// Their sum, microseconds.
    pub sum_us: u64,
    /// Median, microseconds.
    pub p50_us: u64,
    /// 90th percentile, microseconds.
    pub p90_us: u64,
    /// 99th percentile, microseconds.
    pub p99_us: u64,
    /// 99.9th percentile, microseconds.
    pub p999_us: u64,
    /// Largest value, microseconds.
    pub max_us: u64,
}

impl Latency {
    /// Makes it from the recorded values of a finer histogram, in ascending order, each with its count.
    pub fn from_recorded(values: impl IntoIterator<Item = (u64, u64)> + Clone) -> Self {
        let mut latency = Self::default();
        for (value_us, count) in values.clone() {
            latency.count = latency.count.saturating_add(count);
            latency.sum_us = latency.sum_us.saturating_add(value_us.saturating_mul(count));
            latency.max_us = latency.max_us.max(value_us);
            let bucket = BOUNDS_US.partition_point(|&bound| bound < value_us);
            if let Some(bucket) = latency.buckets.get_mut(bucket) {
                *bucket = bucket.saturating_add(count);
            }
        }
        let ranks = [50.0, 90.0, 99.0, 99.9].map(|p| (latency.count as f64 * p / 100.0).ceil() as u64);
        let mut quantiles = [None; 4];
        let mut seen = 0_u64;
        for (value_us, count) in values {
            seen = seen.saturating_add(count);
            for (quantile, &rank) in quantiles.iter_mut().zip(&ranks) {
                if quantile.is_none() && seen >= rank {
                    *quantile = Some(value_us);
                }
            }
        }
        [latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us] =
            quantiles.map(Option::unwrap_or_default);
        latency
    }

    /// Makes it from counts per bucket, all values, their sum and the largest; the quantiles are upper bounds.
    pub fn from_buckets(buckets: [u64; BOUNDS_US.len()], count: u64, sum_us: u64, max_us: u64) -> Self {
        Self { buckets, count, sum_us, max_us, ..Self::default() }.with_quantiles_of_buckets()
    }

    /// Adds the buckets of `other`; the quantiles become those of the buckets, upper bounds of the true ones.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, &count) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket = bucket.saturating_add(count);
        }
        self.count = self.count.saturating_add(other.count);
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.max_us = self.max_us.max(other.max_us);
        *self = std::mem::take(self).with_quantiles_of_buckets();
    }

    fn with_quantiles_of_buckets(mut self) -> Self {
        [self.p50_us, self.p90_us, self.p99_us, self.p999_us] =
            [50.0, 90.0, 99.0, 99.9].map(|percentile| self.quantile_of_buckets(percentile));
        self
    }

    /// Each bound with the count of values at or below it.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        BOUNDS_US.iter().zip(&self.buckets).scan(0_u64, |sum, (&bound, &count)| {
            *sum = sum.saturating_add(count);
            Some((bound, *sum))
        })
    }

    fn quantile_of_buckets(&self, percentile: f64) -> u64 {
        let rank = (self.count as f64 * percentile / 100.0).ceil() as u64;
        if rank == 0 {
            return 0;
        }
        let bound = self.cumulative().find(|&(_, seen)| seen >= rank).map(|(bound, _)| bound);
        bound.unwrap_or(self.max_us).min(self.max_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_the_bucket_whose_bound_they_do_not_exceed() {
        let latency = Latency::from_recorded([(50, 1), (51, 2), (60_000_000, 3), (60_000_001, 4)]);
        assert_eq!(latency.buckets[0], 1);
        assert_eq!(latency.buckets[1], 2);
        assert_eq!(latency.buckets[BOUNDS_US.len() - 1], 3);
        assert_eq!(latency.count, 10);
        assert_eq!(latency.cumulative().last(), Some((60_000_000, 6)));
    }

    #[test]
    fn quantiles_are_those_of_the_recorded_values() {
        let latency = Latency::from_recorded((1..=1_000).map(|value| (value, 1)));
        assert_eq!([latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us], [500, 900, 990, 999]);
        assert_eq!((latency.max_us, latency.sum_us), (1_000, 500_500));
    }

    #[test]
    fn nothing_recorded_is_all_zero() {
        assert_eq!(Latency::from_recorded([]), Latency::default());
        let mut empty = Latency::default();
        empty.merge(&Latency::default());
        assert_eq!(empty, Latency::default());
    }

    #[test]
    fn merged_quantiles_bound_the_true_ones_from_above() {
        let mut low = Latency::from_recorded([(40, 99)]);
        low.merge(&Latency::from_recorded([(700, 1)]));
        assert_eq!((low.p50_us, low.p99_us, low.p999_us), (50, 50, 700));
    }
}
