//! Peers that do not read: bounded, their partner paused, nobody else affected.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use adit::counters::Counter;
use adit_protocol::event::{CloseReason, Outcome};
use socket2::{Domain, Socket, Type};

use crate::support::*;

/// More than all socket buffers between pool and miner hold.
const FLOOD_JOBS: usize = 100_000;
/// Jobs per write of a flood: a write for each would be the slowest part of these tests.
const JOBS_PER_WRITE: usize = 100;
/// What a stalled miner's socket takes, so that a hundred of them need no gigabyte to stall.
const STALLED_RECEIVE_BYTES: usize = 4 * 1024;

/// A pool that logs miners in, and floods those whose name says so. Counts the jobs it could send.
pub fn flooding_pool(sent: Arc<AtomicUsize>) -> std::net::SocketAddr {
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
pub fn stalled_miner(adit: &adit::supervisor::Running) -> Peer {
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

/// What Adit has counted so far.
type Counted = Box<dyn Fn(Counter) -> u64 + Send + Sync>;

/// A pool that is paused, then answers its first share, as soon as `go` allows it to, and resets the connection behind the
/// answer. Tells when it has done so. It looks at Adit's own counters: what waits in the kernels while it is paused must be
/// little, or the answer would find no room there and be lost with the reset.
fn pool_that_answers_and_resets(
    counted: Arc<OnceLock<Counted>>,
    go: Receiver<()>,
    done: Sender<()>,
) -> std::net::SocketAddr {
    let go = Mutex::new(go);
    pool(move |mut peer| {
        let mut submit = None;
        let mut flood = false;
        while let Some(line) = peer.line()? {
            flood |= line.contains("flood");
            if flood && line.contains("submit") {
                submit = Some(line);
                break;
            }
            peer.answer(&line)?;
        }
        let Some(submit) = submit else { return Ok(()) };
        let jobs: String = (0..JOBS_PER_WRITE).map(|n| job(n) + "\n").collect();
        let count = |counter| counted.get().map_or(0, |counted| counted(counter));
        let mut sent = 0;
        while count(Counter::Pauses) == 0 {
            peer.stream.write_all(jobs.as_bytes())?;
            sent += jobs.len() as u64;
            wait_until("they are read, or it is paused", || {
                count(Counter::BytesFromPools) >= sent || count(Counter::Pauses) > 0
            });
        }
        go.lock().unwrap().recv_timeout(LIMIT).unwrap();
        peer.answer(&submit)?;
        socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO))?;
        drop(peer);
        done.send(()).map_err(|_| std::io::ErrorKind::Other.into())
    })
}

#[test]
fn a_verdict_that_came_before_a_reset_reaches_the_miner_though_a_send_finds_the_reset_first() {
    let (tell_to_go, go) = mpsc::channel();
    let (done, is_done) = mpsc::channel();
    let counted = Arc::new(OnceLock::<Counted>::new());
    let adit = adit(pool_that_answers_and_resets(counted.clone(), go, done), |settings| {
        settings.limits.output_bytes_max = 16 << 20;
    });
    let figures = adit.figures().clone();
    assert!(counted.set(Box::new(move |counter| figures.counters().get(counter))).is_ok());
    let mut miner = stalled_miner(&adit);
    miner.submit(3).unwrap();
    wait_until("the pool is paused", || adit.counters().get(Counter::Pauses) > 0);
    // The shard has turned since, so the receive is at rest.
    drop(Peer::miner(&adit));
    tell_to_go.send(()).unwrap();
    is_done.recv_timeout(LIMIT).unwrap();
    miner.submit(4).unwrap();
    let mut answers = Vec::new();
    while let Some(line) = miner.line().unwrap() {
        if !line.contains("\"method\"") {
            answers.push(line);
        }
    }
    assert_eq!(answers[2], r#"{"id":3,"result":true,"error":null}"#, "{answers:?}");
    assert!(answers[3].starts_with(r#"{"id":4,"result":null,"error":[20,"#), "{answers:?}");
    let counters = adit.counters();
    let outcomes = [Outcome::Accepted, Outcome::Unanswered].map(|outcome| counters.shares(outcome));
    assert_eq!((outcomes, answers.len()), ([1, 1], 4));
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
    let mut took: Vec<_> = (0..200)
        .map(|id| {
            let start = Instant::now();
            miner.submit(id).unwrap();
            assert!(miner.line().unwrap().unwrap().contains("true"));
            start.elapsed()
        })
        .collect();
    // None had to wait until the stalled ones were given up, and but for what the machine does beside, none at all.
    assert_eq!(adit.counters().closed(CloseReason::MinerNotReading), 0);
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_millis(500), "{took:?}");
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
