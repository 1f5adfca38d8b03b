//! Reading a ledger: a connection that cannot write, and may be open while a proxy writes.
//!
//! What can be asked is in [`shares`](crate::shares), [`series`](crate::series), [`questions`](crate::questions),
//! [`info`](crate::info) and [`verify`](crate::verify), all as methods of [`Reader`]. Long answers are read in pieces, so
//! that no reader keeps the writer's log from being reused for long.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use crate::file::{self, OpenError};
use crate::schema;
use crate::tally::{MINUTE_US, minute_of};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// No worker of this name was ever seen.
    #[error("the ledger knows no worker {0:?}")]
    NoWorker(String),
    /// No pool of this name was ever seen.
    #[error("the ledger knows no pool {0:?}")]
    NoPool(String),
    /// The answer could not be written where it should go.
    #[error("the answer cannot be written: {0}")]
    Output(#[from] io::Error),
    /// Trouble with the database.
    #[error("the ledger cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// A span of time: from, and up to but without, µs since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first microsecond.
    pub from_us: u64,
    /// The microsecond after its last.
    pub to_us: u64,
}

impl Span {
    /// All time.
    pub const ALL: Self = Self { from_us: 0, to_us: 1 << 62 };

    /// The minutes that lie in it at least in part: first, and the one after the last.
    pub fn minutes(self) -> (u32, u32) {
        let after = u32::try_from(self.to_us.div_ceil(MINUTE_US)).unwrap_or(u32::MAX);
        (minute_of(self.from_us.min(Self::ALL.to_us)), after)
    }
}

/// A ledger, open for reading.
#[derive(Debug)]
pub struct Reader {
    pub(crate) db: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens a ledger.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        Ok(Self { db: file::open_reader(path)?, path: file::resolve(path)? })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn worker_id(&self, name: &str) -> Result<i64, ReadError> {
        self.id("SELECT id FROM workers WHERE name = ?1", name)?
            .ok_or_else(|| ReadError::NoWorker(name.to_owned()))
    }

    pub(crate) fn pool_id(&self, name: &str) -> Result<i64, ReadError> {
        self.id("SELECT id FROM pools WHERE name = ?1", name)?
            .ok_or_else(|| ReadError::NoPool(name.to_owned()))
    }

    fn id(&self, sql: &str, name: &str) -> rusqlite::Result<Option<i64>> {
        self.db.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()
    }
}

/// The marker: the rollups have all shares up to this key, and all gaps.
pub(crate) fn rollups_through(db: &Connection) -> rusqlite::Result<u64> {
    // In the first schema they were written with their shares.
    let column = if schema::version(db)? < 2 { "share_key" } else { "rollups_through" };
    db.query_row(&format!("SELECT {column} FROM meta"), [], |row| row.get::<_, i64>(0)).map(|key| key as u64)
}

/// Names behind the numbers of one table, read when they are first needed.
#[derive(Debug)]
pub(crate) struct Lookup {
    sql: &'static str,
    known: HashMap<i64, String>,
}

impl Lookup {
    pub(crate) fn workers() -> Self {
        Self { sql: "SELECT name FROM workers WHERE id = ?1", known: HashMap::new() }
    }

    pub(crate) fn pools() -> Self {
        Self { sql: "SELECT name FROM pools WHERE id = ?1", known: HashMap::new() }
    }

    pub(crate) fn texts() -> Self {
        Self { sql: "SELECT text FROM texts WHERE id = ?1", known: HashMap::new() }
    }

    /// The name; empty if the table has no such number.
    pub(crate) fn name(&mut self, db: &Connection, id: i64) -> rusqlite::Result<&str> {
        if !self.known.contains_key(&id) {
            let name = db.prepare_cached(self.sql)?.query_row([id], |row| row.get(0)).optional()?;
            self.known.insert(id, name.unwrap_or_default());
        }
        Ok(self.known.get(&id).map_or("", |name| name))
    }
}

/// How SQLite would go about a query: for the tests that it uses an index.
#[cfg(test)]
pub(crate) fn plan(db: &Connection, sql: &str) -> String {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
    for n in 1..=statement.parameter_count() {
        statement.raw_bind_parameter(n, 1).expect("a parameter");
    }
    let mut rows = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().expect("a step") {
        plan.push(row.get::<_, String>(3).expect("its words"));
    }
    plan.join("; ")
}

/// A ledger without rows, for the same tests.
#[cfg(test)]
pub(crate) fn empty() -> (tempfile::TempDir, Reader) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger.db");
    crate::file::open_writer(&path).expect("a ledger");
    let reader = Reader::open(&path).expect("a reader");
    (directory, reader)
}
