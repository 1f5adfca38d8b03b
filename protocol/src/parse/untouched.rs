//! The second path: a line with a backslash in it, which simd-json would unescape in place, by `serde_json`.

use super::{ParseError, put};
use crate::limits::JSON_DEPTH_MAX;
use crate::message::{Message, Span};
use crate::value;

/// Collects the members of `message.line`, whatever is in it.
#[cold]
#[inline(never)]
pub(super) fn collect(message: &mut Message<'_>) -> Result<(), ParseError> {
    let line = message.line;
    if is_too_deep(line) {
        return Err(ParseError::TooDeep);
    }
    let mut outcome = Ok(());
    let walked = value::members(line, |key, raw| {
        outcome = outcome.and_then(|()| put(message, key.as_bytes(), span_in(line, raw)));
    });
    walked.ok_or(ParseError::NotJson)?;
    outcome?;
    let whole = message.raw(message.params.whole);
    if whole.starts_with(b"[") {
        message.params.is_array = true;
        value::elements(whole, |raw| message.params.push(span_in(line, raw))).ok_or(ParseError::NotJson)?;
    }
    Ok(())
}

/// Where `part` lies in `line`, of which it is a part.
fn span_in(line: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
    Span { start: start as u32, end: (start + part.len()) as u32 }
}

/// Whether brackets outside of strings are nested beyond the limit: `serde_json` has none where it skips a value.
fn is_too_deep(line: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return true;
        }
    }
    false
}
