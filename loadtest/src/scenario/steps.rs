//! What happens in a scenario, and when: steps of its file.

use serde::{Deserialize, Serialize};

use crate::scripted_pool::Habit;

/// Something that happens at a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// When, from the time all miners had a job.
    pub after_ms: u64,
    /// Again and again after so long; once if zero.
    #[serde(default)]
    pub every_ms: u64,
    /// A fault is over after so long; it stays if zero.
    #[serde(default)]
    pub for_ms: u64,
    /// At which pool, by its name; the first if empty.
    #[serde(default)]
    pub pool: String,
    /// How many jobs a burst has, or how often a pool that flaps goes.
    #[serde(default = "one")]
    pub count: u32,
    /// Which part of the miners a storm is of: 1 for all.
    #[serde(default = "all")]
    pub part: f64,
    /// What.
    #[serde(rename = "do")]
    pub action: Action,
}

/// What can happen, at a pool unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It gives a job, and the time until every miner of this pool has it is measured.
    FanOut,
    /// It gives `count` jobs, one right behind the other.
    Jobs,
    /// To miners: a part of them lose their connections at the same moment, and come back as they do after any close.
    Storm,
    /// Its process is killed.
    Kill,
    /// Its process is started, at the address it had.
    Start,
    /// It is killed and started again at once.
    Restart,
    /// `count` times within `for_ms` it is killed, and started again after half of its part of that time.
    Flap,
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
    /// What ends it; nothing for what is no fault, or many of them.
    pub(super) fn end(self) -> Option<Self> {
        match self {
            Self::Kill => Some(Self::Start),
            Self::Freeze => Some(Self::Thaw),
            Self::Mute | Self::Refuse | Self::Garbage | Self::Reset | Self::Slow => Some(Self::Heal),
            _ => None,
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

fn one() -> u32 {
    1
}

fn all() -> f64 {
    1.0
}
