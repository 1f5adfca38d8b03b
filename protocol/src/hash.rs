//! SHA-256 twice, and its result as Bitcoin uses it: bytes in one order, shown in the other.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::hex;

/// A double SHA-256 in internal order: as it comes out of the function and as it stands in a header. As a number it is
/// little-endian, so people and explorers write it reversed; that is what `Display` does.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash256(pub [u8; 32]);

impl Hash256 {
    /// Reads the reversed form that people write. `None` unless it is 64 hex digits.
    pub fn from_display(text: &str) -> Option<Self> {
        let mut bytes: [u8; 32] = hex::decode_array(text.as_bytes())?;
        bytes.reverse();
        Some(Self(bytes))
    }
}

impl fmt::Display for Hash256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(f, self.0.iter().rev())
    }
}

impl fmt::Debug for Hash256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// SHA-256 of the SHA-256 of `bytes`.
#[inline]
pub fn sha256d(bytes: &[u8]) -> Hash256 {
    sha256d_of([bytes])
}

/// The same over parts as if they were joined, without joining them.
#[inline]
pub fn sha256d_of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Hash256 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Hash256(Sha256::digest(hasher.finalize()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genesis_header_has_the_hash_everybody_knows() {
        let header = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b2\
                      7ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";
        let header: [u8; 80] = hex::decode_array(header.as_bytes()).unwrap();
        let shown = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f";
        assert_eq!(sha256d(&header).to_string(), shown);
        assert_eq!(Hash256::from_display(shown), Some(sha256d(&header)));
        assert_eq!(sha256d_of([&header[..7], &header[7..64], &[], &header[64..]]), sha256d(&header));
    }
}
