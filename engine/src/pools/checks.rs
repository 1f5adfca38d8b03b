//! When to probe a pool that is in use: one that failed somebody, soon, and one that nobody mines at, now and then.
//!
//! A breaker learns from sessions. Where there are few, one pool's death is a single report, which may as well be a single
//! lost connection; and of a standby that nobody mines at nothing is heard before it is needed. A probe tells.

use std::collections::HashMap;

use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;

use super::breaker::State;

/// From a failure to the probe that looks into it, and from a failed probe to the next.
const SUSPECT_MS: u64 = 1_000;
/// Between two looks at a pool that nobody mines at.
const IDLE_MS: u64 = 60_000;

/// The next check of each pool.
#[derive(Debug, Default)]
pub(super) struct Checks {
    at: HashMap<PoolId, Moment>,
}

impl Checks {
    /// A pool is in this state now: it was made, a transition led there, or a probe ended.
    pub(super) fn follow(&mut self, pool: PoolId, state: State, now: Moment) {
        match state {
            State::Degraded => self.at.insert(pool, now.plus_ms(SUSPECT_MS)),
            State::Up => self.at.insert(pool, now.plus_ms(IDLE_MS)),
            // The breaker itself asks for probes; or nobody wants any.
            State::Down { .. } | State::HalfOpen { .. } | State::Draining | State::Disabled => {
                self.at.remove(&pool)
            }
        };
    }

    /// A pool is no longer configured.
    pub(super) fn forget(&mut self, pool: PoolId) {
        self.at.remove(&pool);
    }

    /// Pools whose time has come. Each is asked about again some time later, whatever comes of the probe.
    pub(super) fn take_due(&mut self, now: Moment) -> Vec<PoolId> {
        let due: Vec<_> = self.at.iter().filter(|&(_, &at)| at <= now).map(|(&pool, _)| pool).collect();
        for &pool in &due {
            self.at.insert(pool, now.plus_ms(IDLE_MS));
        }
        due
    }

    /// When the next check is due.
    pub(super) fn deadline(&self) -> Moment {
        self.at.values().copied().min().unwrap_or(Moment::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: PoolId = PoolId(1);

    #[test]
    fn a_pool_that_failed_somebody_is_checked_soon_and_another_one_now_and_then() {
        let mut checks = Checks::default();
        assert_eq!(checks.deadline(), Moment::NEVER);
        let start = Moment(5_000_000);
        checks.follow(POOL, State::Up, start);
        assert_eq!(checks.deadline(), start.plus_ms(IDLE_MS));
        checks.follow(POOL, State::Degraded, start);
        assert_eq!(checks.take_due(start), []);
        let due = start.plus_ms(SUSPECT_MS);
        assert_eq!(checks.take_due(due), [POOL]);
        assert_eq!(checks.deadline(), due.plus_ms(IDLE_MS));
    }

    #[test]
    fn a_pool_that_is_down_is_left_to_its_breaker() {
        let mut checks = Checks::default();
        checks.follow(POOL, State::Degraded, Moment(0));
        checks.follow(POOL, State::Down { until: Moment(9) }, Moment(0));
        assert_eq!(checks.deadline(), Moment::NEVER);
        assert_eq!(checks.take_due(Moment(u64::MAX / 2)), []);
    }
}
