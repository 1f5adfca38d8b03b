//! What the fuzz targets check for any bytes at all (`fuzz/`); the tests replay their corpora through it.

use adit_protocol::framer::Framer;
use adit_protocol::limits::{LINE_PADDING, REASON_BYTES_MAX};
use adit_protocol::message::{Line, Message};
use adit_protocol::parse::{ParseError, Parser};
use adit_protocol::value;
use adit_protocol::verdict::{self, Verdict};

use crate::reference::{LIMIT, by_framer, by_parser, by_serde, by_split};

/// One line: the parser takes what `serde_json` takes, and reads the same in it. What reads the message holds its bounds.
pub fn parser(line: &[u8]) {
    match by_parser(&mut Parser::new(), line) {
        Err(ParseError::TooDeep) => {} // serde_json has no limit where it skips a value
        texts => assert_eq!(texts.ok(), by_serde(line)),
    }
    let mut bytes = [line, &[0; LINE_PADDING]].concat();
    if let Ok(message) = Parser::new().parse(Line::new(&mut bytes, line.len()).expect("padded")) {
        values_agree(&message);
        verdict_is_bounded(&message);
    }
}

fn values_agree(message: &Message<'_>) {
    for span in [message.id, message.method_name, message.params.whole, message.result, message.error] {
        let raw = message.raw(span);
        let number = value::number(raw);
        if let Some(unsigned) = value::unsigned(raw) {
            assert_eq!(value::id_number(raw), Some(unsigned));
            assert_eq!(number, Some(unsigned as f64));
        }
        assert!(number.is_none_or(f64::is_finite));
        if let Some(text) = value::string(raw) {
            assert_eq!(serde_json::from_slice::<String>(raw).ok().as_deref(), Some(&*text));
        }
        let (mut elements, mut members) = (0, 0);
        let is_array = value::elements(raw, |_| elements += 1).is_some();
        let is_object = value::members(raw, |_, _| members += 1).is_some();
        assert!(!is_array || !is_object);
    }
}

fn verdict_is_bounded(message: &Message<'_>) {
    let [submit, authorize] = [verdict::of_submit(message), verdict::of_authorize(message)];
    if submit == Verdict::Accepted {
        assert_eq!(message.raw(message.result), b"true");
        assert_eq!(authorize, Verdict::Accepted);
    }
    for verdict in [submit, authorize] {
        if let Verdict::Rejected(reject) = verdict {
            assert!(!reject.reason.is_empty() && reject.reason.len() <= REASON_BYTES_MAX);
            assert!(!reject.reason.chars().any(char::is_control));
            assert!((20..=25).contains(&reject.class.wire_code()));
        }
    }
}

/// A stream: its first half says how the second is cut into receives. The lines are those of a plain split.
pub fn framer(data: &[u8]) {
    let (sizes, mut bytes) = data.split_at(data.len().min(16) / 2);
    let right = by_split(bytes);
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() || pieces.len() > data.len() {
            break;
        }
        let (piece, rest) = bytes.split_at(bytes.len().min(usize::from(*size)));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    assert_eq!(by_framer(&mut Framer::<LIMIT>::default(), &pieces), right);
}
