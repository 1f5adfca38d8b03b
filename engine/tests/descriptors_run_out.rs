//! When the process has no descriptor left. One test, since it takes all of them.

#[path = "data_plane/support.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::fs::File;
use std::time::{Duration, Instant};

use adit::counters::Counter;
use support::*;

#[test]
fn adit_outlives_a_lack_of_descriptors_without_spinning() {
    let adit = adit(accepting_pool(), |_| {});
    let mut fillers: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(File::open("/dev/null").is_err());
    // The miner's end takes the only one, so there is none for ours.
    drop(fillers.pop());
    let waiting = std::net::TcpStream::connect(address(&adit)).unwrap();
    wait_until("accept fails", || adit.counters().get(Counter::AcceptExhausted) > 0);
    let (start, before) = (Instant::now(), adit.counters().get(Counter::AcceptExhausted));
    std::thread::sleep(Duration::from_millis(500));
    let tries = adit.counters().get(Counter::AcceptExhausted) - before;
    let tries_max = start.elapsed().as_millis() as u64 / 100 + 2;
    assert!((1..=tries_max).contains(&tries), "{tries} tries in {:?}", start.elapsed());

    drop(fillers);
    let mut miner = Peer::new(waiting);
    miner.log_in().unwrap();
    miner.submit(1).unwrap();
    assert!(miner.line().unwrap().unwrap().contains("true"));
    drop(miner);
    stop(adit);
}
