//! Orders in force: workers that an operator moved to a pool, and for how long they are kept there.
//!
//! An order puts one pool before all others of the miner's group, for connections that stand and for those that come. While
//! that pool cannot be used, the plan holds as if there were no order. Known by the name that the miner gives, bounded, and
//! of this run alone.
//!
//! Asked where a pool is chosen or a session is looked after, never per message, so a lock is no harm.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adit_protocol::limits::NAME_TABLE_COUNT_MAX;
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use parking_lot::RwLock;

/// Names with an order. Beyond it, what stands is moved and what comes later goes by the plan.
const ORDERS_COUNT_MAX: usize = NAME_TABLE_COUNT_MAX;

/// All orders in force. Copies are one.
#[derive(Clone, Debug, Default)]
pub struct Orders(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    by_name: RwLock<HashMap<Box<[u8]>, Order>>,
    /// How many there are: nearly always none, and then nobody takes the lock.
    count: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Order {
    pool: PoolId,
    until: Moment,
}

impl Orders {
    /// Keeps the miner of this name at `pool` up to `until`, whatever was ordered before. False if there is no room.
    pub fn give(&self, name: &[u8], pool: PoolId, until: Moment) -> bool {
        let mut by_name = self.0.by_name.write();
        if by_name.len() >= ORDERS_COUNT_MAX && !by_name.contains_key(name) {
            return false;
        }
        by_name.insert(name.into(), Order { pool, until });
        self.0.count.store(by_name.len(), Ordering::Release);
        true
    }

    /// The miner of this name goes by the plan again. Whether there was an order.
    pub fn lift(&self, name: &[u8]) -> bool {
        let mut by_name = self.0.by_name.write();
        let was_there = by_name.remove(name).is_some();
        self.0.count.store(by_name.len(), Ordering::Release);
        was_there
    }

    /// Where the miner of this name was ordered to.
    pub fn of(&self, name: &[u8]) -> Option<PoolId> {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.0.by_name.read().get(name).map(|order| order.pool)
    }

    /// Forgets those whose time is over, and says when the next one's is.
    pub fn end(&self, now: Moment) -> Moment {
        let mut by_name = self.0.by_name.write();
        by_name.retain(|_, order| order.until > now);
        self.0.count.store(by_name.len(), Ordering::Release);
        by_name.values().map(|order| order.until).min().unwrap_or(Moment::NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: PoolId = PoolId(1);
    const THERE: PoolId = PoolId(2);

    #[test]
    fn an_order_holds_until_its_time_is_over_or_another_takes_its_place() {
        let orders = Orders::default();
        assert_eq!(orders.of(b"a"), None);
        assert!(orders.give(b"a", HERE, Moment(10)) && orders.give(b"b", HERE, Moment(20)));
        assert!(orders.clone().give(b"a", THERE, Moment(30)));
        assert_eq!((orders.of(b"a"), orders.of(b"b"), orders.of(b"c")), (Some(THERE), Some(HERE), None));
        assert_eq!(orders.end(Moment(19)), Moment(20));
        assert_eq!(orders.end(Moment(20)), Moment(30));
        assert_eq!((orders.of(b"a"), orders.of(b"b")), (Some(THERE), None));
        assert!(orders.lift(b"a") && !orders.lift(b"a"));
        assert_eq!((orders.of(b"a"), orders.end(Moment(0))), (None, Moment::NEVER));
    }

    #[test]
    fn there_is_a_bound_and_those_that_have_an_order_may_get_another_one_there() {
        let orders = Orders::default();
        let name = |n: usize| n.to_string().into_bytes();
        assert!((0..ORDERS_COUNT_MAX).all(|n| orders.give(&name(n), HERE, Moment(1))));
        assert!(!orders.give(b"one more", HERE, Moment(1)));
        assert!(orders.give(&name(7), THERE, Moment(2)));
        assert_eq!(orders.end(Moment(1)), Moment(2));
        assert!(orders.give(b"one more", HERE, Moment(3)));
    }
}
