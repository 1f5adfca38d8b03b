//! How busy threads are: the part of the time, over the last seconds, that the kernel had them on a core.

use std::fs;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The least span that a share is taken over.
const SPAN_MIN: Duration = Duration::from_secs(5);

/// A meter for some threads, read whenever somebody asks.
#[derive(Debug, Default)]
pub(super) struct BusyMeter(Mutex<Vec<Gauge>>);

/// Two readings of one thread's time: the newer one takes the older one's place once it is old enough itself.
#[derive(Clone, Copy, Debug)]
struct Gauge {
    older: (Instant, Duration),
    newer: (Instant, Duration),
}

impl BusyMeter {
    /// The share of each thread, 0 to 1, by the kernel's numbers. 0 at the first look, and where the kernel does not tell.
    pub(super) fn shares(&self, threads: &[u64]) -> Vec<f64> {
        let now = Instant::now();
        let mut gauges = self.0.lock();
        let mut shares = Vec::with_capacity(threads.len());
        for (index, &thread) in threads.iter().enumerate() {
            let reading = (now, cpu_time(thread).unwrap_or_default());
            if index == gauges.len() {
                gauges.push(Gauge { older: reading, newer: reading });
            }
            shares.push(gauges.get_mut(index).map_or(0.0, |gauge| gauge.take(reading)));
        }
        shares
    }
}

impl Gauge {
    fn take(&mut self, reading: (Instant, Duration)) -> f64 {
        if reading.0.duration_since(self.newer.0) >= SPAN_MIN {
            (self.older, self.newer) = (self.newer, reading);
        }
        let span = reading.0.duration_since(self.older.0);
        let busy = reading.1.saturating_sub(self.older.1);
        if span.is_zero() { 0.0 } else { (busy.as_secs_f64() / span.as_secs_f64()).clamp(0.0, 1.0) }
    }
}

/// The time that a thread of this process had a core.
fn cpu_time(thread: u64) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken_over_the_last_seconds() {
        let at = |seconds: u64, busy_ms: u64| {
            (Instant::now() + Duration::from_secs(seconds), Duration::from_millis(busy_ms))
        };
        let mut gauge = Gauge { older: at(0, 0), newer: at(0, 0) };
        let close = |share: f64, expected: f64| (share - expected).abs() < 0.02;
        assert!(close(gauge.take(at(2, 1_000)), 0.5));
        assert!(close(gauge.take(at(10, 1_000)), 0.1));
        assert!(close(gauge.take(at(20, 11_000)), 1.0), "what was before is forgotten");
        assert!(close(gauge.take(at(21, 11_000)), 10.0 / 11.0));
    }

    #[test]
    fn the_kernel_tells_of_this_thread() {
        let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        assert!(cpu_time(thread.into()).is_some());
        assert_eq!(BusyMeter::default().shares(&[u64::MAX]), [0.0]);
    }
}
