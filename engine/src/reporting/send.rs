//! One envelope to one server by HTTP/1.1, on a connection of its own, within a bounded time.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::dsn::Dsn;

/// For connecting, for writing, and for each read.
const PATIENCE: Duration = Duration::from_secs(3);
/// The head of an answer is looked for in so many bytes.
const HEAD_BYTES_MAX: usize = 4 * 1024;
/// How long a server is left alone that did not take a report.
pub(super) const PAUSE: Duration = Duration::from_secs(60);
/// The longest time that it may ask for.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// What a server says to an envelope.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Taken,
    /// No more for so long.
    Later(Duration),
    /// With this status.
    Refused(u16),
}

/// Sends an envelope.
pub(super) fn post(dsn: &Dsn, body: &[u8]) -> io::Result<Answer> {
    let mut stream = connect(dsn)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-sentry-envelope\r\ncontent-length: {}\r\n\
         user-agent: adit/{version}\r\nx-sentry-auth: Sentry sentry_version=7, sentry_client=adit/{version}, \
         sentry_key={}\r\nconnection: close\r\n\r\n",
        dsn.path,
        dsn.authority(),
        body.len(),
        dsn.key.expose(),
        version = env!("CARGO_PKG_VERSION"),
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    read_answer(&mut stream)
}

fn connect(dsn: &Dsn) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in (dsn.host.as_str(), dsn.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn read_answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut head = Vec::new();
    let mut piece = [0; 512];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_BYTES_MAX {
        match stream.read(&mut piece)? {
            0 => break,
            count => head.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
    }
    answer(&String::from_utf8_lossy(&head))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it does not speak HTTP"))
}

fn answer(head: &str) -> Option<Answer> {
    let mut lines = head.lines();
    let status: u16 = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(match status {
        200..300 => Answer::Taken,
        429 | 503 => {
            let header = lines.filter_map(|line| line.split_once(':'));
            let mut asked = header.filter(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
            let seconds = asked.next().and_then(|(_, value)| value.trim().parse().ok());
            Answer::Later(seconds.map_or(PAUSE, Duration::from_secs).min(PAUSE_MAX))
        }
        status => Answer::Refused(status),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n{}", Some(Answer::Taken)),
            ("HTTP/1.0 413 Too large\r\n\r\n", Some(Answer::Refused(413))),
            ("HTTP/1.1 429 Slow\r\nRetry-After: 120\r\n\r\n", Some(Answer::Later(Duration::from_secs(120)))),
            ("HTTP/1.1 429 Slow\r\nretry-after: 999999\r\n\r\n", Some(Answer::Later(PAUSE_MAX))),
            ("HTTP/1.1 503 Gone\r\n\r\n", Some(Answer::Later(PAUSE))),
            ("SSH-2.0-x\r\n", None),
            ("", None),
        ] {
            assert_eq!(answer(head), expected, "{head}");
        }
        assert!(read_answer(&mut b"HTTP/1.1 202 OK\r\n\r\n".as_slice()).is_ok());
        assert!(read_answer(&mut b"".as_slice()).is_err());
    }
}
