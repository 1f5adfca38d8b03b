//! Which workers have series of their own.

use std::collections::HashMap;
use std::sync::Arc;

use crate::view::{Counts, ShareCounts, Worker, WorkerState};

/// The label of all the others together.
pub const OTHER: &str = "other";
/// How long after it was last seen a worker keeps its series.
pub const WORKER_GONE_MS: u64 = 15 * 60 * 1_000;

/// What the workers without series of their own counted, kept from scrape to scrape.
///
/// The sum of their counters as they are would shrink whenever one of them is forgotten or gets series of its own, and to
/// Prometheus a counter that shrinks has begun anew: all of it would seem to have happened just now. So what they *grew* by
/// is summed up, from zero: the scrape that first meets a worker among them adds all it has counted.
#[derive(Debug, Default)]
pub struct Others {
    /// What each worker had counted at the last scrape.
    counted: HashMap<Arc<str>, Counted>,
    grown: Tally,
}

#[derive(Debug, Default)]
struct Counted {
    tally: Tally,
    /// Whether the present scrape met it.
    is_met: bool,
}

/// The counters that a worker has series of.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    accepted: u64,
    rejected: u64,
    refused_here: u64,
    unanswered: u64,
    accepted_difficulty: f64,
}

impl Others {
    /// The workers of the last while, those known longest first, so that a series once there stays; beyond `max` summed up.
    pub(super) fn capped(&mut self, workers: &[Worker], max: usize, now_ms: u64) -> Vec<Worker> {
        if max == 0 {
            return Vec::new();
        }
        let is_gone = |worker: &Worker| {
            worker.state == WorkerState::Offline
                && worker.last_seen_ms.saturating_add(WORKER_GONE_MS) < now_ms
        };
        let (mut present, gone): (Vec<_>, Vec<_>) = workers.iter().partition(|worker| !is_gone(worker));
        present.sort_by(|a, b| (a.first_seen_ms, &a.name).cmp(&(b.first_seen_ms, &b.name)));
        let mut shown = Vec::with_capacity(present.len().min(max) + 1);
        let mut other = Worker { name: OTHER.into(), ..Worker::default() };
        for worker in present {
            // A worker that happens to have that name is one of the others.
            if shown.len() < max && &*worker.name != OTHER {
                self.count(worker, false);
                shown.push(worker.clone());
            } else {
                self.count(worker, true);
                add(&mut other, worker);
            }
        }
        for worker in gone {
            // Only so that it does not begin anew when it comes back.
            self.count(worker, false);
        }
        self.counted.retain(|_, counted| std::mem::take(&mut counted.is_met));
        other.shares = self.grown.shares();
        if other.state == WorkerState::Online || other.shares.total() > 0 {
            shown.push(other);
        }
        shown
    }

    fn count(&mut self, worker: &Worker, is_other: bool) {
        let tally = Tally::of(&worker.shares);
        let counted = self.counted.entry(Arc::clone(&worker.name)).or_default();
        counted.is_met = true;
        let before = std::mem::replace(&mut counted.tally, tally);
        if is_other {
            self.grown.add(&tally.since(&before));
        }
    }
}

impl Tally {
    fn of(shares: &ShareCounts) -> Self {
        Self {
            accepted: shares.accepted,
            rejected: shares.rejected.total(),
            refused_here: shares.refused_here.total(),
            unanswered: shares.unanswered,
            accepted_difficulty: shares.accepted_difficulty,
        }
    }

    /// What came since `before`; all of it where the worker was forgotten in between and began anew.
    fn since(&self, before: &Self) -> Self {
        self.grown(before).unwrap_or(*self)
    }

    /// What came since `before`; `None` where a count shrank. The difficulty is no witness: as a sum of fractions it may be
    /// a last bit smaller than it was with nothing having happened.
    fn grown(&self, before: &Self) -> Option<Self> {
        Some(Self {
            accepted: self.accepted.checked_sub(before.accepted)?,
            rejected: self.rejected.checked_sub(before.rejected)?,
            refused_here: self.refused_here.checked_sub(before.refused_here)?,
            unanswered: self.unanswered.checked_sub(before.unanswered)?,
            accepted_difficulty: (self.accepted_difficulty - before.accepted_difficulty).max(0.0),
        })
    }

    fn add(&mut self, grown: &Self) {
        self.accepted = self.accepted.saturating_add(grown.accepted);
        self.rejected = self.rejected.saturating_add(grown.rejected);
        self.refused_here = self.refused_here.saturating_add(grown.refused_here);
        self.unanswered = self.unanswered.saturating_add(grown.unanswered);
        self.accepted_difficulty += grown.accepted_difficulty;
    }

    fn shares(&self) -> ShareCounts {
        // Series of workers tell no classes.
        let all = |count| Counts::from_iter([("other", count)]);
        ShareCounts {
            accepted: self.accepted,
            rejected: all(self.rejected),
            refused_here: all(self.refused_here),
            unanswered: self.unanswered,
            accepted_difficulty: self.accepted_difficulty,
            block_candidates: 0,
        }
    }
}

fn add(sum: &mut Worker, worker: &Worker) {
    if worker.state == WorkerState::Online {
        sum.state = WorkerState::Online;
    }
    sum.connections = sum.connections.saturating_add(worker.connections);
    sum.difficulty = sum.difficulty.max(worker.difficulty);
    sum.last_share_ms = sum.last_share_ms.max(worker.last_share_ms);
    sum.hashrate.merge(&worker.hashrate);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(name: &str, first_seen_ms: u64) -> Worker {
        let shares = ShareCounts { accepted: 5, ..ShareCounts::default() };
        Worker {
            name: name.into(),
            state: WorkerState::Online,
            first_seen_ms,
            connections: 1,
            shares,
            ..Worker::default()
        }
    }

    fn capped(workers: &[Worker], max: usize, now_ms: u64) -> Vec<Worker> {
        Others::default().capped(workers, max, now_ms)
    }

    fn names(workers: &[Worker]) -> Vec<&str> {
        workers.iter().map(|worker| &*worker.name).collect()
    }

    #[test]
    fn beyond_the_cap_workers_are_summed() {
        let workers: Vec<_> = (0..10).map(|n| worker(&format!("w{n}"), 100 - n)).collect();
        let shown = capped(&workers, 3, 0);
        assert_eq!(names(&shown), ["w9", "w8", "w7", OTHER]);
        assert_eq!((shown[3].shares.accepted, shown[3].connections), (35, 7));
        assert_eq!(names(&capped(&workers[..3], 3, 0)), ["w2", "w1", "w0"]);
        assert!(capped(&workers, 0, 0).is_empty());
    }

    #[test]
    fn gone_workers_lose_their_series() {
        let offline =
            |name, last_seen_ms| Worker { state: WorkerState::Offline, last_seen_ms, ..worker(name, 1) };
        let workers = [offline("gone", 1), offline("lately", WORKER_GONE_MS), worker("here", 1)];
        assert_eq!(names(&capped(&workers, 9, WORKER_GONE_MS + 2)), ["here", "lately"]);
    }

    #[test]
    fn a_worker_of_that_name_is_one_of_the_others() {
        let shown = capped(&[worker(OTHER, 1), worker("a", 2)], 9, 0);
        assert_eq!(names(&shown), ["a", OTHER]);
    }

    #[test]
    fn what_the_others_counted_never_shrinks() {
        let mut others = Others::default();
        let mut sum = |workers: &[Worker], now_ms| {
            let shown = others.capped(workers, 1, now_ms);
            let other = shown.into_iter().find(|worker| &*worker.name == OTHER)?;
            Some((other.shares.accepted, other.connections, other.state))
        };
        let [first, mut second, third] = [worker("a", 1), worker("b", 2), worker("c", 3)];
        let online = WorkerState::Online;
        assert_eq!(sum(std::slice::from_ref(&first), 0), None);
        assert_eq!(sum(&[first, second.clone(), third.clone()], 0), Some((10, 2, online)));
        // One gets series of its own, and has had them when it counts on.
        assert_eq!(sum(&[second.clone(), third.clone()], 0), Some((10, 1, online)));
        second.shares.accepted = 100;
        assert_eq!(sum(&[second.clone(), third.clone()], 0), Some((10, 1, online)));
        // It loses them again, and counts on.
        let earlier = worker("0", 0);
        second.shares.accepted = 103;
        assert_eq!(sum(&[earlier.clone(), second.clone(), third], 0), Some((13, 2, online)));
        // All others are gone, then forgotten.
        second.state = WorkerState::Offline;
        second.connections = 0;
        let offline = WorkerState::Offline;
        assert_eq!(sum(&[earlier.clone(), second], WORKER_GONE_MS + 2), Some((13, 0, offline)));
        assert_eq!(sum(std::slice::from_ref(&earlier), WORKER_GONE_MS + 2), Some((13, 0, offline)));
        // One comes back and begins anew.
        assert_eq!(sum(&[earlier, worker("b", 9)], 0), Some((18, 1, online)));
    }

    #[test]
    fn what_a_worker_grew_by_is_all_of_it_only_where_a_count_shrank() {
        let before =
            Tally { accepted: 9, rejected: 2, accepted_difficulty: 0.1 + 0.2 + 0.3, ..Tally::default() };
        let difficulty = |now: Tally| now.since(&before).accepted_difficulty.to_bits();
        let a_last_bit_less = Tally { accepted_difficulty: 0.3 + 0.2 + 0.1, ..before };
        assert_eq!(difficulty(a_last_bit_less), 0.0_f64.to_bits());
        let one_more = Tally { accepted: 10, accepted_difficulty: 8.0, ..before };
        assert_eq!(difficulty(one_more), (8.0 - before.accepted_difficulty).to_bits());
        // Begun anew, and already further than before with some of it.
        let anew = Tally { accepted: 12, rejected: 1, accepted_difficulty: 40.0, ..before };
        let grown = anew.since(&before);
        assert_eq!((grown.accepted, grown.rejected, grown.accepted_difficulty), (12, 1, 40.0));
    }
}
