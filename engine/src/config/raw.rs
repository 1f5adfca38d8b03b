//! Values as written, before anybody knows what they mean.

use std::collections::BTreeMap;

use super::error::Origin;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub raw: Raw,
    /// Its place.
    pub origin: Origin,
}

/// A value as its source can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// From environment and flags, which know no types: text, number or truth, as the key wants it.
    Word(String),
    /// Quoted text.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// `true` or `false`.
    Truth(bool),
    /// Several values.
    List(Vec<Entry>),
    /// What no key of ours takes (a fraction, a date, a table): how it is called, and the text.
    Other(&'static str, String),
}

impl Raw {
    /// The value as it would stand in a file.
    pub fn shown(&self) -> String {
        match self {
            Self::Word(text) | Self::Text(text) => quoted(text),
            Self::Integer(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
            Self::List(entries) => {
                let shown: Vec<_> = entries.iter().map(|entry| entry.raw.shown()).collect();
                format!("[{}]", shown.join(", "))
            }
            Self::Other(_, text) => text.clone(),
        }
    }

    /// What kind of value it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Word(_) | Self::Text(_) => "text",
            Self::Integer(_) => "a number",
            Self::Truth(_) => "true or false",
            Self::List(_) => "a list",
            Self::Other(kind, _) => kind,
        }
    }
}

/// Text as a TOML string on one line.
pub fn quoted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 2);
    shown.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => shown.extend(['\\', c]),
            c if c.is_control() => shown.extend(format!("\\u{:04X}", u32::from(c)).chars()),
            c => shown.push(c),
        }
    }
    shown.push('"');
    shown
}

/// Entries of one source by key (`pools.0.url`), or by variable name for the environment.
pub type Layer = BTreeMap<String, Entry>;
