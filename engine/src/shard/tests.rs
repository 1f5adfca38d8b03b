//! What cannot be brought about from outside: a bug in a session.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use adit_protocol::event::CloseReason;

use super::json_text;
use crate::counters::Counter;
use crate::settings::{PoolSettings, Settings};
use crate::supervisor::Supervisor;

const LIMIT: Duration = Duration::from_secs(10);
const PANIC: &[u8] = b"{\"panic\":";

/// Stands in for a bug in the session.
pub(super) fn panic_on_purpose(bytes: &[u8]) {
    assert!(!bytes.starts_with(PANIC), "on purpose");
}

#[test]
fn a_bug_in_a_session_ends_that_session_only() {
    let pool = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = pool.local_addr().unwrap().port();
    let mut settings = Settings::with_pool(PoolSettings::transparent("127.0.0.1", port));
    settings.listeners = vec![(Ipv4Addr::LOCALHOST, 0).into()];
    settings.shards = Some(1.try_into().unwrap());
    settings.pin = false;
    let adit = Supervisor::start(settings).unwrap();
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
fn a_password_is_written_as_json_wants_it() {
    assert_eq!(&*json_text("x"), "x");
    assert_eq!(&*json_text("a\"b\\c\n"), r#"a\"b\\c\n"#);
}
