//! Which workers have series of their own.

use crate::view::{Worker, WorkerState};

/// The label of all the others together.
pub const OTHER: &str = "other";
/// How long after it was last seen a worker keeps its series.
pub const WORKER_GONE_MS: u64 = 15 * 60 * 1_000;

/// The workers of the last while, those known longest first, so that a series once there stays; beyond `max` summed up.
pub(super) fn capped(workers: &[Worker], max: usize, now_ms: u64) -> Vec<Worker> {
    if max == 0 {
        return Vec::new();
    }
    let is_gone = |worker: &Worker| {
        worker.state == WorkerState::Offline && worker.last_seen_ms.saturating_add(WORKER_GONE_MS) < now_ms
    };
    let mut present: Vec<&Worker> = workers.iter().filter(|worker| !is_gone(worker)).collect();
    present.sort_by(|a, b| (a.first_seen_ms, &a.name).cmp(&(b.first_seen_ms, &b.name)));
    let mut shown = Vec::with_capacity(present.len().min(max) + 1);
    let mut other = Worker { name: OTHER.into(), state: WorkerState::Online, ..Worker::default() };
    let mut others = 0_u64;
    for worker in present {
        // A worker that happens to have that name is one of the others.
        if shown.len() < max && &*worker.name != OTHER {
            shown.push(worker.clone());
        } else {
            others += 1;
            add(&mut other, worker);
        }
    }
    if others > 0 {
        shown.push(other);
    }
    shown
}

fn add(sum: &mut Worker, worker: &Worker) {
    sum.connections = sum.connections.saturating_add(worker.connections);
    sum.difficulty = sum.difficulty.max(worker.difficulty);
    sum.last_share_ms = sum.last_share_ms.max(worker.last_share_ms);
    sum.hashrate.merge(&worker.hashrate);
    sum.shares.merge(&worker.shares);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::ShareCounts;

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
}
