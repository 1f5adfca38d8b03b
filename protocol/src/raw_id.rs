//! The id of a miner's request, kept byte for byte until it is answered.
//!
//! Miners use integers, strings, null, nothing, huge numbers, fractions and objects, and reuse them as they like
//! (cpuminer sends every submit with 4). So an id is never read, only kept and given back.

/// Bytes kept without a heap allocation. Every id seen in the field fits.
const INLINE_BYTES_MAX: usize = 22;

/// Raw JSON of an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RawId {
    /// The request had no `id` member: it is answered without one.
    Absent,
    /// A short id.
    Inline {
        /// Bytes in use.
        len: u8,
        /// The id, then whatever.
        bytes: [u8; INLINE_BYTES_MAX],
    },
    /// A long id. Its length is bounded by that of a line.
    Boxed(Box<[u8]>),
}

impl RawId {
    /// Keeps a copy of `raw`, the bytes of the id's value; empty means that there was none.
    #[inline]
    pub fn keep(raw: &[u8]) -> Self {
        if raw.is_empty() {
            return Self::Absent;
        }
        let mut bytes = [0; INLINE_BYTES_MAX];
        match bytes.get_mut(..raw.len()) {
            Some(place) => {
                place.copy_from_slice(raw);
                Self::Inline { len: raw.len() as u8, bytes }
            }
            None => Self::Boxed(raw.into()),
        }
    }

    /// The id as it was sent; empty when there was none.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Absent => &[],
            Self::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Boxed(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_id_comes_back_as_it_was() {
        let long = "9".repeat(5_000);
        for raw in
            ["4", "null", "\"auth\"", "1.5e300", "{\"a\": [1]}", &long, &"x".repeat(22), &"x".repeat(23)]
        {
            assert_eq!(RawId::keep(raw.as_bytes()).as_bytes(), raw.as_bytes());
        }
        assert_eq!(RawId::keep(b""), RawId::Absent);
    }

    #[test]
    fn an_id_takes_no_more_than_24_bytes() {
        assert_eq!(size_of::<RawId>(), 24);
    }
}
