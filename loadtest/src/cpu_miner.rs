//! A CPU miner that speaks Stratum and hashes for real. For trying a proxy or a pool; it will find no block worth anything.
//!
//! One thread holds the connection, others hash. It comes back after a lost connection, with growing pauses. For thousands of
//! miners that only seem to hash see [`crate::sim_miner`].

mod crew;
mod hasher;
mod report;
mod run;
mod session;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Poll, Waker};
use parking_lot::Mutex;

pub use report::MinerReport;

use crew::{Crew, Found};

/// What the miner calls itself.
const USER_AGENT: &str = concat!("adit-cpu-miner/", env!("CARGO_PKG_VERSION"));

/// How a CPU miner is set up.
#[derive(Clone, Debug)]
pub struct CpuMinerConfig {
    /// `host:port`, also with `stratum+tcp://` before it. Looked up again at each connect.
    pub pool: String,
    /// The worker name.
    pub user: String,
    /// Its password; `x` by custom.
    pub password: String,
    /// How it names itself at subscribe.
    pub user_agent: String,
    /// Hashing threads.
    pub threads_count: usize,
    /// Hashes per second of all threads together; `None` for as many as they can.
    pub hashes_per_second_max: Option<f64>,
    /// A difficulty to ask the pool for.
    pub suggest_difficulty: Option<f64>,
    /// How long [`CpuMiner::stop`] waits for the answers to shares on their way.
    pub settle: Duration,
    /// First pause before it connects again; doubles up to [`CpuMinerConfig::backoff_max`].
    pub backoff_min: Duration,
    /// Longest pause before it connects again.
    pub backoff_max: Duration,
    /// Submits kept for the audit.
    pub submits_kept_max: usize,
}

impl CpuMinerConfig {
    /// One thread at full speed.
    pub fn new(pool: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            pool: pool.into(),
            user: user.into(),
            password: "x".into(),
            user_agent: USER_AGENT.into(),
            threads_count: 1,
            hashes_per_second_max: None,
            suggest_difficulty: None,
            settle: Duration::from_secs(5),
            backoff_min: Duration::from_millis(500),
            backoff_max: Duration::from_secs(30),
            submits_kept_max: 200_000,
        }
    }
}

/// What the connection's thread is woken for.
#[derive(Debug)]
enum Note {
    Found(Found),
    Stop,
}

/// A running miner. Dropped, it stops.
#[derive(Debug)]
pub struct CpuMiner {
    notes: Sender<Note>,
    waker: Arc<Waker>,
    crew: Arc<Crew>,
    report: Arc<Mutex<MinerReport>>,
    thread: Option<JoinHandle<()>>,
}

impl CpuMiner {
    /// Starts a miner in threads of its own. That the pool cannot be reached is no error: it tries again.
    pub fn start(config: CpuMinerConfig) -> io::Result<Self> {
        let is_rate = |rate: f64| rate.is_finite() && rate > 0.0;
        if config.threads_count == 0 || !config.hashes_per_second_max.is_none_or(is_rate) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a miner needs one hashing thread or more, and a hash rate above zero",
            ));
        }
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), run::WAKER)?);
        let (notes, inbox) = channel();
        let found = {
            let (notes, waker) = (notes.clone(), Arc::clone(&waker));
            move |found| {
                // A share found after the end is lost, and that is right.
                let _ = notes.send(Note::Found(found));
                let _ = waker.wake();
            }
        };
        let crew = Arc::new(Crew::start(config.threads_count, config.hashes_per_second_max, found)?);
        let report = Arc::new(Mutex::new(MinerReport::new(config.submits_kept_max)));
        let thread = {
            let connection = run::Loop::new(poll, config, inbox, Arc::clone(&crew), Arc::clone(&report));
            std::thread::Builder::new().name("cpu-miner".into()).spawn(move || connection.run())?
        };
        Ok(Self { notes, waker, crew, report, thread: Some(thread) })
    }

    /// Its figures now.
    pub fn report(&self) -> MinerReport {
        let mut report = self.report.lock().clone();
        report.hashes = self.crew.hashes();
        report
    }

    /// Looks at the figures without copying them; `hashes` is not filled in. The miner waits meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&MinerReport) -> T) -> T {
        look(&self.report.lock())
    }

    /// Hashes made so far.
    pub fn hashes(&self) -> u64 {
        self.crew.hashes()
    }

    /// Stops hashing, waits for the answers on their way, closes, and gives back the final figures.
    pub fn stop(mut self) -> MinerReport {
        self.shut_down();
        self.report()
    }

    fn shut_down(&mut self) {
        let _ = self.notes.send(Note::Stop);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the miner's thread panicked");
        }
    }
}

impl Drop for CpuMiner {
    fn drop(&mut self) {
        self.shut_down();
    }
}

#[cfg(test)]
mod tests;
