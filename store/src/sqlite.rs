//! The ledger in SQLite: one batch, one transaction.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, TransactionBehavior, params};

use crate::clock::{now_us, rfc3339};
use crate::file::{self, Lock, OpenError, Watched};
use crate::ids::Ids;
use crate::limits::{CHECKPOINT_INTERVAL_MS, CHECKPOINT_ROWS, CLOCK_AHEAD_US_MAX, ROLLUP_RETRY_MS};
use crate::names::Names;
use crate::notes;
use crate::outbox::Gap;
use crate::record::{PoolKey, WorkerKey};
use crate::retention::{Pruner, Retention};
use crate::rollups::{Rollups, Tables};
use crate::rows::RowWriter;
use crate::sink::{Batch, LedgerSink, Maintained, Position, SinkError, Trouble};
use crate::tally::{MINUTE_US, TallyKey};

/// Shares on a page of 4 KiB.
const ROWS_PER_PAGE: u64 = 100;

/// A ledger file open for writing, with its lock.
#[derive(Debug)]
pub struct SqliteSink {
    path: PathBuf,
    names: Arc<Names>,
    position: Position,
    open: Option<Open>,
    lock: Option<Lock>,
    pruner: Pruner,
    checkpointed: Instant,
    rows_since_checkpoint: u64,
    is_dirty: bool,
    /// No rollups are written before this.
    rollups_after: Instant,
}

/// What is made anew after a failure.
#[derive(Debug)]
struct Open {
    db: Connection,
    file: Watched,
    ids: Ids,
    rollups: Rollups,
    /// What the open transaction has of the next batch; `None` while there is no transaction.
    filed: Option<Filed>,
}

/// How much of a batch was filed: its first ones.
#[derive(Clone, Copy, Debug, Default)]
struct Filed {
    notes: usize,
    rows: usize,
}

impl SqliteSink {
    /// Opens a ledger, or makes one, and takes its lock. Sessions that an earlier run left open are ended.
    pub fn open(path: &Path, names: Arc<Names>, retention: Retention) -> Result<Self, OpenError> {
        let path = file::resolve(path)?;
        let mut sink = Self {
            position: Position { ledger: 0, batch: 0, last_key: 0 },
            open: None,
            lock: None,
            pruner: Pruner::new(retention),
            checkpointed: Instant::now(),
            rows_since_checkpoint: 0,
            is_dirty: false,
            rollups_after: Instant::now(),
            path,
            names,
        };
        sink.open_file(None)?;
        // What the last run left behind the marker, so that whoever reads the rollups at the start finds all of them.
        sink.roll_up(true).map_err(|error| OpenError::sqlite(&sink.path, error))?;
        let Some(open) = &sink.open else { return Ok(sink) };
        let abandoned = notes::close_abandoned(&open.db, sink.position.last_key)
            .map_err(|error| OpenError::sqlite(&sink.path, error))?;
        if abandoned > 0 {
            log::info!("{}: {abandoned} sessions of the last run had no end", sink.path.display());
        }
        if sink.position.last_key > now_us() + CLOCK_AHEAD_US_MAX {
            log::warn!(
                "{}: the newest share is of {}: was the clock set back? New shares are filed behind it",
                sink.path.display(),
                rfc3339(sink.position.last_key)
            );
        }
        Ok(sink)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file; `ids` are those of before, and stay if it is the same ledger.
    fn open_file(&mut self, ids: Option<Ids>) -> Result<(), OpenError> {
        if !self.lock.as_ref().is_some_and(Lock::is_current) {
            self.lock = None;
            self.lock = Some(Lock::take(&self.path)?);
        }
        let db = file::open_writer(&self.path)?;
        let file = Watched::new(&self.path)?;
        let (position, sessions_reserved) =
            read_meta(&db).map_err(|error| OpenError::sqlite(&self.path, error))?;
        let ids = match ids {
            Some(mut ids) if position.ledger == self.position.ledger => {
                ids.forget(sessions_reserved);
                ids
            }
            _ => Ids::new(Arc::clone(&self.names), sessions_reserved),
        };
        self.position = position;
        self.open = Some(Open { db, file, ids, rollups: Rollups::new(), filed: None });
        Ok(())
    }

    /// Writes the rollups if a minute is over, or `at_once`; whether it did. A failure is no harm: they can be made again.
    fn roll_up(&mut self, at_once: bool) -> rusqlite::Result<bool> {
        let Some(open) = &mut self.open else { return Ok(false) };
        if !at_once && Instant::now() < self.rollups_after {
            return Ok(false);
        }
        let result = open.roll_up(at_once);
        if let Ok(has_written) = &result {
            self.is_dirty |= has_written;
        } else {
            open.rollups.forget();
            self.rollups_after = Instant::now() + Duration::from_millis(ROLLUP_RETRY_MS);
        }
        result
    }

    /// Prunes a step. What is deleted is written too, and the next checkpoint has to move it.
    fn prune(&mut self, now_us: u64, budget: Duration) -> rusqlite::Result<Maintained> {
        let Some(open) = &mut self.open else { return Ok(Maintained::default()) };
        let done = self.pruner.step(&mut open.db, now_us, budget)?;
        if done != Maintained::default() {
            self.is_dirty = true;
            self.rows_since_checkpoint +=
                done.shares_pruned + done.others_pruned + done.pages_freed * ROWS_PER_PAGE;
        }
        Ok(done)
    }

    /// Makes a checkpoint if one is due; whether it did.
    fn checkpoint(&mut self) -> rusqlite::Result<bool> {
        let Some(open) = &self.open else { return Ok(false) };
        let is_due = self.rows_since_checkpoint >= CHECKPOINT_ROWS
            || (self.is_dirty
                && self.checkpointed.elapsed() >= Duration::from_millis(CHECKPOINT_INTERVAL_MS));
        if is_due {
            // A reader may keep it from finishing; the next one goes on.
            open.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            self.checkpointed = Instant::now();
            self.rows_since_checkpoint = 0;
            self.is_dirty = false;
        }
        Ok(is_due)
    }
}

impl LedgerSink for SqliteSink {
    fn position(&self) -> Position {
        self.position
    }

    fn prepare(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let open = self.open.as_mut().ok_or_else(not_open)?;
        open.file(batch).map_err(|failure| open.abandon(failure).of(&self.path))
    }

    fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let open = self.open.as_mut().ok_or_else(not_open)?;
        let last_key = open.write(batch).map_err(|failure| open.abandon(failure).of(&self.path))?;
        self.position.batch = batch.number;
        self.position.last_key = self.position.last_key.max(last_key);
        self.rows_since_checkpoint += batch.rows.len() as u64;
        self.is_dirty = true;
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), SinkError> {
        // The old connection ends first: it may hold a transaction.
        let ids = self.open.take().map(|open| open.ids);
        self.open_file(ids).map_err(|error| {
            let trouble = match &error {
                OpenError::DirectoryMissing(_) => Trouble::Gone,
                OpenError::ReadOnly(_) => Trouble::ReadOnly,
                OpenError::InUse { .. } => Trouble::Busy,
                OpenError::Corrupt { .. } | OpenError::NotALedger(_) => Trouble::Corrupt,
                OpenError::Sqlite { source, .. } => trouble_of(source),
                _ => Trouble::Other,
            };
            SinkError { trouble, message: error.to_string() }
        })
    }

    /// One thing at a time, so that a batch waits for one of them only.
    fn maintain(&mut self, now_us: u64, budget: Duration) -> Result<Maintained, SinkError> {
        let busy = Maintained { more: true, ..Maintained::default() };
        let done = match self.roll_up(false).and_then(|rolled_up| Ok(rolled_up || self.checkpoint()?)) {
            Ok(true) => Ok(busy),
            Ok(false) => self.prune(now_us, budget),
            Err(error) => Err(error),
        };
        done.map_err(|error| Failure::Sqlite(error).of(&self.path))
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        if let Some(open) = self.open.as_mut().filter(|open| open.filed.is_some()) {
            open.roll_back();
        }
        let rolled_up = self.roll_up(true);
        let Some(Open { db, .. }) = self.open.take() else { return Err(not_open()) };
        let closed = rolled_up
            .and_then(|_| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())))
            .and_then(|()| db.close().map_err(|(_, error)| error));
        self.lock = None;
        closed.map_err(|error| Failure::Sqlite(error).of(&self.path))
    }
}

impl Open {
    /// Files what the open transaction lacks of a batch; opens one if there is none.
    fn file(&mut self, batch: &Batch) -> Result<(), Failure> {
        if self.filed.is_none() {
            self.file.check()?;
            self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        }
        let filed = self.filed.get_or_insert_default();
        for note in batch.notes.iter().skip(filed.notes) {
            notes::write(&self.db, &mut self.ids, note)?;
            filed.notes += 1;
        }
        let rows = batch.rows.get(filed.rows..).unwrap_or_default();
        RowWriter::new(&self.db, &mut self.ids, &mut self.rollups)?.add(rows)?;
        filed.rows += rows.len();
        Ok(())
    }

    /// The whole batch in one transaction; the greatest key in it.
    fn write(&mut self, batch: &Batch) -> Result<u64, Failure> {
        self.file(batch)?;
        let written_us = now_us();
        for (_, gap) in &batch.gaps {
            self.gap(gap, written_us)?;
        }
        let last_key = batch.rows.last().map_or(0, |&(key, _)| key);
        self.db
            .prepare_cached(
                "UPDATE meta SET batch = ?1, share_key = max(share_key, ?2), shares_written = shares_written + ?3",
            )?
            .execute(params![batch.number as i64, last_key as i64, batch.rows.len() as i64])?;
        // Once more, as late as can be: what is committed into a file without a name is lost.
        self.file.check()?;
        self.db.prepare_cached("COMMIT")?.execute([])?;
        self.filed = None;
        Ok(last_key)
    }

    fn gap(&mut self, gap: &Gap, written_us: u64) -> rusqlite::Result<()> {
        notes::gap(&self.db, gap, written_us)?;
        let mut tables = Tables::new(&self.db)?;
        for (key, tally) in gap.tallies.entries().iter().chain(&gap.unattributed) {
            let seen_us = u64::from(key.minute) * MINUTE_US;
            let worker = self.ids.worker(&self.db, WorkerKey(key.worker), seen_us)?;
            let pool = self.ids.pool(&self.db, PoolKey(key.pool as u16), seen_us)?;
            tables.add(TallyKey { minute: key.minute, worker, pool }, tally)?;
        }
        tables.finish()
    }

    /// After a failure. Ids made in that transaction are nobody's: it takes a reopening.
    fn abandon(&mut self, failure: Failure) -> Failure {
        self.roll_back();
        failure
    }

    /// Lets go of what was filed and not written.
    fn roll_back(&mut self) {
        self.filed = None;
        self.rollups.forget();
        // Some errors end the transaction by themselves.
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            log::debug!("a transaction of the ledger ends with its connection: {error}");
        }
    }

    /// Reads what the rollups in memory lack, and writes them if they are due; whether it did.
    fn roll_up(&mut self, at_once: bool) -> rusqlite::Result<bool> {
        if self.rollups.is_complete() && !at_once && !self.rollups.is_due() {
            return Ok(false);
        }
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !self.rollups.is_complete() {
            self.rollups.catch_up(&transaction)?;
        }
        let is_due = at_once || self.rollups.is_due();
        if is_due {
            self.rollups.write(&transaction)?;
        }
        transaction.commit()?;
        if is_due {
            self.rollups.written();
        }
        Ok(is_due)
    }
}

fn read_meta(db: &Connection) -> rusqlite::Result<(Position, u64)> {
    let sql =
        "SELECT identity, batch, max(share_key, ifnull((SELECT max(id) FROM shares), 0)), sessions_reserved
               FROM meta";
    db.query_row(sql, [], |row| {
        let number = |at: usize| row.get::<_, i64>(at).map(|number| number as u64);
        Ok((Position { ledger: number(0)?, batch: number(1)?, last_key: number(2)? }, number(3)?))
    })
}

/// Why a batch was not written.
enum Failure {
    File(SinkError),
    Sqlite(rusqlite::Error),
}

impl Failure {
    fn of(self, path: &Path) -> SinkError {
        match self {
            Self::File(error) => error,
            Self::Sqlite(error) => SinkError {
                trouble: trouble_of(&error),
                message: format!("the ledger {}: {error}", path.display()),
            },
        }
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        Self::File(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn trouble_of(error: &rusqlite::Error) -> Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Trouble::DiskFull,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Trouble::ReadOnly,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Busy,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Corrupt,
        _ => Trouble::Other,
    }
}

fn not_open() -> SinkError {
    SinkError { trouble: Trouble::Other, message: "the ledger is not open".into() }
}
