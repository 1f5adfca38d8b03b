//! `adit practice-pool`, `adit mine` and `adit demo` as somebody meets them who tries Adit for the first time.

use std::process::{Command, Output, Stdio};

fn adit(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adit")).args(arguments).output().expect("adit runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The number behind `name=` in a summary.
fn figure(text: &str, name: &str) -> u64 {
    let line = text.lines().last().unwrap_or_default();
    let figure = line.split_ascii_whitespace().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    figure.and_then(|figure| figure.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn the_demo_ends_well_with_accepted_shares_and_a_summary() {
    let output = adit(&["demo", "--for", "3s", "--miners", "2", "--shards", "2", "--admin", "127.0.0.1:0"]);
    let told = stdout(&output);
    assert!(told.contains("\ndashboard http://127.0.0.1:"), "{told}");
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(figure(&told, "accepted") > 0, "{told}");
    assert_eq!(figure(&told, "unanswered"), 0, "{told}");
    assert!(figure(&told, "p50_us") > 0 && figure(&told, "p99_us") >= figure(&told, "p50_us"), "{told}");
    figure(&told, "rejected");
}

#[test]
fn a_demo_whose_dashboard_has_no_place_says_so_and_goes_on() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = adit(&["demo", "--for", "2s", "--miners", "1", "--shards", "1", "--admin", &address]);
    let told = stdout(&output);
    assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains(&format!("no dashboard: cannot listen on {address}")), "{told}");
}

#[test]
fn a_miner_mines_at_the_practice_pool() {
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let pool = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["practice-pool", "--listen", &free.to_string(), "--difficulty", "0.000001", "--for", "6s"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the pool starts");
    let url = format!("stratum+tcp://{free}");
    let miner = adit(&[
        "mine",
        "--url",
        &url,
        "--user",
        "a.rig",
        "--threads",
        "1",
        "--hashrate-max",
        "50k",
        "--for",
        "4s",
    ]);
    let told = stdout(&miner);
    assert!(miner.status.success(), "{told}");
    let accepted = figure(&told, "accepted");
    assert!(accepted > 0, "{told}");
    let pool = pool.wait_with_output().expect("the pool ends");
    assert_eq!(figure(&stdout(&pool), "accepted"), accepted, "{}", stdout(&pool));
}

#[test]
fn a_miner_that_nobody_accepted_a_share_of_fails_and_says_why() {
    // It listens, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("stratum+tcp://{}", silent.local_addr().expect("an address"));
    let miner = adit(&["mine", "--url", &url, "--user", "a.rig", "--threads", "1", "--for", "1s"]);
    assert_eq!(miner.status.code(), Some(1));
    assert_eq!(figure(&stdout(&miner), "accepted"), 0);
    let words = String::from_utf8_lossy(&miner.stderr).into_owned();
    assert!(words.contains("no share was accepted: "), "{words}");
}

#[test]
fn wrong_flags_are_told_with_what_is_allowed_and_exit_code_2() {
    for (arguments, part) in [
        (&["mine", "--user", "a", "--url", "pool:1"][..], "allowed: stratum+tcp://HOST:PORT"),
        (
            &["mine", "--user", "a", "--url", "stratum+tcp://pool:1", "--hashrate-max", "fast"],
            "such as 0.001, 500k",
        ),
        (&["demo", "--for", "20"], "as in 20s"),
        (&["demo", "--miners", "0"], "1..=256"),
        (&["practice-pool", "--difficulty", "-1"], "--difficulty"),
        (&["practice-pool", "--listen", "127.0.0.1:0", "--extranonce2-size", "99"], "1 to 16"),
    ] {
        let output = adit(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(part), "{arguments:?}: {told}");
    }
}
