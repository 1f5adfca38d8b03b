//! Starting and stopping: a ledger, its thread, and an outbox per shard.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{io, thread};

use crate::events::EventLog;
use crate::file::OpenError;
use crate::health::Health;
use crate::names::Names;
use crate::outbox::{Outbox, OutboxLimits, outbox};
use crate::retention::Retention;
use crate::sink::LedgerSink;
use crate::sqlite::SqliteSink;
use crate::writer::{StopSignal, Stopped, Writer};

/// How long a ledger that is dropped instead of stopped tries to write what is left.
const DROP_PATIENCE: Duration = Duration::from_secs(2);

/// What a ledger is started with.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// The file; made if there is none.
    pub path: PathBuf,
    /// What is kept, and how long.
    pub retention: Retention,
    /// Bounds of each shard's outbox.
    pub outbox: OutboxLimits,
}

impl LedgerConfig {
    /// This file, and the defaults.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), retention: Retention::default(), outbox: OutboxLimits::default() }
    }
}

/// Why a ledger did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its thread cannot be started.
    #[error("the ledger's thread cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// A running ledger.
#[derive(Debug)]
pub struct Ledger {
    thread: Option<JoinHandle<Stopped>>,
    stop: Arc<StopSignal>,
    health: Arc<Health>,
    names: Arc<Names>,
    events: EventLog,
}

impl Ledger {
    /// Opens the file, starts the thread, and makes an outbox for each of `shards` shards.
    pub fn start(config: &LedgerConfig, shards: usize) -> Result<(Self, Vec<Outbox>), StartError> {
        let names = Arc::new(Names::default());
        let sink = SqliteSink::open(&config.path, Arc::clone(&names), config.retention)?;
        Ok(Self::start_with(sink, names, config.outbox, shards)?)
    }

    /// The same with any sink. `names` are the ones that the sink looks keys up in.
    pub fn start_with(
        sink: impl LedgerSink + 'static,
        names: Arc<Names>,
        limits: OutboxLimits,
        shards: usize,
    ) -> io::Result<(Self, Vec<Outbox>)> {
        let (outboxes, mut inboxes): (_, Vec<_>) =
            (0..shards).map(|_| outbox(Arc::clone(&names), limits)).unzip();
        let for_events = OutboxLimits { rows_max: 1, tallies_max: 1, ..limits };
        let (events, inbox) = outbox(Arc::clone(&names), for_events);
        inboxes.push(inbox);
        let (health, stop) = (Arc::new(Health::default()), Arc::new(StopSignal::default()));
        let writer = Writer::new(sink, inboxes, Arc::clone(&health), Arc::clone(&stop));
        let thread = thread::Builder::new().name("adit-ledger".into()).spawn(move || writer.run())?;
        let events = EventLog::new(events);
        Ok((Self { thread: Some(thread), stop, health, names, events }, outboxes))
    }

    /// How it is.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    /// Names and keys of this process.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Takes audit events, from any thread.
    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// Writes everything that was pushed and stops. Drop all outboxes before: the ledger waits for that, as for a disk
    /// that refuses, for up to `patience`.
    pub fn stop(mut self, patience: Duration) -> Stopped {
        self.end(patience)
    }

    fn end(&mut self, patience: Duration) -> Stopped {
        let Some(thread) = self.thread.take() else { return Stopped::default() };
        self.events.close();
        self.stop.set(Instant::now() + patience);
        thread.thread().unpark();
        thread.join().unwrap_or(Stopped { died: true, ..Stopped::default() })
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.end(DROP_PATIENCE);
    }
}
