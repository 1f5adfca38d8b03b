//! As much of an HTTP client as it takes to ask Adit's own admin side: one GET per connection, the whole answer in memory.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

/// How long connecting may take, and each read and write.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Longest answer taken.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Where the admin side is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Host and port, as in the Host header.
    authority: String,
}

/// What is wrong with a URL.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum UrlError {
    /// Another scheme than http.
    #[error("it is not http://HOST:PORT; where TLS stands in front, ask on the machine itself")]
    Scheme,
    /// More than host and port, or less.
    #[error("it is not http://HOST:PORT")]
    Authority,
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix("http://").ok_or(UrlError::Scheme)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let is_plain = authority.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b));
        if authority.is_empty() || !is_plain {
            return Err(UrlError::Authority);
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        Ok(Self { authority })
    }
}

impl From<SocketAddr> for Url {
    fn from(address: SocketAddr) -> Self {
        Self { authority: address.to_string() }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// Asks for a page: its status and body.
pub fn get(url: &Url, path: &str, token: Option<&str>) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = connect(&url.authority)?;
    stream.set_read_timeout(Some(TIME_MAX))?;
    stream.set_write_timeout(Some(TIME_MAX))?;
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: application/json\r\n{authorization}Connection: close\r\n\r\n",
        url.authority
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    taken_apart(&answer)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "that is no answer of Adit's"))
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIME_MAX) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Status and body of a whole answer.
fn taken_apart(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
    });
    let body = answer.get(end + 4..)?;
    (length == Some(body.len())).then(|| (status, body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_a_host_and_a_port() {
        for (text, shown) in [
            ("http://127.0.0.1:9090", "http://127.0.0.1:9090"),
            ("http://[::1]:9090/", "http://[::1]:9090"),
            ("http://proxy.farm", "http://proxy.farm:80"),
            ("http://[::1]", "http://[::1]:80"),
        ] {
            assert_eq!(text.parse::<Url>().map(|url| url.to_string()), Ok(shown.to_owned()), "{text}");
        }
        assert_eq!("https://a".parse::<Url>(), Err(UrlError::Scheme));
        for text in ["http://", "http://a/b", "http://a b", "http://a\r\nX: y"] {
            assert_eq!(text.parse::<Url>(), Err(UrlError::Authority), "{text}");
        }
    }

    #[test]
    fn a_cut_answer_is_none() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(taken_apart(answer), Some((200, b"ok".to_vec())));
        assert!((0..answer.len()).all(|end| taken_apart(&answer[..end]).is_none()));
    }
}
