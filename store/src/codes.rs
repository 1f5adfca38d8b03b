//! The numbers that the ledger stores for outcomes and classes of rejection. They are part of the released schema.

use adit_protocol::event::Outcome;
use adit_protocol::verdict::RejectClass;

use crate::tally::{CLASS_COLUMNS, class_index};

/// Names of the outcomes, by their numbers.
pub const OUTCOMES: [&str; 4] = ["accepted", "rejected", "refused_here", "unanswered"];

/// The number of an outcome.
#[inline]
pub fn outcome(outcome: Outcome) -> i64 {
    match outcome {
        Outcome::Accepted => 0,
        Outcome::Rejected => 1,
        Outcome::RefusedHere => 2,
        Outcome::Unanswered => 3,
    }
}

/// The name of a stored outcome.
pub fn outcome_name(code: i64) -> &'static str {
    usize::try_from(code).ok().and_then(|code| OUTCOMES.get(code)).unwrap_or(&"?")
}

/// The number of a class: 0 is none, else one more than its place in [`CLASS_COLUMNS`].
#[inline]
pub fn class(class: Option<RejectClass>) -> i64 {
    if class.is_none() { 0 } else { class_index(class) as i64 + 1 }
}

/// The outcome of a number; `None` if it is none of ours.
pub fn outcome_of(code: i64) -> Option<Outcome> {
    [Outcome::Accepted, Outcome::Rejected, Outcome::RefusedHere, Outcome::Unanswered]
        .into_iter()
        .find(|&known| outcome(known) == code)
}

/// The class of a number, if it is one of ours.
pub fn class_of(code: i64) -> Option<Option<RejectClass>> {
    [
        None,
        Some(RejectClass::Stale),
        Some(RejectClass::Duplicate),
        Some(RejectClass::LowDifficulty),
        Some(RejectClass::Unauthorized),
        Some(RejectClass::NotSubscribed),
        Some(RejectClass::Time),
        Some(RejectClass::Version),
        Some(RejectClass::Other),
    ]
    .into_iter()
    .find(|&known| class(known) == code)
}

/// The name of a stored class; empty for none.
pub fn class_name(code: i64) -> &'static str {
    match usize::try_from(code) {
        Ok(0) => "",
        Ok(code) => CLASS_COLUMNS.get(code - 1).unwrap_or(&"?"),
        Err(_) => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_schema() {
        assert_eq!(outcome_name(outcome(Outcome::Accepted)), "accepted");
        assert_eq!(outcome_name(outcome(Outcome::Rejected)), "rejected");
        assert_eq!(outcome_name(outcome(Outcome::RefusedHere)), "refused_here");
        assert_eq!(outcome_name(outcome(Outcome::Unanswered)), "unanswered");
        assert_eq!((class(None), class_name(0)), (0, ""));
        assert_eq!((class(Some(RejectClass::Stale)), class_name(1)), (1, "stale"));
        assert_eq!((class(Some(RejectClass::Other)), class_name(8)), (8, "other"));
        assert!((0..4).all(|code| outcome_of(code).map(outcome) == Some(code)) && outcome_of(4).is_none());
        assert!((0..9).all(|code| class_of(code).map(class) == Some(code)) && class_of(9).is_none());
        assert_eq!((outcome_name(4), class_name(9), class_name(-1)), ("?", "?", "?"));
    }
}
