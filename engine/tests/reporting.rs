//! Errors of the built binary arrive at a Sentry-compatible server, without what is secret. Only with the feature `sentry`.
#![cfg(feature = "sentry")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, mpsc};

use adit::settings::{PoolSettings, Secret, Settings};
use adit::{logging, reporting};
use adit_loadtest::peer::PeerListener;
use adit_loadtest::process::Adit;
use adit_loadtest::wait;
use common::{PATIENCE, binary, url};
use serde_json::Value;

/// What no report may hold: the pool's password, the account, and what stands in a URL.
const SECRETS: [&str; 4] = ["hunter2", "bc1qfarm", "swordfish", "192.0.2.7"];

/// A server that takes envelopes and tells each one's request and body.
fn server() -> (String, mpsc::Receiver<(String, Vec<String>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let dsn = format!("http://publickey@{}/42", listener.local_addr().expect("bound"));
    let (told, reports) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.expect("a connection"));
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).expect("a line") > 0, "cut off: {head}");
            }
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
            let mut body = vec![0; length.parse().expect("a number")];
            reader.read_exact(&mut body).expect("a body");
            let lines = String::from_utf8(body).expect("UTF-8").lines().map(str::to_owned).collect();
            reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").expect("answered");
            if told.send((head, lines)).is_err() {
                return;
            }
        }
    });
    (dsn, reports)
}

/// The log and its reports as `adit run` starts them, in this process, since no thread of Adit panics at will.
#[test]
fn a_panic_of_a_thread_is_reported_as_fatal_and_without_secrets() {
    let (dsn, reports) = server();
    let mut pool = PoolSettings::transparent("pool.example", 3333);
    pool.password = Some(Secret::new("hunter2"));
    let mut settings = Settings::with_pool(pool);
    settings.log.sentry_dsn = Some(Secret::new(&dsn));
    let reporter = reporting::start(&settings).expect("reports start").expect("they are wanted");
    let log = logging::start(&settings.log, Some(Arc::new(reporter))).expect("the log starts");
    let panicked = std::thread::Builder::new()
        .name("adit-9".to_owned())
        .spawn(|| panic!("hunter2 is no job of 192.0.2.7:3333"))
        .expect("a thread")
        .join();
    assert!(panicked.is_err());
    let (head, lines) = reports.recv_timeout(PATIENCE).expect("a report");
    assert!(head.contains("sentry_key=publickey"), "{head}");
    let event: Value = serde_json::from_str(&lines[2]).expect("an event");
    assert_eq!(event["level"], "fatal", "{event}");
    let exception = &event["exception"]["values"][0];
    assert_eq!(exception["type"], "panic", "{event}");
    let told = exception["value"].as_str().expect("a text");
    assert!(told.contains("panic in thread adit-9") && told.contains("*** is no job of [address]"), "{told}");
    for secret in SECRETS {
        assert!(!lines.concat().contains(secret), "{secret}: {event}");
    }
    log.finish();
}

#[test]
fn an_error_is_reported_without_secrets() {
    let (dsn, reports) = server();
    let pool = PeerListener::bind().expect("a pool");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("adit.toml");
    let good = format!(
        "listen = [\"127.0.0.1:0\"]\nshards = 1\npin = false\n[log]\nsentry_dsn = \"{dsn}\"\n[admin]\nlisten = \"off\"\n\
         [[pools]]\nurl = \"{}\"\nuser = \"bc1qfarm\"\npassword = \"hunter2\"\n",
        url(&pool)
    );
    std::fs::write(&file, &good).expect("written");
    let path = file.to_string_lossy().into_owned();
    let adit = Adit::start(&binary(), ["run", "--config", &path]).expect("adit starts");
    // Mistakes, each told as an error, one with the account in it and one with an address.
    let bad =
        good.replace("shards = 1", "shards = \"bc1qfarm\"").replace("pin = false", "pin = \"192.0.2.7\"");
    let bad = format!("{bad}token = \"swordfish\"\n");
    std::fs::write(&file, bad).expect("written");
    adit.signal("HUP").expect("told to read it again");
    let mut texts = Vec::new();
    while !texts.iter().any(|text: &String| text.contains("shards")) {
        let (head, lines) = reports.recv_timeout(PATIENCE).expect("a report");
        assert!(head.starts_with("POST /api/42/envelope/ HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("sentry_key=publickey"), "{head}");
        let event: Value = serde_json::from_str(&lines[2]).expect("an event");
        assert_eq!((&event["level"], &event["platform"]), (&"error".into(), &"other".into()), "{event}");
        for secret in SECRETS {
            assert!(!lines.concat().contains(secret), "{secret}: {event}");
        }
        texts.push(event["logentry"]["formatted"].as_str().expect("a text").to_owned());
    }
    // The report may be here before the line.
    let has_them = || ["bc1qfarm", "192.0.2.7"].into_iter().all(|secret| adit.log_text().contains(secret));
    assert!(wait::until(PATIENCE, has_them), "the log itself has them: {}", adit.log_text());
    let log = adit.log_text();
    assert!(!log.contains("hunter2") && !log.contains("publickey"), "{log}");
}
