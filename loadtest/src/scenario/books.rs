//! The ledger that Adit keeps during a scenario, read back by `adit ledger` itself once it has stopped.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use adit_protocol::event::Outcome;
use serde::Deserialize;

use crate::audit::LedgerBook;

/// The ledger's file; SQLite's own files beside it begin with the same name.
const FILE: &str = "ledger.sqlite";

/// A directory for one ledger. It goes with its owner.
#[derive(Debug)]
pub(super) struct Shelf(PathBuf);

/// What the export says of a share, as far as the audit asks.
#[derive(Deserialize)]
struct Row {
    worker: String,
    outcome: String,
    code: i32,
}

impl Shelf {
    pub(super) fn new() -> io::Result<Self> {
        let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let name = format!("adit-scenario-{}-{}", std::process::id(), nanos.as_nanos());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join(FILE)
    }

    /// Bytes that the ledger has on the disk now.
    pub(super) fn bytes(&self) -> u64 {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum()
    }

    /// Everything that it says about shares.
    pub(super) fn book(&self, adit: &Path) -> io::Result<LedgerBook> {
        let mut book = LedgerBook::default();
        let mut export = self.ask(adit, &["export", "--format", "jsonl"]).stdout(Stdio::piped()).spawn()?;
        for line in export.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
            let row: Row = serde_json::from_str(&line?)?;
            book.row(&row.worker, outcome(&row.outcome)?, row.code);
        }
        if !export.wait()?.success() {
            return Err(io::Error::other("adit ledger export failed"));
        }
        let info = self.ask(adit, &["info"]).output()?;
        let info = String::from_utf8_lossy(&info.stdout);
        let gaps = info.lines().find_map(|line| line.strip_prefix("gaps"));
        for (kind, count) in gaps_of(gaps.ok_or_else(|| io::Error::other("adit ledger info failed"))?) {
            book.gap(kind, count);
        }
        Ok(book)
    }

    fn ask(&self, adit: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(adit);
        command.arg("ledger").args(arguments).arg("--ledger").arg(self.file()).stdin(Stdio::null());
        command
    }
}

impl Drop for Shelf {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn outcome(name: &str) -> io::Result<Outcome> {
    match name {
        "accepted" => Ok(Outcome::Accepted),
        "rejected" => Ok(Outcome::Rejected),
        "refused_here" => Ok(Outcome::RefusedHere),
        "unanswered" => Ok(Outcome::Unanswered),
        _ => Err(io::Error::other(format!("adit ledger export: outcome {name:?}"))),
    }
}

/// The shares counted in gaps, out of words like `1 with 3 shares (2 accepted, 1 rejected, …)`; none in `none`.
fn gaps_of(words: &str) -> Vec<(Outcome, u64)> {
    let kinds = [
        ("accepted", Outcome::Accepted),
        ("rejected", Outcome::Rejected),
        ("refused here", Outcome::RefusedHere),
        ("unanswered", Outcome::Unanswered),
    ];
    let count = |name| {
        let before = words.split_once(name)?.0.trim_end();
        before.rsplit([' ', '(']).next()?.parse().ok()
    };
    kinds.into_iter().filter_map(|(name, kind)| Some((kind, count(name)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_in_gaps_are_read_out_of_the_words() {
        let words =
            "2 with 7 shares (3 accepted, 0 rejected, 0 refused here, 4 unanswered) and 1 other records";
        let counts = [Outcome::Accepted, Outcome::Rejected, Outcome::RefusedHere, Outcome::Unanswered];
        assert_eq!(gaps_of(words), counts.into_iter().zip([3, 0, 0, 4]).collect::<Vec<_>>());
        assert_eq!(gaps_of("          none"), []);
    }
}
