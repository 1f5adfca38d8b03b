//! The lines of a stream and what a line says: once by the code under test, once by a plain `split` and by `serde_json`.

use std::fmt;

use adit_protocol::framer::{BufferPool, Framer, LineTooLong, Received};
use adit_protocol::limits::{LINE_PADDING, PARAMS_MAX};
use adit_protocol::message::{Kind, Line};
use adit_protocol::parse::{ParseError, Parser};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A line limit so small that lines around it are common.
pub const LIMIT: usize = 40;

/// The lines that `framer` makes of `pieces`, one receive each, and the error that ended it.
pub fn by_framer<const MAX: usize>(
    framer: &mut Framer<MAX>,
    pieces: &[&[u8]],
) -> (Vec<Vec<u8>>, Option<LineTooLong>) {
    let (mut lines, mut spare) = (Vec::new(), BufferPool::default());
    for piece in pieces {
        let mut bytes = [piece, &[b'\n'; LINE_PADDING][..]].concat();
        let mut received = Received::new(&mut bytes, piece.len()).expect("padded");
        loop {
            match framer.next_line(&mut received, &mut spare) {
                Ok(Some(line)) => {
                    lines.push(line.as_bytes().to_vec());
                    // Whoever gets the line may read on behind it.
                    let (bytes, len) = line.into_parts();
                    assert!(bytes.len() >= len + LINE_PADDING);
                }
                Ok(None) => break,
                Err(error) => return (lines, Some(error)),
            }
        }
    }
    (lines, None)
}

/// The same by a plain split.
pub fn by_split(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<LineTooLong>) {
    let (mut lines, mut parts) = (Vec::new(), bytes.split(|&byte| byte == b'\n').peekable());
    while let Some(part) = parts.next() {
        if part.len() > LIMIT {
            return (lines, Some(LineTooLong { limit: LIMIT }));
        }
        let text = part.strip_suffix(b"\r").unwrap_or(part);
        if parts.peek().is_some() && !text.is_empty() {
            lines.push(text.to_vec());
        }
    }
    (lines, None)
}

/// A message with the raw texts of its members, `None` where there is no such member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    pub id: Option<String>,
    pub method: Option<String>,
    pub params: Option<String>,
    /// The elements of `params`, if that is an array.
    pub items: Option<Vec<String>>,
    pub result: Option<String>,
    pub error: Option<String>,
    pub reject_reason: Option<String>,
}

/// The line as the parser under test has it. Fails the test if any byte was changed.
pub fn by_parser(parser: &mut Parser, line: &[u8]) -> Result<Texts, ParseError> {
    // What follows a line in its buffer is the next one: here the most misleading one.
    let mut bytes = [line, &[b'"'; LINE_PADDING]].concat();
    let parsed = parser.parse(Line::new(&mut bytes, line.len()).expect("padded"));
    let texts = match parsed {
        Ok(message) => {
            assert_eq!(message.line, line);
            let text = |span| {
                let raw = message.raw(span);
                (!raw.is_empty()).then(|| String::from_utf8(raw.to_vec()).expect("a valid line"))
            };
            let params = &message.params;
            let kept = params.items.iter().take(params.count as usize);
            let items: Vec<String> = kept.map(|&span| text(span).expect("no element is empty")).collect();
            assert_eq!(items.len(), PARAMS_MAX.min(params.count as usize));
            assert!(params.is_array || params.count == 0);
            let texts = Texts {
                id: text(message.id),
                method: text(message.method_name),
                params: text(params.whole),
                items: params.is_array.then_some(items),
                result: text(message.result),
                error: text(message.error),
                reject_reason: text(message.reject_reason),
            };
            assert_eq!(message.kind == Kind::Opaque, texts.is_opaque(), "{:?}", message.kind);
            Ok(texts)
        }
        Err(failure) => {
            assert_eq!(failure.line, line);
            Err(failure.error)
        }
    };
    assert_eq!(&bytes[..line.len()], line, "the line was changed");
    assert_eq!(bytes[line.len()..], [b'"'; LINE_PADDING], "the bytes behind the line were changed");
    texts
}

/// The line as `serde_json` has it; `None` where it must be refused.
pub fn by_serde(line: &[u8]) -> Option<Texts> {
    let members: Members = serde_json::from_slice(line).ok()?;
    let mut texts = Texts::default();
    for (key, raw) in members.0 {
        let place = match key.as_str() {
            "id" => &mut texts.id,
            "method" => &mut texts.method,
            "params" => &mut texts.params,
            "result" => &mut texts.result,
            "error" => &mut texts.error,
            "reject-reason" => &mut texts.reject_reason,
            _ => continue,
        };
        if place.replace(raw.get().to_owned()).is_some() {
            return None;
        }
    }
    if texts.method.as_ref().is_some_and(|method| method != "null" && !method.starts_with('"')) {
        return None;
    }
    if let Some(params) = texts.params.as_ref().filter(|params| params.starts_with('[')) {
        let items: Vec<Box<RawValue>> = serde_json::from_str(params).ok()?;
        texts.items = Some(items.iter().take(PARAMS_MAX).map(|item| item.get().to_owned()).collect());
    }
    Some(texts)
}

impl Texts {
    fn is_opaque(&self) -> bool {
        let has_method = self.method.as_ref().is_some_and(|method| method != "null");
        !has_method && self.result.is_none() && self.error.is_none() && self.reject_reason.is_none()
    }
}

/// All members of an object in order, duplicates included.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Members;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = object.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        json.deserialize_map(All)
    }
}
