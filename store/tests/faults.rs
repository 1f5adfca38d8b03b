//! Writes that fail, in every way that can be had without another process, and that the ledger heals by itself.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use adit_store::clock::now_us;
use adit_store::health::State;
use adit_store::ledger::Ledger;
use adit_store::outbox::{Outbox, OutboxLimits};
use adit_store::record::{PoolKey, WorkerKey};
use adit_store::sink::{Batch, LedgerSink, Maintained, Position, SinkError, Trouble};
use adit_store::sqlite::SqliteSink;
use common::{Place, accepted, connection, wait_for};

const UNKNOWN: (WorkerKey, PoolKey) = (WorkerKey::UNKNOWN, PoolKey::NONE);

fn push(outbox: &mut Outbox, count: usize) {
    for _ in 0..count {
        outbox.push(accepted(UNKNOWN.0, UNKNOWN.1));
    }
}

fn wait_for_trouble(ledger: &Ledger, wanted: Trouble) {
    wait_for(
        "the failure is reported",
        || matches!(ledger.health().status().state, State::Failing { trouble, .. } if trouble == wanted),
    );
    assert!(!ledger.health().is_ok());
}

fn wait_for_rows(ledger: &Ledger, rows: u64) {
    wait_for("healed", || ledger.health().status().rows_written == rows);
    assert_eq!(ledger.health().status().state, State::Writing);
}

#[test]
fn a_directory_that_is_moved_away_and_back_loses_nothing() {
    let place = Place::new();
    let home = place.directory.path().join("home");
    let away = place.directory.path().join("away");
    fs::create_dir(&home).expect("a directory");
    let place = Place { path: home.join("ledger.db"), ..place };
    let (ledger, mut outbox) = place.start();
    push(&mut outbox, 100);
    wait_for_rows(&ledger, 100);
    fs::rename(&home, &away).expect("a move");
    push(&mut outbox, 100);
    wait_for_trouble(&ledger, Trouble::Gone);
    // The later tries fail at opening it again. They must say the same: whoever looks may have missed the first one.
    wait_for("several tries", || ledger.health().status().failures > 2);
    wait_for_trouble(&ledger, Trouble::Gone);
    push(&mut outbox, 100);
    fs::rename(&away, &home).expect("a move");
    wait_for_rows(&ledger, 300);
    Place::stop(ledger, outbox);
    assert_eq!(place.number("SELECT count(*) FROM shares"), 300);
    assert_eq!(place.number("SELECT sum(accepted) FROM worker_minutes"), 300);
}

#[test]
fn a_directory_that_is_made_anew_gets_a_new_ledger() {
    let place = Place::new();
    let home = place.directory.path().join("home");
    fs::create_dir(&home).expect("a directory");
    let place = Place { path: home.join("ledger.db"), ..place };
    let (ledger, mut outbox) = place.start();
    let worker = outbox.names().worker("a.b");
    outbox.push(accepted(worker, PoolKey::NONE));
    wait_for_rows(&ledger, 1);
    fs::remove_dir_all(&home).expect("a removal");
    outbox.push(accepted(worker, PoolKey::NONE));
    wait_for_trouble(&ledger, Trouble::Gone);
    fs::create_dir(&home).expect("a directory");
    wait_for_rows(&ledger, 2);
    Place::stop(ledger, outbox);
    assert_eq!(place.number("SELECT count(*) FROM shares"), 1, "what was pushed after the loss");
    assert_eq!(
        place.number("SELECT count(*) FROM workers WHERE name = 'a.b'"),
        1,
        "names are known here too"
    );
}

/// SQLite would mix the log of the old file with the new one.
#[test]
fn a_ledger_put_in_the_place_of_the_open_one_is_not_touched() {
    let (place, other) = (Place::new(), Place::new());
    let (ledger, mut outbox) = other.start();
    push(&mut outbox, 1_000);
    Place::stop(ledger, outbox);
    let before = fs::read(&other.path).expect("a file");
    let (ledger, mut outbox) = place.start();
    push(&mut outbox, 10);
    wait_for_rows(&ledger, 10);
    let aside = place.directory.path().join("aside.db");
    fs::rename(&place.path, &aside).expect("a move");
    fs::rename(&other.path, &place.path).expect("a move");
    push(&mut outbox, 10);
    wait_for("several tries", || ledger.health().status().failures > 3);
    assert_eq!(fs::read(&place.path).expect("a file"), before);
    fs::rename(&place.path, &other.path).expect("a move");
    fs::rename(&aside, &place.path).expect("a move");
    wait_for_rows(&ledger, 20);
    Place::stop(ledger, outbox);
    assert_eq!(place.number("SELECT count(*) FROM shares"), 20);
}

#[test]
fn a_file_made_read_only_is_not_written_until_it_may_be() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    push(&mut outbox, 10);
    wait_for_rows(&ledger, 10);
    fs::set_permissions(&place.path, Permissions::from_mode(0o444)).expect("chmod");
    push(&mut outbox, 10);
    wait_for_trouble(&ledger, Trouble::ReadOnly);
    assert_eq!(place.number("SELECT count(*) FROM shares"), 10);
    fs::set_permissions(&place.path, Permissions::from_mode(0o644)).expect("chmod");
    wait_for_rows(&ledger, 20);
    Place::stop(ledger, outbox);
}

#[test]
fn somebody_elses_write_lock_is_waited_out() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let other = connection(&place.path);
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    push(&mut outbox, 10);
    wait_for_trouble(&ledger, Trouble::Busy);
    other.execute_batch("ROLLBACK").expect("an end");
    wait_for_rows(&ledger, 10);
    Place::stop(ledger, outbox);
}

#[test]
fn a_stop_while_nothing_can_be_written_says_what_is_lost() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    push(&mut outbox, 10);
    wait_for_rows(&ledger, 10);
    fs::set_permissions(&place.path, Permissions::from_mode(0o444)).expect("chmod");
    push(&mut outbox, 5);
    wait_for_trouble(&ledger, Trouble::ReadOnly);
    push(&mut outbox, 5);
    drop(outbox);
    let stopped = ledger.stop(Duration::from_millis(300));
    assert_eq!((stopped.shares_unwritten, stopped.is_clean()), (10, false));
}

/// Fails on demand: before a write, or after it, as if the answer had been lost.
struct Flaky {
    sink: SqliteSink,
    writes: u64,
}

impl Flaky {
    fn error() -> SinkError {
        SinkError { trouble: Trouble::Other, message: "for the test".into() }
    }
}

impl LedgerSink for Flaky {
    fn position(&self) -> Position {
        self.sink.position()
    }

    fn prepare(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.sink.prepare(batch)
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        self.writes += 1;
        match self.writes % 3 {
            0 => Err(Self::error()),
            1 => self.sink.write(batch).and(Err(Self::error())),
            _ => self.sink.write(batch),
        }
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

#[test]
fn a_write_whose_answer_was_lost_is_not_written_twice() {
    let place = Place::new();
    let (names, sink) = place.sink();
    // An outbox so small that there are gaps too.
    let limits = OutboxLimits { rows_max: 100, notes_max: 1, tallies_max: 2 };
    let (ledger, mut outboxes) =
        Ledger::start_with(Flaky { sink, writes: 0 }, Arc::clone(&names), limits, 1).expect("a thread");
    let mut outbox = outboxes.remove(0);
    let workers: Vec<_> = (0..5).map(|n| names.worker(&format!("a.{n}"))).collect();
    let mut pushed = 0;
    for round in 1..=12 {
        // Asked before the rows are there: they may be written before this thread is run again.
        let batches = ledger.health().status().batches_written;
        for n in 0..130 {
            outbox.push(accepted(workers[n % 5], PoolKey::NONE));
            pushed += 1;
        }
        // All of them may have gone into a gap, if the ledger had not given the last one back.
        wait_for("a batch", || {
            outbox.tick();
            ledger.health().status().batches_written > batches.max(round / 2)
        });
    }
    let health = Arc::clone(ledger.health());
    Place::stop(ledger, outbox);
    assert!(health.status().failures > 5, "{:?}", health.status());
    let in_gaps = place.number("SELECT sum(accepted) FROM gaps");
    let rows = place.number("SELECT count(*) FROM shares");
    assert!(in_gaps > 0 && rows > 0);
    assert_eq!(rows + in_gaps, pushed);
    assert_eq!(place.number("SELECT shares_written FROM meta"), rows);
    for table in ["worker_minutes", "pool_minutes"] {
        assert_eq!(place.number(&format!("SELECT sum(accepted) FROM {table}")), pushed);
        assert_eq!(place.number(&format!("SELECT sum(gapped) FROM {table}")), in_gaps);
    }
}

#[test]
fn what_was_filed_and_never_written_counts_for_nothing() {
    let place = Place::new();
    let (_, mut sink) = place.sink();
    let start = now_us();
    let row = |n: u64| (start + n, accepted(UNKNOWN.0, UNKNOWN.1));
    let mut batch = Batch { number: 1, rows: (0..40).map(row).collect(), ..Batch::default() };
    sink.prepare(&batch).expect("filed");
    assert_eq!(place.number("SELECT count(*) FROM shares"), 0);
    batch.rows.extend((40..100).map(row));
    sink.prepare(&batch).expect("filed");
    sink.write(&batch).expect("written");
    assert_eq!(place.number("SELECT count(*) FROM shares"), 100);
    let next = Batch { number: 2, rows: (100..150).map(row).collect(), ..Batch::default() };
    sink.prepare(&next).expect("filed");
    sink.finish().expect("closed");
    assert_eq!(place.number("SELECT count(*) FROM shares"), 100);
    assert_eq!(place.number("SELECT batch FROM meta"), 1);
    assert_eq!(place.number("SELECT sum(accepted) FROM worker_minutes"), 100);
}
