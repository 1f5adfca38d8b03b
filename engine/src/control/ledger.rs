//! The ledger as operators see it.

use std::fs;
use std::path::Path;

use adit_admin::view::{DatabaseHealth, Latency, LedgerStats};
use adit_store::clock::now_us;
use adit_store::durations;
use adit_store::health::{State, Status};

// A histogram keeps its bounds on its way to Prometheus.
const _: () = assert!(is_same(&durations::BOUNDS_US, &adit_admin::view::latency::BOUNDS_US));

/// Whether it takes rows. `queue_rows_max` is what fits into all queues.
pub(super) fn health(status: &Status, queue_rows_max: u64) -> DatabaseHealth {
    let fault = match &status.state {
        State::Writing | State::Stopped => None,
        State::Failing { message, .. } => Some(message.clone()),
        State::Died => Some("its thread ended by a bug".to_owned()),
    };
    DatabaseHealth {
        writable: fault.is_none(),
        last_error: fault,
        durable_lag_ms: durable_lag_ms(status),
        queued_rows: status.rows_waiting,
        queue_rows_max,
        gap_shares: status.shares_in_gaps,
    }
}

/// What it counted.
pub(super) fn stats(status: &Status, queue_rows_max: u64, file: Option<&Path>) -> LedgerStats {
    let times = status.batch_times;
    LedgerStats {
        rows: status.rows_written,
        batches: status.batches_written,
        batch_time: Latency::from_buckets(times.buckets, times.count, times.sum_us, times.max_us),
        queued_rows: status.rows_waiting,
        queue_rows_max,
        durable_lag_ms: durable_lag_ms(status),
        gaps: status.gaps_written,
        gap_shares: status.shares_in_gaps,
        write_failures: status.failures,
        file_bytes: file.map_or(0, bytes),
    }
}

/// How long ago everything was durable. A disk that neither writes nor fails shows here and nowhere else.
fn durable_lag_ms(status: &Status) -> u64 {
    match status.state {
        State::Stopped => 0,
        // It has not looked yet.
        _ if status.durable_up_to_us == 0 => 0,
        _ => now_us().saturating_sub(status.durable_up_to_us) / 1_000,
    }
}

/// The file with what SQLite keeps beside it.
fn bytes(file: &Path) -> u64 {
    ["", "-wal", "-shm"]
        .iter()
        .filter_map(|suffix| {
            let mut name = file.as_os_str().to_owned();
            name.push(suffix);
            fs::metadata(name).ok()
        })
        .map(|metadata| metadata.len())
        .sum()
}

const fn is_same(a: &[u64], b: &[u64]) -> bool {
    let mut n = 0;
    while n < a.len() && n < b.len() && a[n] == b[n] {
        n += 1;
    }
    n == a.len() && n == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_hangs_shows_as_lag_while_it_still_counts_as_writing() {
        let status = Status { durable_up_to_us: now_us() - 5_000_000, ..Status::default() };
        let health = health(&status, 10);
        assert!(health.writable && (5_000..60_000).contains(&health.durable_lag_ms), "{health:?}");
        assert_eq!(durable_lag_ms(&Status::default()), 0);
        assert_eq!(durable_lag_ms(&Status { state: State::Stopped, ..status }), 0);
    }
}
