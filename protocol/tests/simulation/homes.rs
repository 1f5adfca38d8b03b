//! Where names belong: some of the pools for each miner, and the router that goes by it.

use std::rc::Rc;

use adit_protocol::pool::{Asks, Placement, PoolId, Router};

use crate::random::Random;

/// Which pools each lane's name belongs to.
#[derive(Clone, Debug)]
pub struct Homes {
    /// A bit for each pool, by the number in the name.
    masks: Rc<[u8]>,
    pools_count: u64,
}

impl Homes {
    /// For so many lanes: most names belong to all pools.
    pub fn new(lanes_count: usize, pools_count: usize, random: &mut Random) -> Self {
        let all = (1_u64 << pools_count) - 1;
        let mut mask = || if random.chance(60) { all } else { 1 + random.below(all) };
        Self { masks: (0..lanes_count).map(|_| mask() as u8).collect(), pools_count: pools_count as u64 }
    }

    /// Whether a name belongs to this pool, however the pool calls it. Of a name that is not known nothing is.
    pub fn is_home(&self, name: Option<&str>, pool: PoolId) -> bool {
        let number = name.and_then(|name| name.rsplit_once(".rig")?.1.parse::<usize>().ok());
        let mask = number.and_then(|number| self.masks.get(number));
        mask.is_none_or(|mask| mask >> (pool.0 - 1) & 1 == 1)
    }

    /// `pool` if the name belongs there, else one to which it does.
    pub fn or_home(&self, name: Option<&str>, pool: PoolId, random: &mut Random) -> PoolId {
        let mut pool = pool;
        while !self.is_home(name, pool) {
            pool = PoolId(1 + random.below(self.pools_count) as u16);
        }
        pool
    }
}

/// Chooses any pool for a miner without a name, and now and then none.
pub struct ByName {
    pub random: Random,
    pub homes: Homes,
    /// Broken on purpose: no name belongs elsewhere.
    pub is_careless: bool,
}

impl Router for ByName {
    fn choose(&mut self, asks: &Asks<'_>) -> Option<PoolId> {
        let any = PoolId(1 + self.random.below(self.homes.pools_count) as u16);
        let name = asks.name.map(String::from_utf8_lossy);
        let pool = self.homes.or_home(name.as_deref(), any, &mut self.random);
        (!self.random.chance(1)).then_some(pool)
    }

    fn keeps(&mut self, _: &Asks<'_>, _: PoolId) -> bool {
        self.random.chance(40)
    }

    fn place(&mut self, asks: &Asks<'_>, pool: PoolId) -> Placement {
        let name = asks.name.map(String::from_utf8_lossy);
        if self.is_careless || self.homes.is_home(name.as_deref(), pool) {
            return Placement::Stay;
        }
        match self.random.below(100) {
            0..3 => Placement::Nowhere,
            3..10 => Placement::Refuse,
            10..60 if !asks.can_follow => Placement::Close,
            // It need not be able to: then it is prepared in vain.
            _ => Placement::Move(self.homes.or_home(name.as_deref(), pool, &mut self.random)),
        }
    }
}
