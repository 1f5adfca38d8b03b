//! Figures over time, as the ledger keeps them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whose figures.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// All workers together.
    Fleet,
    /// A pool by its name.
    Pool(String),
    /// A worker by the name that the miner gives.
    Worker(String),
}

/// A span of time and how finely to cut it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its start, a multiple of the step.
    pub from_ms: u64,
    /// Its end, exclusive.
    pub to_ms: u64,
    /// The length of a step, whole minutes.
    pub step_ms: u64,
}

/// Figures of one subject, one entry per step, oldest first. A step of which nothing is known counts 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// The start of the first step.
    pub from_ms: u64,
    /// The length of a step.
    pub step_ms: u64,
    /// Mean hashrate, hashes per second.
    pub hashrate: Vec<f64>,
    /// Shares accepted.
    pub accepted: Vec<u64>,
    /// Shares rejected by the pool, refused here, or unanswered.
    pub rejected: Vec<u64>,
}
