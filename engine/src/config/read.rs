//! Takes keys out of file, environment and flags, strongest last, and keeps account of every mistake.
//!
//! The one place that knows which source wins. A weaker value that loses is still judged: a broken file stays broken,
//! whatever flag stands before it.

use std::collections::BTreeSet;

use super::error::{ConfigError, Origin};
use super::raw::{Entry, Layer, Raw};
use super::show::{Show, Shown};
use super::suggest::{last_part, nearest};
use crate::settings::Secret;

/// Start of every variable that is ours.
pub const VARIABLE_PREFIX: &str = "ADIT_";

/// Why a value cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong with it.
    pub problem: String,
    /// What would be right.
    pub allowed: String,
    /// The item of a list that is at fault, where it is not the whole.
    pub item: Option<Box<Entry>>,
}

impl Fault {
    /// A fault of the value as a whole.
    pub fn new(problem: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { problem: problem.into(), allowed: allowed.into(), item: None }
    }
}

/// A value that was understood, and where it came from.
#[derive(Clone, Debug)]
pub struct Taken<T> {
    /// The value.
    pub value: T,
    /// Its place; [`Origin::Default`] where nobody set it.
    pub origin: Origin,
}

/// The three sources while they are read.
#[derive(Debug)]
pub struct Reader {
    file: Layer,
    environment: Layer,
    flags: Layer,
    known: BTreeSet<String>,
    errors: Vec<ConfigError>,
    shown: Vec<Shown>,
    /// The file has broken lines, so what seems to be missing may stand there.
    incomplete: bool,
}

impl Reader {
    /// Starts with what the file's reader already found wrong.
    pub fn new(file: Layer, environment: Layer, flags: Layer, errors: Vec<ConfigError>) -> Self {
        let incomplete = !errors.is_empty();
        Self { file, environment, flags, known: BTreeSet::new(), errors, shown: Vec::new(), incomplete }
    }

    /// The strongest value of `key`, or `default`. A fault is kept, and the next weaker value stands in for it.
    pub fn take<T: Show>(
        &mut self,
        key: &str,
        default: T,
        parse: impl Fn(&Raw) -> Result<T, Fault>,
    ) -> Taken<T> {
        let mut taken = Taken { value: default, origin: Origin::Default };
        let variable = variable_of(key);
        let layers = [self.file.remove(key), self.environment.remove(&variable), self.flags.remove(key)];
        for entry in layers.into_iter().flatten() {
            match parse(&entry.raw) {
                Ok(value) => taken = Taken { value, origin: entry.origin },
                Err(fault) => self.refuse(key, &entry, fault),
            }
        }
        self.known.insert(key.to_owned());
        self.shown.push(Shown {
            key: key.to_owned(),
            value: taken.value.show(),
            origin: taken.origin.clone(),
        });
        taken
    }

    /// The same for a key that has no default.
    pub fn take_optional<T: Show>(
        &mut self,
        key: &str,
        parse: impl Fn(&Raw) -> Result<T, Fault>,
    ) -> Taken<Option<T>> {
        self.take(key, None, |raw| parse(raw).map(Some))
    }

    /// Whether some source has a value for `key`, good or bad, that was not taken yet.
    pub fn has(&self, key: &str) -> bool {
        self.file.contains_key(key)
            || self.environment.contains_key(&variable_of(key))
            || self.flags.contains_key(key)
    }

    /// The indexes that some source uses below `key`, as in `pools.1.url`.
    pub fn indexes(&self, key: &str) -> BTreeSet<usize> {
        let (prefix, variable) = (format!("{key}."), format!("{}_", variable_of(key)));
        let of_keys = |layer: &Layer| -> Vec<usize> {
            let index = |name: &String| name.strip_prefix(&prefix)?.split('.').next()?.parse().ok();
            layer.keys().filter_map(index).collect()
        };
        let index = |name: &String| name.strip_prefix(&variable)?.split('_').next()?.parse().ok();
        let of_environment = self.environment.keys().filter_map(index);
        of_environment.chain(of_keys(&self.file)).chain(of_keys(&self.flags)).collect()
    }

    /// Notes that values that are right by themselves do not go together.
    pub fn conflict<T: Show>(&mut self, key: &str, taken: &Taken<T>, fault: Fault) {
        self.errors.push(ConfigError::Value {
            origin: taken.origin.clone(),
            key: key.to_owned(),
            value: taken.value.show().unwrap_or_default(),
            problem: fault.problem,
            allowed: fault.allowed,
        });
    }

    /// Notes that `key` must be set. Kept back while the file has broken lines.
    pub fn missing(&mut self, key: &str, flag: &str, allowed: &str) {
        if !self.incomplete {
            let sources = format!("in the file (--config), by {}, or by {flag}", variable_of(key));
            self.errors.push(ConfigError::Missing {
                key: key.to_owned(),
                sources,
                allowed: allowed.to_owned(),
            });
        }
    }

    /// Whether anything about `key` was found wrong so far.
    pub fn is_faulty(&self, key: &str) -> bool {
        self.errors.iter().any(|error| matches!(error, ConfigError::Value { key: of, .. } if of == key))
    }

    /// Ends the reading: whatever was not taken is unknown.
    pub fn finish(mut self) -> (Vec<ConfigError>, Vec<Shown>) {
        let keys: Vec<&str> = self.known.iter().map(String::as_str).collect();
        for (key, entry) in self.file.iter().chain(&self.flags) {
            let allowed = match nearest(key, &keys) {
                Some(near) => format!("did you mean {near}?"),
                None => "`adit config init` writes a file with all keys".to_owned(),
            };
            self.errors.push(ConfigError::UnknownKey {
                origin: entry.origin.clone(),
                key: key.clone(),
                allowed,
            });
        }
        let variables: Vec<String> = keys.iter().map(|key| variable_of(key)).collect();
        let variables: Vec<&str> = variables.iter().map(String::as_str).collect();
        for (name, entry) in &self.environment {
            let allowed = match nearest(name, &variables) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("variables are named after keys: log.level is {}", variable_of("log.level")),
            };
            self.errors.push(ConfigError::UnknownKey {
                origin: entry.origin.clone(),
                key: name.clone(),
                allowed,
            });
        }
        self.errors.sort_by_key(place);
        (self.errors, self.shown)
    }

    fn refuse(&mut self, key: &str, entry: &Entry, fault: Fault) {
        let at_fault = fault.item.as_deref().unwrap_or(entry);
        self.errors.push(ConfigError::Value {
            origin: at_fault.origin.clone(),
            key: key.to_owned(),
            value: shown_value(key, &at_fault.raw),
            problem: fault.problem,
            allowed: fault.allowed,
        });
    }
}

/// The variable that sets `key`: `pools.0.url` is `ADIT_POOLS_0_URL`.
pub fn variable_of(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.replace('.', "_").to_ascii_uppercase())
}

/// The value for an error message: no password, and no name and password inside a URL.
fn shown_value(key: &str, raw: &Raw) -> String {
    // Who pastes a token where its hash belongs must not find it in a log.
    if ["password", "tokens"].contains(&last_part(key)) {
        return Secret::MASK.to_owned();
    }
    let shown = raw.shown();
    match shown.rfind('@').and_then(|at| shown.get(at..)) {
        Some(host) if last_part(key) == "url" => format!("\"{}{host}", Secret::MASK),
        _ => shown,
    }
}

/// Order of errors: file by line, then environment, then flags, then what is nowhere.
fn place(error: &ConfigError) -> (u8, usize, usize) {
    let origin = match error {
        ConfigError::File { .. } => return (0, 0, 0),
        ConfigError::Missing { .. } => return (4, 0, 0),
        ConfigError::Value { origin, .. }
        | ConfigError::UnknownKey { origin, .. }
        | ConfigError::Syntax { origin, .. } => origin,
    };
    match origin {
        Origin::File { line, column, .. } => (1, *line, *column),
        Origin::Variable(_) => (2, 0, 0),
        Origin::Flag(_) => (3, 0, 0),
        Origin::Default => (4, 0, 0),
    }
}
