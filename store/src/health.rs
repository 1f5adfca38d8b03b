//! How the ledger is: written by its thread a few times a second, read by whoever wants to know.

use std::sync::{Mutex, PoisonError};

use crate::clock::now_us;
use crate::durations::Durations;
use crate::sink::{Batch, Maintained, SinkError, Trouble};

/// What the ledger's thread is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It writes, or waits for something to write.
    #[default]
    Writing,
    /// Its last write failed. It tries again until it succeeds; meanwhile rows wait, then go into gaps.
    Failing {
        /// What kind of trouble.
        trouble: Trouble,
        /// The error, for people.
        message: String,
        /// Since when, µs since 1970.
        since_us: u64,
        /// Failed tries since then.
        tries: u64,
    },
    /// It ended in order.
    Stopped,
    /// It ended by a bug. Nothing is written any more.
    Died,
}

/// Figures of this run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// What was pushed before this time, µs since 1970, is durable, save what its shard still holds in a gap.
    pub durable_up_to_us: u64,
    /// Share rows written.
    pub rows_written: u64,
    /// Notes written.
    pub notes_written: u64,
    /// Gaps written.
    pub gaps_written: u64,
    /// Shares that are in gaps instead of rows.
    pub shares_in_gaps: u64,
    /// Notes that found no room and are gone.
    pub notes_lost: u64,
    /// Transactions.
    pub batches_written: u64,
    /// Failed writes.
    pub failures: u64,
    /// Rows in the outboxes when last looked at.
    pub rows_waiting: u64,
    /// Rows of the last batch, and how long its write took.
    pub last_batch_rows: u64,
    /// Duration of the last write, µs.
    pub last_batch_us: u64,
    /// Duration of the slowest write, µs.
    pub slowest_batch_us: u64,
    /// Durations of all writes: of each batch the time spent on its pieces and its commit, without the waits between.
    pub batch_times: Durations,
    /// Raw shares pruned.
    pub shares_pruned: u64,
    /// Why pruning or a checkpoint failed the last time it was tried.
    pub maintenance_error: Option<String>,
}

/// The status, shared.
#[derive(Debug, Default)]
pub struct Health {
    status: Mutex<Status>,
}

impl Health {
    /// A copy of the status.
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether writes succeed.
    pub fn is_ok(&self) -> bool {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).state == State::Writing
    }

    fn update(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn wrote(&self, batch: &Batch, took_us: u64) {
        self.update(|status| {
            if let State::Failing { since_us, tries, .. } = &status.state {
                let seconds = now_us().saturating_sub(*since_us) / 1_000_000;
                log::warn!("the ledger is written again, after {seconds} s and {tries} failed tries");
            }
            status.state = State::Writing;
            status.batches_written += 1;
            status.rows_written += batch.rows.len() as u64;
            status.notes_written += batch.notes.len() as u64;
            status.gaps_written += batch.gaps.len() as u64;
            status.shares_in_gaps += batch.gaps.iter().map(|(_, gap)| gap.shares.total()).sum::<u64>();
            status.notes_lost += batch.gaps.iter().map(|(_, gap)| gap.notes_lost).sum::<u64>();
            status.last_batch_rows = batch.rows.len() as u64;
            status.last_batch_us = took_us;
            status.slowest_batch_us = status.slowest_batch_us.max(took_us);
            status.batch_times.record(took_us);
        });
    }

    pub(crate) fn failed(&self, error: &SinkError, rows_waiting: u64) {
        self.update(|status| {
            status.failures += 1;
            status.rows_waiting = rows_waiting;
            let (since_us, tries) = match status.state {
                State::Failing { since_us, tries, .. } => (since_us, tries + 1),
                _ => (now_us(), 1),
            };
            if tries == 1 {
                log::error!("the ledger cannot be written, retrying: {error}");
            } else {
                log::debug!("the ledger still cannot be written (try {tries}): {error}");
            }
            let SinkError { trouble, message } = error.clone();
            status.state = State::Failing { trouble, message, since_us, tries };
        });
    }

    pub(crate) fn durable_up_to(&self, time_us: u64, rows_waiting: u64) {
        self.update(|status| {
            status.durable_up_to_us = status.durable_up_to_us.max(time_us);
            status.rows_waiting = rows_waiting;
        });
    }

    pub(crate) fn maintained(&self, result: Result<Maintained, SinkError>) {
        self.update(|status| match result {
            Ok(done) => {
                status.shares_pruned += done.shares_pruned;
                status.maintenance_error = None;
            }
            Err(error) => {
                if status.maintenance_error.is_none() {
                    log::warn!("maintenance of the ledger failed, retrying: {error}");
                }
                status.maintenance_error = Some(error.message);
            }
        });
    }

    pub(crate) fn ended(&self, state: State) {
        self.update(|status| status.state = state);
    }
}
