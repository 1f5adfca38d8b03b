//! Miners on the move: nothing of what they have on the way is lost, and nobody stays where it only fled to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};

use adit::pools::counters::PoolCounter;
use adit_admin::Command;
use adit_protocol::event::{CloseReason, Outcome};
use adit_protocol::pool::PoolId;

use crate::pools::{command, two_pools_at};
use crate::support::*;

/// A pool that answers the first submit when it is told to.
fn slow_pool(told: mpsc::Receiver<()>) -> SocketAddr {
    let told = Mutex::new(told);
    pool(move |mut peer| {
        while let Some(line) = peer.line()? {
            if line.contains("submit") {
                let _ = told.lock().unwrap().recv_timeout(LIMIT);
            }
            peer.answer(&line)?;
            if line.contains("authorize") {
                peer.send(&job(1))?;
            }
        }
        Ok(())
    })
}

/// A pool whose extranonce is another one.
fn other_pool() -> SocketAddr {
    pool(|mut peer| {
        while let Some(line) = peer.line()? {
            if line.contains("subscribe") {
                let id = id_of(&line);
                peer.send(&format!(r#"{{"id":{id},"result":[[],"beef",8],"error":null}}"#))?;
                continue;
            }
            peer.answer(&line)?;
            if line.contains("authorize") {
                peer.send(&job(1))?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_verdict_that_is_on_its_way_is_waited_for() {
    let (tell, told) = mpsc::channel();
    let adit = two_pools_at([other_pool(), slow_pool(told)], |settings| {
        settings.pools[0].enabled = false;
        let failover = &mut settings.failover;
        (failover.good_ms, failover.hold_ms, failover.failback_spread_ms) = (0, 0, 0);
        settings.timeouts.drain_ms = LIMIT.as_millis() as u64;
    });
    let mut miner = Peer::miner(&adit);
    assert!(miner.line().unwrap().unwrap().contains("mining.notify"));
    miner.submit(3).unwrap();
    command(&adit, &Command::EnablePool { pool: "one".to_owned() }).unwrap();
    let closes = || adit.figures().shards[0].pool_counters.of(PoolId(1)).get(PoolCounter::ClosesTo);
    wait_until("the miner is being closed", || closes() == 1);
    tell.send(()).unwrap();
    assert_eq!(miner.line().unwrap().as_deref(), Some(r#"{"id":3,"result":true,"error":null}"#));
    assert_eq!(miner.line().unwrap(), None);
    let counters = adit.counters();
    assert_eq!((counters.closed(CloseReason::Moved), counters.shares(Outcome::Unanswered)), (1, 0));
    stop(adit);
}

#[test]
fn a_miner_whose_own_connection_broke_goes_back_to_a_pool_that_is_well() {
    let (tell, came) = mpsc::channel();
    let (tell, is_first) = (Mutex::new(tell), AtomicBool::new(true));
    let well = pool(move |mut peer| {
        while let Some(line) = peer.line()? {
            if line.contains("submit") && is_first.swap(false, Ordering::Relaxed) {
                return Ok(());
            }
            peer.answer(&line)?;
            if line.contains("authorize") {
                peer.send(&job(1))?;
                // The test is over: nobody listens.
                let _ = tell.lock().unwrap().send(());
            }
        }
        Ok(())
    });
    let (_, told) = mpsc::channel();
    let adit = two_pools_at([well, slow_pool(told)], |settings| {
        (settings.failover.hold_ms, settings.failover.failback_spread_ms) = (0, 0);
    });
    let mut miner = Peer::miner(&adit);
    came.recv_timeout(LIMIT).unwrap();
    miner.submit(3).unwrap();
    let moved_to = |pool| adit.figures().shards[0].pool_counters.of(PoolId(pool)).get(PoolCounter::LiveTo);
    wait_until("it works for the other pool", || moved_to(2) == 1);
    wait_until("it is back", || moved_to(1) == 1);
    came.recv_timeout(LIMIT).unwrap();
    assert_eq!(adit.counters().closed_total(), 0);
    drop(miner);
    stop(adit);
}
