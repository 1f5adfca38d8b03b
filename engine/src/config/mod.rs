//! From file, environment and flags to [`Settings`]: parsed once, into types that cannot be wrong.
//!
//! ```text
//!  file ──▶ Layer ─┐
//!  ADIT_* ▶ Layer ─┼─▶ Reader ──▶ Settings        flags beat environment, environment beats file
//!  flags ─▶ Layer ─┘      └─────▶ all errors at once, each with key, place, value, and what is allowed
//! ```
//!
//! Not here: what a setting does. [`init_text`] is the manual of all keys.

mod admin;
mod build;
mod environment;
mod error;
mod file;
mod pools;
mod raw;
mod read;
mod routes;
mod show;
mod suggest;
mod values;
mod watch;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use admin::{TOKEN_NAME, is_token_name, token_line};
pub use environment::{FILE_VARIABLE, TOKEN_VARIABLE};
pub use error::{ConfigError, ConfigErrors, Origin};
pub use show::{Shown, as_toml};
pub use values::PoolAddress;
pub use watch::{Loaded, Watch};

use crate::settings::Settings;
use raw::{Entry, Layer, Raw};

/// A configuration that can be run, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What to do.
    pub settings: Settings,
    /// Every key in force, secrets masked.
    pub shown: Vec<Shown>,
}

impl Config {
    /// Whether somebody set `key`, so that its value is no default.
    pub fn is_set(&self, key: &str) -> bool {
        self.shown.iter().any(|shown| shown.key == key && shown.origin != Origin::Default)
    }
}

/// What the command line says about settings.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    layer: Layer,
}

impl Flags {
    /// Notes that `flag` (with its dashes) sets `key` to `value`. The last one counts.
    pub fn set(&mut self, flag: &str, key: &str, value: impl Into<String>) {
        let origin = Origin::Flag(flag.to_owned());
        self.layer.insert(key.to_owned(), Entry { raw: Raw::Word(value.into()), origin });
    }

    /// Notes a flag that was given several times. Nothing is set by none.
    pub fn set_list(&mut self, flag: &str, key: &str, values: &[String]) {
        let origin = Origin::Flag(flag.to_owned());
        let entry = |value: &String| Entry { raw: Raw::Word(value.clone()), origin: origin.clone() };
        let items: Vec<_> = values.iter().map(entry).collect();
        if !items.is_empty() {
            self.layer.insert(key.to_owned(), Entry { raw: Raw::List(items), origin });
        }
    }
}

/// Where a configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file, if there is one.
    pub file: Option<PathBuf>,
    /// The process's environment; what is not ours is passed over.
    pub environment: Vec<(OsString, OsString)>,
    /// What the command line says.
    pub flags: Flags,
}

impl Sources {
    /// This process's environment, the file that `file` or else `ADIT_CONFIG` names, and `flags`.
    pub fn of_process(file: Option<&Path>, flags: Flags) -> Self {
        let named = || std::env::var_os(FILE_VARIABLE).filter(|name| !name.is_empty()).map(PathBuf::from);
        Self {
            file: file.map(Path::to_owned).or_else(named),
            environment: std::env::vars_os().collect(),
            flags,
        }
    }
}

/// Reads and judges everything.
pub fn load(sources: Sources) -> Result<Config, ConfigErrors> {
    let (environment, errors) = environment::read(sources.environment.into_iter());
    let file = sources.file.as_deref().map(file::read).unwrap_or_default();
    build::build(read::Reader::new(file, environment, sources.flags.layer, errors))
}

/// Reads one pool's URL alone. The error says what is wrong and what is allowed.
pub fn pool_url(text: &str) -> Result<PoolAddress, String> {
    values::pool_url(&Raw::Word(text.to_owned()))
        .map_err(|fault| format!("{}; allowed: {}", fault.problem, fault.allowed))
}

/// A commented file with every key and its default.
pub fn init_text() -> &'static str {
    include_str!("init.toml")
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_pools;
