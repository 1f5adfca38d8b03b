//! How pools are and why, in words and times, for operators to read. Written by the control at each transition; shards
//! read [`Standings`](super::standing::Standings) instead.

use std::collections::HashMap;
use std::sync::Arc;

use adit_admin::view::{PoolChange, PoolState};
use adit_protocol::pool::PoolId;
use parking_lot::Mutex;

/// Changes remembered per pool.
const HISTORY_COUNT_MAX: usize = 32;

/// How one pool is.
#[derive(Clone, Debug, Default)]
pub struct PoolStatus {
    /// Its state.
    pub state: PoolState,
    /// Whether no new miners are sent there, by an operator's word.
    pub is_draining: bool,
    /// Why, in words.
    pub reason: String,
    /// Since when, Unix time in milliseconds.
    pub since_ms: u64,
    /// When it is looked at again, the same.
    pub until_ms: Option<u64>,
    /// The last changes, oldest first.
    pub history: Vec<PoolChange>,
}

/// How all pools are. Copies are one.
#[derive(Clone, Debug, Default)]
pub struct Statuses(Arc<Mutex<HashMap<PoolId, PoolStatus>>>);

impl Statuses {
    /// How a pool is.
    pub fn of(&self, pool: PoolId) -> PoolStatus {
        self.0.lock().get(&pool).cloned().unwrap_or_default()
    }

    /// Notes how a pool is from now on. The history grows when its state is another.
    pub fn set(&self, pool: PoolId, mut status: PoolStatus) {
        let mut statuses = self.0.lock();
        let known = statuses.entry(pool).or_default();
        status.history = std::mem::take(&mut known.history);
        if status.state != known.state {
            if status.history.len() >= HISTORY_COUNT_MAX {
                status.history.remove(0);
            }
            status.history.push(PoolChange {
                at_ms: status.since_ms,
                from: known.state,
                to: status.state,
                reason: status.reason.clone(),
            });
        }
        *known = status;
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
}
