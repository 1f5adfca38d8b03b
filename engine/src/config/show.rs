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
use crate::pools::network::Network;
use crate::pools::pattern::Pattern;
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
            let _ = writeln!(text, "\n{}", header(table));
            last_table = table;
        }
        let _ = match value {
            Some(value) => writeln!(text, "{name} = {value}  # {origin}"),
            None => writeln!(text, "# {name} is not set"),
        };
    }
    text
}

/// The line that begins a table: `pools.0` is an item of the list `pools`, `pools.0.timeouts` a table in it.
fn header(table: &str) -> String {
    let is_index = |part: &str| part.parse::<usize>().is_ok();
    let names: Vec<_> = table.split('.').filter(|part| !is_index(part)).collect();
    let name = names.join(".");
    if table.split('.').next_back().is_some_and(is_index) {
        format!("[[{name}]]")
    } else {
        format!("[{name}]")
    }
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
    u16 => u16::to_string;
    u32 => u32::to_string;
    u64 => u64::to_string;
    usize => usize::to_string;
    bool => bool::to_string;
    NonZeroUsize => NonZeroUsize::to_string;
    String => |text| quoted(text);
    PathBuf => |path| quoted(&path.to_string_lossy());
    SocketAddr => |address| quoted(&address.to_string());
    Levels => |levels| quoted(&levels.to_string());
    Secret => |_| quoted(Secret::MASK);
    Pattern => |pattern| quoted(&pattern.to_string());
    Network => |network| quoted(&network.to_string());
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
