//! What a job and a share cost: reading a notify, keeping its content, a target, a share check. Each checks its answer.
//!
//! `cargo bench -p adit-benches --bench work`; in `cargo test` each runs once.

use std::hint::black_box;

use adit_protocol::difficulty::Target;
use adit_protocol::hash::{Hash256, sha256d};
use adit_protocol::job::JobStore;
use adit_protocol::limits::LINE_PADDING;
use adit_protocol::message::Line;
use adit_protocol::parse::Parser;
use adit_protocol::share::{ShareCheck, Solution};
use adit_protocol::template::{Coinbase, Output, Work};
use criterion::{Criterion, criterion_group, criterion_main};

/// Transactions of a full block: 13 branches, a notify of 1.5 KiB.
const TRANSACTIONS_COUNT: u32 = 4_000;

fn work() -> Work {
    let coinbase = Coinbase {
        height: 840_000,
        tag: b"/bench/".to_vec(),
        extranonces_bytes: 12,
        outputs: vec![
            Output { value: 312_500_000, script: vec![0x11; 22] },
            Output::witness_commitment(&sha256d(b"witnesses")),
        ],
    };
    let txids: Vec<Hash256> = (1..TRANSACTIONS_COUNT).map(|n| sha256d(&n.to_le_bytes())).collect();
    Work::new(sha256d(b"tip"), &coinbase, &txids, 0x2000_0000, 0x1703_4219, 0x6625_2f80).unwrap()
}

/// A line with the room behind it that the parser wants.
fn padded(line: &str) -> Vec<u8> {
    let mut bytes = line.as_bytes().to_vec();
    bytes.resize(line.len() + LINE_PADDING, 0);
    bytes
}

fn keep_job(c: &mut Criterion) {
    let work = work();
    assert_eq!(work.branches.len(), 12);
    let line = work.notify_line("6f3a", true);
    let mut bytes = padded(&line);
    let mut parser = Parser::new();
    let notify = parser.parse(Line::new(&mut bytes, line.len()).unwrap()).unwrap();
    let mut store = JobStore::default();
    let first = store.keep(&notify).unwrap().unwrap();
    let bytes_count = store.bytes_count();
    c.bench_function("job: decode a notify and find its content kept", |b| {
        b.iter(|| {
            let job = store.keep(black_box(&notify)).unwrap().unwrap();
            assert_eq!(job, first);
            store.release(job);
        });
    });
    assert_eq!(store.bytes_count(), bytes_count);
    store.release(first);
    c.bench_function("job: decode a notify, keep its content, free it", |b| {
        b.iter(|| {
            let job = store.keep(black_box(&notify)).unwrap().unwrap();
            assert_eq!(store.content(&job).unwrap().branches.len(), 12);
            store.release(job);
        });
    });
    assert_eq!(store.bytes_count(), 0);
}

fn check_share(c: &mut Criterion) {
    let work = work();
    let line = r#"{"id":4,"method":"mining.submit","params":["a.b","6f3a","0000000000000007","66252f80","00534aa3","00c0e000"]}"#;
    let mut bytes = padded(line);
    let mut parser = Parser::new();
    let submit = parser.parse(Line::new(&mut bytes, line.len()).unwrap()).unwrap();
    let check = ShareCheck {
        job: work.content(),
        extranonce1: &[0xf0, 0, 0, 0x0a],
        version_mask: 0x1fff_e000,
        target: Target::from_difficulty(16_384.0).unwrap(),
    };
    let expected = naive_hash(&work);
    c.bench_function("share: decode and check, 12 branches", |b| {
        b.iter(|| {
            let solution = Solution::decode(black_box(&submit), 8).unwrap();
            let verdict = check.check(&solution);
            assert!(verdict.hash == expected && !verdict.meets && !verdict.is_block);
        });
    });
}

/// The hash of the submit above, by joining everything first.
fn naive_hash(work: &Work) -> Hash256 {
    let extranonces = [0xf0, 0, 0, 0x0a, 0, 0, 0, 0, 0, 0, 0, 7];
    let coinbase = sha256d(&[&work.coinbase1[..], &extranonces, &work.coinbase2].concat());
    let root = work.branches.iter().fold(coinbase, |node, branch| sha256d(&[node.0, *branch].concat()));
    let [version, ntime, nbits, nonce] =
        [0x20c0_e000_u32, 0x6625_2f80, 0x1703_4219, 0x0053_4aa3].map(u32::to_le_bytes);
    sha256d(&[&version[..], &work.previous.0, &root.0, &ntime, &nbits, &nonce].concat())
}

fn targets(c: &mut Criterion) {
    for difficulty in [16_384.0, 0.001] {
        let expected = Target::from_difficulty(difficulty).unwrap();
        assert!((expected.difficulty() / difficulty - 1.0).abs() < 1e-15);
        c.bench_function(&format!("target: of difficulty {difficulty}"), |b| {
            b.iter(|| assert_eq!(Target::from_difficulty(black_box(difficulty)), Some(expected)));
        });
    }
}

criterion_group!(benches, keep_job, check_share, targets);
criterion_main!(benches);
