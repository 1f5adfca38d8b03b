//! Facts → verdict: what `/health`, `/ready` and `/live` say, and why.
//!
//! - **live**: the process does its work; if not, only a restart helps.
//! - **ready**: a new miner would be served. A balancer or DNS check should look here.
//! - **healthy**: live, ready, and every part works. An alert should look here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::view::{DatabaseHealth, HealthFacts, PoolsHealth, SystemHealth};

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
    pub reasons: Vec<String>,
}

impl Verdict {
    /// Whether it works, if perhaps not well.
    pub fn works(&self) -> bool {
        self.status < Status::Failing
    }

    fn add(&mut self, status: Status, reason: impl Into<String>) {
        self.status = self.status.max(status);
        self.reasons.push(reason.into());
    }

    fn merge(&mut self, other: &Self) {
        self.status = self.status.max(other.status);
        self.reasons.extend(other.reasons.iter().cloned());
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
    if facts.pools.usable == 0 {
        verdict.add(Status::Failing, "no usable pool");
    }
    verdict
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
    if pools.usable == 0 {
        verdict.add(Status::Failing, "no usable pool");
    }
    for (name, reason) in &pools.unusable {
        verdict.add(Status::Degraded, format!("pool {name}: {reason}"));
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
                |f| f.pools.unusable.push(("b".into(), "refused".into())),
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
            assert!(verdict.reasons.iter().any(|r| r.contains(reason)), "{reason}: {verdict:?}");
            assert_eq!((ready(&facts).works(), live(&facts).works()), (is_ready, is_live), "{reason}");
        }
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
