//! What a scenario's file says, and the scenarios that come with the program.

use std::fs;
use std::path::Path;

use serde::Deserialize;

/// The scenarios in the binary, by name.
const BUILT_IN: [(&str, &str); 6] = [
    ("fanout", include_str!("../../scenarios/fanout.toml")),
    ("hostile", include_str!("../../scenarios/hostile.toml")),
    ("idle", include_str!("../../scenarios/idle.toml")),
    ("soak", include_str!("../../scenarios/soak.toml")),
    ("steady", include_str!("../../scenarios/steady.toml")),
    ("storm", include_str!("../../scenarios/storm.toml")),
];

/// Why a scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Neither a name nor a file.
    #[error("no scenario {0:?}: {1}; there are {names} and files", names = Scenario::names().join(", "))]
    Unknown(String, std::io::Error),
    /// Not what a scenario may say.
    #[error("scenario {0}: {1}")]
    Wrong(String, toml::de::Error),
}

/// A whole scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub about: String,
    /// How long it runs once all miners have a job.
    pub run_ms: u64,
    /// The pool.
    #[serde(default)]
    pub pool: PoolPart,
    /// The miners.
    pub fleet: FleetPart,
    /// Strangers that mean no good.
    #[serde(default)]
    pub hostile: HostilePart,
    /// What happens while it runs.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// What must hold.
    #[serde(default)]
    pub objectives: Objectives,
}

/// The pool of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolPart {
    /// Time between two jobs; none of its own if zero.
    pub job_every_ms: u64,
}

/// The miners of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FleetPart {
    /// How many, of all styles in turn.
    pub miners: usize,
    /// Connects per second.
    pub connects_per_second: f64,
    /// How long all may take to have a job.
    pub all_mining_within_ms: u64,
    /// Submits per second of the whole fleet, in open loop; none if zero.
    pub submits_per_second: f64,
    /// How long after a close a miner comes back; never if zero.
    pub reconnect_after_ms: u64,
}

/// Connections that never become miners. Each is made anew when it is closed.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostilePart {
    /// Connect and say nothing.
    pub silent: usize,
    /// Send what is no JSON.
    pub garbage: usize,
    /// Send a line that never ends.
    pub endless: usize,
    /// Log in and never read.
    pub deaf: usize,
    /// Connect and reset at once.
    pub flapping: usize,
}

/// Something that happens at a time.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, from the time all miners had a job.
    pub after_ms: u64,
    /// Again and again after so long; once if zero.
    #[serde(default)]
    pub every_ms: u64,
    /// What.
    #[serde(rename = "do")]
    pub action: Action,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The pool gives a job, and the time until every miner has it is measured.
    FanOut,
    /// The pool is killed with all its connections, and started again at its address.
    RestartPool,
    /// The pool stands still.
    FreezePool,
    /// The pool goes on.
    ThawPool,
}

/// What must hold. What is not given is not asked; the audit always is.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Objectives {
    /// 99th percentile from a miner's connect to its first job.
    pub first_job_p99_ms_max: Option<f64>,
    /// Median from when a submit was due until its answer.
    pub p50_ms_max: Option<f64>,
    /// The same, 99th percentile.
    pub p99_ms_max: Option<f64>,
    /// The longest time from a job at the pool until every miner had it.
    pub fan_out_ms_max: Option<f64>,
    /// Handshakes and connections that went wrong.
    pub failures_max: Option<u64>,
    /// Connections of miners that the other side closed.
    pub closes_max: Option<u64>,
    /// Accepted shares of all submits.
    pub accepted_ratio_min: Option<f64>,
    /// Growth of memory from before the first miner to the highest point, for each miner.
    pub resident_kib_per_miner_max: Option<f64>,
    /// Growth of memory from the second quarter of the run to the last, in percent.
    pub resident_growth_percent_max: Option<f64>,
    /// The same for open descriptors.
    pub descriptors_growth_percent_max: Option<f64>,
}

impl Default for PoolPart {
    fn default() -> Self {
        Self { job_every_ms: 5_000 }
    }
}

impl Default for FleetPart {
    fn default() -> Self {
        Self {
            miners: 100,
            connects_per_second: 1_000.0,
            all_mining_within_ms: 30_000,
            submits_per_second: 0.0,
            reconnect_after_ms: 0,
        }
    }
}

impl Scenario {
    /// The names of the scenarios that come with the program.
    pub fn names() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
    }

    /// The scenario of this name, else the one in this file.
    pub fn read(name_or_file: &str) -> Result<Self, ReadError> {
        let wrong = |error| ReadError::Wrong(name_or_file.into(), error);
        if let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_file) {
            return toml::from_str(text).map_err(wrong);
        }
        let text = fs::read_to_string(Path::new(name_or_file))
            .map_err(|error| ReadError::Unknown(name_or_file.into(), error))?;
        toml::from_str(&text).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_of_the_program_can_be_read_and_asks_for_something() {
        for name in Scenario::names() {
            let scenario = Scenario::read(name).unwrap_or_else(|error| panic!("{error}"));
            let objectives = format!("{:?}", scenario.objectives);
            assert!(objectives.contains("Some"), "{name}: {objectives}");
            assert!(scenario.run_ms > 0 && scenario.fleet.miners > 0, "{name}");
        }
    }

    #[test]
    fn a_misspelt_key_or_name_is_told() {
        let error = toml::from_str::<Scenario>("about = ''\nrun_ms = 1\nfleet = { miner = 1 }").unwrap_err();
        assert!(error.to_string().contains("miner"), "{error}");
        let error = Scenario::read("stedy").unwrap_err().to_string();
        assert!(error.contains("\"stedy\"") && error.contains("steady"), "{error}");
    }
}
