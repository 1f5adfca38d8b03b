//! Commands: read, carried out by the engine, kept in the audit, and told to those who listen.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Api, Call};
use crate::answer::Answer;
use crate::clock::unix_ms;
use crate::control::{AuditRecord, Caller, Command, Refusal};
use crate::events::Event;
use crate::limits::{BAN_SECONDS_MAX, DRILL_SECONDS_MAX, WORDS_BYTES_MAX};
use crate::problem::Problem;

/// Where to.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveBody {
    /// The pool's name.
    pool: String,
}

/// Which miners, and for how long.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrillBody {
    /// The pool to leave; the one with most miners if absent.
    #[serde(default)]
    pool: Option<String>,
    /// How many of its miners, percent.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 100))]
    percent: u8,
    /// How long they stay away.
    #[serde(default = "sixty")]
    #[schemars(range(min = 1, max = 86_400))]
    hold_seconds: u32,
}

fn ten() -> u8 {
    10
}

fn sixty() -> u32 {
    60
}

/// Whom not to let in, or to let in again.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BanBody {
    /// An address, or a network as `address/bits`.
    network: String,
    /// `ban` if absent.
    #[serde(default)]
    action: BanAction,
    /// How long; until it is lifted if absent.
    #[serde(default)]
    #[schemars(range(min = 1, max = 315_360_000))]
    seconds: Option<u64>,
    /// Why, in words.
    #[serde(default)]
    reason: String,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum BanAction {
    /// Let it in no more.
    #[default]
    Ban,
    /// Let it in again.
    Lift,
}

pub(super) fn reload(api: &Api, call: &Call) -> Result<Answer, Problem> {
    bare(api, call, 200, Command::Reload)
}

pub(super) fn drain(api: &Api, call: &Call) -> Result<Answer, Problem> {
    bare(api, call, 202, Command::Drain)
}

pub(super) fn enable_pool(api: &Api, call: &Call) -> Result<Answer, Problem> {
    bare(api, call, 200, Command::EnablePool { pool: call.name.clone() })
}

pub(super) fn disable_pool(api: &Api, call: &Call) -> Result<Answer, Problem> {
    bare(api, call, 200, Command::DisablePool { pool: call.name.clone() })
}

pub(super) fn drain_pool(api: &Api, call: &Call) -> Result<Answer, Problem> {
    bare(api, call, 200, Command::DrainPool { pool: call.name.clone() })
}

pub(super) fn disconnect_worker(api: &Api, call: &Call) -> Result<Answer, Problem> {
    bare(api, call, 200, Command::DisconnectWorker { worker: call.name.clone() })
}

pub(super) fn move_worker(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let MoveBody { pool } = call.json()?;
    carry_out(api, call, 200, Command::MoveWorker { worker: call.name.clone(), pool })
}

pub(super) fn drill(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let DrillBody { pool, percent, hold_seconds } = call.json()?;
    if !(1..=100).contains(&percent) {
        return Err(Problem::new(422, "percent: allowed are whole numbers from 1 to 100."));
    }
    if !(1..=DRILL_SECONDS_MAX).contains(&hold_seconds) {
        return Err(Problem::new(422, format!("hold_seconds: allowed are 1 to {DRILL_SECONDS_MAX}.")));
    }
    carry_out(api, call, 202, Command::Drill { pool, percent, hold_s: hold_seconds })
}

pub(super) fn ban(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let BanBody { network, action, seconds, reason } = call.json()?;
    let network = network_of(&network)
        .ok_or_else(|| Problem::new(422, "network: allowed is an address, or a network as address/bits."))?;
    let command = match action {
        BanAction::Ban => {
            if seconds.is_some_and(|seconds| !(1..=BAN_SECONDS_MAX).contains(&seconds)) {
                return Err(Problem::new(422, format!("seconds: allowed are 1 to {BAN_SECONDS_MAX}.")));
            }
            if reason.len() > WORDS_BYTES_MAX || reason.chars().any(char::is_control) {
                let allowed = format!("reason: allowed is one line of at most {WORDS_BYTES_MAX} bytes.");
                return Err(Problem::new(422, allowed));
            }
            Command::Ban { network, seconds, reason }
        }
        BanAction::Lift => Command::LiftBan { network },
    };
    carry_out(api, call, 200, command)
}

/// The network in the one way to write it: no bits behind the mask, no mask that covers one address only.
fn network_of(text: &str) -> Option<String> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse::<u32>().ok()?,
        Some(_) => return None,
        None => width,
    };
    if bits == 0 || bits > width {
        return None;
    }
    let base: IpAddr = match address {
        IpAddr::V4(v4) => (v4 & std::net::Ipv4Addr::from_bits(u32::MAX << (32 - bits))).into(),
        IpAddr::V6(v6) => (v6 & std::net::Ipv6Addr::from_bits(u128::MAX << (128 - bits))).into(),
    };
    Some(if bits == width { base.to_string() } else { format!("{base}/{bits}") })
}

/// A command without a body.
fn bare(api: &Api, call: &Call, status: u16, command: Command) -> Result<Answer, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    let Nothing {} = call.json()?;
    carry_out(api, call, status, command)
}

fn carry_out(api: &Api, call: &Call, status: u16, command: Command) -> Result<Answer, Problem> {
    let token = call.who.token.as_ref().map(|(name, _)| name.clone());
    let by = Caller { token: token.unwrap_or_default(), source: call.request.source };
    let at_ms = unix_ms();
    let result = api.control.command(&command, &by);
    let (done, told) = match &result {
        Ok(done) => (true, done.summary.clone()),
        Err(refusal) => (false, refusal.to_string()),
    };
    let record = AuditRecord { at_ms, by, command, result };
    api.control.audit(&record);
    let AuditRecord { by, command, result, .. } = record;
    api.events.publish(Event::Command {
        token: by.token.into(),
        source: by.source.to_string().into(),
        command,
        done,
        result: told,
    });
    match result {
        Ok(done) => Ok(Answer::json(status, &done).with("Cache-Control", "no-store")),
        Err(refusal) => Err(problem(&refusal)),
    }
}

fn problem(refusal: &Refusal) -> Problem {
    let status = match refusal {
        Refusal::NotFound(_) => 404,
        Refusal::Conflict(_) => 409,
        Refusal::Invalid(_) => 422,
        Refusal::Unavailable(_) => 503,
    };
    Problem::new(status, refusal.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_written_in_one_way() {
        for (given, written) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("192.0.2.7/24", "192.0.2.0/24"),
            ("128.0.0.1/1", "128.0.0.0/1"),
            ("2001:DB8::1", "2001:db8::1"),
            ("2001:db8:1:2:3::/64", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(network_of(given).as_deref(), Some(written));
        }
        for wrong in
            ["", "a", "192.0.2", "192.0.2.0/33", "192.0.2.0/0", "192.0.2.0/", "192.0.2.0/+8", "::/129"]
        {
            assert_eq!(network_of(wrong), None, "{wrong}");
        }
    }
}
