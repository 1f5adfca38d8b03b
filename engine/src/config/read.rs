//! Takes keys out of file, environment and flags, strongest last, and keeps account of every mistake.
//!
//! The one place that knows which source wins. A weaker value that loses is still judged: a broken file stays broken,
//! whatever flag stands before it.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{ConfigError, Origin};
use super::file::{FileLayer, LISTS};
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

/// The three sources while they are read.
#[derive(Debug)]
pub struct Reader {
    file: Layer,
    tables: BTreeMap<String, Origin>,
    environment: Layer,
    flags: Layer,
    known: BTreeSet<String>,
    errors: Vec<ConfigError>,
    shown: Vec<Shown>,
    /// The file has broken lines, so what seems to be missing may stand there.
    incomplete: bool,
}

impl Reader {
    /// Starts with what was already found wrong in the file, and `errors` from elsewhere.
    pub fn new(file: FileLayer, environment: Layer, flags: Layer, mut errors: Vec<ConfigError>) -> Self {
        errors.extend(file.errors);
        let incomplete = !errors.is_empty();
        let (known, shown) = (BTreeSet::new(), Vec::new());
        Self { file: file.layer, tables: file.tables, environment, flags, known, errors, shown, incomplete }
    }

    /// The strongest value of `key`, or `default`. A fault is kept, and the next weaker value stands in for it.
    pub fn take<T: Show>(&mut self, key: &str, default: T, parse: impl Fn(&Raw) -> Result<T, Fault>) -> T {
        let (mut taken, mut origin) = (default, Origin::Default);
        let variable = variable_of(key);
        let layers = [self.file.remove(key), self.environment.remove(&variable), self.flags.remove(key)];
        for entry in layers.into_iter().flatten() {
            match parse(&entry.raw) {
                Ok(value) => (taken, origin) = (value, entry.origin),
                Err(fault) => self.refuse(key, &entry, fault),
            }
        }
        self.known.insert(key.to_owned());
        self.shown.push(Shown { key: key.to_owned(), value: taken.show(), origin });
        taken
    }

    /// The same for a key that has no default.
    pub fn take_optional<T: Show>(
        &mut self,
        key: &str,
        parse: impl Fn(&Raw) -> Result<T, Fault>,
    ) -> Option<T> {
        self.take(key, None, |raw| parse(raw).map(Some))
    }

    /// Whether some source has a value for `key`, good or bad, that was not taken yet.
    pub fn has(&self, key: &str) -> bool {
        self.file.contains_key(key)
            || self.environment.contains_key(&variable_of(key))
            || self.flags.contains_key(key)
    }

    /// The indexes that some source uses below the list `key`, as in `pools.1.url`. An index from `count_max` on is an
    /// error, told once, and whatever stands under it is forgotten.
    pub fn indexes(&mut self, key: &str, count_max: usize) -> BTreeSet<usize> {
        let mut indexes = BTreeSet::new();
        let mut first_beyond: Option<(usize, Origin)> = None;
        let mut is_within = |index: Option<usize>, origin: &Origin| match index {
            Some(index) if index >= count_max => {
                first_beyond.get_or_insert_with(|| (index, origin.clone()));
                false
            }
            index => {
                indexes.extend(index);
                true
            }
        };
        let variable = format!("{}_", variable_of(key));
        self.environment.retain(|name, entry| is_within(index_behind(name, &variable, '_'), &entry.origin));
        let prefix = format!("{key}.");
        self.file.retain(|name, entry| is_within(index_behind(name, &prefix, '.'), &entry.origin));
        self.flags.retain(|name, entry| is_within(index_behind(name, &prefix, '.'), &entry.origin));
        self.tables.retain(|name, origin| is_within(index_behind(name, &prefix, '.'), origin));
        if let Some((index, origin)) = first_beyond {
            self.errors.push(ConfigError::Value {
                origin,
                key: format!("{key}.{index}"),
                value: "…".to_owned(),
                problem: "there are too many".to_owned(),
                allowed: format!("at most {count_max} {key}"),
            });
        }
        indexes
    }

    /// Notes that values that are right by themselves do not go together. Blames `key`, which was taken.
    pub fn conflict(&mut self, key: &str, fault: Fault) {
        let shown = self.shown.iter().find(|shown| shown.key == key);
        self.errors.push(ConfigError::Value {
            origin: shown.map_or(Origin::Default, |shown| shown.origin.clone()),
            key: key.to_owned(),
            value: shown.and_then(|shown| shown.value.clone()).unwrap_or_default(),
            problem: fault.problem,
            allowed: fault.allowed,
        });
    }

    /// Whether `key`, which was taken, has its default.
    pub fn is_default(&self, key: &str) -> bool {
        self.shown.iter().any(|shown| shown.key == key && shown.origin == Origin::Default)
    }

    /// Says what is in force where nobody set `key` and its default follows from other keys.
    pub fn show_default<T: Show>(&mut self, key: &str, value: &T) {
        let is_it = |shown: &&mut Shown| shown.key == key && shown.origin == Origin::Default;
        if let Some(shown) = self.shown.iter_mut().find(is_it) {
            shown.value = value.show();
        }
    }

    /// Notes that `key` must be set. Kept back while the file has broken lines.
    pub fn missing(&mut self, key: &str, flag: &str, allowed: &str) {
        if !self.incomplete {
            let sources = format!("in the file (--config), by {}, or by {flag}", variable_of(key));
            let table = key.rsplit_once('.').and_then(|(table, _)| self.tables.get(table));
            self.errors.push(ConfigError::Missing {
                table: table.cloned(),
                key: key.to_owned(),
                sources,
                allowed: allowed.to_owned(),
            });
        }
    }

    /// Whether anything about `key`, or a key below it, was found wrong so far.
    pub fn is_faulty(&self, key: &str) -> bool {
        let is_it =
            |of: &String| of.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        self.errors.iter().any(|error| matches!(error, ConfigError::Value { key: of, .. } if is_it(of)))
    }

    /// Whether anything at all was found wrong so far.
    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// Ends the reading: whatever was not taken is unknown.
    pub fn finish(mut self) -> (Vec<ConfigError>, Vec<Shown>) {
        let keys: Vec<&str> = self.known.iter().map(String::as_str).chain(LISTS).collect();
        let holds =
            |table: &str, key: &str| key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'));
        let no_key = |origin: &Origin, key: &str| ConfigError::UnknownKey {
            origin: origin.clone(),
            key: key.to_owned(),
            allowed: match (keys.iter().find(|known| holds(key, known)), nearest(key, &keys)) {
                (Some(inner), _) => format!("it is a table, of keys such as {inner}"),
                (None, Some(near)) => format!("did you mean {near}?"),
                (None, None) => "`adit config init` writes a file with all keys".to_owned(),
            },
        };
        for (key, entry) in self.file.iter().chain(&self.flags) {
            self.errors.push(no_key(&entry.origin, key));
        }
        // A table that holds something is known or unknown by that.
        for (table, origin) in &self.tables {
            let inner = format!("{table}.");
            let is_inner = |key: Option<&String>| key.is_some_and(|key| key.starts_with(&inner));
            let is_known = is_inner(self.known.range(inner.clone()..).next());
            let holds_key = is_inner(self.file.range(inner.clone()..).map(|(key, _)| key).next());
            let holds_table = is_inner(self.tables.range(inner.clone()..).map(|(key, _)| key).next());
            if !is_known && !holds_key && !holds_table {
                self.errors.push(no_key(origin, table));
            }
        }
        let variables: Vec<String> = self.known.iter().map(|key| variable_of(key)).collect();
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

/// The index that follows `prefix` in a key or a variable's name.
fn index_behind(name: &str, prefix: &str, separator: char) -> Option<usize> {
    name.strip_prefix(prefix)?.split(separator).next()?.parse().ok()
}

/// The value for an error message: no password, and no name and password inside a URL.
fn shown_value(key: &str, raw: &Raw) -> String {
    // Who pastes a token where its hash belongs must not find it in a log.
    if ["password", "tokens", "sentry_dsn"].contains(&last_part(key)) {
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
        ConfigError::Missing { table: None, .. } => return (4, 0, 0),
        ConfigError::Missing { table: Some(origin), .. }
        | ConfigError::Value { origin, .. }
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
