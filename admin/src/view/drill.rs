//! A failover drill, under way or over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Latency;

/// How far a drill has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrillPhase {
    /// Its miners are moved to the standby.
    #[default]
    Leaving,
    /// They mine there.
    Away,
    /// They are moved back.
    Returning,
    /// It is over.
    Over,
}

/// How a drill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DrillOutcome {
    /// As it was meant to.
    Completed,
    /// An operator ended it early; its miners were moved back.
    Cancelled,
    /// A pool could not be used any more; failing over for real came first.
    Aborted,
    /// Adit was stopped.
    Stopped,
}

/// What a drill did so far, and how that went. Counts are of miners' connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DrillReport {
    /// How far it has come.
    pub phase: DrillPhase,
    /// How it ended; `null` while it runs.
    pub outcome: Option<DrillOutcome>,
    /// Who started it: a token's name.
    pub by: String,
    /// The pool that miners were moved away from.
    pub from: String,
    /// The pools that take its miners when it fails.
    pub to: Vec<String>,
    /// How many of its miners were wanted, percent.
    pub percent: u8,
    /// How long they were to stay away, seconds.
    pub hold_seconds: u32,
    /// Whether miners that cannot be switched live are closed for it.
    pub reconnect: bool,
    /// When it began.
    pub started_ms: u64,
    /// When the present phase is over at the latest; `null` once the drill is.
    pub phase_until_ms: Option<u64>,
    /// When the last miner was back; `null` while it runs.
    pub finished_ms: Option<u64>,
    /// Miners of the pool when it began.
    pub miners: u64,
    /// Those that were drawn for it.
    pub chosen: u64,
    /// Miners moved to the standby.
    pub moved: u64,
    /// Those of them that were moved back by the drill.
    pub returned: u64,
    /// Miners that were closed to come back at the standby, for they cannot be switched live.
    pub closed: u64,
    /// Of those moved, they that were closed for it and came back there.
    pub reconnected: u64,
    /// Of those moved back, they that were closed for that and are back.
    pub reconnected_back: u64,
    /// Miners that stayed where they were, for they cannot be switched live.
    pub not_live: u64,
    /// Miners that stayed where they were, for they could not be logged in at the standby.
    pub failed: u64,
    /// Miners that something else moved meanwhile: a failure of a pool, an operator.
    pub diverted: u64,
    /// Miners that left meanwhile.
    pub gone: u64,
    /// Of those switched live, from the decision to the first job of the standby at the miner.
    pub switch_time: Latency,
    /// The same on the way back.
    pub return_time: Latency,
    /// The same of those that were closed, until they have the job on their new connection.
    pub reconnect_time: Latency,
    /// The same on the way back.
    pub reconnect_back_time: Latency,
    /// Shares of the miners under drill that were accepted, from when they were drawn to the end.
    pub accepted: u64,
    /// Those of their shares that came too late for their job.
    pub stale: u64,
    /// Those that were rejected or refused for another reason.
    pub rejected: u64,
    /// Those that no verdict came for.
    pub unanswered: u64,
    /// What went wrong, in words.
    pub problems: Vec<String>,
}

impl DrillReport {
    /// Whether it is still under way.
    pub fn is_running(&self) -> bool {
        self.phase != DrillPhase::Over
    }
}
