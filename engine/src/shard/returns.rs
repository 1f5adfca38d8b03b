//! Miners that cannot be switched live: closed when their next pool is ready for them, not all at the same moment.

use adit_protocol::pool::PoolId;

use super::pair::Key;
use super::plane::Plane;
use crate::pools::counters::PoolCounter;

impl Plane {
    /// Another pool is ready for a miner that must come back to get there.
    pub(super) fn cannot_follow(&mut self, key: Key, pool: PoolId) {
        self.move_over(key);
        let jitter_ms = self.pools.catalogue.settings().failover.close_jitter_ms;
        let close_at = self.now.plus_ms(self.dice.below(jitter_ms));
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.moves.close_at = close_at;
        self.pool_counters.count(pool, PoolCounter::ClosesTo);
        self.set_timer(key);
    }
}
