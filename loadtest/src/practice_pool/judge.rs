//! The practice pool's verdicts: every share is rebuilt and hashed.

use adit_protocol::difficulty::Target;
use adit_protocol::hash::Hash256;
use adit_protocol::share::{LocalVerdict, Malformed, ShareCheck, Solution};
use serde_json::Value;

use super::chain::{Chain, Standing};
use super::client::Client;
use crate::scripted_pool::Fit;
use crate::share::ShareFields;

/// How far ahead of the pool's clock a share's time may be, seconds.
const NTIME_AHEAD_MAX: u32 = 7_000;
/// A share so many times too easy was not filtered by any difficulty of ours: it was made from other work.
const FOREIGN_FACTOR: f64 = 1_000.0;

/// Why a share is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refusal {
    NotSubscribed,
    Unauthorised,
    Params,
    Malformed(Malformed),
    UnknownJob,
    Stale,
    VersionBits,
    Ntime,
    LowDifficulty { reached: f64, wanted: f64 },
    Duplicate,
}

impl Refusal {
    /// The wire's code and text.
    pub(super) fn code_and_text(self) -> (i32, &'static str) {
        match self {
            Self::NotSubscribed => (25, "Not subscribed"),
            Self::Unauthorised => (24, "Unauthorized worker"),
            Self::Params => (20, "Invalid params"),
            Self::Malformed(Malformed::Extranonce2) => (20, "Invalid extranonce2 length"),
            Self::Malformed(_) => (20, "Invalid number"),
            Self::UnknownJob => (21, "Job not found"),
            Self::Stale => (21, "Stale"),
            Self::VersionBits => (20, "Invalid version mask"),
            Self::Ntime => (20, "Ntime out of range"),
            Self::LowDifficulty { .. } => (23, "Low difficulty share"),
            Self::Duplicate => (22, "Duplicate share"),
        }
    }

    /// The same as the audit understands it.
    pub(super) fn fit(self) -> Fit {
        match self {
            Self::Unauthorised => Fit::UnknownName,
            Self::UnknownJob => Fit::UnknownJob,
            Self::Params | Self::Malformed(_) => Fit::Malformed,
            Self::Duplicate => Fit::Duplicate,
            Self::LowDifficulty { reached, wanted } if reached * FOREIGN_FACTOR < wanted => Fit::WrongSeal,
            Self::NotSubscribed
            | Self::Stale
            | Self::VersionBits
            | Self::Ntime
            | Self::LowDifficulty { .. } => Fit::Fits,
        }
    }
}

/// A submit's params, unchecked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submit<'a> {
    pub(super) name: &'a str,
    pub(super) job_id: &'a str,
    pub(super) fields: ShareFields<'a>,
}

impl<'a> Submit<'a> {
    /// `None` unless there are five or six strings.
    pub(super) fn read(params: &'a Value) -> Option<Self> {
        let params = params.as_array().filter(|params| (5..=6).contains(&params.len()))?;
        let text = |n: usize| params.get(n).map_or(Some(""), Value::as_str);
        Some(Self {
            name: text(0)?,
            job_id: text(1)?,
            fields: ShareFields {
                extranonce2: text(2)?,
                ntime: text(3)?,
                nonce: text(4)?,
                version_bits: text(5)?,
            },
        })
    }
}

/// A share that was accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Accepted {
    pub(super) hash: Hash256,
    /// The difficulty it is credited with.
    pub(super) difficulty: f64,
    pub(super) is_block: bool,
}

/// Judges a share and remembers an accepted one's hash.
pub(super) fn judge(
    submit: &Submit<'_>,
    client: &Client,
    chain: &mut Chain,
    extranonce2_size: usize,
    now: u32,
) -> Result<Accepted, Refusal> {
    if !client.is_subscribed {
        return Err(Refusal::NotSubscribed);
    }
    if !client.names.contains(submit.name) {
        return Err(Refusal::Unauthorised);
    }
    let solution = read_solution(&submit.fields, extranonce2_size).map_err(Refusal::Malformed)?;
    let sent = client.sent(submit.job_id).ok_or(Refusal::UnknownJob)?;
    let Standing::Current(job) = chain.find(sent.number) else { return Err(Refusal::Stale) };
    if solution.version_bits & !client.version_mask != 0 {
        return Err(Refusal::VersionBits);
    }
    if !(job.work.ntime..=now.saturating_add(NTIME_AHEAD_MAX)).contains(&solution.ntime) {
        return Err(Refusal::Ntime);
    }
    // Whichever is easier: the one of the job, or the one told since.
    let difficulty = sent.difficulty.min(client.difficulty);
    let LocalVerdict { hash, share_difficulty, meets, is_block } = ShareCheck {
        job: job.work.content(),
        extranonce1: &client.extranonce1,
        version_mask: client.version_mask,
        target: Target::from_difficulty(difficulty).unwrap_or(Target::MAX),
    }
    .check(&solution);
    if !meets {
        return Err(Refusal::LowDifficulty { reached: share_difficulty, wanted: difficulty });
    }
    if chain.is_duplicate(hash) {
        return Err(Refusal::Duplicate);
    }
    Ok(Accepted { hash, difficulty, is_block })
}

fn read_solution(fields: &ShareFields<'_>, extranonce2_size: usize) -> Result<Solution, Malformed> {
    let version_bits = (!fields.version_bits.is_empty()).then_some(fields.version_bits.as_bytes());
    let (extranonce2, ntime, nonce) = (fields.extranonce2, fields.ntime, fields.nonce);
    Solution::from_hex(
        extranonce2.as_bytes(),
        extranonce2_size,
        ntime.as_bytes(),
        nonce.as_bytes(),
        version_bits,
    )
}
