//! What the ledger's tests share.
#![allow(dead_code, reason = "each test file uses its part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_protocol::event::Outcome;
use adit_protocol::verdict::RejectClass;
use adit_store::clock::now_us;
use adit_store::ledger::{Ledger, LedgerConfig};
use adit_store::names::Names;
use adit_store::outbox::Outbox;
use adit_store::record::{PoolKey, ReasonKey, SessionKey, ShareRow, WorkerKey};
use adit_store::retention::Retention;
use adit_store::sqlite::SqliteSink;
use rusqlite::Connection;
use tempfile::TempDir;

/// How long a test waits for something before it gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds; panics with `what` after [`PATIENCE`].
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An accepted share of now.
pub fn accepted(worker: WorkerKey, pool: PoolKey) -> ShareRow {
    ShareRow {
        verdict_us: now_us(),
        session: SessionKey(1),
        difficulty: 1_024.0,
        share_difficulty: f64::NAN,
        latency_us: 40_000,
        worker,
        job: 7,
        pool,
        reason: ReasonKey::NONE,
        code: 0,
        outcome: Outcome::Accepted,
        class: None,
        block_candidate: false,
    }
}

/// A rejected share of now.
pub fn rejected(worker: WorkerKey, pool: PoolKey, reason: ReasonKey) -> ShareRow {
    let (outcome, class) = (Outcome::Rejected, Some(RejectClass::Stale));
    ShareRow { outcome, class, reason, code: 21, ..accepted(worker, pool) }
}

/// A directory with a ledger in it, to be.
pub struct Place {
    pub directory: TempDir,
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("ledger.db");
        Self { directory, path }
    }

    pub fn config(&self) -> LedgerConfig {
        // Tests write of times long past; those of retention say what they keep.
        let retention = Retention { shares_days: 0, rollups_days: 0, bytes_max: 0 };
        LedgerConfig { retention, ..LedgerConfig::new(&self.path) }
    }

    pub fn start(&self) -> (Ledger, Outbox) {
        let (ledger, mut outboxes) = Ledger::start(&self.config(), 1).expect("a ledger");
        (ledger, outboxes.remove(0))
    }

    /// A sink without a thread, and the names that it knows.
    pub fn sink(&self) -> (Arc<Names>, SqliteSink) {
        let names = Arc::new(Names::default());
        let sink =
            SqliteSink::open(&self.path, Arc::clone(&names), self.config().retention).expect("a ledger");
        (names, sink)
    }

    pub fn db(&self) -> Connection {
        connection(&self.path)
    }

    /// The first column of the first row, a number.
    pub fn number(&self, sql: &str) -> i64 {
        self.db().query_row(sql, [], |row| row.get(0)).expect(sql)
    }

    pub fn stop(ledger: Ledger, outbox: Outbox) {
        drop(outbox);
        let health = Arc::clone(ledger.health());
        let stopped = ledger.stop(PATIENCE);
        assert!(stopped.is_clean(), "{stopped:?} {:?}", health.status());
    }
}

pub fn connection(path: &Path) -> Connection {
    let db = Connection::open(path).expect("a database");
    db.busy_timeout(PATIENCE).expect("a timeout");
    db
}
