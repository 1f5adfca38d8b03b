//! The choice of pools as sessions ask for it: at a miner's first request, and when it gives a name.
//!
//! A name that is not known yet is guessed from those that came from the same place before ([`super::learned`]). A name
//! that belongs to another *group* than the miner was given never goes to that group's pools; one that only another
//! pool of the same group would get stays, and [`crate::shard`] may move it later.

use adit_protocol::pool::{Asks, Placement, PoolId, Router};

use super::learned::Who;
use super::view::PoolsView;

impl PoolsView {
    /// What a miner that has not given its name is probably called.
    fn guess(&self, asks: &Asks<'_>) -> Option<Box<[u8]>> {
        if asks.name.is_some() || !self.catalogue.names_matter() {
            return None;
        }
        self.learned.guess(asks.origin.address, asks.agent, |pool| self.catalogue.group_of(pool))
    }
}

impl Router for PoolsView {
    fn choose(&mut self, asks: &Asks<'_>) -> Option<PoolId> {
        let guessed = self.guess(asks);
        let placed = guessed.and_then(|name| Self::choose(self, &Asks { name: Some(&name), ..*asks }, &[]));
        placed.or_else(|| Self::choose(self, asks, &[]))
    }

    fn place(&mut self, asks: &Asks<'_>, at: PoolId) -> Placement {
        let Some(name) = asks.name else { return Placement::Stay };
        // Miners of a pool that is not configured any more are moved anyway.
        if self.catalogue.get(at).is_none() || self.is_of_group(asks, at) {
            return Placement::Stay;
        }
        let Some(pool) = Self::choose(self, asks, &[]) else { return Placement::Nowhere };
        if asks.can_follow {
            return Placement::Move(pool);
        }
        let agent = asks.agent.unwrap_or_default();
        let is_awaited = self.learned.send_back(Who { address: asks.origin.address, agent, name }, pool);
        if is_awaited { Placement::Close } else { Placement::Refuse }
    }

    fn knows_path(&self, path: &str) -> bool {
        self.catalogue.routes().knows_path(path)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use adit_protocol::pool::Origin;
    use adit_store::names::Names;

    use super::*;
    use crate::clock::Clock;
    use crate::pools::catalogue::Catalogue;
    use crate::pools::learned::Learned;
    use crate::pools::orders::Orders;
    use crate::pools::standing::{Standing, Standings};
    use crate::settings::{GroupSettings, PoolSettings, RouteSettings, Settings};

    const MAIN: PoolId = PoolId(1);
    const EU: PoolId = PoolId(2);
    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    /// Two groups of one pool each; names `eu.*` belong to the second.
    fn view() -> PoolsView {
        let pool = |name: &str, group: &str| PoolSettings {
            name: name.to_owned(),
            group: group.to_owned(),
            ..PoolSettings::transparent("127.0.0.1", 3333)
        };
        let mut settings = Settings::with_pool(pool("main", "default"));
        settings.pools.push(pool("eu", "eu"));
        settings.groups.push(GroupSettings { name: "eu".to_owned(), warm_standby: 0 });
        settings.routes = vec![RouteSettings {
            group: "eu".to_owned(),
            listener: None,
            path: None,
            worker: "eu.*".parse().ok(),
            network: None,
        }];
        let catalogue = Arc::new(Catalogue::new(Arc::new(settings), None, &Names::default()).unwrap());
        let (orders, learned) = (Orders::default(), Learned::new(Clock::start()));
        let view = PoolsView { catalogue, standings: Standings::default(), orders, learned };
        view.standings.set(MAIN, Standing::Settled);
        view.standings.set(EU, Standing::Settled);
        view
    }

    fn asks(name: Option<&str>, can_follow: bool) -> Asks<'_> {
        let origin = Origin { listener: 0, address: ADDRESS };
        Asks { origin, path: None, agent: Some("cgminer"), name: name.map(str::as_bytes), can_follow }
    }

    fn choose(view: &mut PoolsView, name: Option<&str>) -> Option<PoolId> {
        Router::choose(view, &asks(name, true))
    }

    #[test]
    fn a_name_of_another_group_moves_who_can_follow_and_sends_the_others_back() {
        let mut view = view();
        assert_eq!(view.place(&asks(Some("home.rig"), false), MAIN), Placement::Stay);
        assert_eq!(view.place(&asks(None, false), EU), Placement::Stay);
        assert_eq!(view.place(&asks(Some("eu.rig"), true), MAIN), Placement::Move(EU));
        assert_eq!(choose(&mut view, None), Some(MAIN), "being asked has no consequence there");
        assert_eq!(view.place(&asks(Some("eu.rig"), false), MAIN), Placement::Close);
        assert_eq!((choose(&mut view, None), choose(&mut view, Some("home.rig"))), (Some(EU), Some(MAIN)));
        view.standings.set(EU, Standing::Away);
        assert_eq!(view.place(&asks(Some("eu.rig"), false), MAIN), Placement::Nowhere);
        assert_eq!(view.place(&asks(Some("eu.rig"), false), PoolId(9)), Placement::Stay);
    }

    #[test]
    fn a_miner_that_comes_to_the_wrong_pool_each_time_is_refused_in_the_end() {
        use Placement::{Close, Refuse};
        let mut view = view();
        let outcomes = [(); 5].map(|()| view.place(&asks(Some("eu.rig"), false), MAIN));
        assert_eq!(outcomes, [Close, Close, Close, Refuse, Refuse]);
    }

    #[test]
    fn a_name_learned_before_places_a_later_connection_as_long_as_it_has_a_pool() {
        let mut view = view();
        let who = Who { address: ADDRESS, agent: "cgminer", name: b"eu.rig" };
        assert!(view.learned.authorised(who, EU));
        view.learned.left(who);
        assert_eq!(choose(&mut view, None), Some(EU));
        view.standings.set(EU, Standing::Away);
        assert_eq!(choose(&mut view, None), Some(MAIN), "what is only guessed sends nobody away");
    }
}
