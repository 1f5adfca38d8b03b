//! A pool that stays silent: the five methods are answered here after a deadline, never with an acceptance.

use std::time::Duration;

use adit_loadtest::json_line::{JsonLine, Verdict};
use adit_loadtest::peer::Heard;
use serde_json::json;

use crate::common::{Bench, PATIENCE, id_of};

/// Deadlines that a test waits for; the handshakes are longer than a busy machine holds up what is answered in time.
const SHORT: [&str; 4] =
    ["--set", "timeouts.handshake_reply_ms=3000", "--set", "timeouts.submit_reply_ms=200"];

#[track_caller]
fn error_of(line: &str) -> serde_json::Value {
    JsonLine::read(line.as_bytes()).expect("JSON").error()
}

#[test]
fn an_unanswered_configure_refuses_every_code_that_was_asked_for() {
    let bench = Bench::new(&SHORT);
    let mut miner = bench.miner();
    miner
        .send_line(r#"{"id":"c","method":"mining.configure","params":[["version-rolling","minimum-difficulty","x-1"],{"version-rolling.mask":"1fffe000"}]}"#)
        .unwrap();
    let mut pool = bench.pool.accept();
    assert!(pool.line().contains("mining.configure"));
    let line = miner.line();
    let answer = JsonLine::read(line.as_bytes()).expect("JSON");
    assert_eq!(answer.id(), Some("\"c\""));
    assert_eq!(answer.result(), json!({"version-rolling": false, "minimum-difficulty": false, "x-1": false}));
    assert!(answer.error().is_null());
    // node-stratum-pool goes on like this, and the miner mines without the extensions.
    miner.send_line(r#"{"id":2,"method":"mining.subscribe","params":[]}"#).unwrap();
    let id = id_of(&pool.line());
    pool.send_line(&format!(r#"{{"id":{id},"result":[[],"f0",4],"error":null}}"#)).unwrap();
    miner.expect_line(r#"{"id":2,"result":[[],"f0",4],"error":null}"#);
}

#[test]
fn an_unanswered_subscribe_gets_an_error_and_the_miner_is_let_go() {
    let bench = Bench::new(&SHORT);
    let mut miner = bench.miner();
    miner.send_line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#).unwrap();
    let mut pool = bench.pool.accept();
    let _request = pool.line();
    assert_eq!(error_of(&miner.line())[0], 20);
    miner.expect_close();
    pool.expect_close();
}

#[test]
fn an_unanswered_authorize_or_extranonce_subscribe_gets_an_error_and_the_session_goes_on() {
    let bench = Bench::new(&SHORT[..2]);
    let mut pair = bench.mining("a.b");
    for call in [r#""mining.authorize","params":["c.d","x"]"#, r#""mining.extranonce.subscribe","params":[]"#]
    {
        pair.miner.send_line(&format!(r#"{{"id":9,"method":{call}}}"#)).unwrap();
        let _request = pair.pool.line();
        let answer = pair.miner.line();
        assert!(answer.starts_with(r#"{"id":9,"#), "{answer}");
        assert_eq!(error_of(&answer)[0], 20, "{answer}");
    }
    let id = id_of(&pair.submit("10", "a.b"));
    pair.pool.send_line(&format!(r#"{{"id":{id},"result":true,"error":null}}"#)).unwrap();
    pair.miner.expect_line(r#"{"id":10,"result":true,"error":null}"#);
}

#[test]
fn an_unanswered_submit_is_never_called_accepted_also_when_the_verdict_comes_late() {
    let bench = Bench::new(&SHORT);
    let mut pair = bench.mining("a.b");
    let id = id_of(&pair.submit("\"s\"", "a.b"));
    let answer = pair.miner.line();
    let message = JsonLine::read(answer.as_bytes()).expect("JSON");
    assert_eq!(message.id(), Some("\"s\""));
    assert_eq!(message.verdict(), Verdict::Rejected(20));
    pair.pool.send_line(&format!(r#"{{"id":{id},"result":true,"error":null}}"#)).unwrap();
    pair.miner.expect_silence(Duration::from_millis(200));
}

#[test]
fn the_answers_of_a_slow_pool_come_behind_ours_in_the_miners_order() {
    let bench = Bench::new(&SHORT);
    let mut pair = bench.mining("a.b");
    pair.miner
        .send(
            b"{\"id\":1,\"method\":\"mining.configure\",\"params\":[[\"a\"],{}]}\n\
              {\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"c.d\",\"x\"]}\n",
        )
        .unwrap();
    let _configure = pair.pool.line();
    let id = id_of(&pair.pool.line());
    pair.pool.send_line(&format!(r#"{{"id":{id},"result":true,"error":null}}"#)).unwrap();
    pair.miner.expect_line(r#"{"id":1,"result":{"a":false},"error":null}"#);
    pair.miner.expect_line(r#"{"id":2,"result":true,"error":null}"#);
}

#[test]
fn miners_that_never_get_to_the_point_are_closed_at_their_deadlines() {
    let bench = Bench::new(&[
        "--set",
        "timeouts.first_request_ms=2000",
        "--set",
        "timeouts.subscribe_ms=2500",
        "--set",
        "timeouts.authorize_ms=3000",
    ]);
    let mut silent = bench.miner();
    let mut never_subscribes = bench.miner();
    never_subscribes.send_line(r#"{"id":1,"method":"mining.extranonce.subscribe","params":[]}"#).unwrap();
    let mut pool = bench.pool.accept();
    let _request = pool.line();
    let mut never_authorises = bench.subscribed();
    assert_eq!(silent.hear(PATIENCE), Heard::End(Vec::new()));
    assert!(never_subscribes.lines_until_close().len() <= 1);
    never_authorises.miner.expect_close();
    never_authorises.pool.expect_close();
}

#[test]
fn a_pool_without_a_byte_for_its_deadline_is_given_up() {
    let bench = Bench::new(&["--set", "timeouts.pool_silence_ms=3000"]);
    let mut pair = bench.mining("a.b");
    let _request = pair.submit("1", "a.b");
    assert_eq!(error_of(&pair.miner.line())[0], 20);
    pair.miner.expect_close();
    pair.pool.expect_close();
}
