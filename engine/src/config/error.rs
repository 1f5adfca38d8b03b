//! What is wrong with a configuration, for the one who wrote it.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: it is the default, or it is missing.
    Default,
    /// In a file. Both numbers count from 1.
    File {
        /// The file as the operator named it.
        path: PathBuf,
        /// Line in it.
        line: usize,
        /// Column in the line, in characters.
        column: usize,
    },
    /// In an environment variable of this name.
    Variable(String),
    /// Behind a command-line flag, named with its dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => {
                write!(f, "{}, line {line}, column {column}", path.display())
            }
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The value of a known key cannot be used.
    #[error("{origin}: {key} = {value}: {problem}; allowed: {allowed}")]
    Value {
        /// Where it stands.
        origin: Origin,
        /// Its key, such as `pools.0.url`.
        key: String,
        /// The value as written, with secrets masked.
        value: String,
        /// Why it cannot be used.
        problem: String,
        /// What can.
        allowed: String,
    },
    /// A key that has no meaning.
    #[error("{origin}: unknown key {key}; {allowed}")]
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// The key, or the variable's name.
        key: String,
        /// What may have been meant.
        allowed: String,
    },
    /// A key that must be set and is not.
    #[error("{}{key} is missing; give it {sources}; allowed: {allowed}", .table.as_ref().map(|at| format!("{at}: ")).unwrap_or_default())]
    Missing {
        /// Where the table begins that lacks it, if there is one.
        table: Option<Origin>,
        /// The key.
        key: String,
        /// Where it can be set.
        sources: String,
        /// What can be set.
        allowed: String,
    },
    /// The file is no TOML here.
    #[error(
        "{origin}: {line_text}: {problem}; allowed: TOML, as in `key = \"text\"`, `key = 5`, `key = true`"
    )]
    Syntax {
        /// Where reading stopped.
        origin: Origin,
        /// The line, or only its key where the value may be secret.
        line_text: String,
        /// What the TOML parser says.
        problem: String,
    },
    /// The file cannot be read at all.
    #[error("{}: cannot be read: {reason}; allowed: a TOML file in UTF-8 of at most {bytes_max} bytes", path.display())]
    File {
        /// The file as the operator named it.
        path: PathBuf,
        /// What the system says.
        reason: String,
        /// Longest file read.
        bytes_max: u64,
    },
}

/// All mistakes of a configuration at once; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.0 {
            writeln!(f, "{error}")?;
        }
        match self.0.len() {
            1 => f.write_str("1 error in the configuration"),
            count => write!(f, "{count} errors in the configuration"),
        }
    }
}
