//! What is to happen later, soonest first. For the single-threaded loops of the test peers.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

/// A heap of events by time; events of the same time keep their order.
#[derive(Debug)]
pub(crate) struct Timers<E> {
    heap: BinaryHeap<Entry<E>>,
    pushed: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Instant,
    order: u64,
    event: E,
}

impl<E> Timers<E> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), pushed: 0 }
    }

    /// Plans an event.
    pub(crate) fn push(&mut self, at: Instant, event: E) {
        self.pushed += 1;
        self.heap.push(Entry { at, order: self.pushed, event });
    }

    /// The next event that is due, if any.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<E> {
        if self.heap.peek()?.at > now {
            return None;
        }
        self.heap.pop().map(|entry| entry.event)
    }

    /// How long until the next event; `None` if there is none.
    pub(crate) fn wait(&self, now: Instant) -> Option<Duration> {
        self.heap.peek().map(|entry| entry.at.saturating_duration_since(now))
    }
}

impl<E> Ord for Entry<E> {
    /// Reversed, since the heap gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_then_by_order() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        for (ms, name) in [(2, "c"), (1, "a"), (1, "b"), (9, "d")] {
            timers.push(at(ms), name);
        }
        assert_eq!(timers.wait(start), Some(Duration::from_millis(1)));
        let due: Vec<_> = std::iter::from_fn(|| timers.pop_due(at(5))).collect();
        assert_eq!(due, ["a", "b", "c"]);
        assert_eq!(timers.pop_due(at(9)), Some("d"));
        assert_eq!(timers.wait(start), None);
    }
}
