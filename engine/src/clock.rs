//! The engine's clock: monotonic microseconds since the process's start, as [`Moment`]s.

use std::time::{Duration, Instant};

use adit_protocol::moment::Moment;

/// Turns the monotonic clock into [`Moment`]s, and those into wall time. Copies share their origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    /// Wall time at the origin, µs since 1970.
    origin_us: u64,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { origin: Instant::now(), origin_us: adit_store::clock::now_us() }
    }

    /// The present.
    #[inline]
    pub fn now(&self) -> Moment {
        Moment(self.origin.elapsed().as_micros() as u64)
    }

    /// The wall time of a moment, µs since 1970. It never goes back within a run, whatever happens to the system's clock.
    #[inline]
    pub fn wall_us(&self, moment: Moment) -> u64 {
        self.origin_us.saturating_add(moment.0)
    }
}

/// How long from `now` to `then`; zero if it has come, `None` if it never comes.
pub fn until(now: Moment, then: Moment) -> Option<Duration> {
    (then != Moment::NEVER).then(|| Duration::from_micros(then.since_us(now)))
}
