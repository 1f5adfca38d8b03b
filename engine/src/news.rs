//! From shards to operators: what happens, as it happens.
//!
//! ```text
//! shard ── Desk ──▶ bounded line ─┐
//! shard ── Desk ──▶ bounded line ─┼─▶ herald (a thread of low priority) ──▶ adit_admin::Events
//! control thread ─────────────────┴───────────────────────────────────────────▶
//! ```
//!
//! A shard writes fixed-size [`Item`]s into a line of its own: no lock, no memory taken, no waiting. What finds no room is
//! counted as lost. The herald looks names up, makes events of them and publishes those. Threads that are no shards publish
//! events themselves.
//!
//! **To tell of something new from a shard**: add a variant to [`Item`], a method to [`desk::Desk`] that fills it in, and its
//! event to the herald. `Desk::switched` is there for whoever moves miners; a pool's state is published by the
//! control thread with [`adit_admin::Events::publish`].

pub(crate) mod bursts;
pub(crate) mod desk;
pub(crate) mod herald;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;

use adit_protocol::event::{CloseReason, Outcome};
use adit_protocol::verdict::RejectClass;
use adit_store::record::PoolKey;
use crossbeam::queue::ArrayQueue;

use bursts::Burst;

/// Items that wait for the herald, per shard.
const WAITING_COUNT_MAX: usize = 1024;
/// Longest words of a pool that are told, bytes.
const WORDS_BYTES_MAX: usize = 96;

/// What happened. Fixed size; a user agent is shared, not copied.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A miner was let in.
    Opened { peer: SocketAddr },
    /// A session ended.
    Closed { peer: SocketAddr, worker: u32, reason: CloseReason, lasted_us: u64 },
    /// A pool accepted a name.
    Authorised { peer: SocketAddr, worker: u32, pool: PoolKey, user_agent: Arc<str> },
    /// A share ended.
    Share(ShareItem),
    /// Far more rejects than usual, of one worker or of a whole pool.
    Burst { worker: Option<u32>, pool: PoolKey, burst: Burst },
    /// A pool sent a job.
    Job { pool: PoolKey, clean: bool, block_height: Option<u32> },
    /// A share was good enough for a block.
    BlockCandidate { worker: u32, pool: PoolKey, share_difficulty: f64 },
    /// A bound was reached.
    Limit { limit: &'static str, peer: Option<SocketAddr> },
    /// A miner was moved.
    Switched { worker: u32, from: PoolKey, to: PoolKey, reason: &'static str, live: bool, took_us: u64 },
}

/// A share that ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShareItem {
    worker: u32,
    pool: PoolKey,
    outcome: Outcome,
    class: Option<RejectClass>,
    words: Words,
    difficulty: f64,
    share_difficulty: f64,
    latency_us: u64,
    skipped: u64,
}

/// A pool's words, cut, without memory of their own.
#[derive(Clone, Copy)]
pub(crate) struct Words {
    len: u8,
    bytes: [u8; WORDS_BYTES_MAX],
}

const _: () = assert!(WORDS_BYTES_MAX <= u8::MAX as usize);

impl Words {
    fn new(text: &str) -> Self {
        let mut end = text.len().min(WORDS_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; WORDS_BYTES_MAX];
        for (to, &from) in bytes.iter_mut().zip(text.as_bytes().iter().take(end)) {
            *to = from;
        }
        Self { len: end as u8, bytes }
    }

    fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.len)).and_then(|b| std::str::from_utf8(b).ok()).unwrap_or_default()
    }
}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_str().fmt(f)
    }
}

/// The line from one shard to the herald.
#[derive(Debug)]
pub(crate) struct Line {
    shard: u32,
    /// When, µs since 1970, and what.
    items: ArrayQueue<(u64, Item)>,
    lost: AtomicU64,
    bell: Arc<Bell>,
}

impl Line {
    pub(crate) fn new(shard: u32, bell: Arc<Bell>) -> Arc<Self> {
        Arc::new(Self { shard, items: ArrayQueue::new(WAITING_COUNT_MAX), lost: AtomicU64::new(0), bell })
    }

    /// Shares that wait to be told of.
    #[cfg(test)]
    pub(crate) fn shares_waiting(&self) -> usize {
        let items = std::iter::from_fn(|| self.items.pop());
        items.filter(|(_, item)| matches!(item, Item::Share(_))).count()
    }

    fn put(&self, at_us: u64, item: Item) {
        if self.items.push((at_us, item)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.bell.ring();
    }
}

/// Wakes the herald, at most once each time that it fell asleep.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    is_asleep: AtomicBool,
    herald: OnceLock<Thread>,
}

impl Bell {
    fn ring(&self) {
        // The item before the look at the sleeper; the herald does it the other way round.
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed)
            && self.is_asleep.swap(false, Ordering::SeqCst)
            && let Some(herald) = self.herald.get()
        {
            herald.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_between_characters() {
        assert_eq!(Words::new("high-hash").as_str(), "high-hash");
        assert_eq!(Words::new("").as_str(), "");
        let long = "é".repeat(WORDS_BYTES_MAX);
        assert_eq!(Words::new(&format!("a{long}")).as_str().len(), WORDS_BYTES_MAX - 1);
    }

    #[test]
    fn a_full_line_loses_and_counts() {
        let line = Line::new(0, Arc::default());
        for _ in 0..WAITING_COUNT_MAX + 3 {
            line.put(1, Item::Limit { limit: "connections", peer: None });
        }
        assert_eq!(line.lost.load(Ordering::Relaxed), 3);
        assert_eq!(line.items.len(), WAITING_COUNT_MAX);
    }
}
