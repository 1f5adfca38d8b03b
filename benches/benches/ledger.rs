//! What the ledger costs: a row from the shard's push to the file. Each run checks what it wrote.
//!
//! `cargo bench -p adit-benches --bench ledger`; in `cargo test` each runs once, small. What is printed first, beside
//! criterion: a sustained run of ten million rows; rows of many workers in turn, which is the worst case for rollups; the
//! size of a day, and how long pruning it holds the writer up. `LEDGER_HOURS=24` measures a whole day. The file lies in the
//! build folder, so on a disk where that is on one.
#![allow(missing_docs, reason = "the macros of criterion make public functions")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adit_protocol::event::Outcome;
use adit_protocol::verdict::RejectClass;
use adit_store::limits::{BATCH_ROWS_MAX, MAINTENANCE_STEP_MS_MAX, OUTBOX_ROWS_MAX};
use adit_store::names::Names;
use adit_store::outbox::{OutboxLimits, outbox};
use adit_store::reader::Reader;
use adit_store::record::{PoolKey, ReasonKey, SessionKey, ShareRow, WorkerKey};
use adit_store::retention::Retention;
use adit_store::sink::{Batch, LedgerSink};
use adit_store::sqlite::SqliteSink;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;

/// 2025-06-01
const START_US: u64 = 1_748_736_000_000_000;
/// Every hundredth share is stale.
const STALE_EVERY: u64 = 100;
const FOREVER: Retention = Retention { shares_days: 0, rollups_days: 0, bytes_max: 0 };

/// A prime, so that a round comes to every worker.
const TURN_STEP: usize = 7_919;

/// Gates of the sustained run. Time on the wall is the machine's affair as much as ours, so it is printed, not asserted.
const CPU_NS_PER_ROW_MAX: f64 = 1_000.0;
const BYTES_PER_ROW_MAX: f64 = 48.0;

/// Rows as a fleet sends them: workers in no order, job numbers like hashes, latencies of 20 to 80 ms.
struct Fleet {
    workers: Vec<WorkerKey>,
    pool: PoolKey,
    stale: ReasonKey,
    /// Time between two shares.
    pace_us: u64,
    is_checked: bool,
    /// Workers one after the other instead of in no order: the worst case, no two rows of a batch are of one worker.
    in_turn: bool,
    turn: usize,
    now_us: u64,
    seed: u64,
}

impl Fleet {
    fn new(names: &Names, workers_count: u32, pace_us: u64) -> Self {
        Self {
            workers: (0..workers_count).map(|n| names.worker(&format!("account.rig{n}"))).collect(),
            pool: names.pool("main"),
            stale: names.reason("Job not found"),
            pace_us,
            is_checked: false,
            in_turn: false,
            turn: 0,
            now_us: START_US,
            seed: 1,
        }
    }

    fn next(&mut self) -> ShareRow {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let random = self.seed >> 33;
        self.now_us += self.pace_us;
        // The first round gives numbers, the later ones go through them in big steps: real workers come in no order.
        self.turn += 1;
        let step = if self.turn <= self.workers.len() { 1 } else { TURN_STEP };
        let at = if self.in_turn { self.turn * step } else { random as usize } % self.workers.len();
        let row = ShareRow {
            verdict_us: self.now_us,
            session: SessionKey(at as u64 + 1),
            difficulty: 65_536.0,
            share_difficulty: if self.is_checked { 65_536.0 + random as f64 / 7.0 } else { f64::NAN },
            latency_us: 20_000 + (random % 60_000) as u32,
            worker: self.workers[at],
            job: (random as u32).wrapping_mul(2_654_435_761),
            pool: self.pool,
            reason: ReasonKey::NONE,
            code: 0,
            outcome: Outcome::Accepted,
            class: None,
            block_candidate: false,
        };
        if !random.is_multiple_of(STALE_EVERY) {
            return row;
        }
        let (outcome, class) = (Outcome::Rejected, Some(RejectClass::Stale));
        ShareRow { outcome, class, code: 21, reason: self.stale, ..row }
    }
}

/// A ledger to write to, and what was written.
struct Written {
    directory: TempDir,
    path: PathBuf,
    sink: SqliteSink,
    batch: Batch,
    last_key: u64,
    rows: u64,
    rejected: u64,
    bytes_before: u64,
}

impl Written {
    fn new(names: &Arc<Names>) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let path = directory.path().join("ledger.db");
        let sink = SqliteSink::open(&path, Arc::clone(names), FOREVER).expect("a ledger");
        Self {
            directory,
            path,
            sink,
            batch: Batch::default(),
            last_key: 0,
            rows: 0,
            rejected: 0,
            bytes_before: bytes_written(),
        }
    }

    fn fill(&mut self, fleet: &mut Fleet, rows_count: usize) {
        self.batch.rows.clear();
        self.batch.number += 1;
        for _ in 0..rows_count {
            let row = fleet.next();
            self.last_key = Batch::key_after(self.last_key, &row);
            self.rejected += u64::from(row.outcome == Outcome::Rejected);
            self.batch.rows.push((self.last_key, row));
        }
    }

    /// One transaction with its rollups, and a checkpoint when it is due.
    fn write(&mut self) {
        self.sink.write(&self.batch).expect("written");
        self.sink.maintain(self.last_key, Duration::from_millis(50)).expect("maintained");
        self.rows += self.batch.rows.len() as u64;
    }

    /// Bytes that this process has handed to file systems since the ledger was made.
    fn bytes_written(&self) -> u64 {
        bytes_written() - self.bytes_before
    }

    /// Closes the ledger and reads all of it again; where it is, and its bytes per row.
    fn check(mut self) -> (TempDir, f64) {
        self.sink.finish().expect("closed");
        let reader = Reader::open(&self.path).expect("a reader");
        let verified = reader.verify(|_| {}).expect("verified");
        assert!(verified.is_sound(), "{verified:?}");
        assert_eq!(verified.shares, self.rows);
        let everything = adit_store::reader::Span::ALL;
        let rejects = reader.rejects(everything).expect("rejects");
        assert_eq!(rejects.iter().map(|rejects| rejects.count).sum::<u64>(), self.rejected);
        let bytes = std::fs::metadata(&self.path).expect("a file").len();
        (self.directory, bytes as f64 / self.rows as f64)
    }
}

/// Nanoseconds of CPU of this thread.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("schedstat");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

/// Bytes in writes of this process.
fn bytes_written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").expect("io");
    let wchar = io.lines().find_map(|line| line.strip_prefix("wchar: ")).expect("wchar");
    wchar.parse().expect("a number")
}

/// Ten million rows without a pause. Checked and printed, beside criterion, which would only ever see pieces of it.
fn sustained(_criterion: &mut Criterion) {
    let is_measuring = std::env::args().any(|argument| argument == "--bench");
    let batches = if is_measuring { 10_000_000 / BATCH_ROWS_MAX } else { 2 };
    for (what, is_checked) in [("share difficulty not checked", false), ("share difficulty checked", true)] {
        let names = Arc::new(Names::default());
        let mut fleet = Fleet { is_checked, ..Fleet::new(&names, 1_000, 50) };
        let mut written = Written::new(&names);
        let (mut wall, mut cpu) = (Duration::ZERO, 0);
        for _ in 0..batches {
            written.fill(&mut fleet, BATCH_ROWS_MAX);
            let (started, cpu_before) = (Instant::now(), cpu_ns());
            written.write();
            wall += started.elapsed();
            cpu += cpu_ns() - cpu_before;
        }
        let rows = written.rows as f64;
        let cpu_ns_per_row = cpu as f64 / rows;
        let (_, bytes_per_row) = written.check();
        println!(
            "sustained, 1,000 workers, {what}: {:.0} rows/s, {cpu_ns_per_row:.0} ns of CPU and {bytes_per_row:.1} bytes per row",
            rows / wall.as_secs_f64()
        );
        if is_measuring {
            assert!(cpu_ns_per_row <= CPU_NS_PER_ROW_MAX, "{cpu_ns_per_row} ns");
            assert!(bytes_per_row <= BYTES_PER_ROW_MAX, "{bytes_per_row} bytes");
        }
    }
}

/// CPU per row where every row is of another worker than the one before, at a pace of 1,000 shares per second in batches of
/// 100 ms, and at 20,000 in batches as large as they get. Over minutes, since rollups are of minutes.
fn workers_in_turn(_criterion: &mut Criterion) {
    let is_measuring = std::env::args().any(|argument| argument == "--bench");
    for (per_second, rows_count) in [(1_000, 100), (20_000, BATCH_ROWS_MAX)] {
        for workers in [100, 1_000, 10_000] {
            let names = Arc::new(Names::default());
            let pace_us = 1_000_000 / per_second;
            let mut fleet = Fleet { in_turn: true, ..Fleet::new(&names, workers, pace_us) };
            let mut written = Written::new(&names);
            let minutes = if is_measuring { 5 } else { 0 };
            let batches = 2 + (minutes * 60 * per_second) as usize / rows_count;
            let mut cpu = 0;
            for _ in 0..batches {
                written.fill(&mut fleet, rows_count);
                let cpu_before = cpu_ns();
                written.write();
                cpu += cpu_ns() - cpu_before;
            }
            let cpu_ns_per_row = cpu as f64 / written.rows as f64;
            let log_bytes_per_row = written.bytes_written() as f64 / written.rows as f64;
            written.check();
            println!(
                "{workers} workers in turn, {per_second} shares/s: {cpu_ns_per_row:.0} ns of CPU, {log_bytes_per_row:.0} bytes written to the disk per row"
            );
        }
    }
}

/// A day of 1,000 shares per second by 1,000 workers, or as many hours of it as `LEDGER_HOURS` says, and what it takes on
/// the disk. Then all of it is pruned, which must never take long in one step.
fn day_and_pruning(_criterion: &mut Criterion) {
    let hours = std::env::var("LEDGER_HOURS").ok().and_then(|hours| hours.parse::<u64>().ok());
    let is_measuring = std::env::args().any(|argument| argument == "--bench");
    let rows_in_all = if is_measuring { hours.unwrap_or(1) * 3_600 * 1_000 } else { 20_000 };
    let names = Arc::new(Names::default());
    let mut fleet = Fleet::new(&names, 1_000, 1_000);
    let mut written = Written::new(&names);
    while written.rows < rows_in_all {
        written.fill(&mut fleet, 1_000);
        written.write();
    }
    let (rows, last_key) = (written.rows as f64, written.last_key);
    let path = written.path.clone();
    let (_directory, bytes_per_row) = written.check();
    println!(
        "{:.2} hours of 1,000 shares/s of 1,000 workers: {:.3} GB, {bytes_per_row:.1} bytes per share, {:.2} GB a day",
        rows / 3.6e6,
        bytes_per_row * rows / 1e9,
        bytes_per_row * 86.4e6 / 1e9
    );
    let retention = Retention { shares_days: 1, rollups_days: 0, bytes_max: 0 };
    let mut sink = SqliteSink::open(&path, names, retention).expect("a ledger");
    let (later_us, mut steps) = (last_key + 2 * 86_400_000_000, Vec::new());
    loop {
        let (started, cpu_before) = (Instant::now(), cpu_ns());
        let done =
            sink.maintain(later_us, Duration::from_millis(MAINTENANCE_STEP_MS_MAX)).expect("maintained");
        steps.push((started.elapsed(), cpu_ns() - cpu_before));
        if !done.more {
            break;
        }
    }
    let median = steps.iter().map(|&(wall, _)| wall).collect::<std::collections::BTreeSet<_>>();
    println!(
        "pruned in {} steps: median {:?}, slowest {:?} on the wall, {} µs of CPU",
        steps.len(),
        median.iter().nth(median.len() / 2).copied().unwrap_or_default(),
        median.last().copied().unwrap_or_default(),
        steps.iter().map(|&(_, cpu)| cpu / 1_000).max().unwrap_or_default(),
    );
    sink.finish().expect("closed");
    let reader = Reader::open(&path).expect("a reader");
    assert_eq!(reader.info().expect("info").shares, 0);
}

/// One batch, by how many workers share it: each worker of a batch costs one write of its rollup.
fn batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger batch");
    for (rows_count, workers) in [(BATCH_ROWS_MAX, 1_000), (2_000, 500), (2_000, 10_000), (200, 500)] {
        group.throughput(Throughput::Elements(rows_count as u64));
        let names = Arc::new(Names::default());
        let mut fleet = Fleet::new(&names, workers, 100_000 / rows_count as u64);
        let mut written = Written::new(&names);
        group.bench_function(format!("{rows_count} rows of {workers} workers"), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut took = Duration::ZERO;
                for _ in 0..iterations {
                    written.fill(&mut fleet, rows_count);
                    let started = Instant::now();
                    written.write();
                    took += started.elapsed();
                }
                took
            });
        });
        written.check();
    }
    group.finish();
}

/// A push, with the ledger's thread emptying the other end, and into the gap when there is no room.
fn push(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox push");
    group.throughput(Throughput::Elements(1));
    let names = Arc::new(Names::default());
    let mut fleet = Fleet::new(&names, 1_000, 50);
    let rows: Vec<_> = (0..OUTBOX_ROWS_MAX).map(|_| fleet.next()).collect();

    let (mut shard, inbox) = outbox(Arc::clone(&names), OutboxLimits::default());
    let (is_done, mut pushed) = (AtomicBool::new(false), 0);
    std::thread::scope(|scope| {
        let ledger = scope.spawn(|| {
            let mut taken = 0;
            loop {
                let is_last = is_done.load(Ordering::Acquire);
                taken += inbox.take_rows(usize::MAX, |_| {}) as u64;
                while let Some(gap) = inbox.take_gap() {
                    taken += gap.shares.total();
                    inbox.give_back(gap);
                }
                if is_last && inbox.is_closed() {
                    return taken;
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        group.bench_function("with room", |bencher| {
            bencher.iter_custom(|iterations| {
                let (mut took, mut left) = (Duration::ZERO, iterations);
                while left > 0 {
                    // No more at a time than fit: the other case is measured below.
                    let part = left.min(rows.len() as u64 / 2);
                    let started = Instant::now();
                    rows[..part as usize].iter().for_each(|&row| shard.push(row));
                    took += started.elapsed();
                    (left, pushed) = (left - part, pushed + part);
                    while inbox.rows_waiting() > 0 {
                        std::hint::spin_loop();
                    }
                }
                took
            });
        });
        drop(shard);
        is_done.store(true, Ordering::Release);
        assert_eq!(ledger.join().expect("no panic"), pushed, "taken and pushed");
    });

    let limits = OutboxLimits { rows_max: 1, ..OutboxLimits::default() };
    let (mut shard, inbox) = outbox(names, limits);
    let mut pushed = 0;
    group.bench_function("into the gap", |bencher| {
        bencher.iter(|| {
            shard.push(rows[pushed % rows.len()]);
            pushed += 1;
        });
    });
    drop(shard);
    let in_gap = inbox.take_gap().map_or(0, |gap| gap.shares.total());
    assert_eq!(in_gap + inbox.take_rows(1, |_| {}) as u64, pushed as u64);
    group.finish();
}

criterion_group!(benches, sustained, workers_in_turn, day_and_pruning, push, batch);
criterion_main!(benches);
