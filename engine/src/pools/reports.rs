//! What shards report about pools: small values through a bounded channel that never makes a shard wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use crossbeam::channel::{self, Receiver, Sender, TrySendError};

use super::breaker::Report;

/// Reports that may wait for the control. A pool with ten thousand miners that dies makes about as many at once; the
/// first few decide.
const REPORTS_COUNT_MAX: usize = 4_096;

/// One report, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which pool.
    pub pool: PoolId,
    /// What happened.
    pub report: Report,
    /// When the wait began that failed, or the login that worked.
    pub began: Moment,
    /// When it happened.
    pub at: Moment,
}

/// A shard's end. Copies lead to the same control.
#[derive(Clone, Debug)]
pub struct Reports {
    channel: Sender<Sent>,
    lost: Arc<AtomicU64>,
}

/// The two ends.
pub fn reports() -> (Reports, Receiver<Sent>) {
    let (channel, received) = channel::bounded(REPORTS_COUNT_MAX);
    (Reports { channel, lost: Arc::default() }, received)
}

impl Reports {
    /// Tells the control. Never waits: what does not fit is counted and forgotten.
    pub fn tell(&self, sent: Sent) {
        if let Err(TrySendError::Full(_)) = self.channel.try_send(sent) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Reports that did not fit.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_that_does_not_listen_costs_reports_and_nothing_else() {
        let (reports, received) = reports();
        let sent = |n| Sent { pool: PoolId(1), report: Report::LoggedIn, began: Moment(0), at: Moment(n) };
        (0..REPORTS_COUNT_MAX as u64 + 3).for_each(|n| reports.tell(sent(n)));
        assert_eq!(reports.clone().lost(), 3);
        assert_eq!(received.try_recv(), Ok(sent(0)));
        drop(received);
        reports.tell(sent(9));
        assert_eq!(reports.lost(), 3, "a control that has ended lost nothing");
    }
}
