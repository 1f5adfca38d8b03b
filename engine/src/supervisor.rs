//! Starts the shards, watches over them, and stops them. Used by `adit run`, and in-process by `adit demo`.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use adit_admin::Events;
use adit_store::ledger::{Ledger, LedgerConfig};
use crossbeam::channel::{self, Receiver, RecvTimeoutError, Sender};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use hdrhistogram::Histogram;
use thiserror::Error;

use crate::admission::Admission;
use crate::affinity;
use crate::clock::Clock;
use crate::control::drill::Drills;
use crate::counters::{self, Counter, Snapshot};
use crate::figures::{Figures, ShardFigures};
use crate::history::Memory;
use crate::latency::Recorder;
use crate::listen::{self, ListenError};
use crate::news::desk::Desk;
use crate::news::herald::Herald;
use crate::news::{Bell, Line};
use crate::pools::catalogue::CatalogueError;
use crate::pools::control::{PoolControl, PoolsPublished};
use crate::pools::counters::pool_counters;
use crate::pools::issued::Issued;
use crate::pools::places::Places;
use crate::pools::reports::Reports;
use crate::pools::reserved::Reserved;
use crate::ring::eventfd::EventFd;
use crate::settings::Settings;
use crate::shard::books::Books;
use crate::shard::kept::KeptUpstream;
use crate::shard::mailbox::Mailbox;
use crate::shard::{self, Mail, Seed};
use crate::vitals;
use crate::workers::Registry;

/// Memory that a glommio executor sets aside for file I/O, which it does not do here.
const EXECUTOR_IO_BYTES: usize = 64 * 1024;
/// Operations of glommio's own ring: the park eventfd and little else.
const EXECUTOR_RING_DEPTH: usize = 64;
/// Shards that can be started; far beyond any machine's cores.
const SHARDS_COUNT_MAX: usize = 1024;
/// How long to wait for what the ledger remembers before the first miner may come.
const HISTORY_PATIENCE: Duration = Duration::from_secs(3);
/// How long the ledger may take for its last rows when Adit stops.
const LEDGER_PATIENCE: Duration = Duration::from_secs(10);
/// How often the spread of connections is logged while it changes.
const SPREAD_LOG_EVERY: Duration = Duration::from_secs(60);

/// Why Adit did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The pools.
    #[error(transparent)]
    Pools(#[from] CatalogueError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The ring of a shard; [`crate::startup`] would have found what is generally in its way.
    #[error("shard {0} has no io_uring: {1}")]
    Ring(usize, #[source] io::Error),
    /// The executor of a shard.
    #[error("shard {0} did not start: {1}")]
    Executor(usize, String),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] adit_store::ledger::StartError),
    /// Anything else that the system refused.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// Starts what [`Settings`] describe.
pub struct Supervisor;

/// A running Adit. Dropping it stops it at once, without waiting for it; [`Running::stop`] and [`Running::join`] do better.
#[derive(Debug)]
pub struct Running {
    shards: Vec<Shard>,
    listen_addresses: Vec<SocketAddr>,
    clock: Clock,
    figures: Figures,
    ledger: Option<Ledger>,
    /// Tells operators what shards have to tell.
    herald: Option<Herald>,
    /// Its end stops the thread that logs the spread, and the control of pools.
    _watch: Sender<()>,
}

#[derive(Debug)]
struct Shard {
    mailbox: Arc<Mailbox<Mail>>,
    thread: Option<ExecutorJoinHandle<io::Result<()>>>,
    line: Arc<Line>,
}

impl Supervisor {
    /// Binds the listeners, starts the shards, and returns when all of them serve.
    pub fn start(settings: Settings) -> Result<Running, StartError> {
        let cores = affinity::cores();
        let shards_count = settings.shards.map_or(cores.len(), usize::from).clamp(1, SHARDS_COUNT_MAX);
        let (listen_addresses, listeners) = bind(&settings.listeners, shards_count)?;

        let settings = Arc::new(settings);
        let clock = Clock::start();
        let (ledger, books) = open_ledger(&settings, shards_count, clock)?;
        let names = ledger.as_ref().map(|ledger| ledger.names().clone()).unwrap_or_default();
        let workers = Registry::new(names);
        let events = Events::default();
        let (control, reports) = PoolControl::new(settings.clone(), workers.clone(), clock, events.clone())?;
        let pools = control.published().clone();
        let memory = recall(&settings, &workers, clock)?;
        let admission = Admission::new(&settings.limits);
        let bell = Arc::default();
        let common = Common {
            settings,
            workers,
            clock,
            admission,
            pools,
            reserved: Reserved::default(),
            issued: Issued::default(),
            places: Places::default(),
            reports,
            events,
            bell,
        };
        let (watch, stopped) = channel::bounded(0);
        let mut running = Running {
            shards: Vec::new(),
            listen_addresses,
            clock: common.clock,
            figures: Figures {
                shards: Vec::new(),
                settings: common.settings.clone(),
                admission: common.admission.clone(),
                pools: common.pools.clone(),
                ledger: ledger.as_ref().map(|ledger| ledger.health().clone()),
                audit: ledger.as_ref().map(|ledger| ledger.events().clone()),
                stopping: Arc::default(),
                events: common.events.clone(),
                drills: Drills::default(),
                clock,
                registry: common.workers.clone(),
                memory,
                answers: Arc::default(),
            },
            ledger,
            herald: None,
            _watch: watch,
        };
        for (number, (listeners, books)) in listeners.into_iter().zip(books).enumerate() {
            // More shards than cores share them.
            let core = cores.get(number % cores.len()).copied().filter(|_| common.settings.pin);
            let (shard, figures) = Shard::start(number, core, listeners, books, &common)?;
            running.shards.push(shard);
            running.figures.shards.push(figures);
        }
        let lines = running.shards.iter().map(|shard| shard.line.clone()).collect();
        let names = common.workers.keys().clone();
        running.herald = Some(Herald::start(lines, common.bell.clone(), names, common.events.clone())?);
        let told = running.figures.shards.iter();
        let told = told.map(|shard| (shard.mailbox.clone(), shard.pool_counters.clone())).collect();
        control.start(told, running.figures.audit.clone(), stopped.clone())?;
        watch_spread(running.figures.clone(), stopped)?;
        running.figures.audit("start", "adit", "", concat!("version ", env!("CARGO_PKG_VERSION")));
        log::info!("{shards_count} shards listen on {:?}", running.listen_addresses);
        Ok(running)
    }
}

/// What all shards get a copy of.
struct Common {
    settings: Arc<Settings>,
    workers: Arc<Registry>,
    clock: Clock,
    admission: Admission,
    pools: PoolsPublished,
    reserved: Reserved<KeptUpstream>,
    issued: Issued,
    places: Places,
    reports: Reports,
    events: Events,
    bell: Arc<Bell>,
}

impl Shard {
    /// Starts one shard and waits until it serves or has said why not.
    fn start(
        number: usize,
        core: Option<usize>,
        listeners: Vec<TcpListener>,
        books: Option<Books>,
        common: &Common,
    ) -> Result<(Self, ShardFigures), StartError> {
        let (ring_eventfd, park_eventfd) = (Arc::new(EventFd::new()?), Arc::new(EventFd::new()?));
        let mailbox = Arc::new(Mailbox::new(ring_eventfd.clone(), park_eventfd.clone()));
        let (writer, counters) = counters::counters();
        let (pool_writer, pool_counters) = pool_counters();
        let (recorder, latency) = Recorder::new();
        let (vitals_writer, vitals) = vitals::vitals();
        let line = Line::new(number as u32, common.bell.clone());
        let news = Desk::new(line.clone(), common.events.clone(), common.clock);
        let seed = Seed {
            settings: common.settings.clone(),
            workers: common.workers.clone(),
            clock: common.clock,
            listeners,
            ring_eventfd,
            park_eventfd,
            mailbox: mailbox.clone(),
            counters: writer,
            latency: recorder,
            admission: common.admission.clone(),
            pools: common.pools.view(),
            reserved: common.reserved.clone(),
            issued: common.issued.clone(),
            places: common.places.clone(),
            reports: common.reports.clone(),
            pool_counters: pool_writer,
            books,
            vitals: vitals_writer,
            news,
        };
        let thread = Some(spawn(number, core, seed)?);
        let mailbox_seen = Arc::downgrade(&mailbox);
        let figures = ShardFigures { core, counters, pool_counters, latency, vitals, mailbox: mailbox_seen };
        Ok((Self { mailbox, thread, line }, figures))
    }
}

impl Running {
    /// Where miners are awaited, ports chosen by the kernel filled in.
    pub fn listen_addrs(&self) -> &[SocketAddr] {
        &self.listen_addresses
    }

    /// The shards' mailboxes.
    #[cfg(test)]
    pub(crate) fn mailboxes(&self) -> Vec<Arc<Mailbox<Mail>>> {
        self.shards.iter().map(|shard| shard.mailbox.clone()).collect()
    }

    /// The reading ends of what shards publish.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The counters, summed over shards.
    pub fn counters(&self) -> Snapshot {
        self.figures.counters()
    }

    /// The counters of each shard.
    pub fn counters_by_shard(&self) -> Vec<Snapshot> {
        self.figures.counters_by_shard()
    }

    /// Submit to verdict in µs, over all shards; up to a quarter of a second old.
    pub fn latency(&self) -> Histogram<u64> {
        self.figures.latency()
    }

    /// Miners' connections that hold a descriptor, those on their way out included.
    pub fn connections_open(&self) -> usize {
        self.figures.admission.open()
    }

    /// Stops: no new connections, open requests settle for `deadline`, then everything closes. A second call closes
    /// everything at once.
    pub fn stop(&self, deadline: Duration) {
        self.figures.stopping.store(true, Ordering::Relaxed);
        let until = self.clock.now() + deadline.as_micros() as u64;
        self.tell(|| Mail::Stop { until });
    }

    /// Closes everything at once.
    pub fn stop_now(&self) {
        self.figures.stopping.store(true, Ordering::Relaxed);
        self.tell(|| Mail::StopNow);
    }

    /// Waits until all shards have ended, which they do after [`Running::stop`], and the ledger has everything. An error is
    /// that of a shard that could not go on.
    pub fn join(mut self) -> io::Result<()> {
        self.wait()
    }

    /// Whether a shard has ended. One that was not told to could not go on, and wants a restart.
    pub fn has_ended(&self) -> bool {
        self.figures.shards.iter().any(|shard| !shard.is_alive())
    }

    fn wait(&mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        for thread in self.shards.iter_mut().filter_map(|shard| shard.thread.take()) {
            let ended = thread.join().unwrap_or_else(|error| Err(io::Error::other(error.to_string())));
            outcome = outcome.and(ended);
        }
        log_spread(&self.figures, &mut Vec::new());
        self.figures.drills.stop();
        self.figures.audit("stop", "adit", "", "");
        if let Some(stopped) = self.ledger.take().map(|ledger| ledger.stop(LEDGER_PATIENCE))
            && !stopped.is_clean()
        {
            log::error!("the ledger lacks what it could not write in time: {stopped:?}");
        }
        outcome
    }

    fn tell(&self, mail: impl Fn() -> Mail) {
        for (number, shard) in self.shards.iter().enumerate() {
            if shard.mailbox.send(mail()).is_err() {
                log::error!("shard {number} does not read its mail");
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tell(|| Mail::StopNow);
    }
}

/// The listeners of each shard, and the addresses they have.
fn bind(
    addresses: &[SocketAddr],
    shards_count: usize,
) -> Result<(Vec<SocketAddr>, Vec<Vec<TcpListener>>), StartError> {
    let mut bound = Vec::new();
    let mut by_shard: Vec<Vec<_>> = (0..shards_count).map(|_| Vec::new()).collect();
    for &address in addresses {
        let listeners = listen::listen(address, shards_count)?;
        bound.extend(listeners.first().map(TcpListener::local_addr).transpose()?);
        for (shard, listener) in by_shard.iter_mut().zip(listeners) {
            shard.push(listener);
        }
    }
    Ok((bound, by_shard))
}

/// Starts the ledger, if one is wanted, and opens each shard's books in it.
fn open_ledger(
    settings: &Settings,
    shards_count: usize,
    clock: Clock,
) -> Result<(Option<Ledger>, Vec<Option<Books>>), StartError> {
    let Some(path) = &settings.ledger else { return Ok((None, (0..shards_count).map(|_| None).collect())) };
    let (ledger, outboxes) = Ledger::start(&LedgerConfig::new(path), shards_count)?;
    let books = outboxes.into_iter().enumerate();
    let books = books.map(|(shard, outbox)| Some(Books::new(outbox, clock, shard)));
    Ok((Some(ledger), books.collect()))
}

/// Remembers what was before this start, if a ledger is kept.
fn recall(settings: &Settings, workers: &Arc<Registry>, clock: Clock) -> io::Result<Memory> {
    let Some(path) = &settings.ledger else { return Ok(Memory::default()) };
    Memory::recall(path, workers.clone(), clock.wall_us(clock.now()), HISTORY_PATIENCE)
}

/// Makes the shard's thread and waits for its news.
fn spawn(
    number: usize,
    core: Option<usize>,
    seed: Seed,
) -> Result<ExecutorJoinHandle<io::Result<()>>, StartError> {
    let placement = core.map_or(Placement::Unbound, Placement::Fixed);
    let (ready, is_ready) = channel::bounded(1);
    let thread = LocalExecutorBuilder::new(placement)
        .name(&format!("adit-shard-{number}"))
        .io_memory(EXECUTOR_IO_BYTES)
        .ring_depth(EXECUTOR_RING_DEPTH)
        .spawn(move || {
            let ready = move |served| {
                // The receiver waits below until this is sent or dropped.
                let _ = ready.send(served);
            };
            async move {
                let ended = shard::run(seed, ready).await;
                if let Err(error) = &ended {
                    log::error!("shard {number} cannot go on: {error}");
                }
                ended
            }
        })
        .map_err(|error| StartError::Executor(number, error.to_string()))?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(error)) => Err(StartError::Ring(number, error)),
        // It ended before it could say anything: spawn succeeds even when the executor then fails to start.
        Err(_) => Err(StartError::Executor(
            number,
            match thread.join() {
                Ok(_) => "it ended at once".into(),
                Err(error) => error.to_string(),
            },
        )),
    }
}

/// Logs how connections spread, every so often until the other end of `stopped` is dropped.
fn watch_spread(figures: Figures, stopped: Receiver<()>) -> io::Result<()> {
    let watch = move || {
        let mut last = Vec::new();
        while stopped.recv_timeout(SPREAD_LOG_EVERY) == Err(RecvTimeoutError::Timeout) {
            log_spread(&figures, &mut last);
        }
    };
    std::thread::Builder::new().name("adit-watch".into()).spawn(watch).map(drop)
}

/// Logs accepted and open connections per shard, if they changed.
fn log_spread(figures: &Figures, last: &mut Vec<(u64, u64)>) {
    let snapshots = figures.counters_by_shard();
    let spread: Vec<_> = snapshots.iter().map(|shard| (shard.get(Counter::Accepted), shard.open())).collect();
    if spread != *last && spread.iter().any(|&(accepted, _)| accepted > 0) {
        let accepted: Vec<_> = spread.iter().map(|&(accepted, _)| accepted).collect();
        let open: Vec<_> = spread.iter().map(|&(_, open)| open).collect();
        log::info!("connections by shard: {accepted:?} accepted, {open:?} open");
    }
    *last = spread;
}
