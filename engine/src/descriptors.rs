//! How many descriptors of the process are left, asked of the kernel without going through them.
//!
//! A miner that moves has a third one for a while: its next pool's beside the last one's, whose late verdicts are waited for.
//! Where there are not enough for all, those that move by choice wait, and the last pool's connection is closed at once,
//! so that no miner is refused for it.

use std::fs::File;
use std::os::fd::AsRawFd;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// One in so many is left to miners that come.
const KEPT_PART: u64 = 8;
/// The process's descriptors. Since Linux 6.2 their number is the folder's size, which costs about a microsecond however
/// many there are; to list 20,000 takes a shard tens of milliseconds.
const FOLDER: &str = "/proc/self/fd";

/// The process's descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors {
    max: u64,
}

impl Descriptors {
    /// With the limit that the process has now.
    pub fn new() -> Self {
        Self { max: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) }
    }

    /// Whether they run short.
    pub fn run_short(self) -> bool {
        match File::open(FOLDER) {
            Ok(folder) => self.are_short(used(&folder)),
            Err(error) => matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)),
        }
    }

    fn are_short(self, used: u64) -> bool {
        used >= self.max - self.max / KEPT_PART
    }
}

/// How many are in use, this one apart.
fn used(folder: &File) -> u64 {
    // Linux 6.1 tells no size. A new descriptor takes the lowest number that is free, so as many as that are in use at least:
    // all of them, as long as none below has just been closed.
    let at_least = folder.as_raw_fd().unsigned_abs().into();
    let size = folder.metadata().map_or(0, |folder| folder.len());
    size.saturating_sub(1).max(at_least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_run_short_before_the_last_one_is_taken() {
        let descriptors = Descriptors { max: 800 };
        assert_eq!([0, 699, 700, 800].map(|used| descriptors.are_short(used)), [false, false, true, true]);
        assert!(!Descriptors { max: 100_000 }.run_short());
        assert!(Descriptors { max: 3 }.run_short());
    }

    #[test]
    fn those_above_a_gap_count() {
        const OPEN: usize = 200;
        let mut open: Vec<File> = (0..OPEN).map(|_| File::open("/dev/null").unwrap()).collect();
        open.drain(..OPEN / 2);
        let folder = File::open(FOLDER).unwrap();
        if folder.metadata().unwrap().len() > 0 {
            assert!(used(&folder) >= open.len() as u64, "{} of {}", used(&folder), open.len());
        }
    }
}
