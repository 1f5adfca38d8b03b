//! Which log records are kept: `info,adit::shard=debug` as a value.

use std::fmt;
use std::str::FromStr;

use log::LevelFilter;
use thiserror::Error;

/// A level for everything, and others for single modules and what lies below them.
///
/// A module is named as in Rust, such as `adit::shard` or `adit_store`. The longest match decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Where no module matches.
    pub default: LevelFilter,
    /// Module path and level, each module once.
    pub modules: Vec<(String, LevelFilter)>,
}

impl Default for Levels {
    fn default() -> Self {
        Self { default: LevelFilter::Info, modules: Vec::new() }
    }
}

/// What is wrong with a list of levels.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LevelsError {
    /// No such level.
    #[error("`{0}` is not a level; levels are off, error, warn, info, debug, trace")]
    Level(String),
    /// Not the path of a Rust module.
    #[error("`{0}` is not a module path such as adit::shard")]
    Module(String),
    /// The default, or one module, is given more than once.
    #[error("{0} is given twice")]
    Twice(String),
}

impl FromStr for Levels {
    type Err = LevelsError;

    fn from_str(text: &str) -> Result<Self, LevelsError> {
        let mut default = None;
        let mut modules: Vec<(String, LevelFilter)> = Vec::new();
        for part in text.split(',').map(str::trim) {
            let Some((module, level)) = part.split_once('=') else {
                if default.replace(level_of(part)?).is_some() {
                    return Err(LevelsError::Twice("the level for all modules".to_owned()));
                }
                continue;
            };
            let (module, level) = (module.trim(), level_of(level.trim())?);
            if !is_module_path(module) {
                return Err(LevelsError::Module(module.to_owned()));
            }
            if modules.iter().any(|(known, _)| known == module) {
                return Err(LevelsError::Twice(format!("`{module}`")));
            }
            modules.push((module.to_owned(), level));
        }
        Ok(Self { default: default.unwrap_or(LevelFilter::Info), modules })
    }
}

/// The form that [`FromStr`] reads.
impl fmt::Display for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.default.as_str().to_ascii_lowercase())?;
        self.modules
            .iter()
            .try_for_each(|(module, level)| write!(f, ",{module}={}", level.as_str().to_ascii_lowercase()))
    }
}

fn level_of(text: &str) -> Result<LevelFilter, LevelsError> {
    text.parse().map_err(|_| LevelsError::Level(text.to_owned()))
}

fn is_module_path(text: &str) -> bool {
    text.split("::").all(|part| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_per_module_and_shown_in_the_form_they_are_read() {
        for (text, shown) in [
            ("info", "info"),
            ("WARN", "warn"),
            ("info,adit::shard=debug", "info,adit::shard=debug"),
            (" adit_store = trace , error", "error,adit_store=trace"),
            ("adit=off", "info,adit=off"),
        ] {
            let levels: Levels = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(levels.to_string(), shown);
            assert_eq!(shown.parse(), Ok(levels));
        }
    }

    #[test]
    fn what_is_no_list_of_levels_is_refused() {
        for (text, error) in [
            ("", LevelsError::Level(String::new())),
            ("loud", LevelsError::Level("loud".into())),
            ("info,", LevelsError::Level(String::new())),
            ("adit::shard=", LevelsError::Level(String::new())),
            ("adit..shard=info", LevelsError::Module("adit..shard".into())),
            ("adit::=info", LevelsError::Module("adit::".into())),
            ("info,warn", LevelsError::Twice("the level for all modules".into())),
            ("adit=info,adit=warn", LevelsError::Twice("`adit`".into())),
        ] {
            assert_eq!(text.parse::<Levels>(), Err(error), "{text}");
        }
    }
}
