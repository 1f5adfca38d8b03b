//! The measured passes: parse, frame, and judge all lines of a kind once. Each returns a sum over what it saw.

use std::hint::black_box;

use adit_protocol::framer::{BufferPool, PoolFramer, Received};
use adit_protocol::message::{Line, Message};
use adit_protocol::parse::Parser;
use adit_protocol::verdict::{self, Verdict};

use crate::lines::Lines;

/// Parses each line where it lies. The sum is [`Lines::expected`].
#[inline(never)]
pub fn parse(lines: &mut Lines, parser: &mut Parser) -> u64 {
    let (bytes, places) = lines.parts_mut();
    let mut sum = 0;
    for &(start, len) in places {
        let Some(line) = bytes.get_mut(start..).and_then(|bytes| Line::new(bytes, len)) else { continue };
        if let Ok(message) = parser.parse(line) {
            sum += weight(&message);
        }
    }
    sum
}

/// Parses each line where it lies and looks at nothing. The sum is the number of lines.
#[inline(never)]
pub fn parse_only(lines: &mut Lines, parser: &mut Parser) -> u64 {
    let (bytes, places) = lines.parts_mut();
    let mut sum = 0;
    for &(start, len) in places {
        let Some(line) = bytes.get_mut(start..).and_then(|bytes| Line::new(bytes, len)) else { continue };
        if let Ok(message) = parser.parse(line) {
            black_box(&message);
            sum += 1;
        }
    }
    sum
}

/// [`parse_only`] without parsing: what the loop itself costs.
#[inline(never)]
pub fn idle(lines: &mut Lines) -> u64 {
    let (bytes, places) = lines.parts_mut();
    let mut sum = 0;
    for &(start, len) in places {
        let Some(line) = bytes.get_mut(start..).and_then(|bytes| Line::new(bytes, len)) else { continue };
        black_box(&line);
        sum += 1;
    }
    sum
}

/// Finds each line in pieces of `piece` bytes. The sum is [`Lines::bytes_count`] less the LFs.
#[inline(never)]
pub fn frame(lines: &mut Lines, piece: usize, framer: &mut PoolFramer, spare: &mut BufferPool) -> u64 {
    framed(lines, piece, framer, spare, |line| line.as_bytes().len() as u64)
}

/// Frames, in receives of `piece` bytes, and parses: what each byte of a connection goes through. The sum is
/// [`Lines::expected`].
#[inline(never)]
pub fn frame_and_parse(
    lines: &mut Lines,
    piece: usize,
    framer: &mut PoolFramer,
    spare: &mut BufferPool,
    parser: &mut Parser,
) -> u64 {
    framed(lines, piece, framer, spare, |line| parser.parse(line).map_or(0, |message| weight(&message)))
}

/// The sum of what `take` makes of each line, found in receives of `piece` bytes.
#[inline]
fn framed(
    lines: &mut Lines,
    piece: usize,
    framer: &mut PoolFramer,
    spare: &mut BufferPool,
    mut take: impl FnMut(Line<'_>) -> u64,
) -> u64 {
    let end = lines.bytes_count();
    let bytes = lines.bytes_mut();
    let (mut at, mut sum) = (0, 0);
    while at < end {
        let len = piece.min(end - at);
        let received = bytes.get_mut(at..).and_then(|bytes| Received::new(bytes, len));
        if let Some(mut received) = received {
            while let Ok(Some(line)) = framer.next_line(&mut received, spare) {
                sum += take(line);
            }
        }
        at += len;
    }
    sum
}

/// Parses each line and reads the pool's verdict in it: accepted ones and rejected ones.
#[inline(never)]
pub fn judge(lines: &mut Lines, parser: &mut Parser) -> (u64, u64) {
    let (bytes, places) = lines.parts_mut();
    let (mut accepted, mut rejected) = (0, 0);
    for &(start, len) in places {
        let Some(line) = bytes.get_mut(start..).and_then(|bytes| Line::new(bytes, len)) else { continue };
        if let Ok(message) = parser.parse(line) {
            match verdict::of_submit(&message) {
                Verdict::Accepted => accepted += 1,
                Verdict::Rejected(_) => rejected += 1,
            }
        }
    }
    (accepted, rejected)
}

/// Touches what the session touches: the id, each param, the result and the error.
#[inline]
fn weight(message: &Message<'_>) -> u64 {
    let params = message.params.items.iter().take(message.params.count as usize);
    [message.id, message.result, message.error]
        .iter()
        .chain(params)
        .map(|span| u64::from(span.end - span.start))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::{LINES_COUNT, LineKind};

    #[test]
    fn every_pass_sees_every_line() {
        let (mut parser, mut spare) = (Parser::new(), BufferPool::default());
        for kind in LineKind::ALL {
            let mut lines = Lines::of(kind);
            assert_eq!(parse(&mut lines, &mut parser), lines.expected(), "{}", kind.name());
            assert_eq!(idle(&mut lines), LINES_COUNT as u64, "{}", kind.name());
            assert_eq!(parse_only(&mut lines, &mut parser), LINES_COUNT as u64, "{}", kind.name());
            for piece in [1, 100, 4096, usize::MAX] {
                let mut framer = PoolFramer::default();
                let sum = frame(&mut lines, piece, &mut framer, &mut spare);
                assert_eq!(sum, (lines.bytes_count() - LINES_COUNT) as u64, "{}", kind.name());
                let sum = frame_and_parse(&mut lines, piece, &mut framer, &mut spare, &mut parser);
                assert_eq!(sum, lines.expected(), "{}", kind.name());
            }
        }
        assert_eq!(judge(&mut Lines::of(LineKind::Response), &mut parser), (LINES_COUNT as u64, 0));
        assert_eq!(judge(&mut Lines::of(LineKind::Reject), &mut parser), (0, LINES_COUNT as u64));
    }
}
