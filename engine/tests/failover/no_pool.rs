//! No pool is left: miners are let go, so that their own backup pool works.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use adit_loadtest::peer::{Heard, Peer};
use adit_loadtest::wait;

use crate::common::PATIENCE;
use crate::support::Scene;

/// The status code of `/ready`.
fn ready(admin: SocketAddr) -> u16 {
    let mut stream = TcpStream::connect(admin).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout set");
    stream
        .write_all(format!("GET /ready HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n").as_bytes())
        .expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).expect("a status code")
}

#[test]
fn without_a_usable_pool_miners_are_closed_new_ones_refused_and_readiness_says_so() {
    let settings = ["failover.grace_ms=500", "failover.close_jitter_ms=300"];
    let mut scene = Scene::at_main(&settings);
    let admin = scene.adit.admin_address().expect("it answers operators");
    assert_eq!(ready(admin), 200);
    scene.main.kill();
    scene.standby.kill();
    assert!(wait::until(PATIENCE, || ready(admin) == 503));
    assert!(wait::until(PATIENCE, || scene.fleet.progress().mining() == 0), "miners are kept without work");
    // A newcomer is turned away before it says anything.
    let is_refused = || match Peer::connect(scene.adit.address()) {
        Err(_) => true,
        Ok(mut stranger) => matches!(stranger.hear(PATIENCE), Heard::End(_) | Heard::Reset),
    };
    assert!(is_refused());
    scene.standby.start_again().expect("the pool starts");
    assert!(wait::until(PATIENCE, || ready(admin) == 200));
    scene.wait_for_all_at(&scene.standby.tag());
    scene.end();
}
