//! When the process has no descriptor left. One test after the other, since each takes all of them.

#[path = "data_plane/support.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use adit::counters::Counter;
use adit::settings::FailoverSettings;
use adit_admin::view::PoolState;
use adit_protocol::pool::PoolId;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::*;

/// As many as these tests let the process have: all of them are taken, and a process may be allowed a million.
const DESCRIPTORS_MAX: u64 = 1_024;

/// Whose turn it is to take them.
static DESCRIPTORS: Mutex<()> = Mutex::new(());

fn take_turn() -> MutexGuard<'static, ()> {
    let turn = DESCRIPTORS.lock().unwrap_or_else(PoisonError::into_inner);
    let limit = getrlimit(Resource::Nofile);
    let current = Some(limit.current.map_or(DESCRIPTORS_MAX, |soft| soft.min(DESCRIPTORS_MAX)));
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    turn
}

#[test]
fn a_pool_that_no_socket_is_left_for_is_not_dead() {
    let _all = take_turn();
    let adit = adit(accepting_pool(), |settings| settings.failover = FailoverSettings::default());
    let mut miner = Peer::connect(address(&adit));
    wait_until("the miner is accepted", || adit.counters().get(Counter::Accepted) == 1);
    let fillers: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    miner.send(r#"{"id":1,"method":"mining.subscribe","params":[]}"#).unwrap();
    // More often than what takes a pool down. The tries get rarer, and the miner is answered after ten seconds.
    let failures = u64::from(FailoverSettings::default().failures_count);
    wait_until("there is no socket", || adit.counters().get(Counter::DialsFailed) > failures);
    drop(fillers);
    // Its request has waited meanwhile.
    assert!(miner.line().unwrap().unwrap().contains("f000000a"));
    let history = adit.figures().pools.statuses.of(PoolId(1)).history;
    assert!(history.iter().all(|change| change.to == PoolState::Up), "{history:?}");
    drop(miner);
    stop(adit);
}

#[test]
fn adit_outlives_a_lack_of_descriptors_without_spinning() {
    let _all = take_turn();
    let adit = adit(accepting_pool(), |_| {});
    let mut fillers: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(File::open("/dev/null").is_err());
    // The miner's end takes the only one, so there is none for ours.
    drop(fillers.pop());
    let waiting = std::net::TcpStream::connect(address(&adit)).unwrap();
    wait_until("accept fails", || adit.counters().get(Counter::AcceptExhausted) > 0);
    let (start, before) = (Instant::now(), adit.counters().get(Counter::AcceptExhausted));
    let tries = || adit.counters().get(Counter::AcceptExhausted) - before;
    wait_until("it tries again and again", || tries() >= 5);
    let tries = tries();
    let tries_max = start.elapsed().as_millis() as u64 / 100 + 2;
    assert!(tries <= tries_max, "{tries} tries in {:?}", start.elapsed());

    drop(fillers);
    let mut miner = Peer::new(waiting);
    miner.log_in().unwrap();
    miner.submit(1).unwrap();
    assert!(miner.line().unwrap().unwrap().contains("true"));
    drop(miner);
    stop(adit);
}
