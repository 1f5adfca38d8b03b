//! What operators are answered by the built binary.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::wait;

/// Longest wait for what should come at once.
const PATIENCE: Duration = Duration::from_secs(20);
const SAID_BEFORE_ADDRESS: &str = "operators are answered on http://";

fn start(pool: &str) -> (Adit, String) {
    let arguments = [
        "run",
        "--pool",
        pool,
        "--listen",
        "127.0.0.1:0",
        "--shards",
        "1",
        "--no-pin",
        "--admin",
        "127.0.0.1:0",
    ];
    let adit = Adit::start(Path::new(env!("CARGO_BIN_EXE_adit")), arguments).expect("adit starts");
    let log = adit.log_text();
    let (_, behind) = log.split_once(SAID_BEFORE_ADDRESS).expect("the admin address is logged");
    let address = behind.split_whitespace().next().expect("an address").to_owned();
    (adit, address)
}

/// The status code and the body.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout set");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let code = answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).expect("a status code");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (code, body.to_owned())
}

#[test]
fn a_proxy_whose_pool_answers_is_well() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let (_adit, address) = start(&pool.url());
    for path in ["/health", "/ready", "/live"] {
        let (code, body) = get(&address, path);
        assert_eq!(code, 200, "{path}: {body}");
        assert!(body.contains("\"status\":\"ok\""), "{path}: {body}");
    }
    assert_eq!(get(&address, "/nowhere").0, 404);
}

#[test]
fn a_proxy_without_a_pool_is_alive_and_not_ready() {
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let (adit, address) = start(&format!("stratum+tcp://{nobody}"));
    let mut miner = TcpStream::connect(adit.address()).expect("connected");
    miner.write_all(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n").expect("asked");
    assert!(wait::until(PATIENCE, || get(&address, "/ready").0 == 503), "{:?}", get(&address, "/ready"));
    assert!(get(&address, "/health").1.contains("failed"), "{:?}", get(&address, "/health"));
    assert_eq!(get(&address, "/live").0, 200);
}
