//! The parser takes exactly the lines that `serde_json` takes, and reads the same in them.

use adit_protocol::parse::Parser;
use proptest::prelude::*;

use crate::reference::{Texts, by_parser, by_serde};

/// White space as it may stand between tokens.
fn space() -> impl Strategy<Value = String> {
    prop_oneof![6 => Just(String::new()), 1 => "[ \t\r]{1,3}", 1 => " {60,70}"]
}

/// Numbers, the odd ones too: huge, fractional, negative zero.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,8})?([eE][+-]?[0-9]{1,4})?",
    ]
}

/// The inside of a string without escapes.
fn plain() -> impl Strategy<Value = String> {
    prop_oneof!["[ -!#-\\[\\]-~]{0,12}", "[0-9a-f]{60,140}", "[ \u{7f}-\u{2fff}\u{10000}-\u{10fff}]{0,6}"]
}

/// The inside of a string with escapes.
fn escaped() -> impl Strategy<Value = String> {
    prop::collection::vec(prop_oneof![plain(), "\\\\[\"\\\\/bfnrt]", "\\\\u[0-9a-fA-F]{4}"], 1..4)
        .prop_map(|parts| parts.concat())
}

fn scalar(escapes: bool) -> BoxedStrategy<String> {
    let text = if escapes { prop_oneof![plain(), escaped()].boxed() } else { plain().boxed() };
    prop_oneof![
        2 => number(),
        1 => prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(String::from),
        3 => text.prop_map(|text| format!("\"{text}\"")),
    ]
    .boxed()
}

fn joined(open: char, parts: &[String], close: char, space: &str) -> String {
    format!("{open}{space}{}{close}", parts.join(&format!("{space},{space}")))
}

fn value(escapes: bool) -> BoxedStrategy<String> {
    scalar(escapes)
        .prop_recursive(3, 12, 4, move |inner| {
            let array = (prop::collection::vec(inner.clone(), 0..5), space())
                .prop_map(|(items, space)| joined('[', &items, ']', &space));
            let member =
                (plain(), space(), inner).prop_map(|(key, space, value)| format!("\"{key}\"{space}:{value}"));
            let object = (prop::collection::vec(member, 0..4), space())
                .prop_map(|(members, space)| joined('{', &members, '}', &space));
            prop_oneof![array, object]
        })
        .boxed()
}

/// Keys that are read, and others that are not.
const KEYS: [&str; 13] = [
    "id",
    "id",
    "method",
    "result",
    "error",
    "reject-reason",
    "params",
    "jsonrpc",
    "Id",
    "i",
    "",
    "errors",
    "params ",
];

fn key(escapes: bool) -> BoxedStrategy<String> {
    let known = prop::sample::select(&KEYS[..]).prop_map(String::from);
    if !escapes {
        return known.boxed();
    }
    // The same key with one letter escaped.
    let disguised = (known.clone(), any::<prop::sample::Index>()).prop_map(|(key, at)| match key.len() {
        0 => key,
        len => {
            let at = at.index(len);
            format!("{}\\u{:04x}{}", &key[..at], key.as_bytes()[at], &key[at + 1..])
        }
    });
    prop_oneof![3 => known, 1 => disguised].boxed()
}

/// A line that is a JSON object, with the members of messages in any order, some twice.
fn line(escapes: bool) -> BoxedStrategy<String> {
    let method = prop::sample::select(&["\"mining.submit\"", "\"mining.notify\"", "null", "\"x\"", "7"][..]);
    let item = prop_oneof![6 => scalar(escapes), 1 => value(escapes)];
    let params = (prop::collection::vec(item, 0..14), space());
    let member = prop_oneof![
        4 => (key(escapes), value(escapes)),
        1 => (Just("method".to_owned()), method.prop_map(String::from)),
        2 => (Just("params".to_owned()), params.prop_map(|(items, space)| joined('[', &items, ']', &space))),
    ];
    let member = (member, space(), space())
        .prop_map(|((key, value), before, behind)| format!("\"{key}\"{before}:{behind}{value}"));
    (space(), prop::collection::vec(member, 0..5), space(), space())
        .prop_map(|(before, members, space, behind)| {
            format!("{before}{}{behind}", joined('{', &members, '}', &space))
        })
        .boxed()
}

/// One small change to a line: what a broken peer or a tester might send.
#[derive(Clone, Debug)]
enum Change {
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Replace(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Repeat(prop::sample::Index, prop::sample::Index),
    /// Like insert, at one of the places where a number, a word or a string ends or starts.
    Touch(prop::sample::Index, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    let telling =
        prop::sample::select(&b"\"\\{}[]:,0-.eE+tfn \t\r\x0b\x0c\0\x1f\x7f\x80\xc3\xed\xff\xe2"[..]);
    prop_oneof![
        (at(), 1..4_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        (at(), prop::collection::vec(telling.clone(), 1..3))
            .prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), telling.clone()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (at(), telling).prop_map(|(at, byte)| Change::Touch(at, byte)),
        at().prop_map(Change::Cut),
        (at(), at()).prop_map(|(from, to)| Change::Repeat(from, to)),
    ]
}

fn changed(line: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = line.as_bytes().to_vec();
    for change in changes {
        let len = bytes.len();
        if len == 0 {
            break;
        }
        match change {
            Change::Remove(at, count) => drop(bytes.drain(at.index(len)..len.min(at.index(len) + count))),
            Change::Insert(at, new) => drop(bytes.splice(at.index(len)..at.index(len), new.iter().copied())),
            Change::Replace(at, byte) => bytes[at.index(len)] = *byte,
            Change::Touch(at, byte) => {
                let is_edge =
                    |pair: &[u8]| pair[0].is_ascii_alphanumeric() != pair[1].is_ascii_alphanumeric();
                let edges: Vec<usize> = (1..len).filter(|&edge| is_edge(&bytes[edge - 1..=edge])).collect();
                if let Some(&edge) = edges.get(at.index(edges.len().max(1))) {
                    bytes.insert(edge, *byte);
                }
            }
            Change::Cut(at) => bytes.truncate(at.index(len)),
            Change::Repeat(from, to) => {
                let part =
                    bytes[from.index(len).min(to.index(len))..from.index(len).max(to.index(len))].to_vec();
                bytes.extend(part);
            }
        }
    }
    bytes.retain(|&byte| byte != b'\n'); // the framer hands out none
    bytes
}

/// Both readings of a line, of which the second is right.
fn readings(line: &[u8]) -> (Option<Texts>, Option<Texts>) {
    (by_parser(&mut Parser::new(), line).ok(), by_serde(line))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_sound_line_is_read_as_serde_json_reads_it(line in any::<bool>().prop_flat_map(line)) {
        let (seen, right) = readings(line.as_bytes());
        prop_assert_eq!(seen, right);
    }

    #[test]
    fn a_damaged_line_is_taken_or_refused_as_serde_json_does(
        line in any::<bool>().prop_flat_map(line),
        changes in prop::collection::vec(change(), 1..3),
    ) {
        let line = changed(&line, &changes);
        let (seen, right) = readings(&line);
        prop_assert_eq!(seen, right, "{}", String::from_utf8_lossy(&line));
    }

    #[test]
    fn an_escape_elsewhere_changes_nothing(line in line(false)) {
        let escaped = line.replacen('{', r#"{"\n":0,"#, 1).replacen(r#"{"\n":0,}"#, r#"{"\n":0}"#, 1);
        let plain = by_parser(&mut Parser::new(), line.as_bytes());
        // Where no member follows, the comma above has to go, and white space may stand in between.
        prop_assume!(!line.trim_start_matches([' ', '\t', '\r', '{']).starts_with('}'));
        prop_assert_eq!(by_parser(&mut Parser::new(), escaped.as_bytes()), plain);
    }

    #[test]
    fn one_parser_reads_many_lines_as_fresh_ones_do(
        lines in prop::collection::vec((line(true), prop::collection::vec(change(), 0..2)), 1..8),
    ) {
        let mut parser = Parser::new();
        for (line, changes) in lines {
            let line = changed(&line, &changes);
            prop_assert_eq!(by_parser(&mut parser, &line), by_parser(&mut Parser::new(), &line));
        }
    }
}

#[test]
fn the_strategies_reach_both_sound_and_refused_lines() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = (any::<bool>().prop_flat_map(line), prop::collection::vec(change(), 0..2));
    let (mut sound, mut refused, mut with_items) = (0, 0, 0);
    for _ in 0..2000 {
        let (line, changes) = strategy.new_tree(&mut runner).expect("a tree").current();
        match by_serde(&changed(&line, &changes)) {
            Some(texts) => {
                sound += 1;
                with_items += usize::from(texts.items.is_some_and(|items| items.len() > 3));
            }
            None => refused += 1,
        }
    }
    assert!(
        sound > 500 && refused > 200 && with_items > 50,
        "{sound} sound, {refused} refused, {with_items} with items"
    );
}
