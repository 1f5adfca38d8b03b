//! Every bound of the ledger, in one place. Something defined happens at each of them, and a test reaches it.

/// Share rows that wait in one shard's outbox: 2 MiB. Further ones are folded into the shard's gap.
pub const OUTBOX_ROWS_MAX: usize = 32 * 1024;
/// Cold records that wait in one shard's outbox. Further ones are counted in the shard's gap.
pub const OUTBOX_NOTES_MAX: usize = 4 * 1024;
/// Tallies (one minute of one worker at one pool) that a gap keeps apart. What belongs to none of them goes into the
/// gap's one unattributed tally. Two gaps exist per shard; a gap that is never used takes no memory.
pub const GAP_TALLIES_MAX: usize = 16 * 1024;

/// Worker names that get a key of their own in one run of the process; all later ones share [`WorkerKey::UNKNOWN`].
///
/// [`WorkerKey::UNKNOWN`]: crate::record::WorkerKey::UNKNOWN
pub const WORKERS_COUNT_MAX: usize = 256 * 1024;
/// Pool names that get a key of their own in one run; later ones share [`PoolKey::NONE`](crate::record::PoolKey::NONE).
pub const POOLS_COUNT_MAX: usize = 4 * 1024;
/// Reject reasons that get a key of their own in one run; later ones share
/// [`ReasonKey::OTHER`](crate::record::ReasonKey::OTHER).
pub const REASONS_COUNT_MAX: usize = 4 * 1024;
/// Longest text kept (names, reasons, user agents, details of an event), bytes; longer ones are cut between characters.
pub const TEXT_BYTES_MAX: usize = 512;

/// Share rows written in one transaction.
pub const BATCH_ROWS_MAX: usize = 32 * 1024;
/// Notes written in one transaction.
pub const BATCH_NOTES_MAX: usize = 8 * 1024;
/// Time between two batches, and so the longest that a row waits for its own.
pub const BATCH_INTERVAL_MS: u64 = 100;
/// Rows of a batch that are filed at a time, some 300 µs: a shard that shares this core waits no longer for the ledger.
pub const BATCH_PIECE_ROWS: usize = 512;
/// Pieces of a batch that are filed while its rows still come; where more do, pieces are larger. Each wakes the thread once.
pub const BATCH_PIECES_MAX: usize = 25;
/// A piece that came so much too late shows a machine without time to spare, where each wait is a risk to the promise: the
/// batch is written at once then.
pub const BATCH_PIECE_LATE_MS_MAX: u64 = 10;
/// Batches that are filed whole after that.
pub const BATCHES_WHOLE: u32 = 20;
/// Promise: a row is durable this long after its verdict, unless the disk stalls or refuses.
pub const DURABLE_MS_MAX: u64 = 250;
/// Longest single step of maintenance (pruning, giving space back) between two batches.
pub const MAINTENANCE_STEP_MS_MAX: u64 = 50;
/// Rows or pages of one such step at most; less where the disk is slower.
pub const MAINTENANCE_STEP_ROWS_MAX: u32 = 64 * 1024;
/// First pause after a failed write; it doubles each time.
pub const RETRY_MS_MIN: u64 = 100;
/// Longest pause between two tries of a failed write.
pub const RETRY_MS_MAX: u64 = 5_000;
/// How long SQLite waits for somebody else's lock before it gives up; then the batch is retried like any failed one.
pub const BUSY_TIMEOUT_MS: u64 = 50;
/// Longest time between a commit and the checkpoint that puts it into the main file: what a power loss may cost.
pub const CHECKPOINT_INTERVAL_MS: u64 = 5_000;
/// Rows written or pruned after which a checkpoint is made without waiting for the interval: some 5 MiB. Bounds the
/// write-ahead log, and how long a batch waits for a checkpoint.
pub const CHECKPOINT_ROWS: u64 = 128 * 1024;
/// A write-ahead log that a long reader (a backup) made grow is cut back to this.
pub const LOG_BYTES_KEPT: u64 = 64 * 1024 * 1024;
/// Texts (reasons, user agents) that a ledger keeps; miners choose some of them, so later ones are "(other)".
pub const TEXTS_COUNT_MAX: i64 = 64 * 1024;
/// Tallies of the running minute that the writer keeps in memory: 12 MiB. When there are more, all are written at once.
pub const ROLLUP_TALLIES_MAX: usize = 32 * 1024;
/// How far rollups lie behind the shares at most, unless they cannot be written.
pub const ROLLUP_INTERVAL_MS_MAX: u64 = 61_000;
/// Pause after rollups could not be written: what they lack has to be read again.
pub const ROLLUP_RETRY_MS: u64 = 5_000;
/// Session numbers reserved at a time, so that numbers of one run are never those of another.
pub const SESSIONS_RESERVED: u64 = 4 * 1024;
/// How far the newest share may lie in the future before the start warns of it.
pub const CLOCK_AHEAD_US_MAX: u64 = 60_000_000;
/// Page cache of the writer's connection. It fills with the file, so all of it is memory of every Adit; rows are appended, and
/// what is looked up again (live sessions, the present minute of each worker) takes a part of it.
pub const WRITER_CACHE_KIB: usize = 8 * 1024;
/// A ledger up to this size is checked whole at the start; a larger one at its ends.
pub const CHECKED_WHOLE_BYTES_MAX: u64 = 32 * 1024 * 1024;

const _: () = assert!(POOLS_COUNT_MAX <= u16::MAX as usize && REASONS_COUNT_MAX <= u16::MAX as usize);
const _: () = assert!(WORKERS_COUNT_MAX <= u32::MAX as usize);
const _: () = assert!(BATCH_INTERVAL_MS + MAINTENANCE_STEP_MS_MAX < DURABLE_MS_MAX);
const _: () = assert!(RETRY_MS_MIN < RETRY_MS_MAX);
const _: () = assert!(GAP_TALLIES_MAX <= ROLLUP_TALLIES_MAX);
