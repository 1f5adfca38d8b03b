//! What one run of Adit is told to do, as types that cannot be wrong.
//!
//! [`crate::config`] makes a [`Settings`] from file, environment and flags, and refuses what has no meaning. Whoever
//! holds one may use it without a look back: every number is within its bounds, every name fits its template.
//! Nothing here reads a file or prints an error.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use crate::logging::levels::Levels;
pub use crate::pools::settings::{
    FailoverSettings, GroupSettings, PoolSettings, PoolTimeouts, RouteSettings,
};

mod admin;

pub use admin::AdminSettings;

/// Where miners are awaited unless told otherwise.
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 3333);
/// Where operators are answered unless told otherwise.
pub const ADMIN_LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Everything `adit run` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where miners are awaited; at least one, each once. Port 0 lets the kernel choose.
    pub listeners: Vec<SocketAddr>,
    /// Where shares go: at least one, each with a name of its own, in the order they were written in.
    pub pools: Vec<PoolSettings>,
    /// Every group that a pool names, in the order in which pools name them.
    pub groups: Vec<GroupSettings>,
    /// Which miners get which group; the first that holds counts. Miners for which none does get
    /// [`GROUP_DEFAULT`](crate::pools::settings::GROUP_DEFAULT), which has a pool unless the last route holds for all.
    pub routes: Vec<RouteSettings>,
    /// When pools count as dead and good, and how miners are moved.
    pub failover: FailoverSettings,
    /// Threads that serve miners; `None` is one per core of the process's affinity mask.
    pub shards: Option<NonZeroUsize>,
    /// Whether each shard is bound to a core of its own.
    pub pin: bool,
    /// How long Adit waits for whom.
    pub timeouts: Timeouts,
    /// How much Adit takes on.
    pub limits: Limits,
    /// Whether every share is hashed here too, before the pool's verdict.
    pub share_check: bool,
    /// What is logged, how, and where to.
    pub log: LogSettings,
    /// How operators are answered; `None` is not at all.
    pub admin: Option<AdminSettings>,
    /// The ledger's file; `None` keeps none.
    pub ledger: Option<PathBuf>,
}

impl Settings {
    /// The defaults, with this pool alone.
    pub fn with_pool(pool: PoolSettings) -> Self {
        Self {
            listeners: vec![LISTEN_DEFAULT],
            groups: vec![GroupSettings { name: pool.group.clone(), warm_standby: 0 }],
            pools: vec![pool],
            routes: Vec::new(),
            failover: FailoverSettings::default(),
            shards: None,
            pin: true,
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            share_check: false,
            log: LogSettings::default(),
            admin: Some(AdminSettings::default()),
            ledger: None,
        }
    }
}

/// Text that must not show in logs, errors or `config show`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown by accident.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one who sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::MASK)
    }
}

impl Secret {
    /// What is shown in its place.
    pub const MASK: &'static str = "***";
}

/// Deadlines, all in milliseconds and none of them 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP connect to the pool.
    pub connect_ms: u64,
    /// The pool's answer to configure, subscribe, authorize and extranonce.subscribe; then ours.
    pub handshake_reply_ms: u64,
    /// The pool's verdict on a submit; then it is unanswered.
    pub submit_reply_ms: u64,
    /// A miner's first valid Stratum request after it connected.
    pub first_request_ms: u64,
    /// A miner's `mining.subscribe` after it connected.
    pub subscribe_ms: u64,
    /// A miner's first accepted `mining.authorize` after it connected.
    pub authorize_ms: u64,
    /// Silence of an authorised miner.
    pub miner_idle_ms: u64,
    /// Silence of the pool.
    pub pool_silence_ms: u64,
    /// The pool's first job after it accepted a name.
    pub first_job_ms: u64,
    /// How long pending submits may settle when Adit stops.
    pub drain_ms: u64,
    /// How often the pool's name is resolved again.
    pub resolve_refresh_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: 5_000,
            handshake_reply_ms: 10_000,
            submit_reply_ms: 15_000,
            first_request_ms: 15_000,
            subscribe_ms: 20_000,
            authorize_ms: 60_000,
            miner_idle_ms: 3_600_000,
            pool_silence_ms: 120_000,
            first_job_ms: 15_000,
            drain_ms: 5_000,
            resolve_refresh_ms: 60_000,
        }
    }
}

/// Bounds on what miners may take, none of them 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Miners connected at the same time, over all shards.
    pub connections_max: usize,
    /// The same from one address (IPv4) or one /64 network (IPv6); never above `connections_max`.
    pub connections_per_address_max: usize,
    /// Bytes waiting for a peer that does not read, per direction; then its connection is closed.
    pub output_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections_max: 10_000, connections_per_address_max: 10_000, output_bytes_max: 1024 * 1024 }
    }
}

/// What is logged, how, and where to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Which records are kept, by module.
    pub levels: Levels,
    /// How a record is written.
    pub format: LogFormat,
    /// A file that is reopened on SIGUSR1; `None` is stderr.
    pub file: Option<PathBuf>,
    /// Where errors are reported beside the log, as Sentry writes it.
    pub sentry_dsn: Option<Secret>,
}

/// How a log record is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for a human.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let mut pool = PoolSettings::transparent("pool.example", 3333);
        pool.password = Some(Secret::new("hunter2"));
        let shown = format!("{:?}", Settings::with_pool(pool.clone()));
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains(Secret::MASK), "{shown}");
        assert_eq!(pool.password.as_ref().map(Secret::expose), Some("hunter2"));
    }
}
