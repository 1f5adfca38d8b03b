//! Shares that tell where they belong, without any hashing of headers.
//!
//! A simulated miner seals each share: the nonce is a digest of the extranonce1 it was given, of the job's content and
//! of its own extranonce2. The pool that gave both can check it; to any other pool, and for any other job, the seal is
//! wrong. Job ids take no part, since a proxy may translate them. Where the difficulty asks for work, the share is a proof of
//! it besides ([`crate::proof`]).

use serde::{Deserialize, Serialize};

/// A digest that names one share on both sides of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShareKey(pub u64);

/// What of a job a seal covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobContent {
    /// `prevhash` of the notify.
    pub prevhash: String,
    /// First half of the coinbase.
    pub coinb1: String,
    /// Second half of the coinbase.
    pub coinb2: String,
}

/// The fields of a submit as they go over the wire, without worker and job id.
#[derive(Clone, Copy, Debug)]
pub struct ShareFields<'a> {
    /// Hex, `2 × extranonce2_size` digits.
    pub extranonce2: &'a str,
    /// Hex, 8 digits.
    pub ntime: &'a str,
    /// Hex, 8 digits: the seal.
    pub nonce: &'a str,
    /// Hex, 8 digits, or empty.
    pub version_bits: &'a str,
}

/// The nonce of a share of this job by a miner with this extranonce1.
pub fn seal(extranonce1: &str, job: &JobContent, extranonce2: &str, ntime: &str) -> u32 {
    let digest = digest(&[extranonce1, &job.prevhash, &job.coinb1, &job.coinb2, extranonce2, ntime]);
    (digest ^ (digest >> 32)) as u32
}

/// Whether the share was made for this job and this extranonce1.
pub fn is_sealed_for(extranonce1: &str, job: &JobContent, fields: &ShareFields<'_>) -> bool {
    u32::from_str_radix(fields.nonce, 16)
        .is_ok_and(|nonce| nonce == seal(extranonce1, job, fields.extranonce2, fields.ntime))
}

impl ShareKey {
    /// The key of a share by the connection's extranonce1 and its own fields.
    pub fn new(extranonce1: &str, fields: &ShareFields<'_>) -> Self {
        let parts = [extranonce1, fields.extranonce2, fields.ntime, fields.nonce, fields.version_bits];
        Self(digest(&parts))
    }
}

/// FNV-1a over the parts with a separator, then mixed once: the plain sum is weak in its high bits.
fn digest(parts: &[&str]) -> u64 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([b'\n']) {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    sum = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    sum ^ (sum >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_fits_one_job_one_extranonce_and_one_share() {
        let job = JobContent { prevhash: "aa".into(), coinb1: "01".into(), coinb2: "02".into() };
        let nonce = format!("{:08x}", seal("f0000001", &job, "00000007", "66252f80"));
        let fields =
            ShareFields { extranonce2: "00000007", ntime: "66252f80", nonce: &nonce, version_bits: "" };
        assert!(is_sealed_for("f0000001", &job, &fields));
        assert!(!is_sealed_for("f0000002", &job, &fields));
        assert!(!is_sealed_for("f0000001", &job, &ShareFields { extranonce2: "00000008", ..fields }));
        assert!(!is_sealed_for("f0000001", &job, &ShareFields { ntime: "66252f81", ..fields }));
        assert!(!is_sealed_for("f0000001", &job, &ShareFields { nonce: "zz", ..fields }));
        let other = JobContent { coinb1: "03".into(), ..job };
        assert!(!is_sealed_for("f0000001", &other, &fields));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let fields = ShareFields { extranonce2: "00", ntime: "11", nonce: "22", version_bits: "" };
        assert_ne!(
            ShareKey::new("ab", &fields),
            ShareKey::new("a", &ShareFields { extranonce2: "b00", ..fields })
        );
    }
}
