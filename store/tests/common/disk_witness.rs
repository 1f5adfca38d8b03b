//! Looks on while something writes to a disk: for how long did the disk, or the machine, let nobody on?
//!
//! A promise in milliseconds is the ledger's as long as it may run and write. What somebody else on the same disk had to wait
//! for meanwhile is added to it, and nothing else is forgiven.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two writes.
const PAUSE: Duration = Duration::from_millis(10);

/// A thread that writes a page to the disk, again and again, all the way to the medium.
pub struct DiskWitness {
    stop: Arc<AtomicBool>,
    longest_us: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl DiskWitness {
    /// Begins to write, in a file of its own in this directory.
    pub fn start(directory: &Path) -> Self {
        let file = File::create(directory.join("witness")).expect("a file");
        let (stop, longest_us) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (seen, told) = (Arc::clone(&longest_us), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Acquire) {
                let started = Instant::now();
                file.write_all_at(&[1; 4096], 0).and_then(|()| file.sync_data()).expect("a write");
                std::thread::sleep(PAUSE);
                seen.fetch_max(started.elapsed().as_micros() as u64, Ordering::AcqRel);
            }
        });
        Self { stop, longest_us, thread }
    }

    /// The longest that one write took, the one under way included.
    pub fn longest(self) -> Duration {
        self.stop.store(true, Ordering::Release);
        self.thread.join().expect("no panic");
        Duration::from_micros(self.longest_us.load(Ordering::Acquire))
    }
}
