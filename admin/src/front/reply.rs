//! Answers on their way to the client: those from behind, put into a frame of ours, and those that the front gives itself.

use std::fmt::Write as _;

use super::head::Refused;
use crate::problem::{PROBLEM_JSON, Problem};

/// The header by which a page asks that the connection becomes an event stream.
pub const STREAM: &str = "Adit-Stream";

/// An answer as the client gets it.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// Head and body.
    pub bytes: Vec<u8>,
    /// Which events follow it on the same connection, if any.
    pub stream: Option<String>,
}

/// Takes a whole answer of the reader behind and writes our own lines about the connection into it. `None` when it is cut.
pub fn framed(mut answer: Vec<u8>, is_head: bool, keep_alive: bool) -> Option<Reply> {
    let end = memchr::memmem::find(&answer, b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let (status_line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let code = status_line.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok())?;
    let mut framed = format!("{status_line}\r\n");
    let (mut length, mut stream) = (None, None);
    for line in headers.split("\r\n") {
        let (name, value) = line.split_once(": ")?;
        match name {
            "Content-Length" => length = value.parse().ok(),
            STREAM => stream = Some(value.to_owned()),
            "Connection" | "Transfer-Encoding" => {}
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(framed, "{name}: {value}\r\n");
            }
        }
    }
    let body_length = answer.len() - end - 4;
    let has_body = !(is_head || code < 200 || code == 204 || code == 304);
    if has_body && length != Some(body_length) {
        return None;
    }
    let connection = match (code, stream.is_some(), keep_alive) {
        (101, ..) => "upgrade",
        (_, false, true) => "keep-alive",
        _ => "close",
    };
    if let (None, Some(length)) = (&stream, length) {
        let _ = write!(framed, "Content-Length: {length}\r\n");
    }
    let _ = write!(framed, "Connection: {connection}\r\n\r\n");
    answer.splice(..end + 4, framed.into_bytes());
    Some(Reply { bytes: answer, stream })
}

/// What the client of a refused request is told.
pub fn refusal(refused: Refused) -> Vec<u8> {
    let (status, detail) = match refused {
        Refused::Malformed(why) => (400, why),
        Refused::HeadTooLarge => (431, "The request line and the headers are too long."),
        Refused::BodyTooLarge => (413, "The body is too long."),
        Refused::TransferEncoding => (501, "Transfer-Encoding is not supported; send Content-Length."),
        Refused::Expectation => (417, "Expect is not supported."),
        Refused::Version => (505, "Only HTTP/1.1 and HTTP/1.0 are spoken here."),
    };
    problem(&Problem::new(status, detail))
}

/// A problem as a last answer on its connection.
pub fn problem(problem: &Problem) -> Vec<u8> {
    let body = problem.to_json();
    let (status, title, length) = (problem.status, &problem.title, body.len());
    let head = format!(
        "HTTP/1.1 {status} {title}\r\nContent-Type: {PROBLEM_JSON}\r\nContent-Length: {length}\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(answer: &str, is_head: bool, keep_alive: bool) -> Option<String> {
        framed(answer.into(), is_head, keep_alive).map(|reply| String::from_utf8(reply.bytes).unwrap())
    }

    #[test]
    fn an_answer_keeps_its_headers_but_those_of_the_connection() {
        let framed = frame("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok", false, true);
        assert_eq!(
            framed.as_deref(),
            Some("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok")
        );
    }

    #[test]
    fn a_cut_answer_is_none() {
        assert_eq!(frame("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok", false, true), None);
        assert_eq!(frame("HTTP/1.1 200 OK\r\nDate: x\r\n\r\nok", false, true), None);
        assert_eq!(frame("HTTP/1.1 200 OK\r\n", false, true), None);
        assert_eq!(frame("", false, true), None);
    }

    #[test]
    fn answers_without_a_body_keep_their_length() {
        assert!(frame("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, false).unwrap().contains(": 3"));
        assert!(frame("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false, true).is_some());
    }

    #[test]
    fn a_stream_has_no_length() {
        let answer = format!("HTTP/1.1 200 OK\r\n{STREAM}: sse;;\r\nContent-Length: 0\r\n\r\n");
        let reply = framed(answer.into_bytes(), false, true).unwrap();
        assert_eq!(reply.stream.as_deref(), Some("sse;;"));
        assert_eq!(reply.bytes, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    }
}
