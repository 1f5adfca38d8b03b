//! The last events, for those who come late or were away.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::Serialize;

use super::{Event, Filter};
use crate::limits::EVENTS_KEPT_COUNT_MAX;

/// An event as it is told: numbered, and written once for all listeners.
#[derive(Debug, PartialEq)]
pub(crate) struct Entry {
    /// Its number. Numbers grow by one, also over restarts never shrink.
    pub id: u64,
    /// The event.
    pub event: Event,
    /// It as JSON, with `id` and `at_ms`.
    pub json: String,
}

#[derive(Serialize)]
struct Numbered<'a> {
    id: u64,
    at_ms: u64,
    #[serde(flatten)]
    event: &'a Event,
}

/// The last [`EVENTS_KEPT_COUNT_MAX`] events.
#[derive(Debug)]
pub(crate) struct Ring {
    entries: VecDeque<Arc<Entry>>,
    first_id: u64,
    next_id: u64,
}

impl Ring {
    /// An empty ring. Numbers start with the time, so that those of an earlier process are lower.
    pub fn new(now_ms: u64) -> Self {
        let first_id = now_ms.saturating_mul(1_000);
        Self { entries: VecDeque::new(), first_id, next_id: first_id }
    }

    /// Numbers an event and keeps it.
    pub fn push(&mut self, at_ms: u64, event: Event) -> Arc<Entry> {
        let id = self.next_id;
        let numbered = Numbered { id, at_ms, event: &event };
        let json = serde_json::to_string(&numbered).unwrap_or_else(|error| {
            log::error!("an event cannot be written as JSON: {error}");
            format!(r#"{{"id":{id},"at_ms":{at_ms},"kind":"{}"}}"#, event.kind().label())
        });
        let entry = Arc::new(Entry { id, event, json });
        self.next_id += 1;
        if self.entries.len() >= EVENTS_KEPT_COUNT_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(Arc::clone(&entry));
        entry
    }

    /// The kept events after `after` that fit the filter, oldest first, and how many events (fitting or not) are gone.
    pub fn since(&self, after: Option<u64>, filter: &Filter) -> (Vec<Arc<Entry>>, u64) {
        let oldest = self.entries.front().map_or(self.next_id, |entry| entry.id);
        let from = after.map_or(oldest, |after| after.saturating_add(1).max(self.first_id));
        let fits = |entry: &&Arc<Entry>| entry.id >= from && filter.wants(&entry.event);
        (self.entries.iter().filter(fits).cloned().collect(), oldest.saturating_sub(from))
    }

    /// The number of the last event; that before the first if there was none.
    pub fn last_id(&self) -> u64 {
        self.next_id.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        Event::LimitHit { limit: "connections".into(), address: None }
    }

    #[test]
    fn events_are_numbered_and_replayed_from_a_number_on() {
        let mut ring = Ring::new(5);
        assert_eq!(ring.last_id(), 4_999);
        let ids: Vec<_> = (0..3).map(|_| ring.push(9, event()).id).collect();
        assert_eq!(ids, [5_000, 5_001, 5_002]);
        let (entries, missed) = ring.since(Some(5_000), &Filter::default());
        assert_eq!((entries.len(), missed), (2, 0));
        assert_eq!(
            entries[0].json,
            r#"{"id":5001,"at_ms":9,"kind":"limit_hit","limit":"connections","address":null}"#
        );
        assert_eq!(ring.since(Some(5_002), &Filter::default()), (Vec::new(), 0));
        assert_eq!(ring.since(Some(9_999), &Filter::default()), (Vec::new(), 0));
    }

    #[test]
    fn what_left_the_ring_is_counted() {
        let mut ring = Ring::new(5);
        (0..EVENTS_KEPT_COUNT_MAX + 10).for_each(|_| drop(ring.push(9, event())));
        let (entries, missed) = ring.since(Some(5_001), &Filter::default());
        assert_eq!((entries.len(), missed), (EVENTS_KEPT_COUNT_MAX, 8));
        assert_eq!(
            ring.since(Some(0), &Filter::default()).1,
            10,
            "numbers of an earlier process are not missed ones"
        );
        assert_eq!(ring.since(None, &Filter::default()).1, 0);
    }
}
