//! What operators are answered by the built binary.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::wait;

/// Longest wait for what should come at once.
const PATIENCE: Duration = Duration::from_secs(20);
const SAID_BEFORE_ADDRESS: &str = "operators are answered on http://";

fn start(pool: &str, more: &[&str]) -> (Adit, String) {
    let mut arguments = vec![
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
    arguments.extend(more);
    let adit = Adit::start(Path::new(env!("CARGO_BIN_EXE_adit")), arguments).expect("adit starts");
    let log = adit.log_text();
    let (_, behind) = log.split_once(SAID_BEFORE_ADDRESS).expect("the admin address is logged");
    let address = behind.split_whitespace().next().expect("an address").to_owned();
    (adit, address)
}

/// The status code and the body.
fn get(address: &str, path: &str) -> (u16, String) {
    ask(address, "GET", path, "")
}

/// The same for any method, with further header lines.
fn ask(address: &str, method: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout set");
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let code = answer.split_whitespace().nth(1).and_then(|code| code.parse().ok()).expect("a status code");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (code, body.to_owned())
}

#[test]
fn a_proxy_whose_pool_answers_is_well() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let (_adit, address) = start(&pool.url(), &[]);
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
    let (adit, address) = start(&format!("stratum+tcp://{nobody}"), &[]);
    let mut miner = TcpStream::connect(adit.address()).expect("connected");
    miner.write_all(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n").expect("asked");
    assert!(wait::until(PATIENCE, || get(&address, "/ready").0 == 503), "{:?}", get(&address, "/ready"));
    assert!(get(&address, "/health").1.contains("failed"), "{:?}", get(&address, "/health"));
    assert_eq!(get(&address, "/live").0, 200);
}

#[test]
fn a_made_token_opens_what_its_role_allows() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let made = ["viewer", "operator"].map(|role| {
        let output = Command::new(env!("CARGO_BIN_EXE_adit"))
            .args(["config", "token", "--name", role, "--role", role])
            .output()
            .expect("adit runs");
        let told = String::from_utf8(output.stdout).expect("UTF-8");
        let secret = told.lines().find_map(|line| line.trim().strip_prefix("adit_")).expect("a token");
        let entry = told.split('"').rev().nth(1).expect("an entry").to_owned();
        (format!("authorization: Bearer adit_{secret}\r\n"), entry)
    });
    let [(viewer, viewer_entry), (operator, operator_entry)] = made;
    let tokens = format!("admin.tokens={viewer_entry},{operator_entry}");
    let (mut adit, address) = start(&pool.url(), &["--set", &tokens]);
    assert_eq!(get(&address, "/live").0, 200);
    assert_eq!(get(&address, "/config").0, 401);
    let (code, config) = ask(&address, "GET", "/config", &viewer);
    assert_eq!(code, 200);
    assert!(config.contains("operator:operator:***") && !config.contains("sha256"), "{config}");
    assert_eq!(ask(&address, "POST", "/drain", &viewer).0, 403);
    assert_eq!(ask(&address, "POST", "/drain", &operator).0, 202);
    assert!(adit.ends_within(PATIENCE).is_some_and(|status| status.success()), "it drains and stops");
}
