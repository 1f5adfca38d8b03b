//! Log records, from whoever makes them to a file or stderr.
//!
//! ```text
//!  log::info!() ▶ fern: level by module, one clean line ▶ bounded queue ▶ writer thread ▶ file or stderr
//! ```
//!
//! A shard may log; it never waits for it. What a peer can cause again and again passes a [`rate::RateLimited`] first.

pub mod format;
pub mod levels;
pub mod rate;
pub mod writer;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use log::{LevelFilter, Log, Metadata, Record};
use thiserror::Error;

use crate::settings::LogSettings;
use writer::{QUEUE_LINES_MAX, Queue, Target};

/// How long a dying process waits for its last words to be written.
const LAST_WORDS_PATIENCE: Duration = Duration::from_millis(250);

/// How a panic's record begins.
pub(crate) const PANIC_PREFIX: &str = "panic in thread ";

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// The file cannot be opened.
    #[error("log file {} cannot be opened: {error}", path.display())]
    File {
        /// The file of `log.file`.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// No thread could be started.
    #[error("the log's thread cannot be started: {0}")]
    Thread(io::Error),
    /// There is one already.
    #[error("the log was started twice")]
    Twice,
}

/// Steers the running log.
#[derive(Clone)]
pub struct LogHandle {
    queue: Queue,
    beside: Option<Arc<dyn Log>>,
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogHandle").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl LogHandle {
    /// Opens the log's file again, after somebody moved it away. Nothing happens to stderr.
    pub fn reopen(&self) {
        self.queue.reopen();
    }

    /// Waits a moment until all records so far are written; to be called before the process ends.
    pub fn finish(&self) {
        self.queue.flush(LAST_WORDS_PATIENCE);
        if let Some(beside) = &self.beside {
            beside.flush();
        }
    }
}

/// Makes the log of this process, panics included. What is an error is told `beside`, too.
pub fn start(settings: &LogSettings, beside: Option<Arc<dyn Log>>) -> Result<LogHandle, LogError> {
    let target = match &settings.file {
        None => Target::Stream(Box::new(io::stderr())),
        Some(path) => Target::file(path).map_err(|error| LogError::File { path: path.clone(), error })?,
    };
    let queue = Queue::start(target, settings.format, QUEUE_LINES_MAX).map_err(LogError::Thread)?;
    let handle = LogHandle { queue: queue.clone(), beside: beside.clone() };
    let mut all = fern::Dispatch::new().chain(dispatch(settings, queue));
    if let Some(beside) = beside {
        let errors = fern::Dispatch::new().level(LevelFilter::Error);
        all = all.chain(errors.chain(Box::new(beside) as Box<dyn Log>));
    }
    all.apply().map_err(|_| LogError::Twice)?;
    log_panics(handle.clone());
    Ok(handle)
}

/// Levels and format in front of the queue.
fn dispatch(settings: &LogSettings, queue: Queue) -> fern::Dispatch {
    let format = settings.format;
    let mut dispatch =
        fern::Dispatch::new().level(settings.levels.default).format(move |out, message, record| {
            let line = format::line(format, SystemTime::now(), record.level(), record.target(), message);
            out.finish(format_args!("{line}"));
        });
    for (module, level) in &settings.levels.modules {
        dispatch = dispatch.level_for(module.clone(), *level);
    }
    dispatch.chain(Box::new(Sink(queue)) as Box<dyn Log>)
}

/// The end of fern's chain.
struct Sink(Queue);

impl Log for Sink {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// A panic is a record like others: the standard message would go to stderr and could wait there for ever.
fn log_panics(handle: LogHandle) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let backtrace = std::backtrace::Backtrace::capture();
        log::error!("{PANIC_PREFIX}{name}: {panic}; backtrace: {backtrace}");
        if name == "main" {
            handle.finish();
        }
    }));
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use log::Level;

    use super::*;
    use crate::settings::LogFormat;

    fn logged(directory: &Path, levels: &str, records: &[(Level, &str)]) -> Vec<String> {
        let path = directory.join("a.log");
        let settings = LogSettings {
            levels: levels.parse().expect("levels"),
            format: LogFormat::Text,
            file: Some(path.clone()),
            sentry_dsn: None,
        };
        let queue = Queue::start(Target::file(&path).expect("opened"), settings.format, QUEUE_LINES_MAX)
            .expect("started");
        let (_, log) = dispatch(&settings, queue.clone()).into_log();
        for (level, target) in records {
            log.log(&Record::builder().level(*level).target(target).args(format_args!("said")).build());
        }
        assert!(queue.flush(Duration::from_secs(10)));
        let text = std::fs::read_to_string(&path).expect("read");
        text.lines().filter_map(|line| line.split_once("Z ")).map(|(_, rest)| rest.to_owned()).collect()
    }

    #[test]
    fn each_module_has_its_level_and_the_longest_match_decides() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let text = logged(
            directory.path(),
            "info,adit::shard=debug,adit::shard::timer=off,adit_store=warn",
            &[
                (Level::Info, "adit::cli"),
                (Level::Debug, "adit::cli"),
                (Level::Debug, "adit::shard"),
                (Level::Debug, "adit::shard::mailbox"),
                (Level::Trace, "adit::shard"),
                (Level::Error, "adit::shard::timer"),
                (Level::Info, "adit_store"),
                (Level::Warn, "adit_store::batch"),
                (Level::Info, "adit::sharded"),
            ],
        );
        assert_eq!(
            text,
            [
                "INFO  adit::cli: said",
                "DEBUG adit::shard: said",
                "DEBUG adit::shard::mailbox: said",
                "WARN  adit_store::batch: said",
                "INFO  adit::sharded: said",
            ]
        );
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let file = Some(PathBuf::from("/nonexistent/adit.log"));
        let error =
            start(&LogSettings { file, ..LogSettings::default() }, None).expect_err("no such directory");
        assert!(
            error.to_string().starts_with("log file /nonexistent/adit.log cannot be opened: No such"),
            "{error}"
        );
    }
}
