//! One connection of the lean load: a socket, and the start of a line that has not come whole.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use mio::net::TcpStream;
use socket2::SockRef;

/// Bytes of one read; a shared buffer, so that an idle connection holds none.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Receive buffer of a miner that will stop to read, so that it shows soon.
const LITTLE_BYTES: usize = 4 * 1024;

/// A connection that mostly writes without waiting: what is in flight is far below a socket's buffer.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stream: TcpStream,
    partial: Vec<u8>,
}

impl Link {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, partial: Vec::new() }
    }

    /// Whether the connect is still under way. A connect that failed is not: its error comes from the first read.
    pub(super) fn is_connecting(&self) -> bool {
        self.stream.peer_addr().is_err_and(|error| error.kind() == ErrorKind::NotConnected)
            && !matches!(self.stream.take_error(), Ok(Some(_)) | Err(_))
    }

    /// Reads what is there into `buffer` and calls `take` with every whole line, without its LF. False at the end of
    /// the stream.
    ///
    /// A read that does not fill the buffer has emptied the socket, so edge-triggered readiness needs no second one.
    pub(super) fn read_lines(&mut self, buffer: &mut [u8], mut take: impl FnMut(&[u8])) -> io::Result<bool> {
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.split(&buffer[..count], &mut take);
            if count < buffer.len() {
                return Ok(true);
            }
        }
    }

    fn split(&mut self, bytes: &[u8], take: &mut impl FnMut(&[u8])) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            if self.partial.is_empty() {
                take(&bytes[start..end]);
            } else {
                self.partial.extend_from_slice(&bytes[start..end]);
                take(&self.partial);
                self.partial.clear();
            }
            start = end + 1;
        }
        self.partial.extend_from_slice(&bytes[start..]);
    }

    /// Writes all of it now, or fails.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.stream.write(bytes) {
            Ok(count) if count == bytes.len() => Ok(()),
            Ok(_) => Err(io::Error::from(ErrorKind::WriteZero)),
            Err(error) => Err(error),
        }
    }

    /// Writes what the socket takes now; how much that is.
    pub(super) fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        match self.stream.write(bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            written => written,
        }
    }

    /// Lets the kernel take in little that is not read.
    pub(super) fn receive_little(&self) {
        let _ = SockRef::from(&self.stream).set_recv_buffer_size(LITTLE_BYTES);
    }

    /// Lets the close be a reset, which leaves no port in `TIME_WAIT` behind.
    pub(super) fn reset_on_close(&self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}
