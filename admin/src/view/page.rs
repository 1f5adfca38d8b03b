//! The answers of the `/stats` pages, made from what the engine fills in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Build, CertificateInfo, Latency, LedgerStats, LimitUse, Pool, ProcessStats, Rates, Series, Shard,
    ShareCounts, Snapshot, Worker,
};

/// `/stats`: the whole process at a glance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// When the figures were taken.
    pub at_ms: u64,
    /// What runs.
    pub build: Build,
    /// The process.
    pub process: ProcessStats,
    /// Seconds since the process started.
    pub uptime_seconds: u64,
    /// Miners connected now.
    pub connections: u64,
    /// Miners that connected since the start.
    pub connections_opened: u64,
    /// Workers online now.
    pub workers_online: u64,
    /// Workers known, online and offline.
    pub workers_known: u64,
    /// Hashrate of all workers.
    pub hashrate: Rates,
    /// How all shares ended.
    pub shares: ShareCounts,
    /// Shares accepted, of those that ended; 1 while there are none.
    #[serde(serialize_with = "super::finite")]
    pub accept_rate: f64,
    /// From the miner's submit to the verdict.
    pub verdict_time: Latency,
    /// Pools that miners may be sent to.
    pub pools_usable: u64,
    /// Pools configured.
    pub pools: u64,
    /// Shards.
    pub shards: u64,
    /// The ledger; `null` where none is kept.
    pub ledger: Option<LedgerStats>,
    /// The bounds that come from the configuration, with what is used of them.
    pub limits: Vec<LimitUse>,
    /// Certificates in use.
    pub certificates: Vec<CertificateInfo>,
    /// Bans in force.
    pub bans: u64,
}

impl From<&Snapshot> for Stats {
    fn from(snapshot: &Snapshot) -> Self {
        let total = snapshot.shares.total();
        let accepted = snapshot.shares.accepted as f64;
        Self {
            at_ms: snapshot.at_ms,
            build: snapshot.build.clone(),
            process: snapshot.process.clone(),
            uptime_seconds: snapshot.at_ms.saturating_sub(snapshot.process.started_ms) / 1_000,
            connections: snapshot.shards.iter().map(|shard| shard.connections).sum(),
            connections_opened: snapshot.shards.iter().map(|shard| shard.connections_opened).sum(),
            workers_online: snapshot.workers_online,
            workers_known: snapshot.workers_known,
            hashrate: snapshot.hashrate,
            shares: snapshot.shares.clone(),
            accept_rate: if total == 0 { 1.0 } else { accepted / total as f64 },
            verdict_time: snapshot.verdict_time.clone(),
            pools_usable: snapshot.pools.iter().filter(|pool| pool.state.is_usable()).count() as u64,
            pools: snapshot.pools.len() as u64,
            shards: snapshot.shards.len() as u64,
            ledger: snapshot.ledger.clone(),
            limits: snapshot.limits.clone(),
            certificates: snapshot.certificates.clone(),
            bans: snapshot.bans,
        }
    }
}

/// `/stats/pools`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolList {
    /// When the figures were taken.
    pub at_ms: u64,
    /// The pools, as configured.
    pub pools: Vec<Pool>,
}

/// `/stats/shards`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShardList {
    /// When the figures were taken.
    pub at_ms: u64,
    /// The shards, by index.
    pub shards: Vec<Shard>,
}

/// `/stats/workers`: some of the workers that fit a filter.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerPage {
    /// When the figures were taken.
    pub at_ms: u64,
    /// Workers that fit the filter.
    pub total: u64,
    /// Workers online, whatever the filter.
    pub online: u64,
    /// Workers offline, whatever the filter.
    pub offline: u64,
    /// Workers left out before the first one here.
    pub offset: u64,
    /// Most workers that would be here.
    pub limit: u64,
    /// Shards whose part is missing because they did not answer in time.
    pub shards_missing: u32,
    /// The workers.
    pub workers: Vec<WorkerRow>,
}

/// A worker in a list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerRow {
    /// The worker.
    #[serde(flatten)]
    pub worker: Worker,
    /// Its hashrate over the last hour, oldest first; only when asked for, `null` where it is not known.
    pub spark: Option<Vec<f64>>,
}

/// `/stats/workers/{name}`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerDetail {
    /// The worker.
    #[serde(flatten)]
    pub worker: Worker,
    /// Its figures over time; `null` where no ledger is kept.
    pub series: Option<Series>,
}

/// `/stats/series`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesPage {
    /// When it was asked for.
    pub at_ms: u64,
    /// The figures; `null` where no ledger is kept or the subject is unknown.
    pub series: Option<Series>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_glance_adds_up_the_parts() {
        let shard = |connections| Shard { connections, connections_opened: 10, ..Shard::default() };
        let shares = ShareCounts { accepted: 3, unanswered: 1, ..ShareCounts::default() };
        let snapshot =
            Snapshot { shards: vec![shard(2), shard(3)], shares, at_ms: 5_000, ..Snapshot::default() };
        let stats = Stats::from(&snapshot);
        assert_eq!((stats.connections, stats.connections_opened, stats.uptime_seconds), (5, 20, 5));
        assert!((stats.accept_rate - 0.75).abs() < 1e-9);
        assert!((Stats::from(&Snapshot::default()).accept_rate - 1.0).abs() < 1e-9);
    }
}
