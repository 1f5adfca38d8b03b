//! The list of all keys: what each is called, what it allows, and what it becomes. Pools have files of their own.

use adit_protocol::limits::{HELD_BYTES_MAX, NAME_TABLE_COUNT_MAX};

use super::error::ConfigErrors;
use super::read::{Fault, Reader};
use super::{Config, admin, pools, routes, values};
use crate::settings::{LISTEN_DEFAULT, Limits, LogSettings, Settings, Timeouts};

/// Longest deadline: a day.
pub const TIMEOUT_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
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
    let shards = reader.take_optional("shards", values::count(SHARDS_COUNT_MAX));
    let pin = reader.take("pin", true, values::truth);
    let share_check = reader.take("share_check", false, values::truth);
    let timeouts = timeouts(&mut reader);
    let (pools, groups) = pools::pools(&mut reader, &timeouts, &listen);
    let routes = routes::routes(&mut reader, &listen, &groups);
    let failover = pools::failover(&mut reader);
    let limits = limits(&mut reader);
    let log = LogSettings {
        levels: reader.take("log.level", LogSettings::default().levels, values::levels),
        format: reader.take("log.format", LogSettings::default().format, values::format),
        file: reader.take_optional("log.file", values::file),
        sentry_dsn: reader.take_optional("log.sentry_dsn", values::sentry_dsn),
    };
    let admin = admin::take(&mut reader, &listen);
    let ledger = reader.take_optional("ledger.file", values::file);

    let (errors, shown) = reader.finish();
    if !errors.is_empty() {
        return Err(ConfigErrors(errors));
    }
    let settings = Settings {
        listeners: listen,
        pools,
        groups,
        routes,
        failover,
        shards,
        pin,
        timeouts,
        limits,
        share_check,
        log,
        admin,
        ledger,
    };
    Ok(Config { settings, shown })
}

fn timeouts(reader: &mut Reader) -> Timeouts {
    let defaults = Timeouts::default();
    let mut take = |name: &str, default| {
        reader.take(&format!("timeouts.{name}"), default, values::number(1..=TIMEOUT_MS_MAX))
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
        first_job_ms: take("first_job_ms", defaults.first_job_ms),
        drain_ms: take("drain_ms", defaults.drain_ms),
        resolve_refresh_ms: take("resolve_refresh_ms", defaults.resolve_refresh_ms),
    }
}

fn limits(reader: &mut Reader) -> Limits {
    let defaults = Limits::default();
    let count = || values::number(1..=CONNECTIONS_COUNT_MAX);
    let connections_max = reader.take("limits.connections_max", defaults.connections_max, count());
    let key = "limits.connections_per_address_max";
    let per_address = reader.take(key, connections_max, count());
    if per_address > connections_max {
        let allowed = format!("a whole number from 1 to {connections_max}");
        reader.conflict(key, Fault::new("it is more than limits.connections_max", allowed));
    }
    let output_bytes = values::number(OUTPUT_BYTES_MIN..=OUTPUT_BYTES_MAX);
    Limits {
        connections_max,
        connections_per_address_max: per_address,
        output_bytes_max: reader.take("limits.output_bytes_max", defaults.output_bytes_max, output_bytes),
    }
}
