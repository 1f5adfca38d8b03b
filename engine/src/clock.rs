//! The engine's clock: monotonic microseconds since the process's start, as [`Moment`]s.

use std::time::{Duration, Instant};

use adit_protocol::moment::Moment;

/// Turns the monotonic clock into [`Moment`]s. Copies share their origin.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The present.
    #[inline]
    pub fn now(&self) -> Moment {
        Moment(self.origin.elapsed().as_micros() as u64)
    }
}

/// How long from `now` to `then`; zero if it has come, `None` if it never comes.
pub fn until(now: Moment, then: Moment) -> Option<Duration> {
    (then != Moment::NEVER).then(|| Duration::from_micros(then.since_us(now)))
}
