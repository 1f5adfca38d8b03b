//! Reading one raw JSON value: what a span of a [`Message`](crate::message::Message) holds, as a Rust value.
//!
//! Every function takes the bytes of one value (white space around it allowed, nothing else) and answers `None` where
//! the value is of another kind. Nothing here allocates unless a string has escapes in it.
//! It is not a document model: values stay raw, and whoever needs the inside of an array or an object walks it with
//! [`elements`] or [`members`].

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The text of a string, unescaped. Borrowed when it holds no backslash.
pub fn string(raw: &[u8]) -> Option<Cow<'_, str>> {
    if let Some(text) = plain_str(raw) {
        return Some(Cow::Borrowed(text));
    }
    if !raw.starts_with(b"\"") {
        return None; // serde_json would say so too, at the price of an allocation
    }
    serde_json::from_slice::<String>(raw).ok().map(Cow::Owned)
}

/// The text of a string that has no escapes in it.
#[inline]
pub fn plain_str(raw: &[u8]) -> Option<&str> {
    let text = raw.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    if memchr::memchr2(b'\\', b'"', text).is_some() {
        return None;
    }
    std::str::from_utf8(text).ok()
}

/// A non-negative integer, written as digits only.
#[inline]
pub fn unsigned(raw: &[u8]) -> Option<u64> {
    let well_formed = match raw {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !well_formed {
        return None;
    }
    raw.iter().try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

/// A non-negative integer, also between quotes: some pools echo the ids they are given as strings.
#[inline]
pub fn id_number(raw: &[u8]) -> Option<u64> {
    unsigned(raw).or_else(|| unsigned(plain_str(raw)?.as_bytes()))
}

/// An integer of either sign, also between quotes: error codes come in both forms.
pub fn integer(raw: &[u8]) -> Option<i64> {
    let digits = plain_str(raw).map_or(raw, str::as_bytes);
    match digits.strip_prefix(b"-") {
        Some(positive) => 0_i64.checked_sub_unsigned(unsigned(positive)?),
        None => i64::try_from(unsigned(digits)?).ok(),
    }
}

/// A number that a double can hold.
pub fn number(raw: &[u8]) -> Option<f64> {
    serde_json::from_slice::<f64>(raw).ok().filter(|number| number.is_finite())
}

/// Whether the value is `null`. An absent one is not.
#[inline]
pub fn is_null(raw: &[u8]) -> bool {
    raw == b"null"
}

/// Whether the value is `true`.
#[inline]
pub fn is_true(raw: &[u8]) -> bool {
    raw == b"true"
}

/// Hands each element of an array to `visit`, raw and in order. `None` where `raw` is no well-formed array; the
/// elements before the fault were visited by then.
pub fn elements<'a>(raw: &'a [u8], visit: impl FnMut(&'a [u8])) -> Option<()> {
    let mut json = serde_json::Deserializer::from_slice(raw);
    json.deserialize_seq(Elements(visit)).ok()?;
    json.end().ok()
}

/// Hands each member of an object to `visit`: its key, unescaped, and its raw value, in order and duplicates included.
/// `None` where `raw` is no well-formed object; the members before the fault were visited by then.
pub fn members<'a>(raw: &'a [u8], visit: impl FnMut(&str, &'a [u8])) -> Option<()> {
    let mut json = serde_json::Deserializer::from_slice(raw);
    json.deserialize_map(Members(visit)).ok()?;
    json.end().ok()
}

struct Elements<F>(F);

impl<'a, F: FnMut(&'a [u8])> Visitor<'a> for Elements<F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'a>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(value) = array.next_element::<&'a RawValue>()? {
            (self.0)(value.get().as_bytes());
        }
        Ok(())
    }
}

struct Members<F>(F);

impl<'a, F: FnMut(&str, &'a [u8])> Visitor<'a> for Members<F> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some(key) = object.next_key_seed(Key)? {
            (self.0)(&key, object.next_value::<&'a RawValue>()?.get().as_bytes());
        }
        Ok(())
    }
}

/// A key as it is needed here: `Cow` would be copied each time, since serde borrows it only on request.
struct Key;

impl<'a> DeserializeSeed<'a> for Key {
    type Value = Cow<'a, str>;

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for Key {
    type Value = Cow<'a, str>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_unescaped_and_borrowed_where_possible() {
        assert!(matches!(string(b"\"x y\""), Some(Cow::Borrowed("x y"))));
        assert!(matches!(string(b"\"\""), Some(Cow::Borrowed(""))));
        assert_eq!(string(br#""a\u0041\"\n""#).as_deref(), Some("aA\"\n"));
        for bad in [
            &b""[..],
            b"\"",
            b"x",
            b"\"a",
            b"\"a\"b\"",
            b"7",
            b"null",
            br#""\q""#,
            br#""\ud800""#,
            b"\"\xff\"",
        ] {
            assert_eq!(string(bad), None, "{bad:?}");
        }
        assert_eq!(plain_str(br#""a\n""#), None);
    }

    #[test]
    fn unsigned_takes_digits_only() {
        for (raw, want) in [("0", 0), ("7", 7), ("18446744073709551615", u64::MAX)] {
            assert_eq!(unsigned(raw.as_bytes()), Some(want));
            assert_eq!(id_number(raw.as_bytes()), Some(want));
            assert_eq!(id_number(format!("\"{raw}\"").as_bytes()), Some(want));
        }
        for raw in [
            "",
            "-1",
            "+1",
            "01",
            "1.0",
            "1e2",
            "18446744073709551616",
            "99999999999999999999",
            "null",
            "\"\"",
        ] {
            assert_eq!(unsigned(raw.as_bytes()), None, "{raw}");
            assert_eq!(id_number(raw.as_bytes()), None, "{raw}");
        }
        assert_eq!(unsigned(b"\"7\""), None);
    }

    #[test]
    fn integers_have_a_sign_and_may_be_quoted() {
        for (raw, want) in
            [("-3", -3), ("\"22\"", 22), ("23", 23), ("-9223372036854775808", i64::MIN), ("-0", 0)]
        {
            assert_eq!(integer(raw.as_bytes()), Some(want), "{raw}");
        }
        for raw in ["", "-", "--1", "9223372036854775808", "-9223372036854775809", "1.5", "true"] {
            assert_eq!(integer(raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn numbers_are_finite() {
        for (raw, want) in [("16384", 16384.0), ("0.00015", 0.00015), ("-1e3", -1000.0)] {
            assert_eq!(number(raw.as_bytes()), Some(want), "{raw}");
        }
        for raw in ["", "1e400", "NaN", "Infinity", "\"1\"", "1x", "[1]"] {
            assert_eq!(number(raw.as_bytes()), None, "{raw}");
        }
    }

    #[test]
    fn elements_and_members_are_handed_out_raw() {
        let mut seen = Vec::new();
        assert_eq!(elements(br#" [1e2 , "a\n",[ ],{}] "#, |raw| seen.push(raw)), Some(()));
        assert_eq!(seen, [&b"1e2"[..], br#""a\n""#, b"[ ]", b"{}"]);

        let mut seen = Vec::new();
        let visit = |key: &str, raw| seen.push((key.to_owned(), raw));
        assert_eq!(members(br#"{"a":1,"\u0061" : "x"}"#, visit), Some(()));
        assert_eq!(seen, [("a".to_owned(), &b"1"[..]), ("a".to_owned(), b"\"x\"")]);

        for bad in [&b""[..], b"[1", b"{", b"[1]]", b"[1,]", b"7", b"{\"a\":}", b"{1:2}"] {
            assert_eq!(elements(bad, |_| ()), None, "{bad:?}");
            assert_eq!(members(bad, |_, _| ()), None, "{bad:?}");
        }
    }
}
