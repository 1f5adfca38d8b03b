//! The border to the engine: what this crate asks, and what it may have done.
//!
//! Reads are copies. An implementation never stops a shard for one: it asks each shard for a copy, waits at most as long
//! as it is told, and uses the last known figures of a shard that did not answer, marked as such. Calls come from a few
//! admin threads at once.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::view::{Ban, ConfigText, DrillReport, HealthFacts, Series, Snapshot, Span, Subject, Workers};

/// What the engine offers to operators.
pub trait Control: Send + Sync + 'static {
    /// The facts that health is judged by. Never waits.
    fn health(&self) -> HealthFacts;

    /// Everything but the workers, after `within` at the latest.
    fn snapshot(&self, within: Duration) -> Snapshot;

    /// All workers, after `within` at the latest.
    fn workers(&self, within: Duration) -> Workers;

    /// Figures over time, one answer per subject in the same order, after `within` at the latest. `None` for a subject
    /// that is unknown, for all of them when no ledger is kept or it does not answer.
    fn series(&self, subjects: &[Subject], span: Span, within: Duration) -> Vec<Option<Series>>;

    /// The configuration in force, secrets masked.
    fn config(&self) -> ConfigText;

    /// Bans in force.
    fn bans(&self) -> Vec<Ban>;

    /// The last failover drill, if there was one since the start.
    fn drill(&self) -> Option<DrillReport>;

    /// Does what an operator asks, or says why not. May take as long as a reload takes, not as long as a drain or a drill:
    /// these begin here and go on by themselves.
    fn command(&self, command: &Command, by: &Caller) -> Result<Done, Refusal>;

    /// Keeps a record of a command and its result: in the ledger where there is one, in the log otherwise.
    fn audit(&self, record: &AuditRecord);
}

/// What an operator may ask for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Read the configuration again and apply what can change live.
    Reload,
    /// Let no miner in any more, let pending submits settle, close, and stop.
    Drain,
    /// Let miners be sent to a pool again.
    EnablePool {
        /// The pool's name.
        pool: String,
    },
    /// Use a pool no more and move its miners away now.
    DisablePool {
        /// The pool's name.
        pool: String,
    },
    /// Send no new miner to a pool; those there that can be moved without a reconnect are, over a while.
    DrainPool {
        /// The pool's name.
        pool: String,
    },
    /// Close every connection of a worker.
    DisconnectWorker {
        /// The worker's name, as the miner gives it.
        worker: String,
    },
    /// Move every connection of a worker to a pool, and keep the worker there for a while.
    MoveWorker {
        /// The worker's name, as the miner gives it.
        worker: String,
        /// The pool's name; `None` is wherever the configuration says, and ends an earlier move's hold.
        to: Option<String>,
        /// How long it is kept there, seconds.
        hold_s: u32,
        /// Whether connections that cannot be switched live are closed, so that the miner comes back there.
        reconnect: bool,
    },
    /// Move every miner of a pool to another one now, and keep them there for a while.
    MovePool {
        /// The pool's name.
        pool: String,
        /// The other pool's name; `None` is whatever comes after the pool for each miner.
        to: Option<String>,
        /// How long they are kept there, seconds.
        hold_s: u32,
        /// Whether connections that cannot be switched live are closed, so that the miner comes back there.
        reconnect: bool,
    },
    /// Move a share of a pool's miners to the standby and back, and report.
    Drill {
        /// The pool to leave; `None` is the one with most miners.
        pool: Option<String>,
        /// How many of its miners, percent, 1 to 100.
        percent: u8,
        /// How long they stay away, seconds.
        hold_s: u32,
        /// Whether miners that cannot be switched live are closed, so that they come back there; if not, they stay.
        reconnect: bool,
    },
    /// End the drill that is under way, and bring its miners back.
    CancelDrill,
    /// Let a network in no more, and close its connections.
    Ban {
        /// An address, or a network as `address/bits`.
        network: String,
        /// How long, seconds; `None` is until it is lifted.
        seconds: Option<u64>,
        /// Why, in words.
        reason: String,
    },
    /// Lift a ban.
    LiftBan {
        /// The network as it was banned.
        network: String,
    },
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name of the token.
    pub token: String,
    /// Where the request came from.
    pub source: SocketAddr,
}

/// What a command did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// One sentence for a human.
    pub summary: String,
    /// How many miners, bans or settings it concerned.
    pub affected: u64,
    /// Further sentences: what a reload changed, and what needs a restart.
    pub details: Vec<String>,
}

/// Why a command was not carried out. Each holds a sentence for a human.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Refusal {
    /// No such pool, worker or ban.
    #[error("{0}")]
    NotFound(String),
    /// It makes no sense in the present state: already draining, the last usable pool, a drill under way.
    #[error("{0}")]
    Conflict(String),
    /// An argument is wrong, or the configuration file is.
    #[error("{0}")]
    Invalid(String),
    /// The engine could not be asked in time.
    #[error("{0}")]
    Unavailable(String),
}

/// A command, who asked for it, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRecord {
    /// When it was asked for, Unix time in milliseconds.
    pub at_ms: u64,
    /// Who asked.
    pub by: Caller,
    /// What for.
    pub command: Command,
    /// What came of it.
    pub result: Result<Done, Refusal>,
}
