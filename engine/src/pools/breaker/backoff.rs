//! How long a pool is left alone: twice as long each time, within bounds, and not in step with other proxies.

/// Bounds of the time between two attempts. `min_ms` is at most `max_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first time.
    pub min_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

impl Backoff {
    /// The time after `attempts_count` attempts in vain. `random` is any number; it chooses within the upper fifth, so that
    /// the next time is never shorter until the bound is reached.
    pub fn delay_ms(self, attempts_count: u32, random: u64) -> u64 {
        let doubled = 1_u64.checked_shl(attempts_count).unwrap_or(u64::MAX).saturating_mul(self.min_ms);
        let longest = doubled.saturating_add(doubled / 4).min(self.max_ms);
        let shortest = (longest - longest / 5).max(self.min_ms);
        shortest + random % (longest.saturating_sub(shortest) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_longer_until_the_bound_and_none_leaves_the_bounds() {
        for (min_ms, max_ms) in [(1, 1), (1, 2), (1_000, 60_000), (60_000, 60_000), (7, u64::MAX)] {
            let backoff = Backoff { min_ms, max_ms };
            for attempts in (0..70).chain([u32::MAX]) {
                let (shortest, longest) = range(backoff, attempts);
                assert!((min_ms..=max_ms).contains(&shortest) && (min_ms..=max_ms).contains(&longest));
                let (next, _) = range(backoff, attempts.saturating_add(1));
                assert!(
                    next >= longest || longest > max_ms / 2,
                    "{backoff:?} {attempts}: {longest}, then {next}"
                );
            }
            assert!(range(backoff, 64).0 >= max_ms - max_ms / 5);
        }
    }

    /// The shortest and the longest time that any random number leads to.
    fn range(backoff: Backoff, attempts: u32) -> (u64, u64) {
        let shortest = backoff.delay_ms(attempts, 0);
        let mut longest = shortest;
        // The width is not known from outside: the longest is found where one more starts over.
        for bit in (0..64).rev() {
            let wider = longest.saturating_add(1 << bit);
            if backoff.delay_ms(attempts, wider - shortest) == wider {
                longest = wider;
            }
        }
        (shortest, longest)
    }

    #[test]
    fn two_proxies_do_not_come_back_together() {
        let backoff = Backoff { min_ms: 1_000, max_ms: 60_000 };
        assert_eq!(range(backoff, 0), (1_000, 1_250));
        assert_eq!(range(backoff, 1), (2_000, 2_500));
        assert_eq!(range(backoff, 9), (48_000, 60_000));
    }
}
