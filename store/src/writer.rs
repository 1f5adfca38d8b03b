//! The ledger's thread: empties the outboxes, gives each row its key, and ten times a second has the sink write what
//! belongs together, again and again until it succeeds. Where many rows come they are filed in pieces before.
//!
//! While a write fails the outboxes are not emptied: they fill, and then their shards fold into gaps. So memory stays
//! bounded and no shard ever waits.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock::{StepWatch, now_us};
use crate::health::{Health, State};
use crate::limits::{
    BATCH_INTERVAL_MS, BATCH_NOTES_MAX, BATCH_PIECE_LATE_MS_MAX, BATCH_PIECE_ROWS, BATCH_PIECES_MAX,
    BATCH_ROWS_MAX, BATCHES_WHOLE, MAINTENANCE_STEP_MS_MAX, RETRY_MS_MAX, RETRY_MS_MIN,
};
use crate::outbox::Inbox;
use crate::record::Note;
use crate::sink::{Batch, LedgerSink, Position, SinkError};

/// The kind of event that a clock being set is.
pub const CLOCK_STEP: &str = "clock_step";

/// The wish to stop, and until when the thread may try to write what is left.
#[derive(Debug, Default)]
pub(crate) struct StopSignal {
    deadline: Mutex<Option<Instant>>,
}

impl StopSignal {
    pub(crate) fn set(&self, deadline: Instant) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
    }

    fn deadline(&self) -> Option<Instant> {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }
}

/// How the ledger stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopped {
    /// Shares that were pushed and are not in the ledger, since it could not be written in time.
    pub shares_unwritten: u64,
    /// Shards that had not dropped their outbox; what they pushed afterwards is gone.
    pub outboxes_open: usize,
    /// Whether the thread ended by a bug.
    pub died: bool,
}

impl Stopped {
    /// Whether everything is in the ledger.
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

pub(crate) struct Writer<S> {
    sink: S,
    inboxes: Vec<Inbox>,
    health: Arc<Health>,
    stop: Arc<StopSignal>,
    position: Position,
    batch: Batch,
    /// Rows of the batch before: about as many will come.
    rows_before: usize,
    /// How many batches are not filed in pieces, since there was no time for that.
    batches_whole: u32,
    /// How long filing pieces of the batch took so far.
    filing: Duration,
    /// Why a piece could not be filed: the first try to write the batch failed by it.
    piece_failed: Option<SinkError>,
    /// The system's clock, µs since 1970.
    wall: fn() -> u64,
    steps: StepWatch,
}

impl<S: LedgerSink> Writer<S> {
    pub(crate) fn new(sink: S, inboxes: Vec<Inbox>, health: Arc<Health>, stop: Arc<StopSignal>) -> Self {
        Self::with_clock(sink, inboxes, health, stop, now_us)
    }

    fn with_clock(
        sink: S,
        inboxes: Vec<Inbox>,
        health: Arc<Health>,
        stop: Arc<StopSignal>,
        wall: fn() -> u64,
    ) -> Self {
        let (position, steps) = (sink.position(), StepWatch::new(wall(), Instant::now()));
        let batch = Batch::default();
        let (rows_before, batches_whole, filing, piece_failed) = (0, 0, Duration::ZERO, None);
        Self {
            sink,
            inboxes,
            health,
            stop,
            position,
            batch,
            rows_before,
            batches_whole,
            filing,
            piece_failed,
            wall,
            steps,
        }
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) -> Stopped {
        let died = ReportDeath(Arc::clone(&self.health));
        loop {
            let cycle_started = Instant::now();
            let started_us = (self.wall)();
            self.look_at_clock(started_us, cycle_started);
            // Looked at before collecting: what a shard pushed before it dropped its end is then collected.
            let is_last = self.stop.deadline().is_some() && self.inboxes.iter().all(Inbox::is_closed);
            let took_all = self.collect();
            if !self.batch.is_empty() && !self.write() {
                break;
            }
            if took_all {
                self.health.durable_up_to(started_us, self.rows_waiting());
            }
            if (took_all && is_last) || self.stop.is_over() {
                break;
            }
            let budget = Duration::from_millis(MAINTENANCE_STEP_MS_MAX);
            self.health.maintained(self.sink.maintain((self.wall)(), budget));
            if took_all {
                self.wait(cycle_started);
            }
        }
        let stopped = self.finish();
        std::mem::forget(died);
        stopped
    }

    /// Waits for the next batch. Many rows are filed as they come, a piece at a time and evenly spread: a shard that shares
    /// this core else waits until all of them are.
    fn wait(&mut self, cycle_started: Instant) {
        let pieces = match self.batches_whole {
            0 => (self.rows_before / BATCH_PIECE_ROWS).clamp(1, BATCH_PIECES_MAX) as u32,
            _ => 1,
        };
        self.batches_whole = self.batches_whole.saturating_sub(1);
        let interval = Duration::from_millis(BATCH_INTERVAL_MS);
        for piece in 1..=pieces {
            let due = interval * piece / pieces;
            let left = due.saturating_sub(cycle_started.elapsed());
            if left.is_zero() {
                continue;
            }
            thread::park_timeout(left);
            let late = cycle_started.elapsed().saturating_sub(due);
            if late > Duration::from_millis(BATCH_PIECE_LATE_MS_MAX) {
                self.batches_whole = BATCHES_WHOLE;
                return;
            }
            if piece == pieces || self.stop.deadline().is_some() || !self.file_piece() {
                return;
            }
        }
    }

    /// Files what has come; whether there is reason to wait for more before the batch is written.
    fn file_piece(&mut self) -> bool {
        let took_all = self.collect();
        if self.batch.is_empty() {
            return took_all;
        }
        let started = Instant::now();
        self.piece_failed = self.sink.prepare(&self.batch).err();
        self.filing += started.elapsed();
        took_all && self.piece_failed.is_none()
    }

    /// A clock that was set is an event: times of shares do not follow it before the next start.
    fn look_at_clock(&mut self, wall_us: u64, now: Instant) {
        let Some(step_us) = self.steps.look(wall_us, now) else { return };
        let direction = if step_us > 0 { "forward" } else { "back" };
        let seconds = step_us.unsigned_abs() as f64 / 1e6;
        let detail =
            format!("set {direction} by {seconds:.3} s; times in the ledger follow at the next start");
        log::warn!("the system's clock was {detail}");
        self.batch.notes.push(Note::Event {
            at_us: self.steps.steady_us(now),
            kind: CLOCK_STEP.into(),
            actor: "system".into(),
            subject: Box::default(),
            detail: detail.into(),
        });
    }

    /// Adds to the batch what all outboxes have, each getting its fair part; whether they are empty now.
    fn collect(&mut self) -> bool {
        let parts = self.inboxes.len().max(1);
        let Batch { rows, notes, gaps, number } = &mut self.batch;
        let rows_max = (BATCH_ROWS_MAX.saturating_sub(rows.len()) / parts).max(1);
        let notes_max = (BATCH_NOTES_MAX.saturating_sub(notes.len()) / parts).max(1);
        let mut last_key = rows.last().map_or(self.position.last_key, |&(key, _)| key);
        let mut took_all = true;
        *number = self.position.batch + 1;
        for (shard, inbox) in self.inboxes.iter().enumerate() {
            let rows_taken = inbox.take_rows(rows_max, |row| {
                last_key = Batch::key_after(last_key, &row);
                rows.push((last_key, row));
            });
            let notes_before = notes.len();
            notes.extend(std::iter::from_fn(|| inbox.take_note()).take(notes_max));
            gaps.extend(std::iter::from_fn(|| inbox.take_gap()).map(|gap| (shard, gap)));
            took_all &= rows_taken < rows_max && notes.len() - notes_before < notes_max;
        }
        took_all
    }

    /// Writes the batch, however often it takes; false if the time to stop came first.
    fn write(&mut self) -> bool {
        let mut pause_ms = RETRY_MS_MIN;
        let mut may_write = true;
        loop {
            let started = Instant::now();
            let result = match self.piece_failed.take() {
                Some(error) => Err(error),
                None if may_write => self.sink.write(&self.batch),
                None => self.sink.reopen(),
            };
            match result {
                Ok(()) if may_write => {
                    self.written(started.elapsed());
                    return true;
                }
                // The error may have come after the commit.
                Ok(()) if self.is_written() => {
                    self.written(started.elapsed());
                    return true;
                }
                Ok(()) => {
                    self.renumber();
                    may_write = true;
                }
                Err(error) => {
                    self.health.failed(&error, self.rows_waiting());
                    if !self.pause(Duration::from_millis(pause_ms)) {
                        return false;
                    }
                    pause_ms = (pause_ms * 2).min(RETRY_MS_MAX);
                    may_write = false;
                }
            }
        }
    }

    /// Whether the reopened ledger has this batch.
    fn is_written(&self) -> bool {
        let found = self.sink.position();
        found.ledger == self.position.ledger && found.batch >= self.batch.number
    }

    /// Fits the batch to the ledger as it was found: keys stay as they are unless it is another ledger.
    fn renumber(&mut self) {
        let found = self.sink.position();
        let collides = self.batch.rows.first().is_some_and(|&(key, _)| key <= found.last_key);
        if found.ledger != self.position.ledger || collides {
            log::warn!("the ledger was replaced; going on in the one that is there now");
            let mut last_key = found.last_key;
            for (key, row) in &mut self.batch.rows {
                last_key = Batch::key_after(last_key, row);
                *key = last_key;
            }
        }
        self.batch.number = found.batch + 1;
        self.position = found;
    }

    fn written(&mut self, took: Duration) {
        let took = took + std::mem::take(&mut self.filing);
        self.health.wrote(&self.batch, took.as_micros() as u64);
        self.position = self.sink.position();
        self.rows_before = self.batch.rows.len();
        self.batch.rows.clear();
        self.batch.notes.clear();
        for (shard, gap) in self.batch.gaps.drain(..) {
            if let Some(inbox) = self.inboxes.get(shard) {
                inbox.give_back(gap);
            }
        }
    }

    /// Waits, but no longer than to the end of all patience; whether there is any left.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let now = Instant::now();
            match self.stop.deadline() {
                Some(deadline) if now >= deadline => return false,
                // Somebody waits for the end: try often.
                Some(_) if now + Duration::from_millis(RETRY_MS_MIN) < until => {
                    thread::park_timeout(Duration::from_millis(RETRY_MS_MIN));
                    return true;
                }
                _ if now >= until => return true,
                _ => thread::park_timeout(until - now),
            }
        }
    }

    fn rows_waiting(&self) -> u64 {
        self.inboxes.iter().map(|inbox| inbox.rows_waiting() as u64).sum()
    }

    fn finish(mut self) -> Stopped {
        let mut stopped = Stopped {
            shares_unwritten: self.shares_in_batch(),
            outboxes_open: self.inboxes.iter().filter(|inbox| !inbox.is_closed()).count(),
            died: false,
        };
        self.batch = Batch::default();
        while !self.collect() {
            stopped.shares_unwritten += self.shares_in_batch();
            self.batch = Batch::default();
        }
        stopped.shares_unwritten += self.shares_in_batch();
        if let Err(error) = self.sink.finish() {
            log::warn!("the ledger could not be closed in order, the next start will do it: {error}");
        }
        if stopped.shares_unwritten > 0 {
            log::error!("{} shares could not be written to the ledger", stopped.shares_unwritten);
        }
        if stopped.shares_unwritten == 0 {
            self.health.ended(State::Stopped);
        }
        stopped
    }

    fn shares_in_batch(&self) -> u64 {
        let in_gaps: u64 = self.batch.gaps.iter().map(|(_, gap)| gap.shares.total()).sum();
        self.batch.rows.len() as u64 + in_gaps
    }
}

/// Says so when the thread unwinds.
struct ReportDeath(Arc<Health>);

impl Drop for ReportDeath {
    fn drop(&mut self) {
        log::error!("the ledger's thread died by a bug; nothing is written any more");
        self.0.ended(State::Died);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use adit_protocol::event::Outcome;
    use adit_protocol::verdict::RejectClass;

    use super::*;
    use crate::names::Names;
    use crate::outbox::{OutboxLimits, outbox};
    use crate::record::{PoolKey, ReasonKey, SessionKey, ShareRow, WorkerKey};
    use crate::retention::Retention;
    use crate::sink::{Maintained, Trouble};
    use crate::sqlite::SqliteSink;

    /// How far the clock of the test is ahead.
    static AHEAD_US: AtomicU64 = AtomicU64::new(0);

    #[test]
    fn a_clock_that_is_set_is_an_event() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.db");
        let forever = Retention { shares_days: 0, rollups_days: 0, bytes_max: 0 };
        let sink = SqliteSink::open(&path, Arc::new(Names::default()), forever).unwrap();
        let (health, stop) = (Arc::new(Health::default()), Arc::new(StopSignal::default()));
        let wall = || now_us() + AHEAD_US.load(Ordering::Relaxed);
        let writer = Writer::with_clock(sink, Vec::new(), health.clone(), stop.clone(), wall);
        AHEAD_US.store(3_600_000_000, Ordering::Relaxed);
        let thread = thread::spawn(|| writer.run());
        let until = Instant::now() + Duration::from_secs(20);
        while health.status().notes_written == 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
        }
        stop.set(Instant::now() + Duration::from_secs(20));
        thread.thread().unpark();
        assert!(thread.join().unwrap().is_clean());
        let db = rusqlite::Connection::open(&path).unwrap();
        let events = "SELECT count(*), text, actor, detail FROM events JOIN texts ON texts.id = kind";
        let event: (i64, String, String, String) =
            db.query_row(events, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
        assert_eq!((event.0, &*event.1, &*event.2), (1, CLOCK_STEP, "system"));
        assert!(event.3.starts_with("set forward by 3600.0"), "{}", event.3);
    }

    /// Fails every piece, in turn after it was filed and before.
    struct Flaky {
        sink: SqliteSink,
        pieces: u32,
    }

    impl LedgerSink for Flaky {
        fn position(&self) -> Position {
            self.sink.position()
        }

        fn prepare(&mut self, batch: &Batch) -> Result<(), SinkError> {
            self.pieces += 1;
            let error = SinkError { trouble: Trouble::Other, message: "for the test".into() };
            if self.pieces.is_multiple_of(2) { Err(error) } else { self.sink.prepare(batch).and(Err(error)) }
        }

        fn write(&mut self, batch: &Batch) -> Result<(), SinkError> {
            self.sink.write(batch)
        }

        fn reopen(&mut self) -> Result<(), SinkError> {
            self.sink.reopen()
        }

        fn maintain(&mut self, now_us: u64, budget: Duration) -> Result<Maintained, SinkError> {
            self.sink.maintain(now_us, budget)
        }

        fn finish(&mut self) -> Result<(), SinkError> {
            self.sink.finish()
        }
    }

    /// What a piece filed before it failed must not be there twice, nor be missing because it was filed.
    #[test]
    fn a_piece_that_fails_is_written_with_its_batch_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.db");
        let names = Arc::new(Names::default());
        let forever = Retention { shares_days: 0, rollups_days: 0, bytes_max: 0 };
        let sink = SqliteSink::open(&path, Arc::clone(&names), forever).unwrap();
        let (mut outbox, inbox) = outbox(Arc::clone(&names), OutboxLimits::default());
        let (health, stop) = (Arc::new(Health::default()), Arc::new(StopSignal::default()));
        let mut writer =
            Writer::new(Flaky { sink, pieces: 0 }, vec![inbox], Arc::clone(&health), Arc::clone(&stop));
        for round in 0..4 {
            for n in 0..100 {
                let (outcome, class) = match n % 50 {
                    0 => (Outcome::Rejected, Some(RejectClass::Stale)),
                    _ => (Outcome::Accepted, None),
                };
                outbox.push(ShareRow { outcome, class, ..row(names.worker(&format!("a.{}", n % 7))) });
            }
            assert!(!writer.file_piece(), "it failed, so the batch is written at once");
            outbox.push(row(names.worker("b")));
            assert!(writer.collect() && writer.write());
            assert_eq!(health.status().rows_written, 101 * (round + 1));
            assert_eq!(health.status().failures, round + 1);
        }
        drop(outbox);
        stop.set(Instant::now() + Duration::from_secs(20));
        assert!(writer.run().is_clean());
        let db = rusqlite::Connection::open(&path).unwrap();
        let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(number("SELECT count(*) FROM shares"), 404);
        assert_eq!(number("SELECT count(*) FROM shares WHERE outcome = 1"), 8);
        assert_eq!(number("SELECT shares_written FROM meta"), 404);
        assert_eq!(number("SELECT sum(accepted) FROM worker_minutes"), 396);
        assert_eq!(number("SELECT sum(stale) FROM worker_minutes"), 8);
    }

    fn row(worker: WorkerKey) -> ShareRow {
        ShareRow {
            verdict_us: now_us(),
            session: SessionKey(1),
            difficulty: 1_024.0,
            share_difficulty: f64::NAN,
            latency_us: 40_000,
            worker,
            job: 7,
            pool: PoolKey::NONE,
            reason: ReasonKey::NONE,
            code: 0,
            outcome: Outcome::Accepted,
            class: None,
            block_candidate: false,
        }
    }
}
