//! One line of Stratum as a test peer reads it: members borrowed raw, so that ids can be compared byte for byte.
//!
//! This is a second, independent reading of the protocol on purpose. It shares no code with the parser under test,
//! and it is written for clarity, not for speed.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The members that matter to a peer. `null` and "not there" are different things: see [`JsonLine::id`].
#[derive(Debug, Deserialize)]
pub struct JsonLine<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "reject-reason", deserialize_with = "present")]
    reject_reason: Option<&'a RawValue>,
}

/// What an answer says about a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// `result` is `true` and there is no error.
    Accepted,
    /// Anything else; the code where there is one, else zero.
    Rejected(i32),
}

/// Keeps `null` apart from an absent member: an `Option` alone reads both as `None`.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

impl<'a> JsonLine<'a> {
    /// `None` if the line is no JSON object, has a key twice, or its method is no string.
    pub fn read(line: &'a [u8]) -> Option<Self> {
        // serde would take an array for a struct as well.
        let is_object = line.trim_ascii_start().first() == Some(&b'{');
        is_object.then(|| serde_json::from_slice(line).ok())?
    }

    /// The id exactly as written, `null` included; `None` if there is no such member.
    pub fn id(&self) -> Option<&'a str> {
        self.id.map(RawValue::get)
    }

    /// The method of a call; `None` for a response.
    pub fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// The params of a call as a value; `null` where there are none.
    pub fn params(&self) -> Value {
        value(self.params)
    }

    /// The result of a response as a value; `null` where there is none.
    pub fn result(&self) -> Value {
        value(self.result)
    }

    /// The error of a response as a value; `null` where there is none.
    pub fn error(&self) -> Value {
        value(self.error)
    }

    /// Whether this answers a request.
    pub fn is_response(&self) -> bool {
        self.method.is_none()
            && (self.result.is_some() || self.error.is_some() || self.reject_reason.is_some())
    }

    /// How a miner has to read this answer to a submit, whichever of the known shapes it has.
    pub fn verdict(&self) -> Verdict {
        let error = self.error();
        if self.result() == Value::Bool(true) && error.is_null() {
            return Verdict::Accepted;
        }
        let code = match &error {
            Value::Array(items) => items.first().cloned(),
            Value::Object(members) => members.get("code").cloned(),
            _ => None,
        };
        let code = match code {
            Some(Value::Number(code)) => code.as_i64(),
            Some(Value::String(code)) => code.parse().ok(),
            _ => None,
        };
        Verdict::Rejected(code.and_then(|code| i32::try_from(code).ok()).unwrap_or(0))
    }
}

fn value(raw: Option<&RawValue>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kept_as_written_and_null_is_not_absence() {
        let id = |line: &'static str| JsonLine::read(line.as_bytes()).unwrap().id();
        assert_eq!(id(r#"{"id": 1.50 ,"result":1}"#), Some("1.50"));
        assert_eq!(id(r#"{"id":{"a": 1},"result":1}"#), Some(r#"{"a": 1}"#));
        assert_eq!(id(r#"{"id":null,"result":1}"#), Some("null"));
        assert_eq!(id(r#"{"result":1}"#), None);
    }

    #[test]
    fn every_shape_of_success_and_failure_is_read() {
        use crate::shapes::{FAILURE_SHAPES, SUCCESS_SHAPES, fill};
        let verdict = |shape: &str| JsonLine::read(fill(shape, "9").as_bytes()).unwrap().verdict();
        for shape in SUCCESS_SHAPES {
            assert_eq!(verdict(shape), Verdict::Accepted, "{shape}");
        }
        let codes: Vec<Verdict> = FAILURE_SHAPES.iter().map(|shape| verdict(shape)).collect();
        assert_eq!(codes, [23, 21, 21, 0, 0, 22, 0].map(Verdict::Rejected));
    }

    #[test]
    fn what_is_no_object_is_no_message() {
        for line in ["hello", "[]", "1", "{\"id\":1", "{\"id\":1,\"id\":2}", ""] {
            assert!(JsonLine::read(line.as_bytes()).is_none(), "{line}");
        }
    }
}
