//! One line → one [`Message`]: validated JSON, split into spans of the bytes exactly as they came.
//!
//! simd-json validates the line in its receive buffer and leaves behind where each structural character stands; the
//! spans come from there. It writes unescaped text over the line, though, and refuses numbers that no 64-bit type
//! holds. So a line with a backslash or such a number takes a second, slower path through `serde_json`, which leaves
//! the bytes alone. Both paths end in the same [`Fields`] and refuse the same things.
//!
//! What the members *mean* (is `params` long enough, is the difficulty positive) is not decided here.

use std::fmt;

use serde_json::value::RawValue;
use simd_json::{Buffers, ErrorType, Tape, fill_tape_padded};
use thiserror::Error;

use crate::limits::{JSON_DEPTH_MAX, MINER_LINE_BYTES_MAX};
use crate::message::{Kind, Line, Message, Method, Params, Span};
use crate::value;

/// Tape nodes kept from one line to the next; what a longer line needed beyond is given back.
const TAPE_NODES_KEPT: usize = 32 * 1024;

/// Why a line is no message. All of these are the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Not one well-formed JSON value in UTF-8.
    #[error("not JSON")]
    NotJson,
    /// JSON, but no object.
    #[error("not a JSON object")]
    NotObject,
    /// `id`, `method`, `params`, `result`, `error` or `reject-reason` stands there twice: two readers could disagree.
    #[error("duplicate key")]
    DuplicateKey,
    /// Nested beyond [`JSON_DEPTH_MAX`].
    #[error("nested too deep")]
    TooDeep,
    /// `method` is neither a string nor null.
    #[error("method is not a string")]
    MethodNotString,
}

/// A refused line, with its bytes unchanged: a pool's plain text is still worth a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseFailure<'a> {
    /// The reason.
    pub error: ParseError,
    /// The line as received.
    pub line: &'a [u8],
}

/// Parses lines, one at a time. Keep one per shard: its buffers are reused, so that the steady state allocates nothing.
pub struct Parser {
    buffers: Buffers,
    tape: Tape<'static>,
}

impl fmt::Debug for Parser {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Parser").finish_non_exhaustive()
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser with buffers for the usual lines.
    pub fn new() -> Self {
        Self {
            buffers: Buffers::with_max_depth(MINER_LINE_BYTES_MAX, JSON_DEPTH_MAX),
            tape: Tape(Vec::new()),
        }
    }

    /// Splits a line into its members. The bytes of the line are the same afterwards.
    #[inline]
    pub fn parse<'a>(&mut self, line: Line<'a>) -> Result<Message<'a>, ParseFailure<'a>> {
        let (bytes, len) = line.into_parts();
        let checked = if memchr::memchr(b'\\', bytes.get(..len).unwrap_or_default()).is_some() {
            Checked::Unsuitable
        } else {
            self.check(bytes, len)
        };
        let line: &'a [u8] = bytes.get(..len).unwrap_or_default();
        let fields = match checked {
            Checked::Valid => fields_by_structure(line, self.buffers.structural_indexes()),
            Checked::Unsuitable => fields_untouched(line),
            Checked::Refused(error) => Err(error),
        };
        fields.and_then(|fields| fields.into_message(line)).map_err(|error| ParseFailure { error, line })
    }

    /// Validates a line without backslashes and finds its structure.
    #[inline]
    fn check(&mut self, bytes: &mut [u8], len: usize) -> Checked {
        let mut tape = std::mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let outcome = fill_tape_padded(bytes, len, &mut self.buffers, &mut tape);
        let checked = match &outcome {
            Ok(()) => Checked::Valid,
            Err(fault) => match fault.error() {
                ErrorType::InvalidNumber => Checked::Unsuitable,
                ErrorType::DepthLimitExceeded => Checked::Refused(ParseError::TooDeep),
                _ => Checked::Refused(ParseError::NotJson),
            },
        };
        self.tape = tape.reset();
        if self.tape.0.capacity() > TAPE_NODES_KEPT {
            self.tape.0.shrink_to(TAPE_NODES_KEPT);
        }
        checked
    }
}

enum Checked {
    Valid,
    /// simd-json cannot take this line, though it may be sound.
    Unsuitable,
    Refused(ParseError),
}

/// The members of a line, collected by either path.
#[derive(Default)]
struct Fields {
    id: Span,
    method: Span,
    params: Params,
    result: Span,
    error: Span,
    reject_reason: Span,
}

impl Fields {
    /// Where the value of `key` (unescaped) belongs; `None` for members that nobody asks for.
    #[inline]
    fn slot(&mut self, key: &[u8]) -> Option<&mut Span> {
        match key {
            b"id" => Some(&mut self.id),
            b"method" => Some(&mut self.method),
            b"params" => Some(&mut self.params.whole),
            b"result" => Some(&mut self.result),
            b"error" => Some(&mut self.error),
            b"reject-reason" => Some(&mut self.reject_reason),
            _ => None,
        }
    }

    #[inline]
    fn put(&mut self, key: &[u8], value: Span) -> Result<(), ParseError> {
        match self.slot(key) {
            Some(slot) if slot.is_present() => Err(ParseError::DuplicateKey),
            Some(slot) => {
                *slot = value;
                Ok(())
            }
            None => Ok(()),
        }
    }

    #[inline]
    fn into_message(self, line: &[u8]) -> Result<Message<'_>, ParseError> {
        let kind = if self.method.is_present() && !value::is_null(self.method.of(line)) {
            Kind::Call(method_of(self.method.of(line)).ok_or(ParseError::MethodNotString)?)
        } else if self.result.is_present() || self.error.is_present() || self.reject_reason.is_present() {
            Kind::Response
        } else {
            Kind::Opaque
        };
        let Self { id, method: method_name, params, result, error, reject_reason } = self;
        Ok(Message { line, kind, id, method_name, params, result, error, reject_reason })
    }
}

impl Params {
    #[inline]
    fn push(&mut self, value: Span) {
        if let Some(slot) = self.items.get_mut(self.count as usize) {
            *slot = value;
        }
        self.count += 1;
    }
}

/// The method behind a raw `method` value; `None` if that is no string.
#[inline]
fn method_of(raw: &[u8]) -> Option<Method> {
    let name = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    match Method::from_name(name) {
        Method::Other if memchr::memchr(b'\\', name).is_some() => {
            Some(value::string(raw).map_or(Method::Other, |name| Method::from_name(name.as_bytes())))
        }
        method => Some(method),
    }
}

/// The members of a valid line, by the offsets of its structural characters and value starts.
#[inline]
fn fields_by_structure(line: &[u8], starts: &[u32]) -> Result<Fields, ParseError> {
    let mut walk = Walk { line, starts };
    let mut fields = Fields::default();
    if walk.next()?.1 != b'{' {
        return Err(ParseError::NotObject);
    }
    loop {
        let (start, byte) = walk.next()?;
        if byte != b'"' {
            return Ok(fields); // `}` of an empty object
        }
        let key = walk.scalar(start)?;
        walk.next()?; // `:`
        let key = key.of(line);
        let first = walk.next()?;
        let value = if key == b"\"params\"" && first.1 == b'[' && !fields.params.whole.is_present() {
            walk.params(first.0, &mut fields.params)?
        } else {
            walk.value(first)?
        };
        fields.put(key.get(1..key.len().saturating_sub(1)).unwrap_or_default(), value)?;
        if walk.next()?.1 != b',' {
            return Ok(fields); // `}`
        }
    }
}

/// A walk over the structure of a valid line. Running out of structure cannot happen there; it is an error, not a panic.
struct Walk<'a> {
    line: &'a [u8],
    starts: &'a [u32],
}

impl Walk<'_> {
    /// The next structural character or value start: where, and which byte.
    #[inline]
    fn next(&mut self) -> Result<(u32, u8), ParseError> {
        let (&at, rest) = self.starts.split_first().ok_or(ParseError::NotJson)?;
        let &byte = self.line.get(at as usize).ok_or(ParseError::NotJson)?;
        self.starts = rest;
        Ok((at, byte))
    }

    /// The span of the string, number or word that starts at `start`: up to the next structure, without white space.
    #[inline]
    fn scalar(&self, start: u32) -> Result<Span, ParseError> {
        let &(mut end) = self.starts.first().ok_or(ParseError::NotJson)?;
        while end > start && matches!(self.line.get(end as usize - 1), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            end -= 1;
        }
        Ok(Span { start, end })
    }

    /// The span of any value that starts with `first`.
    #[inline]
    fn value(&mut self, (start, byte): (u32, u8)) -> Result<Span, ParseError> {
        if !matches!(byte, b'[' | b'{') {
            return self.scalar(start);
        }
        let mut depth = 1_u32;
        loop {
            let (at, byte) = self.next()?;
            match byte {
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(Span { start, end: at + 1 });
            }
        }
    }

    /// The span of the array that starts at `start`, its elements noted in `params`.
    #[inline]
    fn params(&mut self, start: u32, params: &mut Params) -> Result<Span, ParseError> {
        params.is_array = true;
        let mut first = self.next()?;
        if first.1 == b']' {
            return Ok(Span { start, end: first.0 + 1 });
        }
        loop {
            let value = self.value(first)?;
            params.push(value);
            let (at, byte) = self.next()?;
            if byte != b',' {
                return Ok(Span { start, end: at + 1 }); // `]`
            }
            first = self.next()?;
        }
    }
}

/// The members of any line, without touching its bytes.
#[cold]
#[inline(never)]
fn fields_untouched(line: &[u8]) -> Result<Fields, ParseError> {
    if is_too_deep(line) {
        return Err(ParseError::TooDeep);
    }
    let mut fields = Fields::default();
    let mut outcome = Ok(());
    let walked = value::members(line, |key, raw| {
        outcome = outcome.and_then(|()| fields.put(key.as_bytes(), span_in(line, raw)));
    });
    walked.ok_or_else(|| fault_of(line))?;
    outcome?;
    let whole = fields.params.whole.of(line);
    if whole.starts_with(b"[") {
        fields.params.is_array = true;
        value::elements(whole, |raw| fields.params.push(span_in(line, raw))).ok_or(ParseError::NotJson)?;
    }
    Ok(fields)
}

/// What is wrong with a line that is no well-formed object.
fn fault_of(line: &[u8]) -> ParseError {
    match serde_json::from_slice::<&RawValue>(line) {
        Ok(_) => ParseError::NotObject,
        Err(_) => ParseError::NotJson,
    }
}

/// Where `part` lies in `line`, of which it is a part.
fn span_in(line: &[u8], part: &[u8]) -> Span {
    let start = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
    Span { start: start as u32, end: (start + part.len()) as u32 }
}

/// Whether brackets outside of strings are nested beyond the limit. `serde_json` skips values without one.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{LINE_PADDING, PARAMS_MAX};

    /// What a test wants to see of a message, free of the line's lifetime.
    #[derive(Debug, PartialEq)]
    struct Seen {
        kind: Kind,
        id: String,
        params: Vec<String>,
        result: String,
        error: String,
    }

    fn text(raw: &[u8]) -> String {
        String::from_utf8(raw.to_vec()).expect("tests use UTF-8")
    }

    fn with_message<T>(line: &[u8], look: impl FnOnce(&Message<'_>) -> T) -> Result<T, ParseError> {
        let mut bytes = line.to_vec();
        // The padding is the next line in practice: here the worst one, an unfinished string.
        bytes.extend([b'"'; LINE_PADDING]);
        let outcome = Parser::new().parse(Line::new(&mut bytes, line.len()).expect("padded"));
        let outcome = match &outcome {
            Ok(message) => {
                assert_eq!(message.line, line);
                Ok(look(message))
            }
            Err(failure) => {
                assert_eq!(failure.line, line);
                Err(failure.error)
            }
        };
        assert_eq!(&bytes[..line.len()], line, "the line was changed");
        assert!(bytes[line.len()..].iter().all(|&byte| byte == b'"'), "the padding was changed");
        outcome
    }

    fn parse(line: &str) -> Result<Seen, ParseError> {
        with_message(line.as_bytes(), |message| Seen {
            kind: message.kind,
            id: text(message.raw(message.id)),
            params: (0..message.params.count as usize).map(|n| text(message.param(n))).collect(),
            result: text(message.raw(message.result)),
            error: text(message.raw(message.error)),
        })
    }

    /// The same JSON for the second path: an escape in a member that nobody reads.
    fn escaped(line: &str) -> String {
        match line.trim_start().strip_prefix('{') {
            Some("}") => r#"{"\n":"\\"}"#.to_owned(),
            Some(rest) => format!(r#"{{"\n":"\\",{rest}"#),
            None => line.to_owned(),
        }
    }

    #[test]
    fn both_paths_see_the_same_members() {
        let table = [
            (
                r#"{"id": 4 ,"method":"mining.submit","params":["bc1q.rig","6f3a","00","66252f80","00534aa3"]}"#,
                Seen {
                    kind: Kind::Call(Method::Submit),
                    id: "4".into(),
                    params: [r#""bc1q.rig""#, r#""6f3a""#, r#""00""#, r#""66252f80""#, r#""00534aa3""#]
                        .map(String::from)
                        .into(),
                    result: String::new(),
                    error: String::new(),
                },
            ),
            (
                r#"{"params":[[ "a" ,{"b":[1]}],{ }, [] ,-1.50e+2,null , "" ],"id":null,"method":"mining.notify"}"#,
                Seen {
                    kind: Kind::Call(Method::Notify),
                    id: "null".into(),
                    params: [r#"[ "a" ,{"b":[1]}]"#, "{ }", "[]", "-1.50e+2", "null", r#""""#]
                        .map(String::from)
                        .into(),
                    result: String::new(),
                    error: String::new(),
                },
            ),
            (
                r#" { "error" : [ 23 , "high-hash" , null ] , "result" : null , "id" : "7" } "#,
                Seen {
                    kind: Kind::Response,
                    id: r#""7""#.into(),
                    params: vec![],
                    result: "null".into(),
                    error: r#"[ 23 , "high-hash" , null ]"#.into(),
                },
            ),
            (
                r#"{"jsonrpc":"2.0","method":null,"params":{"a":[1,2]},"result":true}"#,
                Seen {
                    kind: Kind::Response,
                    id: String::new(),
                    params: vec![],
                    result: "true".into(),
                    error: String::new(),
                },
            ),
            (
                r#"{"id":1}"#,
                Seen {
                    kind: Kind::Opaque,
                    id: "1".into(),
                    params: vec![],
                    result: String::new(),
                    error: String::new(),
                },
            ),
            (
                "{}",
                Seen {
                    kind: Kind::Opaque,
                    id: String::new(),
                    params: vec![],
                    result: String::new(),
                    error: String::new(),
                },
            ),
        ];
        for (line, want) in table {
            assert_eq!(parse(line).as_ref(), Ok(&want), "{line}");
            let line = escaped(line);
            assert_eq!(parse(&line).as_ref(), Ok(&want), "{line}");
        }
    }

    #[test]
    fn both_paths_refuse_the_same_lines() {
        let too_deep = format!("{{\"a\":{}{}}}", "[".repeat(JSON_DEPTH_MAX), "]".repeat(JSON_DEPTH_MAX));
        let table = [
            ("", ParseError::NotJson),
            (" ", ParseError::NotJson),
            ("Invalid JSON, disconnecting", ParseError::NotJson),
            ("{", ParseError::NotJson),
            (r#"{"id":1"#, ParseError::NotJson),
            (r#"{"id":1}}"#, ParseError::NotJson),
            (r#"{"id":1}{}"#, ParseError::NotJson),
            (r#"{"id":1,}"#, ParseError::NotJson),
            (r#"{"id":01}"#, ParseError::NotJson),
            (r#"{"id":tru}"#, ParseError::NotJson),
            (r#"{"id":"1}"#, ParseError::NotJson),
            (r#"{"id" 1}"#, ParseError::NotJson),
            (r"{id:1}", ParseError::NotJson),
            ("{\"id\":\"a\u{1}b\"}", ParseError::NotJson),
            ("{\"id\":1}\0", ParseError::NotJson),
            ("\u{feff}{}", ParseError::NotJson),
            ("[]", ParseError::NotObject),
            ("7", ParseError::NotObject),
            ("null", ParseError::NotObject),
            (r#""{""#, ParseError::NotObject),
            (r#"[{"id":1}]"#, ParseError::NotObject),
            (r#"["\n"]"#, ParseError::NotObject),
            (r#" "\n" "#, ParseError::NotObject),
            (r#"["\n""#, ParseError::NotJson),
            (r#"{"id":1,"id":1}"#, ParseError::DuplicateKey),
            (r#"{"id":null,"id":1}"#, ParseError::DuplicateKey),
            (r#"{"method":"a","id":1,"method":"b"}"#, ParseError::DuplicateKey),
            (r#"{"params":[1],"params":[2]}"#, ParseError::DuplicateKey),
            (r#"{"params":{},"params":[2]}"#, ParseError::DuplicateKey),
            (r#"{"params":[],"params":{}}"#, ParseError::DuplicateKey),
            (r#"{"result":true,"result":false}"#, ParseError::DuplicateKey),
            (r#"{"error":null,"error":null}"#, ParseError::DuplicateKey),
            (r#"{"reject-reason":"a","reject-reason":"b"}"#, ParseError::DuplicateKey),
            (r#"{"id":1,"method":5,"params":[]}"#, ParseError::MethodNotString),
            (r#"{"id":1,"method":["mining.submit"]}"#, ParseError::MethodNotString),
            (&too_deep, ParseError::TooDeep),
        ];
        for (line, want) in table {
            assert_eq!(parse(line).as_ref(), Err(&want), "{line}");
            let line = escaped(line);
            assert_eq!(parse(&line).as_ref(), Err(&want), "{line}");
        }
    }

    #[test]
    fn invalid_utf8_is_refused_on_both_paths() {
        for line in
            [&b"{\"a\":\"\xff\"}"[..], b"{\"a\":\"\xff\\n\"}", b"{\"\xff\\n\":1}", b"\x16\x03\x01\x02"]
        {
            assert_eq!(with_message(line, |_| ()), Err(ParseError::NotJson), "{line:?}");
        }
    }

    #[test]
    fn the_depth_limit_is_exact_on_both_paths() {
        let nested = JSON_DEPTH_MAX - 1;
        let line = format!(r#"{{"id":{}{}}}"#, "[".repeat(nested), "]".repeat(nested));
        assert!(parse(&line).is_ok());
        assert!(parse(&escaped(&line)).is_ok());
    }

    #[test]
    fn ids_keep_their_exact_text() {
        for id in [
            "4",
            "-0",
            "1.0",
            "1e2",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775809",
            "1e400",
            "123456789012345678901234567890",
            "0.1000",
            "null",
            "true",
            r#""""#,
            r#""auth""#,
            r#""a\u0041\"b""#,
            r#"{"a":[1, 2]}"#,
            "[ ]",
            r#"" padded ""#,
        ] {
            let seen = parse(&format!(r#"{{"id": {id} ,"result":true}}"#)).expect(id);
            assert_eq!(seen.id, id);
            let seen = parse(&format!(r#"{{"result":true,"id":{id}}}"#)).expect(id);
            assert_eq!(seen.id, id);
        }
    }

    #[test]
    fn an_explicit_null_id_differs_from_an_absent_one() {
        for (line, present, wants_answer) in [
            (r#"{"id":null,"method":"a"}"#, true, false),
            (r#"{"method":"a"}"#, false, false),
            (r#"{"id":0,"method":"a"}"#, true, true),
            (r#"{"id":"null","method":"a"}"#, true, true),
        ] {
            for line in [line.to_owned(), escaped(line)] {
                let seen =
                    with_message(line.as_bytes(), |message| (message.id.is_present(), message.has_id()));
                assert_eq!(seen, Ok((present, wants_answer)), "{line}");
            }
        }
    }

    #[test]
    fn keys_and_methods_are_compared_unescaped() {
        let seen =
            parse(r#"{"\u0069d":1,"m\u0065thod":"mining\u002esubmit","par\u0061ms":["x"]}"#).expect("sound");
        assert_eq!((seen.kind, seen.id.as_str(), seen.params.len()), (Kind::Call(Method::Submit), "1", 1));
        assert_eq!(parse(r#"{"id":1,"\u0069d":2}"#), Err(ParseError::DuplicateKey));
        assert_eq!(parse(r#"{"params":["a"],"par\u0061ms":["b"]}"#), Err(ParseError::DuplicateKey));
        // Half a surrogate pair has no text to compare: no method of ours.
        assert_eq!(parse(r#"{"method":"\ud800"}"#).map(|seen| seen.kind), Ok(Kind::Call(Method::Other)));
    }

    #[test]
    fn a_trailing_carriage_return_is_in_no_span() {
        for line in ["{\"id\":1}\r", "{\"\\n\":0,\"id\":1}\r", "{\"id\":1\r}"] {
            assert_eq!(parse(line).map(|seen| seen.id), Ok("1".to_owned()), "{line:?}");
        }
    }

    #[test]
    fn params_beyond_the_limit_are_counted() {
        let items: Vec<String> = (0..PARAMS_MAX + 3).map(|n| n.to_string()).collect();
        let line = format!(r#"{{"method":"a","params":[{}]}}"#, items.join(","));
        for line in [escaped(&line), line] {
            let seen = parse(&line).expect("sound").params;
            assert_eq!(seen.len(), PARAMS_MAX + 3);
            assert_eq!(seen[..PARAMS_MAX], items[..PARAMS_MAX]);
            assert_eq!(seen[PARAMS_MAX..], ["", "", ""]);
        }
    }

    #[test]
    fn a_parser_is_as_good_after_a_refused_line() {
        let mut parser = Parser::new();
        for line in ["[[[[[[[[[[", r#"{"a":"\n"#, "{]", r#"{"id":1e999}"#] {
            let mut bytes = line.as_bytes().to_vec();
            bytes.extend([0; LINE_PADDING]);
            let _ = parser.parse(Line::new(&mut bytes, line.len()).expect("padded"));
            let mut bytes = br#"{"id":5,"result":true}"#.to_vec();
            let len = bytes.len();
            bytes.extend([0; LINE_PADDING]);
            let message = parser.parse(Line::new(&mut bytes, len).expect("padded")).expect("sound");
            assert_eq!((message.kind, message.raw(message.id)), (Kind::Response, &b"5"[..]));
        }
    }
}
