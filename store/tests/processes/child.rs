//! The writing process: pushes rows at a pace, says what it pushed and what is durable, obeys a few commands.
//!
//! It says, a line each: `pushed N TIME_US`, `durable N`, `state WORDS`, `stalled MS` (it was not run for so long),
//! `memory KIB` (resident), and at the end `total N`. It obeys `nolimit` (no more limit on file sizes), `stall` and `go`
//! (the sink stops, the sink goes on), and the end of its input: it stops in order.

use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adit_protocol::event::Outcome;
use adit_store::clock::now_us;
use adit_store::health::{State, Status};
use adit_store::ledger::Ledger;
use adit_store::names::Names;
use adit_store::outbox::{Outbox, OutboxLimits};
use adit_store::record::{ReasonKey, SessionKey, ShareRow};
use adit_store::retention::Retention;
use adit_store::sink::{Batch, LedgerSink, Maintained, Position, SinkError, Trouble};
use adit_store::sqlite::SqliteSink;
use rusqlite::{Connection, params};
use rustix::process::{Resource, Rlimit, setrlimit};

/// First argument of a child.
pub const ARGUMENT: &str = "--as-child";
/// Then: the ledger, the number before its first row, its rows per second, and what it is.
pub const HONEST: &str = "honest";
/// A child whose sink never commits.
pub const LIAR: &str = "liar";
/// A child that must not write files longer than [`FILE_BYTES_MAX`].
pub const LIMITED: &str = "limited";

const FILE_BYTES_MAX: u64 = 1024 * 1024;
const WORKERS: u32 = 50;
const FOREVER: Retention = Retention { shares_days: 0, rollups_days: 0, bytes_max: 0 };
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Orders {
    stop: AtomicBool,
    stall: Arc<AtomicBool>,
}

pub fn main(arguments: &[String]) {
    let [path, first, per_second, role] = arguments else { panic!("{arguments:?}") };
    let (path, first) = (Path::new(path), first.parse::<u32>().expect("a number"));
    let per_second = per_second.parse::<u32>().expect("a number");
    if role == LIMITED {
        let limit = Rlimit { current: Some(FILE_BYTES_MAX), maximum: None };
        setrlimit(Resource::Fsize, limit).expect("a limit");
    }
    let orders = Arc::new(Orders::default());
    let names = Arc::new(Names::default());
    let start = |sink: Box<dyn LedgerSink>| {
        let sink = Stalling { sink, is_stalled: Arc::clone(&orders.stall) };
        Ledger::start_with(sink, Arc::clone(&names), OutboxLimits::default(), 1).expect("a thread")
    };
    let opened = SqliteSink::open(path, Arc::clone(&names), FOREVER);
    let (ledger, mut outboxes) = match opened {
        Err(error) => return println!("refused {error}"),
        Ok(sink) if role == LIAR => start(Box::new(Liar::new(sink, path))),
        Ok(sink) => start(Box::new(sink)),
    };
    let listener = Arc::clone(&orders);
    std::thread::spawn(move || listen(&listener));
    let total = write(&ledger, &mut outboxes[0], first, per_second, &orders);
    drop(outboxes);
    let stopped = ledger.stop(PATIENCE);
    assert!(stopped.is_clean(), "{stopped:?}");
    println!("total {total}");
}

fn listen(orders: &Orders) {
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        match line.as_str() {
            "nolimit" => {
                setrlimit(Resource::Fsize, Rlimit { current: None, maximum: None }).expect("no limit");
            }
            "stall" => orders.stall.store(true, Ordering::Release),
            "go" => orders.stall.store(false, Ordering::Release),
            other => panic!("{other}"),
        }
    }
    orders.stop.store(true, Ordering::Release);
}

/// Pushes until told to stop; how many rows.
fn write(ledger: &Ledger, outbox: &mut Outbox, first: u32, per_second: u32, orders: &Orders) -> u32 {
    let pool = outbox.names().pool("main");
    let workers: Vec<_> = (0..WORKERS).map(|n| outbox.names().worker(&format!("account.rig{n}"))).collect();
    let (started, mut pushed, mut reported) = (Instant::now(), 0, Status::default());
    let (mut last_turn, mut last_memory) = (started, started);
    let mut out = std::io::stdout().lock();
    while !orders.stop.load(Ordering::Acquire) {
        let now = Instant::now();
        let away_ms = (now - last_turn).as_millis();
        last_turn = now;
        let due = (started.elapsed().as_secs_f64() * f64::from(per_second)) as u32;
        let verdict_us = now_us();
        while pushed < due {
            pushed += 1;
            outbox.push(row(first + pushed, verdict_us, workers[(pushed % WORKERS) as usize], pool));
        }
        outbox.tick();
        let status = ledger.health().status();
        let mut lines = vec![format!("pushed {} {verdict_us}", first + pushed)];
        if away_ms > 20 {
            lines.push(format!("stalled {away_ms}"));
        }
        if status.rows_written != reported.rows_written {
            lines.push(format!("durable {}", first + status.rows_written as u32));
        }
        if status.state != reported.state {
            lines.push(match &status.state {
                State::Failing { trouble, message, .. } => format!("state failing {trouble:?} {message}"),
                state => format!("state {state:?}"),
            });
        }
        if last_memory.elapsed() > Duration::from_millis(100) {
            last_memory = now;
            lines.push(format!("memory {}", resident_kib()));
        }
        reported = status;
        if writeln!(out, "{}", lines.join("\n")).and_then(|()| out.flush()).is_err() {
            break; // the parent is gone
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    pushed
}

fn row(
    number: u32,
    verdict_us: u64,
    worker: adit_store::record::WorkerKey,
    pool: adit_store::record::PoolKey,
) -> ShareRow {
    ShareRow {
        verdict_us,
        session: SessionKey(u64::from(number % 7)),
        difficulty: 512.0,
        share_difficulty: f64::NAN,
        latency_us: 30_000,
        worker,
        job: number,
        pool,
        reason: ReasonKey::NONE,
        code: 0,
        outcome: if number.is_multiple_of(10) { Outcome::Unanswered } else { Outcome::Accepted },
        class: None,
        block_candidate: false,
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").trim().parse().expect("a number")
}

/// Stops in the middle of a write when told to, as a disk does.
struct Stalling {
    sink: Box<dyn LedgerSink>,
    is_stalled: Arc<AtomicBool>,
}

impl Stalling {
    fn wait(&self) {
        while self.is_stalled.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl LedgerSink for Stalling {
    fn position(&self) -> Position {
        self.sink.position()
    }

    fn prepare(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.wait();
        self.sink.prepare(batch)
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.wait();
        self.sink.write(batch)
    }

    fn reopen(&mut self) -> Result<(), SinkError> {
        self.sink.reopen()
    }

    fn maintain(&mut self, now_us: u64, budget: Duration) -> Result<Maintained, SinkError> {
        self.sink.maintain(now_us, budget)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.sink.finish()
    }
}

/// Writes into a transaction that it never commits, and says it is done: what the real sink would be without its commit.
struct Liar {
    db: Connection,
    position: Position,
    /// Kept for the lock alone.
    _sink: SqliteSink,
}

impl Liar {
    fn new(sink: SqliteSink, path: &Path) -> Self {
        let db = Connection::open(path).expect("a database");
        db.busy_timeout(PATIENCE).expect("a timeout");
        db.execute_batch("BEGIN IMMEDIATE").expect("a transaction");
        Self { db, position: sink.position(), _sink: sink }
    }
}

impl LedgerSink for Liar {
    fn position(&self) -> Position {
        self.position
    }

    fn prepare(&mut self, _batch: &Batch) -> Result<(), SinkError> {
        Ok(())
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let sql = "INSERT INTO shares VALUES (?1, 0, 0, 0, ?2, 1, NULL, 0, 0, 0, 0, 0, 0)";
        let insert = || -> rusqlite::Result<()> {
            let mut statement = self.db.prepare_cached(sql)?;
            for (key, row) in &batch.rows {
                statement.execute(params![*key as i64, row.job])?;
            }
            Ok(())
        };
        insert().map_err(|error| SinkError { trouble: Trouble::Other, message: error.to_string() })?;
        self.position.batch = batch.number;
        self.position.last_key = batch.rows.last().map_or(self.position.last_key, |&(key, _)| key);
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    fn maintain(&mut self, _now_us: u64, _budget: Duration) -> Result<Maintained, SinkError> {
        Ok(Maintained::default())
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
