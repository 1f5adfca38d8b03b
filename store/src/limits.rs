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

const _: () = assert!(POOLS_COUNT_MAX <= u16::MAX as usize && REASONS_COUNT_MAX <= u16::MAX as usize);
const _: () = assert!(WORKERS_COUNT_MAX <= u32::MAX as usize);
