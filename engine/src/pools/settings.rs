//! What the operator said about pools, groups and routes, as types that cannot be wrong.
//!
//! [`crate::config`] makes them, and has checked by then that names are unique, that every group has a pool, and that no
//! miner is left without a group. Not here: what follows from them.

use std::net::SocketAddr;

use adit_protocol::names::NameRule;

use super::network::Network;
use super::pattern::Pattern;
use crate::settings::{Secret, Timeouts};

/// The group of pools that name none, and of miners that no route matches.
pub const GROUP_DEFAULT: &str = "default";

/// One pool, and who we are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// What logs, metrics, the ledger and operators call it; no two pools have the same.
    pub name: String,
    /// The group it belongs to.
    pub group: String,
    /// Which pools of the group are tried first: those with the lowest number.
    pub priority: u16,
    /// Its part of the miners among usable pools of the same priority; never 0.
    pub weight: u32,
    /// Whether miners may be sent there at all.
    pub enabled: bool,
    /// Name or address without brackets; resolved off the shards.
    pub host: String,
    /// TCP port, never 0.
    pub port: u16,
    /// What stands before the separator in names sent upstream.
    pub account: Option<String>,
    /// Sent instead of the miners' own password.
    pub password: Option<Secret>,
    /// How a miner's name becomes the one sent upstream; the account is already in it.
    pub name_rule: NameRule,
    /// How long is waited for this pool.
    pub timeouts: PoolTimeouts,
}

impl PoolSettings {
    /// A pool that gets the miners' own names and passwords.
    pub fn transparent(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        Self {
            name: default_name(&host, port),
            group: GROUP_DEFAULT.to_owned(),
            priority: 1,
            weight: 1,
            enabled: true,
            host,
            port,
            account: None,
            password: None,
            name_rule: NameRule::default(),
            timeouts: PoolTimeouts::of(&Timeouts::default()),
        }
    }

    /// Its address, without any account or password.
    pub fn url(&self) -> String {
        format!("stratum+tcp://{}", default_name(&self.host, self.port))
    }
}

/// The name of a pool that was given none: `host:port`, an IPv6 address in brackets.
pub fn default_name(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Deadlines of one pool, all in milliseconds and none of them 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolTimeouts {
    /// TCP connect.
    pub connect_ms: u64,
    /// Its answer to configure, subscribe, authorize and extranonce.subscribe.
    pub handshake_reply_ms: u64,
    /// Its verdict on a submit; then it is unanswered.
    pub submit_reply_ms: u64,
    /// No byte from it.
    pub silence_ms: u64,
    /// Its first job after it accepted a name.
    pub first_job_ms: u64,
}

impl PoolTimeouts {
    /// Those of a pool that has none of its own.
    pub fn of(timeouts: &Timeouts) -> Self {
        Self {
            connect_ms: timeouts.connect_ms,
            handshake_reply_ms: timeouts.handshake_reply_ms,
            submit_reply_ms: timeouts.submit_reply_ms,
            silence_ms: timeouts.pool_silence_ms,
            first_job_ms: timeouts.first_job_ms,
        }
    }
}

/// Pools that stand in for one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSettings {
    /// What pools and routes call it; no two groups have the same.
    pub name: String,
    /// Spare upstream connections, already subscribed, that each shard keeps for it.
    pub warm_standby: u16,
}

/// One rule: miners for which all of its conditions hold get pools of its group. Without conditions it holds for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSettings {
    /// The group.
    pub group: String,
    /// The miner came in by this listener, as written in `listen`.
    pub listener: Option<SocketAddr>,
    /// The path it named, as `/order-1`.
    pub path: Option<String>,
    /// What it calls itself.
    pub worker: Option<Pattern>,
    /// Where it comes from.
    pub network: Option<Network>,
}

impl RouteSettings {
    /// Whether it holds for every miner.
    pub fn is_catch_all(&self) -> bool {
        self.listener.is_none() && self.path.is_none() && self.worker.is_none() && self.network.is_none()
    }

    /// Whether both hold for the same miners, as far as their texts tell.
    pub fn has_conditions_of(&self, other: &Self) -> bool {
        self.listener == other.listener
            && self.path == other.path
            && self.worker == other.worker
            && self.network == other.network
    }
}

/// When a pool counts as dead and as good again, and how miners are moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailoverSettings {
    /// So many failures ...
    pub failures_count: u32,
    /// ... within this time take a pool down.
    pub window_ms: u64,
    /// Time until a pool that went down is probed for the first time.
    pub backoff_min_ms: u64,
    /// The longest such time, reached by doubling; never below `backoff_min_ms`.
    pub backoff_max_ms: u64,
    /// How long a better pool must be good before miners go back to it.
    pub good_ms: u64,
    /// The least time between two moves of one miner that nothing forces.
    pub hold_ms: u64,
    /// Moves that nothing forces are spread over this time.
    pub failback_spread_ms: u64,
    /// How long miners are kept without a usable pool.
    pub grace_ms: u64,
    /// Closing many miners is spread over this time at most; few take less.
    pub close_jitter_ms: u64,
    /// How long a prepared upstream is kept for a miner that must reconnect.
    pub reserve_ms: u64,
    /// How long a connection in stock is kept before it is made anew.
    pub standby_ms: u64,
    /// How long the old upstream is kept for late verdicts after a switch.
    pub linger_ms: u64,
    /// So many rejects in a row on one connection count as a failure of the pool.
    pub rejects_run_count: u32,
}

impl Default for FailoverSettings {
    fn default() -> Self {
        Self {
            failures_count: 3,
            window_ms: 30_000,
            backoff_min_ms: 1_000,
            backoff_max_ms: 60_000,
            good_ms: 60_000,
            hold_ms: 60_000,
            failback_spread_ms: 30_000,
            grace_ms: 30_000,
            close_jitter_ms: 3_000,
            reserve_ms: 45_000,
            standby_ms: 60_000,
            linger_ms: 30_000,
            rejects_run_count: 50,
        }
    }
}
