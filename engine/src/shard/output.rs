//! Bytes on their way to one socket: a range of the turn's arena, and what a peer that does not read leaves waiting.
//!
//! Usually a turn's bytes go out whole and nothing is kept. What did not go out waits in `pending`, and goes as an owned
//! send that takes as long as the peer does; while one is under way, everything further waits behind it.

use std::ops::Range;

use adit_protocol::moment::Moment;

/// A range longer than this is not copied to join later bytes of the same turn; those wait their turn instead.
const JOIN_BYTES_MAX: usize = 64 * 1024;

/// One direction of a pair.
///
/// Invariant: order is kept. Bytes go out as: the owned send in flight, `pending`, nothing else; or the turn's range
/// and then `pending`. There is never a range of the turn while something is in flight.
#[derive(Debug)]
pub(super) struct Output {
    pending: Vec<u8>,
    in_flight: usize,
    /// The turn to which `range` belongs; in any other turn there is none.
    turn: u64,
    range: Range<usize>,
    /// When the peer must have taken the owned send.
    pub(super) stalled_at: Moment,
}

/// What to do about bytes that were just added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// They go out at the end of the turn, by a range that is new.
    Range,
    /// They go out with a range that is already known.
    Joined,
    /// They wait behind the turn's range, and want a send once that is settled.
    Behind,
    /// They wait for the peer.
    Waiting,
}

impl Default for Output {
    fn default() -> Self {
        Self { pending: Vec::new(), in_flight: 0, turn: 0, range: 0..0, stalled_at: Moment::NEVER }
    }
}

impl Output {
    /// Takes `arena[start..]` for the turn. `connected` is false while there is no socket to send them to.
    pub(super) fn add(&mut self, arena: &mut Vec<u8>, start: usize, turn: u64, connected: bool) -> Added {
        let end = arena.len();
        if !connected || self.in_flight > 0 || (self.turn != turn && !self.pending.is_empty()) {
            return self.keep(arena, start, Added::Waiting);
        }
        if self.turn != turn {
            self.turn = turn;
            self.range = start..end;
            return Added::Range;
        }
        if self.pending.is_empty() && self.range.end == start {
            self.range.end = end;
            return Added::Joined;
        }
        if !self.pending.is_empty() || self.range.len() > JOIN_BYTES_MAX {
            return self.keep(arena, start, Added::Behind);
        }
        // The earlier bytes again at the tail, and the new ones behind them.
        arena.extend_from_within(self.range.clone());
        arena.extend_from_within(start..end);
        self.range = end..arena.len();
        Added::Joined
    }

    /// The range of this turn.
    pub(super) fn range(&self, turn: u64) -> Option<Range<usize>> {
        (self.turn == turn).then(|| self.range.clone())
    }

    /// What the turn's send left over stands before everything that waits.
    pub(super) fn put_back(&mut self, mut unsent: Vec<u8>) {
        unsent.append(&mut self.pending);
        self.pending = unsent;
    }

    /// The bytes of the next owned send. `None` while one is in flight or nothing waits.
    pub(super) fn next_send(&mut self, stalled_at: Moment) -> Option<Vec<u8>> {
        if self.in_flight > 0 || self.pending.is_empty() {
            return None;
        }
        self.in_flight = self.pending.len();
        self.stalled_at = stalled_at;
        Some(std::mem::take(&mut self.pending))
    }

    /// The owned send ended.
    pub(super) fn sent(&mut self) {
        self.in_flight = 0;
        self.stalled_at = Moment::NEVER;
    }

    /// Bytes that wait for the peer.
    pub(super) fn waiting(&self) -> usize {
        self.pending.len() + self.in_flight
    }

    /// Whether an owned send is in flight.
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    /// Forgets what waits; the peer will take nothing more.
    pub(super) fn discard(&mut self) {
        self.pending = Vec::new();
        self.stalled_at = Moment::NEVER;
    }

    fn keep(&mut self, arena: &mut Vec<u8>, start: usize, added: Added) -> Added {
        self.pending.extend_from_slice(arena.get(start..).unwrap_or_default());
        arena.truncate(start);
        added
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(output: &mut Output, arena: &mut Vec<u8>, bytes: &[u8], turn: u64) -> Added {
        let start = arena.len();
        arena.extend_from_slice(bytes);
        output.add(arena, start, turn, true)
    }

    #[test]
    fn bytes_of_one_turn_are_one_send_whoever_comes_between() {
        let (mut one, mut other, mut arena) = (Output::default(), Output::default(), Vec::new());
        assert_eq!(add(&mut one, &mut arena, b"a", 1), Added::Range);
        assert_eq!(add(&mut one, &mut arena, b"b", 1), Added::Joined);
        assert_eq!(add(&mut other, &mut arena, b"x", 1), Added::Range);
        assert_eq!(add(&mut one, &mut arena, b"c", 1), Added::Joined);
        assert_eq!(&arena[one.range(1).unwrap()], b"abc");
        assert_eq!(&arena[other.range(1).unwrap()], b"x");
        assert_eq!((one.range(2), one.waiting()), (None, 0));
    }

    #[test]
    fn a_long_range_is_not_copied_again() {
        let (mut one, mut other, mut arena) = (Output::default(), Output::default(), Vec::new());
        add(&mut one, &mut arena, &vec![b'l'; JOIN_BYTES_MAX + 1], 1);
        add(&mut other, &mut arena, b"x", 1);
        let len = arena.len();
        assert_eq!(add(&mut one, &mut arena, b"y", 1), Added::Behind);
        assert_eq!(add(&mut one, &mut arena, b"z", 1), Added::Behind);
        assert_eq!((arena.len(), one.range(1).unwrap().len()), (len, JOIN_BYTES_MAX + 1));
        assert_eq!(one.next_send(Moment(9)).unwrap(), b"yz");
    }

    #[test]
    fn order_is_kept_behind_what_a_slow_peer_left() {
        let (mut output, mut arena) = (Output::default(), Vec::new());
        add(&mut output, &mut arena, b"abcdef", 1);
        arena.clear();
        output.put_back(b"def".to_vec());
        assert_eq!(add(&mut output, &mut arena, b"ghi", 2), Added::Waiting);
        assert!(arena.is_empty());
        assert_eq!(output.next_send(Moment(9)).unwrap(), b"defghi");
        assert_eq!((output.waiting(), output.stalled_at), (6, Moment(9)));
        assert_eq!(add(&mut output, &mut arena, b"jkl", 3), Added::Waiting);
        assert_eq!((output.next_send(Moment(9)), output.waiting()), (None, 9));
        output.sent();
        assert_eq!(output.stalled_at, Moment::NEVER);
        assert_eq!(output.next_send(Moment(9)).unwrap(), b"jkl");
    }

    #[test]
    fn without_a_connection_everything_waits() {
        let (mut output, mut arena) = (Output::default(), b"abc".to_vec());
        assert_eq!(output.add(&mut arena, 0, 1, false), Added::Waiting);
        assert_eq!((arena.len(), output.waiting()), (0, 3));
    }
}
