//! What operators are told about workers: over shards, after they left, and after a restart.

use std::time::Duration;

use adit::control::Operators;
use adit::reload::Configured;
use adit::supervisor::Running;
use adit_admin::Control;
use adit_admin::view::{Worker, WorkerState};
use crossbeam::channel;

use crate::support::*;

const MINERS: u64 = 20;

/// The one worker there is, as operators see it.
fn worker(operators: &Operators) -> Option<Worker> {
    let workers = operators.workers(LIMIT);
    assert_eq!(workers.shards_missing, 0);
    assert!(workers.all.len() <= 1, "{:?}", workers.all);
    workers.all.into_iter().next()
}

fn operators(adit: &Running) -> Operators {
    Operators::new(adit.figures().clone(), Configured::Fixed(""), channel::bounded(1).0)
}

/// Lets every one of [`MINERS`] miners have one share at difficulty 1,000 accepted.
fn mine(adit: &Running) -> Vec<Peer> {
    let mut miners: Vec<_> = (0..MINERS).map(|_| Peer::connect(address(adit))).collect();
    for miner in &mut miners {
        miner.log_in().unwrap();
        assert!(miner.line().unwrap().unwrap().contains("set_difficulty"));
        miner.submit(7).unwrap();
        miner.line().unwrap().unwrap();
    }
    miners
}

/// A pool that gives everybody difficulty 1,000.
fn pool_with_difficulty() -> std::net::SocketAddr {
    pool(|mut peer| {
        while let Some(line) = peer.line()? {
            peer.answer(&line)?;
            if line.contains("mining.authorize") {
                peer.send(r#"{"id":null,"method":"mining.set_difficulty","params":[1000]}"#)?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_worker_on_two_shards_is_told_once_and_stays_when_it_is_gone() {
    let adit = adit(pool_with_difficulty(), |settings| settings.shards = Some(2.try_into().unwrap()));
    let operators = operators(&adit);
    assert_eq!(worker(&operators), None);
    let miners = mine(&adit);
    wait_until("each is counted", || {
        worker(&operators).is_some_and(|worker| worker.shares.total() == MINERS)
    });
    let online = worker(&operators).unwrap();
    assert_eq!((&*online.name, online.state), ("account.rig", WorkerState::Online));
    assert_eq!((u64::from(online.connections), online.shares.accepted), (MINERS, MINERS));
    assert!((online.shares.accepted_difficulty - 1_000.0 * MINERS as f64).abs() < 1e-6);
    assert!((online.difficulty - 1_000.0).abs() < 1e-9);
    assert_eq!(online.user_agent.as_deref(), Some("test/1.0"));
    assert_eq!(online.address.as_deref(), Some("127.0.0.1"));
    assert!(online.last_share_ms.is_some() && online.last_seen_ms >= online.first_seen_ms);
    wait_until("there is a hashrate", || operators.snapshot(LIMIT).hashrate.m1 > 0.0);
    let snapshot = operators.snapshot(LIMIT);
    assert_eq!((snapshot.workers_online, snapshot.workers_known), (1, 1));
    assert!((snapshot.pools[0].shares.accepted_difficulty - online.shares.accepted_difficulty).abs() < 1e-6);

    drop(miners);
    wait_until("it is offline", || {
        worker(&operators)
            .is_some_and(|worker| worker.state == WorkerState::Offline && worker.connections == 0)
    });
    assert_eq!(worker(&operators).unwrap().shares.accepted, MINERS);
    assert_eq!(operators.snapshot(LIMIT).workers_online, 0);
    stop(adit);
}

#[test]
fn a_restart_does_not_blank_the_figures() {
    let directory = tempfile::tempdir().unwrap();
    let pool = pool_with_difficulty();
    let start = || adit(pool, |settings| settings.ledger = Some(directory.path().join("ledger.db")));
    let first = start();
    let miners = mine(&first);
    let before = {
        let operators = operators(&first);
        wait_until("each is counted", || worker(&operators).is_some_and(|worker| worker.hashrate.m1 > 0.0));
        worker(&operators).unwrap()
    };
    drop(miners);
    stop(first);

    let second = start();
    let operators = operators(&second);
    let after = worker(&operators).expect("it is remembered");
    assert_eq!((&after.name, after.state), (&before.name, WorkerState::Offline));
    assert_eq!((&after.address, &after.user_agent), (&before.address, &before.user_agent));
    assert!(after.first_seen_ms / 60_000 <= before.first_seen_ms / 60_000);
    // How much is the business of the formula's own tests; young figures vary with the second they are read in.
    assert!(after.hashrate.spans().iter().all(|&(_, rate)| rate > 0.0), "{after:?}");
    let snapshot = operators.snapshot(LIMIT);
    assert!(snapshot.hashrate.d7 > 0.0 && snapshot.pools[0].hashrate.d7 > 0.0, "{snapshot:?}");
    assert_eq!((snapshot.workers_online, snapshot.workers_known), (0, 1));

    // It comes back as the one it was, and adds to what it had.
    let _miners = mine(&second);
    wait_until("it is online", || {
        worker(&operators).is_some_and(|worker| worker.shares.accepted == MINERS && worker.connections > 0)
    });
    let back = worker(&operators).unwrap();
    assert_eq!((back.first_seen_ms, back.state), (after.first_seen_ms, WorkerState::Online));
    stop(second);
}

#[test]
fn a_shard_that_has_ended_is_told_at_once() {
    let adit = adit(accepting_pool(), |_| {});
    let figures = adit.figures().clone();
    stop(adit);
    let asked = std::time::Instant::now();
    assert_eq!(figures.workers(Duration::from_secs(60)).shards_missing, 1);
    assert!(asked.elapsed() < LIMIT);
}
