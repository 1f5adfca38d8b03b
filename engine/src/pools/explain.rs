//! Which pools a miner gets and why, in words: `adit config check --explain WORKER@ADDRESS`.
//!
//! By the same [`Routes`] and [`Plan`] that run, so what is explained is what happens while all pools work.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use adit_protocol::pool::{Asks, Origin};
use thiserror::Error;

use super::plan::Plan;
use super::rendezvous::MinerKey;
use super::routes::{Condition, Found, Routes};
use crate::settings::{PoolSettings, RouteSettings, Settings};

/// What a question looks like.
const FORM: &str = "WORKER@ADDRESS, and behind it ,listener=ADDRESS:PORT or ,path=PATH where these matter";

/// A miner that is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Its name; empty where it is not known.
    worker: String,
    address: IpAddr,
    listener: Option<SocketAddr>,
    path: Option<String>,
}

/// Why a question cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum QuestionError {
    /// Nothing that reads as an address behind an `@`.
    #[error("no IP address follows an @; allowed: {FORM}")]
    Address,
    /// Something else behind the address.
    #[error("{0:?} is neither listener=ADDRESS:PORT nor path=PATH; allowed: {FORM}")]
    Part(String),
    /// An address that nothing is awaited at.
    #[error("{0} is not in listen; allowed: {1}")]
    Listener(SocketAddr, String),
}

impl FromStr for Question {
    type Err = QuestionError;

    /// Names may hold any character, so the last `@` that an address follows is the one.
    fn from_str(text: &str) -> Result<Self, QuestionError> {
        let split = text.rmatch_indices('@').find_map(|(at, _)| {
            let (worker, behind) = (text.get(..at)?, text.get(at + 1..)?);
            let (address, parts) = behind.split_once(',').unwrap_or((behind, ""));
            Some((worker, address.trim().parse().ok()?, parts))
        });
        let (worker, address, parts) = split.ok_or(QuestionError::Address)?;
        let mut question = Self { worker: worker.to_owned(), address, listener: None, path: None };
        for part in parts.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let fault = || QuestionError::Part(part.to_owned());
            match part.split_once('=') {
                Some(("listener", listener)) => {
                    question.listener = Some(listener.parse().map_err(|_| fault())?);
                }
                Some(("path", path)) if !path.is_empty() => question.path = Some(path.to_owned()),
                _ => return Err(fault()),
            }
        }
        Ok(question)
    }
}

/// The answer, lines of text.
pub fn explain(settings: &Settings, question: &Question) -> Result<String, QuestionError> {
    let listener = match question.listener {
        None => 0,
        Some(wanted) => settings.listeners.iter().position(|&known| known == wanted).ok_or_else(|| {
            let known: Vec<_> = settings.listeners.iter().map(ToString::to_string).collect();
            QuestionError::Listener(wanted, known.join(", "))
        })?,
    };
    let origin = Origin { listener: listener as u16, address: question.address };
    let name = (!question.worker.is_empty()).then_some(question.worker.as_bytes());
    let path = question.path.as_deref();
    let asks = Asks { origin, path, agent: None, name, can_follow: true };
    let routes = Routes::new(settings);

    let mut text = String::new();
    let who = if question.worker.is_empty() { "a miner of unknown name" } else { &question.worker };
    let _ = write!(text, "{who} from {}", question.address);
    if let Some(listener) = settings.listeners.get(listener) {
        let _ = write!(text, " by {listener}");
    }
    if let Some(path) = &question.path {
        let _ = write!(text, " with path {path}");
    }
    text.push_str(":\n");
    if question.path.as_deref().is_some_and(|path| !routes.knows_path(path)) {
        text.push_str("  no route names this path, so it is taken for a web client and sent away\n");
        return Ok(text);
    }
    let found = routes.find(&asks);
    tell_routes(&mut text, settings, &routes, &asks, found);
    let Some(found) = found else { return Ok(text) };
    tell_pools(&mut text, settings, found.group, name, question.address);

    let nameless = routes.find(&Asks { name: None, ..asks });
    if name.is_some() && nameless.map(|found| found.group) != Some(found.group) {
        let group = nameless.and_then(|found| settings.groups.get(found.group));
        let group = group.map_or("none", |group| &group.name);
        let _ = writeln!(
            text,
            "  If its first request comes without the name, it starts in group {group} and is moved when it authorises."
        );
    }
    Ok(text)
}

/// The routes up to the one that counts, and the group.
fn tell_routes(
    text: &mut String,
    settings: &Settings,
    routes: &Routes,
    asks: &Asks<'_>,
    found: Option<Found>,
) {
    for (number, route) in settings.routes.iter().enumerate() {
        if let Some(condition) = routes.lacks(number, asks) {
            let _ = writeln!(text, "  routes.{number} does not hold: {}", told(route, condition));
            continue;
        }
        let conditions = [Condition::Listener, Condition::Path, Condition::Worker, Condition::Network];
        let conditions: Vec<_> = conditions
            .map(|condition| told(route, condition))
            .into_iter()
            .filter(|condition| !condition.is_empty())
            .collect();
        let all =
            if conditions.is_empty() { "it has no conditions".to_owned() } else { conditions.join(", ") };
        let _ = writeln!(text, "  routes.{number} holds: {all}");
        break;
    }
    if found.is_none_or(|found| found.route.is_none()) {
        text.push_str("  no route holds, so it gets the default group\n");
    }
    if let Some(group) = found.and_then(|found| settings.groups.get(found.group)) {
        let _ = writeln!(text, "  group {}, pools in the order in which this miner gets them:", group.name);
    }
}

/// The group's pools in the miner's order, those that are switched off last.
fn tell_pools(text: &mut String, settings: &Settings, group: usize, name: Option<&[u8]>, address: IpAddr) {
    let plan = Plan::new(&settings.groups, settings.pools.iter().enumerate());
    let key = name.map_or_else(|| MinerKey::of_address(address), MinerKey::of_worker);
    let pool = |number: usize| settings.pools.get(number);
    let parts = plan.wanted(group, |number| pool(number).is_some_and(|pool| pool.enabled));
    let (enabled, disabled): (Vec<_>, Vec<_>) = plan
        .in_order(group, key)
        .into_iter()
        .filter_map(|number| Some((number, pool(number)?)))
        .partition(|(_, pool)| pool.enabled);
    for (place, (number, pool)) in enabled.iter().enumerate() {
        let PoolSettings { name, priority, .. } = pool;
        let _ = write!(text, "    {}. {name}, {}, priority {priority}", place + 1, pool.url());
        let wanted = parts.iter().find(|part| part.pool == *number).map_or(0.0, |part| part.wanted);
        if wanted > 0.0 && wanted < 1.0 {
            let _ = write!(text, ", {:.1} % of the miners by weight", wanted * 100.0);
        }
        text.push('\n');
    }
    for (_, pool) in disabled {
        let _ = writeln!(text, "    not used, since it is disabled: {}, {}", pool.name, pool.url());
    }
}

/// A condition as it stands in the file; empty where the route has none of the kind.
fn told(route: &RouteSettings, condition: Condition) -> String {
    let told = |key: &str, value: Option<String>| {
        value.map(|value| format!("{key} = \"{value}\"")).unwrap_or_default()
    };
    match condition {
        Condition::Listener => told("listener", route.listener.map(|address| address.to_string())),
        Condition::Path => told("path", route.path.clone()),
        Condition::Worker => told("worker", route.worker.as_ref().map(ToString::to_string)),
        Condition::Network => told("network", route.network.map(|network| network.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::GroupSettings;

    fn settings() -> Settings {
        let pool = |name: &str, group: &str, priority, weight| PoolSettings {
            name: name.to_owned(),
            group: group.to_owned(),
            priority,
            weight,
            ..PoolSettings::transparent(format!("{name}.example"), 3333)
        };
        let mut settings = Settings::with_pool(pool("main", "default", 1, 1));
        settings.pools.extend([pool("a", "eu", 1, 3), pool("b", "eu", 1, 1), pool("c", "eu", 2, 1)]);
        settings.pools.push(PoolSettings { enabled: false, ..pool("d", "eu", 1, 1) });
        settings.groups.push(GroupSettings { name: "eu".to_owned(), warm_standby: 0 });
        let route = RouteSettings {
            group: "eu".to_owned(),
            listener: None,
            path: None,
            worker: None,
            network: "10.2.0.0/16".parse().ok(),
        };
        let by_name = RouteSettings { worker: "farm1.*".parse().ok(), network: None, ..route.clone() };
        settings.routes = vec![route, by_name];
        settings
    }

    fn answer(question: &str) -> String {
        explain(&settings(), &question.parse().expect("a question")).expect("an answer")
    }

    #[test]
    fn the_rule_that_applies_and_the_pools_in_order_are_told() {
        assert_eq!(
            answer("farm1.rig7@10.1.2.3"),
            "farm1.rig7 from 10.1.2.3 by 0.0.0.0:3333:\n\
            \x20 routes.0 does not hold: network = \"10.2.0.0/16\"\n\
            \x20 routes.1 holds: worker = \"farm1.*\"\n\
            \x20 group eu, pools in the order in which this miner gets them:\n\
            \x20   1. a, stratum+tcp://a.example:3333, priority 1, 75.0 % of the miners by weight\n\
            \x20   2. b, stratum+tcp://b.example:3333, priority 1, 25.0 % of the miners by weight\n\
            \x20   3. c, stratum+tcp://c.example:3333, priority 2\n\
            \x20   not used, since it is disabled: d, stratum+tcp://d.example:3333\n\
            \x20 If its first request comes without the name, it starts in group default and is moved when it \
             authorises.\n"
        );
    }

    #[test]
    fn a_miner_that_no_route_knows_gets_the_default_group() {
        assert_eq!(
            answer("rig@10.1.2.3"),
            "rig from 10.1.2.3 by 0.0.0.0:3333:\n\
            \x20 routes.0 does not hold: network = \"10.2.0.0/16\"\n\
            \x20 routes.1 does not hold: worker = \"farm1.*\"\n\
            \x20 no route holds, so it gets the default group\n\
            \x20 group default, pools in the order in which this miner gets them:\n\
            \x20   1. main, stratum+tcp://main.example:3333, priority 1\n"
        );
        assert!(answer("@10.2.0.1").starts_with("a miner of unknown name from 10.2.0.1"));
    }

    #[test]
    fn a_path_counts_as_the_miner_names_it_and_an_unknown_one_leads_nowhere() {
        let mut settings = settings();
        settings.routes[0].network = None;
        for path in ["/order-1", "eu.example:3333"] {
            settings.routes[0].path = Some(path.to_owned());
            let told = |question: String| {
                explain(&settings, &question.parse().expect("a question")).expect("an answer")
            };
            let known = told(format!("rig@10.1.2.3,path={path}"));
            assert!(known.contains(&format!("  routes.0 holds: path = \"{path}\"\n  group eu, ")), "{known}");
            assert_eq!(
                told(format!("rig@10.1.2.3,path={path}x")),
                format!(
                    "rig from 10.1.2.3 by 0.0.0.0:3333 with path {path}x:\n  no route names this path, so it is taken \
                     for a web client and sent away\n"
                )
            );
        }
    }

    #[test]
    fn names_may_hold_every_sign_of_the_question() {
        let question: Question =
            "me@home,1@10.0.0.1, listener=[::]:1 ,path=/a@b".parse().expect("a question");
        assert_eq!(question.worker, "me@home,1");
        assert_eq!(question.path.as_deref(), Some("/a@b"));
        assert_eq!(question.listener, "[::]:1".parse().ok());
    }

    #[test]
    fn a_question_that_cannot_be_answered_is_told_why() {
        for (question, told) in [
            ("rig", "no IP address follows an @; allowed: WORKER@ADDRESS, and"),
            ("rig@host", "no IP address follows an @; allowed: "),
            ("rig@10.0.0.1:3333", "no IP address follows an @; allowed: "),
            ("rig@10.0.0.1,port=3", "\"port=3\" is neither listener=ADDRESS:PORT nor path=PATH; allowed: "),
            ("rig@10.0.0.1,path=", "\"path=\" is neither listener=ADDRESS:PORT nor path=PATH; allowed: "),
        ] {
            let error = question.parse::<Question>().expect_err(question).to_string();
            assert!(error.starts_with(told), "{error}");
        }
        let question = "rig@10.0.0.1,listener=0.0.0.0:1".parse().expect("a question");
        let error = explain(&settings(), &question).expect_err("nothing is awaited there");
        assert_eq!(error.to_string(), "0.0.0.0:1 is not in listen; allowed: 0.0.0.0:3333");
    }
}
