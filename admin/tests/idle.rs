//! A crowd of idle clients. Alone in its binary, so that the threads and the memory of the process are those of one server.

mod common;

use std::fs;
use std::net::TcpStream;

use adit_admin::limits::{CONNECTIONS_COUNT_MAX, HANDLERS_COUNT};
use common::control::FakeControl;
use common::http::{Client, get};
use common::{serve, wait_until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const IDLE_COUNT: usize = 1_000;
/// Descriptors for all else: the server's ends of those that it keeps, and its own.
const OTHER_DESCRIPTORS: usize = CONNECTIONS_COUNT_MAX + 100;
const LIVE: &str = "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_thousand_idle_connections_take_neither_threads_nor_memory_nor_the_place_of_others() {
    let idle_count = IDLE_COUNT.min(raise_descriptor_limit() - OTHER_DESCRIPTORS);
    if idle_count < IDLE_COUNT {
        println!("SHRUNK: {idle_count} clients instead of {IDLE_COUNT}, for there are too few descriptors");
    }
    let server = serve(FakeControl::well());
    let address = server.addresses()[0];
    assert_eq!(get(address, "/live").status, 200);
    let memory_kib = resident_kib();
    let mut kept = Client::connect(address);
    kept.send(LIVE);
    assert_eq!(kept.answer().unwrap().status, 200);
    let idle: Vec<_> = (0..idle_count)
        .map(|n| {
            let client = Client::connect(address);
            // The server may have closed it for a later one already.
            let _ = std::io::Write::write(&mut &client.stream, &LIVE.as_bytes()[..n % 20]);
            client
        })
        .collect();
    assert_eq!(get(address, "/live").status, 200, "a request finds a place among them");
    let count_open = || idle.iter().filter(|client| !has_ended(&client.stream)).count();
    wait_until("idle connections beyond the bound are closed", || count_open() < CONNECTIONS_COUNT_MAX);
    kept.send(LIVE);
    assert_eq!(kept.answer().unwrap().status, 200, "one that proved itself is kept");
    // The test harness, front, streams, handlers, and the accept thread and the pool of tiny_http.
    let threads = fs::read_dir("/proc/self/task").unwrap().count();
    assert!(threads <= 2 + 2 + HANDLERS_COUNT + 1 + 4 + HANDLERS_COUNT, "{threads} threads");
    let grown_kib = resident_kib().saturating_sub(memory_kib);
    // Both ends of every connection are in this process.
    assert!(grown_kib < 8 * 1024, "{grown_kib} KiB");
}

/// Raises the limit of descriptors as far as needed and allowed; what it is then.
fn raise_descriptor_limit() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = (IDLE_COUNT + OTHER_DESCRIPTORS) as u64;
    if current.is_some_and(|soft| soft < wanted) {
        let raised = Some(maximum.map_or(wanted, |hard| hard.min(wanted)));
        setrlimit(Resource::Nofile, Rlimit { current: raised, maximum }).expect("up to the hard limit");
    }
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |soft| soft as usize)
}

/// Whether the other end has closed, without waiting.
fn has_ended(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let result = stream.peek(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    !matches!(result, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
