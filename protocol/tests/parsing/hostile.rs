//! Lines made to hurt a parser are refused, in linear time and bounded memory, and leave it as good as before.

use adit_protocol::limits::{JSON_DEPTH_MAX, MINER_LINE_BYTES_MAX};
use adit_protocol::parse::{ParseError, Parser};
use proptest::prelude::*;

use crate::reference::by_parser;

#[test]
fn hostile_lines_are_refused_and_sound_ones_still_taken() {
    let many = 200_000;
    let lines: Vec<(Vec<u8>, ParseError)> = vec![
        ("[".repeat(many).into(), ParseError::NotObject),
        ("{".repeat(many).into(), ParseError::NotJson),
        (format!("{{\"a\":{}", "[".repeat(many)).into(), ParseError::TooDeep),
        (format!("{{\"a\":{}{}}}", "[".repeat(many), "]".repeat(many)).into(), ParseError::TooDeep),
        (format!("{{\"\\n\":{}{}}}", "[".repeat(many), "]".repeat(many)).into(), ParseError::TooDeep),
        ("{\"a\":".repeat(many).into(), ParseError::TooDeep),
        (format!("{{\"a\":[{}", "{},".repeat(many)).into(), ParseError::NotJson),
        (format!("{{\"a\"{}", ":".repeat(many)).into(), ParseError::NotJson),
        (format!("{{{}", ",".repeat(many)).into(), ParseError::NotJson),
        (format!("{{\"a\":{}", "\"".repeat(many + 1)).into(), ParseError::NotJson),
        (format!("{{\"a\":\"{}", "\\".repeat(many)).into(), ParseError::NotJson),
        (format!("{{\"a\":\"{}", "\\\"".repeat(many)).into(), ParseError::NotJson),
        (format!("{{\"a\":1{}", " ".repeat(many)).into(), ParseError::NotJson),
        (format!("{{\"a\":{}x}}", "1".repeat(many)).into(), ParseError::NotJson),
        (format!("{{\"a\":-{}}}", "-".repeat(many)).into(), ParseError::NotJson),
        (format!("{{{}\"id\":2}}", "\"id\":1,".repeat(many / 8)).into(), ParseError::DuplicateKey),
        ([&b"{\"a\":\""[..], &vec![0; many], b"\"}"].concat(), ParseError::NotJson),
        ([&b"{"[..], &vec![0; many], b"}"].concat(), ParseError::NotJson),
        ([&b"{\"a\":\""[..], &vec![0xff; many], b"\"}"].concat(), ParseError::NotJson),
        ([&b"{\"a\":\""[..], &b"\xe2\x82".repeat(many), b"\"}"].concat(), ParseError::NotJson),
        (vec![0; many], ParseError::NotObject),
        (vec![0x16; many], ParseError::NotObject),
        (b"\xef\xbb\xbf{}".to_vec(), ParseError::NotObject),
        (b"\x16\x03\x01\x02\x00\x01\x00".to_vec(), ParseError::NotObject),
        (b"GET / HTTP/1.1".to_vec(), ParseError::NotObject),
    ];
    let mut parser = Parser::new();
    for (line, error) in &lines {
        let shown = String::from_utf8_lossy(&line[..line.len().min(30)]);
        assert_eq!(by_parser(&mut parser, line), Err(*error), "{shown}");
        let sound = by_parser(&mut parser, br#"{"id":7,"result":true}"#).expect("sound");
        assert_eq!(sound.id.as_deref(), Some("7"), "after {shown}");
    }
}

#[test]
fn a_line_at_its_limits_is_taken() {
    let nested = JSON_DEPTH_MAX - 1;
    let deep = format!("{{\"id\":{}{}}}", "[".repeat(nested), "]".repeat(nested));
    let wide = format!("{{\"params\":[{}0],\"id\":1}}", "0,".repeat(MINER_LINE_BYTES_MAX / 2 - 20));
    let number = format!("{{\"id\":{}}}", "9".repeat(MINER_LINE_BYTES_MAX - 10));
    let brackets = format!("{{\"id\":\"\\\"{}\"}}", "[".repeat(1000));
    for line in [deep, wide, number, brackets] {
        assert!(by_parser(&mut Parser::new(), line.as_bytes()).is_ok(), "{}", &line[..40]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_refused_in_peace(tail in prop::collection::vec(any::<u8>(), 0..200), brace in any::<bool>()) {
        let line = [if brace { &b"{"[..] } else { b"" }, &tail].concat();
        let _ = by_parser(&mut Parser::new(), &line);
    }

    #[test]
    fn arbitrary_structure_is_read_in_peace(tail in "[{}\\[\\]:,\"\\\\0-9ntf ]{0,200}") {
        let _ = by_parser(&mut Parser::new(), format!("{{{tail}").as_bytes());
    }
}
