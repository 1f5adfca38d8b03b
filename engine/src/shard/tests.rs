//! What cannot be brought about or seen from outside: a bug in a session, what the plane allocates.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_admin::Events;
use adit_protocol::event::{CloseReason, Outcome};
use adit_protocol::moment::Moment;
use adit_store::outbox::{Inbox, OutboxLimits, outbox};
use crossbeam::channel;

use super::Seed;
use super::books::Books;
use super::mailbox::Mailbox;
use super::plane::Plane;
use super::workers::Question;
use crate::admission::Admission;
use crate::clock::Clock;
use crate::counters::{self, Counter, Counters};
use crate::latency::Recorder;
use crate::listen;
use crate::news::Line;
use crate::news::desk::Desk;
use crate::pools::control::PoolControl;
use crate::pools::counters::pool_counters;
use crate::pools::issued::Issued;
use crate::pools::places::Places;
use crate::pools::reserved::Reserved;
use crate::ring::eventfd::EventFd;
use crate::settings::{PoolSettings, Settings};
use crate::supervisor::{Running, Supervisor};
use crate::vitals;
use crate::workers::Registry;

const LIMIT: Duration = Duration::from_secs(10);
const PANIC: &[u8] = b"{\"panic\":";

/// Stands in for a bug in the session.
pub(super) fn panic_on_purpose(bytes: &[u8]) {
    assert!(!bytes.starts_with(PANIC), "on purpose");
}

/// A running Adit of one shard.
fn one_shard(pool: &TcpListener) -> Running {
    let port = pool.local_addr().unwrap().port();
    let mut settings = Settings::with_pool(PoolSettings::transparent("127.0.0.1", port));
    settings.listeners = vec![(Ipv4Addr::LOCALHOST, 0).into()];
    settings.shards = Some(1.try_into().unwrap());
    settings.pin = false;
    Supervisor::start(settings).unwrap()
}

#[test]
fn a_bug_in_a_session_ends_that_session_only() {
    let pool = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let adit = one_shard(&pool);
    let connect = || {
        let mut miner = TcpStream::connect(adit.listen_addrs()[0]).unwrap();
        miner.set_read_timeout(Some(LIMIT)).unwrap();
        miner.write_all(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n").unwrap();
        (miner, BufReader::new(pool.accept().unwrap().0))
    };
    let (mut good, mut good_pool) = connect();
    let (mut bad, mut bad_pool) = connect();
    let mut request = String::new();
    bad_pool.read_line(&mut request).unwrap();

    bad.write_all(PANIC).unwrap();
    let mut rest = Vec::new();
    bad.read_to_end(&mut rest).unwrap();
    bad_pool.read_to_end(&mut rest).unwrap();

    good_pool.read_line(&mut request).unwrap();
    good_pool
        .get_mut()
        .write_all(b"{\"id\":null,\"method\":\"client.show_message\",\"params\":[\"hi\"]}\n")
        .unwrap();
    let mut byte = [0];
    good.read_exact(&mut byte).unwrap();
    let counters = adit.counters();
    assert_eq!((counters.get(Counter::Panics), counters.closed(CloseReason::Panicked)), (1, 1));
    assert_eq!(counters.open(), 1);
    drop((good, good_pool));
    adit.stop(Duration::ZERO);
    adit.join().unwrap();
}

#[test]
fn a_call_that_comes_after_the_shard_went_to_sleep_leaves_nobody_asleep() {
    let pool = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let adit = one_shard(&pool);
    let mailbox = adit.mailboxes().remove(0);
    for _ in 0..20 {
        let start = Instant::now();
        while !mailbox.is_parked() {
            assert!(start.elapsed() < LIMIT);
            std::thread::sleep(Duration::from_millis(1));
        }
        mailbox.call_late();
        let mut miner = TcpStream::connect(adit.listen_addrs()[0]).unwrap();
        miner.set_read_timeout(Some(LIMIT)).unwrap();
        miner.write_all(b"{\"id\":1,\"method\":\"mining.none\",\"params\":[]\n").unwrap();
        let mut answer = String::new();
        BufReader::new(&miner).read_line(&mut answer).expect("the shard serves");
        assert!(answer.contains("error"), "{answer}");
    }
    adit.stop(Duration::ZERO);
    adit.join().unwrap();
}

/// Where a plane's news wait, and the one who listens to them.
type News = (Arc<Line>, adit_admin::events::Inbox);

/// A plane to be turned by hand, its counters, and a miner that is connected to it.
pub(super) fn plane(pool: &TcpListener) -> (Plane, Counters, TcpStream, Inbox, News) {
    let port = pool.local_addr().unwrap().port();
    let settings = Arc::new(Settings::with_pool(PoolSettings::transparent("127.0.0.1", port)));
    let listeners = listen::listen((Ipv4Addr::LOCALHOST, 0).into(), 1).unwrap();
    let miner = TcpStream::connect(listeners[0].local_addr().unwrap()).unwrap();
    miner.set_nodelay(true).unwrap();
    let (ring_eventfd, park_eventfd) = (Arc::new(EventFd::new().unwrap()), Arc::new(EventFd::new().unwrap()));
    let (writer, counters) = counters::counters();
    let (outbox, inbox) = outbox(Arc::default(), OutboxLimits::default());
    // Somebody listens, so that every share that is told of is.
    let events = Events::default();
    let heard = events.take_all().unwrap();
    let line = Line::new(0, Arc::default());
    let (clock, workers) = (Clock::start(), Registry::new(Arc::default()));
    let (control, reports) =
        PoolControl::new(settings.clone(), workers.clone(), clock, Events::default()).unwrap();
    let plane = Plane::new(Seed {
        workers,
        clock,
        listeners,
        mailbox: Arc::new(Mailbox::new(ring_eventfd.clone(), park_eventfd.clone())),
        ring_eventfd,
        park_eventfd,
        counters: writer,
        latency: Recorder::new().0,
        admission: Admission::new(&settings.limits),
        pools: control.published().view(),
        reserved: Reserved::default(),
        issued: Issued::default(),
        places: Places::default(),
        reports,
        pool_counters: pool_counters().0,
        books: Some(Books::new(outbox, clock, 0)),
        vitals: vitals::vitals().0,
        news: Desk::new(line.clone(), events, clock),
        settings,
    });
    (plane.unwrap(), counters, miner, inbox, (line, heard))
}

/// Turns until `socket` has bytes, and reads them.
fn read_while_turning(plane: &mut Plane, mut socket: &TcpStream, bytes: &mut [u8]) -> usize {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        // What a turn plans goes out with the next one, so none of them may wait.
        plane.turn(false).unwrap();
        match socket.read(bytes) {
            Ok(count) => return count,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    panic!("nothing came");
}

#[test]
fn a_share_from_socket_to_verdict_allocates_nothing() {
    let pool = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (mut plane, counters, mut miner, inbox, news) = plane(&pool);
    let mut bytes = [0; 4096];
    miner.write_all(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n").unwrap();
    miner.write_all(b"{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n").unwrap();
    pool.set_nonblocking(true).unwrap();
    let mut upstream = loop {
        plane.turn(false).unwrap();
        if let Ok((upstream, _)) = pool.accept() {
            break upstream;
        }
    };
    upstream.set_nodelay(true).unwrap();
    upstream.set_nonblocking(true).unwrap();
    miner.set_nonblocking(true).unwrap();

    let mut round = |bytes: &mut [u8], plane: &mut Plane| {
        let len = read_while_turning(plane, &upstream, bytes);
        for line in bytes[..len].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            // `{"id":N,"method":…`: the id as it stands.
            let (id, rest) = line[6..].split_at(line[6..].iter().position(|&byte| byte == b',').unwrap());
            let subscribe = rest.windows(9).any(|window| window == b"subscribe");
            let result = if subscribe { &b"[[],\"00\",4]"[..] } else { b"true" };
            for part in [b"{\"id\":", id, b",\"result\":", result, b",\"error\":null}\n"] {
                upstream.write_all(part).unwrap();
            }
        }
        read_while_turning(plane, &miner, bytes)
    };
    while counters.snapshot().get(Counter::Authorised) == 0 {
        round(&mut bytes, &mut plane);
    }
    let mut share = |plane: &mut Plane| {
        let submit = b"{\"id\":4,\"method\":\"mining.submit\",\"params\":[\"a.b\",\"j\",\"00000001\",\"66252f80\",\"00000001\"]}\n";
        (&miner).write_all(submit).unwrap();
        round(&mut bytes, plane);
    };
    // Buffers grow to what they need.
    (0..100).for_each(|_| share(&mut plane));
    let before = counters.snapshot().shares(Outcome::Accepted);
    let allocations = allocation_counter::measure(|| (0..1_000).for_each(|_| share(&mut plane)));
    assert!(counters.snapshot().shares(Outcome::Accepted) >= before + 999);
    assert_eq!(allocations.count_total, 0, "{allocations:?}");
    assert!(news.0.shares_waiting() > 1, "none of them was told of");
    let accepted = counters.snapshot().shares(Outcome::Accepted);
    let (reply, answer) = channel::bounded(1);
    plane.workers.answer(Question {
        index: 0,
        asked_at: Moment(0),
        from: 1,
        room: Vec::with_capacity(1),
        pools_room: Vec::new(),
        reply,
    });
    let worker = answer.try_recv().unwrap().workers.remove(0);
    assert_eq!((worker.connections, worker.shares.accepted), (1, accepted));
    assert_eq!(
        inbox.take_rows(usize::MAX, |row| assert_eq!(row.outcome, Outcome::Accepted)) as u64,
        accepted
    );
}
