//! The way from a shard to the ledger's thread: never waits, never allocates, never loses count.
//!
//! ```text
//!  shard                                                             ledger's thread
//!  Outbox ── rows ─────── bounded queue ───────────────────────────▶ Inbox
//!         ── notes ────── bounded queue ───────────────────────────▶
//!         └─ no room? ──▶ gap: tallies and exact counts ── when there is room again ──▶
//!                         ◀──────────── emptied gaps come back ────
//! ```
//!
//! A row that finds the queue full is folded into the shard's gap: counted by outcome, and added to the tally of its
//! minute, worker and pool, so that the rollups stay exact although the row itself is gone. Once the queue has room
//! again the gap is handed over whole, and the ledger writes it in one transaction with its tallies.
//! Invariant: rows in the queue + rows taken + shares in gaps = rows pushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adit_protocol::event::ReasonKey as ShardReason;
use crossbeam::queue::ArrayQueue;

use crate::limits::{GAP_TALLIES_MAX, OUTBOX_NOTES_MAX, OUTBOX_ROWS_MAX};
use crate::names::Names;
use crate::record::{Note, OutcomeCounts, PoolKey, ReasonKey, ShareRow, WorkerKey};
use crate::tally::{Tally, TallyKey, TallyTable, minute_of};

/// Gaps of one shard: one is filled while the other is on its way or being written.
const GAPS_COUNT: usize = 2;

/// While rows go into the gap, the queue is looked at for every so many of them: to ask it costs more than to fold a row.
const LOOK_EVERY: u32 = 32;

/// The bounds of an outbox. The default is right for a shard; tests take smaller ones.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// Rows that wait.
    pub rows_max: usize,
    /// Notes that wait.
    pub notes_max: usize,
    /// Tallies that a gap keeps apart.
    pub tallies_max: usize,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self { rows_max: OUTBOX_ROWS_MAX, notes_max: OUTBOX_NOTES_MAX, tallies_max: GAP_TALLIES_MAX }
    }
}

/// Shares and notes that found no room, folded.
#[derive(Debug)]
pub struct Gap {
    /// Verdict time of the first and the last share in it, µs since 1970; meaningless while there is none.
    pub span_us: (u64, u64),
    /// Its shares.
    pub shares: OutcomeCounts,
    /// Of them, block candidates.
    pub block_candidates: u64,
    /// Notes that are gone.
    pub notes_lost: u64,
    /// The shares by minute, worker and pool.
    pub tallies: TallyTable,
    /// Shares that belong to no tally, since there were too many; counted in the minute of the first of them.
    pub unattributed: Option<(TallyKey, Tally)>,
}

impl Gap {
    fn new(tallies_max: usize) -> Self {
        Self {
            span_us: (u64::MAX, 0),
            shares: OutcomeCounts::default(),
            block_candidates: 0,
            notes_lost: 0,
            tallies: TallyTable::new(tallies_max),
            unattributed: None,
        }
    }

    fn add(&mut self, row: &ShareRow) {
        self.span_us = (self.span_us.0.min(row.verdict_us), self.span_us.1.max(row.verdict_us));
        self.shares.add(row.outcome);
        self.block_candidates += u64::from(row.block_candidate);
        let minute = minute_of(row.verdict_us);
        let key = TallyKey { minute, worker: row.worker.0, pool: u32::from(row.pool.0) };
        let tally = if let Some(tally) = self.tallies.tally(key) {
            tally
        } else {
            let nobody = TallyKey { minute, worker: WorkerKey::UNKNOWN.0, pool: u32::from(PoolKey::NONE.0) };
            &mut self.unattributed.get_or_insert((nobody, Tally::default())).1
        };
        tally.add(row);
        tally.gapped += 1;
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.shares.total() == 0 && self.notes_lost == 0
    }

    fn clear(&mut self) {
        self.tallies.clear();
        self.span_us = (u64::MAX, 0);
        (self.shares, self.block_candidates, self.notes_lost) = Default::default();
        self.unattributed = None;
    }
}

#[derive(Debug)]
struct Shared {
    rows: ArrayQueue<ShareRow>,
    notes: ArrayQueue<Note>,
    full_gaps: ArrayQueue<Box<Gap>>,
    spare_gaps: ArrayQueue<Box<Gap>>,
    closed: AtomicBool,
}

/// A shard's end. Dropping it hands over what is left.
#[derive(Debug)]
pub struct Outbox {
    shared: Arc<Shared>,
    names: Arc<Names>,
    /// `None` only while both gaps are with the ledger, which [`Outbox::hand_over`] prevents, and while dropping.
    gap: Option<Box<Gap>>,
    /// Rows go into the gap until the queue is half empty: one long gap instead of many short ones.
    folding: bool,
    /// Rows folded since the queue was looked at.
    unlooked: u32,
    /// The shard's reasons, translated.
    reasons: Vec<ReasonKey>,
}

/// The ledger's end.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
}

/// Both ends of one shard's outbox.
pub fn outbox(names: Arc<Names>, limits: OutboxLimits) -> (Outbox, Inbox) {
    let shared = Arc::new(Shared {
        rows: ArrayQueue::new(limits.rows_max.max(1)),
        notes: ArrayQueue::new(limits.notes_max.max(1)),
        full_gaps: ArrayQueue::new(GAPS_COUNT),
        spare_gaps: ArrayQueue::new(GAPS_COUNT),
        closed: AtomicBool::new(false),
    });
    for _ in 1..GAPS_COUNT {
        let fits = shared.spare_gaps.push(Box::new(Gap::new(limits.tallies_max)));
        debug_assert!(fits.is_ok(), "the queue was made for all gaps");
    }
    let outbox = Outbox {
        shared: Arc::clone(&shared),
        names,
        gap: Some(Box::new(Gap::new(limits.tallies_max))),
        folding: false,
        unlooked: 0,
        reasons: Vec::new(),
    };
    (outbox, Inbox { shared })
}

impl Outbox {
    /// Takes a row. It will be in the ledger, or counted in a gap.
    #[inline]
    pub fn push(&mut self, row: ShareRow) {
        if self.folding || self.shared.rows.push(row).is_err() {
            self.fold(row);
        }
    }

    #[cold]
    #[inline(never)]
    fn fold(&mut self, row: ShareRow) {
        self.unlooked += 1;
        if !self.folding || self.unlooked >= LOOK_EVERY {
            (self.folding, self.unlooked) = (true, 0);
            self.hand_over();
            if !self.folding && self.shared.rows.push(row).is_ok() {
                return;
            }
            self.folding = true;
        }
        if let Some(gap) = self.gap.as_mut() {
            gap.add(&row);
        }
    }

    /// Takes a note; false if there was no room: then it is gone, and counted in the gap.
    pub fn note(&mut self, note: Note) -> bool {
        let fits = self.shared.notes.push(note).is_ok();
        if !fits && let Some(gap) = self.gap.as_mut() {
            gap.notes_lost += 1;
        }
        fits
    }

    /// To be called a few times a second: hands over a gap that nobody's next push would.
    pub fn tick(&mut self) {
        if self.has_gap() {
            self.hand_over();
        }
    }

    /// Whether something waits to be handed over.
    pub fn has_gap(&self) -> bool {
        self.gap.as_ref().is_some_and(|gap| !gap.is_empty())
    }

    /// Names and keys of this process.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// The process's key for a reason that this shard interned under `key`. The text is looked at only the first time.
    #[inline]
    pub fn reason(&mut self, key: ShardReason, text: &str) -> ReasonKey {
        // Most shares have none: neither a lock nor a look into the table for them.
        if text.is_empty() {
            return ReasonKey::NONE;
        }
        match self.reasons.get(usize::from(key.0)) {
            Some(&known) if known != ReasonKey::NONE => known,
            _ => self.learn_reason(key, text),
        }
    }

    #[cold]
    fn learn_reason(&mut self, key: ShardReason, text: &str) -> ReasonKey {
        let at = usize::from(key.0);
        if at >= self.reasons.len() {
            self.reasons.resize(at + 1, ReasonKey::NONE);
        }
        let reason = self.names.reason(text);
        self.reasons[at] = reason;
        reason
    }

    /// Gives the gap to the ledger if the queues are half empty and another gap is at hand.
    fn hand_over(&mut self) {
        let (rows, notes) = (&self.shared.rows, &self.shared.notes);
        if rows.len() > rows.capacity() / 2 || notes.len() > notes.capacity() / 2 {
            return;
        }
        if self.gap.as_ref().is_some_and(|gap| gap.is_empty()) {
            self.folding = false;
        } else if let Some(spare) = self.shared.spare_gaps.pop() {
            if let Some(full) = self.gap.replace(spare) {
                // As many places as gaps: this push cannot fail.
                let fits = self.shared.full_gaps.push(full);
                debug_assert!(fits.is_ok(), "more gaps than were made");
            }
            self.folding = false;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if let Some(gap) = self.gap.take().filter(|gap| !gap.is_empty()) {
            let fits = self.shared.full_gaps.push(gap);
            debug_assert!(fits.is_ok(), "more gaps than were made");
        }
        self.shared.closed.store(true, Ordering::Release);
    }
}

impl Inbox {
    /// Takes up to `count_max` rows, oldest first; how many.
    pub fn take_rows(&self, count_max: usize, mut each: impl FnMut(ShareRow)) -> usize {
        let mut count = 0;
        while count < count_max
            && let Some(row) = self.shared.rows.pop()
        {
            each(row);
            count += 1;
        }
        count
    }

    /// Takes the oldest note.
    pub fn take_note(&self) -> Option<Note> {
        self.shared.notes.pop()
    }

    /// Takes a gap that the shard handed over. Give it back with [`Inbox::give_back`] once it is written.
    pub fn take_gap(&self) -> Option<Box<Gap>> {
        self.shared.full_gaps.pop()
    }

    /// Empties a gap and gives it back to the shard it came from.
    pub fn give_back(&self, mut gap: Box<Gap>) {
        gap.clear();
        let fits = self.shared.spare_gaps.push(gap);
        debug_assert!(fits.is_ok(), "more gaps than were made");
    }

    /// Rows that wait.
    pub fn rows_waiting(&self) -> usize {
        self.shared.rows.len()
    }

    /// Whether the shard dropped its end. What is taken after this was seen is all there will ever be.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Acquire)
    }
}
