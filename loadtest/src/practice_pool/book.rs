//! What the practice pool has seen and judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::json_line::Verdict;
use crate::scripted_pool::{Fit, PoolLog, SubmitSeen};
use crate::share::ShareKey;

/// Different worker names and methods counted apart; further ones are counted together under `…`.
const NAMES_COUNTED_MAX: usize = 10_000;
const OTHERS: &str = "…";

/// Figures of a practice pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PracticePoolStats {
    /// Connections that are open.
    pub connections: u64,
    /// Connections accepted so far.
    pub connections_accepted: u64,
    /// Connections that were closed because of what they sent, or did not send.
    pub connections_refused: u64,
    /// Shares accepted.
    pub accepted: u64,
    /// Shares refused, by code.
    pub rejected: BTreeMap<i32, u64>,
    /// Difficulty credited.
    pub difficulty_sum: f64,
    /// Blocks found by miners.
    pub blocks: u64,
    /// Jobs made.
    pub jobs: u64,
    /// Height that miners work on.
    pub height: u32,
    /// Shares by worker.
    pub workers: BTreeMap<Arc<str>, WorkerShares>,
}

/// Shares of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerShares {
    /// Accepted.
    pub accepted: u64,
    /// Refused.
    pub rejected: u64,
}

impl PracticePoolStats {
    /// Shares refused, whatever the code.
    pub fn rejected_count(&self) -> u64 {
        self.rejected.values().sum()
    }
}

/// Log and figures, shared with whoever asks.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) log: PoolLog,
    pub(super) stats: PracticePoolStats,
    pub(super) submits_kept_max: usize,
}

/// A judged submit on its way into the book.
pub(super) struct Entry<'a> {
    pub(super) connection: u64,
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) job_id: &'a str,
    pub(super) key: ShareKey,
    pub(super) fit: Fit,
    /// The difficulty credited, or the code of the refusal.
    pub(super) outcome: Result<f64, i32>,
}

impl Book {
    pub(super) fn request(&mut self, method: &str) {
        count(&mut self.log.requests, method);
    }

    pub(super) fn name(&mut self, name: &str) {
        count(&mut self.log.names, name);
    }

    /// Counts a submit whose params name no share.
    pub(super) fn malformed(&mut self, code: i32) {
        *self.stats.rejected.entry(code).or_default() += 1;
    }

    pub(super) fn submit(&mut self, entry: &Entry<'_>) {
        let name = self.worker(entry.name);
        let worker = self.stats.workers.entry(Arc::clone(&name)).or_default();
        let verdict = match entry.outcome {
            Ok(difficulty) => {
                worker.accepted += 1;
                self.stats.accepted += 1;
                self.stats.difficulty_sum += difficulty;
                Verdict::Accepted
            }
            Err(code) => {
                worker.rejected += 1;
                *self.stats.rejected.entry(code).or_default() += 1;
                Verdict::Rejected(code)
            }
        };
        if self.log.submits.len() >= self.submits_kept_max {
            self.log.submits_not_kept += 1;
            return;
        }
        self.log.submits.push(SubmitSeen {
            connection: entry.connection,
            id: entry.id.into(),
            name: if *name == *OTHERS { entry.name.into() } else { name },
            job_id: entry.job_id.into(),
            key: entry.key,
            fit: entry.fit,
            verdict: Some(verdict),
        });
    }

    /// The name under which a worker is counted, shared.
    fn worker(&self, name: &str) -> Arc<str> {
        let workers = &self.stats.workers;
        match workers.get_key_value(name) {
            Some((name, _)) => Arc::clone(name),
            None if workers.len() < NAMES_COUNTED_MAX => name.into(),
            None => OTHERS.into(),
        }
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    let name = if counts.contains_key(name) || counts.len() < NAMES_COUNTED_MAX { name } else { OTHERS };
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.into(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let mut book = Book { submits_kept_max: 2, ..Book::default() };
        for n in 0..NAMES_COUNTED_MAX + 3 {
            let name = n.to_string();
            book.name(&name);
            book.submit(&Entry {
                connection: 1,
                id: "4",
                name: &name,
                job_id: "1",
                key: ShareKey(0),
                fit: Fit::Fits,
                outcome: if n == 0 { Err(23) } else { Ok(0.5) },
            });
        }
        assert_eq!(book.log.names.get(OTHERS), Some(&3));
        assert_eq!(book.stats.workers.get(OTHERS), Some(&WorkerShares { accepted: 3, rejected: 0 }));
        assert_eq!((book.stats.accepted, book.stats.rejected_count()), (10_002, 1));
        assert_eq!((book.log.submits.len(), book.log.submits_not_kept), (2, 10_001));
    }
}
