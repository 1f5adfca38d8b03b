//! Keys that are read and judged, and that nothing acts on yet: better refused than silently without effect.

use super::error::{ConfigError, ConfigErrors, Origin};
use super::{Config, Shown};

/// Refuses `config` if somebody set such a key.
pub fn refuse(config: Config) -> Result<Config, ConfigErrors> {
    let errors: Vec<_> = config.shown.iter().filter_map(fault_of).collect();
    if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
}

fn fault_of(shown: &Shown) -> Option<ConfigError> {
    let parts: Vec<_> = shown.key.split('.').collect();
    let (problem, allowed) = match parts.as_slice() {
        ["pools", "0", "url" | "user" | "password" | "worker_name" | "timeouts", ..] => return None,
        ["pools", "0", key, ..] => (format!("{key} of a pool is not there yet"), "none"),
        ["pools", _, "url"] => ("more than one pool is not there yet".to_owned(), "one pool, pools.0"),
        [table @ ("groups" | "routes"), ..] => (format!("{table} are not there yet"), "none"),
        // Among them all others of a further pool, which is told once.
        _ => return None,
    };
    (shown.origin != Origin::Default).then(|| ConfigError::Value {
        origin: shown.origin.clone(),
        key: shown.key.clone(),
        value: shown.value.clone().unwrap_or_default(),
        problem,
        allowed: allowed.to_owned(),
    })
}
