//! The facts that health is judged by. They are read from what the threads publish anyway, so that asking is cheap and
//! never waits: an operator asks most often when something hangs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that decides whether Adit is well.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HealthFacts {
    /// The pools.
    pub pools: PoolsHealth,
    /// The ledger; `None` where none is kept.
    pub database: Option<DatabaseHealth>,
    /// The process.
    pub system: SystemHealth,
}

/// Whether there is a pool to mine at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolsHealth {
    /// Pools that miners may be sent to.
    pub usable: u32,
    /// Pools configured that no operator disabled or drains.
    pub enabled: u32,
    /// Those of them that are not usable.
    pub unusable: Vec<UnusablePool>,
}

/// A pool that miners cannot be sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnusablePool {
    /// What it is called.
    pub name: String,
    /// Why, in words.
    pub reason: String,
    /// Since when.
    pub since_ms: u64,
}

/// Whether the ledger takes rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseHealth {
    /// Whether the last write succeeded.
    pub writable: bool,
    /// The last error, if the last write failed.
    pub last_error: Option<String>,
    /// Age of the oldest row that is not on disk yet.
    pub durable_lag_ms: u64,
    /// Rows that wait.
    pub queued_rows: u64,
    /// Rows that fit in the queues at most.
    pub queue_rows_max: u64,
    /// Shares that are only counted in gap rows, since the start.
    pub gap_shares: u64,
}

/// Whether the process is whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SystemHealth {
    /// When the process started.
    pub started_ms: u64,
    /// Whether new miners are let in.
    pub accepting: bool,
    /// Whether Adit is draining, to stop.
    pub draining: bool,
    /// Shards that showed a sign of life lately.
    pub shards_alive: u32,
    /// Shards that there should be.
    pub shards: u32,
    /// Resident memory.
    pub memory_bytes: u64,
    /// The limit on it (cgroup or configuration), if there is one.
    pub memory_bytes_max: Option<u64>,
    /// Descriptors open.
    pub descriptors: u64,
    /// The limit on them.
    pub descriptors_max: u64,
    /// Miners connected.
    pub connections: u64,
    /// The limit on them.
    pub connections_max: u64,
}
