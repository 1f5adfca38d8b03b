//! Two pools, and operators that say which is used.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc;

use adit::control::Operators;
use adit::reload::Configured;
use adit::settings::{GroupSettings, PoolSettings, Settings};
use adit_admin::{Caller, Command, Control, Refusal};

use crate::support::*;

/// A pool that gives everybody the same job, and tells of submits.
fn pool_with_jobs(submits: mpsc::Sender<String>) -> SocketAddr {
    let submits = std::sync::Mutex::new(submits);
    pool(move |mut peer| {
        while let Some(line) = peer.line()? {
            peer.answer(&line)?;
            if line.contains("authorize") {
                peer.send(&job(1))?;
            }
            if line.contains("submit") {
                // The test is over: nobody listens.
                let _ = submits.lock().unwrap().send(line);
            }
        }
        Ok(())
    })
}

/// Adit before two pools called `one` and `two`, of which the first comes first, and where submits arrive.
fn two_pools() -> (adit::supervisor::Running, [mpsc::Receiver<String>; 2]) {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..2).map(|_| mpsc::channel()).unzip();
    let addresses: Vec<_> = senders.into_iter().map(pool_with_jobs).collect();
    (two_pools_at([addresses[0], addresses[1]], |_| {}), receivers.try_into().unwrap())
}

/// The same before pools that a test has.
pub fn two_pools_at(
    addresses: [SocketAddr; 2],
    change: impl FnOnce(&mut Settings),
) -> adit::supervisor::Running {
    adit(addresses[0], |settings| {
        settings.pools = ["one", "two"]
            .iter()
            .zip(&addresses)
            .zip(1..)
            .map(|((name, address), priority)| PoolSettings {
                name: (*name).to_owned(),
                priority,
                ..PoolSettings::transparent("127.0.0.1", address.port())
            })
            .collect();
        settings.failover.grace_ms = 30_000;
        change(settings);
    })
}

pub fn command(adit: &adit::supervisor::Running, command: &Command) -> Result<u64, Refusal> {
    let (drain, _) = crossbeam::channel::bounded(1);
    let operators = Operators::new(adit.figures().clone(), Configured::Fixed(""), drain);
    let by = Caller { token: "ops".to_owned(), source: (IpAddr::V4(Ipv4Addr::LOCALHOST), 1).into() };
    operators.command(command, &by).map(|done| done.affected)
}

#[test]
fn a_pool_that_an_operator_disables_is_left_live_and_the_last_one_cannot_be() {
    let (adit, [at_one, at_two]) = two_pools();
    let mut miner = Peer::connect(address(&adit));
    miner.send(r#"{"id":0,"method":"mining.extranonce.subscribe","params":[]}"#).unwrap();
    miner.line().unwrap().unwrap();
    miner.log_in().unwrap();
    assert!(miner.line().unwrap().unwrap().contains("mining.notify"));
    miner.submit(3).unwrap();
    assert!(miner.line().unwrap().unwrap().contains("true"));
    at_one.recv_timeout(LIMIT).unwrap();

    let disable = |pool: &str| command(&adit, &Command::DisablePool { pool: pool.to_owned() });
    assert!(matches!(disable("three"), Err(Refusal::NotFound(_))));
    assert_eq!(disable("one"), Ok(1));
    let heard = std::iter::from_fn(|| miner.line().unwrap());
    let notify = heard.into_iter().find(|line| line.contains("mining.notify")).unwrap();
    assert!(notify.contains("true"), "a clean job: {notify}");
    let job: serde_json::Value = serde_json::from_str(&notify).unwrap();
    let job = job["params"][0].as_str().unwrap();
    miner
        .send(&format!(
            r#"{{"id":4,"method":"mining.submit","params":["account.rig","{job}","00000001","66252f80","00000004"]}}"#
        ))
        .unwrap();
    assert!(miner.line().unwrap().unwrap().contains("true"));
    at_two.recv_timeout(LIMIT).unwrap();
    assert!(matches!(disable("two"), Err(Refusal::Conflict(_))), "it is the last one");
    assert_eq!(adit.counters().closed_total(), 0);
    stop(adit);
}

#[test]
fn a_pool_of_another_group_stands_in_for_none() {
    let (sender, _submits) = mpsc::channel();
    let addresses = [pool_with_jobs(sender.clone()), pool_with_jobs(sender)];
    let adit = two_pools_at(addresses, |settings| {
        "other".clone_into(&mut settings.pools[1].group);
        settings.groups.push(GroupSettings { name: "other".to_owned(), warm_standby: 0 });
    });
    for command_of in [|pool| Command::DisablePool { pool }, |pool| Command::DrainPool { pool }] {
        let refused = command(&adit, &command_of("one".to_owned()));
        assert!(matches!(refused, Err(Refusal::Conflict(_))), "it is the last one of its group");
    }
    stop(adit);
}
