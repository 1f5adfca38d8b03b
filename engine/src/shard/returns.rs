//! Miners that cannot be switched live: closed, with the connection to their next pool kept for their return.

use adit_protocol::event::{CloseReason, Wire};
use adit_protocol::pool::PoolId;

use super::pair::Key;
use super::plane::Plane;
use crate::pools::counters::PoolCounter;

impl Plane {
    /// Another pool is ready for a miner that must come back to get there.
    pub(super) fn cannot_follow(&mut self, key: Key, _wire: Wire, pool: PoolId) {
        self.move_over(key);
        self.pool_counters.count(pool, PoolCounter::ClosesTo);
        self.end_session(key, CloseReason::Moved, self.now);
    }
}
