//! A miner that is closed so that it comes back to another pool loses nothing of what it has on the way.

use std::net::SocketAddr;
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
