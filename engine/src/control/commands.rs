//! What operators may have done, and its record.

use std::time::Duration;

use adit_admin::view::Ban;
use adit_admin::{AuditRecord, Caller, Command, Done, Refusal};
use adit_protocol::moment::Moment;

use super::moves::{self, Wish};
use super::{Operators, drill, unix_ms};
use crate::bans::BANS_COUNT_MAX;
use crate::figures::Figures;
use crate::pools::breaker::Command as PoolCommand;
use crate::pools::catalogue::PoolEntry;
use crate::pools::network::Network;
use crate::reload::{Configured, ReloadError};
use crate::shard::{Mail, Whom};

/// How long the submits of sessions that an operator ends may settle.
const SETTLE_MS: u64 = 2_000;

/// How long the control of pools may take for a command.
const COMMAND_WITHIN: Duration = Duration::from_secs(2);

/// Does what is asked, or says why not.
pub(super) fn carry_out(operators: &Operators, command: &Command, by: &Caller) -> Result<Done, Refusal> {
    match command {
        Command::Drain => drain(operators),
        Command::DisconnectWorker { worker } => disconnect(&operators.figures, worker),
        Command::Ban { network, seconds, reason } => ban(&operators.figures, network, *seconds, reason, by),
        Command::LiftBan { network } => lift(&operators.figures, network),
        Command::Reload => reload(operators, by),
        Command::EnablePool { pool } => pool_command(&operators.figures, pool, PoolCommand::Enable),
        Command::DisablePool { pool } => pool_command(&operators.figures, pool, PoolCommand::Disable),
        Command::DrainPool { pool } => pool_command(&operators.figures, pool, PoolCommand::Drain),
        Command::MoveWorker { worker, to, hold_s, reconnect } => {
            moves::worker(&operators.figures, worker, wish(to.as_deref(), *hold_s, *reconnect))
        }
        Command::MovePool { pool, to, hold_s, reconnect } => {
            moves::pool(&operators.figures, pool, wish(to.as_deref(), *hold_s, *reconnect))
        }
        Command::Drill { pool, percent, hold_s, reconnect } => {
            let (pool, percent, hold_s, reconnect) = (pool.as_deref(), *percent, *hold_s, *reconnect);
            drill::start(&operators.figures, drill::Plan { pool, percent, hold_s, reconnect }, &by.token)
        }
        Command::CancelDrill => drill::cancel(&operators.figures),
    }
}

fn wish(to: Option<&str>, hold_s: u32, may_close: bool) -> Wish<'_> {
    Wish { to, hold_s, may_close }
}

/// Keeps a command and its result in the log, and in the ledger where there is one.
pub(super) fn audit(figures: &Figures, record: &AuditRecord) {
    let AuditRecord { by, command, result, .. } = record;
    let result = match result {
        Ok(done) => format!("done: {}", done.summary),
        Err(refusal) => format!("refused: {refusal}"),
    };
    let asked = serde_json::to_value(command).unwrap_or_default();
    let text = |name: &str| asked.get(name).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let kind = text("command");
    let subject = ["worker", "pool", "network"].map(text).into_iter().find(|text| !text.is_empty());
    let actor = format!("{} ({})", by.token, by.source);
    log::info!("{actor}: {asked}: {result}");
    figures.audit(&kind, &actor, &subject.unwrap_or_default(), &result);
}

fn reload(operators: &Operators, by: &Caller) -> Result<Done, Refusal> {
    let Configured::Loaded(reloader) = &operators.config else {
        return Err(Refusal::Conflict("there is no configuration to be read again".to_owned()));
    };
    let reload = reloader.reload(&by.token).map_err(|error| match error {
        ReloadError::Config(_) => Refusal::Invalid(error.to_string()),
        ReloadError::Pools(_) => Refusal::Conflict(error.to_string()),
        ReloadError::NoAnswer => Refusal::Unavailable(error.to_string()),
    })?;
    let changes = reload.changes.iter().map(ToString::to_string);
    let details: Vec<_> = changes.chain(reload.refused.iter().map(ToString::to_string)).collect();
    let summary = if reload.is_empty() { "nothing is different" } else { "the configuration is reloaded" };
    Ok(Done { summary: summary.to_owned(), affected: reload.changes.len() as u64, details })
}

fn drain(operators: &Operators) -> Result<Done, Refusal> {
    if operators.figures.is_stopping() || operators.drain.try_send(()).is_err() {
        return Err(Refusal::Conflict("Adit is stopping already".to_owned()));
    }
    Ok(done("draining, then stopping".to_owned(), operators.figures.admission.open() as u64))
}

/// Has the control of pools do what is asked.
fn pool_command(figures: &Figures, name: &str, command: PoolCommand) -> Result<Done, Refusal> {
    let catalogue = figures.pools.catalogue();
    let pool = moves::known(&catalogue, name)?;
    let takes = |pool| figures.pools.standings.of(pool).takes();
    let group = &pool.settings.group;
    // Only pools of its group stand in for it.
    let is_peer = |other: &PoolEntry| other.id != pool.id && other.settings.group == *group;
    let has_other = catalogue.pools().any(|other| is_peer(other) && takes(other.id));
    if command != PoolCommand::Enable && takes(pool.id) && !has_other {
        return Err(Refusal::Conflict(format!("{name} is the last usable pool of group {group}")));
    }
    let is_news = figures
        .pools
        .command(pool.id, command, COMMAND_WITHIN)
        .ok_or_else(|| Refusal::Unavailable("the control of pools does not answer in time".to_owned()))?;
    let (what, already) = match command {
        PoolCommand::Enable => ("is tried, and used once it works", "is not switched off"),
        PoolCommand::Disable => ("is used no more; its miners move away now", "is switched off already"),
        PoolCommand::Drain => {
            ("gets no new miners; those that need no reconnect for it move away", "drains already")
        }
    };
    if !is_news {
        return Err(Refusal::Conflict(format!("{name} {already}")));
    }
    let miners = figures.shards.iter().map(|shard| shard.pool_counters.of(pool.id).open()).sum();
    Ok(done(format!("{name} {what}"), miners))
}

fn disconnect(figures: &Figures, worker: &str) -> Result<Done, Refusal> {
    let (key, connections) = connected(figures, worker)?;
    dismiss(figures, Whom::Worker(key))?;
    let closing = count_of(connections.into(), "connection");
    Ok(done(format!("closing {closing} of {worker}"), connections.into()))
}

/// The key of a worker that is connected, and its connections.
pub(super) fn connected(figures: &Figures, worker: &str) -> Result<(u32, u32), Refusal> {
    let found = figures.registry.find(worker);
    match found.ok_or_else(|| Refusal::NotFound(format!("there is no worker {worker:?}")))? {
        (_, 0) => Err(Refusal::Conflict(format!("{worker} is not connected"))),
        found => Ok(found),
    }
}

fn ban(
    figures: &Figures,
    text: &str,
    seconds: Option<u64>,
    reason: &str,
    by: &Caller,
) -> Result<Done, Refusal> {
    let network = network(text)?;
    let since_ms = unix_ms();
    let until_ms = seconds.map(|seconds| since_ms.saturating_add(seconds.saturating_mul(1_000)));
    let (network_text, reason, by) = (text.to_owned(), reason.to_owned(), by.token.clone());
    let ban = Ban { network: network_text, since_ms, until_ms, reason, by };
    if !figures.admission.bans().add(network, ban) {
        let bound = format!("there are {BANS_COUNT_MAX} bans already; lift one, or ban a larger network");
        return Err(Refusal::Conflict(bound));
    }
    dismiss(figures, Whom::Network(network))?;
    let how_long =
        seconds.map_or_else(|| "until it is lifted".to_owned(), |seconds| format!("for {seconds} s"));
    Ok(done(format!("{text} is let in no more {how_long}, its connections are closed"), 1))
}

fn lift(figures: &Figures, text: &str) -> Result<Done, Refusal> {
    if figures.admission.bans().lift(network(text)?, unix_ms()) {
        Ok(done(format!("{text} is let in again"), 1))
    } else {
        Err(Refusal::NotFound(format!("{text} is not banned")))
    }
}

fn network(text: &str) -> Result<Network, Refusal> {
    text.parse().map_err(|error| Refusal::Invalid(format!("{text}: {error}")))
}

/// Has every shard close the sessions of these miners.
fn dismiss(figures: &Figures, whom: Whom) -> Result<(), Refusal> {
    let until: Moment = figures.clock.now().plus_ms(SETTLE_MS);
    if figures.tell_all(|| Mail::Dismiss { whom, until }) {
        Ok(())
    } else {
        Err(Refusal::Unavailable("a shard does not read its mail; try again".to_owned()))
    }
}

pub(super) fn done(summary: String, affected: u64) -> Done {
    Done { summary, affected, details: Vec::new() }
}

/// So many of them.
pub(super) fn count_of(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
