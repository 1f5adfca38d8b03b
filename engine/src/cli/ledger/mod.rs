//! `adit ledger`: what is in a ledger's file, out of it, a copy of it, whether it is sound, and less of it.
//!
//! Everything but `prune` only reads, and may be asked while a proxy writes. What the questions mean is the store's
//! matter; here are flags, words and bars.

mod advice;
mod info;
mod progress;
mod time;

use std::io::{self, BufWriter, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use adit_store::audit_trail::Wanted;
use adit_store::backup::{self, BackupError};
use adit_store::reader::{ReadError, Reader, Span};
use adit_store::retention::{self, Retention};
use adit_store::shares::Format;
use clap::{Args, Subcommand, ValueEnum};

use super::{EXIT_RUNTIME, fail, print, tools};
use progress::Bar;

pub use advice::advised_start;

/// Bytes of an export that go to stdout at a time.
const EXPORT_BUFFER_BYTES: usize = 256 * 1024;

/// Read, copy, check or shorten the file in which every share is kept
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Tell rows, span of time, size and gaps
    Info(LedgerFlags),
    /// Write shares to stdout, oldest first, one line each
    Export(ExportFlags),
    /// Write what changed the state of the proxy to stdout, oldest first: switches, pools' states, commands, starts
    Events(EventsFlags),
    /// Copy the ledger to a new file, also while a proxy writes to it
    Backup(BackupFlags),
    /// Read everything and check that it agrees: the file's pages, the rollups with the shares, the gaps
    ///
    /// The exit code is 0 only if all of it does.
    Verify(LedgerFlags),
    /// Delete what is too old. A running proxy does so by itself; this is for a ledger that none has open
    Prune(PruneFlags),
}

#[derive(Args, Debug)]
pub struct LedgerFlags {
    /// The ledger's file
    #[arg(long = "ledger", value_name = "FILE")]
    file: PathBuf,
}

#[derive(Args, Debug)]
pub struct ExportFlags {
    #[command(flatten)]
    ledger: LedgerFlags,

    /// Shares from this time on: 2026-01-31, 2026-01-31T12:00:00Z (UTC), or as long ago as 2h [default: the first]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    from: Option<u64>,

    /// Shares before this time, written like --from [default: the last]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    to: Option<u64>,

    /// Shares of this worker only, by the name that the pool sees
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,

    /// How they are written
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    format: ExportFormat,
}

#[derive(Args, Debug)]
pub struct EventsFlags {
    #[command(flatten)]
    ledger: LedgerFlags,

    /// Events from this time on, written as for `export` [default: the first]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    from: Option<u64>,

    /// Events before this time [default: the last]
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    to: Option<u64>,

    /// Events of this kind only: switch, redirect, pool_state, command:..., start, stop, clock_step
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,

    /// Events about this pool or worker only
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,

    /// How they are written
    #[arg(long, value_enum, default_value_t = ExportFormat::Csv)]
    format: ExportFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExportFormat {
    /// Comma-separated values, names in the first line
    Csv,
    /// A JSON object per line
    Jsonl,
}

#[derive(Args, Debug)]
pub struct BackupFlags {
    #[command(flatten)]
    ledger: LedgerFlags,

    /// The copy; a file of this name must not exist
    #[arg(value_name = "FILE")]
    to: PathBuf,
}

#[derive(Args, Debug)]
pub struct PruneFlags {
    #[command(flatten)]
    ledger: LedgerFlags,

    /// Keep single shares and sessions for so many days; 0 for ever
    #[arg(long, value_name = "DAYS", default_value_t = Retention::default().shares_days)]
    shares_days: u32,

    /// Keep minute rollups, gaps and events for so many days; 0 for ever
    #[arg(long, value_name = "DAYS", default_value_t = Retention::default().rollups_days)]
    rollups_days: u32,

    /// Delete the oldest shares, then the oldest rollups, until no more than this is in use, as in 500M or 20G;
    /// 0 for no bound
    #[arg(long, value_name = "BYTES", default_value = "0", value_parser = size)]
    bytes_max: u64,
}

impl From<ExportFormat> for Format {
    fn from(format: ExportFormat) -> Self {
        match format {
            ExportFormat::Csv => Self::Csv,
            ExportFormat::Jsonl => Self::JsonLines,
        }
    }
}

/// Does it.
pub fn execute(command: &LedgerCommand) -> ExitCode {
    match command {
        LedgerCommand::Info(flags) => show_info(&flags.file),
        LedgerCommand::Export(flags) => export(flags),
        LedgerCommand::Events(flags) => events(flags),
        LedgerCommand::Backup(flags) => copy(&flags.ledger.file, &flags.to),
        LedgerCommand::Verify(flags) => verify(&flags.file),
        LedgerCommand::Prune(flags) => prune(flags),
    }
}

fn show_info(file: &Path) -> ExitCode {
    match Reader::open(file).and_then(|reader| reader.info()) {
        Ok(found) => print(&info::words(file, &found)),
        Err(error) => fail(EXIT_RUNTIME, &advice::advised_read(&error)),
    }
}

fn export(flags: &ExportFlags) -> ExitCode {
    let span = span(flags.from, flags.to);
    stream(&flags.ledger.file, |reader, out| {
        reader.export(span, flags.worker.as_deref(), flags.format.into(), out)
    })
}

fn events(flags: &EventsFlags) -> ExitCode {
    let wanted = Wanted { kind: flags.kind.as_deref(), subject: flags.subject.as_deref() };
    let span = span(flags.from, flags.to);
    stream(&flags.ledger.file, |reader, out| reader.export_events(span, wanted, flags.format.into(), out))
}

fn span(from: Option<u64>, to: Option<u64>) -> Span {
    Span {
        from_us: from.unwrap_or(Span::ALL.from_us),
        to_us: to.unwrap_or(Span::ALL.to_us).min(Span::ALL.to_us),
    }
}

/// Writes what a ledger has to stdout.
fn stream(
    file: &Path,
    write: impl FnOnce(&Reader, &mut BufWriter<StdoutLock<'_>>) -> Result<u64, ReadError>,
) -> ExitCode {
    let mut stdout = BufWriter::with_capacity(EXPORT_BUFFER_BYTES, io::stdout().lock());
    match Reader::open(file).and_then(|reader| write(&reader, &mut stdout)) {
        Ok(_) => ExitCode::SUCCESS,
        // Whoever read has enough, as `head` has.
        Err(ReadError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is still in the buffer has nowhere to go.
            drop(stdout.into_parts());
            ExitCode::SUCCESS
        }
        Err(error) => fail(EXIT_RUNTIME, &advice::advised_read(&error)),
    }
}

fn copy(from: &Path, to: &Path) -> ExitCode {
    let mut bar = Bar::new("copied");
    let copied = backup::backup(from, to, |progress| {
        bar.show(progress.pages_done, progress.pages_total);
        true
    });
    bar.end();
    match copied {
        Ok(()) => {
            let bytes = std::fs::metadata(to).map_or(0, |copy| copy.len());
            print(&format!("copied {} to {}\n", info::size(bytes), to.display()))
        }
        Err(BackupError::Open(error)) => fail(EXIT_RUNTIME, &advice::advised(&error)),
        Err(error @ BackupError::Exists(_)) => {
            fail(EXIT_RUNTIME, &format_args!("{error}; give another name, or remove it first"))
        }
        Err(error) => fail(
            EXIT_RUNTIME,
            &format_args!("no copy was made: {error}; is there room, and may you write there?"),
        ),
    }
}

fn verify(file: &Path) -> ExitCode {
    let mut bar = Bar::new("checked");
    let verified = Reader::open(file)
        .and_then(|reader| reader.verify(|progress| bar.show(progress.minutes_done, progress.minutes_total)));
    bar.end();
    let found = match verified {
        Ok(found) => found,
        Err(error) => return fail(EXIT_RUNTIME, &advice::advised_read(&error)),
    };
    if found.is_sound() {
        return print(&format!(
            "sound: {} shares, {} minutes of rollups, {} gaps with {} shares\n",
            found.shares, found.minutes, found.gaps, found.shares_in_gaps
        ));
    }
    // Where stderr is closed, the exit code has to do.
    let mut stderr = io::stderr().lock();
    for problem in &found.problems {
        let _ = writeln!(stderr, "{problem}");
    }
    drop(stderr);
    let (file, count) = (file.display(), found.problems_count);
    let first = found.problems.len();
    fail(
        EXIT_RUNTIME,
        &format_args!(
            "{file} is not sound: {count} problems, the first {first} are above; put a backup in its place, or move it \
             away and let adit start a new one"
        ),
    )
}

fn prune(flags: &PruneFlags) -> ExitCode {
    let retention = Retention {
        shares_days: flags.shares_days,
        rollups_days: flags.rollups_days,
        bytes_max: flags.bytes_max,
    };
    let file = &flags.ledger.file;
    // Opening it for writing would make one.
    if let Err(error) = Reader::open(file) {
        return fail(EXIT_RUNTIME, &advice::advised_read(&error));
    }
    let mut bar = Bar::new("pruned");
    let pruned = retention::prune(file, retention, |done| bar.count(done.shares_pruned + done.others_pruned));
    bar.end();
    match pruned {
        Ok(done) => print(&format!(
            "pruned {} shares and {} other rows, gave back {} pages\n",
            done.shares_pruned, done.others_pruned, done.pages_freed
        )),
        Err(retention::PruneError::Open(error)) => fail(EXIT_RUNTIME, &advice::advised_prune(&error)),
        Err(error) => {
            fail(EXIT_RUNTIME, &format_args!("{error}; what was pruned so far stays so, try again"))
        }
    }
}

/// Reads bytes, as in `500M`.
fn size(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    tools::quantity(text).map(|bytes| bytes as u64)
}
