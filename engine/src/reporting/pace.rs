//! How many reports are told: a few at once, then one now and then, and the same one once in a while.

use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

/// Reports that may be told at once after a quiet time.
const BURST_COUNT: u32 = 10;
/// From one report to the next after that.
const REFILL: Duration = Duration::from_secs(30);
/// From one report to the next of the same kind.
const SAME: Duration = Duration::from_secs(300);
/// Kinds that are remembered; at the bound all are forgotten.
const KINDS_COUNT_MAX: usize = 256;

/// Says which reports are told.
#[derive(Debug, Default)]
pub(super) struct Pace {
    spent: u32,
    refilled: Option<Instant>,
    paused_until: Option<Instant>,
    kinds: HashMap<u64, Instant>,
}

impl Pace {
    /// Whether a report with this text may be told now; then it counts.
    pub(super) fn allows(&mut self, text: &str, now: Instant) -> bool {
        if self.paused_until.is_some_and(|until| now < until) {
            return false;
        }
        let since = now.saturating_duration_since(*self.refilled.get_or_insert(now));
        let refills = u32::try_from(since.as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        if refills > 0 {
            self.spent = self.spent.saturating_sub(refills);
            self.refilled = Some(now);
        }
        let kind = kind_of(text);
        let is_known = self.kinds.get(&kind).is_some_and(|&told| now.saturating_duration_since(told) < SAME);
        if is_known || self.spent >= BURST_COUNT {
            return false;
        }
        if self.kinds.len() >= KINDS_COUNT_MAX {
            self.kinds.clear();
        }
        self.kinds.insert(kind, now);
        self.spent += 1;
        true
    }

    /// Nothing is told for so long.
    pub(super) fn pause(&mut self, now: Instant, pause: Duration) {
        self.paused_until = now.checked_add(pause);
    }
}

/// Texts that differ in their numbers only are of one kind.
fn kind_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.chars().filter(|c| !c.is_ascii_digit()).for_each(|c| c.hash(&mut hasher));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_told_and_then_one_now_and_then() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let text = |n: usize| format!("error {}", "x".repeat(n));
        let told = (0..100).filter(|&n| pace.allows(&text(n), start)).count();
        assert_eq!(told, BURST_COUNT as usize);
        let later = start + 2 * REFILL;
        assert_eq!((100..200).filter(|&n| pace.allows(&text(n), later)).count(), 2);
    }

    #[test]
    fn the_same_is_told_once_in_a_while_whatever_its_numbers_are() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert!(pace.allows("shard 1 is late by 40 ms", start));
        assert!(!pace.allows("shard 2 is late by 50 ms", start + SAME / 2));
        assert!(pace.allows("shard 2 is late by 50 ms", start + SAME));
    }

    #[test]
    fn a_server_that_wants_none_gets_none() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.pause(start, REFILL);
        assert!(!pace.allows("a", start + REFILL / 2));
        assert!(pace.allows("a", start + REFILL));
    }
}
