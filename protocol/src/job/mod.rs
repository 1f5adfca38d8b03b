//! Jobs: what `mining.notify` says, kept so that a share can be judged by its own job.
//!
//! Three parts. [`JobContent`] is what a share check needs of one job. [`JobStore`] keeps contents once per shard, however
//! many sessions have them. [`JobTable`] is a session's memory of its jobs: small entries that point into the store.
//!
//! ```text
//!  Message ──decode──▶ JobStore (shard): bytes, each once, counted ◀──JobRef── JobTable (session): key, difficulty, …
//! ```
//!
//! Not here: forwarding the line (a job whose content cannot be read is forwarded all the same), and the check ([`crate::share`]).

mod aliases;
mod decode;
mod facts;
mod store;
mod table;

pub use aliases::{Aliases, OurId};
pub use decode::NotifyError;
pub(crate) use decode::swap_words;
pub use facts::ChainFacts;
pub use store::{JobRef, JobStore};
pub use table::{JobEntry, JobTable};

use crate::limits::{BRANCHES_COUNT_MAX, JOB_ID_BYTES_MAX};
use crate::message::Message;
use crate::value;

/// Longest list of branches, raw: 64 digits each, quotes, comma, and room for white space.
const BRANCHES_BYTES_MAX: usize = 2 + BRANCHES_COUNT_MAX * 72;

/// A job id reduced to 32 bits by FNV-1a: enough to tell a session's few jobs apart, and what the ledger keeps of it.
///
/// Two ids that collide (one in four thousand million) would be taken for one job in notes and figures. The pool judges by
/// the id itself, which is forwarded as it is; where a share goes is decided by the id itself, too ([`Aliases`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobKey(pub u32);

impl JobKey {
    /// The key of an id given as a raw JSON value; the quotes do not count. `None` for an id that is empty or longer than
    /// [`JOB_ID_BYTES_MAX`]: such jobs are not tracked.
    #[inline]
    pub fn of_raw(raw: &[u8]) -> Option<Self> {
        let id = raw.strip_prefix(b"\"").and_then(|id| id.strip_suffix(b"\"")).unwrap_or(raw);
        (1..=JOB_ID_BYTES_MAX).contains(&id.len()).then(|| Self::of(id))
    }

    /// The key of the characters of an id.
    #[inline]
    pub fn of(id: &[u8]) -> Self {
        Self(id.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)))
    }
}

/// Whether a `mining.notify` tells to drop all earlier jobs. A missing ninth param reads as false.
#[inline]
pub fn is_clean(notify: &Message<'_>) -> bool {
    value::is_true(notify.param(8))
}

/// Whether the params of a `mining.notify` are a job as far as their kinds tell: what a miner may be given to read. That
/// every byte of it is right, only [`JobStore`] tells.
#[inline]
pub fn is_job(notify: &Message<'_>) -> bool {
    /// Strings beside the branches: id, previous hash, both halves of the coinbase, version, bits, time.
    const STRINGS: [usize; 7] = [0, 1, 2, 3, 5, 6, 7];
    let is_string = |at: &usize| notify.param(*at).first() == Some(&b'"');
    let branches = notify.param(4);
    STRINGS.iter().all(is_string) && branches.first() == Some(&b'[') && branches.len() <= BRANCHES_BYTES_MAX
}

/// A job ready for the share check: decoded, borrowed from its [`JobStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobContent<'a> {
    /// The coinbase before the extranonces.
    pub coinbase1: &'a [u8],
    /// The coinbase behind the extranonces.
    pub coinbase2: &'a [u8],
    /// Merkle branches from the leaves up, internal order.
    pub branches: &'a [[u8; 32]],
    /// Hash of the previous block in header order.
    pub previous: &'a [u8; 32],
    /// Block version, before any rolling.
    pub version: u32,
    /// Network target in compact form.
    pub nbits: u32,
    /// Time of the template.
    pub ntime: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fnv_1a_of_the_id_without_its_quotes() {
        assert_eq!(JobKey::of(b"a"), JobKey(0xe40c_292c)); // test vectors of the FNV draft
        assert_eq!(JobKey::of_raw(b"\"foobar\""), Some(JobKey(0xbf9c_f968)));
        assert_eq!(JobKey::of_raw(b"17"), Some(JobKey::of(b"17")));
    }

    #[test]
    fn ids_that_are_empty_or_too_long_have_no_key() {
        let id = |bytes: usize| format!("\"{}\"", "x".repeat(bytes));
        assert_eq!(JobKey::of_raw(b""), None);
        assert_eq!(JobKey::of_raw(b"\"\""), None);
        assert!(JobKey::of_raw(id(JOB_ID_BYTES_MAX).as_bytes()).is_some());
        assert_eq!(JobKey::of_raw(id(JOB_ID_BYTES_MAX + 1).as_bytes()), None);
    }
}
