//! Warm standby: connections that are subscribed already and wait for any miner, so that a switch costs one authorize,
//! and a new miner finds its pool at hand.
//!
//! Each shard has its own, for the pools that miners of a group get now and for those that they would get next. A
//! connection is made by a session without a miner, a few a second; lies as [`super::kept`] says; and is made anew when it
//! grows old, since pools close connections that authorise nobody. When they do, nobody says: it is learned from those
//! that were closed early.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use adit_protocol::event::{CloseReason, MoveReason, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::{Origin, PoolId};
use adit_protocol::session::Session;

use super::books::Record;
use super::kept::{Health, KeptUpstream};
use super::pair::{Key, Pair};
use super::plane::Plane;
use crate::pools::counters::PoolCounter;
use crate::pools::view::PoolsView;
use crate::vitals::Stage;

/// How often the stock is looked after while there is any.
const TEND_MS: u64 = 1_000;
/// Connections that a shard makes for it at a time.
const MAKES_COUNT_MAX: usize = 8;
/// How long nothing is made for a pool after one could not be.
const FAILED_REST_MS: u64 = 5_000;
/// A pool that closes connections sooner than this is not followed any further.
const LIFETIME_MS_MIN: u64 = 5_000;

/// What is in stock for each pool. Copies are one.
#[derive(Clone, Debug, Default)]
pub(super) struct Shelves(Rc<RefCell<BTreeMap<PoolId, Shelf>>>);

/// The stock of a shard.
#[derive(Debug)]
pub(super) struct Stock {
    pub(super) shelves: Shelves,
    /// When it is to be looked after.
    pub(super) due: Moment,
}

impl Default for Stock {
    /// Looked at as soon as the shard runs.
    fn default() -> Self {
        Self { shelves: Shelves::default(), due: Moment(0) }
    }
}

/// The stock for one pool.
#[derive(Debug, Default)]
struct Shelf {
    wanted: usize,
    making: usize,
    /// Oldest first.
    spares: VecDeque<Spare>,
    /// Of these, promised in this turn.
    claimed: usize,
    lifetime: Lifetime,
    /// Nothing is made before.
    not_before: Moment,
}

#[derive(Debug)]
struct Spare {
    what: KeptUpstream,
    since: Moment,
}

/// How long a pool leaves a connection alone that authorises nobody.
#[derive(Debug, Default)]
struct Lifetime {
    /// As far as is known; 0 for as long as is configured.
    ms: u64,
    /// The age of one that the pool closed. That was the pool's deadline, if the next one is made without trouble.
    closed_at_ms: Option<u64>,
}

impl Lifetime {
    /// When one is to be made anew.
    fn get(&self, configured_ms: u64) -> u64 {
        if self.ms == 0 { configured_ms } else { self.ms.min(configured_ms) }
    }

    /// The pool closed one of this age.
    fn closed(&mut self, age_ms: u64) {
        self.closed_at_ms = Some(self.closed_at_ms.map_or(age_ms, |known| known.min(age_ms)));
    }

    /// One was made: the pool is well.
    fn made(&mut self) {
        if let Some(closed_at_ms) = self.closed_at_ms.take() {
            self.ms = (closed_at_ms / 4 * 3).max(LIFETIME_MS_MIN);
        }
    }

    /// None could be made: the pool is not well, and closed what it had for that.
    fn failed(&mut self) {
        self.closed_at_ms = None;
    }

    /// One has lived as long as it was to: perhaps the pool leaves the next one alone for a little longer.
    fn lived(&mut self, configured_ms: u64) {
        let longer_ms = self.get(configured_ms) / 10 * 11;
        self.ms = if longer_ms >= configured_ms { 0 } else { longer_ms };
    }
}

impl Shelves {
    /// Promises one for this turn, if there is one that is not promised.
    pub(super) fn claim(&self, pool: PoolId) -> bool {
        self.0.borrow_mut().get_mut(&pool).is_some_and(|shelf| {
            let has_more = shelf.claimed < shelf.spares.len();
            shelf.claimed += usize::from(has_more);
            has_more
        })
    }

    /// A turn is over, and with it its promises.
    pub(super) fn forget_claims(&self) {
        self.0.borrow_mut().values_mut().for_each(|shelf| shelf.claimed = 0);
    }

    /// Lets `act` change the shelf of a pool.
    fn with<T>(&self, pool: PoolId, act: impl FnOnce(&mut Shelf) -> T) -> T {
        act(self.0.borrow_mut().entry(pool).or_default())
    }
}

impl Shelf {
    /// Takes out those that are too old or gone. Those that are left are the youngest.
    fn sort_out(&mut self, now: Moment, configured_ms: u64) -> Vec<KeptUpstream> {
        let mut out = Vec::new();
        let mut left = VecDeque::new();
        let keep_ms = self.lifetime.get(configured_ms);
        for spare in std::mem::take(&mut self.spares) {
            let age_ms = now.since_us(spare.since) / 1_000;
            match spare.what.health() {
                _ if self.wanted == 0 => {}
                Health::Closed => self.lifetime.closed(age_ms),
                Health::Broken => {}
                Health::Open if age_ms >= keep_ms => self.lifetime.lived(configured_ms),
                Health::Open => {
                    left.push_back(spare);
                    continue;
                }
            }
            out.push(spare.what);
        }
        self.spares = left;
        out
    }
}

/// The pools for which there should be a stock, and how much: of each group that wants any, those that its miners get now;
/// and where that is one alone, those that they would get without it.
fn wanted(pools: &PoolsView) -> BTreeMap<PoolId, usize> {
    let mut wanted = BTreeMap::new();
    let plan = pools.catalogue.plan();
    for (number, group) in pools.catalogue.settings().groups.iter().enumerate() {
        if group.warm_standby == 0 {
            continue;
        }
        let first_of = |others: &BTreeSet<PoolId>| -> BTreeSet<PoolId> {
            let is_usable = |pool| pools.standing(pool).takes() && !others.contains(&pool);
            let parts = plan.wanted(number, is_usable).into_iter();
            parts.filter(|part| part.wanted > 0.0).map(|part| part.pool).collect()
        };
        let now = first_of(&BTreeSet::new());
        let next = if now.len() == 1 { first_of(&now) } else { BTreeSet::new() };
        wanted.extend(now.union(&next).map(|&pool| (pool, usize::from(group.warm_standby))));
    }
    wanted
}

impl Plane {
    /// Sorts the stock out and makes what is missing.
    pub(super) fn tend_stock(&mut self) {
        let wanted = if self.stop_at.is_some() { BTreeMap::new() } else { wanted(&self.pools) };
        let has_any = !wanted.is_empty();
        self.stock.due = if has_any { self.now.plus_ms(TEND_MS) } else { Moment::NEVER };
        let shelves = self.stock.shelves.clone();
        let known: BTreeSet<PoolId> =
            shelves.0.borrow().keys().copied().chain(wanted.keys().copied()).collect();
        let configured_ms = self.pools.catalogue.settings().failover.standby_ms;
        let mut makes_left = MAKES_COUNT_MAX;
        for pool in known {
            let (out, missing) = shelves.with(pool, |shelf| {
                shelf.wanted = wanted.get(&pool).copied().unwrap_or(0);
                let out = shelf.sort_out(self.now, configured_ms);
                let missing = shelf.wanted.saturating_sub(shelf.spares.len() + shelf.making);
                (out, if shelf.not_before <= self.now { missing } else { 0 })
            });
            for what in out {
                self.close_kept(what, PoolCounter::Recycled);
            }
            for _ in 0..missing.min(makes_left) {
                makes_left -= 1;
                self.make_spare(pool);
            }
        }
        shelves.0.borrow_mut().retain(|_, shelf| shelf.wanted > 0 || shelf.making > 0);
    }

    /// The pools or their standings are others: so may be what is wanted.
    pub(super) fn look_at_stock(&mut self) {
        let has_any = self.pools.catalogue.settings().groups.iter().any(|group| group.warm_standby > 0);
        if has_any || self.stock.due != Moment::NEVER {
            self.stock.due = self.now;
        }
    }

    /// Begins to make a connection, by a session that has no miner.
    fn make_spare(&mut self, pool: PoolId) {
        let nowhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let session = Session::new(self.now, Origin { listener: 0, address: nowhere });
        let record = Record::new((nowhere, 0).into(), self.now);
        let key = self.pairs.insert(Pair::without_miner(session, record));
        let wire = Wire::A;
        self.stock.shelves.with(pool, |shelf| shelf.making += 1);
        if let Some(pair) = self.pairs.get_mut(key) {
            // Whose it is, also for its end.
            pair.wire_mut(wire).pool = pool;
        }
        if self.prepare(key, wire, pool, MoveReason::Stock) {
            self.open_wire(key, wire, pool);
        }
        self.set_timer(key);
    }

    /// A connection for the stock is subscribed.
    pub(super) fn spare_ready(&mut self, key: Key, wire: Wire) {
        if !self.begin_keeping(key, wire) {
            self.end_session(key, CloseReason::Moved, self.now);
        }
    }

    /// A connection for the stock could not be made.
    pub(super) fn spare_failed(&mut self, key: Key, pool: PoolId) {
        let not_before = self.now.plus_ms(FAILED_REST_MS);
        self.stock.shelves.with(pool, |shelf| {
            shelf.not_before = not_before;
            shelf.lifetime.failed();
        });
        self.end_session(key, CloseReason::Moved, self.now);
    }

    /// A session without a miner is over, and has left a connection or not.
    pub(super) fn spare_over(&self, pool: PoolId) {
        self.stock.shelves.with(pool, |shelf| shelf.making = shelf.making.saturating_sub(1));
    }

    /// Puts a connection into stock.
    pub(super) fn put_in_stock(&mut self, what: KeptUpstream) {
        let (pool, since) = (what.pool(), self.now);
        self.pool_counters.count(pool, PoolCounter::Stocked);
        self.stock.shelves.with(pool, |shelf| {
            shelf.lifetime.made();
            shelf.spares.push_back(Spare { what, since });
        });
        // It may have been wanted only while it was made.
        self.stock.due = self.stock.due.min(since.plus_ms(TEND_MS));
    }

    /// Takes a connection out of stock, the one that would be made anew first.
    pub(super) fn draw(&mut self, pool: PoolId) -> Option<KeptUpstream> {
        loop {
            let spare = self.stock.shelves.with(pool, |shelf| shelf.spares.pop_front())?;
            if spare.what.health() == Health::Open {
                self.pool_counters.count(pool, PoolCounter::Drawn);
                return Some(spare.what);
            }
            self.close_kept(spare.what, PoolCounter::Recycled);
        }
    }

    /// A connection in stock for a session that is to be moved to this pool, if it can use one: a miner that cannot be
    /// switched live must wait for its close anyhow, and another login is ready by then.
    pub(super) fn draw_for(&mut self, key: Key, pool: PoolId) -> Option<KeptUpstream> {
        let pair = self.pairs.get_mut(key)?;
        let is_live = pair.session.takes_extranonce() || pair.record.stage < Stage::Subscribed;
        pair.free_wire().filter(|_| is_live)?;
        self.draw(pool)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use adit_store::names::Names;

    use super::*;
    use crate::clock::Clock;
    use crate::pools::catalogue::Catalogue;
    use crate::pools::learned::Learned;
    use crate::pools::standing::{Standing, Standings};
    use crate::settings::{PoolSettings, Settings};

    const CONFIGURED_MS: u64 = 60_000;

    #[test]
    fn a_pool_that_closes_early_is_left_before_and_tried_for_longer_again() {
        let mut lifetime = Lifetime::default();
        lifetime.made();
        assert_eq!(lifetime.get(CONFIGURED_MS), CONFIGURED_MS);
        lifetime.closed(32_000);
        lifetime.closed(30_000);
        lifetime.made();
        assert_eq!(lifetime.get(CONFIGURED_MS), 22_500);
        lifetime.lived(CONFIGURED_MS);
        assert_eq!(lifetime.get(CONFIGURED_MS), 24_750);
        (0..20).for_each(|_| lifetime.lived(CONFIGURED_MS));
        assert_eq!(lifetime.get(CONFIGURED_MS), CONFIGURED_MS);
    }

    #[test]
    fn a_pool_that_goes_away_says_nothing_of_its_deadline() {
        let mut lifetime = Lifetime::default();
        lifetime.closed(1_000);
        lifetime.failed();
        lifetime.made();
        assert_eq!(lifetime.get(CONFIGURED_MS), CONFIGURED_MS);
        lifetime.closed(10);
        lifetime.made();
        assert_eq!(lifetime.get(CONFIGURED_MS), LIFETIME_MS_MIN);
    }

    /// Pools of one group with these priorities, all of them well, numbered from 1.
    fn view(priorities: &[u16], warm_standby: u16) -> PoolsView {
        let mut settings = Settings::with_pool(PoolSettings::transparent("127.0.0.1", 3333));
        settings.pools.clear();
        for (number, &priority) in priorities.iter().enumerate() {
            let name = format!("pool{number}");
            let pool = PoolSettings { name, priority, ..PoolSettings::transparent("127.0.0.1", 3333) };
            settings.pools.push(pool);
        }
        settings.groups[0].warm_standby = warm_standby;
        let catalogue = Arc::new(Catalogue::new(Arc::new(settings), None, &Names::default()).unwrap());
        let standings = Standings::default();
        for entry in catalogue.pools() {
            standings.set(entry.id, Standing::Settled);
        }
        let (orders, learned) = (crate::pools::orders::Orders::default(), Learned::new(Clock::start()));
        PoolsView { catalogue, standings, orders, learned }
    }

    fn wanted_of(pools: &PoolsView) -> Vec<(u16, usize)> {
        wanted(pools).into_iter().map(|(pool, count)| (pool.0, count)).collect()
    }

    #[test]
    fn stock_is_kept_for_the_pool_that_miners_have_and_for_the_one_that_they_would_get() {
        let pools = view(&[1, 2, 3], 4);
        assert_eq!(wanted_of(&pools), [(1, 4), (2, 4)]);
        pools.standings.set(PoolId(1), Standing::Away);
        assert_eq!(wanted_of(&pools), [(2, 4), (3, 4)]);
        pools.standings.set(PoolId(2), Standing::Draining);
        assert_eq!(wanted_of(&pools), [(3, 4)]);
        assert_eq!(wanted_of(&view(&[1, 2], 0)), []);
    }

    #[test]
    fn pools_that_share_the_miners_stand_in_for_one_another() {
        assert_eq!(wanted_of(&view(&[1, 1, 2], 2)), [(1, 2), (2, 2)]);
    }
}
