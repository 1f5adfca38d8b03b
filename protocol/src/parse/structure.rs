//! The first path: a line without backslashes, by the structure that simd-json finds in it.
//!
//! simd-json works in two stages. The first runs through the line 64 bytes at a time: it refuses invalid UTF-8,
//! unfinished strings and control characters in strings, and notes the offset of every bracket, colon, comma and value.
//! The second builds a tape of values. A view of raw bytes has no use for it, and it costs half of the time, loses the
//! text of numbers, and refuses those that no 64-bit type holds. So simd-json is told here to go zero levels deep: its
//! second stage ends at the first bracket. What it would have checked, [`Walk`] checks while it collects the spans:
//! that brackets, colons, commas and values follow each other as they should, and the spelling of words and numbers.

use std::slice;

use simd_json::{Buffers, ErrorType, Tape, fill_tape_padded};

use super::{ParseError, put};
use crate::limits::{JSON_DEPTH_MAX, MINER_LINE_BYTES_MAX};
use crate::message::{Message, Params, Span};

/// simd-json reserves tape for each structural offset. More than this is given back after the line.
const TAPE_NODES_KEPT: usize = 32 * 1024;

/// simd-json's first stage and the buffers that it reuses.
pub(super) struct Structure {
    buffers: Buffers,
    /// Stays empty.
    tape: Tape<'static>,
}

impl Structure {
    pub(super) fn new() -> Self {
        Self { buffers: Buffers::with_max_depth(MINER_LINE_BYTES_MAX, 0), tape: Tape(Vec::new()) }
    }

    /// The offsets of all structural characters and value starts of `bytes[..len]`, which starts with a bracket and has
    /// no backslash in it. None at all where the first stage refuses it. The bytes stay as they are.
    #[inline]
    pub(super) fn offsets(&mut self, bytes: &mut [u8], len: usize) -> &[u32] {
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let outcome = fill_tape_padded(bytes, len, &mut self.buffers, &mut tape);
        let is_through = outcome.is_err_and(|stop| matches!(stop.error(), ErrorType::DepthLimitExceeded));
        self.tape = tape.reset();
        if self.tape.0.capacity() > TAPE_NODES_KEPT {
            self.tape = Tape(Vec::new());
        }
        if is_through { self.buffers.structural_indexes() } else { &[] }
    }
}

/// Collects the members of `message.line`, from the offsets that [`Structure`] found in it.
#[inline]
pub(super) fn collect(message: &mut Message<'_>, offsets: &[u32]) -> Result<(), ParseError> {
    let mut walk = Walk { line: message.line, offsets: offsets.iter() };
    walk.expect(b'{')?;
    let mut token = walk.next()?;
    if token.byte != b'}' {
        loop {
            let key = walk.key(token)?;
            let first = walk.next()?;
            let value = if first.byte == b'[' && key == b"params" {
                walk.params(first, &mut message.params)?
            } else {
                walk.value(first, 2)?
            };
            put(message, key, value)?;
            token = walk.next()?;
            if token.byte != b',' {
                break;
            }
            token = walk.next()?;
        }
    }
    let is_whole = token.byte == b'}' && walk.offsets.as_slice().is_empty();
    if is_whole { Ok(()) } else { Err(ParseError::NotJson) }
}

/// A structural character, or the first byte of a string, a number or a word.
#[derive(Clone, Copy)]
struct Token {
    at: u32,
    byte: u8,
}

/// A walk over a line from one token to the next, which fails where the grammar of JSON does not go on.
#[derive(Clone)]
struct Walk<'a> {
    line: &'a [u8],
    /// The offsets not walked yet.
    offsets: slice::Iter<'a, u32>,
}

impl<'a> Walk<'a> {
    #[inline]
    fn next(&mut self) -> Result<Token, ParseError> {
        let &at = self.offsets.next().ok_or(ParseError::NotJson)?;
        let &byte = self.line.get(at as usize).ok_or(ParseError::NotJson)?;
        Ok(Token { at, byte })
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), ParseError> {
        if self.next()?.byte == byte { Ok(()) } else { Err(ParseError::NotJson) }
    }

    /// The key that starts with `first`, without its quotes. The colon behind it is walked over.
    #[inline]
    fn key(&mut self, first: Token) -> Result<&'a [u8], ParseError> {
        if first.byte != b'"' {
            return Err(ParseError::NotJson);
        }
        let span = self.string(first)?;
        self.expect(b':')?;
        self.line.get(span.start as usize + 1..span.end as usize - 1).ok_or(ParseError::NotJson)
    }

    /// The span of the array that `open` opens, its elements noted in `params`.
    #[inline]
    fn params(&mut self, open: Token, params: &mut Params) -> Result<Span, ParseError> {
        params.is_array = true;
        let mut token = self.next()?;
        if token.byte != b']' {
            loop {
                params.push(self.value(token, 3)?);
                token = self.next()?;
                if token.byte != b',' {
                    break;
                }
                token = self.next()?;
            }
        }
        closed(open, token, b']')
    }

    /// The span of the value that starts with `first`. `depth` is its nesting if it is an array or an object: 1 for
    /// the whole line.
    #[expect(clippy::inline_always, reason = "out of line, it costs a tenth of all instructions of a submit")]
    #[inline(always)]
    fn value(&mut self, first: Token, depth: usize) -> Result<Span, ParseError> {
        match first.byte {
            b'"' => self.string(first),
            b'[' | b'{' => {
                // By value: a walk that was lent to a function would not stay in registers here.
                let (span, behind) = nested(self.clone(), first, depth)?;
                *self = behind;
                Ok(span)
            }
            _ => self.word_or_number(first),
        }
    }

    /// The span of a string with its quotes.
    #[inline]
    fn string(&self, first: Token) -> Result<Span, ParseError> {
        let span = self.up_to_next(first)?;
        let is_closed = span.end > first.at + 1 && self.line.get(span.end as usize - 1) == Some(&b'"');
        if is_closed { Ok(span) } else { Err(ParseError::NotJson) }
    }

    /// The span of a number or a word.
    #[inline]
    fn word_or_number(&self, first: Token) -> Result<Span, ParseError> {
        let span = self.up_to_next(first)?;
        let text = span.of(self.line);
        let is_sound = match first.byte {
            b'n' => text == b"null",
            b't' => text == b"true",
            b'f' => text == b"false",
            _ => is_number(text),
        };
        if is_sound { Ok(span) } else { Err(ParseError::NotJson) }
    }

    /// What stands between `first` and the next token, without the white space before that. simd-json sees a token in
    /// whatever follows white space, so there is none inside.
    #[inline]
    fn up_to_next(&self, first: Token) -> Result<Span, ParseError> {
        let &(mut end) = self.offsets.as_slice().first().ok_or(ParseError::NotJson)?;
        while end > first.at && matches!(self.line.get(end as usize - 1), Some(b' ' | b'\t' | b'\r' | b'\n'))
        {
            end -= 1;
        }
        Ok(Span { start: first.at, end })
    }
}

/// The span of an array or an object that nobody looks into, and the walk behind it. The recursion ends at
/// [`JSON_DEPTH_MAX`].
#[inline(never)]
fn nested(mut walk: Walk<'_>, open: Token, depth: usize) -> Result<(Span, Walk<'_>), ParseError> {
    if depth > JSON_DEPTH_MAX {
        return Err(ParseError::TooDeep);
    }
    let close = if open.byte == b'{' { b'}' } else { b']' };
    let mut token = walk.next()?;
    if token.byte != close {
        loop {
            if close == b'}' {
                walk.key(token)?;
                token = walk.next()?;
            }
            walk.value(token, depth + 1)?;
            token = walk.next()?;
            if token.byte != b',' {
                break;
            }
            token = walk.next()?;
        }
    }
    Ok((closed(open, token, close)?, walk))
}

/// The span from `open` to `close`, if that is the bracket it should be.
#[inline]
fn closed(open: Token, close: Token, bracket: u8) -> Result<Span, ParseError> {
    if close.byte == bracket {
        Ok(Span { start: open.at, end: close.at + 1 })
    } else {
        Err(ParseError::NotJson)
    }
}

/// Whether `text` is a number as RFC 8259 has it.
#[inline]
fn is_number(text: &[u8]) -> bool {
    // Ids and difficulties are mostly this.
    let is_plain = matches!(text.first(), Some(b'1'..=b'9')) && digits_count(text) == text.len();
    is_plain || is_unusual_number(text)
}

#[inline(never)]
fn is_unusual_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits_count(text);
    if whole == 0 || (whole > 1 && text.starts_with(b"0")) {
        return false;
    }
    let exponent = match text.get(whole..).unwrap_or_default() {
        [b'.', fraction @ ..] => match digits_count(fraction) {
            0 => return false,
            count => fraction.get(count..).unwrap_or_default(),
        },
        rest => rest,
    };
    let digits = match exponent {
        [] => return true,
        [b'e' | b'E', b'+' | b'-', digits @ ..] | [b'e' | b'E', digits @ ..] => digits,
        _ => return false,
    };
    !digits.is_empty() && digits_count(digits) == digits.len()
}

/// How many digits `text` starts with.
#[inline]
fn digits_count(text: &[u8]) -> usize {
    text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LINE_PADDING;

    fn offsets(line: &[u8]) -> Vec<u32> {
        let mut bytes = [line, &[b'"'; LINE_PADDING]].concat();
        Structure::new().offsets(&mut bytes, line.len()).to_vec()
    }

    #[test]
    fn simd_json_finds_the_structure_behind_the_first_bracket() {
        assert_eq!(
            offsets(br#"{"a": [1,{"b" :"]"}], "c":nul } "#),
            [0, 1, 4, 6, 7, 8, 9, 10, 14, 15, 18, 19, 20, 22, 25, 26, 30]
        );
        let long = format!("[{}]", "1,".repeat(1000));
        assert_eq!(offsets(long.as_bytes()), (0..2002).collect::<Vec<u32>>());
    }

    #[test]
    fn simd_json_refuses_what_the_walk_does_not_look_at() {
        for line in [
            &b"{\"a\":\"\xff\"}"[..],
            b"{\"a\":\"\xed\xa0\x80\"}",
            b"{\"a",
            b"{\"a\":\"\x01\"}",
            b"{\"a\":\"\0\"}",
        ] {
            assert!(offsets(line).is_empty(), "{line:?}");
        }
    }

    #[test]
    fn long_lines_leave_no_long_tape() {
        let mut structure = Structure::new();
        let mut bytes = [vec![b'['; 10 * TAPE_NODES_KEPT], vec![0; LINE_PADDING]].concat();
        assert_eq!(structure.offsets(&mut bytes, 10 * TAPE_NODES_KEPT).len(), 10 * TAPE_NODES_KEPT);
        assert!(structure.tape.0.capacity() <= TAPE_NODES_KEPT);
    }

    #[test]
    fn numbers_are_spelled_as_json_has_them() {
        for number in [
            "0",
            "-0",
            "7",
            "10",
            "-12",
            "0.5",
            "-0.050",
            "1e5",
            "1E+5",
            "10.25e-300",
            "99999999999999999999",
        ] {
            assert!(is_number(number.as_bytes()), "{number}");
        }
        for other in [
            "", "-", "+1", "00", "01", "-01", ".5", "1.", "1.e5", "1e", "1e+", "1e5.0", "1x", "0x10", "NaN",
            "--1", "1-",
        ] {
            assert!(!is_number(other.as_bytes()), "{other}");
        }
    }
}
