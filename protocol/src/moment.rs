//! Time as an argument: this crate never looks at a clock.

use std::ops::Add;

/// A point in time in microseconds since an origin that the caller chose (the process's start in the engine,
/// zero in a simulation). Monotonic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment that never comes: a deadline that is switched off.
    pub const NEVER: Self = Self(u64::MAX);

    /// Microseconds since `earlier`, zero if `earlier` is later.
    #[inline]
    pub fn since_us(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This moment and `ms` milliseconds more. [`Moment::NEVER`] stays never.
    #[inline]
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000)))
    }
}

impl Add<u64> for Moment {
    type Output = Self;
    /// Adds microseconds.
    #[inline]
    fn add(self, us: u64) -> Self {
        Self(self.0.saturating_add(us))
    }
}
