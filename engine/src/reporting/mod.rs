//! Reports of errors and panics to a Sentry-compatible server: Sentry itself behind a relay, or another one that takes
//! its envelopes.
//!
//! ```text
//!  log::error!(), panics ▶ bounded queue ▶ one thread: rate ▶ scrub ▶ envelope ▶ HTTP
//! ```
//!
//! Only with the cargo feature `sentry`, and only where `log.sentry_dsn` is set; a few hundred lines of our own, for the reason
//! in docs/DEPENDENCIES.md. Nobody who logs waits: what does not fit is
//! counted and told with the next report. A server that is slow or gone costs reports and nothing else. What is told is the
//! record's text without what may be secret ([`scrub`]), its module, and what runs. Not here: traces, sessions, metrics.

pub mod dsn;
mod envelope;
mod pace;
pub mod scrub;
mod send;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam::channel::{self, Receiver, Sender};
use log::{Level, Log, Metadata, Record};
use thiserror::Error;

use crate::dice::Dice;
use crate::settings::Settings;
use dsn::{Dsn, DsnError};
use envelope::Report;
use pace::Pace;
use scrub::Scrubber;

/// Reports that may wait.
const QUEUE_COUNT_MAX: usize = 64;
/// Bytes of a record's text that are told.
const TEXT_BYTES_MAX: usize = 8 * 1024;
/// How long the end of the process waits for the last report.
const LAST_REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// Why nothing is reported.
#[derive(Debug, Error)]
pub enum ReportingError {
    /// The configuration lets none through.
    #[error("log.sentry_dsn: {0}")]
    Dsn(#[from] DsnError),
    /// No thread could be started.
    #[error("error reports: their thread cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// Reports as these settings say; `None` where they do not want it.
pub fn start(settings: &Settings) -> Result<Option<Reporter>, ReportingError> {
    let Some(dsn) = &settings.log.sentry_dsn else { return Ok(None) };
    Ok(Some(Reporter::start(Dsn::parse(dsn.expose())?, Scrubber::of(settings))?))
}

enum Item {
    Report(Report),
    Flush(Sender<()>),
}

/// Takes records from whoever logs. Copies are one.
#[derive(Clone)]
pub struct Reporter {
    queue: Sender<Item>,
    lost: Arc<AtomicU64>,
}

impl Reporter {
    /// Reports to `dsn` from now on, without what `scrubber` knows to be secret.
    pub fn start(dsn: Dsn, scrubber: Scrubber) -> io::Result<Self> {
        let (queue, items) = channel::bounded(QUEUE_COUNT_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let teller =
            Teller { dsn, scrubber, pace: Pace::default(), dice: Dice::default(), lost: lost.clone() };
        thread::Builder::new().name("adit-reports".into()).spawn(move || teller.run(&items))?;
        Ok(Self { queue, lost })
    }

    /// Waits until what was reported so far is told, for `patience` at the longest.
    fn finish(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let (done, is_done) = channel::bounded(1);
        if self.queue.send_deadline(Item::Flush(done), deadline).is_ok() {
            // Whether in time or not: nobody can do more.
            let _ = is_done.recv_deadline(deadline);
        }
    }
}

impl Log for Reporter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() == Level::Error
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut text = record.args().to_string();
        if text.len() > TEXT_BYTES_MAX {
            let end = (TEXT_BYTES_MAX - 3..=TEXT_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at));
            text.truncate(end.unwrap_or(0));
        }
        let report = Report { at: SystemTime::now(), target: record.target().to_owned(), text };
        if self.queue.try_send(Item::Report(report)).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    fn flush(&self) {
        self.finish(LAST_REPORT_PATIENCE);
    }
}

/// The thread's side.
struct Teller {
    dsn: Dsn,
    scrubber: Scrubber,
    pace: Pace,
    dice: Dice,
    lost: Arc<AtomicU64>,
}

impl Teller {
    fn run(mut self, items: &Receiver<Item>) {
        for item in items {
            match item {
                Item::Report(report) => self.tell(report),
                // Whoever asked may wait no more.
                Item::Flush(done) => _ = done.try_send(()),
            }
        }
    }

    fn tell(&mut self, mut report: Report) {
        let now = Instant::now();
        if !self.pace.allows(&report.text, now) {
            self.lost.fetch_add(1, Relaxed);
            return;
        }
        report.text = self.scrubber.scrub(&report.text);
        let lost = self.lost.swap(0, Relaxed);
        let id = [self.dice.roll(), self.dice.roll()];
        let body = envelope::write(&report, id, lost);
        // Told as a warning: an error would be reported, and so on without end.
        match send::post(&self.dsn, &body) {
            Ok(send::Answer::Taken) => {}
            Ok(send::Answer::Later(pause)) => {
                log::warn!("the server for error reports wants none for {} s", pause.as_secs());
                self.pace.pause(now, pause);
            }
            Ok(send::Answer::Refused(status)) => {
                log::warn!("an error report was refused with status {status}");
                self.pace.pause(now, send::PAUSE);
            }
            Err(error) => {
                log::warn!("an error report could not be sent: {error}");
                self.lost.fetch_add(lost + 1, Relaxed);
                self.pace.pause(now, send::PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_server_that_never_answers_makes_nobody_wait() {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let dsn = format!("http://key@{}/1", silent.local_addr().expect("bound"));
        let dsn = Dsn::parse(&dsn).expect("a DSN");
        let reporter = Reporter::start(dsn, Scrubber::default()).expect("a thread");
        let record = |text: &str| {
            reporter.log(&Record::builder().level(Level::Error).args(format_args!("{text}")).build());
        };
        let count = 3 * QUEUE_COUNT_MAX;
        for n in 0..count {
            record(&format!("error {}", "x".repeat(n)));
        }
        reporter.log(&Record::builder().level(Level::Warn).args(format_args!("no error")).build());
        assert!(reporter.lost.load(Relaxed) as usize >= count - QUEUE_COUNT_MAX - 1, "the rest did not fit");
        record(&"ä".repeat(TEXT_BYTES_MAX));
    }
}
