//! Clients that are slow, silent, broken, greedy or malicious.

mod common;

use std::fs;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use adit_admin::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, REQUEST_TIME_MAX};
use common::control::FakeControl;
use common::http::{Client, get};
use common::serve;

const LIVE: &str = "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_connection_is_kept_and_pipelined_requests_are_answered_in_order() {
    let server = serve(FakeControl::well());
    let mut client = Client::connect(server.addresses()[0]);
    client.send(LIVE.repeat(3) + "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n" + LIVE);
    let statuses: Vec<_> = (0..5).map(|_| client.answer().unwrap().status).collect();
    assert_eq!(statuses, [200, 200, 200, 404, 200]);
    client.send("GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_eq!(client.answer().unwrap().header("connection"), Some("close"));
    assert!(client.is_over());
}

#[test]
fn a_request_may_come_byte_by_byte_and_its_sender_may_stop_sending() {
    let server = serve(FakeControl::well());
    let mut client = Client::connect(server.addresses()[0]);
    client.stream.set_nodelay(true).unwrap();
    for byte in LIVE.bytes() {
        client.send([byte]);
    }
    client.finish();
    assert_eq!(client.answer().unwrap().status, 200);
    assert!(client.is_over());
}

#[test]
fn what_could_be_smuggled_is_refused_and_ends_the_connection() {
    let server = serve(FakeControl::well());
    let address = server.addresses()[0];
    let inner = "GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let chunked = format!("0\r\n\r\n{inner}");
    let cases = [
        (501, format!("Transfer-Encoding: chunked\r\n\r\n{chunked}")),
        (501, format!("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}")),
        (501, format!("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{chunked}")),
        (501, format!("Transfer-Encoding: xchunked\r\n\r\n{chunked}")),
        (501, format!("Transfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n{chunked}")),
        (501, format!("tRANSFER-eNCODING: chunked, identity\r\n\r\n{chunked}")),
        (400, format!("Transfer-Encoding : chunked\r\n\r\n{chunked}")),
        (400, format!("X: a\r\n Transfer-Encoding: chunked\r\n\r\n{chunked}")),
        (400, format!("X: a\nTransfer-Encoding: chunked\r\n\r\n{chunked}")),
        (400, format!("Content-Length: 0\r\nContent-Length: {}\r\n\r\n{inner}", inner.len())),
        (400, format!("Content-Length: 0, {}\r\n\r\n{inner}", inner.len())),
        (400, format!("Content-Length: +0\r\n\r\n{inner}")),
        (400, format!("Content-Length: 0 {}\r\n\r\n{inner}", inner.len())),
    ];
    for (status, rest) in cases {
        let mut client = Client::connect(address);
        client.send(format!("GET /live HTTP/1.1\r\nHost: localhost\r\n{rest}"));
        let answer = client.answer().unwrap();
        assert_eq!(answer.status, status, "{rest}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{rest}");
        assert_eq!(answer.header("connection"), Some("close"), "{rest}");
        assert!(client.answer().is_none(), "the inner request was answered: {rest}");
    }
}

#[test]
fn a_body_is_not_taken_for_a_request() {
    let server = serve(FakeControl::well());
    let mut client = Client::connect(server.addresses()[0]);
    let inner = "GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client.send(format!(
        "GET /live HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{inner}{LIVE}",
        inner.len()
    ));
    assert_eq!(client.answer().unwrap().status, 421, "Host: a is not ours");
    assert_eq!(client.answer().unwrap().status, 200);
    client.finish();
    assert!(client.answer().is_none());
}

#[test]
fn what_is_no_request_is_refused_with_a_reason() {
    let server = serve(FakeControl::well());
    let long = "a".repeat(HEAD_BYTES_MAX);
    let cases: [(u16, Vec<u8>); 10] = [
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        (400, b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n".to_vec()),
        (400, b"GET /live HTTP/1.1\r\n\r\n".to_vec()),
        (400, b"GET /live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_vec()),
        (400, b"GET http://localhost/live HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        (400, b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        (505, b"GET /live HTTP/3.0\r\nHost: localhost\r\n\r\n".to_vec()),
        (431, format!("GET /live HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n").into_bytes()),
        (431, format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()),
        (
            413,
            format!(
                "POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                BODY_BYTES_MAX + 1
            )
            .into_bytes(),
        ),
    ];
    for (status, bytes) in cases {
        let mut client = Client::connect(server.addresses()[0]);
        client.send(&bytes);
        let answer = client.answer().unwrap_or_else(|| panic!("no answer to {}", bytes.escape_ascii()));
        assert_eq!(answer.status, status, "{}", bytes.escape_ascii());
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
        assert!(client.is_over());
    }
}

#[test]
fn the_reason_arrives_even_at_a_client_that_still_sends() {
    let server = serve(FakeControl::well());
    let mut client = Client::connect(server.addresses()[0]);
    client.send(format!(
        "POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
        10 * BODY_BYTES_MAX
    ));
    client.send(vec![b'a'; BODY_BYTES_MAX]);
    assert_eq!(client.answer().unwrap().status, 413);
    assert!(client.is_over());
}

#[test]
fn a_stalled_request_is_given_up_in_time() {
    let server = serve(FakeControl::well());
    let begun = Instant::now();
    let mut stalled = Client::connect(server.addresses()[0]);
    stalled.send("GET /live HTTP/1.1\r\nHost:");
    let mut cut = Client::connect(server.addresses()[0]);
    cut.send("POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{");
    for client in [&mut stalled, &mut cut] {
        assert_eq!(client.answer().unwrap().status, 408);
        assert!(client.is_over());
    }
    assert!(begun.elapsed() >= REQUEST_TIME_MAX, "{:?}", begun.elapsed());
}

#[test]
fn clients_that_leave_early_are_forgotten() {
    let server = serve(FakeControl::well());
    for n in 0..500 {
        let mut client = Client::connect(server.addresses()[0]);
        client.send(&LIVE[..n % LIVE.len()]);
        // Half of them with a reset, half in order.
        if n % 2 == 0 {
            client.stream.shutdown(Shutdown::Both).unwrap();
        }
    }
    assert_eq!(get(server.addresses()[0], "/live").status, 200);
}

#[test]
fn a_client_that_does_not_read_keeps_nobody_waiting() {
    let server = serve(FakeControl::well_with(3_000));
    let address = server.addresses()[0];
    let request = "GET /stats/workers?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(20);
    let mut lazy: Vec<_> = (0..20)
        .map(|_| {
            let mut client = Client::connect(address);
            client.send(&request);
            client
        })
        .collect();
    let mut took: Vec<_> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            assert_eq!(get(address, "/live").status, 200);
            begun.elapsed()
        })
        .collect();
    // One of them may have met the machine doing something else.
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_secs(1), "{took:?}");
    // What it then reads is whole and in order.
    for _ in 0..20 {
        let answer = lazy[0].answer().unwrap();
        assert_eq!(answer.json()["workers"].as_array().unwrap().len(), 1_000);
    }
}

#[test]
fn nobody_else_can_reach_the_reader_behind() {
    use std::os::unix::fs::MetadataExt;
    let server = serve(FakeControl::well());
    assert_eq!(get(server.addresses()[0], "/live").status, 200);
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let mark = format!("/adit-{}-", std::process::id());
    let sockets: Vec<_> = table.lines().filter_map(|line| line.split(' ').next_back()).collect();
    let ours: Vec<_> = sockets.iter().filter(|path| path.contains(&mark)).collect();
    assert!(!ours.is_empty(), "{table}");
    for path in ours {
        let folder = std::path::Path::new(path).parent().unwrap();
        // Another test's server may be gone by now, and its folder with it.
        if let Ok(metadata) = fs::metadata(folder) {
            assert_eq!(metadata.mode() & 0o777, 0o700);
        }
    }
}
