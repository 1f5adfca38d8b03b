//! A miner or a pool that a test drives by hand: one blocking socket, lines in and out, everything with a deadline.
//!
//! For many at once, or for behaviour as data, see [`crate::sim_miner`] and [`crate::scripted_pool`].

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::wait;

/// How long a peer waits for what should come at once, on a machine that has other things to do as well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Whether this machine has IPv6 on its loopback; says so if a part of a test is skipped for it.
pub fn has_ipv6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        println!("SKIPPED: what needs IPv6, for this machine has none");
    }
    has
}

/// What a peer hears when it listens for a while.
#[derive(Clone, PartialEq, Eq)]
pub enum Heard {
    /// A line, without its LF.
    Line(Vec<u8>),
    /// The other side has ended its direction in order. Bytes without an LF that came before are in it.
    End(Vec<u8>),
    /// The other side has reset the connection.
    Reset,
    /// Nothing whole within the time.
    Silence,
}

impl fmt::Debug for Heard {
    /// Bytes as text: this is for the messages of failed tests.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(out, "Line({:?})", String::from_utf8_lossy(line)),
            Self::End(rest) => write!(out, "End({:?})", String::from_utf8_lossy(rest)),
            Self::Reset => out.write_str("Reset"),
            Self::Silence => out.write_str("Silence"),
        }
    }
}

/// One end of a connection.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// Where a pool driven by hand waits for connections.
#[derive(Debug)]
pub struct PeerListener {
    listener: TcpListener,
}

impl Peer {
    /// Connects to an address.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::from_stream(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// Takes a blocking stream that stands.
    pub fn from_stream(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// The address of this end.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Sends a line and its LF.
    pub fn send_line(&mut self, line: &str) -> io::Result<()> {
        self.send(format!("{line}\n").as_bytes())
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes in pieces of `piece_bytes`, each in a segment of its own, with a pause behind each.
    pub fn send_in_pieces(&mut self, bytes: &[u8], piece_bytes: usize, pause: Duration) -> io::Result<()> {
        for piece in bytes.chunks(piece_bytes.max(1)) {
            self.stream.write_all(piece)?;
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
        Ok(())
    }

    /// Listens until there is a whole line, an end, or the time is over.
    pub fn hear(&mut self, time: Duration) -> Heard {
        let end = Instant::now() + time;
        loop {
            if let Some(line) = self.take_line() {
                return Heard::Line(line);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Heard::Silence;
            }
            let mut piece = [0; 16 * 1024];
            let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut piece));
            match read {
                Ok(0) => return Heard::End(std::mem::take(&mut self.buffer)),
                Ok(count) => self.buffer.extend_from_slice(&piece[..count]),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {}
                    _ => return Heard::Reset,
                },
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = memchr::memchr(b'\n', &self.buffer)?;
        let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
        line.pop();
        Some(line)
    }

    /// The next line as text.
    ///
    /// # Panics
    /// If there is none within [`PATIENCE`], or it is not UTF-8: this is how a test says that a line is due.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.hear(PATIENCE) {
            Heard::Line(line) => String::from_utf8(line).expect("a line of UTF-8"),
            other => panic!("a line was due, but: {other:?}"),
        }
    }

    /// The next line, which is this one.
    #[track_caller]
    pub fn expect_line(&mut self, expected: &str) {
        assert_eq!(self.line(), expected);
    }

    /// Nothing comes for this long.
    #[track_caller]
    pub fn expect_silence(&mut self, time: Duration) {
        assert_eq!(self.hear(time), Heard::Silence);
    }

    /// The connection ends, in order or by a reset, and nothing whole comes before.
    #[track_caller]
    pub fn expect_close(&mut self) {
        match self.hear(PATIENCE) {
            Heard::End(rest) => assert!(rest.is_empty(), "half a line before the end: {rest:?}"),
            Heard::Reset => {}
            other => panic!("a close was due, but: {other:?}"),
        }
    }

    /// Every line until the connection ends.
    #[track_caller]
    pub fn lines_until_close(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match self.hear(PATIENCE) {
                Heard::Line(line) => lines.push(String::from_utf8_lossy(&line).into_owned()),
                Heard::End(_) | Heard::Reset => return lines,
                Heard::Silence => panic!("a close was due; so far: {lines:?}"),
            }
        }
    }

    /// Closes our direction; the other side may still send.
    pub fn close_sending(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Ends the connection by a reset.
    pub fn reset(self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    /// The socket, for what this type has no word for.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl PeerListener {
    /// Listens on a loopback port that the kernel chooses.
    pub fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection, if one comes within the time.
    pub fn accept_within(&self, time: Duration) -> Option<Peer> {
        let (stream, _) = wait::for_some(time, || self.listener.accept().ok())?;
        stream.set_nonblocking(false).ok()?;
        Peer::from_stream(stream).ok()
    }

    /// The next connection.
    ///
    /// # Panics
    /// If none comes within [`PATIENCE`].
    #[track_caller]
    pub fn accept(&self) -> Peer {
        self.accept_within(PATIENCE).expect("a connection was due")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_hears_lines_ends_resets_and_silence() {
        let listener = PeerListener::bind().unwrap();
        let mut one = Peer::connect(listener.address().unwrap()).unwrap();
        let mut two = listener.accept();
        one.send_in_pieces(b"first\nsecond\nhal", 1, Duration::ZERO).unwrap();
        two.expect_line("first");
        two.expect_line("second");
        two.expect_silence(Duration::from_millis(5));
        one.close_sending().unwrap();
        assert_eq!(two.hear(PATIENCE), Heard::End(b"hal".to_vec()));
        two.send_line("still heard").unwrap();
        one.expect_line("still heard");
        two.reset().unwrap();
        assert_eq!(one.hear(PATIENCE), Heard::Reset);
    }
}
