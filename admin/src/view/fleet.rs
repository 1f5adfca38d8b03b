//! The whole process: everything a scrape needs in one value, so that its parts fit together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Counts, Latency, Pool, Rates, Shard, ShareCounts};

/// Everything but the workers, copied out at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// When it was taken.
    pub at_ms: u64,
    /// What runs.
    pub build: Build,
    /// The process.
    pub process: ProcessStats,
    /// Workers online now.
    pub workers_online: u64,
    /// Workers known, online and offline.
    pub workers_known: u64,
    /// Hashrate of all workers.
    pub hashrate: Rates,
    /// How all shares ended, those that belong to no pool included.
    pub shares: ShareCounts,
    /// From the miner's submit to the verdict, over all pools.
    pub verdict_time: Latency,
    /// The shards, by index.
    pub shards: Vec<Shard>,
    /// The pools, as configured.
    pub pools: Vec<Pool>,
    /// The ledger; `None` where none is kept.
    pub ledger: Option<LedgerStats>,
    /// The bounds that come from the configuration, with what is used of them.
    pub limits: Vec<LimitUse>,
    /// Certificates in use.
    pub certificates: Vec<CertificateInfo>,
    /// Bans in force.
    pub bans: u64,
}

/// What runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// Version of Adit.
    pub version: String,
    /// The commit it was built from, if known.
    pub commit: String,
    /// The compiler.
    pub rustc: String,
}

/// What the kernel says about the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProcessStats {
    /// When it started.
    pub started_ms: u64,
    /// Resident memory.
    pub memory_bytes: u64,
    /// CPU time used, user and system, all threads.
    #[serde(serialize_with = "super::finite")]
    pub cpu_seconds: f64,
    /// Descriptors open.
    pub descriptors: u64,
    /// The limit on them.
    pub descriptors_max: u64,
    /// Threads.
    pub threads: u64,
    /// Times the configuration was read again, by result (`applied`, `refused`).
    pub reloads: Counts,
    /// When the configuration in force was read.
    pub config_loaded_ms: u64,
}

/// The ledger's counters since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LedgerStats {
    /// Rows written.
    pub rows: u64,
    /// Batches written.
    pub batches: u64,
    /// Time spent writing a batch, its pieces and its commit together.
    pub batch_time: Latency,
    /// Rows that wait.
    pub queued_rows: u64,
    /// Rows that fit in the queues at most.
    pub queue_rows_max: u64,
    /// Age of the oldest row that is not on disk yet.
    pub durable_lag_ms: u64,
    /// Gap rows written.
    pub gaps: u64,
    /// Shares that are only counted in them.
    pub gap_shares: u64,
    /// Writes that failed.
    pub write_failures: u64,
    /// Size of the files.
    pub file_bytes: u64,
}

/// A bound that comes from the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LimitUse {
    /// Its name, such as `connections`.
    pub name: String,
    /// What is used now.
    pub used: u64,
    /// What may be used at most.
    pub max: u64,
}

/// A certificate in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateInfo {
    /// Where it is used: a listener's address or a pool's name.
    pub used_by: String,
    /// Whom it names.
    pub subject: String,
    /// When it ends.
    pub expires_ms: u64,
}

/// The configuration in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigText {
    /// TOML, every secret masked.
    pub toml: String,
    /// The file it came from, if any.
    pub file: Option<String>,
    /// When it was read.
    pub loaded_ms: u64,
}

/// A network that is not let in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ban {
    /// An address, or a network as `address/bits`.
    pub network: String,
    /// Since when.
    pub since_ms: u64,
    /// Until when; `None` is until it is lifted.
    pub until_ms: Option<u64>,
    /// Why, in words.
    pub reason: String,
    /// Who did it: a token's name, or the rule that fired.
    pub by: String,
}
