//! Reject reasons, interned per shard: a share's row carries a number, not a text.

use std::collections::BTreeMap;

use crate::event::ReasonKey;
use crate::limits::REASON_BYTES_MAX;

/// Different reasons kept. What comes later is [`Reasons::OTHER`]: pools that put numbers into their texts must not
/// grow a table without end.
pub const REASONS_COUNT_MAX: usize = 256;

/// A bounded table of reason texts. Looking up a known one allocates nothing.
#[derive(Debug)]
pub struct Reasons {
    keys: BTreeMap<Box<str>, ReasonKey>,
    texts: Vec<Box<str>>,
}

impl Default for Reasons {
    fn default() -> Self {
        let mut reasons = Self { keys: BTreeMap::new(), texts: Vec::new() };
        reasons.texts.push("".into());
        reasons.texts.push("other".into());
        reasons
    }
}

impl Reasons {
    /// No reason: accepted, or none was given.
    pub const NONE: ReasonKey = ReasonKey(0);
    /// A reason that came after the table was full.
    pub const OTHER: ReasonKey = ReasonKey(1);

    /// The key of `text`, cut at [`REASON_BYTES_MAX`].
    pub fn intern(&mut self, text: &str) -> ReasonKey {
        let text = cut(text);
        if text.is_empty() {
            return Self::NONE;
        }
        if let Some(&key) = self.keys.get(text) {
            return key;
        }
        if self.texts.len() >= REASONS_COUNT_MAX {
            return Self::OTHER;
        }
        let key = ReasonKey(self.texts.len() as u16);
        self.keys.insert(text.into(), key);
        self.texts.push(text.into());
        key
    }

    /// The text behind a key; empty for a key of another table.
    pub fn text(&self, key: ReasonKey) -> &str {
        self.texts.get(usize::from(key.0)).map_or("", |text| text)
    }
}

/// The longest prefix of at most [`REASON_BYTES_MAX`] bytes that ends between characters.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_has_the_same_key() {
        let mut reasons = Reasons::default();
        let stale = reasons.intern("stale");
        assert_eq!(reasons.intern("stale"), stale);
        assert_ne!(reasons.intern("duplicate"), stale);
        assert_eq!(reasons.text(stale), "stale");
        assert_eq!(reasons.intern(""), Reasons::NONE);
    }

    #[test]
    fn at_the_bound_new_texts_are_other_and_known_ones_stay() {
        let mut reasons = Reasons::default();
        let first = reasons.intern("reason 0");
        for n in 0..10 * REASONS_COUNT_MAX {
            reasons.intern(&format!("reason {n}"));
        }
        assert_eq!(reasons.intern("one more"), Reasons::OTHER);
        assert_eq!(reasons.intern("reason 0"), first);
        assert_eq!(reasons.texts.len(), REASONS_COUNT_MAX);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut reasons = Reasons::default();
        let key = reasons.intern(&"é".repeat(100));
        assert_eq!(reasons.text(key), "é".repeat(REASON_BYTES_MAX / 2));
        let key = reasons.intern(&format!("x{}", "é".repeat(100)));
        assert!(reasons.text(key).len() < REASON_BYTES_MAX);
    }
}
