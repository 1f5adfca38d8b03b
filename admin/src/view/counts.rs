//! Counters that appear in more than one view.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Counters by label, such as connections closed by reason. Labels are `snake_case` from a closed set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Counts(pub BTreeMap<Cow<'static, str>, u64>);

impl Counts {
    /// Adds `count` under `label`.
    pub fn add(&mut self, label: impl Into<Cow<'static, str>>, count: u64) {
        let entry = self.0.entry(label.into()).or_default();
        *entry = entry.saturating_add(count);
    }

    /// Adds every counter of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (label, &count) in &other.0 {
            self.add(label.clone(), count);
        }
    }

    /// The counter under `label`, 0 if there is none.
    pub fn of(&self, label: &str) -> u64 {
        self.0.get(label).copied().unwrap_or_default()
    }

    /// The sum of all counters.
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// All counters by label, in the labels' order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(label, &count)| (label.as_ref(), count))
    }
}

impl<L: Into<Cow<'static, str>>> FromIterator<(L, u64)> for Counts {
    fn from_iter<I: IntoIterator<Item = (L, u64)>>(pairs: I) -> Self {
        let mut counts = Self::default();
        for (label, count) in pairs {
            counts.add(label, count);
        }
        counts
    }
}

/// How shares ended. Every closed ticket is in exactly one of the four.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShareCounts {
    /// The pool accepted them.
    pub accepted: u64,
    /// The pool rejected them, by class (`stale`, `duplicate`, `low_difficulty`, `unauthorized`, `not_subscribed`, `time`,
    /// `version`, `other`).
    pub rejected: Counts,
    /// They were answered here and never went to a pool, by class.
    pub refused_here: Counts,
    /// No verdict came before our deadline or before the connection ended.
    pub unanswered: u64,
    /// Sum of the difficulties of the accepted ones.
    #[serde(serialize_with = "super::finite")]
    pub accepted_difficulty: f64,
    /// Shares that were good enough for a block, as far as they were checked here.
    pub block_candidates: u64,
}

impl ShareCounts {
    /// All shares that ended.
    pub fn total(&self) -> u64 {
        self.accepted
            .saturating_add(self.rejected.total())
            .saturating_add(self.refused_here.total())
            .saturating_add(self.unanswered)
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.rejected.merge(&other.rejected);
        self.refused_here.merge(&other.refused_here);
        self.unanswered = self.unanswered.saturating_add(other.unanswered);
        self.accepted_difficulty += other.accepted_difficulty;
        self.block_candidates = self.block_candidates.saturating_add(other.block_candidates);
    }
}

/// Decaying averages of the hashrate, hashes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rates {
    /// Over one minute.
    #[serde(serialize_with = "super::finite")]
    pub m1: f64,
    /// Over five minutes.
    #[serde(serialize_with = "super::finite")]
    pub m5: f64,
    /// Over fifteen minutes.
    #[serde(serialize_with = "super::finite")]
    pub m15: f64,
    /// Over one hour.
    #[serde(serialize_with = "super::finite")]
    pub h1: f64,
    /// Over six hours.
    #[serde(serialize_with = "super::finite")]
    pub h6: f64,
    /// Over one day.
    #[serde(serialize_with = "super::finite")]
    pub d1: f64,
    /// Over seven days.
    #[serde(serialize_with = "super::finite")]
    pub d7: f64,
}

impl Rates {
    /// Adds the rates of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.m1 += other.m1;
        self.m5 += other.m5;
        self.m15 += other.m15;
        self.h1 += other.h1;
        self.h6 += other.h6;
        self.d1 += other.d1;
        self.d7 += other.d7;
    }

    /// Every average with the name of its span.
    pub fn spans(&self) -> [(&'static str, f64); 7] {
        [
            ("1m", self.m1),
            ("5m", self.m5),
            ("15m", self.m15),
            ("1h", self.h1),
            ("6h", self.h6),
            ("1d", self.d1),
            ("7d", self.d7),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_counted_once_in_the_total() {
        let mut shares = ShareCounts { accepted: 7, unanswered: 1, ..ShareCounts::default() };
        shares.rejected.add("stale", 2);
        shares.refused_here.add("stale", 3);
        assert_eq!(shares.total(), 13);
        let other = shares.clone();
        shares.merge(&other);
        assert_eq!(shares.total(), 26);
        assert_eq!(shares.rejected.of("stale"), 4);
    }

    #[test]
    fn what_json_cannot_hold_is_written_as_zero() {
        let rates = Rates { m1: f64::NAN, m5: f64::INFINITY, m15: 1.5, ..Rates::default() };
        let text = serde_json::to_string(&rates).unwrap_or_default();
        assert!(text.starts_with(r#"{"m1":0.0,"m5":0.0,"m15":1.5,"#), "{text}");
    }
}
