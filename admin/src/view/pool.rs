//! One pool: its state and history, what it did with the shares.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Counts, Latency, Rates, ShareCounts, Split};

/// Whether miners may be sent to a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PoolState {
    /// It works.
    Up,
    /// It works, with faults.
    Degraded,
    /// It is not used until a moment that is set.
    #[default]
    Down,
    /// One probe is on its way.
    HalfOpen,
    /// An operator switched it off.
    Disabled,
    /// It gets no new miners, by an operator's word; those that need no reconnect for it move away.
    Draining,
}

impl PoolState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Up, Self::Degraded, Self::Down, Self::HalfOpen, Self::Disabled, Self::Draining];

    /// Whether miners may be sent there.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Up | Self::Degraded)
    }

    /// Whether an operator wants it not to be used.
    pub fn is_unwanted(self) -> bool {
        matches!(self, Self::Disabled | Self::Draining)
    }

    /// Its name in JSON and labels.
    pub fn label(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::HalfOpen => "half_open",
            Self::Disabled => "disabled",
            Self::Draining => "draining",
        }
    }
}

/// A change of a pool's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolChange {
    /// When.
    pub at_ms: u64,
    /// The state before.
    pub from: PoolState,
    /// The state since.
    pub to: PoolState,
    /// Why, in words.
    pub reason: String,
}

/// A login that Adit made by itself, to see whether a pool works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolProbe {
    /// When it began.
    pub at_ms: u64,
    /// How long it took.
    pub took_ms: u64,
    /// Whether the pool did what it should.
    pub passed: bool,
    /// How far it came, or what was wrong, in words.
    pub detail: String,
}

/// A pool and its counters, all since the start of the process and over all shards.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pool {
    /// Its name in the configuration.
    pub name: String,
    /// Where it is; never with a name or password in it.
    pub url: String,
    /// The group it belongs to.
    pub group: String,
    /// Its priority in the group; the lowest number comes first.
    pub priority: u32,
    /// Its weight among those of the same priority.
    pub weight: u32,
    /// Its part among the pools of its group and priority.
    pub split: Split,
    /// Whether miners may be sent there.
    pub state: PoolState,
    /// Why it is in that state, in words.
    pub reason: String,
    /// Since when.
    pub since_ms: u64,
    /// When the state is looked at again.
    pub until_ms: Option<u64>,
    /// The last changes, oldest first, bounded by the engine.
    pub history: Vec<PoolChange>,
    /// The last probes, oldest first, bounded by the engine.
    pub probes: Vec<PoolProbe>,
    /// All probes so far, by result (`passed`, `failed`).
    pub probes_ended: Counts,
    /// Connections to it now.
    pub connections: u64,
    /// Connections that stand prepared for a switch.
    pub standby: u64,
    /// What became of connections to it without a miner: `reserved` for a miner's return, then `returned` or `lapsed`;
    /// `stocked` for any miner, then `used` or `recycled`.
    pub kept: Counts,
    /// Connections made.
    pub connects: u64,
    /// Connections that failed, by when: `dial`, `handshake`, or `lost` after they had worked.
    pub connect_failures: Counts,
    /// From the first packet to the connection's being there.
    pub connect_time: Latency,
    /// Miners moved to it, by how: `live` on the connection that they had, or by `reconnect`.
    pub switches_to: Counts,
    /// From the decision to the first job at the miner, for live moves to it.
    pub switch_time: Latency,
    /// How shares ended.
    pub shares: ShareCounts,
    /// The most frequent words with which it rejected, bounded by the engine; the rest under `other`.
    pub reject_reasons: Counts,
    /// From the miner's submit to the pool's verdict.
    pub verdict_time: Latency,
    /// Hashrate that it credited.
    pub hashrate: Rates,
    /// Jobs it sent.
    pub jobs: u64,
    /// Jobs it sent that replaced all before them.
    pub clean_jobs: u64,
    /// When the last job came.
    pub last_job_ms: Option<u64>,
    /// The difficulty of the last share that it gave a verdict on.
    pub difficulty: Option<f64>,
    /// The height of the block that its jobs are for.
    pub block_height: Option<u64>,
    /// The network's difficulty by its jobs.
    pub network_difficulty: Option<f64>,
    /// Bytes from it.
    pub bytes_in: u64,
    /// Bytes to it.
    pub bytes_out: u64,
}
