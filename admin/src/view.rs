//! What operators are shown, as plain values: the engine fills them, this crate renders them as JSON, Prometheus text and
//! pages. Nothing here refers to the engine, and nothing here judges (see [`crate::health`]).
//!
//! Conventions: `_ms` at the end of a moment (`since_ms`, `at_ms`) is Unix time in milliseconds; rates are hashes per
//! second; difficulties are the wire number. Labels are `snake_case` and come from small closed sets, since each becomes a
//! time series. Fractions that are not finite are written as 0.

pub mod counts;
pub mod drill;
pub mod fleet;
pub mod health;
pub mod latency;
pub mod page;
pub mod pool;
pub mod series;
pub mod shard;
pub mod split;
pub mod worker;

pub use counts::{Counts, Rates, ShareCounts};
pub use drill::{DrillOutcome, DrillPhase, DrillReport};
pub use fleet::{Ban, Build, CertificateInfo, ConfigText, LedgerStats, LimitUse, ProcessStats, Snapshot};
pub use health::{DatabaseHealth, HealthFacts, PoolsHealth, SystemHealth, UnusablePool};
pub use latency::Latency;
pub use page::{PoolList, SeriesPage, ShardList, Stats, WorkerDetail, WorkerPage, WorkerRow};
pub use pool::{Pool, PoolChange, PoolProbe, PoolState};
pub use series::{Series, Span, Subject};
pub use shard::Shard;
pub use split::{Split, SplitPart};
pub use worker::{Worker, WorkerState, Workers};

/// Writes a fraction that JSON can hold.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(crate) fn finite<S: serde::Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(if value.is_finite() { *value } else { 0.0 })
}
