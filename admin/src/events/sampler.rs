//! Which shares are told about when there are many.

/// Shares told about per second and sampler.
pub const SHARES_PER_SECOND_MAX: u32 = 20;

/// Lets through so many shares per second and counts the others. Each shard has its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShareSampler {
    second: u64,
    passed: u32,
    skipped: u64,
}

impl ShareSampler {
    /// Whether this share is told about: the number left out since the last one that was.
    pub fn admit(&mut self, now_ms: u64) -> Option<u64> {
        let second = now_ms / 1_000;
        if second != self.second {
            (self.second, self.passed) = (second, 0);
        }
        if self.passed >= SHARES_PER_SECOND_MAX {
            self.skipped = self.skipped.saturating_add(1);
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.skipped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_rate_shares_are_counted_instead() {
        let mut sampler = ShareSampler::default();
        let told = (0..1_000).filter(|n| sampler.admit(5_000 + n / 2).is_some()).count();
        assert_eq!(told, SHARES_PER_SECOND_MAX as usize);
        assert_eq!(sampler.admit(6_000), Some(1_000 - u64::from(SHARES_PER_SECOND_MAX)));
        assert_eq!(sampler.admit(6_001), Some(0));
    }
}
