//! What to do about a ledger that cannot be used: the store says what is wrong, this says what helps.

use adit_store::file::OpenError;
use adit_store::ledger::StartError;
use adit_store::reader::ReadError;

/// The error, and what to do about it.
pub fn advised(error: &OpenError) -> String {
    let advice = match error {
        OpenError::DirectoryMissing(_) => "make it, or name another file",
        OpenError::Missing(_) => "--ledger takes the file that adit run or adit demo was given",
        OpenError::NotAFile(_) | OpenError::NotALedger(_) => "name another file",
        OpenError::ReadOnly(_) => "let this user write it, the files beside it, and its directory",
        OpenError::InUse { .. } => "stop that one, or name another file",
        OpenError::Corrupt { .. } => {
            "put a backup in its place, or move it away and let adit start a new one"
        }
        OpenError::Backup { .. } => "make room beside it",
        OpenError::Newer { .. } => return error.to_string(),
        OpenError::Io { .. } | OpenError::Sqlite { .. } => {
            "see that the file is there and may be read and written"
        }
    };
    format!("{error}; {advice}")
}

/// The same where `adit run` or `adit demo` did not start.
pub fn advised_start(error: &StartError) -> String {
    match error {
        StartError::Open(error) => advised(error),
        StartError::Thread(_) => error.to_string(),
    }
}

/// The same of a question that got no answer.
pub(super) fn advised_read(error: &ReadError) -> String {
    match error {
        ReadError::Open(error) => advised(error),
        ReadError::NoWorker(_) => {
            format!(
                "{error}; a worker goes by the name that the pool sees, as in the second column of an export"
            )
        }
        ReadError::NoPool(_) => error.to_string(),
        ReadError::Output(_) => format!("{error}; what came before is whole lines but for the last"),
        ReadError::Sqlite(_) => format!("{error}; adit ledger verify says what is damaged"),
    }
}

/// The same of a ledger that cannot be pruned.
pub(super) fn advised_prune(error: &OpenError) -> String {
    match error {
        OpenError::InUse { .. } => format!("{error}, which prunes by itself; stop it first to prune by hand"),
        error => advised(error),
    }
}
