//! What a scenario's file says, and the scenarios that come with the program.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::fleet::FleetPart;
use super::objectives::Objectives;
use super::steps::{Action, Step};
use crate::pool_process::PoolLooks;

/// Pools of one scenario at most: their numbers are a byte of their work.
pub const POOLS_MAX: usize = 64;
/// The scenarios in the binary, by name.
const BUILT_IN: [(&str, &str); 9] = [
    ("closed", include_str!("../../scenarios/closed.toml")),
    ("failover", include_str!("../../scenarios/failover.toml")),
    ("fanout", include_str!("../../scenarios/fanout.toml")),
    ("hostile", include_str!("../../scenarios/hostile.toml")),
    ("idle", include_str!("../../scenarios/idle.toml")),
    ("mixed", include_str!("../../scenarios/mixed.toml")),
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
    /// Parts that do not fit each other.
    #[error("scenario {0}: {1}")]
    Unfit(String, String),
}

/// A whole scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What it shows, in a sentence.
    pub about: String,
    /// How long it runs once all miners have a job.
    pub run_ms: u64,
    /// The pools, in the order that Adit is given them; one if none is named.
    #[serde(default = "one_pool")]
    pub pools: Vec<PoolLooks>,
    /// What Adit is told beside its pools.
    #[serde(default)]
    pub adit: AditPart,
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

/// What Adit is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AditPart {
    /// Whether it keeps a ledger, which the audit then holds against miners and pools.
    pub ledger: bool,
    /// Settings, as in `timeouts.silence_ms=2000`.
    pub settings: Vec<String>,
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

fn one_pool() -> Vec<PoolLooks> {
    vec![PoolLooks::default()]
}

impl Default for AditPart {
    fn default() -> Self {
        Self { ledger: true, settings: Vec::new() }
    }
}

impl Scenario {
    /// The names of the scenarios that come with the program.
    pub fn names() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
    }

    /// The scenario of this name, else the one in this file.
    pub fn read(name_or_file: &str) -> Result<Self, ReadError> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_file) {
            return Self::parse(name_or_file, text);
        }
        let text = fs::read_to_string(Path::new(name_or_file))
            .map_err(|error| ReadError::Unknown(name_or_file.into(), error))?;
        Self::parse(name_or_file, &text)
    }

    /// Reads a scenario's text; `name` is for what is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ReadError> {
        let scenario: Self = toml::from_str(text).map_err(|error| ReadError::Wrong(name.into(), error))?;
        let unfit = |what: String| Err(ReadError::Unfit(name.into(), what));
        if !(1..=POOLS_MAX).contains(&scenario.pools.len()) {
            return unfit(format!("{} pools; 1 to {POOLS_MAX} are possible", scenario.pools.len()));
        }
        if let Some(step) = scenario.steps.iter().find(|step| scenario.place_of(&step.pool).is_none()) {
            return unfit(format!("a step at pool {:?}, which there is not", step.pool));
        }
        let comes_back = scenario.fleet.reconnect_after_ms > 0;
        if scenario.steps.iter().any(|step| step.action == Action::Storm) && !comes_back {
            return unfit(
                "a storm of miners that do not come back: fleet.reconnect_after_ms is missing".into(),
            );
        }
        if scenario.steps.iter().any(|step| step.action == Action::Flap && step.for_ms == 0) {
            return unfit("a pool that flaps without end: for_ms is missing".into());
        }
        match scenario.fleet.check() {
            Ok(()) => Ok(scenario),
            Err(what) => unfit(what),
        }
    }

    /// How long it runs once all miners have a job.
    pub(super) fn run_time(&self) -> Duration {
        Duration::from_millis(self.run_ms)
    }

    /// Time after which the steps come again; zero if they do not.
    pub(super) fn round(&self) -> Duration {
        // What comes at times that do not fit each other has no round; the longest is as near as it gets.
        Duration::from_millis(self.steps.iter().map(|step| step.every_ms).max().unwrap_or(0))
    }

    /// Where a pool stands by its name; the first one if that is empty.
    pub(super) fn place_of(&self, pool: &str) -> Option<usize> {
        if pool.is_empty() { Some(0) } else { self.pools.iter().position(|looks| looks.name == pool) }
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
        let refused = |fleet: &str, step: &str| {
            let text = format!(
                "about = ''\nrun_ms = 1\nfleet = {{ {fleet} }}\nsteps = [{{ after_ms = 1, {step} }}]"
            );
            Scenario::parse("mine", &text).unwrap_err().to_string()
        };
        let error = refused("", "pool = 'a', do = 'kill'");
        assert!(error.contains("mine") && error.contains("\"a\""), "{error}");
        assert!(refused("", "do = 'storm'").contains("reconnect_after_ms"));
        assert!(refused("", "do = 'flap'").contains("for_ms"));
        let both = refused("in_flight = 1, submits_per_second = 1", "do = 'fan-out'");
        assert!(both.contains("in_flight"), "{both}");
        let order = "submits_per_second = 1, ramps = [{ after_ms = 9, submits_per_second = 1 }, { after_ms = 8, submits_per_second = 2 }]";
        assert!(refused(order, "do = 'fan-out'").contains("ramp"));
        let error = Scenario::read("stedy").unwrap_err().to_string();
        assert!(error.contains("\"stedy\"") && error.contains("steady"), "{error}");
    }
}
