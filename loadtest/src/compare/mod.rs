//! What Adit costs beside other proxies: the same load through each of them in turn, round by round.
//!
//! Figures of one machine and one hour compare with each other and with nothing else, so every load is measured in
//! interleaved rounds: each round goes through all proxies, in an order that turns with the round, and ratios are taken
//! within a round. haproxy is measured twice per round. The ratio of its two runs should be one; how far it is from
//! that says what this machine can resolve, and beyond [`NULL_OFF_MAX`] nothing is concluded.

mod measure;
mod proxy;
mod summary;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::lean::miners::{LeanReport, Pace};

pub use measure::{Cores, MeasureError};
pub use proxy::Proxy;
pub use summary::{Comparison, NULL_OFF_MAX};

/// One load that every proxy is put under.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Miners.
    pub connections: usize,
    /// How they submit.
    pub pace: Pace,
}

impl Load {
    /// The loads of the comparison.
    pub const ALL: [Self; 5] = [
        Self { connections: 1, pace: Pace::Closed },
        Self { connections: 100, pace: Pace::Closed },
        Self { connections: 1_000, pace: Pace::Closed },
        Self { connections: 5_000, pace: Pace::Closed },
        Self { connections: 500, pace: Pace::PerSecond(2_000.0) },
    ];

    /// `closed` or `open`.
    pub fn kind(&self) -> &'static str {
        if self.pace == Pace::Closed { "closed" } else { "open" }
    }
}

/// A whole comparison.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The proxies, haproxy among them.
    pub proxies: Vec<Proxy>,
    /// The loads.
    pub loads: Vec<Load>,
    /// Rounds of each load.
    pub rounds: usize,
    /// Idle time before memory is measured.
    pub settle: Duration,
    /// Load before the measuring starts.
    pub warm_up: Duration,
    /// Load that is measured. The pool gives a new job once in that time.
    pub window: Duration,
    /// Who runs where.
    pub cores: Cores,
    /// The binary to start Adit from.
    pub adit: PathBuf,
    /// Whether Adit keeps a ledger of all shares, anew in each measurement.
    pub ledger: bool,
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
    /// Measures everything. `tell` hears before each measurement what comes.
    ///
    /// The whole comparison fails with the first measurement that does: a proxy that loses answers has no figures.
    pub fn run(&self, mut tell: impl FnMut(&str)) -> Result<Comparison, MeasureError> {
        let directory = WorkDirectory::make()?;
        let mut loads = Vec::new();
        for &load in &self.loads {
            let mut samples = Vec::new();
            for round in 0..self.rounds {
                for (proxy, is_null) in self.turns(round) {
                    let (connections, kind, name) = (load.connections, load.kind(), proxy.name());
                    tell(&format!("{connections} {kind}, round {} of {}: {name}", round + 1, self.rounds));
                    let report = measure::measure(self, load, proxy, &directory.0)?;
                    samples.push(Sample { round, proxy, is_null, report });
                }
            }
            loads.push(LoadSamples { load, samples });
        }
        Ok(Comparison { loads })
    }

    /// Who is measured in this round, in this order; the flag marks the second run of haproxy.
    fn turns(&self, round: usize) -> Vec<(Proxy, bool)> {
        let mut turns: Vec<_> = self.proxies.iter().map(|&proxy| (proxy, false)).collect();
        turns.push((Proxy::Haproxy, true));
        let shift = round % turns.len();
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
