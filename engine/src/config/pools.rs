//! The keys of pools, groups and failover, and what they must say together.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use adit_protocol::names::{NameRule, TEMPLATE_DEFAULT, Template, TemplateError};

use super::build::TIMEOUT_MS_MAX;
use super::read::{Fault, Reader};
use super::values::{self, PoolAddress};
use crate::pools::settings::{GROUP_DEFAULT, default_name};
use crate::settings::{FailoverSettings, GroupSettings, PoolSettings, PoolTimeouts, Timeouts};

/// Most pools of one configuration.
pub const POOLS_COUNT_MAX: usize = 256;
/// The pool that is always asked for.
const POOL_FIRST: usize = 0;
const PRIORITY_MAX: u16 = 1_000;
const WEIGHT_MAX: u32 = 10_000;
const WARM_STANDBY_MAX: u16 = 64;
/// Most failures or rejects that can be asked for before something happens.
const FAILURES_COUNT_MAX: u32 = 1_000_000;

/// What is known of a pool while the others are read.
struct Draft {
    index: usize,
    name: String,
    group: String,
    priority: u16,
    /// `None` only after an error was noted.
    settings: Option<PoolSettings>,
}

/// Takes all pools and groups. Empty only after an error was noted.
pub fn pools(
    reader: &mut Reader,
    timeouts: &Timeouts,
    listen: &[SocketAddr],
) -> (Vec<PoolSettings>, Vec<GroupSettings>) {
    let mut indexes = reader.indexes("pools", POOLS_COUNT_MAX);
    if indexes.is_empty() {
        indexes.insert(POOL_FIRST);
    }
    let mut drafts: Vec<Draft> = Vec::new();
    for index in indexes {
        let draft = pool(reader, index, timeouts, &drafts);
        drafts.push(draft);
    }
    weights(reader, &drafts);
    no_loops(reader, &drafts, listen);
    let groups = groups(reader, &drafts);
    (drafts.into_iter().filter_map(|draft| draft.settings).collect(), groups)
}

/// Refuses Adit as its own pool: one miner would take all connections that there are.
fn no_loops(reader: &mut Reader, drafts: &[Draft], listen: &[SocketAddr]) {
    for Draft { index, settings, .. } in drafts {
        let Some(pool) = settings else { continue };
        let address = pool.host.parse::<IpAddr>().ok();
        let is_itself = |own: &&SocketAddr| {
            let is_everywhere = own.ip().is_unspecified();
            let reaches = match address {
                Some(address) if is_everywhere => address.is_loopback() && address.is_ipv4() == own.is_ipv4(),
                Some(address) => address == own.ip(),
                None => pool.host == "localhost" && (is_everywhere || own.ip().is_loopback()),
            };
            own.port() == pool.port && reaches
        };
        if let Some(own) = listen.iter().find(is_itself) {
            let problem = format!("Adit itself listens on {own}");
            reader.conflict(&format!("pools.{index}.url"), Fault::new(problem, "a pool, or another Adit"));
        }
    }
}

/// Takes one pool; those before it have taken their names and places.
fn pool(reader: &mut Reader, index: usize, timeouts: &Timeouts, before: &[Draft]) -> Draft {
    let key = |name: &str| format!("pools.{index}.{name}");
    let url_is_there = reader.has(&key("url"));
    let address = reader.take_optional(&key("url"), values::pool_url);
    if !url_is_there {
        reader.missing(&key("url"), "--pool", values::POOL_URL);
    }
    let named_after = address.as_ref().map(|address| default_name(&address.host, address.port));
    let name = reader.take(&key("name"), named_after.unwrap_or_default(), values::label);
    let group = reader.take(&key("group"), GROUP_DEFAULT.to_owned(), values::label);
    // Unless something else is said, pools are tried in the order they are written in.
    let place = before.iter().filter(|other| other.group == group).count() + 1;
    let priority = reader.take(&key("priority"), place as u16, values::number(1..=PRIORITY_MAX));
    let weight = reader.take(&key("weight"), 1, values::number(1..=WEIGHT_MAX));
    let enabled = reader.take(&key("enabled"), true, values::truth);
    let account = reader.take_optional(&key("user"), values::user);
    let password = reader.take_optional(&key("password"), values::password);
    let name_rule = name_rule(reader, &key, account.as_ref());
    let timeouts = pool_timeouts(reader, &key("timeouts"), timeouts);

    if let Some(other) = before.iter().find(|other| !name.is_empty() && other.name == name) {
        let problem = format!("pools.{} is called {name} too", other.index);
        // Where nobody called it so, its address did.
        let blamed = if reader.is_default(&key("name")) { key("url") } else { key("name") };
        reader.conflict(&blamed, Fault::new(problem, format!("a {} of its own", key("name"))));
    }
    let settings = address.zip(name_rule).map(|(PoolAddress { host, port }, name_rule)| PoolSettings {
        name: name.clone(),
        group: group.clone(),
        priority,
        weight,
        enabled,
        host,
        port,
        account,
        password,
        name_rule,
        timeouts,
    });
    Draft { index, name, group, priority, settings }
}

/// How names are made, once both halves are known. A half that was refused is not blamed a second time.
fn name_rule(
    reader: &mut Reader,
    key: &impl Fn(&str) -> String,
    account: Option<&String>,
) -> Option<NameRule> {
    let worker_name = reader.take_optional(&key("worker_name"), values::worker_name);
    let template = worker_name.as_deref().and_then(|text| Template::parse(text).ok());
    if account.is_some() {
        reader.show_default(&key("worker_name"), &TEMPLATE_DEFAULT.to_owned());
    }
    match NameRule::new(account.cloned(), template) {
        Ok(rule) => Some(rule),
        Err(TemplateError::NoAccount) if reader.is_faulty(&key("user")) => None,
        Err(error @ TemplateError::TooLong(_)) if worker_name.is_none() => {
            reader.conflict(&key("user"), Fault::new(error.to_string(), "a shorter user"));
            None
        }
        Err(error) => {
            let allowed = match error {
                TemplateError::NoAccount => "{name}, {worker} and plain text, or set user",
                _ => "a shorter template or user",
            };
            reader.conflict(&key("worker_name"), Fault::new(error.to_string(), allowed));
            None
        }
    }
}

/// The pool's own deadlines; what it does not say is as for all pools.
fn pool_timeouts(reader: &mut Reader, table: &str, timeouts: &Timeouts) -> PoolTimeouts {
    let defaults = PoolTimeouts::of(timeouts);
    let mut take = |name: &str, default| {
        reader.take(&format!("{table}.{name}"), default, values::number(1..=TIMEOUT_MS_MAX))
    };
    PoolTimeouts {
        connect_ms: take("connect_ms", defaults.connect_ms),
        handshake_reply_ms: take("handshake_reply_ms", defaults.handshake_reply_ms),
        submit_reply_ms: take("submit_reply_ms", defaults.submit_reply_ms),
        silence_ms: take("silence_ms", defaults.silence_ms),
        first_job_ms: take("first_job_ms", defaults.first_job_ms),
    }
}

/// A weight that nothing is weighed against was meant otherwise.
fn weights(reader: &mut Reader, drafts: &[Draft]) {
    for Draft { index, group, priority, .. } in drafts {
        let key = format!("pools.{index}.weight");
        if reader.is_default(&key) || !reader.is_default(&format!("pools.{index}.priority")) {
            continue;
        }
        let mut others =
            drafts.iter().filter(|other| other.index != *index && other.group == *group).peekable();
        if others.peek().is_some() && others.all(|other| other.priority != *priority) {
            let problem = format!(
                "weights count among pools of equal priority, and no other pool of group {group} has priority \
                 {priority}"
            );
            reader
                .conflict(&key, Fault::new(problem, "the same priority at the pools that share the miners"));
        }
    }
}

/// Takes what is said about groups, and makes the list of them.
fn groups(reader: &mut Reader, drafts: &[Draft]) -> Vec<GroupSettings> {
    let mut groups: Vec<GroupSettings> = Vec::new();
    for draft in drafts {
        if groups.iter().all(|group| group.name != draft.group) {
            groups.push(GroupSettings { name: draft.group.clone(), warm_standby: 0 });
        }
    }
    let names: Vec<_> = groups.iter().map(|group| group.name.clone()).collect();
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    for index in reader.indexes("groups", POOLS_COUNT_MAX) {
        let key = |name: &str| format!("groups.{index}.{name}");
        let name_is_there = reader.has(&key("name"));
        let name = reader.take_optional(&key("name"), values::label);
        let warm_standby = reader.take(&key("warm_standby"), 0, values::number(0..=WARM_STANDBY_MAX));
        if !name_is_there {
            reader.missing(&key("name"), &format!("--set {}=NAME", key("name")), values::LABEL);
        }
        let Some(wanted) = name else { continue };
        if let Some(other) = told.insert(wanted.clone(), index) {
            let fault = Fault::new(format!("groups.{other} has this name too"), "each group once");
            reader.conflict(&key("name"), fault);
        }
        if let Some(group) = groups.iter_mut().find(|group| group.name == wanted) {
            group.warm_standby = warm_standby;
        } else {
            let allowed = format!("a group of pools: {}", names.join(", "));
            reader.conflict(&key("name"), Fault::new("no pool is in this group", allowed));
        }
    }
    groups
}

/// Takes when pools count as dead and good, and how miners are moved.
pub fn failover(reader: &mut Reader) -> FailoverSettings {
    let defaults = FailoverSettings::default();
    let key = |name: &str| format!("failover.{name}");
    let mut time =
        |name: &str, min, default| reader.take(&key(name), default, values::number(min..=TIMEOUT_MS_MAX));
    let mut failover = FailoverSettings {
        window_ms: time("window_ms", 1, defaults.window_ms),
        backoff_min_ms: time("backoff_min_ms", 1, defaults.backoff_min_ms),
        backoff_max_ms: time("backoff_max_ms", 1, defaults.backoff_max_ms),
        good_ms: time("good_ms", 0, defaults.good_ms),
        hold_ms: time("hold_ms", 0, defaults.hold_ms),
        failback_spread_ms: time("failback_spread_ms", 0, defaults.failback_spread_ms),
        grace_ms: time("grace_ms", 0, defaults.grace_ms),
        close_jitter_ms: time("close_jitter_ms", 0, defaults.close_jitter_ms),
        reserve_ms: time("reserve_ms", 0, defaults.reserve_ms),
        standby_ms: time("standby_ms", 1_000, defaults.standby_ms),
        linger_ms: time("linger_ms", 0, defaults.linger_ms),
        ..defaults
    };
    let mut count =
        |name: &str, default| reader.take(&key(name), default, values::number(1..=FAILURES_COUNT_MAX));
    failover.failures_count = count("failures_count", failover.failures_count);
    failover.rejects_run_count = count("rejects_run_count", failover.rejects_run_count);
    let (min, max) = (failover.backoff_min_ms, failover.backoff_max_ms);
    if min > max {
        let (blamed, allowed) = if reader.is_default(&key("backoff_max_ms")) {
            (key("backoff_min_ms"), format!("at most {max}, or a longer failover.backoff_max_ms"))
        } else {
            (key("backoff_max_ms"), format!("at least {min}, or a shorter failover.backoff_min_ms"))
        };
        reader.conflict(&blamed, Fault::new("the shortest backoff is longer than the longest", allowed));
    }
    failover
}
