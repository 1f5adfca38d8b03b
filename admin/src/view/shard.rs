//! One shard: its connections, what went wrong on them, how busy it is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Counts, Latency};

/// A shard's counters, all since the start of the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// Its number, from 0.
    pub index: u32,
    /// The core it is bound to, if it is.
    pub core: Option<u32>,
    /// Whether it answered in time; if not, the figures are the last known ones.
    pub fresh: bool,
    /// Milliseconds since it last showed a sign of life.
    pub heartbeat_age_ms: u64,
    /// Share of the time that it worked rather than waited, 0 to 1, over the last seconds.
    #[serde(serialize_with = "super::finite")]
    pub busy_share: f64,
    /// Miners connected now.
    pub connections: u64,
    /// Miners connected now, by stage of the handshake (`connected`, `subscribed`, `authorized`).
    pub stages: Counts,
    /// Miners that connected.
    pub connections_opened: u64,
    /// Sessions that ended, by reason.
    pub connections_closed: Counts,
    /// Miners refused before a session, by reason (`connection_limit`, `address_limit`, `banned`, `draining`, …).
    pub connections_refused: Counts,
    /// Bytes from miners.
    pub miner_bytes_in: u64,
    /// Bytes to miners.
    pub miner_bytes_out: u64,
    /// Bytes from pools.
    pub pool_bytes_in: u64,
    /// Bytes to pools.
    pub pool_bytes_out: u64,
    /// Lines that could not be read, by reason.
    pub parse_errors: Counts,
    /// What was odd but harmless, by kind (`stray_response`, `late_accept`, …).
    pub oddities: Counts,
    /// Bounds reached, by name.
    pub limits_hit: Counts,
    /// Miners whose name turned out to belong to another pool, by what was done.
    pub placements: Counts,
    /// Panics contained to one session.
    pub panics: u64,
    /// From the pool's job line to the miner's socket.
    pub job_forwarding: Latency,
    /// From putting a message into the mailbox to its handling.
    pub mailbox: Latency,
    /// From a deadline of the shard to when it was looked at.
    pub timers: Latency,
}
