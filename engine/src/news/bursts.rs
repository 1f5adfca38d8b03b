//! When rejects are news: at least so many within a minute, and at least half of all shares.

use adit_protocol::event::Outcome;
use adit_protocol::moment::Moment;
use adit_protocol::verdict::RejectClass;
use adit_store::tally::{CLASSES_COUNT, class_index};

use crate::counters::REJECT_CLASSES;

/// Length of the span that is looked at. The next one begins with the first share after it.
const SPAN_US: u64 = 60_000_000;
/// Rejects below it are no burst.
const REJECTED_COUNT_MIN: u32 = 10;

/// Far more rejects than usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Burst {
    /// The most frequent class.
    pub(crate) class: Option<RejectClass>,
    /// Shares rejected.
    pub(crate) rejected: u32,
    /// Of so many.
    pub(crate) total: u32,
    /// Within this time.
    pub(crate) within_us: u64,
}

/// The present span of one worker or pool.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    since: Moment,
    total: u32,
    rejected: u32,
    is_told: bool,
    by_class: [u32; CLASSES_COUNT],
}

impl Watch {
    /// A share ended. A burst is told once per span.
    #[inline]
    pub(crate) fn share(
        &mut self,
        outcome: Outcome,
        class: Option<RejectClass>,
        now: Moment,
    ) -> Option<Burst> {
        if now.since_us(self.since) >= SPAN_US {
            *self = Self { since: now, ..Self::default() };
        }
        self.total += 1;
        if outcome == Outcome::Rejected { self.reject(class, now) } else { None }
    }

    fn reject(&mut self, class: Option<RejectClass>, now: Moment) -> Option<Burst> {
        self.rejected += 1;
        if let Some(count) = self.by_class.get_mut(class_index(class)) {
            *count += 1;
        }
        if self.is_told || self.rejected < REJECTED_COUNT_MIN || self.rejected < self.total.div_ceil(2) {
            return None;
        }
        self.is_told = true;
        let count = |class: &RejectClass| self.by_class.get(class_index(Some(*class))).copied();
        let class = REJECT_CLASSES.iter().copied().max_by_key(count);
        let within_us = now.since_us(self.since);
        Some(Burst { class, rejected: self.rejected, total: self.total, within_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn share(watch: &mut Watch, second: u64, rejected: bool) -> Option<Burst> {
        let class = rejected.then_some(RejectClass::Stale);
        let outcome = if rejected { Outcome::Rejected } else { Outcome::Accepted };
        watch.share(outcome, class, Moment((100 + second) * SECOND))
    }

    #[test]
    fn a_burst_is_told_once_per_span_with_its_class() {
        let mut watch = Watch::default();
        let bursts: Vec<_> = (0..40).filter_map(|n| share(&mut watch, n, true)).collect();
        let first = Burst {
            class: Some(RejectClass::Stale),
            rejected: REJECTED_COUNT_MIN,
            total: REJECTED_COUNT_MIN,
            within_us: 9 * SECOND,
        };
        assert_eq!(bursts, [first]);
        assert_eq!((60..80).filter_map(|n| share(&mut watch, n, true)).count(), 1, "a new span");
    }

    #[test]
    fn a_few_rejects_and_a_small_part_are_none() {
        let mut watch = Watch::default();
        assert!((1..u64::from(REJECTED_COUNT_MIN)).all(|n| share(&mut watch, n, true).is_none()));
        let mut watch = Watch::default();
        assert!((0..600).all(|n| share(&mut watch, n / 11, n % 3 == 2).is_none()));
    }
}
