//! A scripted pool against a peer driven by hand.

use std::time::Duration;

use super::*;
use crate::json_line::{JsonLine, Verdict};
use crate::peer::{Heard, PATIENCE, Peer};
use crate::shapes::FAILURE_SHAPES;
use crate::wait;

fn subscribed(pool: &ScriptedPool) -> Peer {
    let mut miner = Peer::connect(pool.address()).unwrap();
    miner.send_line(r#"{"id":"s","method":"mining.subscribe","params":["x"]}"#).unwrap();
    assert!(miner.line().starts_with(r#"{"id":"s","result":[["#));
    assert!(miner.line().contains("mining.set_difficulty"));
    assert!(miner.line().contains("mining.notify"));
    miner
}

fn verdict(line: &str) -> Verdict {
    JsonLine::read(line.as_bytes()).unwrap().verdict()
}

#[test]
fn shares_are_judged_and_written_down() {
    let pool = ScriptedPool::start(Script::default()).unwrap();
    let mut miner = subscribed(&pool);
    let submits = [
        (r#"{"id":1,"method":"mining.submit","params":["a.b","0","00","66252f80","00000000"]}"#, 24),
        (r#"{"id":2,"method":"mining.submit","params":["a.b"]}"#, 20),
    ];
    for (line, code) in submits {
        miner.send_line(line).unwrap();
        assert_eq!(verdict(&miner.line()), Verdict::Rejected(code));
    }
    miner.send_line(r#"{"id":3,"method":"mining.authorize","params":["a.b","x"]}"#).unwrap();
    miner.expect_line(r#"{"id":3,"result":true,"error":null}"#);
    let submits = [
        (r#"{"id":4,"method":"mining.submit","params":["a.b","0","00","66252f80","00000000"]}"#, 23),
        (r#"{"id":5,"method":"mining.submit","params":["a.b","7","00","66252f80","00000000"]}"#, 21),
    ];
    for (line, code) in submits {
        miner.send_line(line).unwrap();
        assert_eq!(verdict(&miner.line()), Verdict::Rejected(code));
    }
    drop(miner);
    assert!(wait::until(PATIENCE, || pool.log().open == 0));
    let log = pool.stop();
    let fits: Vec<Fit> = log.submits.iter().map(|submit| submit.fit).collect();
    assert_eq!(fits, [Fit::UnknownName, Fit::WrongSeal, Fit::UnknownJob]);
    assert_eq!(log.requests_of("mining.submit"), 4);
    assert_eq!(log.names.keys().collect::<Vec<_>>(), ["a.b"]);
}

#[test]
fn rules_shape_delay_and_double_answers() {
    let script = Script::default()
        .with(Rule::answer("a", FAILURE_SHAPES[3]))
        .with(Rule::twice("mining.authorize"))
        .with(Rule::late("b", Duration::from_millis(30)));
    let pool = ScriptedPool::start(script).unwrap();
    let mut miner = Peer::connect(pool.address()).unwrap();
    miner.send_line(r#"{"id":[1],"method":"b","params":[]}"#).unwrap();
    miner.send_line(r#"{"id":1,"method":"a","params":[]}"#).unwrap();
    miner.send_line(r#"{"id":2,"method":"mining.authorize","params":["n"]}"#).unwrap();
    miner.expect_line(r#"{"reject-reason":"Stale","result":false,"error":null,"id":1}"#);
    miner.expect_line(r#"{"id":2,"result":true,"error":null}"#);
    miner.expect_line(r#"{"id":2,"result":true,"error":null}"#);
    miner.expect_line(r#"{"id":[1],"result":null,"error":[-3,"Method not found",null]}"#);
}

#[test]
fn a_chunked_pool_sends_the_same_bytes() {
    let whole = ScriptedPool::start(Script::default()).unwrap();
    let bytewise = ScriptedPool::start(Script { chunk_bytes: 1, ..Script::default() }).unwrap();
    let lines = [&whole, &bytewise].map(|pool| {
        let mut miner = Peer::connect(pool.address()).unwrap();
        miner.send_line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#).unwrap();
        [miner.line(), miner.line(), miner.line()]
    });
    assert_eq!(lines[0], lines[1]);
}

#[test]
fn connections_end_in_the_way_that_was_asked_for() {
    let script = Script::default()
        .with(Rule::on("end", [Act::Send(b"last\n".to_vec()), Act::CloseSending]))
        .with(Rule::on("reset", [Act::Reset]))
        .with(Rule::on("close", [Act::Send(b"half".to_vec()), Act::Close]));
    let pool = ScriptedPool::start(script).unwrap();
    let ask = |method: &str| {
        let mut miner = Peer::connect(pool.address()).unwrap();
        miner.send_line(&format!(r#"{{"id":1,"method":"{method}"}}"#)).unwrap();
        miner
    };
    let mut miner = ask("end");
    miner.expect_line("last");
    assert_eq!(miner.hear(PATIENCE), Heard::End(vec![]));
    miner.send_line(r#"{"id":2,"method":"after the end"}"#).unwrap();
    assert!(wait::until(PATIENCE, || pool.log().requests_of("after the end") == 1));
    assert_eq!(ask("reset").hear(PATIENCE), Heard::Reset);
    assert_eq!(ask("close").hear(PATIENCE), Heard::End(b"half".to_vec()));
}

#[test]
fn a_frozen_pool_holds_its_tongue_until_it_thaws() {
    let pool = ScriptedPool::start(Script::default()).unwrap();
    let mut miner = subscribed(&pool);
    pool.freeze(true);
    miner.send_line(r#"{"id":1,"method":"mining.authorize","params":["n"]}"#).unwrap();
    let mut late = Peer::connect(pool.address()).unwrap();
    late.send_line(r#"{"id":1,"method":"mining.authorize","params":["n"]}"#).unwrap();
    miner.expect_silence(Duration::from_millis(50));
    pool.freeze(false);
    miner.expect_line(r#"{"id":1,"result":true,"error":null}"#);
    late.expect_line(r#"{"id":1,"result":true,"error":null}"#);
}

#[test]
fn a_killed_pool_resets_and_its_port_can_be_taken_again() {
    let pool = ScriptedPool::start(Script::default()).unwrap();
    let address = pool.address();
    let mut miner = subscribed(&pool);
    let log = pool.kill();
    assert_eq!(log.accepted, 1);
    assert_eq!(miner.hear(PATIENCE), Heard::Reset);
    let again = ScriptedPool::start_at(address, Script::default()).unwrap();
    subscribed(&again);
}
