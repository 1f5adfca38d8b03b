//! Recorded sessions of real miners with real pools go through Adit byte for byte.
//!
//! What is not so is listed here, line by line. Beside that only the ids of requests differ upstream; miners get theirs
//! back. Without an account, worker names are the miner's own.

mod common;

use adit_loadtest::peer::PeerListener;
use adit_loadtest::replay::{Departure, Fate, Replay};
use adit_loadtest::transcript;

#[track_caller]
fn replay(text: &[u8], sessions: usize, departures: &[Departure]) {
    let pool = PeerListener::bind().expect("a loopback listener");
    let adit = common::adit(&common::url(&pool), &["--set", "timeouts.handshake_reply_ms=3000"]);
    let recorded = transcript::read(text).expect("a transcript");
    assert_eq!(recorded.len(), sessions);
    let mut replay = Replay::new(adit.address(), &pool, departures);
    let errors: Vec<String> = recorded.iter().filter_map(|session| replay.session(session).err()).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert!(replay.unused().is_empty(), "no line called for {:?}", replay.unused());
}

/// What Adit says before it closes to somebody who does not speak Stratum.
const BAD_LINE: &str = "{\"id\":null,\"result\":null,\"error\":[20,\"Not a Stratum request\",null]}\n";
const NOT_HTTP: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\
    content-length: 54\r\n\r\nThis port speaks Stratum V1 for miners, and no HTTP.\r\n";
const PROVOKING: &str = "normal session: configure after authorize, share, duplicate, low diff, bad fields";

const fn departure(session: &'static str, line: &'static str, fate: Fate) -> Departure {
    Departure { session, line, fate }
}

#[test]
fn cgminer_with_public_pool() {
    replay(include_bytes!("transcripts/cgminer__public-pool-regtest.txt"), 1, &[]);
}

#[test]
fn bitaxe_with_public_pool() {
    // public-pool ignores extranonce.subscribe.
    let departures = [departure(
        "1",
        "mining.extranonce.subscribe",
        Fate::AnsweredForPool(r#"{"id":4,"result":null,"error":[20,"pool did not answer",null]}"#),
    )];
    replay(include_bytes!("transcripts/bitaxe__public-pool-regtest.txt"), 1, &departures);
}

#[test]
fn bitaxe_with_ckpool() {
    replay(include_bytes!("transcripts/bitaxe__ckpool-lhr-regtest.txt"), 1, &[]);
}

#[test]
fn minerd_with_ckpool() {
    replay(include_bytes!("transcripts/minerd__ckpool-lhr-regtest.txt"), 1, &[]);
}

#[test]
fn minerd_with_ckpools_proxy() {
    // The miner must not leave Adit.
    let departures = [departure("1", "client.reconnect", Fate::Dropped)];
    replay(include_bytes!("transcripts/minerd__ckproxy-to-ckpool.txt"), 1, &departures);
}

#[test]
fn bfgminer_with_ckpool() {
    // Two probes for TLS are closed at once, before anything is read of them.
    let departures = [
        departure("1", "\u{16}\u{3}\u{1}", Fate::ClosedHere("")),
        departure("3", "\u{16}\u{3}\u{1}", Fate::ClosedHere("")),
    ];
    replay(include_bytes!("transcripts/bfg__ckpool-lhr-regtest.txt"), 4, &departures);
}

/// What the probe provokes from Adit, whichever pool is behind it.
const PROBED: [Departure; 10] = [
    departure(
        PROVOKING,
        "someone.else",
        Fate::AnsweredHere(r#"{"id":"other-user","result":null,"error":[24,"Unauthorized worker",null]}"#),
    ),
    departure("empty line", "", Fate::Dropped),
    departure("not JSON", "hello", Fate::ClosedHere(BAD_LINE)),
    departure("JSON array batch", "[{", Fate::ClosedHere(BAD_LINE)),
    departure("two objects in one line", "{", Fate::ClosedHere(BAD_LINE)),
    departure(
        "method missing",
        "{",
        Fate::AnsweredHere(r#"{"id":1,"result":null,"error":[20,"Method missing",null]}"#),
    ),
    departure(
        "submit before subscribe",
        "{",
        Fate::AnsweredHere(r#"{"id":1,"result":null,"error":[25,"Not subscribed",null]}"#),
    ),
    departure("HTTP GET", "GET", Fate::ClosedHere(NOT_HTTP)),
    // It never ends, so it never is a line.
    departure("line of 20000 bytes without newline", "{", Fate::Dropped),
    // 300 bytes of name.
    departure(
        "authorize as 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'",
        "authorize",
        Fate::AnsweredHere(r#"{"id":"auth","result":null,"error":[24,"Invalid worker name",null]}"#),
    ),
];

#[test]
fn the_probe_with_ckpool() {
    let again = "reconnect for extranonce.subscribe";
    let departures = [
        // ckpool takes this number for no id and closes.
        departure(
            PROVOKING,
            "12345678901234567890",
            Fate::AnsweredForPool(
                r#"{"id":12345678901234567890,"result":null,"error":[20,"pool connection lost",null]}"#,
            ),
        ),
        // ckpool ignores a second authorize and a second subscribe.
        departure(
            again,
            "\"a2\"",
            Fate::AnsweredForPool(r#"{"id":"a2","result":null,"error":[20,"pool did not answer",null]}"#),
        ),
        departure(
            again,
            "\"s2\"",
            Fate::AnsweredForPool(r#"{"id":"s2","result":[[],"6351016b",8],"error":null}"#),
        ),
    ];
    let departures = [&PROBED[..], &departures].concat();
    replay(include_bytes!("transcripts/probe__ckpool-lhr-testnet4.txt"), 33, &departures);
}

#[test]
fn the_probe_with_public_pool() {
    let departures = [
        // public-pool ignores extranonce.subscribe.
        departure(
            PROVOKING,
            "mining.extranonce.subscribe",
            Fate::AnsweredForPool(r#"{"id":"x","result":null,"error":[20,"pool did not answer",null]}"#),
        ),
    ];
    let departures = [&PROBED[..], &departures].concat();
    replay(include_bytes!("transcripts/probe__public-pool-testnet4.txt"), 32, &departures);
}
