//! Patterns on worker names: `farm1.*`.
//!
//! `*` stands for any number of bytes, `?` for one, everything else for itself. The whole name must match, and capitals
//! count. Names are the raw bytes between the JSON quotes, as everywhere.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest pattern, bytes.
pub const PATTERN_BYTES_MAX: usize = 128;

/// A pattern that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Nothing in it.
    #[error("it is empty")]
    Empty,
    /// More than [`PATTERN_BYTES_MAX`].
    #[error("it has {0} bytes")]
    TooLong(usize),
    /// No name has such a character unescaped.
    #[error("no worker name holds {0:?}")]
    Character(char),
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            return Err(PatternError::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(PatternError::TooLong(text.len()));
        }
        match text.chars().find(|&c| c.is_control() || c == '"' || c == '\\') {
            Some(c) => Err(PatternError::Character(c)),
            None => Ok(Self(text.to_owned())),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Pattern {
    /// Whether all of `name` matches. Takes at most pattern times name steps, and no memory.
    pub fn matches(&self, name: &[u8]) -> bool {
        let (mut pattern, mut name) = (self.0.as_bytes(), name);
        // Behind the last star: what of the pattern follows it, and what of the name it does not yet stand for.
        let mut last_star: Option<(&[u8], &[u8])> = None;
        loop {
            match (pattern.split_first(), name.split_first()) {
                (Some((b'*', rest)), _) => {
                    last_star = Some((rest, name));
                    pattern = rest;
                }
                (Some((&wanted, rest)), Some((&byte, after))) if wanted == b'?' || wanted == byte => {
                    (pattern, name) = (rest, after);
                }
                (None, None) => return true,
                _ => match last_star {
                    // The star stands for one byte more.
                    Some((rest, [_, after @ ..])) => {
                        last_star = Some((rest, after));
                        (pattern, name) = (rest, after);
                    }
                    _ => return false,
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, without any thought of what it costs.
    fn matches_plainly(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|taken| matches_plainly(rest, &name[taken..])),
            Some((&wanted, rest)) => name.split_first().is_some_and(|(&byte, after)| {
                (wanted == b'?' || wanted == byte) && matches_plainly(rest, after)
            }),
        }
    }

    #[test]
    fn the_whole_name_must_match() {
        for (pattern, name, matches) in [
            ("farm1.*", "farm1.rig7", true),
            ("farm1.*", "farm1.", true),
            ("farm1.*", "farm10.rig7", false),
            ("farm1.*", "xfarm1.rig7", false),
            ("*.rig?", "a.b.rig7", true),
            ("*.rig?", "a.b.rig77", false),
            ("*", "", true),
            ("?", "", false),
            ("A", "a", false),
        ] {
            let pattern: Pattern = pattern.parse().expect("a pattern");
            assert_eq!(pattern.matches(name.as_bytes()), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn every_short_pattern_matches_what_its_definition_says() {
        let words = |letters: &[u8], length: u32| -> Vec<Vec<u8>> {
            let count = letters.len();
            (0..count.pow(length))
                .map(|number| (0..length).map(|at| letters[number / count.pow(at) % count]).collect())
                .collect()
        };
        let names: Vec<_> = (0..=4).flat_map(|length| words(b"ab", length)).collect();
        for text in (1..=4).flat_map(|length| words(b"ab*?", length)) {
            let pattern: Pattern =
                String::from_utf8(text.clone()).expect("ASCII").parse().expect("a pattern");
            for name in &names {
                assert_eq!(pattern.matches(name), matches_plainly(&text, name), "{pattern} {name:?}");
            }
        }
    }

    #[test]
    fn a_hostile_name_costs_no_more_than_pattern_times_name() {
        let pattern: Pattern = format!("{}b", "*a".repeat(60)).parse().expect("a pattern");
        assert!(!pattern.matches(&[b'a'; 16 * 1024]));
    }

    #[test]
    fn a_pattern_that_no_name_can_match_is_refused() {
        assert_eq!("".parse::<Pattern>(), Err(PatternError::Empty));
        assert_eq!("a\"b".parse::<Pattern>(), Err(PatternError::Character('"')));
        assert_eq!("a\n".parse::<Pattern>(), Err(PatternError::Character('\n')));
        assert_eq!("x".repeat(129).parse::<Pattern>(), Err(PatternError::TooLong(129)));
    }
}
