//! The hashing threads of one miner: they share a task, and hand out what they find.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use adit_protocol::difficulty::Target;
use adit_protocol::hash::sha256d_of;
use adit_protocol::hex;
use adit_protocol::merkle;
use adit_protocol::share::{header, versions};
use adit_protocol::template::Work;
use parking_lot::{Condvar, Mutex};

use super::hasher::Search;

/// Nonces tried before the next extranonce2; small, so that extranonces and version bits get their turn on a CPU.
const NONCES_PER_HEADER: u32 = 1 << 20;
/// Nonces tried between two looks at whether the task is still the same.
const CHUNK_MAX: u32 = 1 << 16;
/// How often a thread with a limited rate pauses, at least.
const PAUSES_PER_SECOND: f64 = 50.0;
/// A thread this far behind its rate does not catch up.
const LAG_MAX: Duration = Duration::from_millis(200);

/// What to hash.
#[derive(Clone, Debug)]
pub(super) struct Task {
    /// Counts the connections of the miner.
    pub(super) connection: u64,
    /// Counts the jobs of the miner.
    pub(super) job_number: u64,
    pub(super) job_id: Arc<str>,
    pub(super) work: Arc<Work>,
    pub(super) extranonce1: Vec<u8>,
    pub(super) extranonce2_size: usize,
    pub(super) version_mask: u32,
    pub(super) target: Target,
}

/// A share, its numbers as the wire has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) connection: u64,
    pub(super) job_number: u64,
    pub(super) job_id: Arc<str>,
    pub(super) extranonce1: String,
    pub(super) extranonce2: String,
    pub(super) ntime: u32,
    pub(super) nonce: u32,
    /// Within the mask; `None` where there is none.
    pub(super) version_bits: Option<u32>,
}

#[derive(Debug)]
struct Shared {
    task: Mutex<Option<Arc<Task>>>,
    changed: Condvar,
    /// Counts the changes of `task`.
    changes: AtomicU64,
    /// The next extranonce2. Never starts again, so that no share is found twice after a reconnect.
    extranonce2: AtomicU64,
    hashes: AtomicU64,
    stopping: AtomicBool,
}

/// The threads. Dropped, they stop.
#[derive(Debug)]
pub(super) struct Crew {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Crew {
    /// Starts `threads_count` threads that together make at most `hashes_per_second`.
    pub(super) fn start(
        threads_count: usize,
        hashes_per_second: Option<f64>,
        found: impl Fn(Found) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            task: Mutex::new(None),
            changed: Condvar::new(),
            changes: AtomicU64::new(0),
            extranonce2: AtomicU64::new(0),
            hashes: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        });
        let mut crew = Self { shared, threads: Vec::new() };
        for _ in 0..threads_count {
            let (shared, found) = (Arc::clone(&crew.shared), found.clone());
            let pace = hashes_per_second.map(|rate| Pace::new(rate / threads_count as f64));
            let thread = std::thread::Builder::new().name("cpu-miner".into());
            crew.threads.push(thread.spawn(move || hash(&shared, pace, found))?);
        }
        Ok(crew)
    }

    /// Hashes this from now on; `None` rests.
    pub(super) fn set_task(&self, task: Option<Task>) {
        let mut current = self.shared.task.lock();
        *current = task.map(Arc::new);
        self.shared.changes.fetch_add(1, Ordering::Relaxed);
        self.shared.changed.notify_all();
    }

    /// Hashes made so far.
    pub(super) fn hashes(&self) -> u64 {
        self.shared.hashes.load(Ordering::Relaxed)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.set_task(None);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                log::error!("a hashing thread panicked");
            }
        }
    }
}

impl Shared {
    /// Waits for a task; `None` once it is time to stop. With it the count of changes that it belongs to.
    fn wait_for_task(&self) -> Option<(Arc<Task>, u64)> {
        let mut task = self.task.lock();
        loop {
            if self.stopping.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(task) = &*task {
                return Some((Arc::clone(task), self.changes.load(Ordering::Relaxed)));
            }
            self.changed.wait(&mut task);
        }
    }

    fn is_current(&self, changes: u64) -> bool {
        self.changes.load(Ordering::Relaxed) == changes
    }

    /// Waits, but not longer than the task stays the same.
    fn rest_until(&self, end: Instant, changes: u64) {
        let mut task = self.task.lock();
        while self.is_current(changes) && !self.changed.wait_until(&mut task, end).timed_out() {}
    }
}

/// A hash rate kept by pausing.
#[derive(Debug)]
struct Pace {
    hashes_per_second: f64,
    /// When the hashes made so far would be done at that rate.
    due: Instant,
}

impl Pace {
    fn new(hashes_per_second: f64) -> Self {
        Self { hashes_per_second, due: Instant::now() }
    }

    fn chunk(&self) -> u32 {
        (self.hashes_per_second / PAUSES_PER_SECOND).clamp(1.0, f64::from(CHUNK_MAX)) as u32
    }

    /// When to go on after so many more hashes.
    fn after(&mut self, hashes: u32) -> Instant {
        let earliest = Instant::now().checked_sub(LAG_MAX).unwrap_or(self.due);
        self.due =
            self.due.max(earliest) + Duration::from_secs_f64(f64::from(hashes) / self.hashes_per_second);
        self.due
    }
}

fn hash(shared: &Shared, mut pace: Option<Pace>, found: impl Fn(Found)) {
    let chunk = pace.as_ref().map_or(CHUNK_MAX, Pace::chunk);
    while let Some((task, changes)) = shared.wait_for_task() {
        let (mut search, mut share) = prepare(&task, shared.extranonce2.fetch_add(1, Ordering::Relaxed));
        let mut nonce = 0;
        while nonce < NONCES_PER_HEADER && shared.is_current(changes) {
            let count = chunk.min(NONCES_PER_HEADER - nonce);
            let hit = search.run(nonce, count);
            let tried = hit.map_or(count, |hit| hit - nonce + 1);
            shared.hashes.fetch_add(tried.into(), Ordering::Relaxed);
            nonce += tried;
            if let Some(hit) = hit {
                share.nonce = hit;
                found(share.clone());
            }
            if let Some(pace) = &mut pace {
                shared.rest_until(pace.after(tried), changes);
            }
        }
    }
}

/// The header for one extranonce2, and the share that a hit makes of it.
fn prepare(task: &Task, extranonce2: u64) -> (Search, Found) {
    let Work { previous, coinbase1, coinbase2, branches, version, nbits, ntime } = &*task.work;
    let bits_count = 8 * task.extranonce2_size as u32;
    let mut extranonce2_bytes = vec![0; task.extranonce2_size];
    for (byte, value) in extranonce2_bytes.iter_mut().rev().zip(extranonce2.to_le_bytes()) {
        *byte = value;
    }
    // A short extranonce2 wraps; then time goes on a second instead.
    let ntime = ntime.wrapping_add(extranonce2.checked_shr(bits_count).unwrap_or(0) as u32);
    let version_bits =
        (extranonce2 as u32).wrapping_shl(task.version_mask.trailing_zeros()) & task.version_mask;
    let [version, ..] = versions(*version, task.version_mask, version_bits);
    let coinbase = sha256d_of([&coinbase1[..], &task.extranonce1, &extranonce2_bytes, coinbase2]);
    let root = merkle::root(coinbase, branches);
    let header = header(version, &previous.0, &root, ntime, *nbits, 0);
    let share = Found {
        connection: task.connection,
        job_number: task.job_number,
        job_id: Arc::clone(&task.job_id),
        extranonce1: hex::encode(&task.extranonce1),
        extranonce2: hex::encode(&extranonce2_bytes),
        ntime,
        nonce: 0,
        version_bits: (task.version_mask != 0).then_some(version_bits),
    };
    (Search::new(&header, task.target), share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use adit_protocol::hash::Hash256;
    use adit_protocol::share::{ShareCheck, Solution};
    use std::sync::mpsc::channel;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn task(difficulty: f64, extranonce2_size: usize) -> Task {
        Task {
            connection: 1,
            job_number: 1,
            job_id: "1".into(),
            work: Arc::new(Work {
                previous: Hash256([7; 32]),
                coinbase1: vec![1; 60],
                coinbase2: vec![2; 90],
                branches: vec![[3; 32], [4; 32]],
                version: 0x2000_0000,
                nbits: 0x1d00_ffff,
                ntime: 0x6625_2f80,
            }),
            extranonce1: vec![0xf0, 0, 0, 1],
            extranonce2_size,
            version_mask: 0x1fff_e000,
            target: Target::from_difficulty(difficulty).unwrap(),
        }
    }

    fn meets(task: &Task, found: &Found) -> bool {
        let (ntime, nonce) = (format!("{:08x}", found.ntime), format!("{:08x}", found.nonce));
        let bits = format!("{:08x}", found.version_bits.unwrap());
        let solution = Solution::from_hex(
            found.extranonce2.as_bytes(),
            task.extranonce2_size,
            ntime.as_bytes(),
            nonce.as_bytes(),
            Some(bits.as_bytes()),
        );
        let check = ShareCheck {
            job: task.work.content(),
            extranonce1: &task.extranonce1,
            version_mask: task.version_mask,
            target: task.target,
        };
        check.check(&solution.unwrap()).meets
    }

    #[test]
    fn what_is_found_passes_the_share_check() {
        let task = task(1e-6, 4);
        let (sender, found) = channel();
        let crew = Crew::start(2, None, move |share| {
            let _ = sender.send(share);
        });
        let crew = crew.unwrap();
        crew.set_task(Some(task.clone()));
        let shares: Vec<_> = (0..50).map(|_| found.recv_timeout(PATIENCE).unwrap()).collect();
        assert!(shares.iter().all(|share| meets(&task, share)));
        let extranonces: std::collections::BTreeSet<_> =
            shares.iter().map(|share| &share.extranonce2).collect();
        assert!(extranonces.len() >= 2, "each thread has its own");
        assert!(crew.hashes() > 0);
    }

    #[test]
    fn the_rate_is_kept() {
        let crew = Crew::start(2, Some(20_000.0), |_| ()).unwrap();
        let start = Instant::now();
        crew.set_task(Some(task(1e6, 8)));
        assert!(crate::wait::until(PATIENCE, || crew.hashes() >= 10_000));
        let seconds = start.elapsed().as_secs_f64();
        assert!(seconds > 0.25, "10,000 hashes at 20,000 a second took {seconds} s");
    }

    #[test]
    fn a_short_extranonce2_wraps_into_time() {
        let task = task(1e-6, 1);
        let (_, first) = prepare(&task, 5);
        let (_, later) = prepare(&task, 256 + 5);
        assert_eq!((first.extranonce2, first.ntime), ("05".into(), 0x6625_2f80));
        assert_eq!((later.extranonce2, later.ntime), ("05".into(), 0x6625_2f81));
        assert_ne!(first.version_bits, prepare(&task, 6).1.version_bits);
    }
}
