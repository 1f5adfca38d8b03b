//! The params of `mining.notify`, validated and decoded into the two byte strings that a [`JobStore`](super::JobStore) keeps.
//!
//! They are split by who shares them: *work* (version, previous hash, time, bits, branches) is the same for all miners of a
//! pool; *coinbase* may pay each miner's own address and then is different for each.
//!
//! Layout, integers little-endian: work = version 4, previous hash in header order 32, ntime 4, nbits 4, branches 32 each;
//! coinbase = length of coinb1 4, coinb1, coinb2.

use thiserror::Error;

use super::JobContent;
use crate::hex;
use crate::limits::{BRANCHES_COUNT_MAX, COINBASE_BYTES_MAX, EXTRANONCE1_BYTES_MAX, EXTRANONCE2_SIZE_MAX};
use crate::message::Message;

/// Longest coinb1 and coinb2 together.
const HALVES_BYTES_MAX: usize = COINBASE_BYTES_MAX - EXTRANONCE1_BYTES_MAX - EXTRANONCE2_SIZE_MAX;

/// What about a `mining.notify` cannot be used. The pool is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotifyError {
    /// `params` is no array, or has fewer than eight elements.
    #[error("mining.notify needs eight params or more")]
    Params,
    /// Not 64 hex digits.
    #[error("previous hash is not 64 hex digits")]
    PreviousHash,
    /// A half of the coinbase is not hex, or both together are too long.
    #[error("coinbase is not hex or longer than {COINBASE_BYTES_MAX} bytes")]
    Coinbase,
    /// Not an array of strings of 64 hex digits.
    #[error("merkle branches are not an array of at most {BRANCHES_COUNT_MAX} strings of 64 hex digits")]
    Branches,
    /// One of version, nbits, ntime is not 8 hex digits.
    #[error("{0} is not 8 hex digits")]
    Field(&'static str),
}

/// Fills `work` and `coinbase` from a notify. On an error they hold leftovers.
pub(super) fn decode(
    notify: &Message<'_>,
    work: &mut Vec<u8>,
    coinbase: &mut Vec<u8>,
) -> Result<(), NotifyError> {
    if !notify.params.is_array || notify.params.count < 8 {
        return Err(NotifyError::Params);
    }
    let text = |n| text_of(notify.param(n));
    let field = |n, name| text(n).and_then(hex::decode_u32).ok_or(NotifyError::Field(name));

    coinbase.clear();
    let (half1, half2) = text(2).zip(text(3)).ok_or(NotifyError::Coinbase)?;
    if half1.len() / 2 + half2.len() / 2 > HALVES_BYTES_MAX {
        return Err(NotifyError::Coinbase);
    }
    coinbase.extend_from_slice(&(half1.len() as u32 / 2).to_le_bytes());
    hex::decode_append(half1, coinbase).ok_or(NotifyError::Coinbase)?;
    hex::decode_append(half2, coinbase).ok_or(NotifyError::Coinbase)?;

    work.clear();
    work.extend_from_slice(&field(5, "version")?.to_le_bytes());
    let mut previous: [u8; 32] = text(1).and_then(hex::decode_array).ok_or(NotifyError::PreviousHash)?;
    swap_words(&mut previous);
    work.extend_from_slice(&previous);
    work.extend_from_slice(&field(7, "ntime")?.to_le_bytes());
    work.extend_from_slice(&field(6, "nbits")?.to_le_bytes());
    decode_branches(notify.param(4), work).ok_or(NotifyError::Branches)
}

/// The two byte strings as a job. `None` unless [`decode`] made them.
pub(super) fn view<'a>(work: &'a [u8], coinbase: &'a [u8]) -> Option<JobContent<'a>> {
    let (version, work) = work.split_first_chunk()?;
    let (previous, work) = work.split_first_chunk()?;
    let (ntime, work) = work.split_first_chunk()?;
    let (nbits, work) = work.split_first_chunk()?;
    let (branches, _) = work.as_chunks();
    let (half1_len, halves) = coinbase.split_first_chunk()?;
    let (coinbase1, coinbase2) = halves.split_at_checked(u32::from_le_bytes(*half1_len) as usize)?;
    Some(JobContent {
        coinbase1,
        coinbase2,
        branches,
        previous,
        version: u32::from_le_bytes(*version),
        nbits: u32::from_le_bytes(*nbits),
        ntime: u32::from_le_bytes(*ntime),
    })
}

/// Reverses the bytes of each 4-byte word: the previous hash from notify order to header order, and back.
pub(crate) fn swap_words(hash: &mut [u8; 32]) {
    let (words, _) = hash.as_chunks_mut::<4>();
    for word in words {
        word.reverse();
    }
}

/// What stands between the quotes. Escapes stay, and fail as hex.
fn text_of(raw: &[u8]) -> Option<&[u8]> {
    raw.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

/// Appends each branch of a JSON array. The line was parsed, so brackets and commas only need to be told from strings.
fn decode_branches(raw: &[u8], work: &mut Vec<u8>) -> Option<()> {
    let mut rest = raw.strip_prefix(b"[")?.strip_suffix(b"]")?.trim_ascii();
    let mut count = 0;
    while !rest.is_empty() {
        count += 1;
        if count > BRANCHES_COUNT_MAX {
            return None;
        }
        let (branch, after) = rest.strip_prefix(b"\"")?.split_at_checked(64)?;
        hex::decode_append(branch, work)?;
        let after = after.strip_prefix(b"\"")?.trim_ascii_start();
        rest = match after.strip_prefix(b",") {
            Some(next) => next.trim_ascii_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::limits::LINE_PADDING;
    use crate::message::Line;
    use crate::parse::Parser;

    /// Vector B of the share check as a notify, its params in order.
    pub(in crate::job) const PARAMS: [&str; 9] = [
        r#""6f3a""#,
        r#""fd33e5063986da1a346c3f1fd2b00432ecaad478aa200b1c0003ba2700000000""#,
        r#""02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff1d0340d10c0b2f6661637473686565742f0c""#,
        r#""ffffffff02205fa0120000000016001411111111111111111111111111111111111111110000000000000000266a24aa21a9ed3cdc21321862fcd4d347a666f2a9508990d0efc5e4e7c717918baec523231aa400000000""#,
        r#"["52549687c0dd22f85975a6fbc7e8e3666a404aac29c30832e068e9f23bf74246", "d2e68a0c33e70cdf7eebae944f42490661ab17e65e736ecd372ece33de570c91"]"#,
        r#""20000000""#,
        r#""17034219""#,
        r#""66252f80""#,
        "true",
    ];

    /// Parses a notify with these params and hands it to `look`.
    pub(in crate::job) fn with_notify<T>(params: &[&str], look: impl FnOnce(&Message<'_>) -> T) -> T {
        let line = format!(r#"{{"id":null,"method":"mining.notify","params":[{}]}}"#, params.join(","));
        let mut bytes = line.clone().into_bytes();
        bytes.resize(line.len() + LINE_PADDING, 0);
        look(&Parser::new().parse(Line::new(&mut bytes, line.len()).unwrap()).unwrap())
    }

    fn decoded(params: &[&str]) -> Result<(Vec<u8>, Vec<u8>), NotifyError> {
        let (mut work, mut coinbase) = (vec![9], vec![9]);
        with_notify(params, |notify| decode(notify, &mut work, &mut coinbase))?;
        Ok((work, coinbase))
    }

    fn with(n: usize, value: &str) -> Result<(Vec<u8>, Vec<u8>), NotifyError> {
        let mut params = PARAMS;
        params[n] = value;
        decoded(&params)
    }

    #[test]
    fn a_job_is_decoded_into_what_the_header_needs() {
        let (work, coinbase) = decoded(&PARAMS).unwrap();
        let job = view(&work, &coinbase).unwrap();
        assert_eq!(
            hex::encode(job.previous),
            "06e533fd1ada86391f3f6c343204b0d278d4aaec1c0b20aa27ba030000000000"
        );
        assert_eq!((job.version, job.nbits, job.ntime), (0x2000_0000, 0x1703_4219, 0x6625_2f80));
        assert_eq!((job.coinbase1.len(), job.coinbase2.len()), (59, 87));
        assert_eq!(format!("\"{}\"", hex::encode(job.coinbase2)), PARAMS[3]);
        let branches: Vec<_> = job.branches.iter().map(|branch| hex::encode(&branch[..4])).collect();
        assert_eq!(branches, ["52549687", "d2e68a0c"]);
    }

    #[test]
    fn each_field_is_validated() {
        let hash = "0".repeat(64);
        for (n, value, error) in [
            (1, "\"\"", NotifyError::PreviousHash),
            (1, &*format!("\"{hash}0\""), NotifyError::PreviousHash),
            (1, &format!("\"{}g\"", &hash[1..]), NotifyError::PreviousHash),
            (1, "17", NotifyError::PreviousHash),
            (2, "\"0\"", NotifyError::Coinbase),
            (2, "null", NotifyError::Coinbase),
            (3, "\"0x\"", NotifyError::Coinbase),
            (3, "[]", NotifyError::Coinbase),
            (4, "\"\"", NotifyError::Branches),
            (4, "{}", NotifyError::Branches),
            (4, "[1]", NotifyError::Branches),
            (4, "[[]]", NotifyError::Branches),
            (4, "[\"00\"]", NotifyError::Branches),
            (4, &format!("[\"{hash}\",\"{hash}00\"]"), NotifyError::Branches),
            (4, &format!("[\"{hash}\",1]"), NotifyError::Branches),
            (5, "\"2000000\"", NotifyError::Field("version")),
            (5, "536870912", NotifyError::Field("version")),
            (6, "\"017034219\"", NotifyError::Field("nbits")),
            (7, "\"66252f8x\"", NotifyError::Field("ntime")),
        ] {
            assert_eq!(with(n, value), Err(error), "{n} {value}");
        }
        assert_eq!(decoded(&PARAMS[..7]), Err(NotifyError::Params));
        assert!(decoded(&PARAMS[..8]).is_ok(), "clean_jobs may be missing");
    }

    #[test]
    fn white_space_between_branches_is_no_fault() {
        let hash = "0".repeat(64);
        let (work, _) = with(4, &format!("[ \"{hash}\" ,\t\"{hash}\" ]")).unwrap();
        assert_eq!(work.len(), 44 + 64);
        assert_eq!(with(4, " [ ] ").unwrap().0.len(), 44);
    }

    #[test]
    fn branches_and_coinbase_are_bounded() {
        let branches = |count| format!("[{}]", vec![format!("\"{}\"", "0".repeat(64)); count].join(","));
        assert!(with(4, &branches(BRANCHES_COUNT_MAX)).is_ok());
        assert_eq!(with(4, &branches(BRANCHES_COUNT_MAX + 1)), Err(NotifyError::Branches));
        let coinbase2 = |bytes: usize| format!("\"{}\"", "00".repeat(bytes - 59));
        assert!(with(3, &coinbase2(HALVES_BYTES_MAX)).is_ok());
        assert_eq!(with(3, &coinbase2(HALVES_BYTES_MAX + 1)), Err(NotifyError::Coinbase));
    }
}
