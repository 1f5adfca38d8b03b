//! Waiting for a condition with a deadline: what tests do instead of sleeping.

use std::time::{Duration, Instant};

/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Looks until `condition` holds or the time is over; whether it held.
pub fn until(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// Looks until there is a value or the time is over.
pub fn for_some<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let mut found = None;
    until(deadline, || {
        found = look();
        found.is_some()
    });
    found
}
