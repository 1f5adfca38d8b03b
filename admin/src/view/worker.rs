//! One worker, and all of them.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rates, ShareCounts};

/// Whether a worker is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// At least one connection is authorised under its name.
    Online,
    /// None is.
    #[default]
    Offline,
}

/// A worker over all its connections and shards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Worker {
    /// The name that it is counted and commanded by.
    pub name: Arc<str>,
    /// The name that the pool is told.
    pub upstream_name: Arc<str>,
    /// Whether it is connected.
    pub state: WorkerState,
    /// The pool it mines at, or mined at last.
    pub pool: Option<Arc<str>>,
    /// Its connections now.
    pub connections: u32,
    /// The address it came from last.
    pub address: Option<Arc<str>>,
    /// What it calls itself, cleaned.
    pub user_agent: Option<Arc<str>>,
    /// Seen first.
    pub first_seen_ms: u64,
    /// Seen last.
    pub last_seen_ms: u64,
    /// Its last share.
    pub last_share_ms: Option<u64>,
    /// The difficulty it works at.
    #[serde(serialize_with = "super::finite")]
    pub difficulty: f64,
    /// The best difficulty that a share of it reached, where shares are checked here.
    pub best_difficulty: Option<f64>,
    /// Its hashrate.
    pub hashrate: Rates,
    /// How its shares ended.
    pub shares: ShareCounts,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            name: "".into(),
            upstream_name: "".into(),
            state: WorkerState::default(),
            pool: None,
            connections: 0,
            address: None,
            user_agent: None,
            first_seen_ms: 0,
            last_seen_ms: 0,
            last_share_ms: None,
            difficulty: 0.0,
            best_difficulty: None,
            hashrate: Rates::default(),
            shares: ShareCounts::default(),
        }
    }
}

/// Every worker known, online and offline.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workers {
    /// Each worker once, in any order.
    pub all: Vec<Worker>,
    /// Shards that did not answer in time: their part is missing.
    pub shards_missing: u32,
}
