//! Facts → verdict: what `/health`, `/ready` and `/live` say, and why.
//!
//! - **live**: the process does its work; if not, only a restart helps.
//! - **ready**: a new miner would be served. A balancer or DNS check should look here.
//! - **healthy**: live, ready, and every part works. An alert should look here.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::view::{DatabaseHealth, HealthFacts, PoolsHealth, SystemHealth, UnusablePool};

/// Rows older than this that are not on disk are a fault: the ledger promises 250 ms.
pub const DURABLE_LAG_MS_MAX: u64 = 2_000;
/// Use of a bound, percent, from which a part counts as degraded.
pub const NEAR_LIMIT_PERCENT: u64 = 90;

/// How well a part is. Ordered: the worst of several is the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It works.
    #[default]
    Ok,
    /// It works, and someone should look at it.
    Degraded,
    /// It does not work.
    Failing,
}

/// A part's status and the reasons for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// How well it is.
    pub status: Status,
    /// Why it is not ok; empty if it is.
    pub reasons: Vec<Reason>,
}

/// Why something is not ok.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// In words.
    pub text: String,
    /// Since when: of pools, when they went; of anything else, when somebody who asked was first told of it.
    pub since_ms: Option<u64>,
}

impl Verdict {
    /// Whether it works, if perhaps not well.
    pub fn works(&self) -> bool {
        self.status < Status::Failing
    }

    fn add(&mut self, status: Status, text: impl Into<String>) {
        self.add_since(status, text, None);
    }

    fn add_since(&mut self, status: Status, text: impl Into<String>, since_ms: Option<u64>) {
        self.status = self.status.max(status);
        self.reasons.push(Reason { text: text.into(), since_ms });
    }

    fn merge(&mut self, other: &Self) {
        self.status = self.status.max(other.status);
        self.reasons.extend(other.reasons.iter().cloned());
    }
}

/// When reasons of which the facts do not say so were told first.
#[derive(Debug, Default)]
pub struct FirstTold(HashMap<String, u64>);

impl FirstTold {
    /// Fills in since when `verdict` has its reasons, which are among those of `all`; forgets what is over.
    pub fn date(&mut self, all: &Verdict, verdict: &mut Verdict, now_ms: u64) {
        let keys: Vec<String> = all.reasons.iter().map(Reason::key).collect();
        self.0.retain(|key, _| keys.contains(key));
        for key in keys {
            self.0.entry(key).or_insert(now_ms);
        }
        for reason in verdict.reasons.iter_mut().filter(|reason| reason.since_ms.is_none()) {
            reason.since_ms = self.0.get(&reason.key()).copied();
        }
    }
}

impl Reason {
    /// What stays the same while it lasts: figures in it may change.
    fn key(&self) -> String {
        self.text.replace(|c: char| c.is_ascii_digit(), "")
    }
}

/// Everything together.
pub fn overall(facts: &HealthFacts) -> Verdict {
    let mut verdict = system(&facts.system);
    verdict.merge(&pools(&facts.pools));
    verdict.merge(&database(facts.database.as_ref()));
    verdict
}

/// Whether a new miner would be served.
pub fn ready(facts: &HealthFacts) -> Verdict {
    let mut verdict = live(facts);
    if facts.system.draining {
        verdict.add(Status::Failing, "draining");
    } else if !facts.system.accepting {
        verdict.add(Status::Failing, "no new miners are let in");
    }
    no_pool(&mut verdict, &facts.pools);
    verdict
}

/// No pool is left, since the last one went.
fn no_pool(verdict: &mut Verdict, pools: &PoolsHealth) {
    if pools.usable == 0 {
        let since_ms = pools.unusable.iter().map(|pool| pool.since_ms).max();
        verdict.add_since(Status::Failing, "no usable pool", since_ms);
    }
}

/// Whether the process does its work.
pub fn live(facts: &HealthFacts) -> Verdict {
    let mut verdict = Verdict::default();
    let system = &facts.system;
    if system.shards_alive < system.shards {
        verdict.add(Status::Failing, format!("{} of {} shards alive", system.shards_alive, system.shards));
    }
    verdict
}

/// The pools: failing when none is left.
pub fn pools(pools: &PoolsHealth) -> Verdict {
    let mut verdict = Verdict::default();
    no_pool(&mut verdict, pools);
    for UnusablePool { name, reason, since_ms } in &pools.unusable {
        verdict.add_since(Status::Degraded, format!("pool {name}: {reason}"), Some(*since_ms));
    }
    verdict
}

/// The ledger. Where none is kept there is nothing to fail.
pub fn database(database: Option<&DatabaseHealth>) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(database) = database else { return verdict };
    if !database.writable {
        let error = database.last_error.as_deref().unwrap_or("unknown error");
        verdict.add(Status::Failing, format!("the ledger cannot be written: {error}"));
    }
    if database.durable_lag_ms > DURABLE_LAG_MS_MAX {
        let lag = database.durable_lag_ms;
        verdict.add(Status::Degraded, format!("rows wait {lag} ms to be on disk"));
    }
    near_limit(&mut verdict, "ledger queue", database.queued_rows, database.queue_rows_max);
    verdict
}

/// The process: shards, memory, descriptors, connections.
pub fn system(system: &SystemHealth) -> Verdict {
    let mut verdict = Verdict::default();
    if system.shards_alive < system.shards {
        verdict.add(Status::Failing, format!("{} of {} shards alive", system.shards_alive, system.shards));
    }
    if system.draining {
        verdict.add(Status::Failing, "draining");
    } else if !system.accepting {
        verdict.add(Status::Failing, "no new miners are let in");
    }
    match system.memory_bytes_max {
        Some(max) if system.memory_bytes >= max => verdict.add(Status::Failing, "out of memory"),
        Some(max) => near_limit(&mut verdict, "memory", system.memory_bytes, max),
        None => {}
    }
    near_limit(&mut verdict, "descriptors", system.descriptors, system.descriptors_max);
    near_limit(&mut verdict, "connections", system.connections, system.connections_max);
    verdict
}

fn near_limit(verdict: &mut Verdict, what: &str, used: u64, max: u64) {
    let percent = used.saturating_mul(100).checked_div(max).unwrap_or_default();
    if percent >= NEAR_LIMIT_PERCENT {
        verdict.add(Status::Degraded, format!("{what}: {used} of {max} used"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> HealthFacts {
        HealthFacts {
            pools: PoolsHealth { usable: 2, enabled: 2, unusable: Vec::new() },
            database: Some(DatabaseHealth {
                writable: true,
                queue_rows_max: 1_000,
                ..DatabaseHealth::default()
            }),
            system: SystemHealth {
                accepting: true,
                shards_alive: 2,
                shards: 2,
                memory_bytes: 10,
                memory_bytes_max: Some(100),
                descriptors: 10,
                descriptors_max: 100,
                connections: 10,
                connections_max: 100,
                ..SystemHealth::default()
            },
        }
    }

    #[test]
    fn all_well_is_ok_without_reasons() {
        let ok = Verdict::default();
        assert_eq!([overall(&well()), ready(&well()), live(&well())], [ok.clone(), ok.clone(), ok]);
    }

    #[test]
    fn each_fault_shows_where_it_belongs() {
        type Change = fn(&mut HealthFacts);
        let cases: [(&str, Change, Status, bool, bool); 9] = [
            ("shards alive", |f| f.system.shards_alive = 1, Status::Failing, false, false),
            ("draining", |f| f.system.draining = true, Status::Failing, false, true),
            ("let in", |f| f.system.accepting = false, Status::Failing, false, true),
            ("no usable pool", |f| f.pools.usable = 0, Status::Failing, false, true),
            (
                "pool b: refused",
                |f| {
                    f.pools.unusable.push(UnusablePool {
                        name: "b".into(),
                        reason: "refused".into(),
                        since_ms: 5,
                    });
                },
                Status::Degraded,
                true,
                true,
            ),
            (
                "cannot be written",
                |f| f.database.as_mut().into_iter().for_each(|d| d.writable = false),
                Status::Failing,
                true,
                true,
            ),
            ("memory: 95 of 100", |f| f.system.memory_bytes = 95, Status::Degraded, true, true),
            ("out of memory", |f| f.system.memory_bytes = 100, Status::Failing, true, true),
            ("connections: 90 of 100", |f| f.system.connections = 90, Status::Degraded, true, true),
        ];
        for (reason, change, status, is_ready, is_live) in cases {
            let mut facts = well();
            change(&mut facts);
            let verdict = overall(&facts);
            assert_eq!(verdict.status, status, "{reason}");
            assert!(verdict.reasons.iter().any(|r| r.text.contains(reason)), "{reason}: {verdict:?}");
            assert_eq!((ready(&facts).works(), live(&facts).works()), (is_ready, is_live), "{reason}");
        }
    }

    #[test]
    fn each_reason_says_since_when() {
        let mut facts = well();
        facts.system.memory_bytes = 95;
        let mut first = FirstTold::default();
        let mut dated = |facts: &HealthFacts, now_ms| {
            let mut verdict = overall(facts);
            first.date(&verdict.clone(), &mut verdict, now_ms);
            verdict.reasons.iter().map(|reason| reason.since_ms).collect::<Vec<_>>()
        };
        assert_eq!(dated(&facts, 10), [Some(10)]);
        facts.system.memory_bytes = 96;
        facts.pools.usable = 0;
        let gone = |since_ms| UnusablePool { since_ms, ..UnusablePool::default() };
        facts.pools.unusable = vec![gone(3), gone(7)];
        assert_eq!(
            dated(&facts, 20),
            [Some(10), Some(7), Some(3), Some(7)],
            "it is the same with other figures"
        );
        assert_eq!(dated(&well(), 30), []);
        facts.pools = well().pools;
        assert_eq!(dated(&facts, 40), [Some(40)], "it was over meanwhile");
    }

    #[test]
    fn without_a_ledger_nothing_is_missed() {
        let facts = HealthFacts { database: None, ..well() };
        assert_eq!(overall(&facts), Verdict::default());
    }

    #[test]
    fn an_unknown_limit_is_never_near() {
        let mut facts = well();
        facts.system.connections_max = 0;
        assert_eq!(overall(&facts), Verdict::default());
    }
}
