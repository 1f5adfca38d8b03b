//! What operators are answered by the built binary.

use std::io::{BufRead, BufReader, Read, Write};
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
    ask_with(address, method, path, headers, "")
}

/// The same with a body.
fn ask_with(address: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout set");
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\r\n{body}");
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
    let (adit, address) = start(&format!("stratum+tcp://{nobody}"), &["--set", "failover.failures_count=1"]);
    let mut miner = TcpStream::connect(adit.address()).expect("connected");
    miner.write_all(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n").expect("asked");
    assert!(wait::until(PATIENCE, || get(&address, "/ready").0 == 503), "{:?}", get(&address, "/ready"));
    assert!(
        get(&address, "/health").1.contains("it cannot be connected to"),
        "{:?}",
        get(&address, "/health")
    );
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

/// A miner that is authorised as `name`, its connection kept.
fn miner(adit: &Adit, name: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(adit.address()).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout set");
    let subscribe = r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#;
    let authorize = format!(r#"{{"id":2,"method":"mining.authorize","params":["{name}","x"]}}"#);
    stream.write_all(format!("{subscribe}\n{authorize}\n").as_bytes()).expect("sent");
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("\"id\":2") {
        line.clear();
        assert!(reader.read_line(&mut line).expect("an answer") > 0, "closed before it was authorised");
    }
    assert!(line.contains("true"), "{line}");
    reader
}

/// Whether Adit closes the connection.
fn is_closed(mut miner: BufReader<TcpStream>) -> bool {
    miner.read_to_end(&mut Vec::new()).is_ok()
}

fn json(body: &str) -> serde_json::Value {
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

#[test]
fn what_operators_command_is_done_told_and_kept() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("l.db");
    let new = adit_admin::NewToken::generate().expect("random numbers");
    let tokens = format!("admin.tokens=ada:operator:{}", new.hash);
    let ledger_text = ledger.to_string_lossy().into_owned();
    let (mut adit, address) = start(&pool.url(), &["--set", &tokens, "--ledger", &ledger_text]);
    let token = format!("authorization: Bearer {}\r\n", new.secret);
    let get = |path: &str| json(&ask(&address, "GET", path, &token).1);
    let post = |path: &str, body: &str| {
        let headers = format!("{token}content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        ask_with(&address, "POST", path, &headers, body)
    };
    let (one, other) = (miner(&adit, "farm.rig1"), miner(&adit, "farm.rig2"));
    assert_eq!(get("/stats/workers?state=online")["total"], 2);
    let shard = &get("/stats/shards")["shards"][0];
    assert_eq!((shard["fresh"].as_bool(), shard["stages"]["authorized"].as_u64()), (Some(true), Some(2)));
    assert!(shard["mailbox"]["count"].as_u64() > Some(0), "{shard}");

    assert_eq!(post("/workers/farm.rig3/disconnect", "").0, 404);
    let (code, body) = post("/workers/farm.rig1/disconnect", "");
    assert_eq!((code, json(&body)["affected"].as_u64()), (200, Some(1)), "{body}");
    assert!(is_closed(one));
    assert!(wait::until(PATIENCE, || post("/workers/farm.rig1/disconnect", "").0 == 409));

    assert_eq!(post("/bans", r#"{"network":"127.0.0.0/8","reason":"test"}"#).0, 200);
    assert!(is_closed(other), "those that are there are closed");
    let mut refused = TcpStream::connect(adit.address()).expect("connected");
    refused.set_read_timeout(Some(PATIENCE)).expect("timeout set");
    assert!(refused.read_to_end(&mut Vec::new()).is_ok(), "nobody new is let in");
    assert_eq!(get("/bans")["bans"][0]["by"], "ada");
    let banned_count = || get("/stats/shards")["shards"][0]["connections_refused"]["banned"].as_u64();
    assert!(wait::until(PATIENCE, || banned_count() == Some(1)), "{:?}", banned_count());
    assert_eq!(post("/bans", r#"{"network":"127.0.0.0/8","action":"lift"}"#).0, 200);
    drop(miner(&adit, "farm.rig4"));

    let heard = |kind: &str| {
        let page = get(&format!("/events?kinds={kind}"));
        page["events"].as_array().expect("a list").clone()
    };
    assert!(
        wait::until(PATIENCE, || heard("worker_authorized").len() == 3),
        "{:?}",
        heard("worker_authorized")
    );
    assert!(wait::until(PATIENCE, || heard("connection_closed").len() >= 2));
    assert!(heard("connection_closed").iter().any(|event| event["reason"] == "dismissed"));
    assert!(heard("command").iter().any(|event| event["request"]["command"] == "lift_ban"));
    assert!(!heard("job").is_empty(), "the pool sent one");

    adit.signal("TERM").expect("told to stop");
    assert!(adit.ends_within(PATIENCE).is_some_and(|status| status.success()));
    let rows = rusqlite::Connection::open(&ledger).expect("the ledger");
    let kept: u32 = rows
        .query_row("SELECT count(*) FROM events WHERE actor LIKE 'ada (127.0.0.1:%'", [], |row| row.get(0))
        .expect("events");
    assert!(kept >= 5, "{kept} commands in the ledger");
}

/// `adit status` with these arguments: its exit code and what it wrote.
fn status(arguments: &[&str], token: &str) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_adit"))
        .arg("status")
        .args(arguments)
        .env("ADIT_TOKEN", token)
        .output()
        .expect("adit runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn status_at_a_terminal_and_for_scripts() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let new = adit_admin::NewToken::generate().expect("random numbers");
    let tokens = format!("admin.tokens=eve:viewer:{}", new.hash);
    let (adit, address) = start(&pool.url(), &["--set", &tokens]);
    let url = format!("http://{address}");
    let _miner = miner(&adit, "farm.rig1");
    assert!(wait::until(PATIENCE, || status(&["--url", &url], &new.secret).1.contains("\nminers   1 of ")));
    let (code, text, _) = status(&["--url", &url], &new.secret);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("all well") && text.contains("\npool ") && !text.contains('\x1b'), "{text}");
    let (code, text, _) = status(&["--url", &url, "--json"], &new.secret);
    let page = json(&text);
    assert_eq!((code, page["health"]["status"].as_str()), (Some(0), Some("ok")));
    assert_eq!(page["stats"]["connections"], 1);
    let (code, _, error) = status(&["--url", &url], "");
    assert_eq!(code, Some(1));
    assert!(error.contains("Send a token"), "{error}");
    drop(adit);
    let (code, _, error) = status(&["--url", &url], &new.secret);
    assert_eq!(code, Some(1));
    assert!(error.contains("does not answer"), "{error}");
    assert_eq!(status(&["--url", "ftp://a"], "").0, Some(2));
}
