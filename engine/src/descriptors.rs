//! How many descriptors of the process are left, asked of the kernel without counting them.
//!
//! A miner that moves has a third one for a while: its next pool's beside the last one's, whose late verdicts are waited for.
//! Where there are not enough for all, those that move by choice wait, and the last pool's connection is closed at once,
//! so that no miner is refused for it.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::{Resource, getrlimit};

/// One in so many is left to miners that come.
const KEPT_PART: u64 = 8;

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

    /// Whether they run short. `any` is one of them.
    pub fn run_short(self, any: BorrowedFd<'_>) -> bool {
        // A copy takes the lowest number that is free, so as many as that are in use.
        let used = any.try_clone_to_owned().map_or(self.max, |copy| copy.as_raw_fd().unsigned_abs().into());
        self.are_short(used)
    }

    fn are_short(self, used: u64) -> bool {
        used >= self.max - self.max / KEPT_PART
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn they_run_short_before_the_last_one_is_taken() {
        let descriptors = Descriptors { max: 800 };
        assert_eq!([0, 699, 700, 800].map(|used| descriptors.are_short(used)), [false, false, true, true]);
        let any = std::fs::File::open("/dev/null").unwrap();
        assert!(!Descriptors { max: 100_000 }.run_short(any.as_fd()));
        assert!(Descriptors { max: 3 }.run_short(any.as_fd()));
    }
}
