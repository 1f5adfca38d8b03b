//! The line that comes more often than any other: a pool's plain yes. It is written in few ways, and nothing in it varies
//! but the id, so it is compared as a whole instead of being taken apart.
//!
//! Only speed is at stake here: what is not recognised takes the usual path, and what is recognised says there what it says
//! here.

use crate::message::{Kind, Message, Span};

/// One way to write it.
struct Spelling {
    before_id: &'static [u8],
    behind_id: &'static [u8],
    /// Where `true` and `null` stand, if the id had no digits; behind it if they are not in front of it.
    result_at: usize,
    error_at: usize,
}

impl Spelling {
    const fn new(before_id: &'static [u8], behind_id: &'static [u8]) -> Self {
        let (result_at, error_at) =
            (find(*b"true", before_id, behind_id), find(*b"null", before_id, behind_id));
        Self { before_id, behind_id, result_at, error_at }
    }
}

/// Those of the pools that were looked at; nearly all write one of the first two.
const SPELLINGS: [Spelling; 4] = [
    Spelling::new(br#"{"result":true,"error":null,"id":"#, b"}"),
    Spelling::new(br#"{"id":"#, br#","result":true,"error":null}"#),
    Spelling::new(br#"{"id":"#, br#","error":null,"result":true}"#),
    Spelling::new(br#"{"error":null,"id":"#, br#","result":true}"#),
];
/// Longest id that is recognised: ours are no longer.
const ID_DIGITS_MAX: usize = 10;

/// Where its members stand.
pub(super) struct PlainYes {
    id: Span,
    result: Span,
    error: Span,
}

impl PlainYes {
    /// The message that it is.
    #[inline]
    pub(super) fn of_line(self, line: &[u8]) -> Message<'_> {
        let mut message = Message::of_line(line);
        message.kind = Kind::Response;
        (message.id, message.result, message.error) = (self.id, self.result, self.error);
        message
    }
}

/// Finds the members, if `line` is a plain yes to a request with a number.
#[inline]
pub(super) fn recognise(line: &[u8]) -> Option<PlainYes> {
    SPELLINGS.iter().find_map(|spelling| spelling.read(line))
}

impl Spelling {
    #[inline]
    fn read(&self, line: &[u8]) -> Option<PlainYes> {
        let id = line.strip_prefix(self.before_id)?.strip_suffix(self.behind_id)?;
        let is_number = matches!(id.first(), Some(b'1'..=b'9')) && id.iter().all(u8::is_ascii_digit);
        if !is_number || id.len() > ID_DIGITS_MAX {
            return None;
        }
        let start = self.before_id.len();
        Some(PlainYes {
            id: Span { start: start as u32, end: (start + id.len()) as u32 },
            result: self.word(self.result_at, id.len()),
            error: self.word(self.error_at, id.len()),
        })
    }

    /// The span of a word, with an id of so many digits.
    #[inline]
    fn word(&self, at: usize, digits: usize) -> Span {
        let start = if at < self.before_id.len() { at } else { at + digits } as u32;
        Span { start, end: start + WORD_BYTES as u32 }
    }
}

/// The length of both words.
const WORD_BYTES: usize = 4;

/// Where a word stands in two parts, one behind the other.
const fn find(word: [u8; WORD_BYTES], before: &[u8], behind: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let (part, from) = if at < before.len() { (before, at) } else { (behind, at - before.len()) };
        let mut same = 0;
        while same < WORD_BYTES && from + same < part.len() && part[from + same] == word[same] {
            same += 1;
        }
        if same == WORD_BYTES {
            return at;
        }
        at += 1;
        assert!(at < before.len() + behind.len(), "the word is in one of the parts");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LINE_PADDING;
    use crate::message::Line;
    use crate::parse::Parser;

    /// What the usual path makes of a line: with a space behind it, it is none of the spellings.
    fn usual<T>(line: &str, look: impl FnOnce(&Message<'_>) -> T) -> T {
        let mut bytes = [line.as_bytes(), b" ", &[0; LINE_PADDING]].concat();
        assert!(recognise(&bytes[..=line.len()]).is_none());
        look(&Parser::new().parse(Line::new(&mut bytes, line.len() + 1).unwrap()).unwrap())
    }

    #[test]
    fn a_plain_yes_says_what_it_says_on_the_usual_path() {
        let members = |message: &Message<'_>| {
            (
                message.kind,
                message.id,
                message.result,
                message.error,
                message.method_name,
                message.params.whole,
            )
        };
        for spelling in &SPELLINGS {
            for id in ["1", "42", "1017", "4294967295"] {
                let [before, behind] =
                    [spelling.before_id, spelling.behind_id].map(|part| std::str::from_utf8(part).unwrap());
                let line = format!("{before}{id}{behind}");
                let seen = recognise(line.as_bytes()).expect("one of the spellings").of_line(line.as_bytes());
                assert_eq!(members(&seen), usual(&line, members), "{line}");
                assert_eq!(
                    [seen.id, seen.result, seen.error].map(|span| seen.raw(span)),
                    [id, "true", "null"].map(str::as_bytes)
                );
            }
        }
    }

    #[test]
    fn what_differs_in_a_byte_is_left_to_the_usual_path() {
        for spelling in &SPELLINGS {
            let line = [spelling.before_id, b"1017", spelling.behind_id].concat();
            for at in 0..line.len() {
                let mut other = line.clone();
                other[at] = if other[at].is_ascii_digit() { b'x' } else { other[at] ^ 1 };
                assert!(recognise(&other).is_none(), "{}", String::from_utf8_lossy(&other));
            }
            for id in ["", "0", "01", "-1", "1.0", "1e2", "null", "\"7\"", "12345678901", "1 "] {
                let other = [spelling.before_id, id.as_bytes(), spelling.behind_id].concat();
                assert!(recognise(&other).is_none(), "{id}");
            }
        }
        assert!(recognise(b"").is_none());
        assert!(recognise(br#"{"id":1"#).is_none());
    }
}
