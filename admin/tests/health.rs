//! Start, stop, and the health pages.

mod common;

use std::net::{SocketAddr, TcpListener};

use adit_admin::{AdminServer, Options, StartError};
use common::control::FakeControl;
use common::http::get;
use common::serve;

#[test]
fn health_pages_follow_the_facts() {
    let control = FakeControl::well();
    let server = serve(control.clone());
    let address = server.addresses()[0];
    let statuses = |paths: [&str; 6]| paths.map(|path| get(address, path).status);
    let paths = ["/health", "/ready", "/live", "/health/database", "/health/pool", "/health/system"];
    assert_eq!(statuses(paths), [200; 6]);
    let reasons = get(address, "/health").json()["reasons"].clone();
    assert_eq!(reasons, serde_json::json!([{ "text": "pool b: refused", "since_ms": 5 }]));

    control.change(|said| said.health.pools.usable = 0);
    assert_eq!(statuses(paths), [503, 503, 200, 200, 503, 200]);
    let health = get(address, "/health").json();
    assert_eq!(
        (health["status"].as_str(), health["reasons"][0]["text"].as_str()),
        (Some("failing"), Some("no usable pool"))
    );
    assert_eq!(health["system"]["shards"], 2);

    control.change(|said| said.health.system.shards_alive = 1);
    assert_eq!(statuses(paths), [503, 503, 503, 200, 503, 503]);
    control.change(|said| said.health.database.as_mut().unwrap().writable = false);
    assert_eq!(get(address, "/health/database").status, 503);
}

#[test]
fn several_addresses_are_served_and_left_again() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = AdminServer::start(&[any, any], FakeControl::well(), Options::default()).unwrap();
    let addresses = server.addresses().to_vec();
    assert_eq!(addresses.iter().map(|&address| get(address, "/live").status).collect::<Vec<_>>(), [200, 200]);
    server.stop();
    for address in addresses {
        TcpListener::bind(address).unwrap();
    }
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let error = AdminServer::start(&[address], FakeControl::well(), Options::default()).unwrap_err();
    assert!(matches!(error, StartError::Listen { address: named, .. } if named == address));
    assert!(error.to_string().contains(&address.to_string()), "{error}");
    assert!(matches!(
        AdminServer::start(&[], FakeControl::well(), Options::default()),
        Err(StartError::Addresses(0))
    ));
}

#[test]
fn a_panic_behind_is_an_answer_and_nothing_else() {
    let control = FakeControl::well();
    let server = serve(control.clone());
    control.change(|said| said.panics = true);
    for _ in 0..10 {
        let answer = get(server.addresses()[0], "/health");
        assert_eq!((answer.status, answer.header("content-type")), (500, Some("application/problem+json")));
    }
    control.change(|said| said.panics = false);
    assert_eq!(get(server.addresses()[0], "/health").status, 200);
}
