//! What one miner brings about is not held against the pool that all mine at.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use adit::counters::Counter;
use adit::pools::counters::PoolCounter;
use adit::settings::FailoverSettings;
use adit::supervisor::Running;
use adit_admin::view::PoolState;
use adit_protocol::event::Outcome;
use adit_protocol::pool::PoolId;

use crate::back_pressure::{flooding_pool, stalled_miner};
use crate::support::*;

/// More than the failures that take a pool down.
const TIMES: u32 = 6;
const POOL: PoolId = PoolId(1);

/// Adit before one pool that it gives up as readily as by default.
fn adit_before(pool: SocketAddr, submit_reply_ms: u64) -> Running {
    adit(pool, |settings| {
        settings.failover = FailoverSettings { rejects_run_count: 5, ..FailoverSettings::default() };
        settings.pools[0].timeouts.submit_reply_ms = submit_reply_ms;
    })
}

/// Nobody was told that the pool went down, and whoever comes is served.
#[track_caller]
fn assert_pool_is_in_use(adit: Running) {
    let mut miner = Peer::miner(&adit);
    miner.submit(1).unwrap();
    wait_until("a share is accepted", || adit.counters().shares(Outcome::Accepted) > 0);
    let history = adit.figures().pools.statuses.of(POOL).history;
    let went = |state| history.iter().any(|change| change.to == state);
    assert!(!went(PoolState::Down) && !went(PoolState::HalfOpen), "{history:?}");
    drop(miner);
    stop(adit);
}

#[test]
fn a_miner_that_the_pool_throws_out_again_and_again() {
    let pool = pool(|mut peer| {
        while let Some(line) = peer.line()? {
            if line.contains("bad") {
                return Ok(());
            }
            peer.answer(&line)?;
            if line.contains("subscribe") {
                peer.send(&job(1))?;
            }
        }
        Ok(())
    });
    let adit = adit_before(pool, 15_000);
    let mut bad = Peer::connect(address(&adit));
    bad.send(r#"{"id":1,"method":"mining.subscribe","params":["bad/1.0"]}"#).unwrap();
    wait_until("the pool has closed it often", || {
        let counters = adit.figures().shards[0].pool_counters.of(POOL);
        counters.get(PoolCounter::LoginsFailed) >= TIMES.into()
    });
    assert_pool_is_in_use(adit);
}

#[test]
fn a_miner_whose_shares_are_all_rejected() {
    let pool = pool(|mut peer| {
        while let Some(line) = peer.line()? {
            if line.contains("broken") && line.contains("submit") {
                let id = id_of(&line);
                peer.send(&format!(
                    r#"{{"id":{id},"result":null,"error":[23,"Low difficulty share",null]}}"#
                ))?;
                continue;
            }
            peer.answer(&line)?;
            if line.contains("authorize") {
                peer.send(&job(1))?;
            }
        }
        Ok(())
    });
    let adit = adit_before(pool, 15_000);
    let mut broken = Peer::connect(address(&adit));
    broken.send(r#"{"id":1,"method":"mining.subscribe","params":["test/1.0"]}"#).unwrap();
    broken.send(r#"{"id":2,"method":"mining.authorize","params":["account.broken","x"]}"#).unwrap();
    for id in 0..10 * TIMES {
        broken
            .send(&format!(
                r#"{{"id":{id},"method":"mining.submit","params":["account.broken","1","00000001","66252f80","{id:08x}"]}}"#
            ))
            .unwrap();
        wait_until("it is answered", || adit.counters().shares(Outcome::Rejected) == u64::from(id + 1));
    }
    assert_pool_is_in_use(adit);
}

#[test]
fn a_miner_that_submits_and_reads_nothing() {
    let adit = adit_before(flooding_pool(Arc::new(AtomicUsize::new(0))), 300);
    let mut deaf = stalled_miner(&adit);
    wait_until("its pool is paused", || adit.counters().get(Counter::Pauses) > 0);
    (0..TIMES).for_each(|id| deaf.submit(id).unwrap());
    wait_until("no verdict is read", || adit.counters().shares(Outcome::Unanswered) == u64::from(TIMES));
    assert_pool_is_in_use(adit);
    drop(deaf);
}
