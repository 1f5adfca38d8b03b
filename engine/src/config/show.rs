//! A configuration as text: what is in force, and who said so.

use std::fmt::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use adit_admin::Token;

use super::admin::masked_token;
use super::error::Origin;
use super::raw::quoted;
use super::values::{OFF, PoolAddress};
use crate::logging::levels::Levels;
use crate::settings::{LogFormat, Secret};

/// One key as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The key, such as `pools.0.url`.
    pub key: String,
    /// Its value in TOML, secrets masked; `None` where it is not set.
    pub value: Option<String>,
    /// Who set it.
    pub origin: Origin,
}

/// All keys as a TOML file, each with its origin behind it. Secrets are masked, so this is for reading.
pub fn as_toml(shown: &[Shown]) -> String {
    let mut text = String::new();
    let mut last_table = "";
    for Shown { key, value, origin } in shown {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
        if table != last_table {
            // `pools.0` is an item of a list of tables.
            let header = match table.rsplit_once('.') {
                Some((list, index)) if index.parse::<usize>().is_ok() => format!("[[{list}]]"),
                _ => format!("[{table}]"),
            };
            let _ = writeln!(text, "\n{header}");
            last_table = table;
        }
        let _ = match value {
            Some(value) => writeln!(text, "{name} = {value}  # {origin}"),
            None => writeln!(text, "# {name} is not set"),
        };
    }
    text
}

/// How a value is written in TOML; `None` where there is none.
pub trait Show {
    /// The text.
    fn show(&self) -> Option<String>;
}

macro_rules! show_as {
    ($($type:ty => $show:expr;)*) => {
        $(impl Show for $type {
            fn show(&self) -> Option<String> {
                let show: fn(&$type) -> String = $show;
                Some(show(self))
            }
        })*
    };
}

show_as! {
    u64 => u64::to_string;
    usize => usize::to_string;
    bool => bool::to_string;
    NonZeroUsize => NonZeroUsize::to_string;
    String => |text| quoted(text);
    PathBuf => |path| quoted(&path.to_string_lossy());
    SocketAddr => |address| quoted(&address.to_string());
    Levels => |levels| quoted(&levels.to_string());
    Secret => |_| quoted(Secret::MASK);
    PoolAddress => |address| quoted(&address.to_string());
    LogFormat => |format| match format {
        LogFormat::Text => quoted("text"),
        LogFormat::Json => quoted("json"),
    };
    Vec<SocketAddr> => |addresses| {
        let addresses: Vec<_> = addresses.iter().map(|address| quoted(&address.to_string())).collect();
        format!("[{}]", addresses.join(", "))
    };
    Vec<String> => |texts| {
        let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
        format!("[{}]", texts.join(", "))
    };
    Vec<Token> => |tokens| {
        let tokens: Vec<_> = tokens.iter().map(|token| quoted(&masked_token(token))).collect();
        format!("[{}]", tokens.join(", "))
    };
}

impl<T: Show> Show for Switchable<T> {
    fn show(&self) -> Option<String> {
        match self {
            Self::On(value) => value.show(),
            Self::Off => Some(quoted(OFF)),
        }
    }
}

impl<T: Show> Show for Option<T> {
    fn show(&self) -> Option<String> {
        self.as_ref().and_then(Show::show)
    }
}

/// A value, or the word `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switchable<T> {
    /// The value.
    On(T),
    /// Switched off on purpose.
    Off,
}
