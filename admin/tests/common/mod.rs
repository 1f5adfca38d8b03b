//! A control without an engine, and a client that says exactly what it is told.

#![allow(dead_code, reason = "each test binary uses its part")]

pub mod control;
pub mod http;
pub mod schema;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_admin::{AdminServer, NewToken, Options, Role, Token};
use control::FakeControl;

/// A server on a loopback port of the kernel's choice.
pub fn serve(control: Arc<FakeControl>) -> AdminServer {
    serve_with(control, Options::default())
}

/// The same with options.
pub fn serve_with(control: Arc<FakeControl>, options: Options) -> AdminServer {
    AdminServer::start(&[SocketAddr::from(([127, 0, 0, 1], 0))], control, options).unwrap()
}

/// A token of that role, and the Authorization header that has it.
pub fn token(name: &str, role: Role) -> (Token, String) {
    let new = NewToken::generate().unwrap();
    (Token { name: name.to_owned(), role, hash: new.hash }, format!("Bearer {}", new.secret))
}

/// Waits until `what` holds; fails loudly if that takes too long.
pub fn wait_until(about: &str, mut what: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !what() {
        assert!(Instant::now() < end, "{about} did not come true in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}
