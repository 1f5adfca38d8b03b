//! Miners are served: on every shard, within bounds, in time.

use std::time::{Duration, Instant};

use adit::counters::Counter;
use adit::supervisor::Running;
use adit::supervisor::{StartError, Supervisor};
use adit_loadtest::peer::has_ipv6;
use adit_protocol::event::{CloseReason, Outcome};

use crate::support::*;

#[test]
fn a_share_goes_up_and_its_verdict_comes_down() {
    let adit = adit(accepting_pool(), |_| {});
    let mut miner = Peer::miner(&adit);
    for id in [4, 4, 17] {
        miner.submit(id).unwrap();
        assert_eq!(miner.line().unwrap().unwrap(), format!(r#"{{"id":{id},"result":true,"error":null}}"#));
    }
    let counters = adit.counters();
    assert_eq!(counters.shares(Outcome::Accepted), 3);
    assert_eq!((counters.get(Counter::Subscribed), counters.get(Counter::Authorised)), (1, 1));
    wait_until("latencies are published", || adit.latency().len() == 3);
    stop(adit);
}

#[test]
fn two_shards_both_serve_every_listener() {
    let adit = adit(accepting_pool(), |settings| {
        settings.shards = Some(2.try_into().unwrap());
        let other = if has_ipv6() { "[::1]:0" } else { "127.0.0.2:0" };
        settings.listeners.push(other.parse().unwrap());
    });
    assert_eq!(adit.listen_addrs().len(), 2);
    let mut miners: Vec<_> = (0..64).map(|n| Peer::connect(adit.listen_addrs()[n % 2])).collect();
    for miner in &mut miners {
        miner.log_in().unwrap();
        miner.submit(3).unwrap();
        assert!(miner.line().unwrap().unwrap().contains("true"));
    }
    let shards = adit.counters_by_shard();
    assert_eq!(shards.len(), 2);
    for shard in &shards {
        assert!(shard.get(Counter::Accepted) > 0 && shard.shares(Outcome::Accepted) > 0, "a shard idles");
        assert_eq!(shard.get(Counter::Accepted), shard.shares(Outcome::Accepted));
    }
    assert_eq!(adit.counters().shares(Outcome::Accepted), 64);
    stop(adit);
}

#[test]
fn a_second_adit_on_the_same_port_is_refused() {
    let pool = accepting_pool();
    let adit = adit(pool, |_| {});
    let taken = address(&adit);
    let second = Supervisor::start(settings(pool, |settings| settings.listeners = vec![taken]));
    let error = second.map(drop).expect_err("the port is taken");
    assert!(matches!(error, StartError::Listen(_)), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");
    stop(adit);
}

#[test]
fn connections_beyond_the_bounds_are_closed_and_places_come_back() {
    let adit = adit(accepting_pool(), |settings| settings.limits.connections_per_address_max = 2);
    let miners = [Peer::miner(&adit), Peer::miner(&adit)];
    assert_eq!(Peer::connect(address(&adit)).line().unwrap_or(None), None);
    wait_until("the refusal is counted", || adit.counters().get(Counter::RefusedAddress) == 1);
    drop(miners);
    wait_until("both are gone", || adit.connections_open() == 0);
    drop(Peer::miner(&adit));
    stop(adit);
}

#[test]
fn a_long_line_of_a_pool_arrives_as_it_was_sent() {
    let long =
        format!(r#"{{"id":null,"method":"client.show_message","params":["{}"]}}"#, "m".repeat(1_000_000));
    let sent = long.clone();
    let adit = adit(
        pool(move |mut peer| {
            while let Some(line) = peer.line()? {
                peer.answer(&line)?;
                if line.contains("authorize") {
                    peer.send(&sent)?;
                    peer.send(&job(1))?;
                }
            }
            Ok(())
        }),
        |settings| settings.limits.output_bytes_max = 4 << 20,
    );
    let mut miner = Peer::miner(&adit);
    assert!(miner.line().unwrap().unwrap() == long, "the line was changed");
    assert_eq!(miner.line().unwrap().unwrap(), job(1));
    stop(adit);
}

#[test]
fn deadlines_are_kept_to_ten_milliseconds() {
    const DEADLINE: Duration = Duration::from_millis(150);
    let adit =
        adit(accepting_pool(), |settings| settings.timeouts.first_request_ms = DEADLINE.as_millis() as u64);
    let mut rounds_count = 0;
    // The middle one of a round, beside what a thread that only sleeps is late by meanwhile: where others keep the
    // machine busy, nobody wakes in time. And a round again where that came in bursts.
    wait_until("most of a round's deadlines are kept", || {
        rounds_count += 1;
        let (mut late, mut sleeper_late): (Vec<_>, Vec<_>) = (0..9)
            .map(|_| {
                let sleeper = std::thread::spawn(|| {
                    let start = Instant::now();
                    std::thread::sleep(DEADLINE);
                    start.elapsed().saturating_sub(DEADLINE)
                });
                (lateness(&adit, DEADLINE), sleeper.join().unwrap())
            })
            .unzip();
        late.sort();
        sleeper_late.sort();
        println!("{late:?}, a sleeping thread {sleeper_late:?}");
        late[4] < Duration::from_millis(10) + 2 * sleeper_late[8]
    });
    assert_eq!(adit.counters().closed(CloseReason::FirstRequestTimeout), 9 * rounds_count);
    stop(adit);
}

/// How long after `deadline` a miner that says nothing is closed.
fn lateness(adit: &Running, deadline: Duration) -> Duration {
    let start = Instant::now();
    let mut silent = Peer::connect(address(adit));
    assert_eq!(silent.line().unwrap(), None);
    // The shard stamps the connection when it sees it, a little after we connected.
    start.elapsed().checked_sub(deadline).expect("closed too early")
}
