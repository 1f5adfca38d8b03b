//! The health pages over a real socket.

mod common;

use std::net::{SocketAddr, TcpListener};

use adit_admin::{AdminServer, Options, StartError};
use common::{FakeControl, get, serve};
use serde_json::Value;

#[test]
fn health_pages_follow_the_facts() {
    let control = FakeControl::well();
    let server = serve(control.clone());
    let address = server.addresses()[0];
    let codes = || ["/health", "/ready", "/live"].map(|path| get(address, path).0);
    assert_eq!(codes(), [200, 200, 200]);
    control.change(|said| said.health.pools.usable = 0);
    assert_eq!(codes(), [503, 503, 200]);
    let (_, body) = get(address, "/health");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["status"], "failing");
    assert_eq!(body["reasons"][0], "no usable pool");
    assert_eq!(body["system"]["shards"], 2);
    control.change(|said| said.health.system.shards_alive = 1);
    assert_eq!(codes(), [503, 503, 503]);
}

#[test]
fn what_is_not_there_is_a_problem() {
    let server = serve(FakeControl::well());
    let (code, body) = get(server.addresses()[0], "/nowhere");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &body["status"]), (404, &Value::from(404)));
}

#[test]
fn several_addresses_are_served_and_left_again() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = AdminServer::start(&[any, any], FakeControl::well(), Options::default()).unwrap();
    let addresses = server.addresses().to_vec();
    assert_eq!(addresses.iter().map(|&a| get(a, "/live").0).collect::<Vec<_>>(), [200, 200]);
    server.stop();
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let error = AdminServer::start(&[address], FakeControl::well(), Options::default()).unwrap_err();
    assert!(matches!(error, StartError::Listen { address: named, .. } if named == address));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}
