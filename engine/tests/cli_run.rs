//! `adit run` as an operator meets it: what keeps it from starting, what signals do, how it ends.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Rule, Script, ScriptedPool};
use adit_loadtest::wait;

/// Longest wait for what should come at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// A signal that ends a process shows as this and its number in a shell's exit code.
const EXIT_BY_SIGTERM: Option<i32> = Some(128 + 15);

/// A process that does not outlive its test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(pool: &str, more: &[&str]) -> Adit {
    let arguments =
        ["run", "--pool", pool, "--listen", "127.0.0.1:0", "--shards", "1", "--no-pin", "--admin", "off"];
    Adit::start(Path::new(env!("CARGO_BIN_EXE_adit")), arguments.iter().chain(more)).expect("adit starts")
}

fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_adit")).arg("run").args(arguments).output().expect("adit runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn sigterm_and_sigint_end_it_with_0() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    for signal in ["TERM", "INT"] {
        let mut adit = start(&pool.url(), &[]);
        adit.signal(signal).expect("signalled");
        let status = adit.ends_within(PATIENCE).expect("it ends");
        assert_eq!(status.code(), Some(0), "{}", adit.log_text());
        assert!(adit.log_text().contains(&format!("SIG{signal}: stopping")), "{}", adit.log_text());
    }
}

#[test]
fn a_second_signal_ends_it_at_once_although_a_share_waits() {
    // The pool never judges, and Adit would wait for a minute.
    let pool = ScriptedPool::start(Script::default().with(Rule::silent("mining.submit"))).expect("a pool");
    let minute = ["--set", "timeouts.drain_ms=60000", "--set", "timeouts.submit_reply_ms=60000"];
    let mut adit = start(&pool.url(), &minute);
    let miner = TcpStream::connect(adit.address()).expect("connected");
    miner.set_read_timeout(Some(PATIENCE)).expect("timeout set");
    let lines = BufReader::new(&miner).lines().map_while(Result::ok);
    let mut messages = lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).expect("JSON"));
    let say = |line: &str| (&miner).write_all(format!("{line}\n").as_bytes()).expect("sent");
    say(r#"{"id":1,"method":"mining.subscribe","params":["test/1.0"]}"#);
    say(r#"{"id":2,"method":"mining.authorize","params":["a.rig","x"]}"#);
    let notify = messages.find(|message| message["method"] == "mining.notify").expect("a job");
    let job = notify["params"][0].as_str().expect("a job id");
    say(&format!(
        r#"{{"id":3,"method":"mining.submit","params":["a.rig","{job}","00000000","5f5e1000","00000000"]}}"#
    ));
    assert!(wait::until(PATIENCE, || pool.log().requests_of("mining.submit") == 1), "{}", adit.log_text());

    adit.signal("TERM").expect("signalled");
    assert!(adit.logs_within("SIGTERM: stopping", PATIENCE));
    assert!(
        adit.ends_within(Duration::from_millis(300)).is_none(),
        "the share still waits: {}",
        adit.log_text()
    );
    adit.signal("TERM").expect("signalled");
    let status = adit.ends_within(PATIENCE).expect("it ends at once");
    assert_eq!(status.code(), EXIT_BY_SIGTERM, "{}", adit.log_text());
}

#[test]
fn sigusr1_opens_the_log_anew_and_sighup_ends_nothing() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let (path, moved) = (directory.path().join("adit.log"), directory.path().join("adit.log.1"));
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let child = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["run", "--pool", &pool.url(), "--listen", &address.to_string(), "--shards", "1", "--no-pin"])
        .args(["--admin", "off", "--log-format", "json", "--log-file"])
        .arg(&path)
        .spawn()
        .expect("adit starts");
    let mut adit = Started(child);
    let pid = rustix::process::Pid::from_child(&adit.0);
    let signal = |signal| rustix::process::kill_process(pid, signal).expect("signalled");
    let logs = |path: &Path, text: &str| {
        let read = || std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            wait::until(PATIENCE, || read().contains(text)),
            "{text:?} in {}:\n{}",
            path.display(),
            read()
        );
    };
    logs(&path, "listening on ");
    std::fs::rename(&path, &moved).expect("moved");
    signal(rustix::process::Signal::USR1);
    logs(&path, "log file reopened");
    signal(rustix::process::Signal::HUP);
    logs(&path, "SIGHUP: the configuration is reloaded");
    signal(rustix::process::Signal::TERM);
    assert_eq!(
        wait::for_some(PATIENCE, || adit.0.try_wait().ok().flatten()).and_then(|status| status.code()),
        Some(0)
    );
    logs(&path, "stopped");

    for path in [&moved, &path] {
        for line in std::fs::read_to_string(path).expect("read").lines() {
            let record: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            for key in ["ts", "level", "target", "message"] {
                assert!(record[key].is_string(), "{key} in {line}");
            }
        }
    }
}

#[test]
fn an_address_in_use_is_told_with_exit_code_1() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let adit = start(&pool.url(), &[]);
    let address = adit.address().to_string();
    let (code, told) = run(&["--pool", &pool.url(), "--listen", &address, "--admin", "off"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&address) && told.contains("in use"), "{told}");
}

#[test]
fn a_log_that_cannot_be_opened_is_told_with_exit_code_1() {
    let (code, told) = run(&["--pool", "stratum+tcp://127.0.0.1:1", "--log-file", "/nonexistent/adit.log"]);
    assert_eq!(code, Some(1), "{told}");
    assert!(told.starts_with("log file /nonexistent/adit.log cannot be opened: "), "{told}");
}

#[test]
fn connections_that_the_descriptors_cannot_carry_are_refused_at_the_start() {
    let chosen = ["--pool", "stratum+tcp://127.0.0.1:1", "--set", "limits.connections_max=1000"];
    let limited = |arguments: &[&str]| {
        // The shell lowers its own limit, and what it starts inherits it.
        let output = Command::new("sh")
            .args(["-c", "ulimit -n 500; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_adit"), "run"])
            .args(["--listen", "127.0.0.1:0", "--shards", "1", "--admin", "off"])
            .args(arguments)
            .output()
            .expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = limited(&chosen);
    assert_eq!(code, Some(1), "{told}");
    for part in
        ["limits.connections_max = 1000", "may have 500", "LimitNOFILE=2289", "ulimit -Hn 2289", "to 105"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
}
