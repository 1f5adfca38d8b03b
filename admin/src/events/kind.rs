//! The kinds of events and what they tell.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::Command;
use crate::view::{DrillOutcome, DrillPhase, PoolState};

/// How a share ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShareOutcome {
    /// The pool accepted it.
    Accepted,
    /// The pool rejected it.
    Rejected,
    /// It was answered here.
    RefusedHere,
    /// No verdict came.
    Unanswered,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A miner was let in.
    ConnectionOpened {
        /// Its address and port.
        address: Arc<str>,
        /// The shard that serves it.
        shard: u32,
    },
    /// A session ended.
    ConnectionClosed {
        /// The miner's address and port.
        address: Arc<str>,
        /// Its worker, if it had authorised one.
        worker: Option<Arc<str>>,
        /// Why, as in the counters.
        reason: Cow<'static, str>,
        /// How long it lasted.
        lasted_ms: u64,
    },
    /// A pool accepted a name.
    WorkerAuthorized {
        /// The name that the miner gives.
        worker: Arc<str>,
        /// The pool.
        pool: Arc<str>,
        /// The miner's address and port.
        address: Arc<str>,
        /// What the miner calls itself, cleaned.
        user_agent: Arc<str>,
    },
    /// A share ended. Sampled above a rate, see [`super::ShareSampler`].
    Share {
        /// The worker.
        worker: Arc<str>,
        /// The pool, if it was one's to judge.
        pool: Option<Arc<str>>,
        /// How it ended.
        outcome: ShareOutcome,
        /// The class of a no.
        class: Option<Cow<'static, str>>,
        /// The pool's words, cleaned.
        reason: Option<Arc<str>>,
        /// Its job's difficulty.
        #[serde(serialize_with = "crate::view::finite")]
        difficulty: f64,
        /// The difficulty that it reached, where shares are checked here.
        share_difficulty: Option<f64>,
        /// From the submit to the verdict.
        latency_us: Option<u64>,
        /// Shares of the same shard that were left out since the one before.
        skipped: u64,
    },
    /// Many shares of a worker or of a whole pool are rejected: at least 10 within a minute, and at least half of all. Told
    /// once a minute.
    RejectBurst {
        /// The pool.
        pool: Arc<str>,
        /// The worker, if it is one's own.
        worker: Option<Arc<str>>,
        /// The most frequent class.
        class: Cow<'static, str>,
        /// Shares rejected.
        rejected: u64,
        /// Of so many.
        total: u64,
        /// Within this time.
        within_ms: u64,
    },
    /// A pool changed its state.
    PoolState {
        /// The pool.
        pool: Arc<str>,
        /// The state before.
        from: PoolState,
        /// The state since.
        to: PoolState,
        /// Why, in words.
        reason: Arc<str>,
    },
    /// A miner was moved to another pool.
    Switch {
        /// The worker, if one was authorised.
        worker: Option<Arc<str>>,
        /// The pool it left.
        from: Arc<str>,
        /// The pool it is at now.
        to: Arc<str>,
        /// Why, as in the counters.
        reason: Cow<'static, str>,
        /// Whether it kept its connection.
        live: bool,
        /// From the decision to the first job.
        took_ms: u64,
    },
    /// A pool sent a job. Once per pool and second at most, not once per miner.
    Job {
        /// The pool.
        pool: Arc<str>,
        /// Whether it replaces all before it.
        clean: bool,
        /// The height of the block that it is for.
        block_height: Option<u64>,
    },
    /// A share was good enough for a block.
    BlockCandidate {
        /// The worker.
        worker: Arc<str>,
        /// The pool.
        pool: Arc<str>,
        /// The difficulty that it reached.
        #[serde(serialize_with = "crate::view::finite")]
        share_difficulty: f64,
        /// The height, if known.
        block_height: Option<u64>,
    },
    /// An operator asked for something. Published by this crate, also for the audit.
    Command {
        /// The name of the token.
        token: Arc<str>,
        /// Where the request came from.
        source: Arc<str>,
        /// What was asked for.
        #[serde(rename = "request")]
        command: Command,
        /// Whether it was done.
        done: bool,
        /// What was done, or why not.
        result: String,
    },
    /// A failover drill begins a phase.
    Drill {
        /// Which.
        phase: DrillPhase,
        /// How it ended, where it is over.
        outcome: Option<DrillOutcome>,
        /// The pool that miners were moved away from.
        from: Arc<str>,
        /// Miners that were drawn.
        chosen: u64,
        /// Miners moved so far.
        moved: u64,
        /// Miners moved back so far.
        returned: u64,
    },
    /// A bound was reached. At most once per bound and second.
    LimitHit {
        /// The bound, as in the counters.
        limit: Cow<'static, str>,
        /// Whom it met, if that is one peer.
        address: Option<Arc<str>>,
    },
}

/// The kind of an event, for filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// [`Event::ConnectionOpened`]
    ConnectionOpened,
    /// [`Event::ConnectionClosed`]
    ConnectionClosed,
    /// [`Event::WorkerAuthorized`]
    WorkerAuthorized,
    /// [`Event::Share`]
    Share,
    /// [`Event::RejectBurst`]
    RejectBurst,
    /// [`Event::PoolState`]
    PoolState,
    /// [`Event::Switch`]
    Switch,
    /// [`Event::Job`]
    Job,
    /// [`Event::BlockCandidate`]
    BlockCandidate,
    /// [`Event::Command`]
    Command,
    /// [`Event::Drill`]
    Drill,
    /// [`Event::LimitHit`]
    LimitHit,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::ConnectionOpened,
        Self::ConnectionClosed,
        Self::WorkerAuthorized,
        Self::Share,
        Self::RejectBurst,
        Self::PoolState,
        Self::Switch,
        Self::Job,
        Self::BlockCandidate,
        Self::Command,
        Self::Drill,
        Self::LimitHit,
    ];

    /// Its name in JSON and queries.
    pub fn label(self) -> &'static str {
        match self {
            Self::ConnectionOpened => "connection_opened",
            Self::ConnectionClosed => "connection_closed",
            Self::WorkerAuthorized => "worker_authorized",
            Self::Share => "share",
            Self::RejectBurst => "reject_burst",
            Self::PoolState => "pool_state",
            Self::Switch => "switch",
            Self::Job => "job",
            Self::BlockCandidate => "block_candidate",
            Self::Command => "command",
            Self::Drill => "drill",
            Self::LimitHit => "limit_hit",
        }
    }
}

impl Event {
    /// What kind of event it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::ConnectionOpened { .. } => Kind::ConnectionOpened,
            Self::ConnectionClosed { .. } => Kind::ConnectionClosed,
            Self::WorkerAuthorized { .. } => Kind::WorkerAuthorized,
            Self::Share { .. } => Kind::Share,
            Self::RejectBurst { .. } => Kind::RejectBurst,
            Self::PoolState { .. } => Kind::PoolState,
            Self::Switch { .. } => Kind::Switch,
            Self::Job { .. } => Kind::Job,
            Self::BlockCandidate { .. } => Kind::BlockCandidate,
            Self::Command { .. } => Kind::Command,
            Self::Drill { .. } => Kind::Drill,
            Self::LimitHit { .. } => Kind::LimitHit,
        }
    }

    /// The worker that it is about, if it is about one.
    pub fn worker(&self) -> Option<&str> {
        match self {
            Self::WorkerAuthorized { worker, .. }
            | Self::Share { worker, .. }
            | Self::BlockCandidate { worker, .. } => Some(worker),
            Self::ConnectionClosed { worker, .. }
            | Self::RejectBurst { worker, .. }
            | Self::Switch { worker, .. } => worker.as_deref(),
            _ => None,
        }
    }

    /// Whether it is about this pool.
    pub fn is_about_pool(&self, name: &str) -> bool {
        match self {
            Self::WorkerAuthorized { pool, .. }
            | Self::RejectBurst { pool, .. }
            | Self::PoolState { pool, .. }
            | Self::Job { pool, .. }
            | Self::BlockCandidate { pool, .. } => &**pool == name,
            Self::Share { pool, .. } => pool.as_deref() == Some(name),
            Self::Drill { from, .. } => &**from == name,
            Self::Switch { from, to, .. } => &**from == name || &**to == name,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_the_same_name_everywhere() {
        let event = Event::Job { pool: "a".into(), clean: true, block_height: None };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["kind"], event.kind().label());
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.label());
        }
    }

    #[test]
    fn a_command_keeps_its_own_name_inside_the_event() {
        let event = Event::Command {
            token: "ops".into(),
            source: "127.0.0.1:1".into(),
            command: Command::DrainPool { pool: "a".into() },
            done: true,
            result: "ok".into(),
        };
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(
            (json["kind"].as_str(), json["request"]["command"].as_str()),
            (Some("command"), Some("drain_pool"))
        );
    }
}
