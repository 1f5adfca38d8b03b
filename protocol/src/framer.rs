//! Bytes as they come from a socket → lines.
//!
//! A line that lies whole in one receive is handed out where it lies. Only what is split over receives is put together
//! in a buffer, borrowed from the shard's [`BufferPool`] for as long as the line is incomplete: a connection on which
//! nothing is under way owns no memory here. Each byte is looked at once, however small the pieces.
//!
//! What a line says is not this module's business: [`parse`](crate::parse) reads it.

use std::mem;

use thiserror::Error;

use crate::limits::{
    LINE_PADDING, MINER_LINE_BYTES_MAX, POOL_LINE_BYTES_MAX, SPARE_BUFFER_BYTES_MAX, SPARE_BUFFER_BYTES_MIN,
    SPARE_BUFFERS_COUNT_MAX,
};
use crate::message::Line;

/// The framer of what miners send.
pub type MinerFramer = Framer<MINER_LINE_BYTES_MAX>;
/// The framer of what pools send.
pub type PoolFramer = Framer<POOL_LINE_BYTES_MAX>;

/// More than `limit` bytes came without an LF: the sender's fault, and the end of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("line longer than {limit} bytes")]
pub struct LineTooLong {
    /// Most bytes that may stand before an LF.
    pub limit: usize,
}

/// One receive: bytes from a socket, from which a [`Framer`] takes line after line.
#[derive(Debug)]
pub struct Received<'b> {
    bytes: &'b mut [u8],
    /// Where the bytes that no line was taken from start and end. Padding follows the end.
    start: usize,
    end: usize,
}

impl<'b> Received<'b> {
    /// The first `len` bytes of `bytes`. `None` if fewer than [`LINE_PADDING`] more follow them.
    #[inline]
    pub fn new(bytes: &'b mut [u8], len: usize) -> Option<Self> {
        (len.checked_add(LINE_PADDING)? <= bytes.len()).then_some(Self { bytes, start: 0, end: len })
    }

    /// The bytes that no line was taken from yet.
    #[inline]
    pub fn rest(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }
}

/// Makes lines of the bytes of one direction of one connection. Any split of the same bytes gives the same lines.
///
/// Call [`next_line`](Self::next_line) until it answers `None`, for each receive. Empty lines are left out, and one CR
/// before the LF belongs to the line's end. After [`LineTooLong`] there is nothing more to come.
///
/// A framer is small and its default is a fresh one, so that an owner who needs all of itself while lines are out
/// can move it aside with [`mem::take`].
#[derive(Debug, Default)]
pub struct Framer<const LINE_BYTES_MAX: usize> {
    /// The start of a line whose end has not come, or with [`State::Lent`] the line handed out last.
    partial: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Lent,
    TooLong,
}

impl<const LINE_BYTES_MAX: usize> Framer<LINE_BYTES_MAX> {
    /// The next whole line. With `None` all bytes of `received` are taken.
    #[inline]
    pub fn next_line<'a>(
        &'a mut self,
        received: &'a mut Received<'_>,
        spare: &mut BufferPool,
    ) -> Result<Option<Line<'a>>, LineTooLong> {
        match self.state {
            State::Open => {}
            State::Lent => self.release(spare),
            State::TooLong => return self.refuse(received, spare),
        }
        while received.start < received.end {
            let (lf, has_backslash) = find_end(received.rest());
            let len = lf.unwrap_or(received.end - received.start);
            if self.partial.len() + len > LINE_BYTES_MAX {
                return self.refuse(received, spare);
            }
            let start = received.start;
            if lf.is_some() && self.partial.is_empty() {
                received.start += len + 1;
                let len = without_cr(received.bytes.get(start..start + len).unwrap_or_default());
                if len > 0 {
                    let bytes = received.bytes.get_mut(start..);
                    return Ok(bytes.and_then(|bytes| Line::searched(bytes, len, has_backslash)));
                }
            } else {
                self.append(received, len, spare);
                if lf.is_some() {
                    received.start += 1;
                    if without_cr(&self.partial) > 0 {
                        return Ok(self.lend());
                    }
                    self.release(spare);
                }
            }
        }
        Ok(None)
    }

    /// What has come of a line whose end has not.
    pub fn partial(&self) -> &[u8] {
        match self.state {
            State::Open => &self.partial,
            State::Lent | State::TooLong => &[],
        }
    }

    /// Gives the buffer back and forgets what was in it: for connections that end.
    pub fn release(&mut self, spare: &mut BufferPool) {
        spare.give_back(mem::take(&mut self.partial));
        if self.state == State::Lent {
            self.state = State::Open;
        }
    }

    fn append(&mut self, received: &mut Received<'_>, len: usize, spare: &mut BufferPool) {
        if self.partial.capacity() == 0 {
            self.partial = spare.take();
        }
        let end = received.start + len;
        self.partial.extend_from_slice(received.bytes.get(received.start..end).unwrap_or_default());
        received.start = end;
    }

    fn lend(&mut self) -> Option<Line<'_>> {
        let len = without_cr(&self.partial);
        self.partial.resize(len + LINE_PADDING, 0);
        self.state = State::Lent;
        Line::new(&mut self.partial, len)
    }

    #[cold]
    fn refuse<T>(&mut self, received: &mut Received<'_>, spare: &mut BufferPool) -> Result<T, LineTooLong> {
        received.start = received.end;
        self.release(spare);
        self.state = State::TooLong;
        Err(LineTooLong { limit: LINE_BYTES_MAX })
    }
}

/// Where the line ends, if it does, and whether there is a backslash before that: the parser wants to know, and to look for
/// both at once costs half.
#[inline]
fn find_end(bytes: &[u8]) -> (Option<usize>, bool) {
    match memchr::memchr2(b'\n', b'\\', bytes) {
        Some(at) if bytes.get(at) == Some(&b'\\') => (memchr::memchr(b'\n', bytes), true),
        lf => (lf, false),
    }
}

/// The length of a line without the CR at its end.
#[inline]
fn without_cr(line: &[u8]) -> usize {
    line.len() - usize::from(line.last() == Some(&b'\r'))
}

/// Spare reassembly buffers of a shard, so that lines which come in pieces cost no allocation each. Bounded: what does
/// not fit is freed.
#[derive(Debug, Default)]
pub struct BufferPool {
    spare: Vec<Vec<u8>>,
}

impl BufferPool {
    fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_else(|| Vec::with_capacity(SPARE_BUFFER_BYTES_MIN))
    }

    fn give_back(&mut self, mut buffer: Vec<u8>) {
        let fits = (SPARE_BUFFER_BYTES_MIN..=SPARE_BUFFER_BYTES_MAX).contains(&buffer.capacity());
        if fits && self.spare.len() < SPARE_BUFFERS_COUNT_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 16 * 1024;

    /// Feeds `chunks` one receive each and returns the lines, then the error if there was one.
    fn lines(
        framer: &mut Framer<LIMIT>,
        spare: &mut BufferPool,
        chunks: &[&[u8]],
    ) -> (Vec<String>, Option<LineTooLong>) {
        let mut seen = Vec::new();
        for chunk in chunks {
            let mut bytes = chunk.to_vec();
            bytes.extend([b'\n'; LINE_PADDING]); // padding must not be taken for data
            let mut received = Received::new(&mut bytes, chunk.len()).expect("padded");
            loop {
                match framer.next_line(&mut received, spare) {
                    Ok(Some(line)) => {
                        seen.push(String::from_utf8_lossy(line.as_bytes()).into_owned());
                        let (bytes, len) = line.into_parts();
                        assert!(bytes.len() >= len + LINE_PADDING);
                    }
                    Ok(None) => break,
                    Err(error) => {
                        assert!(received.rest().is_empty());
                        return (seen, Some(error));
                    }
                }
            }
            assert!(received.rest().is_empty());
        }
        (seen, None)
    }

    #[test]
    fn any_split_in_two_gives_the_same_lines() {
        let bytes = b"{\"a\":1}\n\n{\"b\":2}\r\n\r\n\r\r\nx\n  \n{\"rest";
        let want = ["{\"a\":1}", "{\"b\":2}", "\r", "x", "  "];
        for at in 0..=bytes.len() {
            let (left, right) = bytes.split_at(at);
            let (mut framer, mut spare) = (Framer::default(), BufferPool::default());
            let (seen, error) = lines(&mut framer, &mut spare, &[left, right]);
            assert_eq!((seen, error), (want.map(String::from).into(), None), "split at {at}");
            assert_eq!(framer.partial(), b"{\"rest");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let (seen, _) = lines(&mut Framer::default(), &mut BufferPool::default(), &single);
        assert_eq!(seen, want);
    }

    #[test]
    fn the_limit_is_exact_whole_or_in_pieces() {
        let fits = [vec![b'x'; LIMIT], b"\n".to_vec()].concat();
        let exceeds = [b"a\n".to_vec(), vec![b'x'; LIMIT + 1], b"\nb\n".to_vec()].concat();
        for size in [1, 7, 4096, LIMIT, LIMIT + 1, LIMIT + 10] {
            let chunks: Vec<&[u8]> = fits.chunks(size).collect();
            let (seen, error) = lines(&mut Framer::default(), &mut BufferPool::default(), &chunks);
            assert_eq!((seen.len(), seen[0].len(), error), (1, LIMIT, None), "pieces of {size}");

            let chunks: Vec<&[u8]> = exceeds.chunks(size).collect();
            let (seen, error) = lines(&mut Framer::default(), &mut BufferPool::default(), &chunks);
            assert_eq!(
                (seen, error),
                (vec!["a".to_owned()], Some(LineTooLong { limit: LIMIT })),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn a_line_is_refused_before_its_end_has_come() {
        let (mut framer, mut spare) = (Framer::default(), BufferPool::default());
        assert_eq!(lines(&mut framer, &mut spare, &[&[b'x'; LIMIT]]), (vec![], None));
        let refused = (vec![], Some(LineTooLong { limit: LIMIT }));
        assert_eq!(lines(&mut framer, &mut spare, &[b"x"]), refused);
        assert_eq!(framer.partial(), b"");
        assert_eq!(lines(&mut framer, &mut spare, &[b"\n{}\n"]), refused, "nothing comes after a refusal");
    }

    #[test]
    fn memory_is_owned_only_while_a_line_is_incomplete() {
        let (mut framer, mut spare) = (Framer::default(), BufferPool::default());
        lines(&mut framer, &mut spare, &[b"{}\n{}\n\r\n"]);
        assert_eq!((framer.partial.capacity(), spare.spare.len()), (0, 0));
        lines(&mut framer, &mut spare, &[b"{", b"}"]);
        assert!(framer.partial.capacity() > 0);
        lines(&mut framer, &mut spare, &[b"\n"]);
        assert_eq!((framer.partial.capacity(), spare.spare.len()), (0, 1));
        lines(&mut framer, &mut spare, &[b"\r", b"\n"]);
        assert_eq!((framer.partial.capacity(), spare.spare.len()), (0, 1), "also for an empty line");
        lines(&mut framer, &mut spare, &[b"{"]);
        framer.release(&mut spare);
        assert_eq!((framer.partial.capacity(), spare.spare.len()), (0, 1));
        assert_eq!(lines(&mut framer, &mut spare, &[b"{}\n"]).0, ["{}"], "a released framer starts afresh");
    }

    #[test]
    fn the_pool_of_spare_buffers_is_bounded() {
        let mut spare = BufferPool::default();
        for _ in 0..2 * SPARE_BUFFERS_COUNT_MAX {
            spare.give_back(Vec::with_capacity(SPARE_BUFFER_BYTES_MIN));
        }
        assert_eq!(spare.spare.len(), SPARE_BUFFERS_COUNT_MAX);
        spare.spare.clear();
        spare.give_back(Vec::with_capacity(SPARE_BUFFER_BYTES_MAX + 1));
        spare.give_back(Vec::new());
        assert_eq!(spare.spare.len(), 0);
    }

    #[test]
    fn a_receive_needs_padding() {
        let mut bytes = [0; LINE_PADDING + 3];
        assert!(Received::new(&mut bytes, 3).is_some());
        assert!(Received::new(&mut bytes, 4).is_none());
        assert!(Received::new(&mut bytes, usize::MAX).is_none());
    }
}
