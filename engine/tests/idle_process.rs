//! What Adit costs while nothing happens. One test, since it measures its whole process.

#[path = "data_plane/support.rs"]
#[allow(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use adit_loadtest::process::raise_descriptor_limit;
use support::*;

/// Resident memory that an idle pair may take, all its tracking included.
const PAIR_BYTES_MAX: usize = 4096;
/// Pairs that are measured, and those before them.
const PAIRS_COUNT: usize = 2_000;
const FIRST_COUNT: usize = 400;
/// With fewer, what the process takes once would be taken for theirs.
const MEASURED_COUNT_MIN: usize = 1_000;
/// Of each pair: Adit's two and their other ends.
const DESCRIPTORS_PER_PAIR: usize = 4;
const OTHER_DESCRIPTORS: usize = 200;
/// Clock ticks (10 ms) of CPU in two idle seconds.
const TICKS_MAX: u64 = 1;

#[test]
fn an_idle_adit_takes_no_cpu_and_an_idle_pair_less_than_a_page() {
    let pool = TcpListener::bind("127.0.0.1:0").unwrap();
    let adit = adit(pool.local_addr().unwrap(), |settings| settings.shards = Some(2.try_into().unwrap()));
    let wanted = (FIRST_COUNT + PAIRS_COUNT) * DESCRIPTORS_PER_PAIR + OTHER_DESCRIPTORS;
    let descriptors = raise_descriptor_limit(wanted as u64) as usize;
    let room = descriptors.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_PER_PAIR;
    let first = FIRST_COUNT.min(room / 2);
    let measured = PAIRS_COUNT.min(room - first);
    let mut peers = Vec::with_capacity(first + measured);
    // What is allocated once: buffers, tables, the allocator's own.
    for _ in 0..first {
        peers.push(idle_pair(&adit, &pool));
    }
    let before = resident_bytes();
    for _ in 0..measured {
        peers.push(idle_pair(&adit, &pool));
    }
    let pair_bytes = resident_bytes().saturating_sub(before) / measured;
    assert_eq!(adit.counters().open(), peers.len() as u64);
    println!("{pair_bytes} bytes per idle pair, of {measured}");
    if measured < MEASURED_COUNT_MIN {
        println!("SKIPPED memory of idle pairs: {descriptors} descriptors are too few for it");
    } else {
        assert!(pair_bytes <= PAIR_BYTES_MAX, "{pair_bytes} bytes per idle pair");
    }

    // Quiet at the latest when latencies are published and connections looked at.
    let mut last = ticks();
    wait_until("it is quiet", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = ticks();
        std::mem::replace(&mut last, now) == now
    });
    // Again where the machine was too busy with others for a thread to wake cheaply.
    let mut used = u64::MAX;
    for _ in 0..5 {
        let before = ticks();
        std::thread::sleep(Duration::from_secs(2));
        used = used.min(ticks() - before);
        if used <= TICKS_MAX {
            break;
        }
    }
    assert!(used <= TICKS_MAX, "{used} ticks in two idle seconds");
    drop(peers);
    stop(adit);
}

/// A miner that is logged in and has a job, and its pool; nothing of it is buffered here.
fn idle_pair(adit: &adit::supervisor::Running, pool: &TcpListener) -> (TcpStream, TcpStream) {
    let mut miner = TcpStream::connect(address(adit)).unwrap();
    miner.set_read_timeout(Some(LIMIT)).unwrap();
    let subscribe = r#"{"id":1,"method":"mining.subscribe","params":["test/1.0"]}"#;
    let authorize = r#"{"id":2,"method":"mining.authorize","params":["account.rig","x"]}"#;
    miner.write_all(format!("{subscribe}\n{authorize}\n").as_bytes()).unwrap();
    let (upstream, _) = pool.accept().unwrap();
    upstream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut reader = BufReader::with_capacity(512, &upstream);
    let mut answers = String::new();
    for result in [r#"[[["mining.notify","5f00a1b2"]],"f000000a",8]"#, "true"] {
        let mut request = String::new();
        reader.read_line(&mut request).unwrap();
        let id = id_of(&request);
        answers.extend(["{\"id\":", &id.to_string(), ",\"result\":", result, ",\"error\":null}\n"]);
    }
    answers += &(job(1) + "\n");
    (&upstream).write_all(answers.as_bytes()).unwrap();
    let mut seen = [0; 1024];
    let mut lines = 0;
    while lines < 3 {
        let count = miner.read(&mut seen).unwrap();
        lines += seen[..count].split(|&byte| byte == b'\n').count() - 1;
    }
    (miner, upstream)
}

/// CPU of this process so far, user and system, in clock ticks.
fn ticks() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap() * 4096
}
