//! The list of all keys: what each is called, what it allows, and what it becomes.

use adit_protocol::limits::{HELD_BYTES_MAX, NAME_TABLE_COUNT_MAX};
use adit_protocol::names::{NameRule, Template, TemplateError};

use super::error::ConfigErrors;
use super::read::{Fault, Reader, Taken};
use super::{Config, admin, values};
use crate::settings::{LISTEN_DEFAULT, Limits, LogSettings, PoolSettings, Settings, Timeouts};

/// Longest deadline: a day.
const TIMEOUT_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Most shards: more cores than any machine of the field has.
const SHARDS_COUNT_MAX: usize = 1_024;
/// Most connections of one process.
const CONNECTIONS_COUNT_MAX: usize = NAME_TABLE_COUNT_MAX;
/// Least room for output: what a session may hold back and then release at once.
const OUTPUT_BYTES_MIN: usize = HELD_BYTES_MAX;
/// Most room for output per direction.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Takes every key and judges what they say together.
pub fn build(mut reader: Reader) -> Result<Config, ConfigErrors> {
    let listen = reader.take("listen", vec![LISTEN_DEFAULT], values::addresses);
    let shards = reader.take_optional("shards", values::count(SHARDS_COUNT_MAX)).value;
    let pin = reader.take("pin", true, values::truth).value;
    let share_check = reader.take("share_check", false, values::truth).value;
    let pool = pool(&mut reader);
    let timeouts = timeouts(&mut reader);
    let limits = limits(&mut reader);
    let log = LogSettings {
        levels: reader.take("log.level", LogSettings::default().levels, values::levels).value,
        format: reader.take("log.format", LogSettings::default().format, values::format).value,
        file: reader.take_optional("log.file", values::file).value,
    };
    let admin = admin::take(&mut reader, &listen.value);
    let ledger = reader.take_optional("ledger.file", values::file).value;

    let (errors, shown) = reader.finish();
    match pool {
        Some(pool) if errors.is_empty() => {
            let listeners = listen.value;
            let settings =
                Settings { listeners, pool, shards, pin, timeouts, limits, share_check, log, admin, ledger };
            Ok(Config { settings, shown })
        }
        _ => Err(ConfigErrors(errors)),
    }
}

/// The one pool there is so far. `None` only after an error was noted.
fn pool(reader: &mut Reader) -> Option<PoolSettings> {
    for index in reader.indexes("pools").into_iter().filter(|&index| index != 0) {
        one_pool_too_many(reader, index);
    }
    let url_is_there = reader.has("pools.0.url");
    let address = reader.take_optional("pools.0.url", values::pool_url).value;
    let user = reader.take_optional("pools.0.user", values::user);
    let password = reader.take_optional("pools.0.password", values::password).value;
    let worker_name = reader.take_optional("pools.0.worker_name", values::worker_name);
    if !url_is_there {
        reader.missing("pools.0.url", "--pool", values::POOL_URL);
    }
    let name_rule = name_rule(reader, &user, &worker_name)?;
    let address = address?;
    Some(PoolSettings { host: address.host, port: address.port, account: user.value, password, name_rule })
}

/// Judges the keys of a further pool, and says that there can be none yet.
fn one_pool_too_many(reader: &mut Reader, index: usize) {
    let url = reader.take_optional(&format!("pools.{index}.url"), values::pool_url);
    reader.take_optional(&format!("pools.{index}.user"), values::user);
    reader.take_optional(&format!("pools.{index}.password"), values::password);
    reader.take_optional(&format!("pools.{index}.worker_name"), values::worker_name);
    let fault = Fault::new("more than one pool is not there yet", "one pool, pools.0");
    reader.conflict(&format!("pools.{index}.url"), &url, fault);
}

/// How names are made, once both halves are known. A half that was refused is not blamed a second time.
fn name_rule(
    reader: &mut Reader,
    user: &Taken<Option<String>>,
    worker_name: &Taken<Option<String>>,
) -> Option<NameRule> {
    let template = worker_name.value.as_deref().and_then(|text| Template::parse(text).ok());
    match NameRule::new(user.value.clone(), template) {
        Ok(rule) => Some(rule),
        Err(TemplateError::NoAccount) if reader.is_faulty("pools.0.user") => None,
        Err(error @ TemplateError::TooLong(_)) if worker_name.value.is_none() => {
            reader.conflict("pools.0.user", user, Fault::new(error.to_string(), "a shorter user"));
            None
        }
        Err(error) => {
            let allowed = match error {
                TemplateError::NoAccount => "{name}, {worker} and plain text, or set user",
                _ => "a shorter template or user",
            };
            reader.conflict("pools.0.worker_name", worker_name, Fault::new(error.to_string(), allowed));
            None
        }
    }
}

fn timeouts(reader: &mut Reader) -> Timeouts {
    let defaults = Timeouts::default();
    let mut take = |name: &str, default| {
        reader.take(&format!("timeouts.{name}"), default, values::number(1..=TIMEOUT_MS_MAX)).value
    };
    Timeouts {
        connect_ms: take("connect_ms", defaults.connect_ms),
        handshake_reply_ms: take("handshake_reply_ms", defaults.handshake_reply_ms),
        submit_reply_ms: take("submit_reply_ms", defaults.submit_reply_ms),
        first_request_ms: take("first_request_ms", defaults.first_request_ms),
        subscribe_ms: take("subscribe_ms", defaults.subscribe_ms),
        authorize_ms: take("authorize_ms", defaults.authorize_ms),
        miner_idle_ms: take("miner_idle_ms", defaults.miner_idle_ms),
        pool_silence_ms: take("pool_silence_ms", defaults.pool_silence_ms),
        drain_ms: take("drain_ms", defaults.drain_ms),
        resolve_refresh_ms: take("resolve_refresh_ms", defaults.resolve_refresh_ms),
    }
}

fn limits(reader: &mut Reader) -> Limits {
    let defaults = Limits::default();
    let count = || values::number(1..=CONNECTIONS_COUNT_MAX);
    let connections_max = reader.take("limits.connections_max", defaults.connections_max, count()).value;
    let key = "limits.connections_per_address_max";
    let per_address = reader.take(key, connections_max, count());
    if per_address.value > connections_max {
        let allowed = format!("a whole number from 1 to {connections_max}");
        reader.conflict(key, &per_address, Fault::new("it is more than limits.connections_max", allowed));
    }
    let output_bytes = values::number(OUTPUT_BYTES_MIN..=OUTPUT_BYTES_MAX);
    Limits {
        connections_max,
        connections_per_address_max: per_address.value,
        output_bytes_max: reader
            .take("limits.output_bytes_max", defaults.output_bytes_max, output_bytes)
            .value,
    }
}
