//! Lines held back so that the handshake's answers reach the miner in the order of its requests.
//!
//! cgminer takes the first line after `mining.configure` for its answer and the first non-method line after
//! `mining.authorize` for that one, without looking at ids. So when the pool answers a later request first, that answer
//! and everything behind it waits until the earlier one is answered, by the pool or by us.

use crate::limits::{HELD_BYTES_MAX, HELD_COUNT_MAX};

/// One held line.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// The upstream id of the request that it answers, if it is an answer.
    answers: Option<u32>,
    /// Whether it changes the extranonce or the version mask.
    is_terms: bool,
    start: u32,
    end: u32,
}

/// Lines that wait, in the order in which the pool sent them. Owns no memory while nothing waits.
#[derive(Debug, Default)]
pub struct Hold {
    bytes: Vec<u8>,
    lines: Vec<Held>,
}

impl Hold {
    /// Whether nothing waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether one more line of `bytes` bytes fits.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.bytes.len() + bytes <= HELD_BYTES_MAX && self.lines.len() < HELD_COUNT_MAX
    }

    /// Keeps what `write` appends as one line.
    pub fn push(&mut self, answers: Option<u32>, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len() as u32;
        write(&mut self.bytes);
        self.lines.push(Held { answers, is_terms: false, start, end: self.bytes.len() as u32 });
    }

    /// The pool's line that was told last changes the extranonce or the version mask. Nothing to note if it does not wait.
    pub fn note_terms(&mut self) {
        if let Some(last) = self.lines.last_mut() {
            last.is_terms = true;
        }
    }

    /// Whether a change of the extranonce or the version mask waits.
    pub fn has_terms(&self) -> bool {
        self.lines.iter().any(|line| line.is_terms)
    }

    /// Forgets the lines that answer nothing: what the pool told that the miner does not mine at any more.
    pub fn drop_told(&mut self) {
        self.lines.retain(|line| line.answers.is_some());
        if self.lines.is_empty() {
            *self = Self::default();
        }
    }

    /// Appends to `out` what need not wait any more. `blocker` is the oldest unanswered request of the handshake.
    ///
    /// Answers leave in the order of their requests; any other line leaves when all that came before it have left.
    pub fn release(&mut self, blocker: Option<u32>, out: &mut Vec<u8>) {
        while let Some(first) = self.lines.first() {
            let oldest = self.lines.iter().enumerate().filter_map(|(n, line)| Some((line.answers?, n))).min();
            let n = match (first.answers, oldest) {
                (None, _) => 0,
                (Some(_), Some((id, n))) if blocker.is_none_or(|blocker| id < blocker) => n,
                _ => return,
            };
            let line = self.lines.remove(n);
            out.extend_from_slice(self.bytes.get(line.start as usize..line.end as usize).unwrap_or_default());
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(lines: &[(Option<u32>, &str)]) -> Hold {
        let mut hold = Hold::default();
        for &(answers, text) in lines {
            hold.push(answers, |out| out.extend_from_slice(text.as_bytes()));
        }
        hold
    }

    fn release(hold: &mut Hold, blocker: Option<u32>) -> String {
        let mut out = Vec::new();
        hold.release(blocker, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn everything_waits_for_the_oldest_request() {
        let mut hold = hold(&[(Some(2), "two "), (None, "job "), (Some(3), "three ")]);
        assert_eq!(release(&mut hold, Some(1)), "");
        assert_eq!(release(&mut hold, None), "two job three ");
        assert!(hold.is_empty());
    }

    #[test]
    fn answers_leave_in_the_order_of_their_requests() {
        let mut hold = hold(&[(Some(3), "three "), (None, "job "), (Some(2), "two ")]);
        assert_eq!(release(&mut hold, None), "two three job ");
    }

    #[test]
    fn what_stands_behind_the_next_gap_waits_on() {
        let mut hold = hold(&[(Some(2), "two "), (None, "job "), (Some(4), "four "), (None, "more ")]);
        assert_eq!(release(&mut hold, Some(3)), "two job ");
        assert_eq!(release(&mut hold, None), "four more ");
    }

    #[test]
    fn lines_of_next_to_no_bytes_are_bounded_too() {
        let mut hold = Hold::default();
        while hold.has_room(3) {
            hold.push(None, |out| out.extend_from_slice(b"{}\n"));
        }
        assert_eq!(hold.lines.len(), HELD_COUNT_MAX);
    }

    #[test]
    fn room_is_bounded_and_memory_given_back() {
        let mut hold = Hold::default();
        let mut lines = 0;
        while hold.has_room(1_024) {
            hold.push(None, |out| out.resize(out.len() + 1_024, b'x'));
            lines += 1;
        }
        assert_eq!(lines, HELD_BYTES_MAX / 1_024);
        hold.release(None, &mut Vec::new());
        assert_eq!(hold.bytes.capacity(), 0);
    }
}
