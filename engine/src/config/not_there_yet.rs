//! Keys that are read and judged, and that nothing acts on yet: better refused than silently without effect.

use super::error::{ConfigError, ConfigErrors, Origin};
use super::{Config, Shown};

/// Refuses `config` if somebody set such a key.
pub fn refuse(config: Config) -> Result<Config, ConfigErrors> {
    let errors: Vec<_> = config.shown.iter().filter_map(fault_of).collect();
    if errors.is_empty() { Ok(config) } else { Err(ConfigErrors(errors)) }
}

fn fault_of(shown: &Shown) -> Option<ConfigError> {
    let value = shown.value.clone()?;
    let parts: Vec<_> = shown.key.split('.').collect();
    let (problem, allowed) = match parts.as_slice() {
        ["routes", _, "path"] => ("routes by path are not there yet", "listener, worker and network"),
        _ => return None,
    };
    let fault = || ConfigError::Value {
        origin: shown.origin.clone(),
        key: shown.key.clone(),
        value,
        problem: problem.to_owned(),
        allowed: allowed.to_owned(),
    };
    (shown.origin != Origin::Default).then(fault)
}
