//! What a session does for a share: up, down, and the whole of it with what a shard notes of it, without sockets.
//!
//! `cargo bench -p adit-benches --bench session`; in `cargo test` each runs once. Instructions: `scripts/session-gates`.
#![allow(missing_docs, reason = "the macros of criterion make public functions")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit::counters::{Counter, counters};
use adit::latency::{Recorder, histogram};
use adit_benches::way::Way;
use adit_protocol::event::Outcome;
use adit_protocol::moment::Moment;
use adit_store::limits::OUTBOX_ROWS_MAX;
use adit_store::names::Names;
use adit_store::outbox::{OutboxLimits, outbox};
use adit_store::record::{ReasonKey, SessionKey, ShareRow};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// One half of the way at a time; the other goes unmeasured.
fn steps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session step");
    group.throughput(Throughput::Elements(1));
    let mut way = Way::new(false);
    for is_up in [true, false] {
        let name = if is_up { "a submit up" } else { "a verdict down" };
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                for _ in 0..iterations {
                    way.next_submit();
                    let start = Instant::now();
                    black_box(&mut way).up();
                    let up = start.elapsed();
                    assert!(way.next_verdict());
                    let start = Instant::now();
                    black_box(&mut way).down();
                    took += if is_up { up } else { start.elapsed() };
                    assert!(way.closed().is_some_and(|share| share.outcome == Outcome::Accepted));
                }
                took
            });
        });
    }
    group.finish();
}

/// From the miner's bytes to the pool's and back to the miner's, with counters, latency and the ledger's row.
fn end_to_end(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("submit end to end");
    group.throughput(Throughput::Elements(1));
    for (name, share_check) in [("as it comes", false), ("with share check", true)] {
        let names = Arc::new(Names::default());
        let (worker, pool) = (names.worker("bc1qexample.rig01"), names.pool("main"));
        let (mut rows, inbox) = outbox(names, OutboxLimits::default());
        let (mut writer, reader) = counters();
        let (mut recorder, published) = Recorder::new();
        let (mut way, mut done, mut taken) = (Way::new(share_check), 0, 0);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                way.next_submit();
                way.up();
                assert!(way.next_verdict());
                way.down();
                let share = way.closed().expect("the miner was told");
                done += 1;
                writer.share(share.outcome, None);
                writer.add(Counter::BytesFromMiners, 120);
                recorder.record(30_000 + done % 1_000, Moment(1));
                rows.push(ShareRow {
                    verdict_us: done,
                    session: SessionKey(1),
                    difficulty: share.difficulty,
                    share_difficulty: share.share_difficulty,
                    latency_us: 30_000,
                    worker,
                    job: 7,
                    pool,
                    reason: ReasonKey::NONE,
                    code: 0,
                    outcome: share.outcome,
                    class: None,
                    block_candidate: false,
                });
                if done.is_multiple_of(OUTBOX_ROWS_MAX as u64 / 2) {
                    taken += inbox.take_rows(usize::MAX, |_| {}) as u64;
                }
            });
        });
        assert_eq!(reader.snapshot().shares(Outcome::Accepted), done);
        assert_eq!(taken + inbox.take_rows(usize::MAX, |_| {}) as u64, done, "a row for each share");
        recorder.finish();
        let mut all = histogram();
        published.add_to(&mut all);
        assert_eq!(all.len(), done);
    }
    group.finish();
}

criterion_group!(benches, steps, end_to_end);
criterion_main!(benches);
