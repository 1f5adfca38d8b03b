//! What a changed configuration means for an Adit that runs: what applies at once, and what waits for a restart.
//!
//! Pools, groups, routes and failover apply at once. Everything else was built into threads, sockets and sessions at the
//! start: it stays as it is, and is told with the reason. Compare what was *loaded* at the start, not what the start made of
//! it (a bound that the machine could not keep, a port that the kernel chose): that is no change of the operator's.
//!
//! A file that cannot be loaded never comes here, so it changes nothing. Not here: moving the miners that must move.

use std::fmt;

use super::settings::{FailoverSettings, GroupSettings, PoolSettings};
use crate::settings::{Limits, LogSettings, Settings, Timeouts};

/// What follows from a changed configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// What is in force now: the new pools, groups, routes and failover, and all else as before.
    pub settings: Settings,
    /// What applies at once.
    pub changes: Vec<Change>,
    /// What waits for a restart.
    pub refused: Vec<Refused>,
}

/// Something that applies at once. Says no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A pool that there was not.
    PoolAdded(String),
    /// A pool that there is no more: its miners move.
    PoolRemoved(String),
    /// The name now means other connections, by these keys: its miners move as from a pool that is removed.
    PoolReplaced(String, Vec<&'static str>),
    /// The pool's connections stay, and these keys apply to them: miners move only where priority, weight, group or
    /// `enabled` ask for it.
    PoolChanged(String, Vec<&'static str>),
    /// A group has so many spare connections per shard now.
    WarmStandby(String, u16),
    /// There are other routes now: miners that they send elsewhere move when they authorise anew.
    Routes,
    /// These keys of `[failover]`.
    Failover(Vec<&'static str>),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PoolAdded(name) => write!(f, "pool {name} is new"),
            Self::PoolRemoved(name) => write!(f, "pool {name} is removed"),
            Self::PoolReplaced(name, keys) => write!(f, "pool {name} is another one: {}", keys.join(", ")),
            Self::PoolChanged(name, keys) => write!(f, "pool {name} is changed: {}", keys.join(", ")),
            Self::WarmStandby(name, count) => {
                write!(f, "group {name} keeps {count} spare connections per shard")
            }
            Self::Routes => f.write_str("routes are changed"),
            Self::Failover(keys) => write!(f, "failover is changed: {}", keys.join(", ")),
        }
    }
}

/// A key that is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The key.
    pub key: &'static str,
    /// Why it needs a restart.
    pub reason: &'static str,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} waits for a restart: {}", self.key, self.reason)
    }
}

impl Reload {
    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.refused.is_empty()
    }

    /// What follows when `before` was loaded last, and `after` is loaded now.
    pub fn new(before: &Settings, after: Settings) -> Self {
        let refused = refused(before, &after);
        let Settings { pools, groups, routes, failover, .. } = after;
        let mut changes = pools_changed(&before.pools, &pools);
        changes.extend(groups.iter().filter_map(|group| warm_standby_changed(&before.groups, group)));
        if before.routes != routes {
            changes.push(Change::Routes);
        }
        let keys = failover_keys(&before.failover, &failover);
        if !keys.is_empty() {
            changes.push(Change::Failover(keys));
        }
        let settings = Settings { pools, groups, routes, failover, ..before.clone() };
        Self { settings, changes, refused }
    }
}

fn pools_changed(before: &[PoolSettings], after: &[PoolSettings]) -> Vec<Change> {
    let twin_in = |pools: &[PoolSettings], name: &str| pools.iter().any(|pool| pool.name == name);
    let removed = before.iter().filter(|pool| !twin_in(after, &pool.name));
    let mut changes: Vec<_> = removed.map(|pool| Change::PoolRemoved(pool.name.clone())).collect();
    for pool in after {
        let Some(old) = before.iter().find(|old| old.name == pool.name) else {
            changes.push(Change::PoolAdded(pool.name.clone()));
            continue;
        };
        let (identity, other) = (identity_keys(old, pool), other_keys(old, pool));
        if !identity.is_empty() {
            changes.push(Change::PoolReplaced(pool.name.clone(), [identity, other].concat()));
        } else if !other.is_empty() {
            changes.push(Change::PoolChanged(pool.name.clone(), other));
        }
    }
    changes
}

/// Keys that differ and without which a connection to one pool is none to the other.
pub fn identity_keys(old: &PoolSettings, new: &PoolSettings) -> Vec<&'static str> {
    different(&[
        ("url", (&old.host, old.port) != (&new.host, new.port)),
        ("user", old.account != new.account),
        ("password", old.password != new.password),
        ("worker_name", old.name_rule != new.name_rule && old.account == new.account),
    ])
}

/// Keys that differ and that a connection survives.
fn other_keys(old: &PoolSettings, new: &PoolSettings) -> Vec<&'static str> {
    different(&[
        ("group", old.group != new.group),
        ("priority", old.priority != new.priority),
        ("weight", old.weight != new.weight),
        ("enabled", old.enabled != new.enabled),
        ("timeouts", old.timeouts != new.timeouts),
    ])
}

fn warm_standby_changed(before: &[GroupSettings], group: &GroupSettings) -> Option<Change> {
    let old = before.iter().find(|old| old.name == group.name).map_or(0, |old| old.warm_standby);
    (old != group.warm_standby).then(|| Change::WarmStandby(group.name.clone(), group.warm_standby))
}

fn failover_keys(old: &FailoverSettings, new: &FailoverSettings) -> Vec<&'static str> {
    different(&[
        ("failures_count", old.failures_count != new.failures_count),
        ("window_ms", old.window_ms != new.window_ms),
        ("backoff_min_ms", old.backoff_min_ms != new.backoff_min_ms),
        ("backoff_max_ms", old.backoff_max_ms != new.backoff_max_ms),
        ("good_ms", old.good_ms != new.good_ms),
        ("hold_ms", old.hold_ms != new.hold_ms),
        ("failback_spread_ms", old.failback_spread_ms != new.failback_spread_ms),
        ("grace_ms", old.grace_ms != new.grace_ms),
        ("close_jitter_ms", old.close_jitter_ms != new.close_jitter_ms),
        ("reserve_ms", old.reserve_ms != new.reserve_ms),
        ("standby_ms", old.standby_ms != new.standby_ms),
        ("linger_ms", old.linger_ms != new.linger_ms),
        ("rejects_run_count", old.rejects_run_count != new.rejects_run_count),
    ])
}

fn refused(before: &Settings, after: &Settings) -> Vec<Refused> {
    // Named one by one, so that a new setting cannot be forgotten here.
    let Settings {
        listeners,
        pools: _,
        groups: _,
        routes: _,
        failover: _,
        shards,
        pin,
        timeouts,
        limits,
        share_check,
        log,
        admin,
        ledger,
    } = after;
    let mut refused = Vec::new();
    let mut refuse = |reason: &'static str, keys: Vec<&'static str>| {
        refused.extend(keys.into_iter().map(|key| Refused { key, reason }));
    };
    let reason = "listeners are opened at the start; until then a route to a new one holds for nobody";
    refuse(reason, different(&[("listen", *listeners != before.listeners)]));
    let threads = [("shards", *shards != before.shards), ("pin", *pin != before.pin)];
    refuse("threads are started once", different(&threads));
    let sessions = [
        different(&[("share_check", *share_check != before.share_check)]),
        timeout_keys(&before.timeouts, timeouts),
    ];
    refuse("sessions are set up by it from the start", sessions.concat());
    refuse("room is made for it at the start", limit_keys(&before.limits, limits));
    refuse("the log is opened at the start", log_keys(&before.log, log));
    refuse("operators' server is set up at the start", different(&[("admin", *admin != before.admin)]));
    refuse("the ledger is opened at the start", different(&[("ledger.file", *ledger != before.ledger)]));
    refused
}

/// Those of `[timeouts]` that are not pools' deadlines, which pools carry themselves.
fn timeout_keys(old: &Timeouts, new: &Timeouts) -> Vec<&'static str> {
    let Timeouts {
        connect_ms: _,
        handshake_reply_ms: _,
        submit_reply_ms: _,
        pool_silence_ms: _,
        first_job_ms: _,
        first_request_ms,
        subscribe_ms,
        authorize_ms,
        miner_idle_ms,
        drain_ms,
        resolve_refresh_ms,
    } = new;
    different(&[
        ("timeouts.first_request_ms", *first_request_ms != old.first_request_ms),
        ("timeouts.subscribe_ms", *subscribe_ms != old.subscribe_ms),
        ("timeouts.authorize_ms", *authorize_ms != old.authorize_ms),
        ("timeouts.miner_idle_ms", *miner_idle_ms != old.miner_idle_ms),
        ("timeouts.drain_ms", *drain_ms != old.drain_ms),
        ("timeouts.resolve_refresh_ms", *resolve_refresh_ms != old.resolve_refresh_ms),
    ])
}

fn limit_keys(old: &Limits, new: &Limits) -> Vec<&'static str> {
    let Limits { connections_max, connections_per_address_max, output_bytes_max } = new;
    different(&[
        ("limits.connections_max", *connections_max != old.connections_max),
        (
            "limits.connections_per_address_max",
            *connections_per_address_max != old.connections_per_address_max,
        ),
        ("limits.output_bytes_max", *output_bytes_max != old.output_bytes_max),
    ])
}

fn log_keys(old: &LogSettings, new: &LogSettings) -> Vec<&'static str> {
    let LogSettings { levels, format, file, sentry_dsn } = new;
    different(&[
        ("log.level", *levels != old.levels),
        ("log.format", *format != old.format),
        ("log.file", *file != old.file),
        ("log.sentry_dsn", *sentry_dsn != old.sentry_dsn),
    ])
}

/// The names of what is different.
fn different(keys: &[(&'static str, bool)]) -> Vec<&'static str> {
    keys.iter().filter(|(_, is_different)| *is_different).map(|(key, _)| *key).collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::settings::{RouteSettings, Secret};

    fn pool(name: &str) -> PoolSettings {
        PoolSettings { name: name.to_owned(), ..PoolSettings::transparent("pool.example", 3333) }
    }

    fn settings(pools: Vec<PoolSettings>) -> Settings {
        let mut settings = Settings::with_pool(pool("a"));
        settings.pools = pools;
        settings
    }

    /// What is told of the change from one list of pools to another.
    fn told(before: Vec<PoolSettings>, after: Vec<PoolSettings>) -> Vec<String> {
        let reload = Reload::new(&settings(before), settings(after));
        assert_eq!(reload.refused, []);
        reload.changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_same_configuration_changes_nothing() {
        let before = settings(vec![pool("a"), pool("b")]);
        let reload = Reload::new(&before, before.clone());
        assert!(reload.is_empty());
        assert_eq!(reload.settings, before);
    }

    #[test]
    fn pools_come_go_and_change_by_their_names() {
        assert_eq!(
            told(vec![pool("a"), pool("b")], vec![pool("c"), pool("a")]),
            ["pool b is removed", "pool c is new"]
        );
        let changed = PoolSettings { weight: 2, enabled: false, ..pool("a") };
        assert_eq!(told(vec![pool("a")], vec![changed]), ["pool a is changed: weight, enabled"]);
        let mut slower = pool("a");
        slower.timeouts.silence_ms += 1;
        assert_eq!(told(vec![pool("a")], vec![slower]), ["pool a is changed: timeouts"]);
    }

    #[test]
    fn a_pool_with_another_place_or_account_is_another_and_no_password_is_told() {
        let with = |password: &str| PoolSettings { password: Some(Secret::new(password)), ..pool("a") };
        assert_eq!(told(vec![with("hunter2")], vec![with("hunter3")]), ["pool a is another one: password"]);
        let elsewhere = PoolSettings { port: 4, priority: 7, ..pool("a") };
        assert_eq!(told(vec![pool("a")], vec![elsewhere]), ["pool a is another one: url, priority"]);
    }

    #[test]
    fn groups_routes_and_failover_apply_at_once() {
        let before = settings(vec![pool("a")]);
        let mut after = before.clone();
        after.groups[0].warm_standby = 2;
        after.routes.push(RouteSettings {
            group: "default".to_owned(),
            listener: None,
            path: None,
            worker: None,
            network: None,
        });
        (after.failover.hold_ms, after.failover.linger_ms) = (1, 2);
        let reload = Reload::new(&before, after.clone());
        let told: Vec<_> = reload.changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "group default keeps 2 spare connections per shard",
                "routes are changed",
                "failover is changed: hold_ms, linger_ms"
            ]
        );
        assert_eq!(reload.settings, after);
    }

    #[test]
    fn what_needs_a_restart_stays_as_it_was_and_is_named() {
        let before = settings(vec![pool("a")]);
        let mut after = settings(vec![pool("a"), pool("b")]);
        after.listeners.push("127.0.0.1:1".parse().expect("an address"));
        after.shards = NonZeroUsize::new(3);
        after.share_check = true;
        after.timeouts.subscribe_ms += 1;
        after.limits.connections_max = 7;
        after.log.file = Some("x".into());
        after.admin = None;
        after.ledger = Some("y".into());
        let reload = Reload::new(&before, after);
        let keys: Vec<_> = reload.refused.iter().map(|refused| refused.key).collect();
        assert_eq!(
            keys,
            [
                "listen",
                "shards",
                "share_check",
                "timeouts.subscribe_ms",
                "limits.connections_max",
                "log.file",
                "admin",
                "ledger.file"
            ]
        );
        assert_eq!(reload.refused[1].to_string(), "shards waits for a restart: threads are started once");
        assert_eq!(reload.settings, settings(vec![pool("a"), pool("b")]));
    }

    #[test]
    fn deadlines_for_all_pools_reach_them_by_their_own() {
        let before = settings(vec![pool("a")]);
        let mut after = before.clone();
        after.timeouts.connect_ms = 7;
        after.pools[0].timeouts.connect_ms = 7;
        let reload = Reload::new(&before, after);
        assert_eq!(reload.refused, []);
        assert_eq!(reload.changes, [Change::PoolChanged("a".to_owned(), vec!["timeouts"])]);
        assert_eq!(reload.settings.pools[0].timeouts.connect_ms, 7);
    }
}
