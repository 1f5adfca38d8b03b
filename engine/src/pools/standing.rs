//! How pools stand, as the control publishes it and every shard reads it: one atomic byte per pool, and a number that
//! changes with any of them.
//!
//! Shards decide for their own sessions from these bytes; nobody asks anybody. A byte says what a shard may do, not why:
//! reasons, times and history stay with the breakers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use adit_protocol::limits::POOLS_COUNT_MAX;
use adit_protocol::pool::PoolId;

/// What shards may do with a pool. Ordered from worst to best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Standing {
    /// Down, disabled, or unknown: no miner may stay.
    #[default]
    Away = 0,
    /// Miners there stay until they leave; nobody is sent there.
    Draining = 1,
    /// It works, but not for long enough to leave another pool for it.
    Fresh = 2,
    /// It works, and has for long enough that miners go back to it.
    Settled = 3,
}

impl Standing {
    /// Whether miners that are there may stay.
    pub fn keeps(self) -> bool {
        self != Self::Away
    }

    /// Whether miners that need a pool may be sent there.
    pub fn takes(self) -> bool {
        self >= Self::Fresh
    }

    fn of(byte: u8) -> Self {
        match byte {
            1 => Self::Draining,
            2 => Self::Fresh,
            3 => Self::Settled,
            _ => Self::Away,
        }
    }
}

/// The standings of all pools, by their number. Copies are one.
#[derive(Clone, Debug)]
pub struct Standings(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    by_pool: Box<[AtomicU8]>,
    generation: AtomicU64,
}

impl Default for Standings {
    fn default() -> Self {
        let by_pool = (0..POOLS_COUNT_MAX).map(|_| AtomicU8::new(Standing::Away as u8)).collect();
        Self(Arc::new(Cells { by_pool, generation: AtomicU64::new(0) }))
    }
}

impl Standings {
    /// How a pool stands. One that was never set is away.
    #[inline]
    pub fn of(&self, pool: PoolId) -> Standing {
        let byte = self.0.by_pool.get(usize::from(pool.0));
        Standing::of(byte.map_or(0, |byte| byte.load(Ordering::Relaxed)))
    }

    /// Sets how a pool stands. Whether that is news. Only the control does this.
    pub fn set(&self, pool: PoolId, standing: Standing) -> bool {
        let Some(byte) = self.0.by_pool.get(usize::from(pool.0)) else { return false };
        let is_news = byte.swap(standing as u8, Ordering::Relaxed) != standing as u8;
        if is_news {
            self.0.generation.fetch_add(1, Ordering::Release);
        }
        is_news
    }

    /// Changes with every change of a standing.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_copy_sees_what_was_set_and_the_generation_tells_news_only() {
        let standings = Standings::default();
        let copy = standings.clone();
        let pool = PoolId(7);
        assert_eq!(copy.of(pool), Standing::Away);
        assert!(standings.set(pool, Standing::Settled));
        assert!(!standings.set(pool, Standing::Settled));
        assert_eq!((copy.of(pool), copy.generation()), (Standing::Settled, 1));
        assert!(!standings.set(PoolId(u16::MAX), Standing::Settled));
        assert_eq!(copy.of(PoolId(u16::MAX)), Standing::Away);
    }

    #[test]
    fn a_byte_says_the_same_on_both_sides() {
        for standing in [Standing::Away, Standing::Draining, Standing::Fresh, Standing::Settled] {
            assert_eq!(Standing::of(standing as u8), standing);
        }
        assert_eq!(Standing::of(99), Standing::Away);
        assert!(Standing::Draining.keeps() && !Standing::Draining.takes());
    }
}
