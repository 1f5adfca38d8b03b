//! How sessions end: the last lines of either side arrive, and what is open gets exactly one answer.

use std::time::Duration;

use adit_loadtest::json_line::{JsonLine, Verdict};
use adit_loadtest::peer::{Heard, PATIENCE, Peer, PeerListener};
use adit_loadtest::shapes::{SUCCESS_SHAPES, fill};
use adit_loadtest::wait;

use crate::common::{Bench, NOTIFY, Pair, adit, id_of, url};

/// Reads what the miner still gets: exactly one refusal for each of these ids, in any order, and then the end.
#[track_caller]
fn expect_one_refusal_each(miner: &mut Peer, ids: &[&str]) {
    let mut refused: Vec<String> = miner
        .lines_until_close()
        .iter()
        .map(|line| {
            let message = JsonLine::read(line.as_bytes()).expect("JSON");
            assert!(matches!(message.verdict(), Verdict::Rejected(20 | 21)), "{line}");
            message.id().expect("an id").to_owned()
        })
        .collect();
    refused.sort();
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    assert_eq!(refused, ids);
}

fn three_open_submits(bench: &Bench) -> Pair {
    let mut pair = bench.mining("a.b");
    for id in ["4", "4", "\"x\""] {
        let _request = pair.submit(id, "a.b");
    }
    pair
}

#[test]
fn a_miner_that_closes_its_half_still_gets_its_last_verdict() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let id = id_of(&pair.submit("1", "a.b"));
    pair.miner.close_sending().unwrap();
    pair.pool.expect_silence(Duration::from_millis(100));
    pair.pool.send_line(&fill(SUCCESS_SHAPES[0], &id)).unwrap();
    pair.miner.expect_line(&fill(SUCCESS_SHAPES[0], "1"));
    assert_eq!(pair.miner.hear(PATIENCE), Heard::End(Vec::new()));
    pair.pool.expect_close();
}

#[test]
fn a_miners_last_submit_before_its_close_reaches_the_pool() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    pair.miner.send_line(&crate::common::submit_line("1", "a.b")).unwrap();
    drop(pair.miner);
    assert!(pair.pool.line().contains("mining.submit"));
    pair.pool.expect_close();
}

#[test]
fn a_pools_last_lines_before_its_close_reach_the_miner() {
    let bench = Bench::new(&[]);
    let mut pair = three_open_submits(&bench);
    let lines: Vec<String> = (0..50).map(|n| NOTIFY.replace("6f3a", &format!("job {n}"))).collect();
    let mut text = lines.join("\n");
    text.push('\n');
    pair.pool.send(text.as_bytes()).unwrap();
    drop(pair.pool);
    for line in &lines {
        pair.miner.expect_line(line);
    }
    expect_one_refusal_each(&mut pair.miner, &["4", "4", "\"x\""]);
}

#[test]
fn pending_submits_of_a_pool_that_resets_get_exactly_one_answer() {
    let bench = Bench::new(&[]);
    let mut pair = three_open_submits(&bench);
    pair.pool.reset().unwrap();
    expect_one_refusal_each(&mut pair.miner, &["4", "4", "\"x\""]);
}

#[test]
fn a_pool_that_dies_in_the_middle_of_an_answer_has_not_answered() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let id = id_of(&pair.submit("1", "a.b"));
    pair.pool.send(format!(r#"{{"id":{id},"result":true,"err"#).as_bytes()).unwrap();
    drop(pair.pool);
    expect_one_refusal_each(&mut pair.miner, &["1"]);
}

#[test]
fn a_pool_that_cannot_be_reached_is_told_to_the_miner_at_once() {
    let nobody = PeerListener::bind().unwrap();
    let pool_url = url(&nobody);
    drop(nobody);
    let adit = adit(&pool_url, &[]);
    let mut miner = Peer::connect(adit.address()).unwrap();
    miner.send_line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#).unwrap();
    expect_one_refusal_each(&mut miner, &["1"]);
}

#[test]
fn a_pool_host_that_has_no_address_is_told_to_the_miner() {
    let adit = adit("stratum+tcp://no-such-host.invalid:3333", &[]);
    let mut miner = Peer::connect(adit.address()).unwrap();
    miner.send_line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#).unwrap();
    expect_one_refusal_each(&mut miner, &["1"]);
}

#[test]
fn a_miner_that_resets_ends_its_pool_connection_too() {
    let bench = Bench::new(&[]);
    let pair = bench.mining("a.b");
    pair.miner.reset().unwrap();
    let mut pool = pair.pool;
    pool.expect_close();
}

/// Jobs enough to fill every buffer between a pool and a miner that does not read.
const JOBS: usize = 400_000;

fn numbered_jobs(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|n| NOTIFY.replace("6f3a", &n.to_string()) + "\n").collect()
}

#[test]
fn a_miner_that_reads_late_gets_every_line_and_its_pool_waits_meanwhile() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let before = bench.adit.usage().unwrap().resident_kib;
    let mut pool = pair.pool;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&sent);
    let sender = std::thread::spawn(move || {
        for first in (0..JOBS).step_by(1_000) {
            pool.send(numbered_jobs(first..first + 1_000).as_bytes())
                .expect("the pool may send all of it, later");
            count.store(first + 1_000, std::sync::atomic::Ordering::Relaxed);
        }
        pool
    });
    // The pool cannot go on: what is under way has reached its bound.
    let mut last = usize::MAX;
    let stalled = wait::until(PATIENCE, || {
        std::thread::sleep(Duration::from_millis(200));
        let now = sent.load(std::sync::atomic::Ordering::Relaxed);
        std::mem::replace(&mut last, now) == now
    });
    assert!(stalled && last < JOBS, "{last} of {JOBS} jobs were taken in");
    let kept = bench.adit.usage().unwrap().resident_kib.saturating_sub(before);
    assert!(kept < 8 * 1024, "{kept} KiB more for one miner that does not read");
    for n in 0..JOBS {
        let job = pair.miner.line();
        assert!(job.contains(&format!("[\"{n}\",")), "job {n} was due, not {job}");
    }
    drop(sender.join());
}

#[test]
fn a_miner_that_never_reads_is_given_up_at_the_bound_and_its_pool_is_told() {
    let bench = Bench::new(&["--set", "limits.output_bytes_max=65536"]);
    let mut pair = bench.mining("a.b");
    let mut other = bench.mining("c.d");
    // Longer than the bound: whatever does not fit into the kernel's buffers is too much at once.
    let line = NOTIFY.replace("6f3a", &"j".repeat(500_000)) + "\n";
    assert!(
        wait::until(PATIENCE, || pair.pool.send(line.as_bytes()).is_err()),
        "the pool could send without end"
    );
    let id = id_of(&other.submit("1", "c.d"));
    other.pool.send_line(&fill(SUCCESS_SHAPES[0], &id)).unwrap();
    other.miner.expect_line(&fill(SUCCESS_SHAPES[0], "1"));
}

#[test]
fn a_pool_that_only_sends_is_told_when_its_miner_has_left() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    drop(pair.miner);
    let jobs = numbered_jobs(0..100);
    assert!(
        wait::until(PATIENCE, || pair.pool.send(jobs.as_bytes()).is_err()),
        "the pool could send without end"
    );
}
