//! Event streams over real sockets.

mod common;

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use adit_admin::limits::{
    EVENTS_KEPT_COUNT_MAX, EVENTS_QUEUED_COUNT_MAX, EVENTS_WAITING_COUNT_MAX, STREAMS_COUNT_MAX,
};
use adit_admin::{AdminServer, Event, Events, Options, Role};
use common::control::FakeControl;
use common::http::{Client, get};
use common::{serve_with, token, wait_until};
use serde_json::Value;
use tungstenite::{Message, WebSocket};

fn server() -> (AdminServer, SocketAddr, Events) {
    let events = Events::default();
    let server = serve_with(FakeControl::well(), Options { events: events.clone(), ..Options::default() });
    let address = server.addresses()[0];
    (server, address, events)
}

fn job(pool: &str, height: u64) -> Event {
    Event::Job { pool: pool.into(), clean: true, block_height: Some(height) }
}

fn limit() -> Event {
    Event::LimitHit { limit: "connections".into(), address: None }
}

/// A listener by Server-Sent Events, its head read.
fn listen(address: SocketAddr, target: &str, headers: &str) -> Client {
    let mut client = Client::connect(address);
    client.send(format!(
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n{headers}\r\n"
    ));
    let head = client.until("\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
    assert!(!head.to_lowercase().contains("content-length") && head.contains("Connection: close"), "{head}");
    assert_eq!(client.until("\n\n"), "retry: 2000\n\n");
    client
}

/// The next event of a listener: its name and its data.
fn next(client: &mut Client) -> (String, Value) {
    let text = client.until("\n\n");
    let of =
        |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    let data = serde_json::from_str(&of("data: ")).unwrap_or_else(|error| panic!("{error}: {text}"));
    (of("event: "), data)
}

fn web_socket(address: SocketAddr, target: &str) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    tungstenite::client(format!("ws://{address}{target}"), stream).unwrap().0
}

/// Waits until so many listen.
fn wait_for_listeners(address: SocketAddr, count: usize) {
    let line = format!("\nadit_event_listeners {count}\n");
    wait_until("listeners are there", || get(address, "/metrics").text().contains(&line));
}

#[test]
fn both_kinds_of_listeners_hear_the_same() {
    let (_server, address, events) = server();
    let mut sse = listen(address, "/events", "");
    let mut ws = web_socket(address, "/events");
    wait_for_listeners(address, 2);
    events.publish(job("a", 7));
    events.publish(limit());
    for kind in ["job", "limit_hit"] {
        let (name, told) = next(&mut sse);
        let message: Value = serde_json::from_str(ws.read().unwrap().to_text().unwrap()).unwrap();
        assert_eq!(told, message);
        assert_eq!((name.as_str(), told["kind"].as_str()), (kind, Some(kind)));
        assert!(told["id"].as_u64() > Some(0) && told["at_ms"].as_u64() > Some(0));
    }
    let listed = get(address, "/events").json();
    assert_eq!(listed["events"][0]["block_height"], 7);
}

#[test]
fn listeners_hear_what_they_asked_for() {
    let (_server, address, events) = server();
    let mut jobs_of_b = listen(address, "/events?kinds=job&pool=b", "");
    let mut limits = web_socket(address, "/events?kinds=limit_hit");
    wait_for_listeners(address, 2);
    events.publish(job("a", 1));
    events.publish(limit());
    events.publish(job("b", 2));
    assert_eq!(next(&mut jobs_of_b).1["block_height"], 2);
    let message: Value = serde_json::from_str(limits.read().unwrap().to_text().unwrap()).unwrap();
    assert_eq!(message["kind"], "limit_hit");
}

#[test]
fn who_comes_back_hears_what_it_missed() {
    let (_server, address, events) = server();
    (0..5).for_each(|height| events.publish(job("a", height)));
    wait_until("events are kept", || get(address, "/events").json()["events"].as_array().unwrap().len() == 5);
    let listed = get(address, "/events").json();
    let second = listed["events"][1]["id"].as_u64().unwrap();
    let mut by_query = listen(address, &format!("/events?after={second}"), "");
    let mut by_header = listen(address, "/events", &format!("Last-Event-ID: {second}\r\n"));
    let mut ws = web_socket(address, &format!("/events?after={second}"));
    for height in 2..5 {
        assert_eq!(next(&mut by_query).1["block_height"], height);
        assert_eq!(next(&mut by_header).1["block_height"], height);
        let message: Value = serde_json::from_str(ws.read().unwrap().to_text().unwrap()).unwrap();
        assert_eq!(message["block_height"], height);
    }
    let page = get(address, &format!("/events?after={second}&limit=2")).json();
    assert_eq!((page["events"].as_array().unwrap().len(), &page["last_id"]), (2, &listed["events"][3]["id"]));
}

#[test]
fn who_comes_back_too_late_is_told_how_much_is_gone() {
    let (_server, address, events) = server();
    events.publish(job("a", 0));
    wait_until("it is kept", || get(address, "/events").json()["events"].as_array().unwrap().len() == 1);
    let first = get(address, "/events").json()["last_id"].as_u64().unwrap();
    let count = EVENTS_KEPT_COUNT_MAX as u64 + 9;
    for n in 0..count {
        events.publish(limit());
        if n % 500 == 0 {
            // The queue is bounded as well, and this test is not about it.
            wait_until("they are taken", || {
                get(address, "/events").json()["last_id"].as_u64() == Some(first + n + 1)
            });
        }
    }
    wait_until("all are taken", || get(address, "/events").json()["last_id"].as_u64() == Some(first + count));
    let mut late = listen(address, &format!("/events?after={first}"), "");
    let (name, told) = next(&mut late);
    assert_eq!((name.as_str(), &told["missed"]), ("missed", &Value::from(9)));
    assert_eq!(get(address, &format!("/events?after={first}")).json()["missed"], 9);
}

#[test]
fn a_listener_that_does_not_read_misses_events_is_told_and_holds_up_nobody() {
    let (_server, address, events) = server();
    let mut lazy = listen(address, "/events", "");
    let mut brisk = listen(address, "/events", "");
    wait_for_listeners(address, 2);
    // More than the kernel's buffers and the queue hold; in portions that the way to the streams holds.
    let long = "x".repeat(8_000);
    let (portion, count) = (EVENTS_QUEUED_COUNT_MAX / 4, 3 * EVENTS_WAITING_COUNT_MAX);
    for from in (0..count).step_by(portion) {
        for n in from..from + portion {
            events.publish(Event::PoolState {
                pool: long.as_str().into(),
                from: adit_admin::view::PoolState::Up,
                to: adit_admin::view::PoolState::Down,
                reason: n.to_string().into(),
            });
        }
        for n in from..from + portion {
            assert_eq!(next(&mut brisk).1["reason"], n.to_string());
        }
    }
    let last = (count - 1).to_string();
    let (mut heard, mut missed) = (0, 0);
    loop {
        let (name, told) = next(&mut lazy);
        if name == "missed" {
            missed += told["missed"].as_u64().unwrap();
            continue;
        }
        heard += 1;
        if told["reason"] == last.as_str() {
            break;
        }
    }
    assert!(missed > 0);
    assert_eq!(heard + missed, count as u64, "what it missed is counted exactly");
}

#[test]
fn listeners_beyond_the_bound_are_refused_and_places_come_free() {
    let (_server, address, _events) = server();
    let mut listeners: Vec<_> = (0..STREAMS_COUNT_MAX).map(|_| listen(address, "/events", "")).collect();
    wait_for_listeners(address, STREAMS_COUNT_MAX);
    let mut refused = Client::connect(address);
    refused.send("GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    assert_eq!(refused.answer().unwrap().status, 503);
    listeners.truncate(1);
    wait_for_listeners(address, 1);
    listen(address, "/events", "");
}

#[test]
fn a_web_socket_answers_pings_and_closes_in_order() {
    let (_server, address, _events) = server();
    let mut ws = web_socket(address, "/events");
    ws.send(Message::Ping("abc".into())).unwrap();
    assert_eq!(ws.read().unwrap(), Message::Pong("abc".into()));
    ws.close(None).unwrap();
    while let Ok(message) = ws.read() {
        assert!(message.is_close());
    }
    wait_for_listeners(address, 0);
}

#[test]
fn a_web_socket_that_sends_nonsense_is_closed_alone() {
    let (_server, address, events) = server();
    let mut good = listen(address, "/events", "");
    let mut bad = web_socket(address, "/events");
    wait_for_listeners(address, 2);
    std::io::Write::write_all(bad.get_mut(), &[0xff; 64]).unwrap();
    wait_for_listeners(address, 1);
    events.publish(limit());
    assert_eq!(next(&mut good).0, "limit_hit");
}

#[test]
fn a_broken_handshake_is_refused() {
    let (_server, address, _events) = server();
    let status = |headers: &str| {
        let mut client = Client::connect(address);
        client.send(format!("GET /events HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{headers}\r\n"));
        client.answer().unwrap().status
    };
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(status(&format!("{key}Sec-WebSocket-Version: 8\r\n")), 426);
    assert_eq!(status("Sec-WebSocket-Version: 13\r\n"), 400);
    assert_eq!(status(&format!("{key}Sec-WebSocket-Version: 13\r\nOrigin: https://evil.example\r\n")), 403);
}

#[test]
fn listening_needs_a_token_where_reading_does() {
    let (token, authorization) = token("eve", Role::Viewer);
    let server = serve_with(FakeControl::well(), Options { tokens: vec![token], ..Options::default() });
    let address = server.addresses()[0];
    let mut stranger = Client::connect(address);
    stranger.send("GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    assert_eq!(stranger.answer().unwrap().status, 401);
    listen(address, "/events", &format!("Authorization: {authorization}\r\n"));
}

#[test]
fn a_stop_ends_every_stream() {
    let (server, address, events) = server();
    let mut sse = listen(address, "/events", "");
    let mut ws = web_socket(address, "/events");
    wait_for_listeners(address, 2);
    server.stop();
    assert!(sse.is_over());
    assert!(ws.read().unwrap().is_close());
    assert!(!events.are_taken());
}
