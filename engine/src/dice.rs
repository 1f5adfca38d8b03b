//! Random numbers where nothing depends on their quality: jitter, so that many do not do the same thing at once.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A source of them, different in each process and place.
#[derive(Debug)]
pub struct Dice(u64);

impl Default for Dice {
    fn default() -> Self {
        Self(RandomState::new().build_hasher().finish())
    }
}

impl Dice {
    /// One that rolls the same for the same seed.
    #[cfg(test)]
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        // Splitmix64: the constants are its author's.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll().checked_rem(bound).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_below_the_bound_and_differ() {
        let mut dice = Dice::default();
        assert_eq!((dice.below(0), dice.below(1)), (0, 0));
        let rolls: Vec<u64> = (0..100).map(|_| dice.below(1_000_000)).collect();
        assert!(rolls.iter().all(|&roll| roll < 1_000_000));
        assert!(rolls.iter().any(|&roll| roll != rolls[0]));
    }
}
