//! A scripted pool in a process of its own, so that it can be killed or stopped as pools are: its connections are the
//! kernel's then, not ours.
//!
//! ```text
//!   PoolProcess ── orders, a JSON line each ──▶ stdin  │ serve ── ScriptedPool ◀── connections
//!        log    ◀── what it sees, the same ─── stdout │
//! ```
//!
//! The child writes down each thing before it answers, and what is in a pipe outlives whoever wrote it: so nothing that
//! a miner can have been told is missing from the log of a pool that was killed. A pool that is started again at its
//! address is a new one: other work, a log of its own, and job numbers from zero, so that its job ids repeat.

mod child;

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

pub use child::serve;

use crate::scripted_pool::{Habit, LogKeeper, PoolLog, Script};
use crate::wait;

/// How long a start, an end, or the freeing of an address may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// The variable that is set for the process of a pool and for no other.
pub const ENVIRONMENT: &str = "ADIT_LOADTEST_POOL_PROCESS";

/// A pool's looks, as far as pools in processes need them; see [`Script`] for what they mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolLooks {
    /// What scenarios call it.
    pub name: String,
    /// Time between two jobs; none of its own if zero.
    pub job_every_ms: u64,
    /// As it goes over the wire.
    pub difficulty: String,
    /// Difficulties instead of that one, dealt out to connections in turn.
    pub difficulties: Vec<String>,
    /// Bytes of extranonce2.
    pub extranonce2_bytes: usize,
    /// The mask granted; empty for none.
    pub version_mask: String,
    /// How it behaves when it starts.
    pub habit: Habit,
}

impl Default for PoolLooks {
    /// Every hash does.
    fn default() -> Self {
        Self {
            name: "pool".into(),
            job_every_ms: 5_000,
            difficulty: "0.0000000001".into(),
            difficulties: Vec::new(),
            extranonce2_bytes: 8,
            version_mask: "1fffe000".into(),
            habit: Habit::Good,
        }
    }
}

impl PoolLooks {
    /// The script of a pool that looks so, without its habit.
    pub(crate) fn script(&self, tag: &str) -> Script {
        Script {
            tag: tag.into(),
            extranonce2_size: self.extranonce2_bytes,
            difficulty: self.difficulty.clone(),
            difficulties: self.difficulties.clone(),
            version_mask: self.version_mask.clone(),
            job_every: (self.job_every_ms > 0).then(|| Duration::from_millis(self.job_every_ms)),
            ..Script::default()
        }
    }
}

/// How to start the process of a pool: a program that calls [`serve`].
#[derive(Clone, Debug)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// The first line to a child.
#[derive(Debug, Serialize, Deserialize)]
struct Start {
    address: SocketAddr,
    tag: String,
    looks: PoolLooks,
}

/// The lines after it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Order {
    Habit(Habit),
    Job,
    Stop,
}

/// The first line from a child: where it listens. What it sees follows.
#[derive(Debug, Serialize, Deserialize)]
struct Listening {
    listening: SocketAddr,
}

/// A pool that lives, or lived, in processes of its own. Dropped, the present one is killed.
#[derive(Debug)]
pub struct PoolProcess {
    launcher: Launcher,
    looks: PoolLooks,
    number: u8,
    address: SocketAddr,
    life: Option<Life>,
    /// Logs of the lives before.
    past: Vec<PoolLog>,
}

/// One process.
#[derive(Debug)]
struct Life {
    child: Child,
    orders: ChildStdin,
    log: Arc<Mutex<PoolLog>>,
    reader: JoinHandle<()>,
}

impl PoolProcess {
    /// Starts a pool on a loopback port that the kernel chooses. `number` tells the pools of one test apart.
    pub fn start(launcher: &Launcher, number: u8, looks: PoolLooks) -> io::Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (launcher, past) = (launcher.clone(), Vec::new());
        let mut pool = Self { launcher, looks, number, address, life: None, past };
        pool.start_again()?;
        Ok(pool)
    }

    /// Where it listens while it lives.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for `--pool`.
    pub fn url(&self) -> String {
        format!("stratum+tcp://{}", self.address)
    }

    /// Whether there is a process, frozen or not.
    pub fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    /// The tag of its present work, or of the last.
    pub fn tag(&self) -> String {
        tag(self.number, self.past.len().saturating_sub(usize::from(self.life.is_none())))
    }

    /// What its present process has seen so far, and told us: a little less than its miners know. Nothing if there is none.
    pub fn log(&self) -> Option<MutexGuard<'_, PoolLog>> {
        self.life.as_ref().map(|life| life.log.lock())
    }

    /// Starts it again at its address, if it does not live.
    pub fn start_again(&mut self) -> io::Result<()> {
        if self.life.is_some() {
            return Ok(());
        }
        let start = Start {
            address: self.address,
            tag: tag(self.number, self.past.len()),
            looks: self.looks.clone(),
        };
        // The kernel may take a moment to give back what the process before it held.
        let mut failed = io::Error::other("no start was tried");
        let begun = wait::for_some(PATIENCE, || {
            Life::begin(&self.launcher, &start).map_err(|error| failed = error).ok()
        });
        let (life, address) = begun.ok_or(failed)?;
        self.address = address;
        self.life = Some(life);
        Ok(())
    }

    /// Kills the process: no goodbye, and the kernel resets or closes its connections.
    pub fn kill(&mut self) {
        self.past.extend(self.life.take().map(Life::kill));
    }

    /// Stops the process where it stands: the kernel still accepts and acknowledges for it.
    pub fn freeze(&self) -> io::Result<()> {
        self.life.as_ref().map_or(Ok(()), |life| life.freeze(true))
    }

    /// Lets it go on.
    pub fn thaw(&self) -> io::Result<()> {
        self.life.as_ref().map_or(Ok(()), |life| life.freeze(false))
    }

    /// Behaves like this from now on, until it is started again.
    pub fn take_habit(&mut self, habit: Habit) {
        self.tell(Order::Habit(habit));
    }

    /// Gives every subscribed connection a new job now.
    pub fn new_job(&mut self) {
        self.tell(Order::Job);
    }

    /// Ends in order; what all its lives saw.
    pub fn stop(mut self) -> Vec<PoolLog> {
        self.past.extend(self.life.take().map(Life::stop));
        std::mem::take(&mut self.past)
    }

    fn tell(&mut self, order: Order) {
        if let Some(life) = &mut self.life {
            life.tell(order);
        }
    }
}

impl Drop for PoolProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Two bytes: which pool, and which of its lives.
fn tag(number: u8, life: usize) -> String {
    format!("{number:02x}{:02x}", life & 0xff)
}

impl Life {
    fn begin(launcher: &Launcher, start: &Start) -> io::Result<(Self, SocketAddr)> {
        let mut child = Command::new(&launcher.program)
            .args(&launcher.arguments)
            .env(ENVIRONMENT, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(mut orders), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("pipes were asked for"));
        };
        let mut stdout = BufReader::new(stdout);
        let listening = say(&mut orders, start).and_then(|()| read_listening(&mut stdout));
        let address = listening.inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })?;
        let log = Arc::new(Mutex::new(PoolLog::default()));
        let keeper = LogKeeper::new(Arc::clone(&log));
        let reader =
            std::thread::Builder::new().name("pool-log".into()).spawn(move || keep(stdout, keeper))?;
        Ok((Self { child, orders, log, reader }, address))
    }

    fn freeze(&self, frozen: bool) -> io::Result<()> {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(&self.child), signal)?;
        // The signal is sent, and each thread stops when it next runs.
        if frozen && !wait::until(PATIENCE, || all_stopped(self.child.id()).unwrap_or(false)) {
            return Err(io::Error::other("the process of a pool does not stop"));
        }
        Ok(())
    }

    fn tell(&mut self, order: Order) {
        let _ = say(&mut self.orders, &order); // an order to a pool that has ended is lost, and that is right
    }

    fn stop(mut self) -> PoolLog {
        let _ = self.freeze(false);
        self.tell(Order::Stop);
        if !wait::until(PATIENCE, || !matches!(self.child.try_wait(), Ok(None))) {
            log::error!("a pool's process did not end when it was told");
        }
        self.kill()
    }

    fn kill(mut self) -> PoolLog {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if self.reader.join().is_err() {
            log::error!("the thread that keeps a pool's log panicked");
        }
        std::mem::take(&mut *self.log.lock())
    }
}

/// Whether every thread of a process stands still by a signal.
fn all_stopped(pid: u32) -> io::Result<bool> {
    for thread in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let stat = std::fs::read_to_string(thread?.path().join("stat"))?;
        // The state follows the name, which stands in parentheses and may hold anything.
        if !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Sends a line to a child.
fn say(orders: &mut ChildStdin, what: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    orders.write_all(&line)
}

/// Where a child listens. A program around it may say something of its own first.
fn read_listening(stdout: &mut BufReader<ChildStdout>) -> io::Result<SocketAddr> {
    for line in stdout.lines() {
        if let Ok(Listening { listening }) = serde_json::from_str(&line?) {
            return Ok(listening);
        }
    }
    Err(io::Error::other("the process of a pool ended before it listened"))
}

/// Takes in what a child sees, until it ends.
fn keep(stdout: BufReader<ChildStdout>, mut keeper: LogKeeper) {
    for line in stdout.split(b'\n').map_while(Result::ok) {
        keeper.take(&line);
    }
    keeper.end();
}

#[cfg(test)]
mod tests;
