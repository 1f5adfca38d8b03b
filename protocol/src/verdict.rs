//! A pool's answer → accepted, or rejected and why. Pools say no in seven shapes; this is the one place that reads them,
//! and the one that turns a reason into the wire code a miner is shown.
//!
//! ```text
//! {"id":9,"result":null,"error":[23,"high-hash",null]}                            DATUM, eloipool, btcpool, public-pool
//! {"id":9,"result":null,"error":[21,"job not found"]}                             node-stratum-pool
//! {"id":9,"result":false,"error":{"code":21,"message":"job not found"}}           Miningcore
//! {"reject-reason":"Stale","result":false,"error":null,"id":9}                    ckpool, about a share
//! {"result":false,"error":"Worker mismatch","id":9}                               ckpool, about parameters
//! {"id":9,"result":null,"error":["22","Duplicate share"]}                         Lumerin
//! {"id":9,"result":false,"error":null}                                            anyone
//! ```
//!
//! Which request an answer belongs to is not decided here.

use std::borrow::Cow;

use crate::limits::REASON_BYTES_MAX;
use crate::message::Message;
use crate::value;

/// What a pool said to a submit or an authorize.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Yes.
    Accepted,
    /// Anything but a clear yes.
    Rejected(Reject<'a>),
}

/// A pool's no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject<'a> {
    /// What it comes down to.
    pub class: RejectClass,
    /// The pool's own code, if it sent one.
    pub code: Option<i64>,
    /// The pool's words: no control characters, at most [`REASON_BYTES_MAX`] bytes. `unknown` where it gave none.
    pub reason: Cow<'a, str>,
}

/// Why a share or a name was refused, by the pool or here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectClass {
    /// The job is unknown, or no longer valid.
    Stale,
    /// The same share came before.
    Duplicate,
    /// The hash is above the target.
    LowDifficulty,
    /// The name is not authorised.
    Unauthorized,
    /// No subscribe before it.
    NotSubscribed,
    /// `ntime` is out of range.
    Time,
    /// Version bits outside of the mask.
    Version,
    /// Any other reason, or none.
    Other,
}

impl RejectClass {
    /// The code that miners are shown, 20 to 25: the set that all of them know.
    pub fn wire_code(self) -> u8 {
        match self {
            Self::Time | Self::Version | Self::Other => 20,
            Self::Stale => 21,
            Self::Duplicate => 22,
            Self::LowDifficulty => 23,
            Self::Unauthorized => 24,
            Self::NotSubscribed => 25,
        }
    }
}

/// Reads the answer to a submit: accepted only if `result` is `true` and `error` is null or absent.
pub fn of_submit<'a>(message: &Message<'a>) -> Verdict<'a> {
    if value::is_true(message.raw(message.result)) && is_nothing(message.raw(message.error)) {
        return Verdict::Accepted;
    }
    Verdict::Rejected(reject(message))
}

/// Reads the answer to an authorize: as for a submit, but p2pool says yes with neither a result nor an error.
pub fn of_authorize<'a>(message: &Message<'a>) -> Verdict<'a> {
    let says_nothing = [message.result, message.error, message.reject_reason]
        .into_iter()
        .all(|member| is_nothing(message.raw(member)));
    if says_nothing { Verdict::Accepted } else { of_submit(message) }
}

/// Whether an answer says no, to whatever. ckpool says why in `result`, where something else than yes or no is asked for.
pub fn is_refusal(message: &Message<'_>) -> bool {
    let says = |member| !is_nothing(message.raw(member));
    let result = message.raw(message.result);
    says(message.error) || says(message.reject_reason) || result == b"false" || result.first() == Some(&b'"')
}

fn is_nothing(raw: &[u8]) -> bool {
    raw.is_empty() || value::is_null(raw)
}

/// Whatever an answer says about its no.
fn reject<'a>(message: &Message<'a>) -> Reject<'a> {
    let (code, reason) = code_and_reason(message.raw(message.error));
    let reason = reason
        .and_then(value::string)
        .or_else(|| value::string(message.raw(message.reject_reason)))
        .filter(|reason| !reason.trim().is_empty())
        .map_or(Cow::Borrowed("unknown"), cleaned);
    Reject { class: class_of(code, &reason), code, reason }
}

/// The code and the raw reason in an `error`, whichever shape it has.
fn code_and_reason(error: &[u8]) -> (Option<i64>, Option<&[u8]>) {
    let (mut code, mut reason) = (None, None);
    match error.first() {
        Some(b'"') => reason = Some(error),
        Some(b'[') => {
            let mut n = 0_usize;
            value::elements(error, |raw| {
                match n {
                    0 => code = value::integer(raw),
                    1 => reason = Some(raw),
                    _ => {}
                }
                n += 1;
            });
        }
        Some(b'{') => {
            value::members(error, |key, raw| match key {
                "code" => code = value::integer(raw),
                "message" => reason = Some(raw),
                _ => {}
            });
        }
        _ => {}
    }
    (code, reason)
}

/// The class of a no. The wire codes 21–25 and btcpool's 26–37 count as they stand, except that some pools put time and
/// version faults under them and say so in words. Any other number (20 is "other"; para counts its own way with small
/// ones) leaves it to the words.
fn class_of(code: Option<i64>, reason: &str) -> RejectClass {
    let by_reason = class_by_words(reason);
    let by_code = match code {
        Some(21 | 36 | 37) => RejectClass::Stale,
        Some(22) => RejectClass::Duplicate,
        Some(23) => RejectClass::LowDifficulty,
        Some(24 | 29) => RejectClass::Unauthorized,
        Some(25) => RejectClass::NotSubscribed,
        Some(26..=28 | 30 | 34 | 35) => RejectClass::Other,
        Some(31 | 32) => RejectClass::Time,
        Some(33) => RejectClass::Version,
        _ => return by_reason,
    };
    match by_reason {
        RejectClass::Time | RejectClass::Version => by_reason,
        _ => by_code,
    }
}

/// Telling words, the more particular ones first: "invalid version mask" and "worker mismatch" share no word here.
const WORDS: [(&str, RejectClass); 22] = [
    ("dup", RejectClass::Duplicate),
    ("ntime", RejectClass::Time),
    ("time-too", RejectClass::Time),
    ("time too", RejectClass::Time),
    ("version", RejectClass::Version),
    ("above target", RejectClass::LowDifficulty),
    ("high-hash", RejectClass::LowDifficulty),
    ("high hash", RejectClass::LowDifficulty),
    ("h-not-zero", RejectClass::LowDifficulty),
    ("low diff", RejectClass::LowDifficulty),
    ("low-diff", RejectClass::LowDifficulty),
    ("difficulty too low", RejectClass::LowDifficulty),
    ("unauth", RejectClass::Unauthorized),
    ("not auth", RejectClass::Unauthorized),
    ("mismatch", RejectClass::Unauthorized),
    ("subscri", RejectClass::NotSubscribed),
    ("stale", RejectClass::Stale),
    ("job", RejectClass::Stale),
    ("unknown-work", RejectClass::Stale),
    ("unknown work", RejectClass::Stale),
    ("prevblk", RejectClass::Stale),
    ("prevhash", RejectClass::Stale),
];

fn class_by_words(reason: &str) -> RejectClass {
    let says = |word: &str| {
        reason.as_bytes().windows(word.len()).any(|window| window.eq_ignore_ascii_case(word.as_bytes()))
    };
    WORDS.iter().find(|(word, _)| says(word)).map_or(RejectClass::Other, |&(_, class)| class)
}

/// A pool's words fit for logs, tables and miners' displays: bounded, and without control characters.
fn cleaned(reason: Cow<'_, str>) -> Cow<'_, str> {
    if reason.len() <= REASON_BYTES_MAX && !reason.chars().any(char::is_control) {
        return reason;
    }
    let mut clean = String::with_capacity(REASON_BYTES_MAX);
    for letter in reason.chars() {
        let letter = if letter.is_control() { ' ' } else { letter };
        if clean.len() + letter.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        clean.push(letter);
    }
    Cow::Owned(clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LINE_PADDING;
    use crate::message::Line;
    use crate::parse::Parser;

    fn verdicts(line: &str) -> [Verdict<'static>; 2] {
        let mut bytes = line.as_bytes().to_vec();
        bytes.extend([0; LINE_PADDING]);
        let line = Line::new(&mut bytes, line.len()).expect("padded");
        let message = Parser::new().parse(line).expect("tests use sound lines");
        [of_submit(&message), of_authorize(&message)].map(|verdict| match verdict {
            Verdict::Accepted => Verdict::Accepted,
            Verdict::Rejected(Reject { class, code, reason }) => {
                Verdict::Rejected(Reject { class, code, reason: reason.into_owned().into() })
            }
        })
    }

    fn rejected(class: RejectClass, code: Option<i64>, reason: &str) -> Verdict<'static> {
        Verdict::Rejected(Reject { class, code, reason: reason.to_owned().into() })
    }

    #[test]
    fn only_a_clear_yes_is_accepted() {
        for line in [
            r#"{"id":4,"result":true,"error":null}"#,
            r#"{"id":4,"result":true}"#,
            r#"{"error":null,"id":4,"result": true }"#,
        ] {
            assert_eq!(verdicts(line), [Verdict::Accepted, Verdict::Accepted], "{line}");
        }
        let unknown = || rejected(RejectClass::Other, None, "unknown");
        for line in [
            r#"{"id":4,"result":false}"#,
            r#"{"id":4,"result":"true","error":null}"#,
            r#"{"id":4,"result":1,"error":null}"#,
            r#"{"id":4,"result":[true],"error":null}"#,
            r#"{"id":4,"result":{},"error":null}"#,
            r#"{"id":4,"result":true,"error":[]}"#,
            r#"{"id":4,"result":true,"error":{}}"#,
            r#"{"id":4,"result":true,"error":""}"#,
            r#"{"id":4,"result":true,"error":true}"#,
            r#"{"id":4,"result":null,"error":7}"#,
        ] {
            assert_eq!(verdicts(line), [unknown(), unknown()], "{line}");
        }
    }

    #[test]
    fn neither_result_nor_error_is_a_yes_to_authorize_only() {
        for line in [
            r#"{"id":2,"result":null,"error":null}"#,
            r#"{"id":2,"error":null}"#,
            r#"{"id":2,"result":null}"#,
        ] {
            assert_eq!(
                verdicts(line),
                [rejected(RejectClass::Other, None, "unknown"), Verdict::Accepted],
                "{line}"
            );
        }
    }

    #[test]
    fn the_seven_shapes_of_failure_are_read() {
        use RejectClass::{Duplicate, LowDifficulty, Other, Stale, Unauthorized};
        for (line, want) in [
            (
                r#"{"id":9,"result":null,"error":[23,"high-hash",null]}"#,
                rejected(LowDifficulty, Some(23), "high-hash"),
            ),
            (
                r#"{"id":9,"result":null,"error":[21,"job not found"]}"#,
                rejected(Stale, Some(21), "job not found"),
            ),
            (
                r#"{"id":9,"result":false,"error":{"code":21,"message":"job not found","data":null}}"#,
                rejected(Stale, Some(21), "job not found"),
            ),
            (
                r#"{"reject-reason":"Stale","result":false,"error":null,"id":9}"#,
                rejected(Stale, None, "Stale"),
            ),
            (
                r#"{"result":false,"error":"Worker mismatch","id":9}"#,
                rejected(Unauthorized, None, "Worker mismatch"),
            ),
            (
                r#"{"id":9,"result":null,"error":["22","Duplicate share"]}"#,
                rejected(Duplicate, Some(22), "Duplicate share"),
            ),
            (r#"{"id":9,"result":false,"error":null}"#, rejected(Other, None, "unknown")),
            // The same with escapes, white space, and members nobody asked for.
            (
                r#"{"id":9,"result":null,"error":[ 23 , "above\u0020target" , {"a":[1]} ] }"#,
                rejected(LowDifficulty, Some(23), "above target"),
            ),
            (
                r#"{"id":9,"result":null,"error":{"data":{"code":1},"m\u0065ssage":"Stale","code":"-5"}}"#,
                rejected(Stale, Some(-5), "Stale"),
            ),
            (
                r#"{"id":9,"result":null,"error":[null,null],"reject-reason":"Duplicate"}"#,
                rejected(Duplicate, None, "Duplicate"),
            ),
        ] {
            assert_eq!(verdicts(line), [want.clone(), want], "{line}");
        }
    }

    #[test]
    fn codes_outside_of_the_known_range_leave_it_to_the_words() {
        use RejectClass::{
            Duplicate, LowDifficulty, NotSubscribed, Other, Stale, Time, Unauthorized, Version,
        };
        for (code, reason, class) in [
            (Some(21), "whatever", Stale),
            (Some(22), "stale", Duplicate),
            (Some(24), "unauthorized worker", Unauthorized),
            (Some(25), "not subscribed", NotSubscribed),
            (Some(29), "Invalid username", Unauthorized),
            (Some(31), "Time too old", Time),
            (Some(33), "Invalid version mask", Version),
            (Some(36), "Job not found", Stale),
            (Some(30), "job", Other),
            // DATUM's: known codes, better words.
            (Some(21), "time-too-old", Time),
            (Some(23), "bad-version", Version),
            (Some(23), "H-not-zero", LowDifficulty),
            (Some(21), "stale-prevblk", Stale),
            (Some(20), "unknown-work", Stale),
            (Some(20), "ntime out of range", Time),
            (Some(20), "incorrect size of nonce", Other),
            // para's small numbers, Lumerin's, and ckpool's texts.
            (Some(2), "Stale", Stale),
            (Some(4), "Duplicate", Duplicate),
            (Some(5), "Above target", LowDifficulty),
            (Some(6), "Invalid version mask", Version),
            (Some(5), "no word of it", Other),
            (Some(-3), "Unauthorized", Unauthorized),
            (Some(-5), "Too low difficulty", LowDifficulty),
            (None, "Invalid JobID", Stale),
            (None, "Ntime out of range", Time),
            (None, "Invalid nonce2 length", Other),
            (None, "", Other),
        ] {
            assert_eq!(class_of(code, reason), class, "{code:?} {reason}");
        }
    }

    #[test]
    fn reasons_are_bounded_and_free_of_control_characters() {
        let reason_of = |reason: &str| {
            let raw = serde_json::to_string(reason).expect("a string");
            match verdicts(&format!(r#"{{"result":false,"error":{raw}}}"#)) {
                [Verdict::Rejected(reject), _] => reject.reason.into_owned(),
                [Verdict::Accepted, _] => panic!("not accepted"),
            }
        };
        assert_eq!(reason_of("a\u{1b}[31m\r\nb\u{9b}"), "a [31m  b ");
        assert_eq!(reason_of(&"x".repeat(REASON_BYTES_MAX)), "x".repeat(REASON_BYTES_MAX));
        assert_eq!(reason_of(&"x".repeat(REASON_BYTES_MAX + 1)), "x".repeat(REASON_BYTES_MAX));
        assert_eq!(reason_of(&"é".repeat(REASON_BYTES_MAX)).len(), REASON_BYTES_MAX / 2 * 2);
        assert_eq!(reason_of(" "), "unknown");
    }

    #[test]
    fn wire_codes_are_those_every_miner_knows() {
        use RejectClass::{
            Duplicate, LowDifficulty, NotSubscribed, Other, Stale, Time, Unauthorized, Version,
        };
        let codes = [Stale, Duplicate, LowDifficulty, Unauthorized, NotSubscribed, Time, Version, Other]
            .map(RejectClass::wire_code);
        assert_eq!(codes, [21, 22, 23, 24, 25, 20, 20, 20]);
    }
}
