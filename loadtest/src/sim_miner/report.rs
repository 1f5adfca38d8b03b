//! What a fleet of miners has seen: the miners' half of every audit.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::json_line::Verdict;
use crate::share::ShareKey;

/// Submits kept with their details; a fleet stops submitting there.
pub const SUBMITS_KEPT_MAX: usize = 2_000_000;
/// Stray answers and failures kept as text.
pub(super) const TEXTS_KEPT_MAX: usize = 100;
/// Arrivals kept: far more than miners can be moved in the longest run.
pub(super) const ARRIVALS_KEPT_MAX: usize = 1_000_000;
/// Highest latency told apart: a minute.
const LATENCY_MAX_US: u64 = 60_000_000;

/// One submit as a miner made it.
#[derive(Clone, Copy, Debug)]
pub struct SubmitMade {
    /// What names the share on both sides.
    pub key: ShareKey,
    /// Number of the miner in its fleet.
    pub miner: u32,
    /// What came back.
    pub answer: Answer,
}

/// A miner could submit again: for other work than before, or on a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When the job was there.
    pub at: Instant,
    /// Number of the miner in its fleet.
    pub miner: u32,
    /// The tag of the scripted pool it worked for before; `None` the first time.
    pub from: Option<Box<str>>,
    /// The tag of the one it works for now.
    pub to: Box<str>,
    /// On the connection that it had before: it was switched live.
    pub is_live: bool,
}

/// What came back for a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// A verdict.
    Given(Verdict),
    /// Nothing, and the connection was open to the end.
    Missing,
    /// Nothing before the connection closed.
    ConnectionClosed,
}

/// Everything that a fleet saw.
#[derive(Clone, Debug)]
pub struct FleetReport {
    /// Every submit, with its answer.
    pub submits: Vec<SubmitMade>,
    /// From the time a submit was due until its answer: what a miner at a fixed rate feels, stalls included.
    pub latency_us: Histogram<u64>,
    /// From the time a submit was written until its answer.
    pub service_us: Histogram<u64>,
    /// From a miner's connect until it could submit: through its handshake, with a job.
    pub first_job_us: Histogram<u64>,
    /// Responses that answered nothing, or the same thing a second time: how many, and some of them.
    pub strays: u64,
    /// The first of them as text.
    pub stray_lines: Vec<String>,
    /// Handshakes and connections that went wrong.
    pub failures: Vec<String>,
    /// Handshake answers that were no success, by method.
    pub refused: BTreeMap<String, u64>,
    /// Notifications by method.
    pub notifications: BTreeMap<String, u64>,
    /// The names that miners gave, by their numbers.
    pub names: BTreeMap<u32, String>,
    /// When miners came to work, and for whom.
    pub arrivals: Vec<Arrival>,
    /// Connections made.
    pub connects: u64,
    /// Connections that the other side closed, TLS probes left out.
    pub closes: u64,
}

impl Default for FleetReport {
    fn default() -> Self {
        Self {
            submits: Vec::new(),
            latency_us: histogram(),
            service_us: histogram(),
            first_job_us: histogram(),
            strays: 0,
            stray_lines: Vec::new(),
            failures: Vec::new(),
            refused: BTreeMap::new(),
            notifications: BTreeMap::new(),
            names: BTreeMap::new(),
            arrivals: Vec::new(),
            connects: 0,
            closes: 0,
        }
    }
}

/// Live figures of a running fleet.
#[derive(Debug)]
pub struct Progress {
    /// Miners that are through their handshake and have a job.
    pub mining: AtomicU64,
    /// Miners that were that far at least once, at work for a scripted pool.
    pub arrived: AtomicU64,
    /// Submits sent.
    pub submitted: AtomicU64,
    /// Submits answered, one way or the other.
    pub answered: AtomicU64,
    /// Submits accepted.
    pub accepted: AtomicU64,
    /// Jobs that miners were told.
    pub jobs_heard: AtomicU64,
    /// Connections that the other side closed.
    pub closes: AtomicU64,
    /// Miners switched to other work on the connection they had.
    pub switches: AtomicU64,
    /// Miners that came back to work on a new connection.
    pub returns: AtomicU64,
    /// Miners that can submit, by the tag of the scripted pool that they work for.
    pub(super) working_for: Mutex<HashMap<Box<str>, u64>>,
    /// From when a submit was due until its answer, since somebody looked the last time.
    pub(super) lately_us: Mutex<Histogram<u64>>,
    /// Submits per second that are wanted of a fleet with a rate; the bits of a float.
    rate: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Self {
            mining: zero(),
            arrived: zero(),
            submitted: zero(),
            answered: zero(),
            accepted: zero(),
            jobs_heard: zero(),
            closes: zero(),
            switches: zero(),
            returns: zero(),
            working_for: Mutex::default(),
            lately_us: Mutex::new(histogram()),
            rate: zero(),
        }
    }
}

impl Progress {
    /// Miners that are through their handshake and have a job.
    pub fn mining(&self) -> u64 {
        self.mining.load(Ordering::Relaxed)
    }

    /// Miners that were that far at least once, at work for a scripted pool.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    pub(super) fn set_rate(&self, submits_per_second: f64) {
        self.rate.store(submits_per_second.to_bits(), Ordering::Relaxed);
    }

    pub(super) fn rate(&self) -> f64 {
        f64::from_bits(self.rate.load(Ordering::Relaxed))
    }

    /// Submits sent.
    pub fn submitted(&self) -> u64 {
        self.submitted.load(Ordering::Relaxed)
    }

    /// Submits answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Submits accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Jobs that miners were told.
    pub fn jobs_heard(&self) -> u64 {
        self.jobs_heard.load(Ordering::Relaxed)
    }

    /// Connections that the other side closed.
    pub fn closes(&self) -> u64 {
        self.closes.load(Ordering::Relaxed)
    }

    /// Miners switched to other work on the connection they had.
    pub fn switches(&self) -> u64 {
        self.switches.load(Ordering::Relaxed)
    }

    /// Miners that came back to work on a new connection.
    pub fn returns(&self) -> u64 {
        self.returns.load(Ordering::Relaxed)
    }

    /// Miners that can submit and work for the scripted pool with this tag.
    pub fn working_for(&self, tag: &str) -> u64 {
        self.working_for.lock().get(tag).copied().unwrap_or(0)
    }

    /// A miner works for another pool, or for none.
    pub(super) fn move_worker(&self, from: Option<&str>, to: Option<&str>) {
        let mut counts = self.working_for.lock();
        if let Some(count) = from.and_then(|from| counts.get_mut(from)) {
            *count = count.saturating_sub(1);
        }
        if let Some(to) = to {
            *counts.entry(to.into()).or_default() += 1;
        }
    }

    /// From when a submit was due until its answer, for all that were answered since the last call.
    pub fn take_latency_us(&self) -> Histogram<u64> {
        std::mem::replace(&mut *self.lately_us.lock(), histogram())
    }
}

impl FleetReport {
    /// How many submits got this answer.
    pub fn count(&self, answer: Answer) -> usize {
        self.submits.iter().filter(|submit| submit.answer == answer).count()
    }

    /// Submits that were accepted.
    pub fn accepted(&self) -> usize {
        self.count(Answer::Given(Verdict::Accepted))
    }

    /// Submits that were refused, by code.
    pub fn rejected(&self) -> BTreeMap<i32, u64> {
        let mut codes = BTreeMap::new();
        for submit in &self.submits {
            if let Answer::Given(Verdict::Rejected(code)) = submit.answer {
                *codes.entry(code).or_default() += 1;
            }
        }
        codes
    }

    /// Submits that got no answer although their connection stayed open.
    pub fn missing(&self) -> usize {
        self.count(Answer::Missing)
    }

    /// Adds what another thread's or fleet's miners saw.
    pub fn merge(&mut self, other: Self) {
        self.submits.extend(other.submits);
        let histograms = [
            (&mut self.latency_us, &other.latency_us),
            (&mut self.service_us, &other.service_us),
            (&mut self.first_job_us, &other.first_job_us),
        ];
        for (to, from) in histograms {
            if to.add(from).is_err() {
                log::error!("two histograms of the same bounds do not add");
            }
        }
        self.strays += other.strays;
        self.stray_lines.extend(other.stray_lines);
        self.failures.extend(other.failures);
        self.arrivals.extend(other.arrivals);
        self.names.extend(other.names);
        self.connects += other.connects;
        self.closes += other.closes;
        for (to, from) in [(&mut self.refused, other.refused), (&mut self.notifications, other.notifications)]
        {
            for (name, count) in from {
                *to.entry(name).or_default() += count;
            }
        }
    }

    /// Notes that something went wrong.
    pub(super) fn fail(&mut self, text: String) {
        if self.failures.len() < TEXTS_KEPT_MAX {
            self.failures.push(text);
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).expect("constant bounds that the histogram takes")
}
