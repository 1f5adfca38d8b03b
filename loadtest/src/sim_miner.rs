//! Simulated miners, many in one thread: they open sessions as miners of the field do, submit sealed shares at a pace,
//! and write down what became of each.
//!
//! At a fixed rate every submit is stamped with the time it was *due*, so that a proxy that stalls is charged for the
//! shares that waited meanwhile (coordinated omission). They hash as much as the difficulty asks for, which scripted pools
//! keep low; for work worth the name see the CPU miner.

mod crew;
mod miner;
mod pace;
mod report;
mod session;
mod style;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::Waker;

pub use report::{Answer, Arrival, FleetReport, Progress, SUBMITS_KEPT_MAX, SubmitMade};
pub use style::{CLIENT_HELLO, STYLES, Style};

use crate::process::{DESCRIPTORS_WANTED, raise_descriptor_limit};
use crate::wait;

/// How often a fleet submits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Not at all.
    Idle,
    /// So many submits per second of the whole fleet, whatever the answers do.
    PerSecond(f64),
    /// So many submits of each miner wait for their answer at any time.
    InFlight(usize),
}

/// What a fleet is and does.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// Where it connects.
    pub address: SocketAddr,
    /// How many miners.
    pub miners: usize,
    /// Their styles, dealt out in turn.
    pub styles: Vec<Style>,
    /// How often they submit.
    pub pace: Pace,
    /// Worker names are this, then the miner's number.
    pub name_prefix: String,
    /// How long they are, dealt out in turn: a name that is shorter is filled up. As they are if there is none.
    pub name_bytes: Vec<usize>,
    /// So many miners, the last ones, read slowly once they have a job. Their latencies are not counted.
    pub slow_readers: usize,
    /// How slowly: bytes per second of each.
    pub slow_bytes_per_second: u32,
    /// New connections per second of the whole fleet.
    pub connects_per_second: f64,
    /// How long after a close a miner connects again; never if `None`.
    pub reconnect_after: Option<Duration>,
    /// So much later at most, a time of its own for each miner and close.
    pub reconnect_jitter: Duration,
    /// Miners that leave of their own accord, per second of the whole fleet; they come back as if they had been closed.
    pub leaves_per_second: f64,
    /// How long a handshake may take before it counts as failed.
    pub handshake_timeout: Duration,
    /// The fleet stops submitting after so many.
    pub submits_max: usize,
    /// Bytes per write; zero for as many as the kernel takes.
    pub chunk_bytes: usize,
    /// Threads that share the miners.
    pub threads: usize,
}

impl FleetConfig {
    /// So many miners of every style at this address, connecting at once, submitting nothing.
    pub fn new(address: SocketAddr, miners: usize) -> Self {
        Self {
            address,
            miners,
            styles: STYLES.to_vec(),
            pace: Pace::Idle,
            name_prefix: "sim.rig".into(),
            name_bytes: Vec::new(),
            slow_readers: 0,
            slow_bytes_per_second: 0,
            connects_per_second: 10_000.0,
            reconnect_after: None,
            reconnect_jitter: Duration::ZERO,
            leaves_per_second: 0.0,
            handshake_timeout: Duration::from_secs(60),
            submits_max: SUBMITS_KEPT_MAX,
            chunk_bytes: 0,
            threads: 1,
        }
    }
}

impl FleetConfig {
    /// The worker name of a miner, filled up to its length.
    fn name_of(&self, number: usize) -> String {
        let name = format!("{}{number}", self.name_prefix);
        let length = self.name_bytes.get(number % self.name_bytes.len().max(1)).copied().unwrap_or_default();
        format!("{name:x<length$}")
    }
}

/// What a running fleet can be told to do.
#[derive(Debug)]
enum Order {
    Finish {
        grace: Duration,
    },
    /// This part of the miners that mine lose their connections.
    Storm {
        part: f64,
    },
}

/// A running fleet. Dropped, it closes its connections.
#[derive(Debug)]
pub struct Fleet {
    miners: u64,
    progress: Arc<Progress>,
    crews: Vec<Crew>,
}

#[derive(Debug)]
struct Crew {
    orders: Sender<Order>,
    waker: Waker,
    thread: Option<JoinHandle<FleetReport>>,
}

impl Fleet {
    /// Starts the miners; they connect from now on.
    pub fn start(config: &FleetConfig) -> io::Result<Self> {
        raise_descriptor_limit(DESCRIPTORS_WANTED);
        let progress = Arc::new(Progress::default());
        if let Pace::PerSecond(rate) = config.pace {
            progress.set_rate(rate);
        }
        let threads = config.threads.clamp(1, config.miners.max(1));
        let mut crews = Vec::with_capacity(threads);
        for nth in 0..threads {
            let (orders, inbox) = channel();
            let (crew, waker) = crew::Loop::new(config, nth, threads, inbox, Arc::clone(&progress))?;
            let name = format!("sim-miner-{nth}");
            let thread = std::thread::Builder::new().name(name).spawn(move || crew.run())?;
            crews.push(Crew { orders, waker, thread: Some(thread) });
        }
        Ok(Self { miners: config.miners as u64, progress, crews })
    }

    /// Live figures.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Whether every miner has a session and a job within the time.
    pub fn all_mining_within(&self, time: Duration) -> bool {
        wait::until(time, || self.progress.mining() == self.miners)
    }

    /// From now on so many submits per second, for a fleet that has a rate.
    pub fn set_rate(&self, submits_per_second: f64) {
        self.progress.set_rate(submits_per_second);
    }

    /// This part of the miners that mine (1 for all) lose their connections at once, and come back as after any close.
    pub fn storm(&self, part: f64) {
        self.tell(|| Order::Storm { part });
    }

    /// Stops submitting, waits up to `grace` for what is still to be answered, closes, and reports.
    pub fn finish(mut self, grace: Duration) -> FleetReport {
        self.tell(|| Order::Finish { grace });
        let mut report = FleetReport::default();
        for crew in &mut self.crews {
            match crew.thread.take().map(JoinHandle::join) {
                Some(Ok(part)) => report.merge(part),
                _ => report.fail("a thread of simulated miners panicked".into()),
            }
        }
        report
    }

    fn tell(&self, order: impl Fn() -> Order) {
        for crew in &self.crews {
            let _ = crew.orders.send(order()); // a crew that has ended takes no orders
            let _ = crew.waker.wake();
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.tell(|| Order::Finish { grace: Duration::ZERO });
        for crew in &mut self.crews {
            if let Some(thread) = crew.thread.take() {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests;
