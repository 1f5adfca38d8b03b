//! The query of a target (`?a=1&b=2`) → named values, or what is wrong with it.

use std::fmt::Display;
use std::ops::RangeInclusive;

use thiserror::Error;

use crate::limits::QUERY_PARAMETERS_COUNT_MAX;

/// What is wrong with a query.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum QueryError {
    /// Not percent-encoded UTF-8, or too many parameters.
    #[error("the query cannot be read")]
    Malformed,
    /// No such parameter.
    #[error("{0:?} is not a parameter here; there are: {1}")]
    Unknown(String, String),
    /// The same twice.
    #[error("{0} is given twice")]
    Twice(String),
    /// Not an allowed value.
    #[error("{name}: {value:?} is not allowed; allowed are {allowed}")]
    Value {
        /// The parameter.
        name: String,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

impl QueryError {
    /// A value that is not allowed.
    pub fn value(name: &str, value: &str, allowed: impl Display) -> Self {
        Self::Value { name: name.to_owned(), value: value.to_owned(), allowed: allowed.to_string() }
    }
}

/// Parameters, each at most once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query that may have the parameters in `known`.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, QueryError> {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name, true).ok_or(QueryError::Malformed)?;
            let value = decoded(value, true).ok_or(QueryError::Malformed)?;
            if !known.contains(&name.as_str()) {
                return Err(QueryError::Unknown(name, known.join(", ")));
            }
            if parameters.iter().any(|(before, _)| *before == name) {
                return Err(QueryError::Twice(name));
            }
            if parameters.len() >= QUERY_PARAMETERS_COUNT_MAX {
                return Err(QueryError::Malformed);
            }
            parameters.push((name, value));
        }
        Ok(Self(parameters))
    }

    /// The value of a parameter, if it is given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter as a whole number.
    pub fn number(&self, name: &str, allowed: RangeInclusive<u64>) -> Result<Option<u64>, QueryError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        match value.parse() {
            Ok(number) if digits && allowed.contains(&number) => Ok(Some(number)),
            _ => {
                let allowed = format!("whole numbers from {} to {}", allowed.start(), allowed.end());
                Err(QueryError::value(name, value, allowed))
            }
        }
    }

    /// The value of a parameter out of a set of words.
    pub fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, QueryError> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == value);
        let allowed = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        found.map(|&(_, meaning)| Some(meaning)).ok_or_else(|| QueryError::value(name, value, allowed()))
    }
}

/// Undoes percent-encoding; in queries `+` is a blank. `None` if it is broken or not UTF-8.
pub(crate) fn decoded(text: &str, is_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let digit = |b: u8| char::from(b).to_digit(16);
                let (high, low) = (digit(*digits.first()?)?, digit(*digits.get(1)?)?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
                rest = after;
            }
            b'+' if is_query => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["name", "limit", "state"];

    #[test]
    fn values_are_decoded_and_typed() {
        let query = Query::parse("name=a%2Eb+c%C3%A9&limit=10&state=on", &KNOWN).unwrap();
        assert_eq!(query.text("name"), Some("a.b cé"));
        assert_eq!(query.number("limit", 1..=10), Ok(Some(10)));
        assert_eq!(query.word("state", &[("on", 1), ("off", 0)]), Ok(Some(1)));
        assert_eq!(Query::parse("", &KNOWN).unwrap().text("name"), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        let error = |text: &str| Query::parse(text, &KNOWN).unwrap_err().to_string();
        assert_eq!(error("nam=a"), r#""nam" is not a parameter here; there are: name, limit, state"#);
        assert_eq!(error("name=a&name=b"), "name is given twice");
        for broken in ["name=%", "name=%4", "name=%zz", "name=%ff", "%ff=a"] {
            assert_eq!(Query::parse(broken, &KNOWN), Err(QueryError::Malformed), "{broken}");
        }
        let query = Query::parse("limit=11&state=no", &KNOWN).unwrap();
        let text = query.number("limit", 1..=10).unwrap_err().to_string();
        assert_eq!(text, r#"limit: "11" is not allowed; allowed are whole numbers from 1 to 10"#);
        assert!(query.word("state", &[("on", 1), ("off", 0)]).unwrap_err().to_string().contains("on, off"));
        for odd in ["limit=", "limit=-1", "limit=+1", "limit=1e3", "limit=99999999999999999999"] {
            assert!(Query::parse(odd, &KNOWN).unwrap().number("limit", 0..=u64::MAX).is_err(), "{odd}");
        }
    }
}
