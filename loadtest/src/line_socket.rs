//! A non-blocking socket that reads lines and writes bytes, for peers that hold thousands of them in one thread.
//!
//! Edge-triggered as mio has it: [`LineSocket::fill`] reads until the kernel has nothing more and
//! [`LineSocket::flush`] writes until it takes nothing more. A chunked socket writes one chunk per flush and says that
//! it wants another turn, so that the other side sees the bytes in pieces.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

/// Bytes of one read.
const READ_BYTES: usize = 16 * 1024;
/// Receive buffer of a peer that reads slowly.
const LITTLE_BYTES: usize = 4 * 1024;
/// Longest line a test peer takes; more than either side of a proxy would pass on.
const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How the other side's stream stands after a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// More may come.
    Open,
    /// The other side has closed its direction.
    Ended,
}

/// How much of what was queued has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// All of it.
    Whole,
    /// The kernel takes no more now; a writable event will come.
    Blocked,
    /// One chunk; call again on the next turn.
    NextTurn,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct LineSocket {
    stream: TcpStream,
    incoming: Vec<u8>,
    consumed: usize,
    /// No line feed lies before this offset.
    searched: usize,
    outgoing: Vec<u8>,
    sent: usize,
    /// Bytes per write; zero for as many as the kernel takes.
    chunk_bytes: usize,
}

impl LineSocket {
    /// Wraps a stream and registers it. Nagle's algorithm is off, as in every miner and pool.
    pub(crate) fn register(mut stream: TcpStream, registry: &Registry, token: Token) -> io::Result<Self> {
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let _ = stream.set_nodelay(true); // fails while a connect is under way on some kernels; see `connected`
        Ok(Self {
            stream,
            incoming: Vec::new(),
            consumed: 0,
            searched: 0,
            outgoing: Vec::new(),
            sent: 0,
            chunk_bytes: 0,
        })
    }

    /// Starts to connect; [`LineSocket::connected`] tells when that is done.
    pub(crate) fn connect(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        Self::register(TcpStream::connect(address)?, registry, token)
    }

    /// Whether a connect has succeeded; an error if it failed.
    pub(crate) fn connected(&self) -> io::Result<bool> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.stream.peer_addr() {
            Ok(_) => self.stream.set_nodelay(true).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes at most so many bytes at a time from now on; zero for no limit.
    pub(crate) fn set_chunk_bytes(&mut self, chunk_bytes: usize) {
        self.chunk_bytes = chunk_bytes;
    }

    /// Reads all there is.
    pub(crate) fn fill(&mut self) -> io::Result<Filled> {
        loop {
            if let Some(filled) = self.fill_some(usize::MAX)? {
                return Ok(filled);
            }
        }
    }

    /// Reads all there is, but stops once `bytes_max` were read: `None` then, and no readable event will come for the rest.
    pub(crate) fn fill_some(&mut self, bytes_max: usize) -> io::Result<Option<Filled>> {
        let mut piece = [0; READ_BYTES];
        let mut bytes_read = 0;
        while bytes_read < bytes_max {
            let room = (bytes_max - bytes_read).min(READ_BYTES);
            match self.stream.read(&mut piece[..room]) {
                Ok(0) => return Ok(Some(Filled::Ended)),
                Ok(count) => {
                    bytes_read += count;
                    self.incoming.extend_from_slice(&piece[..count]);
                    if self.incoming.len() - self.consumed > LINE_BYTES_MAX && !self.has_line() {
                        return Err(io::Error::other("a line without end"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Filled::Open)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Copies the next whole line, without its LF, into `line`; false if there is none.
    pub(crate) fn next_line(&mut self, line: &mut Vec<u8>) -> bool {
        if !self.has_line() {
            self.incoming.drain(..self.consumed);
            self.searched = self.incoming.len();
            self.consumed = 0;
            return false;
        }
        line.clear();
        line.extend_from_slice(&self.incoming[self.consumed..self.searched]);
        self.consumed = self.searched + 1;
        self.searched = self.consumed;
        true
    }

    /// Moves `searched` to the next LF if there is one, else to the end.
    fn has_line(&mut self) -> bool {
        let found = memchr::memchr(b'\n', &self.incoming[self.searched..]);
        self.searched = found.map_or(self.incoming.len(), |offset| self.searched + offset);
        found.is_some()
    }

    /// Queues bytes as they are.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
    }

    /// Queues a line and its LF.
    pub(crate) fn queue_line(&mut self, line: &str) {
        self.queue(line.as_bytes());
        self.queue(b"\n");
    }

    /// Bytes queued and not yet taken by the kernel.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// Writes what is queued, or one chunk of it.
    pub(crate) fn flush(&mut self) -> io::Result<Flushed> {
        while self.sent < self.outgoing.len() {
            let rest = &self.outgoing[self.sent..];
            let piece = match self.chunk_bytes {
                0 => rest,
                limit => &rest[..limit.min(rest.len())],
            };
            match self.stream.write(piece) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.chunk_bytes > 0 && self.sent < self.outgoing.len() {
                return Ok(Flushed::NextTurn);
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        Ok(Flushed::Whole)
    }

    /// Closes our direction; the other side may still send.
    pub(crate) fn close_sending(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Lets the kernel take in little that is not read, so that it soon shows who does not.
    pub(crate) fn receive_little(&self) {
        let _ = SockRef::from(&self.stream).set_recv_buffer_size(LITTLE_BYTES);
    }

    /// Makes the close that follows a reset instead of an orderly end.
    pub(crate) fn reset_on_close(&self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// Takes the socket off the poll. Closing the descriptor would do; this says so.
    pub(crate) fn deregister(&mut self, registry: &Registry) {
        let _ = registry.deregister(&mut self.stream);
    }
}
