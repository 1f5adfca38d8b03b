//! The rollups: rows and gaps → `worker_minutes` and `pool_minutes`.
//!
//! Rows are added up in memory, and what they came to is written once their minute is over: one write per worker and
//! minute, however many batches there were. `meta.rollups_through` is the marker. It moves in the transaction that writes
//! the rollups, and at every moment
//!
//! > the tables = all shares up to the marker + all gaps
//!
//! to the share. What was only in memory when a process was killed, or when a write failed, is not lost: it is the shares
//! behind the marker, and they are added up again. Gaps have no shares, so they go into the tables in the transaction
//! that writes them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rusqlite::types::ToSqlOutput;
use rusqlite::{CachedStatement, Connection, Row, params};

use crate::codes;
use crate::limits::{ROLLUP_INTERVAL_MS_MAX, ROLLUP_TALLIES_MAX};
use crate::record::{PoolKey, ReasonKey, SessionKey, ShareRow, WorkerKey};
use crate::sketch::Sketch;
use crate::tally::{CLASSES_COUNT, MINUTE_US, Tally, TallyKey, TallyTable, minute_of};

/// The columns of a tally, after those of its key.
pub const COLUMNS: &str = "accepted, stale, duplicate, low_difficulty, unauthorized, not_subscribed, bad_time, bad_version, \
     other, refused_here, unanswered, gapped, difficulty_accepted, difficulty_rejected, difficulty_unanswered, latency";
/// What a tally counts of a share, by key: [`share_of`] reads it.
pub const SHARES: &str = "SELECT id, worker, pool, difficulty, latency_us, outcome, class FROM shares";

/// The shares behind the marker, added up in memory.
#[derive(Debug)]
pub struct Rollups {
    tallies: TallyTable,
    /// Key of the last share in it; the marker if there is none.
    through: u64,
    /// When the first share was added.
    since: Instant,
    /// Whether all shares behind the marker are in it. If not they have to be read first.
    is_complete: bool,
}

impl Rollups {
    /// Knows nothing yet: [`Rollups::catch_up`] reads what there is.
    pub fn new() -> Self {
        Self {
            tallies: TallyTable::new(ROLLUP_TALLIES_MAX),
            through: 0,
            since: Instant::now(),
            is_complete: false,
        }
    }

    /// Forgets everything: a transaction failed, so what is in memory may not be in the ledger, or be there already.
    pub fn forget(&mut self) {
        self.tallies.clear();
        self.is_complete = false;
    }

    /// Whether all shares behind the marker are known.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Counts a share of a worker and a pool, by their numbers in the ledger, in the transaction that writes it.
    #[inline]
    pub fn add(
        &mut self,
        db: &Connection,
        key: u64,
        (worker, pool): (u32, u32),
        row: &ShareRow,
    ) -> rusqlite::Result<()> {
        if !self.is_complete {
            return Ok(());
        }
        let place = TallyKey { minute: minute_of(key), worker, pool };
        if self.tallies.entries().is_empty() {
            self.since = Instant::now();
        }
        let tally = match self.tallies.tally(place) {
            Some(tally) => tally,
            None => self.make_room(db, place)?,
        };
        tally.add(row);
        self.through = key;
        Ok(())
    }

    #[cold]
    fn make_room(&mut self, db: &Connection, place: TallyKey) -> rusqlite::Result<&mut Tally> {
        self.write(db)?;
        self.tallies.clear();
        Ok(self.tallies.tally(place).unwrap_or_else(|| unreachable!("the table was emptied")))
    }

    /// Whether a minute is over, or nothing was written for long.
    pub fn is_due(&self) -> bool {
        let first = self.tallies.entries().first();
        first.is_some_and(|(first, _)| {
            minute_of(self.through) > first.minute
                || self.since.elapsed() > Duration::from_millis(ROLLUP_INTERVAL_MS_MAX)
        })
    }

    /// Adds up the shares behind the marker. What memory has no room for is written, so call it in a transaction.
    pub fn catch_up(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.tallies.clear();
        self.through =
            db.query_row("SELECT rollups_through FROM meta", [], |row| row.get::<_, i64>(0))? as u64;
        self.is_complete = true;
        let mut statement = db.prepare_cached(&format!("{SHARES} WHERE id > ?1 ORDER BY id"))?;
        let mut rows = statement.query([self.through as i64])?;
        while let Some(row) = rows.next()? {
            // One with an unknown outcome is damage, which `verify` reports.
            if let Some(share) = share_of(row)? {
                self.add(db, row.get::<_, i64>(0)? as u64, (row.get(1)?, row.get(2)?), &share)?;
            }
        }
        Ok(())
    }

    /// Writes what is in memory and moves the marker. Once the transaction is committed, tell it by
    /// [`Rollups::written`]; if it fails, [`Rollups::forget`].
    pub fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        let entries = self.tallies.entries();
        // In the order of the table: neighbours lie on one page.
        let mut order: Vec<u32> = (0..entries.len() as u32).collect();
        order.sort_unstable_by_key(|&at| entries[at as usize].0);
        let mut tables = Tables::new(db)?;
        for at in order {
            let (key, tally) = &entries[at as usize];
            tables.add(*key, tally)?;
        }
        tables.finish()?;
        db.prepare_cached("UPDATE meta SET rollups_through = max(rollups_through, ?1)")?
            .execute([self.through as i64])?;
        Ok(())
    }

    /// What was in memory is in the ledger.
    pub fn written(&mut self) {
        self.tallies.clear();
    }
}

/// As much of a row of [`SHARES`] as a tally counts; `None` if it is none that this program writes.
pub fn share_of(row: &Row<'_>) -> rusqlite::Result<Option<ShareRow>> {
    let (Some(outcome), Some(class)) = (codes::outcome_of(row.get(5)?), codes::class_of(row.get(6)?)) else {
        return Ok(None);
    };
    Ok(Some(ShareRow {
        verdict_us: 0,
        session: SessionKey::NONE,
        difficulty: row.get(3)?,
        share_difficulty: f64::NAN,
        latency_us: row.get(4)?,
        worker: WorkerKey::UNKNOWN,
        job: 0,
        pool: PoolKey::NONE,
        reason: ReasonKey::NONE,
        code: 0,
        outcome,
        class,
        block_candidate: false,
    }))
}

/// Both tables, to add tallies to.
pub struct Tables<'a> {
    db: &'a Connection,
    insert: CachedStatement<'a>,
    seen: CachedStatement<'a>,
    pools: BTreeMap<TallyKey, Tally>,
    blob: Vec<u8>,
}

impl<'a> Tables<'a> {
    /// Both tables of this ledger.
    pub fn new(db: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            db,
            insert: db.prepare_cached(&Level::Worker.insert())?,
            seen: db.prepare_cached(
                "UPDATE workers SET last_seen_us = ?2 WHERE id = ?1 AND id <> 0 AND last_seen_us < ?2",
            )?,
            pools: BTreeMap::new(),
            blob: Vec::new(),
        })
    }

    /// Adds a tally to what the table of workers has for its key.
    pub fn add(&mut self, key: TallyKey, tally: &Tally) -> rusqlite::Result<()> {
        add(self.db, Level::Worker, &mut self.insert, key, tally, &mut self.blob)?;
        self.seen.raw_bind_parameter(1, key.worker)?;
        self.seen.raw_bind_parameter(2, (u64::from(key.minute) * MINUTE_US) as i64)?;
        self.seen.raw_execute()?;
        self.pools.entry(TallyKey { worker: 0, ..key }).or_default().merge(tally);
        Ok(())
    }

    /// Adds the sums to what the table of pools has.
    pub fn finish(mut self) -> rusqlite::Result<()> {
        let mut insert = self.db.prepare_cached(&Level::Pool.insert())?;
        let mut seen = self.db.prepare_cached(
            "UPDATE pools SET last_seen_us = ?2 WHERE id = ?1 AND id <> 0 AND last_seen_us < ?2",
        )?;
        for (key, tally) in &self.pools {
            add(self.db, Level::Pool, &mut insert, *key, tally, &mut self.blob)?;
            seen.execute(params![key.pool, (u64::from(key.minute) * MINUTE_US) as i64])?;
        }
        Ok(())
    }
}

/// Inserts a tally; adds it to the one that is there already, if a gap or an earlier part of the minute has made one.
fn add(
    db: &Connection,
    level: Level,
    insert: &mut CachedStatement<'_>,
    key: TallyKey,
    tally: &Tally,
    blob: &mut Vec<u8>,
) -> rusqlite::Result<()> {
    bind(insert, level, key, tally, blob)?;
    if insert.raw_execute()? > 0 {
        return Ok(());
    }
    let mut sum = db
        .prepare_cached(&level.select())?
        .query_row(params![key.minute, key.worker, key.pool], |row| tally_from(row, 0))?;
    sum.merge(tally);
    let mut replace = db.prepare_cached(&level.replace())?;
    bind(&mut replace, level, key, &sum, blob)?;
    replace.raw_execute()?;
    Ok(())
}

/// Which of the two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
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
        self.write("REPLACE", "")
    }

    /// Inserts nothing where there is something.
    fn insert(self) -> String {
        self.write("INSERT", " ON CONFLICT DO NOTHING")
    }

    fn write(self, verb: &str, on_conflict: &str) -> String {
        let (table, worker, count) = match self {
            Self::Worker => ("worker_minutes", ", worker", 19),
            Self::Pool => ("pool_minutes", "", 18),
        };
        let values = (1..=count).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
        format!("{verb} INTO {table} (minute, pool, {COLUMNS}{worker}) VALUES ({values}){on_conflict}")
    }
}

fn bind(
    statement: &mut CachedStatement<'_>,
    level: Level,
    key: TallyKey,
    tally: &Tally,
    blob: &mut Vec<u8>,
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
    blob.clear();
    tally.latency.encode(blob);
    statement.raw_bind_parameter(at, ToSqlOutput::Borrowed(blob.as_slice().into()))?;
    match level {
        Level::Worker => statement.raw_bind_parameter(at + 1, key.worker),
        Level::Pool => Ok(()),
    }
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
