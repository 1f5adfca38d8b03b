//! How long a pool's verdict takes: a histogram that the shard owns, and a published copy that anyone may read.
//!
//! Recording touches no lock and allocates nothing. The copy is brought up to date a few times a second; when a reader
//! holds its lock at that moment, the shard keeps its values and tries again.

use std::sync::Arc;

use adit_protocol::moment::Moment;
use hdrhistogram::Histogram;
use parking_lot::Mutex;

/// Bounds of what is told apart: 1 µs to 60 s. What is beyond counts as the bound.
const LOWEST_US: u64 = 1;
const HIGHEST_US: u64 = 60_000_000;
const DIGITS: u8 = 3;
/// How old the published copy may get while values come in.
const PUBLISH_MS: u64 = 250;

/// An empty histogram of the kind used everywhere here.
pub fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(LOWEST_US, HIGHEST_US, DIGITS) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("constant bounds: {error}"),
    }
}

/// The published copy, for readers.
#[derive(Clone, Debug)]
pub struct Latency(Arc<Mutex<Histogram<u64>>>);

impl Latency {
    /// Adds the published values to `sum`, which was made by [`histogram`].
    pub fn add_to(&self, sum: &mut Histogram<u64>) {
        // Copied under the lock, added outside: the shard never waits, but it should not miss often either.
        let copy = self.0.lock().clone();
        if let Err(error) = sum.add(copy) {
            log::error!("adding latencies: {error}");
        }
    }
}

/// The shard's own histogram.
#[derive(Debug)]
pub struct Recorder {
    own: Histogram<u64>,
    published: Arc<Mutex<Histogram<u64>>>,
    /// When `own` wants to be published; never while it is empty.
    due: Moment,
}

impl Recorder {
    /// An empty histogram and its published copy.
    pub fn new() -> (Self, Latency) {
        let published = Arc::new(Mutex::new(histogram()));
        (Self { own: histogram(), published: published.clone(), due: Moment::NEVER }, Latency(published))
    }

    /// Takes in one value.
    #[inline]
    pub fn record(&mut self, us: u64, now: Moment) {
        self.own.saturating_record(us.max(LOWEST_US));
        if self.due == Moment::NEVER {
            self.due = now.plus_ms(PUBLISH_MS);
        }
    }

    /// When [`Recorder::publish`] has something to do.
    pub fn due(&self) -> Moment {
        self.due
    }

    /// Publishes what is left, waiting for a reader if need be: the shard ends.
    pub fn finish(&mut self) {
        self.add_to(&mut self.published.clone().lock());
    }

    /// Adds the values so far to the published copy, unless it is being read just now.
    pub fn publish(&mut self, now: Moment) {
        match self.published.clone().try_lock() {
            Some(mut published) => self.add_to(&mut published),
            None => self.due = now.plus_ms(PUBLISH_MS),
        }
    }

    fn add_to(&mut self, published: &mut Histogram<u64>) {
        if let Err(error) = published.add(&self.own) {
            log::error!("publishing latencies: {error}");
        }
        self.own.reset();
        self.due = Moment::NEVER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_published_once_and_survive_a_held_lock() {
        let (mut recorder, latency) = Recorder::new();
        recorder.record(500, Moment(1_000));
        recorder.record(HIGHEST_US * 2, Moment(1_500));
        assert_eq!(recorder.due(), Moment(1_000).plus_ms(PUBLISH_MS));

        let held = latency.0.lock();
        recorder.publish(Moment(300_000));
        assert_eq!(recorder.due(), Moment(300_000).plus_ms(PUBLISH_MS));
        assert_eq!(held.len(), 0);
        drop(held);

        recorder.publish(Moment(600_000));
        recorder.publish(Moment(700_000));
        assert_eq!(recorder.due(), Moment::NEVER);
        let mut sum = histogram();
        latency.add_to(&mut sum);
        assert_eq!(sum.len(), 2);
        assert!(sum.min() >= 499 && sum.min() <= 501);
        assert!(sum.max() >= HIGHEST_US && sum.max() < HIGHEST_US + HIGHEST_US / 500, "{}", sum.max());
    }
}
