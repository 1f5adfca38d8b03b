//! A latency sketch: counts in buckets that grow by half an octave, so any percentile is known to within a fifth, and
//! sketches of minutes, workers or shards add up to the sketch of all of them.
//!
//! Bucket 0 holds everything under 32 µs, the last one everything from 67 s. In the ledger a sketch is a blob of pairs,
//! bucket (one byte) and count (LEB128), empty buckets left out: the sketch of one worker's minute takes some ten bytes.

/// Buckets of a sketch.
pub const BUCKETS_COUNT: usize = 44;
/// Values under `2^OCTAVE_MIN` µs share the first bucket.
const OCTAVE_MIN: u32 = 5;

/// Counts of latencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sketch {
    buckets: [u32; BUCKETS_COUNT],
}

impl Default for Sketch {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Sketch {
    /// Nothing counted.
    pub const EMPTY: Self = Self { buckets: [0; BUCKETS_COUNT] };

    /// Counts one latency.
    #[inline]
    pub fn record(&mut self, latency_us: u32) {
        let bucket = &mut self.buckets[bucket_of(latency_us)];
        *bucket = bucket.saturating_add(1);
    }

    /// Adds the counts of another sketch.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// How many latencies were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|&count| u64::from(count)).sum()
    }

    /// The latency that a share of `quantile` (0 to 1) stays under, in µs: the upper end of its bucket. `None` when empty.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((quantile.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        self.buckets.iter().enumerate().find_map(|(bucket, &n)| {
            seen += u64::from(n);
            (n > 0 && seen >= rank).then(|| upper_us(bucket))
        })
    }

    /// Appends the blob of this sketch.
    pub fn encode(&self, out: &mut Vec<u8>) {
        for (bucket, &count) in self.buckets.iter().enumerate().filter(|&(_, &count)| count > 0) {
            out.push(bucket as u8);
            let mut rest = count;
            while rest >= 0x80 {
                out.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            out.push(rest as u8);
        }
    }

    /// Reads a blob; `None` if it is none of ours.
    pub fn decode(blob: &[u8]) -> Option<Self> {
        let mut sketch = Self::EMPTY;
        let mut bytes = blob.iter().copied();
        while let Some(bucket) = bytes.next() {
            let mut count = 0_u64;
            for shift in (0..).step_by(7).take(5) {
                let byte = bytes.next()?;
                count |= u64::from(byte & 0x7F) << shift;
                if byte < 0x80 {
                    break;
                }
            }
            *sketch.buckets.get_mut(usize::from(bucket))? = u32::try_from(count).ok()?;
        }
        Some(sketch)
    }
}

/// Two buckets per octave.
#[inline]
fn bucket_of(latency_us: u32) -> usize {
    if latency_us < 1 << OCTAVE_MIN {
        return 0;
    }
    let octave = latency_us.ilog2();
    let half = (latency_us >> (octave - 1)) & 1;
    (1 + (octave - OCTAVE_MIN) * 2 + half).min(BUCKETS_COUNT as u32 - 1) as usize
}

/// The value that all of a bucket's stay under; the last bucket has none, its lower end stands for it.
fn upper_us(bucket: usize) -> u64 {
    let edge = |n: usize| (2 + n as u64 % 2) << (n / 2) << (OCTAVE_MIN - 1);
    edge(bucket.min(BUCKETS_COUNT - 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_latency_lies_in_the_bucket_whose_ends_enclose_it() {
        for latency in (0..1 << 20).chain((20..32).flat_map(|n| [(1_u32 << n) - 1, 1 << n, 3 << (n - 1)])) {
            let bucket = bucket_of(latency);
            if bucket < BUCKETS_COUNT - 1 {
                assert!(u64::from(latency) < upper_us(bucket), "{latency}");
            }
            if bucket > 0 {
                assert!(u64::from(latency) >= upper_us(bucket - 1), "{latency}");
            }
        }
        assert_eq!((bucket_of(31), bucket_of(32), bucket_of(48)), (0, 1, 2));
        assert_eq!((bucket_of(67_108_863), bucket_of(67_108_864)), (42, 43));
        assert_eq!(bucket_of(u32::MAX), 43);
    }

    #[test]
    fn quantiles_are_upper_ends_of_buckets() {
        let mut sketch = Sketch::EMPTY;
        assert_eq!(sketch.quantile_us(0.5), None);
        (0..99).for_each(|_| sketch.record(1_000));
        sketch.record(1_000_000);
        assert_eq!(sketch.quantile_us(0.5), Some(1_024));
        assert_eq!(sketch.quantile_us(0.99), Some(1_024));
        assert_eq!(sketch.quantile_us(1.0), Some(1_048_576));
        assert_eq!(sketch.quantile_us(0.0), Some(1_024));
    }

    #[test]
    fn a_blob_gives_back_its_sketch_and_stays_small() {
        let mut sketch = Sketch::EMPTY;
        let mut blob = Vec::new();
        sketch.encode(&mut blob);
        assert!(blob.is_empty());
        for n in 0..20 {
            sketch.record(40_000 + n * 3_000);
        }
        sketch.buckets[3] = u32::MAX;
        sketch.encode(&mut blob);
        assert_eq!(blob.len(), 6 + 3 * 2);
        assert_eq!(Sketch::decode(&blob), Some(sketch));
        assert_eq!(Sketch::decode(&[BUCKETS_COUNT as u8, 1]), None, "no such bucket");
        assert_eq!(Sketch::decode(&[3]), None, "cut off");
        assert_eq!(Sketch::decode(&[3, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]), None, "too large");
    }

    #[test]
    fn merged_sketches_count_both() {
        let (mut one, mut other) = (Sketch::EMPTY, Sketch::EMPTY);
        one.record(100);
        other.record(100);
        other.record(5_000_000);
        one.merge(&other);
        assert_eq!(one.count(), 3);
        assert_eq!(one.buckets[bucket_of(100)], 2);
    }
}
