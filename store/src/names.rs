//! Keys for names, shared by all threads of the process: worker names, pool names, reject reasons, sessions.
//!
//! Shards ask for a key when a miner authorises or a reason is new, never per share. The ledger's writer looks a key up
//! here when it meets it for the first time. So a row can never arrive before the meaning of its keys, whatever order the
//! queues are read in, and no definition can be lost.
//!
//! Names are never forgotten while the process runs; each table is bounded, and what comes after it is full gets the
//! table's catch-all key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{POOLS_COUNT_MAX, REASONS_COUNT_MAX, TEXT_BYTES_MAX, WORKERS_COUNT_MAX};
use crate::record::{PoolKey, ReasonKey, SessionKey, WorkerKey};

/// The name that stands for [`WorkerKey::UNKNOWN`] in the ledger.
pub const WORKER_UNKNOWN: &str = "(unknown)";
/// The name that stands for [`PoolKey::NONE`] in the ledger.
pub const POOL_NONE: &str = "(none)";
/// The text that stands for [`ReasonKey::OTHER`] in the ledger.
pub const REASON_OTHER: &str = "(other)";

/// The tables of names of one process.
#[derive(Debug)]
pub struct Names {
    workers: Table,
    pools: Table,
    reasons: Table,
    sessions: AtomicU64,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            workers: Table::new(WORKERS_COUNT_MAX, &[WORKER_UNKNOWN], WorkerKey::UNKNOWN.0),
            pools: Table::new(POOLS_COUNT_MAX, &[POOL_NONE], u32::from(PoolKey::NONE.0)),
            reasons: Table::new(REASONS_COUNT_MAX, &["", REASON_OTHER], u32::from(ReasonKey::OTHER.0)),
            sessions: AtomicU64::new(SessionKey::NONE.0),
        }
    }
}

impl Names {
    /// The key of a worker's name. Two shards get the same key for the same name.
    pub fn worker(&self, name: &str) -> WorkerKey {
        WorkerKey(self.workers.key(name))
    }

    /// The key of a pool's configured name.
    pub fn pool(&self, name: &str) -> PoolKey {
        PoolKey(self.pools.key(name) as u16)
    }

    /// The key of a reject reason; [`ReasonKey::NONE`] for an empty text.
    pub fn reason(&self, text: &str) -> ReasonKey {
        ReasonKey(self.reasons.key(text) as u16)
    }

    /// A key that no other session of this process has.
    pub fn next_session(&self) -> SessionKey {
        SessionKey(self.sessions.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The name behind a key; `None` for a key that was not given out here.
    pub fn worker_name(&self, key: WorkerKey) -> Option<Arc<str>> {
        self.workers.text(key.0)
    }

    /// The name behind a key; `None` for a key that was not given out here.
    pub fn pool_name(&self, key: PoolKey) -> Option<Arc<str>> {
        self.pools.text(u32::from(key.0))
    }

    /// The text behind a key; `None` for a key that was not given out here.
    pub fn reason_text(&self, key: ReasonKey) -> Option<Arc<str>> {
        self.reasons.text(u32::from(key.0))
    }
}

/// Texts ↔ numbers counted up from 0.
#[derive(Debug)]
struct Table {
    state: Mutex<TableState>,
    count_max: usize,
    catch_all: u32,
}

#[derive(Debug, Default)]
struct TableState {
    keys: HashMap<Arc<str>, u32>,
    texts: Vec<Arc<str>>,
}

impl Table {
    fn new(count_max: usize, first: &[&str], catch_all: u32) -> Self {
        let table = Self { state: Mutex::default(), count_max, catch_all };
        for text in first {
            table.key(text);
        }
        table
    }

    fn key(&self, text: &str) -> u32 {
        let text = cut(text);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&key) = state.keys.get(text) {
            return key;
        }
        if state.texts.len() >= self.count_max {
            return self.catch_all;
        }
        let key = state.texts.len() as u32;
        let text: Arc<str> = text.into();
        state.texts.push(Arc::clone(&text));
        state.keys.insert(text, key);
        key
    }

    fn text(&self, key: u32) -> Option<Arc<str>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).texts.get(key as usize).cloned()
    }
}

/// The longest prefix of at most [`TEXT_BYTES_MAX`] bytes that ends between characters.
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_has_one_key_on_all_threads() {
        let names = Arc::new(Names::default());
        let keys: Vec<_> = (0..4)
            .map(|_| {
                let names = Arc::clone(&names);
                std::thread::spawn(move || {
                    (0..100).map(|n| names.worker(&format!("a.{n}"))).collect::<Vec<_>>()
                })
            })
            .map(|thread| thread.join().expect("no panic"))
            .collect();
        assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
        assert_eq!(names.worker_name(keys[0][7]).as_deref(), Some("a.7"));
        assert_eq!(names.worker_name(WorkerKey(101)), None);
    }

    #[test]
    fn names_beyond_the_bound_share_the_catch_all_key() {
        let names = Names::default();
        for n in 0..REASONS_COUNT_MAX {
            names.reason(&format!("reason {n}"));
        }
        assert_eq!(names.reason("one too many"), ReasonKey::OTHER);
        assert_eq!(names.reason_text(ReasonKey::OTHER).as_deref(), Some(REASON_OTHER));
        assert_eq!(names.reason("reason 5"), ReasonKey(7), "known ones keep their keys");
        assert_eq!(names.reason(""), ReasonKey::NONE);
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let names = Names::default();
        let key = names.worker(&"é".repeat(TEXT_BYTES_MAX));
        let kept = names.worker_name(key).expect("known");
        assert_eq!(kept.len(), TEXT_BYTES_MAX);
        assert!(kept.chars().all(|letter| letter == 'é'));
    }

    #[test]
    fn sessions_have_different_keys() {
        let names = Names::default();
        assert_eq!([names.next_session(), names.next_session()], [SessionKey(1), SessionKey(2)]);
    }
}
