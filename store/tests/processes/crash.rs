//! kill -9 at any moment: every row that was promised is there, none twice, nothing is damaged, the next start needs no
//! hand.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::Duration;

use adit_store::clock::now_us;
use adit_store::limits::DURABLE_MS_MAX;
use adit_store::reader::Reader;
use rusqlite::Connection;

use crate::child::{HONEST, LIAR};
use crate::disk_witness::DiskWitness;
use crate::parent::{Said, Writer};

const KILLS: u32 = 50;
const ROWS_PER_SECOND: u32 = 20_000;
/// From the first durable row to the kill, at most: some batches, so that all moments of one are hit.
const LIFE_MS_MAX: u64 = 400;

pub fn killed_at_any_moment() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger.db");
    let (mut first, mut late) = (0, 0);
    for n in 0..KILLS {
        let (said, killed_us, held_up) =
            one_life(&path, first, HONEST, Duration::from_millis(random(n) % LIFE_MS_MAX));
        let found = check(&path, first, &said).unwrap_or_else(|error| panic!("kill {n}: {error}"));
        late += u32::from(!kept_the_time(&said, killed_us, held_up, found));
        first = found;
    }
    assert!(late == 0, "{late} of {KILLS} lost rows older than {DURABLE_MS_MAX} ms");
    println!("{KILLS} kills, {first} rows, each of them once");
}

/// The same with a sink that answers without committing: if this passed, the check would be worth nothing.
pub fn the_check_catches_a_sink_that_does_not_commit() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger.db");
    let (said, ..) = one_life(&path, 0, LIAR, Duration::from_millis(50));
    let caught = check(&path, 0, &said).expect_err("promised rows are missing, and the check did not see it");
    println!("as it must, without the commit: {caught}");
}

pub fn a_second_process_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger.db");
    let holder = Writer::start(&path, 0, 1_000, HONEST);
    holder.wait_for("a durable row", |said| said.durable > 0);
    let second = Writer::start(&path, 0, 1_000, HONEST);
    second.wait_for("a refusal", |said| said.refused.is_some());
    let refusal = second.stop().refused.expect("waited for");
    assert!(refusal.contains(&format!("(pid {})", holder.process.id())), "{refusal}");
    let total = holder.stop().total.expect("an end in order");
    assert_eq!(check(&path, 0, &Said::default()), Ok(total), "the first one was not disturbed");
}

/// A child that writes until it is killed, some time after its first durable row; what it said, when it was killed, and for
/// how long others could not write to that disk.
fn one_life(path: &Path, first: u32, role: &str, life: Duration) -> (Said, u64, Duration) {
    let witness = DiskWitness::start(path.parent().expect("a directory"));
    let mut writer = Writer::start(path, first, ROWS_PER_SECOND, role);
    writer.wait_for("a durable row", |said| said.durable > first);
    std::thread::sleep(life);
    let killed_us = now_us();
    let said = writer.kill();
    (said, killed_us, witness.longest())
}

/// Looks for everything that was promised; the number of the last row.
fn check(path: &Path, first: u32, said: &Said) -> Result<u32, String> {
    let db = Connection::open(path).map_err(|error| error.to_string())?;
    let number = |sql: &str| -> Result<i64, String> {
        db.query_row(sql, [], |row| row.get(0)).map_err(|error| format!("{sql}: {error}"))
    };
    let integrity: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(|error| format!("integrity_check: {error}"))?;
    if integrity != "ok" {
        return Err(integrity);
    }
    let rows = number("SELECT count(*) FROM shares")?;
    let last = number("SELECT ifnull(max(job), 0) FROM shares")?;
    // Rows are numbered from 1 without a hole, over all lives.
    if number("SELECT count(DISTINCT job) FROM shares")? != rows || last != rows {
        return Err(format!("{rows} rows, the last one is number {last}: some are missing or there twice"));
    }
    if last < i64::from(said.durable.max(first)) {
        return Err(format!(
            "row {} was said to be durable, the last one is {last}",
            said.durable.max(first)
        ));
    }
    let verified =
        Reader::open(path).and_then(|reader| reader.verify(|_| {})).map_err(|error| error.to_string())?;
    if !verified.is_sound() || verified.shares != rows as u64 {
        return Err(format!("{verified:?}"));
    }
    let behind = number("SELECT count(*) FROM shares WHERE id > (SELECT rollups_through FROM meta)")?;
    for table in ["worker_minutes", "pool_minutes"] {
        let counted = number(&format!("SELECT ifnull(sum(submitted), 0) FROM {table}"))?;
        // What earlier lives left behind the marker was added up at the start of this one.
        if counted + behind != rows || counted < i64::from(first) {
            return Err(format!("{table} counts {counted} shares of {rows}, {behind} behind the marker"));
        }
    }
    if number("SELECT shares_written FROM meta")? != rows || number("SELECT count(*) FROM gaps")? != 0 {
        return Err("meta or gaps do not agree with the rows".into());
    }
    u32::try_from(last).map_err(|error| error.to_string())
}

/// Whether everything older than the promise is there. A child that was not run for a while could not write meanwhile, nor
/// while the disk let nobody write.
fn kept_the_time(said: &Said, killed_us: u64, held_up: Duration, found: u32) -> bool {
    let limit_us = killed_us - (DURABLE_MS_MAX + said.stalled_ms) * 1_000 - held_up.as_micros() as u64;
    let promised =
        said.pushed.iter().rev().find(|&&(_, time_us)| time_us < limit_us).map_or(0, |&(row, _)| row);
    if found < promised {
        println!("row {promised} was older than {DURABLE_MS_MAX} ms, the last one is {found}");
    }
    found >= promised
}

/// A number that nobody can foresee.
fn random(n: u32) -> u64 {
    RandomState::new().hash_one(n)
}
