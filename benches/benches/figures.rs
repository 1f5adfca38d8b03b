//! What it costs a shard to count and to note a latency, and an operator's scrape to write it all down.
//!
//! `cargo bench -p adit-benches --bench figures`; in `cargo test` each runs once, small. Before criterion's own figures,
//! the two gates: an increment and a record are part of every share's way.
#![allow(missing_docs, reason = "the macros of criterion make public functions")]

use std::hint::black_box;
use std::time::Instant;

use adit::counters::{Counter, counters};
use adit::latency::{Recorder, histogram};
use adit_admin::metrics::{Others, Scrape};
use adit_admin::view::{Latency, Pool, Shard, Snapshot, Worker, WorkerState, Workers};
use adit_protocol::event::Outcome;
use adit_protocol::moment::Moment;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Gates, in nanoseconds. They hold for the fastest of some runs: a busy machine only ever makes one slower.
const INCREMENT_NS_MAX: f64 = 1.0;
const RECORD_NS_MAX: f64 = 10.0;
const GATE_RUNS: u64 = 20;
/// Increments and records of one run, when it is measured and when it is only tried.
const GATE_STEPS: [u64; 2] = [2_000_000, 1_000];
/// Counters that one share touches on its way.
const OF_ONE_SHARE: [Counter; 4] =
    [Counter::BytesFromMiners, Counter::BytesToPools, Counter::BytesFromPools, Counter::BytesToMiners];
/// Latencies as pools have them, in microseconds: 20 to 84 ms, in no order.
const fn latency_us(nth: u64) -> u64 {
    20_000 + nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 64_000
}

const SHARDS: u32 = 4;
const POOLS: usize = 4;
/// Workers there are, and workers with series of their own.
const WORKERS: usize = 10_000;
const WORKERS_SHOWN: usize = 1_000;

fn is_measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// The least time that a step took, over some runs of so many steps.
fn least_ns(steps: u64, mut run: impl FnMut(u64)) -> f64 {
    let mut least = f64::INFINITY;
    for _ in 0..GATE_RUNS {
        let start = Instant::now();
        run(steps);
        least = least.min(start.elapsed().as_nanos() as f64 / steps as f64);
    }
    least
}

fn gates(_criterion: &mut Criterion) {
    let steps = GATE_STEPS[usize::from(!is_measuring())];
    let (mut writer, reader) = counters();
    let increment_ns = least_ns(steps, |steps| {
        for _ in 0..steps / OF_ONE_SHARE.len() as u64 {
            for counter in OF_ONE_SHARE {
                black_box(&mut writer).count(counter);
            }
        }
    });
    let sum: u64 = OF_ONE_SHARE.iter().map(|&counter| reader.snapshot().get(counter)).sum();
    assert_eq!(sum, GATE_RUNS * steps);

    let (mut recorder, published) = Recorder::new();
    let mut nth = 0;
    let record_ns = least_ns(steps, |steps| {
        for _ in 0..steps {
            black_box(&mut recorder).record(latency_us(nth), Moment(1));
            nth += 1;
        }
    });
    recorder.finish();
    let mut all = histogram();
    published.add_to(&mut all);
    assert_eq!(all.len(), GATE_RUNS * steps);

    println!("counter increment {increment_ns:.2} ns, latency record {record_ns:.2} ns");
    if is_measuring() {
        assert!(increment_ns <= INCREMENT_NS_MAX, "{increment_ns} ns");
        assert!(record_ns <= RECORD_NS_MAX, "{record_ns} ns");
    }
}

fn count(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("count");
    group.throughput(Throughput::Elements(1));
    let (mut writer, reader) = counters();
    let mut counted = 0;
    group.bench_function("one counter again and again", |bencher| {
        bencher.iter(|| {
            black_box(&mut writer).count(Counter::Jobs);
            counted += 1;
        });
    });
    assert_eq!(reader.snapshot().get(Counter::Jobs), counted);
    let mut shares = 0;
    group.bench_function("a share and its bytes", |bencher| {
        bencher.iter(|| {
            let writer = black_box(&mut writer);
            writer.share(Outcome::Accepted, None);
            for counter in OF_ONE_SHARE {
                writer.add(counter, 120);
            }
            shares += 1;
        });
    });
    let snapshot = reader.snapshot();
    assert_eq!(snapshot.shares(Outcome::Accepted), shares);
    assert_eq!(snapshot.get(Counter::BytesToPools), 120 * shares);
    group.bench_function("copy all of a shard", |bencher| {
        bencher.iter(|| assert_eq!(black_box(&reader).snapshot().shares(Outcome::Accepted), shares));
    });
    group.finish();
}

fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("latency");
    let (mut recorder, published) = Recorder::new();
    let mut nth = 0;
    group.throughput(Throughput::Elements(1));
    group.bench_function("record", |bencher| {
        bencher.iter(|| {
            recorder.record(latency_us(nth), Moment(1));
            nth += 1;
        });
    });
    group.bench_function("publish", |bencher| {
        bencher.iter(|| {
            recorder.record(latency_us(nth), Moment(1));
            nth += 1;
            recorder.publish(Moment(1));
        });
    });
    recorder.finish();
    let mut all = histogram();
    published.add_to(&mut all);
    assert_eq!(all.len(), nth);
    group.finish();
}

/// Figures of a busy farm, and its workers in no order.
fn farm() -> (Snapshot, Workers) {
    let latency = Latency::from_recorded(
        (0..1_000).map(|nth| (latency_us(nth), 1)).collect::<std::collections::BTreeMap<_, _>>(),
    );
    let shard = |index| Shard {
        index,
        connections: 2_500,
        job_forwarding: latency.clone(),
        mailbox: latency.clone(),
        ..Shard::default()
    };
    let pool = |nth| Pool { name: format!("pool {nth}"), ..Pool::default() };
    let worker = |nth: usize| Worker {
        name: format!("account.rig{nth}").into(),
        state: WorkerState::Online,
        difficulty: 65_536.0,
        ..Worker::default()
    };
    let snapshot = Snapshot {
        verdict_time: latency.clone(),
        shards: (0..SHARDS).map(shard).collect(),
        pools: (0..POOLS).map(pool).collect(),
        ..Snapshot::default()
    };
    (snapshot, Workers { all: (0..WORKERS).map(worker).collect(), ..Workers::default() })
}

fn render(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("metrics");
    let (snapshot, workers) = farm();
    let mut others = Others::default();
    let mut chosen = |shown: usize| {
        Scrape { snapshot: snapshot.clone(), ..Scrape::default() }.with_workers(&workers, shown, &mut others)
    };
    let scrape = chosen(WORKERS_SHOWN);
    let text = scrape.to_text();
    let series_of =
        |part: &str| text.lines().filter(|line| !line.starts_with('#') && line.contains(part)).count();
    assert!(
        series_of("worker=\"account.rig") >= WORKERS_SHOWN
            && series_of("shard=\"3\"") > 0
            && series_of("pool=\"pool 3\"") > 0
    );
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("text, 4 shards, 4 pools and 1,000 of 10,000 workers", |bencher| {
        bencher.iter(|| assert_eq!(black_box(&scrape).to_text().len(), text.len()));
    });
    // The promise is 50 ms of CPU, from the copies of the shards' figures on.
    let all_text = chosen(WORKERS).to_text();
    group.throughput(Throughput::Bytes(all_text.len() as u64));
    group.bench_function("choosing and text, all of 10,000 workers", |bencher| {
        bencher.iter(|| assert_eq!(black_box(chosen(WORKERS)).to_text().len(), all_text.len()));
    });
    let bytes = serde_json::to_vec(&scrape.to_page()).expect("JSON").len();
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("the same as JSON", |bencher| {
        bencher.iter(|| {
            let page = serde_json::to_vec(&black_box(&scrape).to_page()).expect("JSON");
            assert_eq!(page.len(), bytes);
        });
    });
    group.finish();
}

criterion_group!(benches, gates, count, record, render);
criterion_main!(benches);
