//! A pool that follows a script, and writes down what it saw.
//!
//! One thread holds as many connections as the process may have descriptors. What it does about each request is data
//! ([`Script`]); what it saw ([`PoolLog`]) is the pool's half of the audit. Shares are judged by their seal
//! ([`crate::share`]), and where the difficulty asks for work, by hashing ([`crate::proof`]). For a pool that a test drives by hand, line
//! by line, see [`crate::peer`]; for one that can be killed or stopped as a process, [`crate::pool_process`].

mod answers;
mod connection;
mod habit;
pub(crate) mod jobs;
mod run;
mod script;
mod seen;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use mio::Waker;
use parking_lot::{Mutex, MutexGuard};
use socket2::SockRef;

use crate::process::{DESCRIPTORS_WANTED, raise_descriptor_limit};

pub use habit::Habit;
pub use script::{Act, FirstJob, Rule, Script};
use seen::Book;
pub(crate) use seen::LogKeeper;
pub use seen::{Fit, PoolLog, SUBMITS_KEPT_MAX, SubmitSeen};

/// Connections that the kernel keeps until the pool accepts them.
const LISTEN_QUEUE: i32 = 65_535;

/// What a running pool can be told to do.
#[derive(Debug)]
enum Order {
    Job,
    Acts(Vec<Act>),
    Script(Box<Script>),
    Freeze(bool),
    Stop { reset: bool },
}

/// A running pool. Dropped, it stops with orderly closes.
#[derive(Debug)]
pub struct ScriptedPool {
    address: SocketAddr,
    orders: Sender<Order>,
    waker: Waker,
    log: Arc<Mutex<PoolLog>>,
    thread: Option<JoinHandle<()>>,
}

impl ScriptedPool {
    /// Starts a pool on a loopback port that the kernel chooses.
    pub fn start(script: Script) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), script)
    }

    /// Starts a pool at an address: where another one has stopped, for example.
    pub fn start_at(address: SocketAddr, script: Script) -> io::Result<Self> {
        Self::begin(address, script, |_| Ok(None))
    }

    /// Starts a pool that writes all it sees to a journal as well, each thing before any answer to it goes out.
    pub(crate) fn start_with_journal(
        address: SocketAddr,
        script: Script,
        journal: impl FnOnce(SocketAddr) -> io::Result<Box<dyn Write + Send>>,
    ) -> io::Result<Self> {
        Self::begin(address, script, |address| journal(address).map(Some))
    }

    fn begin(
        address: SocketAddr,
        script: Script,
        journal: impl FnOnce(SocketAddr) -> io::Result<Option<Box<dyn Write + Send>>>,
    ) -> io::Result<Self> {
        raise_descriptor_limit(DESCRIPTORS_WANTED);
        let listener = TcpListener::bind(address)?;
        // The standard library asks for a queue of 128: a farm that comes at once would wait a second for its next try.
        SockRef::from(&listener).listen(LISTEN_QUEUE)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (orders, inbox) = channel();
        let log = Arc::new(Mutex::new(PoolLog::default()));
        let book = Book::new(Arc::clone(&log), journal(address)?);
        let (pool, waker) = run::Loop::new(listener, script, inbox, book)?;
        let thread = std::thread::Builder::new().name("scripted-pool".into()).spawn(move || pool.run())?;
        Ok(Self { address, orders, waker, log, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for `--pool`.
    pub fn url(&self) -> String {
        format!("stratum+tcp://{}", self.address)
    }

    /// What it has seen so far. The pool waits while this is held: look and let go.
    pub fn log(&self) -> MutexGuard<'_, PoolLog> {
        self.log.lock()
    }

    /// Gives every subscribed connection a new job now.
    pub fn new_job(&self) {
        self.tell(Order::Job);
    }

    /// Does these acts on every connection.
    pub fn act(&self, acts: impl Into<Vec<Act>>) {
        self.tell(Order::Acts(acts.into()));
    }

    /// Behaves like this from now on, toward everybody, with what else `script` says.
    pub fn take_habit(&self, habit: Habit, script: &Script) {
        self.follow(habit.script(script.clone()));
        self.act(habit.at_once());
    }

    /// Follows another script from now on. Tag and extranonce sizes count for new connections only.
    pub fn follow(&self, script: Script) {
        self.tell(Order::Script(Box::new(script)));
    }

    /// Stands still like a stopped process: sockets stay open, nothing is accepted, read or written. False thaws it.
    pub fn freeze(&self, frozen: bool) {
        self.tell(Order::Freeze(frozen));
    }

    /// Ends with orderly closes and gives back what it saw.
    pub fn stop(self) -> PoolLog {
        self.end(false)
    }

    /// Ends as a killed process with unread data does: every connection is reset.
    pub fn kill(self) -> PoolLog {
        self.end(true)
    }

    fn end(mut self, reset: bool) -> PoolLog {
        self.shut_down(reset);
        std::mem::take(&mut *self.log.lock())
    }

    fn shut_down(&mut self, reset: bool) {
        self.tell(Order::Stop { reset });
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the scripted pool's thread panicked");
        }
    }

    /// An order to a pool that has ended is lost, and that is right.
    fn tell(&self, order: Order) {
        let _ = self.orders.send(order);
        let _ = self.waker.wake();
    }
}

impl Drop for ScriptedPool {
    fn drop(&mut self) {
        self.shut_down(false);
    }
}

#[cfg(test)]
mod tests;
