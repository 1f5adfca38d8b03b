//! The keys of routes, and whether they leave no miner without a group and no rule without a miner.

use std::net::SocketAddr;

use super::read::{Fault, Reader};
use super::values;
use crate::pools::settings::GROUP_DEFAULT;
use crate::settings::{GroupSettings, RouteSettings};

/// Most routes: each costs a look at every new miner.
const ROUTES_COUNT_MAX: usize = 1_024;

/// Takes all routes. `groups` is empty only after an error was noted.
pub fn routes(reader: &mut Reader, listen: &[SocketAddr], groups: &[GroupSettings]) -> Vec<RouteSettings> {
    // What listeners there are is not known after an error in them.
    let listeners = (!reader.is_faulty("listen")).then_some(listen);
    let names: Vec<_> = groups.iter().map(|group| group.name.as_str()).collect();
    let mut routes: Vec<(usize, RouteSettings)> = Vec::new();
    for index in reader.indexes("routes", ROUTES_COUNT_MAX) {
        let key = |name: &str| format!("routes.{index}.{name}");
        let group_is_there = reader.has(&key("group"));
        let group = reader.take_optional(&key("group"), values::label);
        let listener = reader.take_optional(&key("listener"), values::listener(listeners));
        let path = reader.take_optional(&key("path"), values::path);
        let worker = reader.take_optional(&key("worker"), values::pattern);
        let network = reader.take_optional(&key("network"), values::network);
        let allowed = format!("a group of pools: {}", names.join(", "));
        if !group_is_there {
            reader.missing(&key("group"), &format!("--set {}=NAME", key("group")), &allowed);
        }
        let Some(wanted) = group else { continue };
        if !names.contains(&wanted.as_str()) {
            reader.conflict(&key("group"), Fault::new("no pool is in this group", allowed));
        }
        let route = RouteSettings { group: wanted, listener, path, worker, network };
        let hides = |other: &RouteSettings| other.is_catch_all() || other.has_conditions_of(&route);
        let hidden_by = routes.iter().find(|(_, other)| hides(other)).map(|(other, _)| *other);
        // A condition that was refused is missing here, and may be the one that tells the two apart.
        if let Some(other) = hidden_by
            && !reader.is_faulty(&format!("routes.{index}"))
            && !reader.is_faulty(&format!("routes.{other}"))
        {
            let fault = Fault::new(
                format!("no miner comes so far: routes.{other} holds for all that this one would"),
                "this route before the other, or other conditions",
            );
            reader.conflict(&key("group"), fault);
        }
        routes.push((index, route));
    }
    let routes: Vec<_> = routes.into_iter().map(|(_, route)| route).collect();
    no_miner_without_group(reader, &names, &routes);
    routes
}

/// Miners that no route matches get the default group, so there must be one, or none of them.
fn no_miner_without_group(reader: &mut Reader, names: &[&str], routes: &[RouteSettings]) {
    let is_needed = !routes.iter().any(RouteSettings::is_catch_all);
    if is_needed && !names.contains(&GROUP_DEFAULT) && !reader.has_errors() {
        let problem = "no pool is in group default, where miners go that no route matches";
        let allowed = "default at one pool or more, or a last route without conditions";
        reader.conflict("pools.0.group", Fault::new(problem, allowed));
    }
}
