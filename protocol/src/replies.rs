//! Every line that Adit says itself, in one place.
//!
//! Answers to miners have the array form of errors with three elements and codes 20 to 25 only, the one that all miners
//! read (cgminer and cpuminer index the array, ESP-Miner reads element 1).

use crate::raw_id::RawId;
use crate::verdict::RejectClass;

/// An error that Adit answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalError {
    /// What it comes down to; its wire code is what the miner is shown.
    pub class: RejectClass,
    /// Plain ASCII without quotes or backslashes.
    pub text: &'static str,
}

impl LocalError {
    /// The code on the wire, 20 to 25.
    pub fn code(self) -> i16 {
        self.class.wire_code().into()
    }
}

/// A method that only pools speak among themselves.
pub const NOT_SUPPORTED: LocalError = LocalError { class: RejectClass::Other, text: "Not supported." };
/// Not JSON, not an object, or a key twice.
pub const BAD_LINE: LocalError = LocalError { class: RejectClass::Other, text: "Not a Stratum request" };
/// More bytes without an LF than a miner's line may have.
pub const LINE_TOO_LONG: LocalError = LocalError { class: RejectClass::Other, text: "Line too long" };
/// An object without a method, a result or an error.
pub const NO_METHOD: LocalError = LocalError { class: RejectClass::Other, text: "Method missing" };
/// A submit or authorize whose params are no array or whose name is no string.
pub const BAD_PARAMS: LocalError = LocalError { class: RejectClass::Other, text: "Invalid params" };
/// Ethereum's, Monero's and other coins' protocols.
pub const FOREIGN_COIN: LocalError = LocalError { class: RejectClass::Other, text: "unsupported protocol" };
/// Too many requests wait for the pool.
pub const PENDING_FULL: LocalError =
    LocalError { class: RejectClass::Other, text: "Too many unanswered requests" };
/// A name that belongs to another pool than its miner can be moved to.
pub const WRONG_POOL: LocalError =
    LocalError { class: RejectClass::Unauthorized, text: "Worker belongs to another pool" };
/// The same, where a new connection gets there.
pub const COME_AGAIN: LocalError =
    LocalError { class: RejectClass::Other, text: "Worker belongs to another pool, connect again" };
/// More names on one connection than are kept.
pub const TOO_MANY_NAMES: LocalError =
    LocalError { class: RejectClass::Unauthorized, text: "Too many workers on one connection" };
/// A name that cannot be sent to a pool.
pub const BAD_NAME: LocalError = LocalError { class: RejectClass::Unauthorized, text: "Invalid worker name" };
/// The name of a submit was not authorised.
pub const UNAUTHORIZED: LocalError =
    LocalError { class: RejectClass::Unauthorized, text: "Unauthorized worker" };
/// A submit before subscribe.
pub const NOT_SUBSCRIBED: LocalError =
    LocalError { class: RejectClass::NotSubscribed, text: "Not subscribed" };
/// The pool did not answer within the deadline.
pub const POOL_SILENT: LocalError = LocalError { class: RejectClass::Other, text: "pool did not answer" };
/// The connection to the pool ended before it answered.
pub const POOL_LOST: LocalError = LocalError { class: RejectClass::Other, text: "pool connection lost" };

/// No pool is there for a miner that just came.
pub const NO_POOL: LocalError = LocalError { class: RejectClass::Other, text: "no pool available" };
/// A share while the miner's pool is gone and the next one is not there: its job was the gone one's.
pub const BETWEEN_POOLS: LocalError = LocalError { class: RejectClass::Stale, text: "pool connection lost" };

/// What an HTTP client gets that took the Stratum port for a web server.
pub const HTTP_ANSWER: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\
content-length: 54\r\n\r\nThis port speaks Stratum V1 for miners, and no HTTP.\r\n";

/// What a miner gets that came in by a known path; from then on it speaks Stratum.
pub const HTTP_WELCOME: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

/// Appends an error answer. A request that had no id is answered without one.
pub fn error(out: &mut Vec<u8>, id: &[u8], error: LocalError) {
    open(out, id);
    out.extend_from_slice(b"\"result\":null,\"error\":[");
    out.extend_from_slice(error.code().to_string().as_bytes());
    out.extend_from_slice(b",\"");
    out.extend_from_slice(error.text.as_bytes());
    out.extend_from_slice(b"\",null]}\n");
}

/// Appends the answer to a configure that the pool left open: every requested code is refused (BIP310 wants a result for each).
pub fn configure_refused(out: &mut Vec<u8>, id: &RawId, codes: &[Box<str>]) {
    open(out, id.as_bytes());
    out.extend_from_slice(b"\"result\":{");
    for (n, code) in codes.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(code.as_bytes());
        out.extend_from_slice(b":false");
    }
    out.extend_from_slice(b"},\"error\":null}\n");
}

/// Appends an answer to subscribe with what is in force: where the pool left a second one open, or told other values since.
pub fn subscribed(out: &mut Vec<u8>, miner_id: &RawId, extranonce1: &str, extranonce2_size: u8) {
    open(out, miner_id.as_bytes());
    let text = format!("\"result\":[[],\"{extranonce1}\",{extranonce2_size}],\"error\":null}}\n");
    out.extend_from_slice(text.as_bytes());
}

fn open(out: &mut Vec<u8>, id: &[u8]) {
    out.push(b'{');
    if !id.is_empty() {
        out.extend_from_slice(b"\"id\":");
        out.extend_from_slice(id);
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_carries_the_miners_id_as_it_was() {
        for (id, wanted) in [
            ("4", "{\"id\":4,\"result\":null,\"error\":[20,\"Not supported.\",null]}\n"),
            ("\"x\"", "{\"id\":\"x\",\"result\":null,\"error\":[20,\"Not supported.\",null]}\n"),
            ("null", "{\"id\":null,\"result\":null,\"error\":[20,\"Not supported.\",null]}\n"),
            ("", "{\"result\":null,\"error\":[20,\"Not supported.\",null]}\n"),
        ] {
            let mut out = Vec::new();
            error(&mut out, id.as_bytes(), NOT_SUPPORTED);
            assert_eq!(String::from_utf8_lossy(&out), wanted);
        }
    }

    #[test]
    fn a_refused_configure_names_every_code() {
        let mut out = Vec::new();
        configure_refused(&mut out, &RawId::keep(b"1"), &["\"version-rolling\"".into(), "\"info\"".into()]);
        let wanted = "{\"id\":1,\"result\":{\"version-rolling\":false,\"info\":false},\"error\":null}\n";
        assert_eq!(String::from_utf8_lossy(&out), wanted);
    }

    #[test]
    fn the_http_answer_states_its_true_length() {
        let text = String::from_utf8_lossy(HTTP_ANSWER);
        let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
    }
}
