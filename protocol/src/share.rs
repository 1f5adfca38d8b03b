//! The share check: rebuild the header that a miner hashed, hash it, and compare.
//!
//! ```text
//!  coinbase = coinb1 ‖ extranonce1 ‖ extranonce2 ‖ coinb2      root = coinbase's hash, joined with each branch
//!  header   = version ‖ previous ‖ root ‖ ntime ‖ nbits ‖ nonce
//! ```
//!
//! No allocation: parts are hashed where they lie. Not here: whether the job is stale or the share was seen before, and what
//! happens to it. The pool judges; this is a note beside its verdict.

use thiserror::Error;

use crate::difficulty::{self, Target};
use crate::hash::{Hash256, sha256d, sha256d_of};
use crate::hex;
use crate::job::JobContent;
use crate::limits::EXTRANONCE2_SIZE_MAX;
use crate::merkle;
use crate::message::Message;
use crate::value;

/// Bytes of a block header.
pub const HEADER_BYTES: usize = 80;

/// What is wrong with the params of a submit. The miner is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Not the number of hex digits that the pool asked for.
    #[error("extranonce2 is not hex of the size given at subscribe")]
    Extranonce2,
    /// Not 8 hex digits.
    #[error("ntime is not 8 hex digits")]
    Ntime,
    /// Not 8 hex digits.
    #[error("nonce is not 8 hex digits")]
    Nonce,
    /// There, but not 8 hex digits.
    #[error("version bits are not 8 hex digits")]
    VersionBits,
}

/// What a miner found: params 2 to 5 of `mining.submit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Solution {
    extranonce2: [u8; EXTRANONCE2_SIZE_MAX],
    extranonce2_size: usize,
    /// Time of the header.
    pub ntime: u32,
    /// Nonce of the header.
    pub nonce: u32,
    /// The sixth param, 0 where there is none.
    pub version_bits: u32,
}

impl Solution {
    /// Reads a submit. `extranonce2_size` is the pool's; sizes beyond [`EXTRANONCE2_SIZE_MAX`] fit no submit.
    pub fn decode(submit: &Message<'_>, extranonce2_size: usize) -> Result<Self, Malformed> {
        // What is no string is no hex either.
        let text = |n| value::plain_str(submit.param(n)).unwrap_or("?").as_bytes();
        let version_bits = (!submit.param(5).is_empty()).then(|| text(5));
        Self::from_hex(text(2), extranonce2_size, text(3), text(4), version_bits)
    }

    /// The same from the params without their quotes.
    pub fn from_hex(
        extranonce2: &[u8],
        extranonce2_size: usize,
        ntime: &[u8],
        nonce: &[u8],
        version_bits: Option<&[u8]>,
    ) -> Result<Self, Malformed> {
        let mut bytes = [0; EXTRANONCE2_SIZE_MAX];
        let decoded = bytes.get_mut(..extranonce2_size).and_then(|out| hex::decode(extranonce2, out));
        decoded.ok_or(Malformed::Extranonce2)?;
        Ok(Self {
            extranonce2: bytes,
            extranonce2_size,
            ntime: hex::decode_u32(ntime).ok_or(Malformed::Ntime)?,
            nonce: hex::decode_u32(nonce).ok_or(Malformed::Nonce)?,
            version_bits: match version_bits {
                Some(bits) => hex::decode_u32(bits).ok_or(Malformed::VersionBits)?,
                None => 0,
            },
        })
    }

    /// The bytes of extranonce2.
    pub fn extranonce2(&self) -> &[u8] {
        self.extranonce2.get(..self.extranonce2_size).unwrap_or_default()
    }
}

/// What this check found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalVerdict {
    /// Hash of the header.
    pub hash: Hash256,
    /// Difficulty that the hash reaches; for display and the ledger.
    pub share_difficulty: f64,
    /// Whether it meets the share target.
    pub meets: bool,
    /// Whether it meets the network target.
    pub is_block: bool,
}

/// A job as one miner works on it: what stays the same from share to share.
#[derive(Clone, Copy, Debug)]
pub struct ShareCheck<'a> {
    /// The job.
    pub job: JobContent<'a>,
    /// The extranonce1 that was in force when the job was sent.
    pub extranonce1: &'a [u8],
    /// The version bits that the miner may roll, 0 if none.
    pub version_mask: u32,
    /// The bound of a share.
    pub target: Target,
}

impl ShareCheck<'_> {
    /// Judges one share.
    ///
    /// Pools put the version together in three ways, see [`versions`]. They differ only for jobs with bits inside the mask,
    /// or submits with bits outside; then each is tried and the best hash counts, so that no good share is called bad.
    pub fn check(&self, solution: &Solution) -> LocalVerdict {
        let root = self.merkle_root(solution);
        let [first, others @ ..] = versions(self.job.version, self.version_mask, solution.version_bits);
        let mut best = self.hash(first, &root, solution);
        for (n, &version) in others.iter().enumerate() {
            if version != first && !others[..n].contains(&version) {
                let hash = self.hash(version, &root, solution);
                best = if Target::from_hash(&hash) < Target::from_hash(&best) { hash } else { best };
            }
        }
        LocalVerdict {
            hash: best,
            share_difficulty: difficulty::of_hash(&best),
            meets: self.target.is_met_by(&best),
            is_block: Target::from_nbits(self.job.nbits).is_some_and(|target| target.is_met_by(&best)),
        }
    }

    /// The merkle root for the extranonce2 of `solution`.
    pub fn merkle_root(&self, solution: &Solution) -> Hash256 {
        let JobContent { coinbase1, coinbase2, branches, .. } = self.job;
        let coinbase = sha256d_of([coinbase1, self.extranonce1, solution.extranonce2(), coinbase2]);
        merkle::root(coinbase, branches)
    }

    fn hash(&self, version: u32, root: &Hash256, solution: &Solution) -> Hash256 {
        let JobContent { previous, nbits, .. } = self.job;
        sha256d(&header(version, previous, root, solution.ntime, nbits, solution.nonce))
    }
}

/// The 80 bytes that are hashed. `previous` in header order.
pub fn header(
    version: u32,
    previous: &[u8; 32],
    root: &Hash256,
    ntime: u32,
    nbits: u32,
    nonce: u32,
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&version.to_le_bytes());
    header[4..36].copy_from_slice(previous);
    header[36..68].copy_from_slice(&root.0);
    header[68..72].copy_from_slice(&ntime.to_le_bytes());
    header[72..76].copy_from_slice(&nbits.to_le_bytes());
    header[76..].copy_from_slice(&nonce.to_le_bytes());
    header
}

/// The header's version by the three formulas in the field: BIP 310 replaces the masked bits, ckpool and DATUM use OR,
/// btcpool and public-pool XOR. All the same where the job has no bit inside the mask and the miner none outside.
pub fn versions(job: u32, mask: u32, bits: u32) -> [u32; 3] {
    [(job & !mask) | (bits & mask), job | bits, job ^ bits]
}

#[cfg(test)]
mod tests;
