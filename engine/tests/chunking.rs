//! However the bytes of either side are cut into segments, the other side gets the same.

mod common;

use std::fmt::Write as _;
use std::time::Duration;

use adit_loadtest::audit::Audit;
use adit_loadtest::peer::{PATIENCE, Peer};
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace};
use adit_loadtest::wait;

use common::{Bench, NOTIFY, adit, id_of, submit_line};

/// Long enough for Adit to see each piece alone, on most occasions.
const PAUSE: Duration = Duration::from_micros(50);
/// Longest line that Adit takes from a miner and from a pool, without the LF.
const MINER_LINE_BYTES_MAX: usize = 16 * 1024;
const POOL_LINE_BYTES_MAX: usize = 1024 * 1024;

/// Everything that came out on either side.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    by_pool: Vec<String>,
    by_miner: Vec<String>,
}

#[track_caller]
fn send(peer: &mut Peer, text: &str, piece_bytes: usize) {
    let pause = if piece_bytes >= text.len() { Duration::ZERO } else { PAUSE };
    peer.send_in_pieces(text.as_bytes(), piece_bytes, pause).expect("sent");
}

/// One session with everything in it, both sides cut into such pieces.
#[track_caller]
fn converse(bench: &Bench, miner_piece: usize, pool_piece: usize) -> Heard {
    let mut heard = Heard { by_pool: Vec::new(), by_miner: Vec::new() };
    let mut miner = bench.miner();
    let hello = "\r\n{\"id\":\"c\",\"method\":\"mining.configure\",\"params\":[[\"version-rolling\"],{}]}\r\n\
                 {\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"x/1\"]}\n\n\
                 {\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"j\\u00f6hn.t\\\"est\",\"x\"]}\n";
    send(&mut miner, hello, miner_piece);
    let mut pool = bench.pool.accept();
    for _ in 0..3 {
        heard.by_pool.push(pool.line());
    }
    let mut answers = String::new();
    for (request, result) in heard.by_pool.iter().zip(["{\"a\":1}", "[[],\"f000000a\",8]", "true"]) {
        writeln!(answers, "{{\"id\":{},\"result\":{result},\"error\":null}}", id_of(request)).unwrap();
    }
    write!(answers, "not JSON\n\r\n{NOTIFY}\n{{\"id\":null,\"method\":\"client.reconnect\"}}\r\n").unwrap();
    send(&mut pool, &answers, pool_piece);
    // Neither what is no Stratum nor client.reconnect comes down.
    for _ in 0..4 {
        heard.by_miner.push(miner.line());
    }
    let submits: String =
        (0..10).map(|n| submit_line(&format!("\"s{n}\""), "jöhn.t\\\"est") + "\n").collect();
    send(&mut miner, &submits, miner_piece);
    let mut verdicts = String::new();
    for _ in 0..10 {
        let submit = pool.line();
        writeln!(verdicts, "{{\"result\":true,\"id\":{},\"error\":null}}", id_of(&submit)).unwrap();
        heard.by_pool.push(submit);
    }
    send(&mut pool, &verdicts, pool_piece);
    for _ in 0..10 {
        heard.by_miner.push(miner.line());
    }
    heard
}

#[test]
fn any_chunking_of_either_side_gives_the_same_result() {
    let bench = Bench::new(&[]);
    let whole = converse(&bench, usize::MAX, usize::MAX);
    assert_eq!(whole.by_miner[3], NOTIFY);
    for (miner_piece, pool_piece) in
        [(1, usize::MAX), (usize::MAX, 1), (1, 1), (2, 3), (3, 2), (7, 5), (31, 64), (64, 31), (200, 127)]
    {
        let pieces = converse(&bench, miner_piece, pool_piece);
        assert_eq!(pieces, whole, "pieces of {miner_piece} and {pool_piece} bytes");
    }
}

#[test]
fn a_submit_may_be_cut_in_two_at_any_place() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let line = submit_line("\"x\"", "a.b") + "\n";
    for cut in 1..line.len() {
        let (head, tail) = line.as_bytes().split_at(cut);
        pair.miner.send(head).unwrap();
        std::thread::sleep(PAUSE);
        pair.miner.send(tail).unwrap();
        let request = pair.pool.line();
        let id = id_of(&request);
        assert_eq!(request, submit_line(&id, "a.b"), "cut at {cut}");
        let verdict = format!("{{\"id\":{id},\"result\":true,\"error\":null}}\n");
        let (head, tail) = verdict.as_bytes().split_at(cut % verdict.len());
        pair.pool.send(head).unwrap();
        std::thread::sleep(PAUSE);
        pair.pool.send(tail).unwrap();
        pair.miner.expect_line(r#"{"id":"x","result":true,"error":null}"#);
    }
}

#[test]
fn the_longest_lines_pass_whole_and_in_pieces() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let pad = |line: &str, length: usize| line.replace("PAD", &"p".repeat(length - (line.len() - 3)));
    let call =
        pad(r#"{"id":null,"method":"mining.suggest_difficulty","params":["PAD"]}"#, MINER_LINE_BYTES_MAX);
    assert_eq!(call.len(), MINER_LINE_BYTES_MAX);
    for piece in [usize::MAX, 4095, 1000] {
        send(&mut pair.miner, &format!("{call}\n"), piece);
        pair.pool.expect_line(&call);
    }
    let message = pad(r#"{"id":null,"method":"client.show_message","params":["PAD"]}"#, POOL_LINE_BYTES_MAX);
    assert_eq!(message.len(), POOL_LINE_BYTES_MAX);
    for piece in [usize::MAX, 65_537, 4095] {
        send(&mut pair.pool, &format!("{message}\n"), piece);
        pair.miner.expect_line(&message);
    }
}

#[test]
fn a_fleet_and_a_pool_that_write_byte_by_byte_mine_as_others_do() {
    let pool = ScriptedPool::start(Script { chunk_bytes: 1, ..Script::default() }).unwrap();
    let adit = adit(&pool.url(), &[]);
    let config = FleetConfig {
        chunk_bytes: 1,
        pace: Pace::InFlight(2),
        submits_max: 400,
        ..FleetConfig::new(adit.address(), 20)
    };
    let fleet = Fleet::start(&config).unwrap();
    assert!(wait::until(PATIENCE, || fleet.progress().answered() == 400));
    let report = fleet.finish(PATIENCE);
    let findings = Audit::new().miners(&report).pool("pool", &pool.stop()).run();
    findings.assert_clean();
    assert_eq!(findings.totals.accepted, 400);
}
