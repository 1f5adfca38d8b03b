//! `/health` and its parts, `/ready`, `/live`.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Api, Call};
use crate::answer::Answer;
use crate::clock::unix_ms;
use crate::health::{self, Verdict};
use crate::view::{DatabaseHealth, HealthFacts, PoolsHealth, SystemHealth};

/// A verdict with the facts behind it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Judged<T> {
    #[serde(flatten)]
    verdict: Verdict,
    #[serde(flatten)]
    facts: T,
}

/// The whole.
pub(super) type Health = Judged<HealthFacts>;
/// The pools' part.
pub(super) type PoolsPart = Judged<PoolsHealth>;
/// The process's part.
pub(super) type SystemPart = Judged<SystemHealth>;

/// The ledger's part.
#[derive(Serialize, JsonSchema)]
pub(super) struct DatabasePart {
    #[serde(flatten)]
    verdict: Verdict,
    /// The facts; `null` where no ledger is kept.
    database: Option<DatabaseHealth>,
}

pub(super) fn overall(api: &Api, _: &Call) -> Answer {
    whole(api, health::overall)
}

pub(super) fn ready(api: &Api, _: &Call) -> Answer {
    whole(api, health::ready)
}

pub(super) fn live(api: &Api, _: &Call) -> Answer {
    whole(api, health::live)
}

pub(super) fn database(api: &Api, _: &Call) -> Answer {
    let (facts, verdict) = judged(api, |facts| health::database(facts.database.as_ref()));
    let database = facts.database;
    fresh(&verdict.clone(), &DatabasePart { verdict, database })
}

pub(super) fn pool(api: &Api, _: &Call) -> Answer {
    let (facts, verdict) = judged(api, |facts| health::pools(&facts.pools));
    fresh(&verdict.clone(), &Judged { verdict, facts: facts.pools })
}

pub(super) fn system(api: &Api, _: &Call) -> Answer {
    let (facts, verdict) = judged(api, |facts| health::system(&facts.system));
    fresh(&verdict.clone(), &Judged { verdict, facts: facts.system })
}

fn whole(api: &Api, judge: fn(&HealthFacts) -> Verdict) -> Answer {
    let (facts, verdict) = judged(api, judge);
    fresh(&verdict.clone(), &Judged { verdict, facts })
}

/// The facts, and a verdict on some of them that says since when.
fn judged(api: &Api, judge: fn(&HealthFacts) -> Verdict) -> (HealthFacts, Verdict) {
    let facts = api.control.health();
    let mut verdict = judge(&facts);
    api.first_told.lock().date(&health::overall(&facts), &mut verdict, unix_ms());
    (facts, verdict)
}

fn fresh(verdict: &Verdict, body: &impl Serialize) -> Answer {
    Answer::json(if verdict.works() { 200 } else { 503 }, body).with("Cache-Control", "no-store")
}
