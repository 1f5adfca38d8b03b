//! Which group of pools a miner gets: the first route of which all conditions hold, the default group where none does.
//!
//! Asked twice in a miner's life: at its first request, when its name is known only if it came with that, and when it
//! authorises. A condition on what is not known does not hold. Not here: what happens when both answers differ.

use adit_protocol::pool::Asks;

use super::network::Network;
use super::pattern::Pattern;
use super::settings::GROUP_DEFAULT;
use crate::settings::{RouteSettings, Settings};

/// All routes, ready to be asked.
#[derive(Clone, Debug)]
pub struct Routes {
    routes: Vec<Route>,
    /// Number of the default group.
    default: Option<usize>,
}

/// A route and what became of it: listeners and groups by their numbers.
#[derive(Clone, Debug)]
struct Route {
    group: Option<usize>,
    /// Where a listener is asked for: those with its address.
    listeners: Option<Vec<usize>>,
    path: Option<String>,
    worker: Option<Pattern>,
    network: Option<Network>,
}

/// What a route asks for, and a miner may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It came in elsewhere.
    Listener,
    /// It asked for another path, or none.
    Path,
    /// Its name is another, or not known.
    Worker,
    /// It comes from elsewhere.
    Network,
}

/// Where a miner belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Number of the group.
    pub group: usize,
    /// Number of the route that says so; `None` where none does.
    pub route: Option<usize>,
}

impl Routes {
    /// As configured. Numbers are places in the lists of `settings`.
    pub fn new(settings: &Settings) -> Self {
        let group = |name: &str| settings.groups.iter().position(|group| group.name == name);
        let route = |route: &RouteSettings| Route {
            group: group(&route.group),
            listeners: route.listener.map(|wanted| {
                let all = settings.listeners.iter().enumerate();
                all.filter(|&(_, &address)| address == wanted).map(|(number, _)| number).collect()
            }),
            path: route.path.clone(),
            worker: route.worker.clone(),
            network: route.network,
        };
        Self { routes: settings.routes.iter().map(route).collect(), default: group(GROUP_DEFAULT) }
    }

    /// Whether any route asks for this path: others than miners do not come in by it.
    pub fn knows_path(&self, path: &str) -> bool {
        let path = path.split('?').next();
        self.routes.iter().any(|route| route.path.is_some() && route.path.as_deref() == path)
    }

    /// The group for a miner. `None` only where the configuration has neither a route for it nor a default group.
    pub fn find(&self, asks: &Asks<'_>) -> Option<Found> {
        let route = self.routes.iter().position(|route| route.lacks(asks).is_none());
        let group = match route.and_then(|number| self.routes.get(number)) {
            Some(route) => route.group,
            None => self.default,
        };
        group.map(|group| Found { group, route })
    }

    /// The first condition of route number `route` that does not hold for a miner.
    pub fn lacks(&self, route: usize, asks: &Asks<'_>) -> Option<Condition> {
        self.routes.get(route)?.lacks(asks)
    }
}

impl Route {
    fn lacks(&self, asks: &Asks<'_>) -> Option<Condition> {
        let listener = usize::from(asks.origin.listener);
        if self.listeners.as_ref().is_some_and(|wanted| !wanted.contains(&listener)) {
            return Some(Condition::Listener);
        }
        if self.network.is_some_and(|wanted| !wanted.contains(asks.origin.address)) {
            return Some(Condition::Network);
        }
        // What follows a question mark is no part of the path.
        let path = asks.path.and_then(|path| path.split('?').next());
        if self.path.is_some() && self.path.as_deref() != path {
            return Some(Condition::Path);
        }
        let has_name = |wanted: &Pattern| asks.name.is_some_and(|name| wanted.matches(name));
        if self.worker.as_ref().is_some_and(|wanted| !has_name(wanted)) {
            return Some(Condition::Worker);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use adit_protocol::pool::Origin;

    use super::*;
    use crate::settings::{GroupSettings, PoolSettings};

    const NO_CONDITION: RouteSettings =
        RouteSettings { group: String::new(), listener: None, path: None, worker: None, network: None };

    fn listener(port: u16) -> SocketAddr {
        ([0, 0, 0, 0], port).into()
    }

    /// Two listeners, groups `default`, `eu` and `us` with the numbers 0, 1 and 2, and these routes.
    fn routes(routes: Vec<RouteSettings>) -> Routes {
        let mut settings = Settings::with_pool(PoolSettings::transparent("pool.example", 1));
        settings.listeners = vec![listener(1), listener(2)];
        for name in ["eu", "us"] {
            settings.groups.push(GroupSettings { name: name.to_owned(), warm_standby: 0 });
        }
        settings.routes = routes;
        Routes::new(&settings)
    }

    fn to(group: &str) -> RouteSettings {
        RouteSettings { group: group.to_owned(), ..NO_CONDITION }
    }

    fn asks<'a>(listener: u16, address: &str, path: Option<&'a str>, name: Option<&'a str>) -> Asks<'a> {
        let origin = Origin { listener, address: address.parse().expect("an address") };
        Asks { origin, path, agent: None, name: name.map(str::as_bytes), can_follow: true }
    }

    #[test]
    fn the_first_route_that_holds_counts_and_the_default_comes_last() {
        let routes = routes(vec![
            RouteSettings { worker: Some("farm1.*".parse().expect("a pattern")), ..to("eu") },
            RouteSettings { network: Some("10.0.0.0/8".parse().expect("a network")), ..to("us") },
            RouteSettings { path: Some("/order-1".to_owned()), ..to("eu") },
        ]);
        for (address, path, name, group, route) in [
            ("10.0.0.1", None, Some("farm1.rig"), 1, Some(0)),
            ("10.0.0.1", None, Some("farm2.rig"), 2, Some(1)),
            ("10.0.0.1", None, None, 2, Some(1)),
            ("11.0.0.1", None, None, 0, None),
            ("11.0.0.1", Some("/order-1"), None, 1, Some(2)),
            ("11.0.0.1", Some("/order-1?x=y"), None, 1, Some(2)),
            ("11.0.0.1", Some("/order-10"), Some("rig"), 0, None),
            ("11.0.0.1", Some("/order-1/"), Some("rig"), 0, None),
        ] {
            let found = routes.find(&asks(0, address, path, name));
            assert_eq!(found, Some(Found { group, route }), "{address} {path:?} {name:?}");
        }
        let known = ["/order-1", "/order-1?x=y", "/order-10", "/", ""].map(|path| routes.knows_path(path));
        assert_eq!(known, [true, true, false, false, false]);
    }

    #[test]
    fn all_conditions_of_a_route_must_hold() {
        let routes = routes(vec![RouteSettings {
            listener: Some(listener(2)),
            path: Some("/a".to_owned()),
            worker: Some("*".parse().expect("a pattern")),
            network: Some("10.0.0.0/8".parse().expect("a network")),
            ..to("us")
        }]);
        for (asks, lacks) in [
            (asks(1, "10.0.0.1", Some("/a"), Some("")), None),
            (asks(0, "10.0.0.1", Some("/a"), Some("x")), Some(Condition::Listener)),
            (asks(1, "9.0.0.1", Some("/a"), Some("x")), Some(Condition::Network)),
            (asks(1, "10.0.0.1", None, Some("x")), Some(Condition::Path)),
            (asks(1, "10.0.0.1", Some("/a"), None), Some(Condition::Worker)),
        ] {
            assert_eq!(routes.lacks(0, &asks), lacks);
            assert_eq!(routes.find(&asks).map(|found| found.route), Some(lacks.is_none().then_some(0)));
        }
    }

    #[test]
    fn a_route_without_conditions_holds_for_all() {
        let routes = routes(vec![to("us")]);
        let found = routes.find(&asks(0, "::1", None, None));
        assert_eq!(found, Some(Found { group: 2, route: Some(0) }));
    }

    #[test]
    fn of_two_listeners_with_one_address_both_are_meant() {
        let mut settings = Settings::with_pool(PoolSettings::transparent("pool.example", 1));
        settings.listeners = vec![listener(0), listener(0), listener(5)];
        settings.routes = vec![RouteSettings { listener: Some(listener(0)), ..to("default") }];
        let routes = Routes::new(&settings);
        let holds = [0, 1, 2].map(|number| routes.lacks(0, &asks(number, "::1", None, None)).is_none());
        assert_eq!(holds, [true, true, false]);
    }
}
