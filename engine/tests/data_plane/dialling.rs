//! Reaching the pool, or not.

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use adit_protocol::event::CloseReason;

use crate::support::*;

const SUBSCRIBE: &str = r#"{"id":1,"method":"mining.subscribe","params":[]}"#;

#[test]
fn a_scanner_costs_no_pool_connection() {
    let pool = TcpListener::bind("127.0.0.1:0").unwrap();
    pool.set_nonblocking(true).unwrap();
    let adit = adit(pool.local_addr().unwrap(), |_| {});
    let mut scanner = Peer::connect(address(&adit));
    scanner.send("GET / HTTP/1.1").unwrap();
    scanner.rest().unwrap_or_default();
    wait_until("it is closed", || adit.counters().closed(CloseReason::HttpOnPlainPort) == 1);
    assert!(pool.accept().is_err());
    stop(adit);
}

#[test]
fn a_refused_connect_closes_the_miner() {
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let adit = adit(refusing, |_| {});
    let mut miner = Peer::connect(address(&adit));
    miner.send(SUBSCRIBE).unwrap();
    miner.rest().unwrap();
    assert_eq!(adit.counters().closed(CloseReason::PoolUnreachable), 1);
    stop(adit);
}

#[test]
fn a_connect_that_nobody_answers_ends_at_its_deadline() {
    // A listener whose queue is full drops further connects silently, as a firewall does.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let full: TcpListener = socket.into();
    let pool = full.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = TcpStream::connect_timeout(&pool, Duration::from_millis(100)) {
        fillers.push(filler);
        assert!(fillers.len() < 100, "the queue does not fill");
    }
    let adit = adit(pool, |settings| settings.pools[0].timeouts.connect_ms = 300);
    let start = Instant::now();
    let mut miner = Peer::connect(address(&adit));
    miner.send(SUBSCRIBE).unwrap();
    miner.rest().unwrap();
    // The kernel's own patience is longer than that of these tests.
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    assert_eq!(adit.counters().closed(CloseReason::PoolConnectTimeout), 1);
    wait_until("the socket is closed", || adit.connections_open() == 0);
    stop(adit);
}

#[test]
fn a_miner_that_leaves_while_its_pool_is_dialled_is_forgotten() {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    socket.listen(0).unwrap();
    let full: TcpListener = socket.into();
    let pool = full.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = TcpStream::connect_timeout(&pool, Duration::from_millis(100)) {
        fillers.push(filler);
    }
    let adit = adit(pool, |settings| settings.timeouts.drain_ms = 100);
    let mut miner = Peer::connect(address(&adit));
    miner.send(SUBSCRIBE).unwrap();
    wait_until("it is dialled", || adit.counters().get(adit::counters::Counter::Dials) == 1);
    drop(miner);
    wait_until("it is gone", || adit.connections_open() == 0);
    assert_eq!(adit.counters().closed_total(), 1);
    stop(adit);
}

#[test]
fn every_address_of_a_name_is_tried() {
    // `localhost` is ::1 and 127.0.0.1 on most systems, and the pool has only the latter.
    let pool = accepting_pool();
    let adit = adit(pool, |settings| settings.pools[0].host = "localhost".into());
    let mut miner = Peer::miner(&adit);
    miner.submit(5).unwrap();
    assert!(miner.line().unwrap().unwrap().contains("true"));
    stop(adit);
}
