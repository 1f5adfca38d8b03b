//! Retention: what is too old, or too much, goes in small steps between two batches.
//!
//! Raw shares and sessions are kept for days; rollups, gaps and events for years. Beyond the size cap the oldest raw
//! shares go first, whatever their age, then the oldest rollups, but never the last day of them. Pages that become free
//! are used again; they are given back to the file system only when they are many, or when the cap asks for it.

use std::mem::{Discriminant, discriminant};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::clock::now_us;
use crate::file::OpenError;
use crate::limits::{MAINTENANCE_STEP_MS_MAX, MAINTENANCE_STEP_ROWS_MAX};
use crate::names::Names;
use crate::sink::{LedgerSink, Maintained, SinkError};
use crate::sqlite::SqliteSink;
use crate::tally::minute_of;

const DAY_US: u64 = 24 * 3_600 * 1_000_000;
/// Minutes of rollups that the size cap never takes.
const MINUTES_KEPT: u32 = 24 * 60;
/// Time between two looks when there was nothing to do.
const LOOK_INTERVAL_US: u64 = 10 * 1_000_000;
/// Rows or pages of one step; it adapts between these to what the disk can do.
const STEP_MIN: u32 = 64;
const STEP_MAX: u32 = MAINTENANCE_STEP_ROWS_MAX;
const STEP_FIRST: u32 = 1024;
/// Free pages that are never worth giving back: 16 MiB.
const FREE_PAGES_KEPT: u64 = 4 * 1024;

/// How long things are kept. Zero means for ever, or without bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Raw shares and sessions.
    pub shares_days: u32,
    /// Minute rollups, gaps and events.
    pub rollups_days: u32,
    /// Bytes in use in the file.
    pub bytes_max: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { shares_days: 14, rollups_days: 5 * 366, bytes_max: 0 }
    }
}

/// Prunes a ledger step by step.
#[derive(Debug)]
pub struct Pruner {
    retention: Retention,
    step: u32,
    /// What the last step was about; another kind of row costs another time, and a page far more than a row.
    kind: Option<Discriminant<Task>>,
    look_again_us: u64,
}

/// What one step found to do.
#[derive(Clone, Copy, Debug)]
enum Task {
    /// Shares with keys under this one.
    Shares(u64),
    /// Rollups of minutes before this one.
    Minutes(u32),
    /// Sessions that ended before this time.
    Sessions(u64),
    /// Gaps and events before this time.
    Records(u64),
    /// Free pages.
    Vacuum,
}

/// Pages of the file.
struct Pages {
    total: u64,
    free: u64,
    bytes: u64,
}

impl Pruner {
    /// A pruner that looks at once.
    pub fn new(retention: Retention) -> Self {
        Self { retention, step: STEP_FIRST, kind: None, look_again_us: 0 }
    }

    /// Does one step, of about `budget` at most.
    pub fn step(
        &mut self,
        db: &mut Connection,
        now_us: u64,
        budget: Duration,
    ) -> rusqlite::Result<Maintained> {
        if now_us < self.look_again_us && self.look_again_us - now_us <= LOOK_INTERVAL_US {
            return Ok(Maintained::default());
        }
        let Some(task) = self.find(db, now_us)? else {
            self.look_again_us = now_us + LOOK_INTERVAL_US;
            return Ok(Maintained::default());
        };
        let kind = discriminant(&task);
        if self.kind.replace(kind) != Some(kind) {
            self.step = STEP_FIRST;
        }
        let started = Instant::now();
        let mut done = self.perform(db, task)?;
        self.adapt(started.elapsed(), budget);
        done.more = done != Maintained::default();
        if !done.more {
            self.look_again_us = now_us + LOOK_INTERVAL_US;
        }
        Ok(done)
    }

    /// The first thing that there is to do.
    fn find(&self, db: &Connection, now_us: u64) -> rusqlite::Result<Option<Task>> {
        let before = |days: u32| match days {
            0 => 0,
            days => now_us.saturating_sub(u64::from(days) * DAY_US),
        };
        let oldest = |sql: &str| -> rusqlite::Result<Option<u64>> {
            db.prepare_cached(sql)?.query_row([], |row| Ok(row.get::<_, Option<i64>>(0)?.map(|n| n as u64)))
        };
        let pages = pages(db)?;
        let is_over = self.retention.bytes_max > 0
            && (pages.total - pages.free.min(pages.total)) * pages.bytes > self.retention.bytes_max;

        let oldest_share = oldest("SELECT min(id) FROM shares")?;
        let shares_before = if is_over { u64::MAX } else { before(self.retention.shares_days) };
        // What the rollups lack is needed to make them.
        let rolled_up = oldest("SELECT rollups_through FROM meta")?.unwrap_or(0);
        let shares_before = shares_before.min(rolled_up + 1);
        if oldest_share.is_some_and(|key| key < shares_before) {
            return Ok(Some(Task::Shares(shares_before)));
        }
        let oldest_minute = oldest("SELECT min(minute) FROM worker_minutes")?;
        let minutes_before = match minute_of(before(self.retention.rollups_days)) {
            _ if is_over => minute_of(now_us).saturating_sub(MINUTES_KEPT),
            minute => minute,
        };
        if oldest_minute.is_some_and(|minute| minute < u64::from(minutes_before)) {
            return Ok(Some(Task::Minutes(minutes_before)));
        }
        // Looking at the oldest few only: one session that never ends must not make this a scan of all.
        let sessions_before = before(self.retention.shares_days);
        let old_session = db
            .prepare_cached(
                "SELECT 1 FROM (SELECT closed_us FROM sessions ORDER BY id LIMIT ?2) WHERE closed_us < ?1 LIMIT 1",
            )?
            .query_row(params![sessions_before as i64, self.step], |_| Ok(()))
            .optional()?;
        if old_session.is_some() {
            return Ok(Some(Task::Sessions(sessions_before)));
        }
        let records_before = before(self.retention.rollups_days);
        let oldest_event = oldest("SELECT min(id) FROM events")?;
        let oldest_gap = oldest("SELECT (SELECT to_us FROM gaps ORDER BY id LIMIT 1)")?;
        if [oldest_event, oldest_gap].into_iter().flatten().any(|time_us| time_us < records_before) {
            return Ok(Some(Task::Records(records_before)));
        }
        let is_too_long = self.retention.bytes_max > 0
            && pages.total * pages.bytes > self.retention.bytes_max
            && pages.free > 0;
        let has_many_free = pages.free > FREE_PAGES_KEPT && pages.free * 4 > pages.total;
        Ok((is_too_long || has_many_free).then_some(Task::Vacuum))
    }

    fn perform(&self, db: &mut Connection, task: Task) -> rusqlite::Result<Maintained> {
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut done = Maintained::default();
        match task {
            Task::Shares(before) => done.shares_pruned = prune_shares(&transaction, before, self.step)?,
            Task::Minutes(before) => done.others_pruned = prune_minutes(&transaction, before, self.step)?,
            Task::Sessions(before) => {
                done.others_pruned = transaction
                    .prepare_cached(
                        "DELETE FROM sessions WHERE id IN (SELECT id FROM
                            (SELECT id, closed_us FROM sessions ORDER BY id LIMIT ?2) WHERE closed_us < ?1)",
                    )?
                    .execute(params![before as i64, self.step])? as u64;
            }
            Task::Records(before) => {
                for sql in [
                    "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE id < ?1 ORDER BY id LIMIT ?2)",
                    "DELETE FROM gaps WHERE id IN
                        (SELECT id FROM (SELECT id, to_us FROM gaps ORDER BY id LIMIT ?2) WHERE to_us < ?1)",
                ] {
                    done.others_pruned +=
                        transaction.prepare_cached(sql)?.execute(params![before as i64, self.step])? as u64;
                }
            }
            Task::Vacuum => done.pages_freed = vacuum(&transaction, self.step)?,
        }
        transaction.commit()?;
        Ok(done)
    }

    /// Half as much next time if a step took more than half of its budget, twice as much if it took less than a quarter.
    fn adapt(&mut self, took: Duration, budget: Duration) {
        if took > budget / 2 {
            self.step = (self.step / 2).max(STEP_MIN);
        } else if took < budget / 4 {
            self.step = (self.step * 2).min(STEP_MAX);
        }
    }
}

/// Prunes a ledger that nobody writes to until there is nothing more to prune, and gives back the pages that are too
/// many. The callback hears what was done so far.
pub fn prune(
    path: &Path,
    retention: Retention,
    mut progress: impl FnMut(&Maintained),
) -> Result<Maintained, PruneError> {
    let mut sink = SqliteSink::open(path, Arc::new(Names::default()), retention)?;
    let mut all = Maintained::default();
    loop {
        let step = sink.maintain(now_us(), Duration::from_millis(MAINTENANCE_STEP_MS_MAX))?;
        all.shares_pruned += step.shares_pruned;
        all.others_pruned += step.others_pruned;
        all.pages_freed += step.pages_freed;
        if !step.more {
            sink.finish()?;
            return Ok(all);
        }
        progress(&all);
    }
}

/// Why a ledger could not be pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// It cannot be opened for writing; most likely a proxy is writing to it, which prunes by itself.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be written.
    #[error(transparent)]
    Write(#[from] SinkError),
}

fn prune_shares(db: &Connection, before: u64, count_max: u32) -> rusqlite::Result<u64> {
    let last: Option<i64> = db
        .prepare_cached("SELECT max(id) FROM (SELECT id FROM shares WHERE id < ?1 ORDER BY id LIMIT ?2)")?
        .query_row(params![before as i64, count_max], |row| row.get(0))?;
    let Some(last) = last else { return Ok(0) };
    let pruned = db.prepare_cached("DELETE FROM shares WHERE id <= ?1")?.execute([last])? as u64;
    db.prepare_cached(
        "UPDATE meta SET shares_pruned = shares_pruned + ?1, pruned_through = max(pruned_through, ?2)",
    )?
    .execute(params![pruned as i64, last])?;
    Ok(pruned)
}

/// Rows up to the end of a step, which may be in the middle of a minute.
fn prune_minutes(db: &Connection, before: u32, count_max: u32) -> rusqlite::Result<u64> {
    let last: Option<(u32, u32, u32)> = db
        .prepare_cached(
            "SELECT minute, worker, pool FROM (SELECT minute, worker, pool FROM worker_minutes WHERE minute < ?1
                ORDER BY minute, worker, pool LIMIT ?2) ORDER BY minute DESC, worker DESC, pool DESC LIMIT 1",
        )?
        .query_row(params![before, count_max], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((minute, worker, pool)) = last else { return Ok(0) };
    let mut pruned = db
        .prepare_cached("DELETE FROM worker_minutes WHERE (minute, worker, pool) <= (?1, ?2, ?3)")?
        .execute(params![minute, worker, pool])?;
    pruned += db.prepare_cached("DELETE FROM pool_minutes WHERE minute <= ?1")?.execute([minute])?;
    db.prepare_cached("UPDATE meta SET minutes_pruned = max(minutes_pruned, ?1)")?.execute([minute])?;
    Ok(pruned as u64)
}

fn pages(db: &Connection) -> rusqlite::Result<Pages> {
    let number =
        |pragma: &str| db.query_row(pragma, [], |row| row.get::<_, i64>(0)).map(|number| number as u64);
    Ok(Pages {
        total: number("PRAGMA page_count")?,
        free: number("PRAGMA freelist_count")?,
        bytes: number("PRAGMA page_size")?,
    })
}

fn vacuum(db: &Connection, pages_max: u32) -> rusqlite::Result<u64> {
    let before = pages(db)?.total;
    let mut statement = db.prepare(&format!("PRAGMA incremental_vacuum({pages_max})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    drop(statement);
    Ok(before.saturating_sub(pages(db)?.total))
}
