//! An online copy of a ledger, by SQLite's backup API, while others write to it.
//!
//! The copy is of one moment: a read transaction is held from the first page to the last, so writers neither disturb it
//! nor make it start over (their write-ahead log grows meanwhile). It is made under another name and renamed when whole.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::file::{OpenError, beside, open_reader};

/// Pages copied between two calls of the progress callback: 4 MiB.
const STEP_PAGES: i32 = 1_024;

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Pages copied.
    pub pages_done: u64,
    /// Pages in all.
    pub pages_total: u64,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is a file of this name already.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The callback said stop.
    #[error("stopped")]
    Stopped,
    /// Trouble with files.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Trouble with a database.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Copies the ledger `from` to the new file `to`. The callback hears of the progress and says whether to go on.
pub fn backup(from: &Path, to: &Path, progress: impl FnMut(Progress) -> bool) -> Result<(), BackupError> {
    copy(&open_reader(from)?, to, progress)
}

pub(crate) fn copy(
    from: &Connection,
    to: &Path,
    mut progress: impl FnMut(Progress) -> bool,
) -> Result<(), BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_path_buf()));
    }
    let part = beside(to, ".part");
    let made = copy_pages(from, &part, &mut progress).and_then(|()| {
        File::open(&part)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&part, to))
            .map_err(|source| BackupError::Io { path: to.to_path_buf(), source })
    });
    if made.is_err() {
        // What is left of a failed copy; that it may be gone already is no second error.
        let _ = fs::remove_file(&part);
    }
    made
}

fn copy_pages(
    from: &Connection,
    part: &Path,
    progress: &mut impl FnMut(Progress) -> bool,
) -> Result<(), BackupError> {
    let _ = fs::remove_file(part);
    let mut target = Connection::open(part)?;
    // Holds the moment: without it each commit of a writer would make the copy start over.
    let moment = from.unchecked_transaction()?;
    moment.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    let backup = Backup::new(from, &mut target)?;
    loop {
        let step = backup.step(STEP_PAGES)?;
        let now = backup.progress();
        let pages_total = u64::try_from(now.pagecount).unwrap_or(0);
        let pages_done = pages_total.saturating_sub(u64::try_from(now.remaining).unwrap_or(0));
        if !progress(Progress { pages_done, pages_total }) {
            return Err(BackupError::Stopped);
        }
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            // Nobody else knows the target, and the source is being read: a moment later it goes on.
            _ => std::thread::yield_now(),
        }
    }
    drop(backup);
    drop(moment);
    target.close().map_err(|(_, error)| error.into())
}
