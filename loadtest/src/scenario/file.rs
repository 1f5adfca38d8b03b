//! What a scenario's file says, and the scenarios that come with the program.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::objectives::Objectives;
use crate::pool_process::PoolLooks;
use crate::scripted_pool::Habit;
use crate::sim_miner::{STYLES, Style};

/// Pools of one scenario at most: their numbers are a byte of their work.
pub const POOLS_MAX: usize = 64;
/// The scenarios in the binary, by name.
const BUILT_IN: [(&str, &str); 7] = [
    ("failover", include_str!("../../scenarios/failover.toml")),
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

/// The miners of a scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FleetPart {
    /// How many.
    pub miners: usize,
    /// Their styles, dealt out in turn; all there are if none is named.
    pub styles: Vec<Style>,
    /// Connects per second.
    pub connects_per_second: f64,
    /// How long all may take to have a job.
    pub all_mining_within_ms: u64,
    /// Submits per second of the whole fleet, in open loop; none if zero. Fewer in a run so long that the books could not
    /// keep them all.
    pub submits_per_second: f64,
    /// How long after a close a miner comes back; never if zero.
    pub reconnect_after_ms: u64,
    /// So much later at most, each time another.
    pub reconnect_jitter_ms: u64,
    /// Miners that leave of their own accord, per second of the whole fleet.
    pub leaves_per_second: f64,
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
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, from the time all miners had a job.
    pub after_ms: u64,
    /// Again and again after so long; once if zero.
    #[serde(default)]
    pub every_ms: u64,
    /// A fault is over after so long; it stays if zero. A pool that is killed every few seconds for less than that flaps.
    #[serde(default)]
    pub for_ms: u64,
    /// At which pool, by its name; the first if empty.
    #[serde(default)]
    pub pool: String,
    /// What.
    #[serde(rename = "do")]
    pub action: Action,
}

/// What can happen at a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It gives a job, and the time until every miner of this pool has it is measured.
    FanOut,
    /// Its process is killed.
    Kill,
    /// Its process is started, at the address it had.
    Start,
    /// It is killed and started again at once.
    Restart,
    /// Its process is stopped where it stands: TCP stays open and nothing comes.
    Freeze,
    /// It goes on.
    Thaw,
    /// It accepts, and never says anything.
    Mute,
    /// It refuses every name and every share.
    Refuse,
    /// It sends what nobody can read.
    Garbage,
    /// It resets every connection in the middle of a line.
    Reset,
    /// It answers late and in small pieces.
    Slow,
    /// It behaves again.
    Heal,
}

impl Action {
    /// What ends it; nothing for what is no fault.
    pub(super) fn end(self) -> Option<Self> {
        match self {
            Self::FanOut | Self::Start | Self::Restart | Self::Thaw | Self::Heal => None,
            Self::Kill => Some(Self::Start),
            Self::Freeze => Some(Self::Thaw),
            Self::Mute | Self::Refuse | Self::Garbage | Self::Reset | Self::Slow => Some(Self::Heal),
        }
    }

    /// Whether miners have to leave the pool for it.
    pub(super) fn is_break(self) -> bool {
        self == Self::Restart || self.end().is_some()
    }

    /// The habit that it brings, where it is one.
    pub(super) fn habit(self) -> Option<Habit> {
        match self {
            Self::Mute => Some(Habit::Mute),
            Self::Refuse => Some(Habit::Refusing),
            Self::Garbage => Some(Habit::Garbage),
            Self::Reset => Some(Habit::Breaking),
            Self::Slow => Some(Habit::Slow),
            Self::Heal => Some(Habit::Good),
            _ => None,
        }
    }
}

fn one_pool() -> Vec<PoolLooks> {
    vec![PoolLooks::default()]
}

impl Default for AditPart {
    fn default() -> Self {
        Self { ledger: true, settings: Vec::new() }
    }
}

impl Default for FleetPart {
    fn default() -> Self {
        Self {
            miners: 100,
            styles: STYLES.to_vec(),
            connects_per_second: 1_000.0,
            all_mining_within_ms: 30_000,
            submits_per_second: 0.0,
            reconnect_after_ms: 0,
            reconnect_jitter_ms: 0,
            leaves_per_second: 0.0,
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
        match scenario.steps.iter().find(|step| scenario.place_of(&step.pool).is_none()) {
            Some(step) => unfit(format!("a step at pool {:?}, which there is not", step.pool)),
            None => Ok(scenario),
        }
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
        let steps = "about = ''\nrun_ms = 1\nfleet = {}\nsteps = [{ after_ms = 1, pool = 'a', do = 'kill' }]";
        let error = Scenario::parse("mine", steps).unwrap_err().to_string();
        assert!(error.contains("mine") && error.contains("\"a\""), "{error}");
        let error = Scenario::read("stedy").unwrap_err().to_string();
        assert!(error.contains("\"stedy\"") && error.contains("steady"), "{error}");
    }
}
