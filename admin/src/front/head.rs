//! Bytes of a client → the head of one request, or why it is refused.
//!
//! Stricter than most servers on purpose: whatever two readers could understand differently (bare line feeds, folded lines,
//! two lengths, any transfer coding, blanks before a colon) is refused. What is handed on is written anew from the few
//! headers listed here, so nothing that a client wrote reaches the next reader as it was.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_COUNT_MAX};

/// Headers that are handed on. Everything else is of no use to any page.
const KEPT: [&str; 15] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "authorization",
    "content-type",
    "host",
    "if-none-match",
    "last-event-id",
    "origin",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "upgrade",
    "user-agent",
];
/// Those of them that may come in several lines, which are joined.
const LISTS: [&str; 3] = ["accept", "accept-encoding", "if-none-match"];
/// The header that tells the next reader where the request came from. Clients cannot set it: it is not in [`KEPT`].
pub const SOURCE: &str = "Adit-Source";

/// Why a request is refused. The connection is closed after each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not HTTP as RFC 9112 has it, or ambiguous.
    Malformed(&'static str),
    /// The head is too long, or has too many lines.
    HeadTooLarge,
    /// The body is too long.
    BodyTooLarge,
    /// A transfer coding.
    TransferEncoding,
    /// An `Expect` header.
    Expectation,
    /// Neither HTTP/1.1 nor HTTP/1.0.
    Version,
}

/// One request's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its length with the empty line.
    pub length: usize,
    /// The method, upper case letters.
    pub method: String,
    /// The target, from its slash on: visible ASCII only.
    pub target: String,
    /// Whether the client takes a further answer on this connection.
    pub keep_alive: bool,
    /// Length of the body behind the head.
    pub body_length: usize,
    /// The headers in [`KEPT`], lower case names, each once.
    headers: Vec<(&'static str, String)>,
}

impl Head {
    /// Reads the head at the start of `bytes`; `None` while it is not there whole.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, Refused> {
        let window = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
        let Some(end) = memchr::memmem::find(window, b"\r\n\r\n") else {
            check_beginning(window)?;
            let full = window.len() == HEAD_BYTES_MAX;
            return if full { Err(Refused::HeadTooLarge) } else { Ok(None) };
        };
        let mut lines = Lines(window.get(..end).unwrap_or_default());
        let (method, target, version) = request_line(lines.next().unwrap_or_default())?;
        let headers = lines.map(header).collect::<Result<Vec<_>, _>>()?;
        if headers.len() > HEADERS_COUNT_MAX {
            return Err(Refused::HeadTooLarge);
        }
        let of = |name: &'static str| {
            headers.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
        };
        if of("transfer-encoding").next().is_some() {
            return Err(Refused::TransferEncoding);
        }
        if of("expect").next().is_some() {
            return Err(Refused::Expectation);
        }
        let hosts = of("host").count();
        if hosts > 1 || (hosts == 0 && version == Version::Http11) {
            return Err(Refused::Malformed("exactly one Host header is needed"));
        }
        let wishes = |wish: &str| {
            of("connection").any(|v| v.split(',').any(|token| token.trim().eq_ignore_ascii_case(wish)))
        };
        Ok(Some(Self {
            length: end + 4,
            method: method.to_owned(),
            target: target.to_owned(),
            keep_alive: version == Version::Http11 && !wishes("close"),
            body_length: body_length(of("content-length"))?,
            headers: kept(&headers)?,
        }))
    }

    /// Whether the request may change something.
    pub fn is_command(&self) -> bool {
        self.method == "POST"
    }

    /// Whether the answer has no body whatever its length says.
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The request for the next reader: one request, then the end of the connection.
    pub fn forwarded(&self, source: SocketAddr, body: &[u8]) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n{SOURCE}: {source}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let length = body.len();
        let _ = write!(text, "content-length: {length}\r\nconnection: close\r\n\r\n");
        let mut forwarded = text.into_bytes();
        forwarded.extend_from_slice(body);
        forwarded
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

/// Lines that end in CRLF.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memmem::find(self.0, b"\r\n");
        let line = self.0.get(..end.unwrap_or(self.0.len()))?;
        self.0 = end.and_then(|end| self.0.get(end + 2..)).unwrap_or_default();
        Some(line)
    }
}

/// Refuses at once what can never become a request, so that noise is not waited for.
fn check_beginning(bytes: &[u8]) -> Result<(), Refused> {
    let method = bytes.split(|&b| b == b' ').next().unwrap_or_default();
    if method.len() > 16 || !method.iter().all(u8::is_ascii_uppercase) {
        return Err(Refused::Malformed("this is not an HTTP request"));
    }
    Ok(())
}

fn request_line(line: &[u8]) -> Result<(&str, &str, Version), Refused> {
    check_beginning(line)?;
    let text = visible(line).ok_or(Refused::Malformed("the request line has bytes that are not ASCII"))?;
    let mut parts = text.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refused::Malformed("the request line is not: method, target, version"));
    };
    let version = match version {
        "HTTP/1.1" => Version::Http11,
        "HTTP/1.0" => Version::Http10,
        other if other.starts_with("HTTP/") => return Err(Refused::Version),
        _ => return Err(Refused::Malformed("the request line is not: method, target, version")),
    };
    if method.is_empty() || !target.starts_with('/') || target.contains(['#', '\t']) {
        return Err(Refused::Malformed("the target must begin with a slash"));
    }
    Ok((method, target, version))
}

fn header(line: &[u8]) -> Result<(&str, &str), Refused> {
    let text = visible(line).ok_or(Refused::Malformed("a header has bytes that are not ASCII"))?;
    let (name, value) = text.split_once(':').ok_or(Refused::Malformed("a header has no colon"))?;
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(Refused::Malformed("a header has no proper name"));
    }
    Ok((name, value.trim_matches([' ', '\t'])))
}

/// The text, if it is ASCII without control characters but the tab: so neither a bare CR nor a bare LF nor a NUL.
fn visible(line: &[u8]) -> Option<&str> {
    let clean = line.iter().all(|&b| matches!(b, b' '..=b'~' | b'\t'));
    clean.then(|| std::str::from_utf8(line).ok()).flatten()
}

fn body_length<'a>(mut values: impl Iterator<Item = &'a str>) -> Result<usize, Refused> {
    let Some(value) = values.next() else { return Ok(0) };
    if values.next().is_some() || value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refused::Malformed("Content-Length is not one number"));
    }
    match value.parse() {
        Ok(length) if length <= BODY_BYTES_MAX => Ok(length),
        _ => Err(Refused::BodyTooLarge),
    }
}

fn kept(headers: &[(&str, &str)]) -> Result<Vec<(&'static str, String)>, Refused> {
    let mut kept: Vec<(&'static str, String)> = Vec::new();
    for (name, value) in headers {
        let Some(&name) = KEPT.iter().find(|kept| kept.eq_ignore_ascii_case(name)) else { continue };
        match kept.iter_mut().find(|(n, _)| *n == name) {
            None => kept.push((name, (*value).to_owned())),
            Some((_, before)) if LISTS.contains(&name) => {
                let _ = write!(before, ", {value}");
            }
            Some(_) => return Err(Refused::Malformed("a header came twice")),
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE_ADDRESS: &str = "127.0.0.1:4000";

    fn parse(text: &str) -> Result<Option<Head>, Refused> {
        Head::parse(text.as_bytes())
    }

    fn parsed(text: &str) -> Head {
        parse(text).unwrap().unwrap()
    }

    fn is_malformed(text: &str) -> bool {
        matches!(parse(text), Err(Refused::Malformed(_)))
    }

    #[test]
    fn a_plain_request_is_read_and_written_anew() {
        let head = parsed("GET /stats?x=1 HTTP/1.1\r\nHost: a\r\nX-Evil: 1\r\nACCEPT:  */* \r\n\r\nrest");
        assert_eq!((head.method.as_str(), head.target.as_str()), ("GET", "/stats?x=1"));
        assert!(head.keep_alive);
        assert_eq!(head.body_length, 0);
        let text = String::from_utf8(head.forwarded(SOURCE_ADDRESS.parse().unwrap(), b"")).unwrap();
        assert_eq!(
            text,
            "GET /stats?x=1 HTTP/1.1\r\nAdit-Source: 127.0.0.1:4000\r\nhost: a\r\naccept: */*\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_client_cannot_set_what_the_front_sets() {
        let head = parsed("GET / HTTP/1.1\r\nHost: a\r\nAdit-Source: 10.0.0.1:1\r\n\r\n");
        let text = String::from_utf8(head.forwarded(SOURCE_ADDRESS.parse().unwrap(), b"")).unwrap();
        assert!(!text.contains("10.0.0.1"), "{text}");
    }

    #[test]
    fn every_proper_prefix_is_waited_for() {
        let text = "POST /drain HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text[..end]), Ok(None), "{end}");
        }
        assert_eq!(parsed(text).body_length, 2);
    }

    #[test]
    fn whatever_two_readers_could_understand_differently_is_refused() {
        let with = |line: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n");
        for line in [
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5, 5",
            "Content-Length: +5",
            "Content-Length: 0x5",
            "Content-Length: -1",
            "Content-Length:",
            "Host: b",
            "Authorization: a\r\nAuthorization: b",
            " folded",
            "Name : value",
            "no colon",
            ": no name",
            "X: a\nY: b",
            "X: a\rY: b",
            "X: \0",
            "X: \u{e9}",
            "X\u{a0}: a",
        ] {
            assert!(is_malformed(&with(line)), "{line:?}");
        }
        for coding in ["chunked", "identity", "chunked, gzip", "xchunked", "", "\tchunked", "gzip,chunked,"] {
            let text = with(&format!("Transfer-Encoding: {coding}\r\nContent-Length: 4"));
            assert_eq!(parse(&text), Err(Refused::TransferEncoding), "{coding:?}");
        }
        assert!(is_malformed(&with("Transfer-Encoding : chunked")));
    }

    #[test]
    fn odd_request_lines_are_refused() {
        for line in [
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET /",
            "GET http://a/ HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET /a#b HTTP/1.1",
            "get / HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            "\u{16}\u{3}\u{1}",
            "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}",
        ] {
            assert!(is_malformed(&format!("{line}\r\nHost: a\r\n\r\n")), "{line:?}");
        }
        assert_eq!(parse("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), Err(Refused::Version));
        assert!(is_malformed("GET / HTTP/1.1\r\n\r\n"), "no Host");
        assert!(!parsed("GET / HTTP/1.0\r\n\r\n").keep_alive);
    }

    #[test]
    fn noise_is_refused_before_a_line_ends() {
        assert!(is_malformed("\u{16}\u{3}\u{1}"));
        assert!(is_malformed("{\"id\":1"));
        assert!(is_malformed(&"A".repeat(17)));
    }

    #[test]
    fn at_the_bounds_a_request_is_refused() {
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(HEAD_BYTES_MAX));
        assert_eq!(parse(&long), Err(Refused::HeadTooLarge));
        let many = "X: a\r\n".repeat(HEADERS_COUNT_MAX);
        assert_eq!(parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")), Err(Refused::HeadTooLarge));
        let body = |n: &str| parse(&format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {n}\r\n\r\n"));
        assert!(body(&BODY_BYTES_MAX.to_string()).is_ok());
        assert_eq!(body(&(BODY_BYTES_MAX + 1).to_string()), Err(Refused::BodyTooLarge));
        assert_eq!(body(&"9".repeat(40)), Err(Refused::BodyTooLarge));
        assert!(parse("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n").is_err());
    }
}
