//! Searching nonces for one header. The first 64 bytes are hashed once: they do not change with the nonce.

use adit_protocol::difficulty::Target;
use adit_protocol::hash::Hash256;
use adit_protocol::share::HEADER_BYTES;
use sha2::block_api::compress256;

/// State of SHA-256 before the first block (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
/// Where the nonce stands in the second block.
const NONCE_OFFSET: usize = 12;

/// A header to be tried with many nonces.
#[derive(Debug)]
pub(super) struct Search {
    /// State after the first 64 bytes.
    midstate: [u32; 8],
    /// The last 16 bytes and their padding.
    tail: [u8; 64],
    /// The inner hash and its padding.
    outer: [u8; 64],
    target: Target,
}

impl Search {
    /// Prepares a header; the nonce in it does not matter.
    pub(super) fn new(header: &[u8; HEADER_BYTES], target: Target) -> Self {
        let (blocks, rest) = header.as_chunks::<64>();
        let mut midstate = INITIAL;
        compress256(&mut midstate, blocks);
        Self { midstate, tail: padded(rest, HEADER_BYTES), outer: padded(&[0; 32], 32), target }
    }

    /// Tries `count` nonces from `first` on, wrapping; the first that meets the target.
    pub(super) fn run(&mut self, first: u32, count: u32) -> Option<u32> {
        let target = self.target;
        (0..count).map(|n| first.wrapping_add(n)).find(|&nonce| target.is_met_by(&self.hash(nonce)))
    }

    /// The hash with this nonce.
    pub(super) fn hash(&mut self, nonce: u32) -> Hash256 {
        self.tail[NONCE_OFFSET..NONCE_OFFSET + 4].copy_from_slice(&nonce.to_le_bytes());
        let mut inner = self.midstate;
        compress256(&mut inner, &[self.tail]);
        self.outer[..32].copy_from_slice(&to_bytes(inner));
        let mut hash = INITIAL;
        compress256(&mut hash, &[self.outer]);
        Hash256(to_bytes(hash))
    }
}

/// The last block of a message of `bytes` bytes: what is left of it, a one bit, and the length in bits.
fn padded(rest: &[u8], bytes: usize) -> [u8; 64] {
    let mut block = [0; 64];
    block[..rest.len()].copy_from_slice(rest);
    block[rest.len()] = 0x80;
    block[56..].copy_from_slice(&(bytes as u64 * 8).to_be_bytes());
    block
}

fn to_bytes(state: [u32; 8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(state) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use adit_protocol::hash::sha256d;
    use adit_protocol::hex;

    /// The header of block 100000.
    fn header() -> [u8; HEADER_BYTES] {
        let text = "0100000050120119172a610421a6c3011dd330d9df07b63616c2cc1f1cd00200000000006657a9252aacd5c0b2940996\
                    ecff952228c3067cc38d4885efb5a4ac4247e9f337221b4d4c86041b0f2b5710";
        hex::decode_array(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_nonce_of_block_100000_is_found() {
        let target = Target::from_nbits(0x1b04_864c).unwrap();
        let mut search = Search::new(&header(), target);
        assert_eq!(search.run(0x1057_2b0f - 500, 1_000), Some(0x1057_2b0f));
        assert_eq!(search.run(0x1057_2b0f + 1, 1_000), None);
    }

    #[test]
    fn every_hash_equals_that_of_the_plain_function() {
        let mut header = header();
        let mut search = Search::new(&header, Target::MAX);
        for nonce in [0, 1, 0x1057_2b0f, u32::MAX] {
            header[76..].copy_from_slice(&nonce.to_le_bytes());
            assert_eq!(search.hash(nonce), sha256d(&header));
        }
        assert_eq!(search.run(u32::MAX, 1), Some(u32::MAX), "the end of the range wraps without a fault");
    }
}
