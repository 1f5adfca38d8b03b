//! A small pool that is real in what it computes: jobs of a made-up chain, every share rebuilt and hashed.
//!
//! For trying a proxy or a miner without a node: `adit practice-pool`, `adit demo`, end-to-end tests. One thread holds all
//! connections. It pays nobody, keeps nothing on disk, and does not adjust difficulty by itself. For pools that misbehave
//! see [`crate::scripted_pool`].
//!
//! Shares are refused with 20 (malformed, version bits, time), 21 (unknown job, stale), 22 (duplicate), 23 (low difficulty),
//! 24 (worker not authorised) and 25 (not subscribed). A line that is no JSON object closes its connection.

mod book;
mod chain;
mod client;
mod desk;
mod judge;
mod run;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use adit_protocol::difficulty::Target;
use adit_protocol::limits::EXTRANONCE2_SIZE_MAX;
use adit_protocol::template::TemplateError;
use mio::Waker;
use parking_lot::{Mutex, MutexGuard};
use thiserror::Error;

pub use book::{PracticePoolStats, WorkerShares};

use crate::process::{DESCRIPTORS_WANTED, raise_descriptor_limit};
use crate::scripted_pool::PoolLog;
use book::Book;
use desk::Desk;

/// How a practice pool is set up. The default serves a CPU miner.
#[derive(Clone, Debug)]
pub struct PracticePoolConfig {
    /// Where it listens. Port 0: the kernel chooses.
    pub listen: SocketAddr,
    /// Difficulty given to every miner; fractions are fine.
    pub difficulty: f64,
    /// Lowest difficulty that a miner may suggest.
    pub difficulty_min: f64,
    /// Highest difficulty that a miner may suggest.
    pub difficulty_max: f64,
    /// Bytes of extranonce2: 4 to 8 suits every miner, at most 16.
    pub extranonce2_size: usize,
    /// Version bits that miners may roll; 0 for none.
    pub version_mask: u32,
    /// Time between two jobs.
    pub job_interval: Duration,
    /// Jobs on one tip; then somebody else finds a block, and the next job is clean.
    pub jobs_per_block: u32,
    /// Network target. The default is difficulty 1: a fast CPU finds a block every few minutes.
    pub nbits: u32,
    /// Transactions in a block besides the coinbase; their logarithm is the number of branches.
    pub transactions_count: u32,
    /// First byte of every extranonce1, so that work of different pools is told apart.
    pub tag: u8,
    /// A connection that has not subscribed by then is closed.
    pub subscribe_deadline: Duration,
    /// Connections at the same time; a further one is closed at once.
    pub connections_max: usize,
    /// Submits kept with their details.
    pub submits_kept_max: usize,
}

impl Default for PracticePoolConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            difficulty: 0.001,
            difficulty_min: 1e-6,
            difficulty_max: 1e12,
            extranonce2_size: 8,
            version_mask: 0x1fff_e000,
            job_interval: Duration::from_secs(30),
            jobs_per_block: 20,
            nbits: 0x1d00_ffff,
            transactions_count: 2_000,
            tag: 0xf0,
            subscribe_deadline: Duration::from_secs(20),
            connections_max: 20_000,
            submits_kept_max: 200_000,
        }
    }
}

/// Why a practice pool does not start.
#[derive(Debug, Error)]
pub enum PracticePoolError {
    /// A difficulty is not finite and above zero, or the lowest is above the highest.
    #[error("difficulties must be finite, above zero, and the lowest at most the highest")]
    Difficulty,
    /// An extranonce2 of no or too many bytes.
    #[error("extranonce2_size must be 1 to {EXTRANONCE2_SIZE_MAX}")]
    Extranonce2Size,
    /// A job interval of zero.
    #[error("the job interval must not be zero")]
    JobInterval,
    /// No coinbase can be built.
    #[error("no job can be built: {0}")]
    Template(#[from] TemplateError),
    /// The listener or the thread.
    #[error("cannot listen on {0}: {1}")]
    Io(SocketAddr, #[source] io::Error),
}

/// What a running pool can be told to do.
#[derive(Debug)]
enum Order {
    Job,
    Block,
    Difficulty(f64),
    Disconnect,
    Stop,
}

/// A running pool. Dropped, it stops.
#[derive(Debug)]
pub struct PracticePool {
    address: SocketAddr,
    orders: Sender<Order>,
    waker: Waker,
    book: Arc<Mutex<Book>>,
    thread: Option<JoinHandle<()>>,
}

impl PracticePool {
    /// Starts a pool in a thread of its own.
    pub fn start(config: PracticePoolConfig) -> Result<Self, PracticePoolError> {
        check(&config)?;
        raise_descriptor_limit(DESCRIPTORS_WANTED);
        let listen = config.listen;
        let failed = |error| PracticePoolError::Io(listen, error);
        let listener = TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let book =
            Arc::new(Mutex::new(Book { submits_kept_max: config.submits_kept_max, ..Book::default() }));
        let desk = Desk::new(config, Arc::clone(&book), run::unix_time())?;
        let (orders, inbox) = channel();
        let (pool, waker) = run::Loop::new(listener, desk, inbox).map_err(failed)?;
        let thread = std::thread::Builder::new().name("practice-pool".into()).spawn(move || pool.run());
        Ok(Self { address, orders, waker, book, thread: Some(thread.map_err(failed)?) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for `--pool`.
    pub fn url(&self) -> String {
        format!("stratum+tcp://{}", self.address)
    }

    /// Its figures now.
    pub fn stats(&self) -> PracticePoolStats {
        self.book.lock().stats.clone()
    }

    /// Every share it judged, for the audit. The pool waits while this is held: look and let go.
    pub fn log(&self) -> impl std::ops::Deref<Target = PoolLog> + '_ {
        MutexGuard::map(self.book.lock(), |book| &mut book.log)
    }

    /// The next job for everybody now.
    pub fn new_job(&self) {
        self.tell(Order::Job);
    }

    /// Somebody else finds a block now: a clean job for everybody.
    pub fn new_block(&self) {
        self.tell(Order::Block);
    }

    /// Another difficulty for everybody, from their next job on. Ignored unless finite and above zero.
    pub fn set_difficulty(&self, difficulty: f64) {
        self.tell(Order::Difficulty(difficulty));
    }

    /// Closes all connections; miners may come back.
    pub fn disconnect_all(&self) {
        self.tell(Order::Disconnect);
    }

    /// Ends with orderly closes and gives back what it saw.
    pub fn stop(mut self) -> PoolLog {
        self.shut_down();
        std::mem::take(&mut self.book.lock().log)
    }

    fn shut_down(&mut self) {
        self.tell(Order::Stop);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the practice pool's thread panicked");
        }
    }

    /// An order to a pool that has ended is lost, and that is right.
    fn tell(&self, order: Order) {
        let _ = self.orders.send(order);
        let _ = self.waker.wake();
    }
}

impl Drop for PracticePool {
    fn drop(&mut self) {
        self.shut_down();
    }
}

fn check(config: &PracticePoolConfig) -> Result<(), PracticePoolError> {
    let difficulties = [config.difficulty, config.difficulty_min, config.difficulty_max];
    if difficulties.into_iter().any(|difficulty| Target::from_difficulty(difficulty).is_none())
        || config.difficulty_min > config.difficulty_max
    {
        return Err(PracticePoolError::Difficulty);
    }
    if !(1..=EXTRANONCE2_SIZE_MAX).contains(&config.extranonce2_size) {
        return Err(PracticePoolError::Extranonce2Size);
    }
    if config.job_interval.is_zero() {
        return Err(PracticePoolError::JobInterval);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
