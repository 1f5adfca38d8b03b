//! One line → one [`Message`]: validated JSON, split into spans of the bytes exactly as they came.
//!
//! Nearly all lines take the path of [`structure`]: simd-json finds the structure in the receive buffer, and one walk
//! over it checks the grammar and notes the spans. A line with a backslash goes to [`untouched`], through `serde_json`.
//! Both paths collect the same members, refuse the same lines, and leave the bytes as they were. Before either, a pool's
//! plain yes is recognised as it stands ([`plain_yes`]).
//!
//! What the members *mean* (is `params` long enough, is the difficulty positive) is not decided here.

mod plain_yes;
mod structure;
mod untouched;

use std::fmt;

use thiserror::Error;

use crate::message::{Kind, Line, Message, Method, Span};
use crate::value;
use structure::Structure;

/// Why a line is no message. All of these are the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// It does not start as a JSON object does: plain text, another protocol, another JSON value.
    #[error("not a JSON object")]
    NotObject,
    /// It starts like one, but is not one well-formed JSON value in UTF-8.
    #[error("not JSON")]
    NotJson,
    /// `id`, `method`, `params`, `result`, `error` or `reject-reason` stands there twice: two readers could disagree.
    #[error("duplicate key")]
    DuplicateKey,
    /// Nested beyond [`JSON_DEPTH_MAX`](crate::limits::JSON_DEPTH_MAX).
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
    structure: Structure,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Parser {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Parser").finish_non_exhaustive()
    }
}

impl Parser {
    /// A parser with buffers for the usual lines.
    pub fn new() -> Self {
        Self { structure: Structure::new() }
    }

    /// Splits a line into its members. The bytes of the line are the same afterwards.
    #[inline]
    pub fn parse<'a>(&mut self, line: Line<'a>) -> Result<Message<'a>, ParseFailure<'a>> {
        let has_backslash = line.has_backslash();
        let (bytes, len) = line.into_parts();
        let text = bytes.get(..len).unwrap_or_default();
        if let Some(yes) = plain_yes::recognise(text) {
            return Ok(yes.of_line(bytes.get(..len).unwrap_or_default()));
        }
        let is_object = starts_like_an_object(text);
        let offsets = if is_object && !has_backslash { self.structure.offsets(bytes, len) } else { &[] };

        let mut message = Message::of_line(bytes.get(..len).unwrap_or_default());
        let outcome = if !is_object {
            Err(ParseError::NotObject)
        } else if has_backslash {
            untouched::collect(&mut message)
        } else {
            structure::collect(&mut message, offsets)
        };
        if let Err(error) = outcome.and_then(|()| settle_kind(&mut message)) {
            return Err(ParseFailure { error, line: message.line });
        }
        Ok(message)
    }
}

#[inline]
fn starts_like_an_object(line: &[u8]) -> bool {
    line.first() == Some(&b'{') || line.trim_ascii_start().first() == Some(&b'{')
}

/// Notes the value of a member, by its unescaped key.
#[inline]
fn put(message: &mut Message<'_>, key: &[u8], value: Span) -> Result<(), ParseError> {
    let slot = match key {
        b"id" => &mut message.id,
        b"method" => &mut message.method_name,
        b"params" => &mut message.params.whole,
        b"result" => &mut message.result,
        b"error" => &mut message.error,
        b"reject-reason" => &mut message.reject_reason,
        _ => return Ok(()),
    };
    if slot.is_present() {
        return Err(ParseError::DuplicateKey);
    }
    *slot = value;
    Ok(())
}

/// Settles what a message is, by the members it has.
#[inline]
fn settle_kind(message: &mut Message<'_>) -> Result<(), ParseError> {
    let method = message.raw(message.method_name);
    if !method.is_empty() && !value::is_null(method) {
        message.kind = Kind::Call(method_of(method).ok_or(ParseError::MethodNotString)?);
    } else if message.result.is_present() || message.error.is_present() || message.reject_reason.is_present()
    {
        message.kind = Kind::Response;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{JSON_DEPTH_MAX, LINE_PADDING, PARAMS_MAX};

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
            ("", ParseError::NotObject),
            (" ", ParseError::NotObject),
            ("Invalid JSON, disconnecting", ParseError::NotObject),
            ("{", ParseError::NotJson),
            (r#"{"id":1"#, ParseError::NotJson),
            (r#"{"id":1}}"#, ParseError::NotJson),
            (r#"{"id":1}{}"#, ParseError::NotJson),
            (r#"{"id":1,}"#, ParseError::NotJson),
            (r#"{"id":01}"#, ParseError::NotJson),
            (r#"{"id":tru}"#, ParseError::NotJson),
            ("{\"id\":1\u{c}}", ParseError::NotJson),
            ("{\u{c}\"id\":1}", ParseError::NotJson),
            ("{\"id\":\u{a0}1}", ParseError::NotJson),
            (r#"{"id":1 2}"#, ParseError::NotJson),
            (r#"{"id":"a" "b"}"#, ParseError::NotJson),
            (r#"{"id":"a"b}"#, ParseError::NotJson),
            (r#"{"id":1"b"}"#, ParseError::NotJson),
            (r#"{"id":[1,]}"#, ParseError::NotJson),
            (r#"{"id":[1}}"#, ParseError::NotJson),
            (r#"{"id":{"a",1}}"#, ParseError::NotJson),
            (r#"{"params":[1,2}}"#, ParseError::NotJson),
            (r#"{"params":[,1]}"#, ParseError::NotJson),
            (r#"{"id":1]"#, ParseError::NotJson),
            (r#"{,"id":1}"#, ParseError::NotJson),
            (r#"{"id":}"#, ParseError::NotJson),
            (r#"{"id":1;"a":2}"#, ParseError::NotJson),
            (r#"{"id":"1}"#, ParseError::NotJson),
            (r#"{"id" 1}"#, ParseError::NotJson),
            (r"{id:1}", ParseError::NotJson),
            ("{\"id\":\"a\u{1}b\"}", ParseError::NotJson),
            ("{\"id\":1}\0", ParseError::NotJson),
            ("\u{feff}{}", ParseError::NotObject),
            ("[]", ParseError::NotObject),
            ("7", ParseError::NotObject),
            ("null", ParseError::NotObject),
            (r#""{""#, ParseError::NotObject),
            (r#"[{"id":1}]"#, ParseError::NotObject),
            (r#"["\n"]"#, ParseError::NotObject),
            (r#" "\n" "#, ParseError::NotObject),
            (r#"["\n""#, ParseError::NotObject),
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
        for line in [&b"{\"a\":\"\xff\"}"[..], b"{\"a\":\"\xff\\n\"}", b"{\"\xff\\n\":1}", b"{\x16\x03\xff"] {
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
