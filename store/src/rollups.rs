//! The rollups: rows and gaps → `worker_minutes` and `pool_minutes`, in the transaction that writes them.
//!
//! The totals of the open minutes stay in memory, so a batch only writes the totals that it changed, each once. The
//! memory is a cache and nothing more: a total that is not there is read from the ledger first.

use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, params};

use crate::limits::ROLLUP_TALLIES_MAX;
use crate::record::ShareRow;
use crate::sketch::Sketch;
use crate::tally::{CLASSES_COUNT, MINUTE_US, Tally, TallyKey, TallyTable};

/// The columns of a tally, after those of its key.
pub const COLUMNS: &str = "accepted, stale, duplicate, low_difficulty, unauthorized, not_subscribed, bad_time, bad_version, \
     other, refused_here, unanswered, gapped, difficulty_accepted, difficulty_rejected, difficulty_unanswered, latency";

/// Which of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// `worker_minutes`
    Worker,
    /// `pool_minutes`
    Pool,
}

impl Level {
    fn select(self) -> String {
        match self {
            Self::Worker => {
                format!(
                    "SELECT {COLUMNS} FROM worker_minutes WHERE minute = ?1 AND worker = ?2 AND pool = ?3"
                )
            }
            Self::Pool => format!("SELECT {COLUMNS} FROM pool_minutes WHERE minute = ?1 AND pool = ?3"),
        }
    }

    fn replace(self) -> String {
        let values = |count: usize| (1..=count).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        match self {
            Self::Worker => format!(
                "REPLACE INTO worker_minutes (minute, pool, {COLUMNS}, worker) VALUES ({})",
                values(19)
            ),
            Self::Pool => {
                format!("REPLACE INTO pool_minutes (minute, pool, {COLUMNS}) VALUES ({})", values(18))
            }
        }
    }
}

/// The totals of one level.
#[derive(Debug)]
pub struct Rollup {
    level: Level,
    select: String,
    replace: String,
    open: TallyTable,
    /// Positions of totals that this transaction changed, and a mark for each total that it is among them.
    changed: Vec<u32>,
    is_changed: Vec<bool>,
    blob: Vec<u8>,
}

impl Rollup {
    /// Nothing in memory yet.
    pub fn new(level: Level) -> Self {
        Self {
            level,
            select: level.select(),
            replace: level.replace(),
            open: TallyTable::new(ROLLUP_TALLIES_MAX),
            changed: Vec::new(),
            is_changed: Vec::new(),
            blob: Vec::new(),
        }
    }

    /// Forgets what was not written: the transaction failed.
    pub fn forget(&mut self) {
        self.open.clear();
        self.changed.clear();
        self.is_changed.clear();
    }

    /// Counts a row.
    #[inline]
    pub fn add(&mut self, db: &Connection, key: TallyKey, row: &ShareRow) -> rusqlite::Result<()> {
        self.total(db, key)?.add(row);
        Ok(())
    }

    /// Counts what a gap folded.
    pub fn merge(&mut self, db: &Connection, key: TallyKey, tally: &Tally) -> rusqlite::Result<()> {
        self.total(db, key)?.merge(tally);
        Ok(())
    }

    /// The total of a key, marked as changed.
    #[inline]
    fn total(&mut self, db: &Connection, key: TallyKey) -> rusqlite::Result<&mut Tally> {
        let found = match self.open.find_or_add(key) {
            Some(found) => found,
            None => self.make_room(db, key)?,
        };
        if found.is_new {
            self.opened(db, key, found.position)?;
        }
        if !self.is_changed[found.position] {
            self.is_changed[found.position] = true;
            self.changed.push(found.position as u32);
        }
        Ok(&mut self.open.entries_mut()[found.position].1)
    }

    #[cold]
    fn make_room(&mut self, db: &Connection, key: TallyKey) -> rusqlite::Result<crate::tally::Found> {
        self.write(db)?;
        self.forget();
        Ok(self.open.find_or_add(key).unwrap_or_else(|| unreachable!("the table was emptied")))
    }

    /// The first share of a minute, as far as the memory goes: there may be a total already, and somebody was seen.
    #[cold]
    fn opened(&mut self, db: &Connection, key: TallyKey, position: usize) -> rusqlite::Result<()> {
        self.is_changed.resize(position + 1, false);
        let written = db
            .prepare_cached(&self.select)?
            .query_row(params![key.minute, key.worker, key.pool], tally_of)
            .optional()?;
        if let Some(written) = written {
            self.open.entries_mut()[position].1 = written;
        }
        let (sql, id) = match self.level {
            Level::Worker => (
                "UPDATE workers SET last_seen_us = ?2 WHERE id = ?1 AND id <> 0 AND last_seen_us < ?2",
                key.worker,
            ),
            Level::Pool => (
                "UPDATE pools SET last_seen_us = ?2 WHERE id = ?1 AND id <> 0 AND last_seen_us < ?2",
                key.pool,
            ),
        };
        db.prepare_cached(sql)?.execute(params![id, (u64::from(key.minute) * MINUTE_US) as i64])?;
        Ok(())
    }

    /// Writes the totals that changed since the last time.
    pub fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if self.changed.is_empty() {
            return Ok(());
        }
        let entries = self.open.entries();
        // In the order of the table: neighbours lie on one page.
        self.changed.sort_unstable_by_key(|&position| entries[position as usize].0);
        let mut replace = db.prepare_cached(&self.replace)?;
        for &position in &self.changed {
            let (key, tally) = &entries[position as usize];
            self.blob.clear();
            tally.latency.encode(&mut self.blob);
            bind(&mut replace, *key, tally, &self.blob)?;
            if self.level == Level::Worker {
                replace.raw_bind_parameter(19, key.worker)?;
            }
            replace.raw_execute()?;
            self.is_changed[position as usize] = false;
        }
        self.changed.clear();
        Ok(())
    }
}

/// Binds everything but the worker.
fn bind(
    statement: &mut CachedStatement<'_>,
    key: TallyKey,
    tally: &Tally,
    latency: &[u8],
) -> rusqlite::Result<()> {
    let counts = [tally.accepted].into_iter().chain(tally.rejected).chain([
        tally.refused_here,
        tally.unanswered,
        tally.gapped,
    ]);
    statement.raw_bind_parameter(1, key.minute)?;
    statement.raw_bind_parameter(2, key.pool)?;
    let mut at = 3;
    for count in counts {
        statement.raw_bind_parameter(at, count as i64)?;
        at += 1;
    }
    for sum in [tally.difficulty_accepted, tally.difficulty_rejected, tally.difficulty_unanswered] {
        bind_difficulty(statement, at, sum)?;
        at += 1;
    }
    statement.raw_bind_parameter(at, ToSqlOutput::Borrowed(latency.into()))
}

/// A whole number goes in as one: SQLite then keeps it in as few bytes as it needs.
#[inline]
pub fn bind_difficulty(
    statement: &mut CachedStatement<'_>,
    at: usize,
    difficulty: f64,
) -> rusqlite::Result<()> {
    let whole = difficulty as i64;
    if (whole as f64).to_bits() == difficulty.to_bits() {
        statement.raw_bind_parameter(at, whole)
    } else {
        statement.raw_bind_parameter(at, difficulty)
    }
}

/// Reads [`COLUMNS`] from the start of a row.
pub fn tally_of(row: &Row<'_>) -> rusqlite::Result<Tally> {
    tally_from(row, 0)
}

/// Reads [`COLUMNS`] from column `first` on.
pub fn tally_from(row: &Row<'_>, first: usize) -> rusqlite::Result<Tally> {
    let count = |at: usize| row.get::<_, i64>(first + at).map(|count| count as u64);
    let mut rejected = [0; CLASSES_COUNT];
    for (class, count_of_class) in rejected.iter_mut().enumerate() {
        *count_of_class = count(1 + class)?;
    }
    let after = 1 + CLASSES_COUNT;
    Ok(Tally {
        accepted: count(0)?,
        rejected,
        refused_here: count(after)?,
        unanswered: count(after + 1)?,
        gapped: count(after + 2)?,
        difficulty_accepted: row.get(first + after + 3)?,
        difficulty_rejected: row.get(first + after + 4)?,
        difficulty_unanswered: row.get(first + after + 5)?,
        // A blob that is none of ours is damage, which `verify` reports; here it counts as empty.
        latency: Sketch::decode(row.get_ref(first + after + 6)?.as_blob()?).unwrap_or_default(),
    })
}
