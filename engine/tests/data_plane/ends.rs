//! How connections end: last lines arrive, nothing is left behind.

use std::time::{Duration, Instant};

use adit::counters::Counter;
use adit::supervisor::Running;
use adit_protocol::event::{CloseReason, Outcome};

use crate::support::*;

#[test]
fn a_miner_that_closed_its_half_still_gets_the_verdict() {
    let adit = adit(
        pool(|mut peer| {
            while let Some(line) = peer.line()? {
                if line.contains("submit") {
                    std::thread::sleep(Duration::from_millis(100));
                }
                peer.answer(&line)?;
            }
            Ok(())
        }),
        |_| {},
    );
    let mut miner = Peer::miner(&adit);
    miner.submit(9).unwrap();
    miner.half_close();
    assert_eq!(miner.line().unwrap().unwrap(), r#"{"id":9,"result":true,"error":null}"#);
    assert_eq!(miner.line().unwrap(), None);
    wait_until("it is gone", || adit.connections_open() == 0);
    let counters = adit.counters();
    assert_eq!((counters.closed(CloseReason::MinerClosed), counters.shares(Outcome::Accepted)), (1, 1));
    stop(adit);
}

#[test]
fn the_last_lines_of_a_pool_arrive() {
    const JOBS: usize = 2_000;
    let adit = adit(
        pool(|mut peer| {
            for _ in 0..2 {
                let line = peer.line()?.unwrap();
                peer.answer(&line)?;
            }
            let jobs: Vec<_> = (0..JOBS).map(|n| job(n) + "\n").collect();
            std::io::Write::write_all(&mut peer.stream, jobs.concat().as_bytes())
            // And closes.
        }),
        |_| {},
    );
    let mut miner = Peer::miner(&adit);
    for n in 0..JOBS {
        assert_eq!(miner.line().unwrap().as_deref(), Some(&*job(n)));
    }
    assert_eq!(miner.line().unwrap(), None);
    drop(miner);
    wait_until("it is gone", || adit.connections_open() == 0);
    assert_eq!(adit.counters().closed(CloseReason::PoolClosed), 1);
    stop(adit);
}

#[test]
fn the_last_lines_of_a_miner_arrive() {
    const SUBMITS: u32 = 100;
    let (tell, told) = std::sync::mpsc::channel();
    let adit = adit(
        pool(move |mut peer| {
            let mut waiting = Vec::new();
            while let Some(line) = peer.line()? {
                if !line.contains("submit") {
                    peer.answer(&line)?;
                    continue;
                }
                waiting.push(line);
                tell.send(()).unwrap();
                // A verdict that finds nobody resets the miner's connection, and the kernel forgets what it still had to
                // send. So there is none before the last line is here.
                if waiting.len() == SUBMITS as usize {
                    waiting.drain(..).try_for_each(|line| peer.answer(&line))?;
                }
            }
            Ok(())
        }),
        |_| {},
    );
    let mut miner = Peer::miner(&adit);
    for id in 0..SUBMITS {
        miner.submit(id).unwrap();
    }
    drop(miner);
    for _ in 0..SUBMITS {
        told.recv_timeout(LIMIT).expect("all submits reach the pool");
    }
    wait_until("it is gone", || adit.connections_open() == 0);
    let counters = adit.counters();
    assert_eq!(counters.shares(Outcome::Accepted), u64::from(SUBMITS));
    stop(adit);
}

#[test]
fn a_pool_that_gives_no_job_is_given_up_however_much_it_says() {
    let adit = adit(
        pool(|mut peer| {
            for _ in 0..2 {
                let Some(line) = peer.line()? else { return Ok(()) };
                peer.answer(&line)?;
            }
            loop {
                peer.send(r#"{"id":null,"method":"mining.set_difficulty","params":[8]}"#)?;
                std::thread::sleep(Duration::from_millis(20));
            }
        }),
        |settings| settings.pools[0].timeouts.first_job_ms = 500,
    );
    let mut miner = Peer::miner(&adit);
    miner.rest().unwrap();
    wait_until("it is gone", || adit.connections_open() == 0);
    assert_eq!(adit.counters().closed(CloseReason::PoolGaveNoJob), 1);
    stop(adit);
}

#[test]
fn resets_of_either_side_end_the_pair() {
    let adit = adit(
        pool(|mut peer| {
            while let Some(line) = peer.line()? {
                peer.answer(&line)?;
                if line.contains("submit") {
                    socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO))?;
                    return Ok(());
                }
            }
            Ok(())
        }),
        |_| {},
    );
    let miner = Peer::miner(&adit);
    socket2::SockRef::from(&miner.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(miner);
    wait_until("the miner's reset is seen", || adit.counters().closed(CloseReason::MinerBroken) == 1);
    let mut miner = Peer::miner(&adit);
    miner.submit(1).unwrap();
    miner.rest().unwrap_or_default();
    wait_until("the pool's reset is seen", || adit.counters().closed_total() == 2);
    wait_until("both are gone", || adit.connections_open() == 0);
    stop(adit);
}

#[test]
fn stopping_lets_open_submits_settle_and_takes_no_new_miners() {
    let adit = adit(
        pool(|mut peer| {
            while let Some(line) = peer.line()? {
                if line.contains("submit") {
                    std::thread::sleep(Duration::from_millis(200));
                }
                peer.answer(&line)?;
            }
            Ok(())
        }),
        |_| {},
    );
    let address = address(&adit);
    let mut miner = Peer::miner(&adit);
    let mut idle = Peer::miner(&adit);
    submit_under_way(&adit, &mut miner);
    adit.stop(LIMIT);
    assert_eq!(idle.line().unwrap(), None);
    assert_eq!(miner.line().unwrap().unwrap(), r#"{"id":7,"result":true,"error":null}"#);
    assert_eq!(miner.line().unwrap(), None);
    assert!(std::net::TcpStream::connect(address).is_err(), "still listening");
    drop((miner, idle));
    let start = Instant::now();
    let counters = adit.counters();
    adit.join().unwrap();
    assert!(start.elapsed() < LIMIT / 2);
    assert_eq!(counters.closed(CloseReason::Stopping), 2);
    assert_eq!(counters.shares(Outcome::Accepted), 1);
}

#[test]
fn a_second_stop_does_not_wait() {
    let adit = adit(
        pool(|mut peer| {
            while let Some(line) = peer.line()? {
                if !line.contains("submit") {
                    peer.answer(&line)?;
                }
            }
            Ok(())
        }),
        |_| {},
    );
    let mut miner = Peer::miner(&adit);
    submit_under_way(&adit, &mut miner);
    let start = Instant::now();
    adit.stop(LIMIT);
    adit.stop(LIMIT);
    wait_until("the share is booked", || adit.counters().shares(Outcome::Unanswered) == 1);
    adit.join().unwrap();
    assert!(start.elapsed() < LIMIT / 2, "{:?}", start.elapsed());
}

/// What they leave in memory is measured on a process of its own, in `churn.rs`: other tests run beside this one.
#[test]
fn connections_that_come_and_go_are_all_counted_and_gone() {
    const COUNT: usize = 20_000;
    let adit = adit(accepting_pool(), |_| {});
    let target = address(&adit);
    for batch in 0..COUNT / 100 {
        let miners: Vec<_> = (0..100).map(|n| come_and_go(target, batch * 100 + n)).collect();
        drop(miners);
    }
    wait_until("all are gone", || adit.connections_open() == 0);
    let counters = adit.counters();
    // Those that were reset before they could be looked at are counted as failed.
    let seen = counters.get(Counter::Accepted) + counters.get(Counter::AcceptFailed);
    assert_eq!((seen, counters.open()), (COUNT as u64, 0));
    assert_eq!(counters.closed_total(), counters.get(Counter::Accepted));
    stop(adit);
}

/// Submits, and returns when Adit has read it.
fn submit_under_way(adit: &Running, miner: &mut Peer) {
    let before = adit.counters().get(Counter::BytesFromMiners);
    miner.submit(7).unwrap();
    wait_until("the submit is read", || adit.counters().get(Counter::BytesFromMiners) > before);
}

/// A connection of one of several kinds. Each tenth goes all the way to the pool.
fn come_and_go(target: std::net::SocketAddr, n: usize) -> Peer {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    // Several source addresses, so that ports in TIME_WAIT do not run out.
    let source = std::net::Ipv4Addr::new(127, 0, 1, (n / 100 % 200) as u8 + 1);
    socket.bind(&std::net::SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&target.into()).unwrap();
    let mut miner = Peer::new(socket.into());
    match n % 10 {
        0 => miner.log_in().unwrap(),
        1 => miner.send("not stratum at all").unwrap(),
        2 => miner.send("{").unwrap(),
        3 => socket2::SockRef::from(&miner.stream).set_linger(Some(Duration::ZERO)).unwrap(),
        _ => {}
    }
    miner
}
