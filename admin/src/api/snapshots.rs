//! Copies of the engine's figures, shared by all who ask within a short time: however many clients there are, shards are
//! asked so often and no more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::control::Control;
use crate::view::{Snapshot, Workers};

/// How long the engine may take for a copy.
pub(crate) const READ_TIME_MAX: Duration = Duration::from_millis(250);
/// How old a snapshot may be.
const SNAPSHOT_AGE_MAX: Duration = Duration::from_millis(200);
/// How old the list of workers may be. It is long.
const WORKERS_AGE_MAX: Duration = Duration::from_secs(1);

/// The copies.
#[derive(Default)]
pub(super) struct Snapshots {
    snapshot: Shared<Snapshot>,
    workers: Shared<Workers>,
}

impl Snapshots {
    /// Everything but the workers.
    pub fn snapshot(&self, control: &dyn Control) -> Arc<Snapshot> {
        self.snapshot.get(SNAPSHOT_AGE_MAX, || control.snapshot(READ_TIME_MAX))
    }

    /// The workers.
    pub fn workers(&self, control: &dyn Control) -> Arc<Workers> {
        self.workers.get(WORKERS_AGE_MAX, || control.workers(READ_TIME_MAX))
    }
}

/// A value and when it was read. Who comes while it is read waits for it instead of reading it again.
struct Shared<T>(Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Shared<T> {
    fn get(&self, age_max: Duration, read: impl FnOnce() -> T) -> Arc<T> {
        let mut kept = self.0.lock();
        if let Some((at, value)) = &*kept
            && at.elapsed() <= age_max
        {
            return Arc::clone(value);
        }
        let value = Arc::new(read());
        // Its age counts from now: a slow read must not be repeated at once by everyone who waited for it.
        *kept = Some((Instant::now(), Arc::clone(&value)));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_read_serves_all_within_its_age() {
        let shared = Shared::default();
        let mut reads = 0;
        let mut get = |age_max| {
            *shared.get(age_max, || {
                reads += 1;
                reads
            })
        };
        assert_eq!([get(Duration::from_secs(60)), get(Duration::from_secs(60))], [1, 1]);
        assert_eq!(get(Duration::ZERO), 2);
    }
}
