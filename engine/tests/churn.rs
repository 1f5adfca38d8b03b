//! A hundred thousand connections come and go; descriptors and memory are where they were.
//!
//! `CHURN_CONNECTIONS` sets another number.

mod common;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use adit_loadtest::peer::{PATIENCE, Peer};
use adit_loadtest::process::Usage;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::CLIENT_HELLO;
use adit_loadtest::wait;
use socket2::{Domain, Socket, Type};

use common::adit;

const CONNECTIONS_DEFAULT: u32 = 100_000;
/// Connections open at the same time.
const BATCH: u32 = 200;
/// Made and closed before the first measurement: what the process keeps for reuse, it has by then.
const WARM_UP: u32 = 2_000;
/// What may be more afterwards: pages, not connections. A leak of 100 bytes per connection would be ten times this.
const KEPT_KIB_MAX: u64 = 1_024;

/// Connects from one of many loopback addresses: one alone runs out of ports.
fn connect(to: SocketAddr, number: u32) -> Peer {
    let source = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number / BATCH % 256);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((IpAddr::V4(source), 0)).into()).expect("a loopback source");
    socket.connect(&to.into()).expect("Adit accepts");
    Peer::from_stream(socket.into()).expect("a peer")
}

/// Makes connections of every kind and ends them in every way.
fn churn(adit: SocketAddr, connections: u32) {
    for first in (0..connections).step_by(BATCH as usize) {
        let mut batch: Vec<Peer> = (first..first + BATCH).map(|number| connect(adit, number)).collect();
        for (number, peer) in batch.iter_mut().enumerate() {
            let bytes: &[u8] = match number % 8 {
                0 => b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"churn\"]}\n",
                1 => b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n{\"half",
                2 => b"GET / HTTP/1.1\r\n\r\n",
                3 => &CLIENT_HELLO,
                4 => b"{\"id\":1,\"method\":\"mi",
                5 => b"\n",
                _ => b"",
            };
            let _ = peer.send(bytes); // what Adit closes at once may be closed already
        }
        for (number, mut peer) in batch.into_iter().enumerate() {
            match number % 8 {
                0 => drop(peer.line()),
                1 if number % 16 == 1 => {
                    peer.line();
                    peer.reset().expect("reset");
                }
                2 => {
                    peer.lines_until_close();
                }
                6 => peer.reset().expect("reset"),
                _ => {}
            }
        }
    }
}

#[test]
fn descriptors_and_memory_return_after_connections_without_number() {
    let connections = std::env::var("CHURN_CONNECTIONS").ok().and_then(|text| text.parse().ok());
    let connections = connections.unwrap_or(CONNECTIONS_DEFAULT);
    let pool = ScriptedPool::start(Script { job_every: None, ..Script::default() }).unwrap();
    let adit = adit(&pool.url(), &["--shards", "2"]);
    let empty = adit.usage().unwrap().descriptors;
    let settled = || -> Usage {
        assert!(
            wait::until(PATIENCE, || adit.usage().expect("usage").descriptors <= empty),
            "{empty} descriptors before, {:?} after",
            adit.usage()
        );
        adit.usage().expect("usage")
    };
    churn(adit.address(), WARM_UP);
    let before = settled();
    let start = std::time::Instant::now();
    churn(adit.address(), connections);
    let took = start.elapsed();
    let after = settled();
    println!("{connections} connections in {took:?}: before {before:?}, after {after:?}");
    assert!(after.resident_kib <= before.resident_kib + KEPT_KIB_MAX, "before {before:?}, after {after:?}");
    assert_eq!(after.threads, before.threads);
    assert!(wait::until(PATIENCE, || pool.log().open == 0), "connections to the pool are left");
    assert!(pool.log().accepted >= u64::from(connections) / 8);
}
