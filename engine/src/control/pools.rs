//! Pools as operators see them: the configuration, the control's word on each, and what shards counted there.

use adit_admin::view::{Counts, Pool, PoolsHealth, ShareCounts};
use adit_protocol::difficulty::Target;
use adit_protocol::pool::PoolId;

use crate::figures::Figures;
use crate::pools::catalogue::PoolEntry;
use crate::pools::counters::{PoolCounter, PoolSnapshot};

/// Every configured pool.
pub(super) fn views(figures: &Figures) -> Vec<Pool> {
    figures.pools.catalogue().pools().map(|entry| pool(figures, entry)).collect()
}

/// Whether there is a pool to mine at.
pub(super) fn health(figures: &Figures) -> PoolsHealth {
    let mut health = PoolsHealth::default();
    for entry in figures.pools.catalogue().pools() {
        let status = figures.pools.statuses.of(entry.id);
        if status.state == adit_admin::view::PoolState::Disabled {
            continue;
        }
        health.enabled += 1;
        if status.state.is_usable() {
            health.usable += 1;
        } else {
            health.unusable.push((entry.settings.url(), status.reason));
        }
    }
    health
}

/// What all shards counted at one pool.
fn counted(figures: &Figures, pool: PoolId) -> PoolSnapshot {
    let mut sum = PoolSnapshot::default();
    figures.shards.iter().for_each(|shard| sum.merge(&shard.pool_counters.of(pool)));
    sum
}

fn pool(figures: &Figures, entry: &PoolEntry) -> Pool {
    let status = figures.pools.statuses.of(entry.id);
    let sum = counted(figures, entry.id);
    let get = |counter| sum.get(counter);
    let failures = [
        ("dial", get(PoolCounter::DialsFailed)),
        ("handshake", get(PoolCounter::LoginsFailed)),
        ("lost", get(PoolCounter::Lost)),
    ];
    // Each shard has its own miners there; the newest job counts.
    let jobs = figures.shards.iter().map(|shard| shard.vitals.jobs(entry.id));
    let jobs = jobs.max_by_key(|jobs| jobs.last_job_at).unwrap_or_default();
    let switches = [("live", get(PoolCounter::LiveTo)), ("reconnect", get(PoolCounter::ClosesTo))];
    Pool {
        name: entry.settings.name.clone(),
        url: entry.settings.url(),
        group: entry.settings.group.clone(),
        priority: entry.settings.priority.into(),
        weight: entry.settings.weight,
        state: status.state,
        reason: status.reason,
        since_ms: status.since_ms,
        until_ms: status.until_ms,
        history: status.history,
        connections: sum.open().saturating_sub(sum.reserved() + sum.in_stock()),
        standby: sum.reserved() + sum.in_stock(),
        connects: get(PoolCounter::Opened).saturating_sub(get(PoolCounter::DialsFailed)),
        connect_failures: Counts::from_iter(failures),
        switches_to: Counts::from_iter(switches),
        shares: shares(&sum),
        jobs: get(PoolCounter::Jobs) + get(PoolCounter::CleanJobs),
        clean_jobs: get(PoolCounter::CleanJobs),
        last_job_ms: jobs.last_job_at.map(|at| figures.clock.wall_us(at) / 1_000),
        block_height: jobs.chain.block_height.map(u64::from),
        network_difficulty: jobs.chain.nbits.and_then(Target::from_nbits).map(|target| target.difficulty()),
        bytes_in: get(PoolCounter::BytesFrom),
        bytes_out: get(PoolCounter::BytesTo),
        ..Pool::default()
    }
}

fn shares(sum: &PoolSnapshot) -> ShareCounts {
    let one = |counter| Counts::from_iter([("all", sum.get(counter))]);
    ShareCounts {
        accepted: sum.get(PoolCounter::Accepted),
        rejected: one(PoolCounter::Rejected),
        refused_here: one(PoolCounter::RefusedHere),
        unanswered: sum.get(PoolCounter::Unanswered),
        ..ShareCounts::default()
    }
}
