//! Commands: read, carried out by the engine, kept in the audit, and told to those who listen.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Number;

use super::{Api, Call};
use crate::answer::Answer;
use crate::clock::unix_ms;
use crate::control::{AuditRecord, Caller, Command, Refusal};
use crate::events::Event;
use crate::limits::{BAN_SECONDS_MAX, DRILL_SECONDS_MAX, MOVE_SECONDS_MAX, WORDS_CHARS_MAX};
use crate::problem::Problem;

/// Addresses and networks, for the description alone: [`network_of`] reads them.
const NETWORK: &str = concat!(
    r"^(?:",
    // IPv4, with 1 to 32 bits.
    r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])",
    r"(?:/(?:[1-9]|[12][0-9]|3[0-2]))?",
    r"|(?:",
    // IPv6 in full, or shortened once.
    r"(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}",
    r"|(?:[0-9A-Fa-f]{1,4}:){1,7}:",
    r"|(?:[0-9A-Fa-f]{1,4}:){1,6}:[0-9A-Fa-f]{1,4}",
    r"|(?:[0-9A-Fa-f]{1,4}:){1,5}(?::[0-9A-Fa-f]{1,4}){2}",
    r"|(?:[0-9A-Fa-f]{1,4}:){1,4}(?::[0-9A-Fa-f]{1,4}){3}",
    r"|(?:[0-9A-Fa-f]{1,4}:){1,3}(?::[0-9A-Fa-f]{1,4}){4}",
    r"|(?:[0-9A-Fa-f]{1,4}:){1,2}(?::[0-9A-Fa-f]{1,4}){5}",
    r"|[0-9A-Fa-f]{1,4}:(?::[0-9A-Fa-f]{1,4}){6}",
    r"|:(?:(?::[0-9A-Fa-f]{1,4}){1,7}|:)",
    // With 1 to 128 bits.
    r")(?:/(?:[1-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?",
    r")$"
);
/// No control characters, for the description alone.
const ONE_LINE: &str = r"^[^\u0000-\u001F\u007F-\u009F]*$";

/// Where to, and how.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveBody {
    /// The name of the pool to move to. If absent, a worker goes where the configuration says, and an earlier move of it is
    /// forgotten; the miners of a pool go to whatever pool comes after it.
    #[serde(default)]
    to: Option<String>,
    /// How long they are kept there while the pool can be used; one hour if absent.
    #[serde(default = "hour", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 604_800))]
    hold_seconds: u32,
    /// Whether miners that cannot be switched live are closed, so that they come back there; if not, they stay.
    #[serde(default = "yes")]
    reconnect: bool,
}

/// Which miners, and for how long.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DrillBody {
    /// `start` if absent.
    #[serde(default)]
    action: DrillAction,
    /// The pool to leave; the one with most miners if absent.
    #[serde(default)]
    pool: Option<String>,
    /// How many of its miners, percent.
    #[serde(default = "ten", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 100))]
    percent: u8,
    /// How long they stay away.
    #[serde(default = "sixty", deserialize_with = "whole")]
    #[schemars(range(min = 1, max = 86_400))]
    hold_seconds: u32,
    /// Whether miners that cannot be switched live are closed, so that they come back there, and closed again to go home; if
    /// not, as by default, they stay where they are. Refused while `failover.reserve_ms` is 0.
    #[serde(default)]
    reconnect: bool,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum DrillAction {
    /// Begin one.
    #[default]
    Start,
    /// End the one that is under way, and bring its miners back.
    Cancel,
}

/// A whole number, also one written as `60.0`: to JSON and its schemas they are the same.
fn whole<'de, D: Deserializer<'de>, N: TryFrom<u64>>(deserializer: D) -> Result<N, D::Error> {
    let number = Number::deserialize(deserializer)?;
    let whole = number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        (float.fract() == 0.0 && (0.0..=MOST_EXACT).contains(&float)).then_some(float as u64)
    });
    whole
        .and_then(|whole| N::try_from(whole).ok())
        .ok_or_else(|| D::Error::custom(format_args!("{number} is not a whole number that is allowed here")))
}

fn whole_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Whole(#[serde(deserialize_with = "whole")] u64);
    Ok(Option::<Whole>::deserialize(deserializer)?.map(|Whole(number)| number))
}

/// The largest number up to which a float holds every whole one.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

fn hour() -> u32 {
    3_600
}

fn yes() -> bool {
    true
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
    #[schemars(regex(pattern = NETWORK))]
    network: String,
    /// `ban` if absent.
    #[serde(default)]
    action: BanAction,
    /// How long; until it is lifted if absent.
    #[serde(default, deserialize_with = "whole_or_none")]
    #[schemars(range(min = 1, max = 315_360_000))]
    seconds: Option<u64>,
    /// Why, in words, on one line.
    #[serde(default)]
    #[schemars(length(max = WORDS_CHARS_MAX), regex(pattern = ONE_LINE))]
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
    let MoveBody { to, hold_seconds: hold_s, reconnect } = move_body(call)?;
    carry_out(api, call, 200, Command::MoveWorker { worker: call.name.clone(), to, hold_s, reconnect })
}

pub(super) fn move_pool(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let MoveBody { to, hold_seconds: hold_s, reconnect } = move_body(call)?;
    carry_out(api, call, 200, Command::MovePool { pool: call.name.clone(), to, hold_s, reconnect })
}

fn move_body(call: &Call) -> Result<MoveBody, Problem> {
    let body: MoveBody = call.json()?;
    if (1..=MOVE_SECONDS_MAX).contains(&body.hold_seconds) {
        Ok(body)
    } else {
        Err(Problem::new(422, format!("hold_seconds: allowed are 1 to {MOVE_SECONDS_MAX}.")))
    }
}

pub(super) fn drill(api: &Api, call: &Call) -> Result<Answer, Problem> {
    let DrillBody { action, pool, percent, hold_seconds, reconnect } = call.json()?;
    if !(1..=100).contains(&percent) {
        return Err(Problem::new(422, "percent: allowed are whole numbers from 1 to 100."));
    }
    if !(1..=DRILL_SECONDS_MAX).contains(&hold_seconds) {
        return Err(Problem::new(422, format!("hold_seconds: allowed are 1 to {DRILL_SECONDS_MAX}.")));
    }
    let command = match action {
        DrillAction::Start => Command::Drill { pool, percent, hold_s: hold_seconds, reconnect },
        DrillAction::Cancel => Command::CancelDrill,
    };
    carry_out(api, call, 202, command)
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
            if reason.chars().count() > WORDS_CHARS_MAX || reason.chars().any(char::is_control) {
                let allowed = format!("reason: allowed is one line of at most {WORDS_CHARS_MAX} characters.");
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
    let mut address: IpAddr = address.parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse::<u32>().ok()?,
        Some(_) => return None,
        None => width,
    };
    if bits == 0 || bits > width {
        return None;
    }
    // Miners that come by IPv4 to an IPv6 listener are known by their IPv4 address.
    let (bits, width) = match (address, address.to_canonical()) {
        (IpAddr::V6(_), v4 @ IpAddr::V4(_)) if bits > 96 => {
            address = v4;
            (bits - 96, 32)
        }
        _ => (bits, width),
    };
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
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:c000:207/120", "192.0.2.0/24"),
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
