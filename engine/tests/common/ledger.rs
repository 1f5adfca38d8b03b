//! A ledger that Adit keeps during a test, and `adit ledger` asked about it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use adit_loadtest::audit::{Audit, CounterBook, LedgerBook};
use adit_loadtest::process::Adit;
use adit_protocol::event::Outcome;
use adit_store::audit_trail::Wanted;
use adit_store::codes;
use adit_store::reader::{Reader, Span};
use tempfile::TempDir;

use super::{PATIENCE, adit, binary};

/// A ledger's file, in a directory that goes when this does.
pub struct Kept {
    _directory: TempDir,
    file: PathBuf,
    /// By which Adit is asked, where it wants one.
    token: Option<String>,
}

impl Kept {
    /// No file yet.
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        Self { file: directory.path().join("ledger.db"), _directory: directory, token: None }
    }

    /// Adit is to be asked with this token.
    #[must_use]
    pub fn by(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// [`adit`] that keeps this ledger and answers operators.
    #[track_caller]
    pub fn adit(&self, pool_url: &str, more: &[&str]) -> Adit {
        adit_with(pool_url, &self.file, more)
    }

    /// What Adit counted once its miners have left, and what the ledger says once it has stopped in order.
    #[track_caller]
    pub fn books(&self, adit: Adit) -> Books {
        Books::close_by(self.token.as_deref(), adit, &self.file)
    }
}

/// [`adit`] that keeps the ledger of this file and answers operators.
#[track_caller]
pub fn adit_with(pool_url: &str, file: &Path, more: &[&str]) -> Adit {
    adit(pool_url, &[more, &["--ledger", text(file), "--admin", "127.0.0.1:0"]].concat())
}

/// Both books of a proxy.
pub struct Books {
    /// What it counted.
    pub counters: CounterBook,
    /// What it wrote down.
    pub ledger: LedgerBook,
}

impl Books {
    /// Waits until all miners have left, stops Adit in order, and reads both.
    #[track_caller]
    pub fn close(adit: Adit, file: &Path) -> Self {
        Self::close_by(None, adit, file)
    }

    /// The same, asking with a token where one is wanted.
    #[track_caller]
    pub fn close_by(token: Option<&str>, adit: Adit, file: &Path) -> Self {
        let admin = adit.admin_address().expect("it answers operators");
        let counters = CounterBook::settled_by(token, admin, PATIENCE).expect("its counters");
        stop(adit);
        assert_sound(file);
        Self { counters, ledger: book(file) }
    }

    /// Adds both to an audit.
    pub fn audit<'a>(&'a self, audit: Audit<'a>) -> Audit<'a> {
        audit.ledger(&self.ledger).counters(&self.counters)
    }
}

/// Stops Adit in order.
#[track_caller]
pub fn stop(mut adit: Adit) {
    adit.signal("TERM").expect("it runs");
    let status = adit.ends_within(PATIENCE).expect("it ends");
    assert!(status.success(), "{status}");
}

/// All that a ledger says of shares.
#[track_caller]
pub fn book(file: &Path) -> LedgerBook {
    let reader = Reader::open(file).expect("a ledger");
    let mut book = LedgerBook::default();
    let outcomes = [Outcome::Accepted, Outcome::Rejected, Outcome::RefusedHere, Outcome::Unanswered];
    let read = reader.for_each_share(Span::ALL, None, |share| {
        let outcome =
            outcomes.into_iter().find(|&known| codes::outcome_name(codes::outcome(known)) == share.outcome);
        book.row(share.worker, outcome.expect("an outcome"), share.code.into());
        Ok(())
    });
    read.expect("its shares");
    let gaps = reader.info().expect("its figures").shares_in_gaps;
    for (outcome, count) in
        outcomes.into_iter().zip([gaps.accepted, gaps.rejected, gaps.refused_here, gaps.unanswered])
    {
        book.gap(outcome, count);
    }
    book
}

/// An event of the audit trail.
pub struct Told {
    pub subject: String,
    pub detail: String,
}

/// The events of a kind that a ledger has, oldest first, as the reader gives them; `adit ledger events` has as many.
#[track_caller]
pub fn events(file: &Path, kind: &str) -> Vec<Told> {
    let mut all = Vec::new();
    let wanted = Wanted { kind: Some(kind), subject: None };
    let read = Reader::open(file).expect("a ledger").for_each_event(Span::ALL, wanted, |event| {
        all.push(Told { subject: event.subject.to_owned(), detail: event.detail.to_owned() });
        Ok(())
    });
    assert_eq!(read.expect("its events"), all.len() as u64);
    let output = ask(&["events", "--ledger", text(file), "--kind", kind, "--format", "jsonl"]);
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), all.len());
    all
}

/// `adit ledger verify` finds nothing.
#[track_caller]
pub fn assert_sound(file: &Path) {
    let output = ask(&["verify", "--ledger", text(file)]);
    assert!(output.status.success(), "{}", told(&output));
}

/// `adit ledger` with these arguments.
#[track_caller]
pub fn ask(arguments: &[&str]) -> Output {
    Command::new(binary()).arg("ledger").args(arguments).output().expect("adit runs")
}

/// Everything that a command said.
pub fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A path as an argument.
#[track_caller]
pub fn text(file: &Path) -> &str {
    file.to_str().expect("paths of tests are UTF-8")
}
