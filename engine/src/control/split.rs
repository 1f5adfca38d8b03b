//! How miners are split among the pools of a group and priority, beside how the weights want it.
//!
//! Which worker mines where, and how fast, the shards know worker by worker. They are asked for it now and then only: with
//! ten thousand workers it costs each of them a millisecond.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_admin::view::{Split, SplitPart};
use adit_protocol::pool::PoolId;
use adit_protocol::workers::NO_WORKER;
use parking_lot::Mutex;

use crate::figures::Figures;
use crate::pools::catalogue::PoolEntry;
use crate::pools::split::{Share, Tally};

/// How old what the shards told may get.
const AGE_MAX: Duration = Duration::from_secs(5);

type Tallies = HashMap<PoolId, Tally>;

/// Knows how miners are split, as of some seconds ago at most.
#[derive(Debug, Default)]
pub(super) struct SplitMeter(Mutex<Option<(Instant, Arc<Tallies>)>>);

impl SplitMeter {
    /// Who mines where. Asks the shards if that is too long ago, for `within` at the longest.
    fn tallies(&self, figures: &Figures, within: Duration) -> Arc<Tallies> {
        let mut known = self.0.lock();
        if let Some((_, tallies)) = known.as_ref().filter(|(asked, _)| asked.elapsed() < AGE_MAX) {
            return tallies.clone();
        }
        let asked = Instant::now();
        let told = tally(figures, within);
        // Without a shard's miners there would be a split that there is not.
        let before = known.take().map(|(_, tallies)| tallies);
        let tallies = told.map(Arc::new).or(before).unwrap_or_default();
        *known = Some((asked, tallies.clone()));
        tallies
    }

    /// The split among all pools that are configured.
    pub(super) fn splits(&self, figures: &Figures, within: Duration) -> HashMap<PoolId, Split> {
        let tallies = self.tallies(figures, within);
        let catalogue = figures.pools.catalogue();
        let of = |pool: PoolId| tallies.get(&pool).copied().unwrap_or_default();
        let weight = |entry: &PoolEntry| {
            let takes = figures.pools.standings.of(entry.id).takes();
            if takes { f64::from(entry.settings.weight) } else { 0.0 }
        };
        let split = |entry: &Arc<PoolEntry>| {
            let rank = |entry: &PoolEntry| (entry.settings.group.clone(), entry.settings.priority);
            let (mut all, mut weights) = (Tally::default(), 0.0);
            for peer in catalogue.pools().filter(|peer| rank(peer) == rank(entry)) {
                all.merge(&of(peer.id));
                weights += weight(peer);
            }
            let wanted = if weights > 0.0 { weight(entry) / weights } else { 0.0 };
            let own = of(entry.id);
            let part =
                |share: Share| SplitPart { achieved: share.achieved, standard_error: share.standard_error };
            let split = Split {
                wanted,
                workers: own.count,
                by_workers: part(own.count_of(&all, wanted)),
                by_hashrate: part(own.part_of(&all, wanted)),
            };
            (entry.id, split)
        };
        catalogue.pools().map(split).collect()
    }
}

/// Asks the shards. `None` if one did not answer in time.
fn tally(figures: &Figures, within: Duration) -> Option<Tallies> {
    let mut tallies = Tallies::new();
    let is_whole = figures.each_worker(within, |worker, rates| {
        // What stands for many is nobody in particular.
        if worker.connections > 0 && worker.worker != NO_WORKER {
            tallies.entry(worker.pool).or_default().add(rates.m15);
        }
    });
    is_whole.then_some(tallies)
}
