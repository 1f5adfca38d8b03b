//! What all workers of a shard make together at each pool.
//!
//! A share is credited to the pool that accepted it; what all pools' miners make is the sum, which readers make.

use adit_protocol::limits::POOLS_COUNT_MAX;
use adit_protocol::pool::PoolId;
use adit_store::hashrate::Hashrate;

/// What the workers at one pool make, or at several together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FleetFigures {
    /// Their hashrates.
    pub hashrate: Hashrate,
    /// Sum of the assigned difficulty of their accepted shares.
    pub difficulty_accepted: f64,
}

impl FleetFigures {
    /// Adds what others make.
    pub fn merge(&mut self, other: &Self, now_us: u64) {
        self.hashrate.merge(&other.hashrate, now_us);
        self.difficulty_accepted += other.difficulty_accepted;
    }
}

/// The figures of one shard, by the number of the pool. Room for a pool is made when it accepts its first share.
#[derive(Debug)]
pub(super) struct Fleet {
    by_pool: Vec<FleetFigures>,
    born_us: u64,
}

impl Fleet {
    pub(super) fn new(now_us: u64) -> Self {
        Self { by_pool: Vec::new(), born_us: now_us }
    }

    /// A pool accepted a share.
    #[inline]
    pub(super) fn credit(&mut self, pool: PoolId, difficulty: f64, now_us: u64) {
        let index = usize::from(pool.0);
        if index >= self.by_pool.len() {
            self.make_room(index);
        }
        if let Some(figures) = self.by_pool.get_mut(index) {
            figures.hashrate.credit(difficulty, now_us);
            figures.difficulty_accepted += difficulty;
        }
    }

    #[cold]
    fn make_room(&mut self, index: usize) {
        if index < POOLS_COUNT_MAX {
            let hashrate = Hashrate::new(self.born_us);
            self.by_pool.resize(index + 1, FleetFigures { hashrate, difficulty_accepted: 0.0 });
        }
    }

    /// Copies the figures of each pool that accepted anything, as far as there is room.
    pub(super) fn copy_into(&self, room: &mut Vec<(PoolId, FleetFigures)>) {
        room.clear();
        let all = (0..).map(PoolId).zip(&self.by_pool).filter(|(_, of)| of.difficulty_accepted > 0.0);
        room.extend(all.take(room.capacity()).map(|(pool, figures)| (pool, *figures)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn each_pool_has_what_it_accepted_and_a_reader_with_less_room_gets_less() {
        let mut fleet = Fleet::new(0);
        for second in 1..=600 {
            fleet.credit(PoolId(3), 1_000.0, second * SECOND);
            fleet.credit(PoolId(1), 500.0, second * SECOND);
        }
        fleet.credit(PoolId(u16::MAX), 9.0, 600 * SECOND);
        let mut room = Vec::with_capacity(4);
        fleet.copy_into(&mut room);
        assert_eq!(room.iter().map(|(pool, _)| *pool).collect::<Vec<_>>(), [PoolId(1), PoolId(3)]);
        let rates: Vec<f64> =
            room.iter().map(|(_, of)| of.hashrate.hashes_per_second(600 * SECOND)[1]).collect();
        assert!((rates[1] / rates[0] - 2.0).abs() < 1e-9, "{rates:?}");
        assert!((room[1].1.difficulty_accepted - 600_000.0).abs() < 1e-6);

        let mut small = Vec::with_capacity(1);
        let allocations = allocation_counter::measure(|| fleet.copy_into(&mut small));
        assert_eq!((small.len(), allocations.count_total), (1, 0));
    }
}
