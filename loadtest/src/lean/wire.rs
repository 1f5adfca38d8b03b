//! The lines of the lean load: made by formatting, recognised by searching.
//!
//! Both ends are ours, so a fixed text tells a line's kind. The proxies between may change ids and names, not more.

use std::io::Write;

use memchr::memmem;
use rustix::time::{ClockId, clock_gettime};

/// Bytes of extranonce2 that the pool asks for.
const EXTRANONCE2_BYTES: usize = 4;
/// Hashes of the merkle branch: a full block's. With them a job is about 1.5 KB, as jobs of large pools are.
const BRANCHES: u64 = 12;

/// What a pool can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Submit,
    Subscribe,
    Authorize,
    Other,
}

/// What a miner can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told<'a> {
    Answer { id: u64, accepted: bool },
    Job { id: &'a [u8] },
    Other,
}

impl Request {
    pub(super) fn read(line: &[u8]) -> Self {
        let has = |method: &str| memmem::find(line, method.as_bytes()).is_some();
        if has("\"mining.submit\"") {
            Self::Submit
        } else if has("\"mining.subscribe\"") {
            Self::Subscribe
        } else if has("\"mining.authorize\"") {
            Self::Authorize
        } else {
            Self::Other
        }
    }
}

impl<'a> Told<'a> {
    pub(super) fn read(line: &'a [u8]) -> Self {
        if memmem::find(line, b"\"method\"").is_none() {
            let id = raw_id(line).and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
            let accepted = memmem::find(line, b"\"error\":null").is_some()
                && memmem::find(line, b"\"result\":null").is_none()
                && memmem::find(line, b"\"result\":false").is_none();
            return id.map_or(Self::Other, |id| Self::Answer { id, accepted });
        }
        if memmem::find(line, b"\"mining.notify\"").is_none() {
            return Self::Other;
        }
        let params = b"\"params\":[\"";
        let id = memmem::find(line, params).map(|at| &line[at + params.len()..]);
        id.and_then(|rest| memchr::memchr(b'"', rest).map(|end| &rest[..end]))
            .map_or(Self::Other, |id| Self::Job { id })
    }
}

/// The id of a line as written, if it is a plain number or `null`.
pub(super) fn raw_id(line: &[u8]) -> Option<&[u8]> {
    let name = b"\"id\":";
    let rest = line[memmem::find(line, name)? + name.len()..].trim_ascii_start();
    let end = rest.iter().position(|byte| b",} ".contains(byte))?;
    Some(&rest[..end])
}

pub(super) fn push_subscribe(out: &mut Vec<u8>, id: u64) {
    push(out, format_args!(r#"{{"id":{id},"method":"mining.subscribe","params":["adit-loadtest/lean"]}}"#));
}

pub(super) fn push_authorize(out: &mut Vec<u8>, id: u64, name: &str) {
    push(out, format_args!(r#"{{"id":{id},"method":"mining.authorize","params":["{name}","x"]}}"#));
}

/// A submit whose extranonce2 and nonce no other of this connection has.
pub(super) fn push_submit(out: &mut Vec<u8>, id: u64, name: &str, job: &str) {
    let nonce = (id as u32).wrapping_mul(0x9e37_79b1);
    push(
        out,
        format_args!(
            r#"{{"id":{id},"method":"mining.submit","params":["{name}","{job}","{:08x}","66252f80","{nonce:08x}"]}}"#,
            id as u32
        ),
    );
}

pub(super) fn push_accepted(out: &mut Vec<u8>, id: &[u8]) {
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"result\":true,\"error\":null}\n");
}

pub(super) fn push_unknown_method(out: &mut Vec<u8>, id: &[u8]) {
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"result\":null,\"error\":[-3,\"Method not found\",null]}\n");
}

pub(super) fn push_subscribed(out: &mut Vec<u8>, id: &[u8], connection: u32) {
    out.extend_from_slice(b"{\"id\":");
    out.extend_from_slice(id);
    push(
        out,
        format_args!(
            ",\"result\":[[[\"mining.set_difficulty\",\"{connection:08x}\"],[\"mining.notify\",\"{connection:08x}\"]],\
             \"{connection:08x}\",{EXTRANONCE2_BYTES}],\"error\":null}}"
        ),
    );
}

/// What stands in a coinbase before a job's number and the time it was sent, 16 digits each.
const BEFORE_STAMP: &str = "ffffffff23a0";
const STAMP_DIGITS: usize = 16;

/// Nanoseconds of the clock that all processes of this machine share.
pub(super) fn clock_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// The number of a job and when it was sent, out of its line.
pub(super) fn stamp(line: &[u8]) -> Option<(u64, u64)> {
    let rest = &line[memmem::find(line, BEFORE_STAMP.as_bytes())? + BEFORE_STAMP.len()..];
    let digits = |part: &[u8]| u64::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok();
    Some((digits(rest.get(..STAMP_DIGITS)?)?, digits(rest.get(STAMP_DIGITS..2 * STAMP_DIGITS)?)?))
}

/// A job as a line of about 1.5 KB, with the time it is sent at.
pub(super) fn job(number: u64, sent_ns: u64) -> Vec<u8> {
    let branches: Vec<String> = (0..BRANCHES).map(|nth| format!("\"{:064x}\"", number * 100 + nth)).collect();
    let coinb1 = format!(
        "0200000001{:064x}{BEFORE_STAMP}{number:0STAMP_DIGITS$x}{sent_ns:0STAMP_DIGITS$x}0340d10c0b2f6661637473686565742f0c",
        0
    );
    let coinb2 = format!("ffffffff02205fa012000000001976a914{:0360x}00000000", 1);
    let mut line = Vec::new();
    push(
        &mut line,
        format_args!(
            "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{number:x}\",\"{:064x}\",\"{coinb1}\",\
             \"{coinb2}\",[{}],\"20000000\",\"17034219\",\"66252f80\",false]}}",
            number / 8,
            branches.join(",")
        ),
    );
    line
}

pub(super) fn push_difficulty(out: &mut Vec<u8>) {
    push(out, format_args!(r#"{{"id":null,"method":"mining.set_difficulty","params":[1024]}}"#));
}

fn push(out: &mut Vec<u8>, line: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_line::JsonLine;

    fn made(push: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut line = Vec::new();
        push(&mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        assert!(JsonLine::read(&line).is_some(), "{}", String::from_utf8_lossy(&line));
        line
    }

    #[test]
    fn requests_are_json_and_recognised() {
        let cases = [
            (made(|out| push_subscribe(out, 1)), Request::Subscribe),
            (made(|out| push_authorize(out, 2, "a.b")), Request::Authorize),
            (made(|out| push_submit(out, 3, "a.b", "1f")), Request::Submit),
            (br#"{"id":4,"method":"mining.extranonce.subscribe"}"#.to_vec(), Request::Other),
        ];
        for (line, request) in cases {
            assert_eq!(Request::read(&line), request);
        }
        assert_eq!(raw_id(br#"{"method":"x","id": 77}"#), Some(&b"77"[..]));
        assert_eq!(raw_id(br#"{"method":"x"}"#), None);
    }

    #[test]
    fn answers_and_jobs_are_json_and_recognised() {
        let answer = |id, accepted| Told::Answer { id, accepted };
        assert_eq!(Told::read(&made(|out| push_accepted(out, b"9"))), answer(9, true));
        assert_eq!(Told::read(&made(|out| push_subscribed(out, b"1", 7))), answer(1, true));
        assert_eq!(Told::read(&made(|out| push_unknown_method(out, b"3"))), answer(3, false));
        assert_eq!(Told::read(br#"{"id":3,"result":false,"error":null}"#), answer(3, false));
        assert_eq!(Told::read(&made(push_difficulty)), Told::Other);
        let job = made(|out| out.extend(job(0x1f, 77)));
        assert_eq!(stamp(&job), Some((0x1f, 77)));
        assert_eq!(stamp(b"{}"), None);
        assert_eq!(Told::read(&job), Told::Job { id: b"1f" });
        assert!((1_400..1_700).contains(&job.len()), "{}", job.len());
    }
}
