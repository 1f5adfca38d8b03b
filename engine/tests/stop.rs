//! Told to stop, Adit takes no more miners, lets open submits settle up to a limit, and ends. Told twice, it ends at once.

mod common;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use adit_loadtest::json_line::{JsonLine, Verdict};
use adit_loadtest::peer::PATIENCE;
use adit_loadtest::shapes::{SUCCESS_SHAPES, fill};
use adit_loadtest::wait;

use common::{Bench, id_of};

#[test]
fn open_submits_get_their_verdict_before_the_end() {
    for signal in ["TERM", "INT"] {
        let mut bench = Bench::new(&["--set", "timeouts.drain_ms=10000"]);
        let mut pair = bench.mining("a.b");
        let mut idle = bench.mining("c.d");
        let id = id_of(&pair.submit("7", "a.b"));
        bench.adit.signal(signal).unwrap();
        idle.miner.expect_close();
        let address = bench.adit.address();
        assert!(wait::until(PATIENCE, || TcpStream::connect(address).is_err()), "still listening");
        assert!(bench.adit.is_running());
        pair.pool.send_line(&fill(SUCCESS_SHAPES[0], &id)).unwrap();
        pair.miner.expect_line(&fill(SUCCESS_SHAPES[0], "7"));
        pair.miner.expect_close();
        let status = bench.adit.ends_within(PATIENCE).expect("it ends");
        assert!(status.success(), "{signal}: {status}");
    }
}

#[test]
fn a_pool_that_stays_silent_does_not_hold_up_the_end() {
    // Nothing else would end it before the test's patience does.
    let mut bench =
        Bench::new(&["--set", "timeouts.drain_ms=500", "--set", "timeouts.submit_reply_ms=60000"]);
    let mut pair = bench.mining("a.b");
    let _request = pair.submit("7", "a.b");
    let told = Instant::now();
    bench.adit.signal("TERM").unwrap();
    let answer = pair.miner.line();
    let message = JsonLine::read(answer.as_bytes()).unwrap();
    assert_eq!((message.id(), message.verdict()), (Some("7"), Verdict::Rejected(20)), "{answer}");
    pair.miner.expect_close();
    assert!(bench.adit.ends_within(PATIENCE).is_some_and(|status| status.success()));
    assert!(told.elapsed() >= Duration::from_millis(450), "{:?}", told.elapsed());
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut bench =
        Bench::new(&["--set", "timeouts.drain_ms=60000", "--set", "timeouts.submit_reply_ms=60000"]);
    let mut pair = bench.mining("a.b");
    let _request = pair.submit("7", "a.b");
    bench.adit.signal("TERM").unwrap();
    let address = bench.adit.address();
    assert!(wait::until(PATIENCE, || TcpStream::connect(address).is_err()), "still listening");
    assert!(bench.adit.is_running());
    bench.adit.signal("TERM").unwrap();
    assert!(bench.adit.ends_within(PATIENCE).is_some());
    drop(pair);
}

#[test]
fn without_open_submits_the_end_comes_at_once() {
    let mut bench = Bench::new(&["--set", "timeouts.drain_ms=60000"]);
    let mut pair = bench.mining("a.b");
    let silent = bench.miner();
    bench.adit.signal("TERM").unwrap();
    assert!(bench.adit.ends_within(PATIENCE).is_some_and(|status| status.success()));
    pair.miner.expect_close();
    pair.pool.expect_close();
    drop(silent);
}
