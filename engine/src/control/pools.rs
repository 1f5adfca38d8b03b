//! Pools as operators see them: the configuration, the control's word on each, and what shards counted there.

use std::collections::HashMap;
use std::sync::Arc;

use adit_admin::view::{Counts, Pool, PoolsHealth, ShareCounts, Split, UnusablePool};
use adit_protocol::difficulty::Target;
use adit_protocol::pool::PoolId;
use adit_store::tally::{CLASSES_COUNT, class_index};

use crate::counters::{REJECT_CLASSES, reject_class_label};
use crate::figures::{Figures, FleetTotals, PoolTotals};
use crate::pools::catalogue::PoolEntry;
use crate::pools::counters::{PoolCounter, PoolSnapshot, PoolTimes};
use crate::pools::status::PoolStatus;

/// Every configured pool.
pub(super) fn views(figures: &Figures, totals: &FleetTotals, splits: &HashMap<PoolId, Split>) -> Vec<Pool> {
    let view = |entry: &Arc<PoolEntry>| {
        let of_pool = totals.by_pool.get(&entry.id).copied().unwrap_or_default();
        Pool { split: splits.get(&entry.id).copied().unwrap_or_default(), ..pool(figures, entry, &of_pool) }
    };
    figures.pools.catalogue().pools().map(view).collect()
}

/// Whether there is a pool to mine at.
pub(super) fn health(figures: &Figures) -> PoolsHealth {
    let mut health = PoolsHealth::default();
    for entry in figures.pools.catalogue().pools() {
        let status = figures.pools.statuses.of(entry.id);
        if status.state.is_unwanted() {
            continue;
        }
        health.enabled += 1;
        if status.state.is_usable() {
            health.usable += 1;
        } else {
            let PoolStatus { reason, since_ms, unusable_since_ms, .. } = status;
            let since_ms = unusable_since_ms.unwrap_or(since_ms);
            health.unusable.push(UnusablePool { name: entry.settings.name.clone(), reason, since_ms });
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

/// What things took there, on all shards.
fn times(figures: &Figures, pool: PoolId) -> PoolTimes {
    let mut sum = PoolTimes::default();
    figures.shards.iter().for_each(|shard| shard.pool_counters.add_times(pool, &mut sum));
    sum
}

fn pool(figures: &Figures, entry: &PoolEntry, totals: &PoolTotals) -> Pool {
    let status = figures.pools.statuses.of(entry.id);
    let (sum, times) = (counted(figures, entry.id), times(figures, entry.id));
    let get = |counter| sum.get(counter);
    let failures = [
        ("dial", get(PoolCounter::DialsFailed)),
        ("handshake", get(PoolCounter::LoginsFailed)),
        ("lost", get(PoolCounter::Lost)),
    ];
    // Each shard has its own miners there; the newest job counts.
    let last = figures.shards.iter().map(|shard| shard.pool_counters.last(entry.id));
    let last = last.max_by_key(|last| last.job_at).unwrap_or_default();
    let switches = [("live", get(PoolCounter::LiveTo)), ("reconnect", get(PoolCounter::ClosesTo))];
    let [passed, failed] = status.probes_ended;
    let kept = [
        ("reserved", get(PoolCounter::Reserved)),
        ("returned", get(PoolCounter::Taken)),
        ("lapsed", get(PoolCounter::Lapsed)),
        ("stocked", get(PoolCounter::Stocked)),
        ("used", get(PoolCounter::Drawn)),
        ("recycled", get(PoolCounter::Recycled)),
    ];
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
        probes: status.probes.into(),
        probes_ended: Counts::from_iter([("passed", passed), ("failed", failed)]),
        connections: sum.open().saturating_sub(sum.reserved() + sum.in_stock()),
        standby: sum.reserved() + sum.in_stock(),
        kept: Counts::from_iter(kept),
        connects: get(PoolCounter::Opened).saturating_sub(get(PoolCounter::DialsFailed)),
        connect_failures: Counts::from_iter(failures),
        connect_time: times.connect.latency(),
        switches_to: Counts::from_iter(switches),
        switch_time: times.switch.latency(),
        shares: ShareCounts { accepted_difficulty: totals.difficulty_accepted, ..shares(&sum) },
        verdict_time: times.verdict.latency(),
        hashrate: totals.hashrate,
        jobs: get(PoolCounter::Jobs) + get(PoolCounter::CleanJobs),
        clean_jobs: get(PoolCounter::CleanJobs),
        last_job_ms: last.job_at.map(|at| figures.clock.wall_us(at) / 1_000),
        difficulty: last.difficulty,
        block_height: last.chain.block_height.map(u64::from),
        network_difficulty: last.chain.nbits.and_then(Target::from_nbits).map(|target| target.difficulty()),
        bytes_in: get(PoolCounter::BytesFrom),
        bytes_out: get(PoolCounter::BytesTo),
        ..Pool::default()
    }
}

fn shares(sum: &PoolSnapshot) -> ShareCounts {
    let by_class = |counts: &[u64; CLASSES_COUNT]| -> Counts {
        let label = |&class| (reject_class_label(class), counts[class_index(Some(class))]);
        REJECT_CLASSES.iter().map(label).collect()
    };
    ShareCounts {
        accepted: sum.get(PoolCounter::Accepted),
        rejected: by_class(&sum.rejected),
        refused_here: by_class(&sum.refused_here),
        unanswered: sum.get(PoolCounter::Unanswered),
        block_candidates: sum.get(PoolCounter::BlockCandidates),
        ..ShareCounts::default()
    }
}
