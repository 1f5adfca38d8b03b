//! What one thread knows of pools when it chooses one: the catalogue in force, how its pools stand at this moment, and where
//! operators want the miner.

use std::sync::Arc;

use adit_protocol::pool::{Asks, PoolId};

use super::catalogue::Catalogue;
use super::learned::Learned;
use super::orders::Orders;
use super::rendezvous::MinerKey;
use super::standing::{Standing, Standings};

/// A view of the pools. Cheap to copy.
#[derive(Clone, Debug)]
pub struct PoolsView {
    /// Which pools there are.
    pub catalogue: Arc<Catalogue>,
    /// How they stand.
    pub standings: Standings,
    /// What operators ordered.
    pub orders: Orders,
    /// Who came before, and is probably who comes.
    pub learned: Learned,
}

impl PoolsView {
    /// The pool for a miner that has none, `tried` ones left out. `None`: there is none.
    ///
    /// One that came back only lately is the last choice, whatever its priority: one that comes and goes would take each
    /// miner with it each time.
    pub fn choose(&self, asks: &Asks<'_>, tried: &[PoolId]) -> Option<PoolId> {
        let is_usable = |pool, least| self.standing(pool) >= least && !tried.contains(&pool);
        if let Some(pool) = self.ordered(asks).filter(|&pool| is_usable(pool, Standing::Fresh)) {
            return Some(pool);
        }
        self.choose_among(asks, |pool| is_usable(pool, Standing::Settled))
            .or_else(|| self.choose_among(asks, |pool| is_usable(pool, Standing::Fresh)))
    }

    /// The pool that a miner should rather be at than `at`, where it is now, if there is one. Nothing forces it away.
    pub fn better(&self, asks: &Asks<'_>, at: PoolId) -> Option<PoolId> {
        let is_good = |pool| match self.standing(pool) {
            Standing::Settled => true,
            // Being there is enough for staying.
            Standing::Fresh => pool == at,
            Standing::Draining | Standing::Away => false,
        };
        let ordered = self.ordered(asks).filter(|&pool| is_good(pool));
        ordered.or_else(|| self.choose_among(asks, is_good)).filter(|&pool| pool != at)
    }

    /// Where an operator wants a miner, if it is of its group.
    pub fn ordered(&self, asks: &Asks<'_>) -> Option<PoolId> {
        self.orders.of(asks.name?).filter(|&pool| self.is_of_group(asks, pool))
    }

    /// Whether a pool is one of those that a miner may get.
    pub fn is_of_group(&self, asks: &Asks<'_>, pool: PoolId) -> bool {
        let group = self.catalogue.routes().find(asks);
        let group = group.and_then(|found| self.catalogue.settings().groups.get(found.group));
        let pool = self.catalogue.get(pool);
        group.zip(pool).is_some_and(|(group, pool)| group.name == pool.settings.group)
    }

    /// How a pool stands; one that is not configured any more is away.
    pub fn standing(&self, pool: PoolId) -> Standing {
        if self.catalogue.get(pool).is_none() { Standing::Away } else { self.standings.of(pool) }
    }

    /// Whether any miner could be served.
    pub fn has_usable(&self) -> bool {
        self.catalogue.pools().any(|entry| self.standings.of(entry.id).takes())
    }

    fn choose_among(&self, asks: &Asks<'_>, is_usable: impl FnMut(PoolId) -> bool) -> Option<PoolId> {
        let group = self.catalogue.routes().find(asks)?.group;
        let miner = match asks.name {
            Some(name) => MinerKey::of_worker(name),
            None => MinerKey::of_address(asks.origin.address),
        };
        self.catalogue.plan().choose(group, miner, is_usable)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use adit_protocol::moment::Moment;
    use adit_protocol::pool::Origin;
    use adit_store::names::Names;

    use super::*;
    use crate::clock::Clock;
    use crate::settings::{GroupSettings, PoolSettings, Settings};

    const ASKS: Asks<'_> = Asks {
        origin: Origin { listener: 0, address: IpAddr::V4(Ipv4Addr::LOCALHOST) },
        path: None,
        agent: None,
        name: Some(b"a.rig"),
        can_follow: true,
    };
    const FIRST: PoolId = PoolId(1);
    const SECOND: PoolId = PoolId(2);
    const OTHER_GROUPS: PoolId = PoolId(3);

    /// Two pools of one group, the first one first, and one of another.
    fn view() -> PoolsView {
        let pool = |name: &str, priority| PoolSettings {
            name: name.to_owned(),
            priority,
            ..PoolSettings::transparent("127.0.0.1", 3333)
        };
        let mut settings = Settings::with_pool(pool("first", 1));
        settings.pools.push(pool("second", 2));
        settings.pools.push(PoolSettings { group: "other".to_owned(), ..pool("third", 1) });
        settings.groups.push(GroupSettings { name: "other".to_owned(), warm_standby: 0 });
        let catalogue = Arc::new(Catalogue::new(Arc::new(settings), None, &Names::default()).unwrap());
        let (orders, learned) = (Orders::default(), Learned::new(Clock::start()));
        PoolsView { catalogue, standings: Standings::default(), orders, learned }
    }

    #[test]
    fn a_miner_without_a_pool_gets_the_first_that_takes_miners() {
        let view = view();
        assert_eq!((view.choose(&ASKS, &[]), view.has_usable()), (None, false));
        view.standings.set(SECOND, Standing::Fresh);
        assert_eq!((view.choose(&ASKS, &[]), view.has_usable()), (Some(SECOND), true));
        view.standings.set(FIRST, Standing::Draining);
        assert_eq!(view.choose(&ASKS, &[]), Some(SECOND));
        view.standings.set(FIRST, Standing::Fresh);
        assert_eq!(view.choose(&ASKS, &[]), Some(FIRST));
        view.standings.set(SECOND, Standing::Settled);
        assert_eq!(view.choose(&ASKS, &[]), Some(SECOND), "the first one is back only lately");
        view.standings.set(FIRST, Standing::Settled);
        assert_eq!(view.choose(&ASKS, &[FIRST]), Some(SECOND));
        assert_eq!(view.choose(&ASKS, &[FIRST, SECOND]), None);
    }

    #[test]
    fn a_miner_goes_back_only_to_a_pool_that_has_been_good_for_long() {
        let view = view();
        view.standings.set(SECOND, Standing::Settled);
        for (first, better) in [
            (Standing::Away, None),
            (Standing::Draining, None),
            (Standing::Fresh, None),
            (Standing::Settled, Some(FIRST)),
        ] {
            view.standings.set(FIRST, first);
            assert_eq!(view.better(&ASKS, SECOND), better, "{first:?}");
        }
        view.standings.set(FIRST, Standing::Fresh);
        assert_eq!(view.better(&ASKS, FIRST), None, "it is there");
        view.standings.set(FIRST, Standing::Draining);
        assert_eq!(
            view.better(&ASKS, FIRST),
            Some(SECOND),
            "a pool that drains is left where that can be done"
        );
    }

    #[test]
    fn an_order_comes_before_the_plan_while_its_pool_can_be_used() {
        let view = view();
        view.standings.set(FIRST, Standing::Settled);
        view.standings.set(SECOND, Standing::Fresh);
        view.orders.give(b"a.rig", SECOND, Moment(1));
        assert_eq!(view.choose(&ASKS, &[]), Some(SECOND), "who says so knows that it works only lately");
        assert_eq!(view.choose(&ASKS, &[SECOND]), Some(FIRST));
        assert_eq!((view.better(&ASKS, SECOND), view.better(&ASKS, FIRST)), (None, None));
        view.standings.set(SECOND, Standing::Settled);
        assert_eq!((view.better(&ASKS, SECOND), view.better(&ASKS, FIRST)), (None, Some(SECOND)));
        view.standings.set(SECOND, Standing::Draining);
        assert_eq!((view.choose(&ASKS, &[]), view.better(&ASKS, SECOND)), (Some(FIRST), Some(FIRST)));
        view.standings.set(SECOND, Standing::Settled);
        view.orders.lift(b"a.rig");
        assert_eq!((view.choose(&ASKS, &[]), view.better(&ASKS, SECOND)), (Some(FIRST), Some(FIRST)));
    }

    #[test]
    fn an_order_to_a_pool_of_another_group_does_not_count() {
        let view = view();
        view.standings.set(FIRST, Standing::Settled);
        view.standings.set(OTHER_GROUPS, Standing::Settled);
        view.orders.give(b"a.rig", OTHER_GROUPS, Moment(1));
        assert!(view.is_of_group(&ASKS, SECOND) && !view.is_of_group(&ASKS, OTHER_GROUPS));
        assert_eq!((view.ordered(&ASKS), view.choose(&ASKS, &[])), (None, Some(FIRST)));
    }
}
