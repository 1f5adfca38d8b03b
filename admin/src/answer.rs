//! What is sent back, before any socket.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::api::Request;
use crate::problem::{PROBLEM_JSON, Problem};

/// Bodies shorter than this fit into one packet anyway.
const GZIP_BYTES_MIN: usize = 1_400;
/// Longer bodies go to the same machine as they are: compressing costs more there than copying.
const GZIP_NEAR_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a digest that make a tag.
const TAG_BYTES: usize = 12;

/// An answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// Headers but those about length and connection.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The protocol that the connection changes to.
    pub upgrade: Option<&'static str>,
    /// Which events follow on the same connection.
    pub stream: Option<String>,
}

impl Answer {
    /// A body of some type.
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, body: body.into(), upgrade: None, stream: None }
    }

    /// A value as JSON.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(status, "application/json", body),
            Err(error) => {
                log::error!("an answer cannot be written as JSON: {error}");
                Self::problem(&Problem::new(500, "A mistake in Adit; the log has more."))
            }
        }
    }

    /// An error.
    pub fn problem(problem: &Problem) -> Self {
        Self::new(problem.status, PROBLEM_JSON, problem.to_json())
    }

    /// The same with one more header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with a tag of its content, or "unchanged" for a client that has that content already.
    pub fn conditional(mut self, request: &Request) -> Self {
        let digest = Sha256::digest(&self.body);
        let tag =
            digest.iter().take(TAG_BYTES).fold(String::from("\""), |tag, byte| format!("{tag}{byte:02x}"))
                + "\"";
        let known = request.header("if-none-match").unwrap_or_default();
        // A tag is for the content; whether it travels compressed makes no difference here.
        let is_known = known.split(',').any(|t| t.trim() == "*" || t.trim().trim_start_matches("W/") == tag);
        if is_known && self.status == 200 {
            self.status = 304;
            self.body.clear();
            self.headers.retain(|(name, _)| *name != "Content-Type");
        }
        self.with("ETag", format!("W/{tag}")).with("Cache-Control", "no-cache")
    }

    /// The same compressed, where the client takes that and it pays.
    pub fn compressed(mut self, request: &Request) -> Self {
        let is_near = request.source.ip().to_canonical().is_loopback();
        let bytes_max = if is_near { GZIP_NEAR_BYTES_MAX } else { usize::MAX };
        let is_text =
            self.headers.iter().any(|(name, value)| *name == "Content-Type" && !value.contains("image"));
        let pays = is_text && (GZIP_BYTES_MIN..=bytes_max).contains(&self.body.len());
        if !pays {
            return self;
        }
        self = self.with("Vary", "Accept-Encoding");
        if !takes_gzip(request.header("accept-encoding").unwrap_or_default()) {
            return self;
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(self.body.len() / 4), Compression::fast());
        match encoder.write_all(&self.body).and_then(|()| encoder.finish()) {
            Ok(body) => {
                self.body = body;
                self.with("Content-Encoding", "gzip")
            }
            Err(error) => {
                log::error!("an answer cannot be compressed: {error}");
                self
            }
        }
    }
}

/// Whether an `Accept-Encoding` header allows gzip.
fn takes_gzip(header: &str) -> bool {
    header.split(',').any(|coding| {
        let mut parts = coding.split(';');
        let name = parts.next().unwrap_or_default().trim();
        let is_refused = parts.any(|part| {
            let quality = part.trim().strip_prefix("q=").and_then(|q| q.parse::<f64>().ok());
            quality.is_some_and(|quality| quality <= 0.0)
        });
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(headers: &'a [(&'a str, &'a str)], source: &str) -> Request<'a> {
        Request { method: "GET", target: "/", headers, source: source.parse().unwrap(), body: b"" }
    }

    #[test]
    fn a_known_content_is_not_sent_again() {
        let answer = |headers: &[(&str, &str)]| {
            Answer::new(200, "text/plain", "abc").conditional(&request(headers, "127.0.0.1:1"))
        };
        let first = answer(&[]);
        let tag = first.headers.iter().find(|(name, _)| *name == "ETag").unwrap().1.clone();
        for known in
            [tag.clone(), tag.trim_start_matches("W/").to_owned(), format!("\"x\", {tag}"), "*".to_owned()]
        {
            let again = answer(&[("If-None-Match", &known)]);
            assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        }
        assert_eq!(answer(&[("If-None-Match", "\"x\"")]).status, 200);
    }

    #[test]
    fn answers_are_compressed_where_it_pays() {
        let is_compressed = |bytes: usize, encoding: &str, source: &str| {
            let answer = Answer::new(200, "text/plain", vec![b'a'; bytes]);
            let answer = answer.compressed(&request(&[("Accept-Encoding", encoding)], source));
            answer.headers.contains(&("Content-Encoding", "gzip".to_owned()))
        };
        let (near, far) = ("127.0.0.1:1", "192.0.2.1:1");
        assert!(is_compressed(GZIP_BYTES_MIN, "deflate, gzip;q=0.5", near));
        assert!(!is_compressed(GZIP_BYTES_MIN - 1, "gzip", near));
        assert!(!is_compressed(GZIP_NEAR_BYTES_MAX + 1, "gzip", near), "copying costs less here");
        assert!(is_compressed(GZIP_NEAR_BYTES_MAX + 1, "gzip", far));
        for refused in ["", "br", "gzip;q=0", "gzip; q=0.0"] {
            assert!(!is_compressed(GZIP_BYTES_MIN, refused, far), "{refused}");
        }
    }
}
