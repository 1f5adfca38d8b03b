//! What the writer's thread needs of a database: take a batch whole or not at all, and say where it stands.
//!
//! [`SqliteSink`](crate::sqlite::SqliteSink) is the one there is. The border is here so that another one can stand beside
//! it, and so that tests can put a liar in its place.

use std::time::Duration;

use crate::outbox::Gap;
use crate::record::{Note, ShareRow};

/// What belongs together: written in one transaction, tried again as it is.
#[derive(Debug, Default)]
pub struct Batch {
    /// Counted up by one per batch; tells a sink that it has this one already.
    pub number: u64,
    /// Rows with their keys, which only grow.
    pub rows: Vec<(u64, ShareRow)>,
    /// Notes, oldest first.
    pub notes: Vec<Note>,
    /// Gaps, and the outbox each came from.
    pub gaps: Vec<(usize, Box<Gap>)>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.notes.is_empty() && self.gaps.is_empty()
    }

    /// The key of a row: its verdict's time, or one more than the key before it.
    pub fn key_after(last_key: u64, row: &ShareRow) -> u64 {
        (last_key + 1).max(row.verdict_us.min(KEY_MAX))
    }
}

/// No time makes a key greater than this (the year 148,000), so that there are always greater ones.
const KEY_MAX: u64 = 1 << 62;

/// Where a sink stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which ledger it is: another number, another ledger.
    pub ledger: u64,
    /// Number of the last batch in it.
    pub batch: u64,
    /// Greatest share key in it, or ever in it.
    pub last_key: u64,
}

/// What kind of trouble a failed write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No space, or a quota or file size limit.
    DiskFull,
    /// The file does not allow writing.
    ReadOnly,
    /// The file is not where it was.
    Gone,
    /// Somebody else holds a lock.
    Busy,
    /// The file is damaged.
    Corrupt,
    /// Anything else.
    Other,
}

/// A write that did not happen.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct SinkError {
    /// What kind.
    pub trouble: Trouble,
    /// For people.
    pub message: String,
}

/// What maintenance did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Raw shares pruned.
    pub shares_pruned: u64,
    /// Rollup rows, sessions, gaps and events pruned.
    pub others_pruned: u64,
    /// Pages given back to the file system.
    pub pages_freed: u64,
    /// Whether there is more to do at once.
    pub more: bool,
}

/// A database that takes batches.
pub trait LedgerSink: Send {
    /// Where it stands after the last successful write or reopening.
    fn position(&self) -> Position;

    /// May file what a batch has so far, so that less is left to do when it is written. Nothing of it counts before that;
    /// the batch may only grow until then. After an error go on as after one of [`LedgerSink::write`].
    fn prepare(&mut self, batch: &Batch) -> Result<(), SinkError>;

    /// Writes a batch. `Ok` means that all of it survives the end of this process; an error that nothing is known to
    /// have been written: [`LedgerSink::reopen`] and [`LedgerSink::position`] tell.
    fn write(&mut self, batch: &Batch) -> Result<(), SinkError>;

    /// Starts over after an error: forgets what it believed and reads its position again.
    fn reopen(&mut self) -> Result<(), SinkError>;

    /// Called between batches: prunes, checkpoints and the like, for about `budget` at most.
    fn maintain(&mut self, now_us: u64, budget: Duration) -> Result<Maintained, SinkError>;

    /// The last call: leaves everything in order on the disk.
    fn finish(&mut self) -> Result<(), SinkError>;
}
