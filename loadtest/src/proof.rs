//! The proof of work of a share, from nothing but the texts that went over the wire.
//!
//! A second, independent reading of how a header is put together, on purpose: it shares no code with the share check
//! under test. Miners and pools of the same test use it on the two sides of a proxy, so a share that was made for
//! another job, extranonce or difficulty than the pool gave on that connection does not pass.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::share::ShareFields;

/// What difficulty 1 asks of a hash, as a number: `0xffff × 2^208`.
const DIFFICULTY_1: f64 = 65_535.0 * (1_u128 << 104) as f64 * (1_u128 << 104) as f64;
/// At this difficulty or below every hash does.
const EASY: f64 = 1.0 / 4_294_967_296.0;

/// Whether a difficulty asks for any work at all.
pub fn is_work(difficulty: f64) -> bool {
    difficulty > EASY
}

/// Everything of a job that goes into a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    version: u32,
    /// As in the header.
    previous: [u8; 32],
    coinbase: [Vec<u8>; 2],
    branches: Vec<[u8; 32]>,
    bits: u32,
}

impl Work {
    /// Reads the params of a `mining.notify`; `None` if they are not those of a job.
    pub fn of_notify(params: &Value) -> Option<Self> {
        let text = |nth: usize| params.get(nth).and_then(Value::as_str);
        let branches = params.get(4)?.as_array()?.iter().map(|branch| hash_of(branch.as_str()?));
        let mut previous = hash_of(text(1)?)?;
        // On the wire, each word of four bytes is turned round.
        previous.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
        Some(Self {
            version: word_of(text(5)?)?,
            previous,
            coinbase: [bytes_of(text(2)?)?, bytes_of(text(3)?)?],
            branches: branches.collect::<Option<_>>()?,
            bits: word_of(text(6)?)?,
        })
    }

    /// The difficulty that a share reaches under this extranonce1; `None` if its fields are no hex of the right length.
    pub fn difficulty_of(&self, extranonce1: &str, fields: &ShareFields<'_>) -> Option<f64> {
        let rolled = if fields.version_bits.is_empty() { 0 } else { word_of(fields.version_bits)? };
        let mut coinbase = self.coinbase[0].clone();
        coinbase.extend(bytes_of(extranonce1)?);
        coinbase.extend(bytes_of(fields.extranonce2)?);
        coinbase.extend(&self.coinbase[1]);
        let root = self.branches.iter().fold(twice(&coinbase), |root, branch| {
            let mut pair = root.to_vec();
            pair.extend(branch);
            twice(&pair)
        });
        let mut header = Vec::with_capacity(80);
        header.extend((self.version | rolled).to_le_bytes());
        header.extend(self.previous);
        header.extend(root);
        for word in [word_of(fields.ntime)?, self.bits, word_of(fields.nonce)?] {
            header.extend(word.to_le_bytes());
        }
        Some(DIFFICULTY_1 / number(&twice(&header)))
    }
}

fn twice(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// A hash as the number that it is, as near as a double comes.
fn number(hash: &[u8; 32]) -> f64 {
    hash.iter().rev().fold(0.0, |sum, &byte| sum * 256.0 + f64::from(byte))
}

fn word_of(hex: &str) -> Option<u32> {
    (hex.len() == 8).then(|| u32::from_str_radix(hex, 16).ok())?
}

fn hash_of(hex: &str) -> Option<[u8; 32]> {
    bytes_of(hex)?.try_into().ok()
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digit = |digit: u8| (digit as char).to_digit(16);
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().map(|&[high, low]| Some((digit(high)? * 16 + digit(low)?) as u8));
    rest.is_empty().then(|| bytes.collect())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job and a share of it that were mined; see the vectors of docs/PROTOCOL.md.
    fn composed() -> (Work, ShareFields<'static>) {
        let params = serde_json::json!([
            "1",
            "fd33e5063986da1a346c3f1fd2b00432ecaad478aa200b1c0003ba2700000000",
            "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff1d0340d10c0b2f6661637473686565742f0c",
            "ffffffff02205fa0120000000016001411111111111111111111111111111111111111110000000000000000266a24aa21a9ed3cdc21321862fcd4d347a666f2a9508990d0efc5e4e7c717918baec523231aa400000000",
            [
                "52549687c0dd22f85975a6fbc7e8e3666a404aac29c30832e068e9f23bf74246",
                "d2e68a0c33e70cdf7eebae944f42490661ab17e65e736ecd372ece33de570c91",
                "537a3acae155957279149b889ca500ad56b4315710654bf518d24f66220ea61a"
            ],
            "20000000",
            "17034219",
            "66252f80",
            true
        ]);
        let fields = ShareFields {
            extranonce2: "0000000000000007",
            ntime: "66252f80",
            nonce: "00534aa3",
            version_bits: "00c0e000",
        };
        (Work::of_notify(&params).expect("a job"), fields)
    }

    #[test]
    fn a_mined_share_reaches_its_difficulty() {
        let (work, fields) = composed();
        let difficulty = work.difficulty_of("f000000a", &fields).unwrap();
        assert!((difficulty / 0.014_929_991_566_859_658 - 1.0).abs() < 1e-12, "{difficulty}");
    }

    #[test]
    fn whatever_is_changed_in_it_the_work_is_gone() {
        let (work, fields) = composed();
        let changed = [
            work.difficulty_of("f000000b", &fields),
            work.difficulty_of("f000000a", &ShareFields { extranonce2: "0000000000000008", ..fields }),
            work.difficulty_of("f000000a", &ShareFields { ntime: "66252f81", ..fields }),
            work.difficulty_of("f000000a", &ShareFields { nonce: "00534aa4", ..fields }),
            work.difficulty_of("f000000a", &ShareFields { version_bits: "", ..fields }),
            Work { previous: [0; 32], ..work.clone() }.difficulty_of("f000000a", &fields),
            Work { branches: vec![], ..work.clone() }.difficulty_of("f000000a", &fields),
            Work { bits: 1, ..work.clone() }.difficulty_of("f000000a", &fields),
        ];
        for difficulty in changed {
            assert!(difficulty.is_some_and(|difficulty| difficulty < 0.001), "{difficulty:?}");
        }
        assert_eq!(work.difficulty_of("f000000", &fields), None);
        assert_eq!(work.difficulty_of("f000000a", &ShareFields { nonce: "4aa3", ..fields }), None);
    }
}
