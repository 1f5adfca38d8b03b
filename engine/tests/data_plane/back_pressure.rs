//! Peers that do not read: bounded, their partner paused, nobody else affected.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use adit::counters::Counter;
use adit_protocol::event::CloseReason;
use socket2::{Domain, Socket, Type};

use crate::support::*;

/// More than all socket buffers between pool and miner hold.
const FLOOD_JOBS: usize = 100_000;
/// Jobs per write of a flood: a write for each would be the slowest part of these tests.
const JOBS_PER_WRITE: usize = 100;
/// What a stalled miner's socket takes, so that a hundred of them need no gigabyte to stall.
const STALLED_RECEIVE_BYTES: usize = 4 * 1024;

/// A pool that logs miners in, and floods those whose name says so. Counts the jobs it could send.
fn flooding_pool(sent: Arc<AtomicUsize>) -> std::net::SocketAddr {
    pool(move |mut peer| {
        let mut flood = false;
        while let Some(line) = peer.line()? {
            flood |= line.contains("flood");
            peer.answer(&line)?;
            if flood && line.contains("authorize") {
                // Nobody interrupts it while it is blocked.
                peer.stream.set_write_timeout(None)?;
                for first in (0..FLOOD_JOBS).step_by(JOBS_PER_WRITE) {
                    let jobs: String = (first..first + JOBS_PER_WRITE).map(|n| job(n) + "\n").collect();
                    peer.stream.write_all(jobs.as_bytes())?;
                    sent.fetch_add(JOBS_PER_WRITE, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    })
}

fn flooded_miner(adit: &adit::supervisor::Running) -> Peer {
    log_in_to_be_flooded(Peer::connect(address(adit)))
}

/// One whose socket takes next to nothing.
fn stalled_miner(adit: &adit::supervisor::Running) -> Peer {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(STALLED_RECEIVE_BYTES).unwrap();
    socket.connect(&address(adit).into()).unwrap();
    log_in_to_be_flooded(Peer::new(socket.into()))
}

fn log_in_to_be_flooded(mut miner: Peer) -> Peer {
    miner.send(r#"{"id":1,"method":"mining.subscribe","params":["flood/1.0"]}"#).unwrap();
    miner.send(r#"{"id":2,"method":"mining.authorize","params":["account.rig","x"]}"#).unwrap();
    miner
}

#[test]
fn a_pool_is_paused_while_its_miner_does_not_read_and_nothing_is_lost() {
    let sent = Arc::new(AtomicUsize::new(0));
    let adit = adit(flooding_pool(sent.clone()), |settings| settings.limits.output_bytes_max = 4 << 20);
    let mut miner = flooded_miner(&adit);
    wait_until("the pool is paused", || adit.counters().get(Counter::Pauses) > 0);
    let mut last = (0, Instant::now());
    wait_until("the pool is stuck", || {
        let now = sent.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() > Duration::from_millis(200)
    });
    assert!(last.0 < FLOOD_JOBS, "the pool was never stopped");
    for _ in 0..2 {
        miner.line().unwrap().unwrap();
    }
    for n in 0..FLOOD_JOBS {
        assert_eq!(miner.line().unwrap().as_deref(), Some(&*job(n)));
    }
    assert_eq!(adit.counters().closed_total(), 0);
    stop(adit);
}

#[test]
fn a_miner_that_does_not_read_is_closed_at_the_bound() {
    let sent = Arc::new(AtomicUsize::new(0));
    let adit = adit(flooding_pool(sent), |settings| settings.limits.output_bytes_max = 8 * 1024);
    let miner = flooded_miner(&adit);
    let mut stuck_since = Instant::now();
    wait_until("it is closed", || {
        // It may come to a halt between the point where its pool is paused and the bound. Then it reads a little, and
        // the pool may go on.
        if stuck_since.elapsed() > Duration::from_millis(200) {
            stuck_since = Instant::now();
            let mut some = [0; 16 * 1024];
            let _ = (&miner.stream).read(&mut some); // Nothing is left to read once it is closed.
        }
        adit.counters().closed(CloseReason::MinerNotReading) == 1
    });
    wait_until("it is gone", || adit.connections_open() == 0);
    drop(miner);
    stop(adit);
}

#[test]
fn a_hundred_stalled_miners_do_not_stop_the_others() {
    let sent = Arc::new(AtomicUsize::new(0));
    let adit = adit(flooding_pool(sent), |_| {});
    let stalled: Vec<_> = (0..100).map(|_| stalled_miner(&adit)).collect();
    wait_until("all pools are paused", || adit.counters().get(Counter::Pauses) >= 100);
    let mut miner = Peer::miner(&adit);
    let mut slowest = Duration::ZERO;
    for id in 0..200 {
        let start = Instant::now();
        miner.submit(id).unwrap();
        assert!(miner.line().unwrap().unwrap().contains("true"));
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < LIMIT / 2, "{slowest:?}");
    drop(stalled);
    stop(adit);
}

#[test]
fn a_pool_that_does_not_read_pauses_its_miner() {
    let adit = adit(
        pool(|mut peer| {
            for _ in 0..2 {
                let line = peer.line()?.unwrap();
                peer.answer(&line)?;
            }
            // Reads nothing until the test is over.
            std::thread::sleep(LIMIT);
            Ok(())
        }),
        |settings| settings.limits.output_bytes_max = 4 << 20,
    );
    let mut miner = Peer::miner(&adit);
    miner.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let big = format!(r#"{{"id":null,"method":"client.unknown","params":["{}"]}}"#, "p".repeat(10_000));
    let mut sent = 0;
    while miner.send(&big).is_ok() {
        sent += big.len();
        assert!(sent < 512 << 20, "the miner was never stopped");
    }
    assert!(adit.counters().get(Counter::Pauses) > 0);
    assert_eq!(adit.counters().closed_total(), 0);
    drop(miner);
    adit.stop_now();
    adit.join().unwrap();
}
