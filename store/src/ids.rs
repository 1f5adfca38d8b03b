//! From the keys of this run of the process to the numbers of the ledger's tables, looked up or made once and remembered.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::limits::{SESSIONS_RESERVED, TEXTS_COUNT_MAX};
use crate::names::{Names, cut};
use crate::record::{PoolKey, ReasonKey, SessionKey, WorkerKey};

/// Session keys from here on are nonsense and stored as "no session": they would not fit beside the reserved numbers.
const SESSION_KEY_MAX: u64 = 1 << 48;
/// Texts that are no reasons (user agents, reasons of closing, kinds): found again by a query, not remembered.
const TEXT_NONE: i64 = 0;

/// The numbers known so far. Forgotten whenever a transaction fails, since it may have made some of them.
#[derive(Debug)]
pub struct Ids {
    names: Arc<Names>,
    workers: Vec<Option<u32>>,
    pools: Vec<Option<u32>>,
    reasons: Vec<Option<u32>>,
    /// What a session key is added to.
    sessions_base: u64,
    /// Greatest session number that the ledger knows to be taken.
    sessions_reserved: u64,
}

impl Ids {
    /// Nothing known. Sessions get numbers after `sessions_reserved`.
    pub fn new(names: Arc<Names>, sessions_reserved: u64) -> Self {
        Self {
            names,
            workers: Vec::new(),
            pools: Vec::new(),
            reasons: Vec::new(),
            sessions_base: sessions_reserved,
            sessions_reserved,
        }
    }

    /// Starts over, in the same ledger.
    pub fn forget(&mut self, sessions_reserved: u64) {
        self.workers.clear();
        self.pools.clear();
        self.reasons.clear();
        self.sessions_reserved = sessions_reserved;
    }

    /// The number of a worker; `seen_us` is when it was first seen if it is new.
    #[inline]
    pub fn worker(&mut self, db: &Connection, key: WorkerKey, seen_us: u64) -> rusqlite::Result<u32> {
        match self.workers.get(key.0 as usize) {
            Some(&Some(id)) => Ok(id),
            _ => self.find_worker(db, key, seen_us),
        }
    }

    #[cold]
    fn find_worker(&mut self, db: &Connection, key: WorkerKey, seen_us: u64) -> rusqlite::Result<u32> {
        let Some(name) = self.names.worker_name(key) else { return Ok(WorkerKey::UNKNOWN.0) };
        let id = seen_name(db, "workers", &name, seen_us)?;
        remember(&mut self.workers, key.0 as usize, id);
        Ok(id)
    }

    /// The number of a pool; `seen_us` is when it was first seen if it is new.
    #[inline]
    pub fn pool(&mut self, db: &Connection, key: PoolKey, seen_us: u64) -> rusqlite::Result<u32> {
        match self.pools.get(usize::from(key.0)) {
            Some(&Some(id)) => Ok(id),
            _ => self.find_pool(db, key, seen_us),
        }
    }

    #[cold]
    fn find_pool(&mut self, db: &Connection, key: PoolKey, seen_us: u64) -> rusqlite::Result<u32> {
        let Some(name) = self.names.pool_name(key) else { return Ok(u32::from(PoolKey::NONE.0)) };
        let id = seen_name(db, "pools", &name, seen_us)?;
        remember(&mut self.pools, key.0.into(), id);
        Ok(id)
    }

    /// The number of a reject reason.
    #[inline]
    pub fn reason(&mut self, db: &Connection, key: ReasonKey) -> rusqlite::Result<i64> {
        match self.reasons.get(usize::from(key.0)) {
            _ if key == ReasonKey::NONE => Ok(TEXT_NONE),
            Some(&Some(id)) => Ok(id.into()),
            _ => self.find_reason(db, key),
        }
    }

    #[cold]
    fn find_reason(&mut self, db: &Connection, key: ReasonKey) -> rusqlite::Result<i64> {
        let Some(words) = self.names.reason_text(key) else { return Ok(ReasonKey::OTHER.0.into()) };
        let id = text(db, &words)?;
        remember(&mut self.reasons, key.0.into(), id as u32);
        Ok(id)
    }

    /// The number of a session; it may have to be reserved before it is used.
    #[inline]
    pub fn session(&mut self, db: &Connection, key: SessionKey) -> rusqlite::Result<u64> {
        if key == SessionKey::NONE || key.0 > SESSION_KEY_MAX {
            return Ok(SessionKey::NONE.0);
        }
        let id = self.sessions_base + key.0;
        if id > self.sessions_reserved {
            self.sessions_reserved = id + SESSIONS_RESERVED;
            db.prepare_cached("UPDATE meta SET sessions_reserved = ?1")?
                .execute([self.sessions_reserved as i64])?;
        }
        Ok(id)
    }
}

fn remember(known: &mut Vec<Option<u32>>, at: usize, id: u32) {
    if at >= known.len() {
        known.resize(at + 1, None);
    }
    known[at] = Some(id);
}

/// The number of a name in `workers` or `pools`, made if it is new.
fn seen_name(db: &Connection, table: &str, name: &str, seen_us: u64) -> rusqlite::Result<u32> {
    let found = db
        .prepare_cached(&format!("SELECT id FROM {table} WHERE name = ?1"))?
        .query_row([name], |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    db.prepare_cached(&format!(
        "INSERT INTO {table} (name, first_seen_us, last_seen_us) VALUES (?1, ?2, ?2)"
    ))?
    .execute(params![name, seen_us as i64])?;
    Ok(db.last_insert_rowid() as u32)
}

/// The number of a text, made if it is new and there is room.
pub fn text(db: &Connection, words: &str) -> rusqlite::Result<i64> {
    let words = cut(words);
    if words.is_empty() {
        return Ok(TEXT_NONE);
    }
    let found = db
        .prepare_cached("SELECT id FROM texts WHERE text = ?1")?
        .query_row([words], |row| row.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    let count: i64 = db.prepare_cached("SELECT max(id) FROM texts")?.query_row([], |row| row.get(0))?;
    if count >= TEXTS_COUNT_MAX {
        return Ok(ReasonKey::OTHER.0.into());
    }
    db.prepare_cached("INSERT INTO texts (text) VALUES (?1)")?.execute([words])?;
    Ok(db.last_insert_rowid())
}
