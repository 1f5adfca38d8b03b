//! What Adit costs beside other proxies: the same load through each of them in turn, round by round.
//!
//! Figures of one machine and one hour compare with each other and with nothing else, so every load is measured in
//! interleaved rounds: each round goes through all proxies, in an order that turns with the round, and ratios are taken
//! within a round. haproxy is measured twice per round. The ratio of its two runs should be one; how far it is from
//! that says what this machine can resolve, and beyond [`NULL_OFF_MAX`] nothing is concluded.

mod impact;
mod measure;
mod proxy;
mod shards;
mod summary;
mod verdict;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::lean::miners::{LeanReport, Pace, Quiet};

pub use impact::{Impact, Prompt, Watched, Watchers};
pub use measure::{Cores, MeasureError};
pub use proxy::Proxy;
pub use shards::{SHARDS_CORES_MIN, Shards};
pub use summary::{Comparison, NULL_OFF_MAX};
pub use verdict::{Judged, ROUNDS_MIN, Verdict};

/// More connections than this at a fixed rate are there for their memory.
const PAIRS_OF_OPEN_MAX: usize = 5_000;
/// Time between two jobs that are timed on their way to everybody: no job may be under way with the one before it. And the
/// least time that they are measured for.
const FAN_OUT_EVERY: Duration = Duration::from_secs(1);
const FAN_OUT_FOR: Duration = Duration::from_secs(5);
/// Time between two jobs that pile up before those that do not read, and how long they do before the measuring.
const PILE_UP_EVERY: Duration = Duration::from_millis(250);
const PILE_UP_FOR: Duration = Duration::from_secs(8);

/// One load that every proxy is put under.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Miners.
    pub connections: usize,
    /// How they submit.
    pub pace: Pace,
    /// Who does not.
    pub quiet: Quiet,
}

impl Load {
    /// The loads of the comparison.
    pub const ALL: [Self; 9] = [
        Self::closed(1),
        Self::closed(100),
        Self::closed(1_000),
        Self::closed(5_000),
        Self::open(500, 2_000.0, Quiet::Nobody),
        // A new job for everybody, again and again.
        Self { quiet: Quiet::FanOut, ..Self::closed(5_000) },
        // Half of the miners stop to read; and, to hold that against, half of them only read.
        Self::open(4_000, 2_000.0, Quiet::Reading(2_000)),
        Self::open(4_000, 2_000.0, Quiet::Deaf(2_000)),
        // What an idle pair takes where there are as many as one process with 20,000 descriptors can have.
        Self::open(9_000, 500.0, Quiet::Nobody),
    ];

    const fn closed(connections: usize) -> Self {
        Self { connections, pace: Pace::Closed, quiet: Quiet::Nobody }
    }

    const fn open(connections: usize, per_second: f64, quiet: Quiet) -> Self {
        Self { connections, pace: Pace::PerSecond(per_second), quiet }
    }

    /// What it is called: `closed`, `open`, `fan-out`, `half-idle`, `half-deaf`, `many`.
    pub fn kind(&self) -> &'static str {
        match (self.quiet, self.pace) {
            (Quiet::FanOut, _) => "fan-out",
            (Quiet::Reading(_), _) => "half-idle",
            (Quiet::Deaf(_), _) => "half-deaf",
            (Quiet::Nobody, Pace::Closed) => "closed",
            (Quiet::Nobody, Pace::PerSecond(_)) if self.connections > PAIRS_OF_OPEN_MAX => "many",
            (Quiet::Nobody, Pace::PerSecond(_)) => "open",
        }
    }

    /// Whether haproxy under it says something of Adit.
    fn is_held_against_haproxy(self) -> bool {
        matches!(self.kind(), "closed" | "open" | "fan-out")
    }

    /// Whether its figures are held against those of `other`.
    fn is_beside(self, other: Self) -> bool {
        let is_of_half = |load: Self| matches!(load.quiet, Quiet::Reading(_) | Quiet::Deaf(_));
        is_of_half(self) && is_of_half(other)
    }

    /// Time between two jobs, in a window of this length.
    fn job_every(&self, window: Duration) -> Duration {
        match self.quiet {
            Quiet::FanOut => FAN_OUT_EVERY,
            Quiet::Reading(_) | Quiet::Deaf(_) => PILE_UP_EVERY,
            Quiet::Nobody => window,
        }
    }

    /// How long it is measured, where others are measured for a window.
    fn window(&self, window: Duration) -> Duration {
        if self.quiet == Quiet::FanOut { window.max(FAN_OUT_FOR) } else { window }
    }

    /// How long the load goes before it is measured: as long as it takes what nobody reads to fill every buffer, where
    /// that is the matter.
    fn warm_up(&self, warm_up: Duration) -> Duration {
        if matches!(self.quiet, Quiet::Reading(_) | Quiet::Deaf(_)) {
            warm_up.max(PILE_UP_FOR)
        } else {
            warm_up
        }
    }
}

/// A whole comparison.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The proxies. Where a load is held against haproxy, that is measured, too, and once more to see the noise.
    pub proxies: Vec<Proxy>,
    /// The loads.
    pub loads: Vec<Load>,
    /// Rounds of each load.
    pub rounds: usize,
    /// Idle time before memory is measured.
    pub settle: Duration,
    /// Load before the measuring starts.
    pub warm_up: Duration,
    /// Load that is measured. The pool gives a new job once in that time, where jobs are not the matter.
    pub window: Duration,
    /// Who runs where.
    pub cores: Cores,
    /// The cores that Adit's threads may use; its shard takes the first.
    pub adit_mask: String,
    /// The binary to start Adit from.
    pub adit: PathBuf,
    /// Whether Adit keeps a ledger of all shares, anew in each measurement.
    pub ledger: bool,
    /// Whether the kernel counts what each proxy asks of it, where `perf` works. It costs every proxy some time.
    pub kernel: bool,
    /// Further arguments of `adit run`.
    pub adit_arguments: Vec<String>,
    /// The binary to start miners and pools from: `adit-loadtest`.
    pub peers: PathBuf,
}

/// One measurement of one proxy in one round.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Which round.
    pub round: usize,
    /// Through which proxy.
    pub proxy: Proxy,
    /// Whether it is the second run of haproxy.
    pub is_null: bool,
    /// What it gave.
    pub report: LeanReport,
}

/// All measurements of one load.
#[derive(Clone, Debug)]
pub struct LoadSamples {
    /// The load.
    pub load: Load,
    /// The measurements, in the order they were made.
    pub samples: Vec<Sample>,
}

impl Plan {
    /// Measures everything. `tell` hears before each measurement which of how many it is, and what it measures.
    ///
    /// The whole comparison fails with the first measurement that does: a proxy that loses answers has no figures.
    pub fn run(&self, mut tell: impl FnMut(usize, usize, &str)) -> Result<Comparison, MeasureError> {
        let directory = WorkDirectory::make()?;
        let mut loads: Vec<LoadSamples> =
            self.loads.iter().map(|&load| LoadSamples { load, samples: Vec::new() }).collect();
        let of = self.rounds * self.loads.iter().map(|&load| self.turns(load, 0).len()).sum::<usize>();
        let mut nth = 0;
        // Loads that are held against each other take turns as proxies do.
        for group in loads.chunk_by_mut(|a, b| a.load.is_beside(b.load)) {
            for round in 0..self.rounds {
                for LoadSamples { load, samples } in group.iter_mut() {
                    for (proxy, is_null) in self.turns(*load, round) {
                        let (connections, kind, name) = (load.connections, load.kind(), proxy.name());
                        let about =
                            format!("{connections} {kind}, round {} of {}: {name}", round + 1, self.rounds);
                        tell(nth, of, &about);
                        nth += 1;
                        let report = measure::measure(self, *load, proxy, &directory.0)?;
                        samples.push(Sample { round, proxy, is_null, report });
                    }
                }
            }
        }
        Ok(Comparison { loads, rounds: self.rounds })
    }

    /// Who is measured under this load in this round, in this order; the flag marks the second run of haproxy.
    fn turns(&self, load: Load, round: usize) -> Vec<(Proxy, bool)> {
        let mut turns: Vec<_> = self.proxies.iter().map(|&proxy| (proxy, false)).collect();
        if load.is_held_against_haproxy() {
            if !self.proxies.contains(&Proxy::Haproxy) {
                turns.push((Proxy::Haproxy, false));
            }
            turns.push((Proxy::Haproxy, true));
        }
        let shift = round % turns.len().max(1);
        turns.rotate_left(shift);
        turns
    }
}

/// A directory for configurations and ledgers that goes with its owner.
#[derive(Debug)]
struct WorkDirectory(PathBuf);

impl WorkDirectory {
    fn make() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("adit-compare-{}", std::process::id()));
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
