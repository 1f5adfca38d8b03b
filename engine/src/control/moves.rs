//! Moves that operators command: of one worker, and of all miners of a pool.
//!
//! Pools stand in for one another only within their group, so a move does not leave it either: a group may be another
//! customer's account.

use std::time::{Duration, Instant};

use adit_admin::{Done, Refusal};
use adit_protocol::pool::PoolId;
use crossbeam::channel;

use super::commands::{connected, count_of, done};
use crate::figures::Figures;
use crate::pools::catalogue::{Catalogue, PoolEntry};
use crate::shard::orders::{Order, Ordered};
use crate::shard::{Mail, Whom};

/// How long shards may take to say what an order means for their miners.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// How a move is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish<'a> {
    /// The pool's name; `None` leaves it to the plan.
    pub(super) to: Option<&'a str>,
    /// How long miners are kept there.
    pub(super) hold_s: u32,
    /// Whether miners that cannot be switched live may be closed.
    pub(super) may_close: bool,
}

/// Moves every connection of a worker.
pub(super) fn worker(figures: &Figures, name: &str, wish: Wish<'_>) -> Result<Done, Refusal> {
    let (key, _) = connected(figures, name)?;
    let catalogue = figures.pools.catalogue();
    let to = wish.to.map(|to| usable(figures, &catalogue, to)).transpose()?;
    let (ordered, details) = order(figures, Whom::Worker(key), to.map(|entry| entry.id), wish)?;
    let affected = ordered.live + ordered.closed;
    if affected == 0 && ordered.there == 0 {
        return Err(Refusal::Conflict(why_not(&ordered, name, wish.to)));
    }
    let where_to = wish.to.unwrap_or("where the configuration says");
    let summary = match (affected, wish.to) {
        (0, Some(to)) => format!("{name} is at {to} already, and is kept there for {} s", wish.hold_s),
        (0, None) => format!("{name} is {where_to}"),
        (_, Some(to)) => {
            let moving = count_of(affected, "connection");
            format!("moving {moving} of {name} to {to}, kept there for {} s", wish.hold_s)
        }
        (_, None) => format!("moving {} of {name} to {where_to}", count_of(affected, "connection")),
    };
    Ok(Done { details, ..done(summary, affected) })
}

/// Moves every miner of a pool.
pub(super) fn pool(figures: &Figures, name: &str, wish: Wish<'_>) -> Result<Done, Refusal> {
    let catalogue = figures.pools.catalogue();
    let from = known(&catalogue, name)?;
    let to = wish.to.map(|to| usable(figures, &catalogue, to)).transpose()?;
    if let Some(to) = to {
        if to.id == from.id {
            return Err(Refusal::Invalid(format!("{name} is the pool that its miners are to leave")));
        }
        if to.settings.group != from.settings.group {
            let (here, there) = (&from.settings.group, &to.settings.group);
            let why = format!("{name} is of group {here}, {} of group {there}", to.settings.name);
            return Err(Refusal::Conflict(why));
        }
    }
    let (ordered, details) = order(figures, Whom::Pool(from.id), to.map(|entry| entry.id), wish)?;
    let affected = ordered.live + ordered.closed;
    if affected == 0 {
        return Err(Refusal::Conflict(why_not(&ordered, name, wish.to)));
    }
    let where_to = wish.to.unwrap_or("the pools behind it");
    let moving = count_of(affected, "connection");
    let summary = format!("moving {moving} from {name} to {where_to}, kept there for {} s", wish.hold_s);
    Ok(Done { details, ..done(summary, affected) })
}

/// A configured pool.
pub(super) fn known<'a>(catalogue: &'a Catalogue, name: &str) -> Result<&'a PoolEntry, Refusal> {
    let found = catalogue.named(name).map(|entry| &**entry);
    found.ok_or_else(|| Refusal::NotFound(format!("there is no pool {name:?}")))
}

/// A configured pool that miners may be sent to.
pub(super) fn usable<'a>(
    figures: &Figures,
    catalogue: &'a Catalogue,
    name: &str,
) -> Result<&'a PoolEntry, Refusal> {
    let entry = known(catalogue, name)?;
    if figures.pools.standings.of(entry.id).takes() {
        return Ok(entry);
    }
    let status = figures.pools.statuses.of(entry.id);
    let state = status.state.label();
    Err(Refusal::Conflict(format!("no miner can be sent to {name}: {state}, {}", status.reason)))
}

/// Has all shards do it, and adds up what they say.
fn order(
    figures: &Figures,
    whom: Whom,
    to: Option<PoolId>,
    wish: Wish<'_>,
) -> Result<(Ordered, Vec<String>), Refusal> {
    let until = figures.clock.now().plus_ms(u64::from(wish.hold_s) * 1_000);
    let (answer, answers) = channel::bounded(figures.shards.len());
    let mail = || Mail::Order(Order { whom, to, until, may_close: wish.may_close, answer: answer.clone() });
    let is_told = figures.tell_all(mail);
    drop(answer);
    let deadline = Instant::now() + ANSWERS_WITHIN;
    let (mut sum, mut answered) = (Ordered::default(), 0);
    while let Ok(ordered) = answers.recv_deadline(deadline) {
        sum.merge(&ordered);
        answered += 1;
    }
    if !is_told || answered == 0 {
        let why = "a shard does not read its mail; try again, nothing is moved twice";
        return Err(Refusal::Unavailable(why.to_owned()));
    }
    Ok((sum, details(&sum, figures.shards.len() - answered)))
}

/// What becomes of whom, in sentences.
fn details(ordered: &Ordered, late: usize) -> Vec<String> {
    let late = late as u64;
    [
        (ordered.live, "switched live"),
        (ordered.closed, "closed when the pool is ready, to come back there"),
        (ordered.there, "there already"),
        (ordered.stay, "staying: they cannot be switched live"),
        (ordered.strangers, "staying: the pool is of another group than theirs"),
        (ordered.nowhere, "staying: there is no other pool for them"),
    ]
    .into_iter()
    .filter(|&(count, _)| count > 0)
    .map(|(count, what)| format!("{} {what}", count_of(count, "connection")))
    .chain((late > 0).then(|| format!("{} not answered in time, and may move more", count_of(late, "shard"))))
    .collect()
}

/// Why nobody moves.
fn why_not(ordered: &Ordered, whom: &str, to: Option<&str>) -> String {
    match ordered {
        Ordered { strangers: 1.., .. } => {
            format!("{} is of another group than {whom}'s pool", to.unwrap_or("the pool"))
        }
        Ordered { nowhere: 1.., .. } => format!("there is no other pool for {whom}"),
        Ordered { stay: 1.., .. } => {
            format!("no connection of {whom} can be switched live, and none may be closed")
        }
        _ => format!("nobody mines at {whom}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_becomes_of_each_connection() {
        let ordered = Ordered { live: 2, closed: 1, strangers: 3, ..Ordered::default() };
        assert_eq!(
            details(&ordered, 1),
            [
                "2 connections switched live",
                "1 connection closed when the pool is ready, to come back there",
                "3 connections staying: the pool is of another group than theirs",
                "1 shard not answered in time, and may move more",
            ]
        );
        assert_eq!(why_not(&ordered, "a.rig", Some("b")), "b is of another group than a.rig's pool");
        assert_eq!(why_not(&Ordered::default(), "main", None), "nobody mines at main");
    }
}
