//! How pools are and why, in words and times, for operators to read. Written by the control at each transition; shards
//! read [`Standings`](super::standing::Standings) instead.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use adit_admin::view::{PoolChange, PoolProbe, PoolState};
use adit_protocol::pool::PoolId;
use parking_lot::Mutex;

/// Changes remembered per pool.
const HISTORY_COUNT_MAX: usize = 32;

/// Probes remembered per pool: those of a quarter of an hour where nobody mines.
const PROBES_COUNT_MAX: usize = 16;

/// How one pool is.
#[derive(Clone, Debug, Default)]
pub struct PoolStatus {
    /// Its state.
    pub state: PoolState,
    /// Why, in words.
    pub reason: String,
    /// Since when, Unix time in milliseconds.
    pub since_ms: u64,
    /// Since when no miner may be sent there: a probe that fails changes the state twice, and ends nothing.
    pub unusable_since_ms: Option<u64>,
    /// When it is looked at again, the same.
    pub until_ms: Option<u64>,
    /// The last changes, oldest first.
    pub history: Vec<PoolChange>,
    /// The last probes, oldest first.
    pub probes: VecDeque<PoolProbe>,
    /// Probes so far that found it to work, and that did not.
    pub probes_ended: [u64; 2],
}

/// How all pools are. Copies are one.
#[derive(Clone, Debug, Default)]
pub struct Statuses(Arc<Mutex<HashMap<PoolId, PoolStatus>>>);

impl Statuses {
    /// How a pool is.
    pub fn of(&self, pool: PoolId) -> PoolStatus {
        self.0.lock().get(&pool).cloned().unwrap_or_default()
    }

    /// Notes how a pool is from now on. The history grows when its state is another than before.
    pub fn set(&self, pool: PoolId, mut status: PoolStatus) {
        let mut statuses = self.0.lock();
        let known = statuses.entry(pool).or_insert_with(|| status.clone());
        status.history = std::mem::take(&mut known.history);
        status.probes = std::mem::take(&mut known.probes);
        status.probes_ended = known.probes_ended;
        let unusable_since_ms = known.unusable_since_ms.or(Some(status.since_ms));
        status.unusable_since_ms = unusable_since_ms.filter(|_| !status.state.is_usable());
        if status.state != known.state {
            if status.history.len() >= HISTORY_COUNT_MAX {
                status.history.remove(0);
            }
            // Each time is reckoned from the wall clock anew: changes within a millisecond must not seem to be in another
            // order.
            let last_ms = status.history.last().map_or(0, |last| last.at_ms);
            status.history.push(PoolChange {
                at_ms: status.since_ms.max(last_ms),
                from: known.state,
                to: status.state,
                reason: status.reason.clone(),
            });
        }
        *known = status;
    }

    /// Notes what came of a probe.
    pub fn probed(&self, pool: PoolId, probe: PoolProbe) {
        let mut statuses = self.0.lock();
        let known = statuses.entry(pool).or_default();
        let [passed, failed] = &mut known.probes_ended;
        *(if probe.passed { passed } else { failed }) += 1;
        if known.probes.len() >= PROBES_COUNT_MAX {
            known.probes.pop_front();
        }
        known.probes.push_back(probe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_tells_changes_only_and_is_bounded() {
        let statuses = Statuses::default();
        let pool = PoolId(1);
        for n in 0..2 * HISTORY_COUNT_MAX as u64 {
            let state = if n % 2 == 0 { PoolState::Up } else { PoolState::Down };
            for _ in 0..2 {
                statuses.set(pool, PoolStatus { state, since_ms: n, ..PoolStatus::default() });
            }
        }
        let history = statuses.of(pool).history;
        assert_eq!(history.len(), HISTORY_COUNT_MAX);
        assert!(history.iter().all(|change| change.from != change.to));
        assert_eq!(history.last().map(|change| change.at_ms), Some(2 * HISTORY_COUNT_MAX as u64 - 1));
    }

    #[test]
    fn a_pool_is_unusable_since_it_was_usable_last_whatever_probes_said_since() {
        let (statuses, pool) = (Statuses::default(), PoolId(1));
        let states =
            [PoolState::Up, PoolState::Down, PoolState::HalfOpen, PoolState::Down, PoolState::Degraded];
        let since = states.into_iter().zip(10..).map(|(state, since_ms)| {
            statuses.set(pool, PoolStatus { state, since_ms, ..PoolStatus::default() });
            statuses.of(pool).unusable_since_ms
        });
        assert_eq!(since.collect::<Vec<_>>(), [None, Some(11), Some(11), Some(11), None]);
    }

    #[test]
    fn changes_of_the_same_moment_keep_their_order() {
        let (statuses, pool) = (Statuses::default(), PoolId(1));
        for (n, since_ms) in [10, 12, 11].into_iter().enumerate() {
            let state = if n % 2 == 0 { PoolState::Up } else { PoolState::Down };
            statuses.set(pool, PoolStatus { state, since_ms, ..PoolStatus::default() });
        }
        let times: Vec<_> = statuses.of(pool).history.iter().map(|change| change.at_ms).collect();
        assert!(times.is_sorted() && times.last() == Some(&12), "{times:?}");
    }

    #[test]
    fn probes_are_counted_and_the_last_ones_kept_whatever_the_state_is() {
        let statuses = Statuses::default();
        let pool = PoolId(1);
        for n in 0..2 * PROBES_COUNT_MAX as u64 {
            statuses.probed(pool, PoolProbe { at_ms: n, passed: n % 4 == 0, ..PoolProbe::default() });
            statuses.set(pool, PoolStatus::default());
        }
        let status = statuses.of(pool);
        assert_eq!((status.probes.len(), status.probes_ended), (PROBES_COUNT_MAX, [8, 24]));
        assert_eq!(status.probes.back().map(|probe| probe.at_ms), Some(2 * PROBES_COUNT_MAX as u64 - 1));
    }
}
