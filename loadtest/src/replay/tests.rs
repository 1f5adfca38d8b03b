//! The replayer itself, through a plain relay that may meddle with what it carries.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use super::*;
use crate::transcript;

const SESSION: &[u8] = b"=== one ===\n\
    \x20  0.0 C> {\"id\": \"a\", \"method\": \"mining.subscribe\"}\n\
    \x20  0.0 C> +{\"id\": null, \"method\": \"x\"}\n\
    \x20  0.1 S> {\"result\":1,\"id\":\"a\"}\n\
    \x20  0.1 S> {\"id\":null,\"method\":\"mining.notify\"}\n\
    \x20  0.2 C> {\"id\": 2, \"method\": \"mining.submit\"}\n\
    \x20  0.3 S> {\"id\":2,\"result\":true}\n\
    \x20  0.4 C> <EOF>\n\
    \x20  0.4 S> <EOF>\n";

/// Carries bytes both ways, changing those that `meddle` changes; the address to connect to.
fn relay(pool: &PeerListener, meddle: fn(u8) -> u8) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let pool = pool.address().unwrap();
    thread::spawn(move || {
        while let Ok((miner, _)) = listener.accept() {
            let upstream = TcpStream::connect(pool).unwrap();
            let pairs = [(miner.try_clone().unwrap(), upstream.try_clone().unwrap()), (upstream, miner)];
            for (mut from, mut to) in pairs {
                thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(count @ 1..) = from.read(&mut bytes) {
                        let carried: Vec<u8> = bytes[..count].iter().map(|&byte| meddle(byte)).collect();
                        if to.write_all(&carried).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    address
}

fn replay(meddle: fn(u8) -> u8, departures: &[Departure]) -> Result<usize, String> {
    let pool = PeerListener::bind().unwrap();
    let mut replay = Replay::new(relay(&pool, meddle), &pool, departures);
    for session in transcript::read(SESSION).unwrap() {
        replay.session(&session)?;
    }
    Ok(replay.unused().len())
}

#[test]
fn a_plain_relay_passes_and_a_meddling_one_does_not() {
    assert_eq!(replay(|byte| byte, &[]), Ok(0));
    let error = replay(|byte| if byte == b'y' { b'z' } else { byte }, &[]).unwrap_err();
    assert!(error.contains("mining.notifz"), "{error}");
    let error = replay(|byte| if byte == b'x' { b'q' } else { byte }, &[]).unwrap_err();
    assert!(error.contains("the pool should have received"), "{error}");
}

#[test]
fn a_departure_that_never_happens_is_told() {
    let departure = |line| Departure { session: "one", line, fate: Fate::LeftOut };
    assert_eq!(replay(|byte| byte, &[departure("no such line")]), Ok(1));
    assert_eq!(replay(|byte| byte, &[departure("\"result\":true")]), Ok(0));
}

#[test]
fn ids_are_put_in_replaced_and_taken_out() {
    let cases: [(&str, Option<&str>, &str); 7] = [
        (r#"{"id": 1, "a":2}"#, Some("\"x\""), r#"{"id": "x", "a":2}"#),
        (r#"{"a":2,"id":null}"#, Some("7"), r#"{"a":2,"id":7}"#),
        (r#"{"a":2}"#, Some("7"), r#"{"a":2,"id":7}"#),
        (r#"{"a":2}"#, None, r#"{"a":2}"#),
        (r#"{"a":2,"id":7}"#, None, r#"{"a":2}"#),
        (r#"{"id":7,"a":2}"#, None, r#"{"a":2}"#),
        (r#"{"a":1, "id":7 ,"b":2}"#, None, r#"{"a":1 ,"b":2}"#),
    ];
    for (line, id, wanted) in cases {
        assert_eq!(String::from_utf8(with_id(line.as_bytes(), id)).unwrap(), wanted);
    }
}
