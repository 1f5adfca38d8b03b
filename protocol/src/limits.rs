//! Every bound of the protocol core, in one place. Something defined happens at each of them, and a test reaches it.

/// Longest line taken from a miner, without its LF. One byte more is the miner's fault and ends its connection.
pub const MINER_LINE_BYTES_MAX: usize = 16 * 1024;
/// Longest line taken from a pool, without its LF. A 14-branch job is about 2.5 KiB, a 16 KiB coinbase 34 KiB.
pub const POOL_LINE_BYTES_MAX: usize = 1024 * 1024;
/// Readable and writable bytes that must follow a line in its buffer: simd-json reads and patches past its end.
pub const LINE_PADDING: usize = 64;
/// Smallest reassembly buffer for lines that come in pieces: one receive.
pub const SPARE_BUFFER_BYTES_MIN: usize = 4 * 1024;
/// Largest reassembly buffer kept for reuse: a job with a 16 KiB coinbase fits.
pub const SPARE_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Reassembly buffers that a shard keeps for reuse.
pub const SPARE_BUFFERS_COUNT_MAX: usize = 64;
/// Deepest nesting of arrays and objects in a line.
pub const JSON_DEPTH_MAX: usize = 32;
/// Params whose spans are kept; further ones are counted only. `mining.notify` has nine.
pub const PARAMS_MAX: usize = 12;
/// Lines held back while an earlier handshake request is unanswered, per session.
pub const HELD_BYTES_MAX: usize = 64 * 1024;
/// The same as a number of lines: each that is let go looks at all that still wait.
pub const HELD_COUNT_MAX: usize = 1_024;
/// Requests of one session that wait for the pool at the same time.
pub const PENDING_COUNT_MAX: usize = 256;
/// Requests of one session between the oldest that is remembered and the newest. Beyond it the oldest are forgotten if
/// nobody is owed an answer to them, else a new request is refused.
pub const PENDING_WINDOW_COUNT_MAX: usize = 1_024;
/// Pools of one process, those that are not configured any more included.
pub const POOLS_COUNT_MAX: usize = 4_096;
/// Names authorised on one connection.
pub const NAMES_COUNT_MAX: usize = 16;
/// Longest worker name taken from a miner, raw bytes between the quotes.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest cleaned worker part put into a template.
pub const WORKER_BYTES_MAX: usize = 32;
/// Longest name that a template makes. A name left untouched may have [`NAME_BYTES_MAX`].
pub const UPSTREAM_NAME_BYTES_MAX: usize = 128;
/// Least room that account and template must leave for each appearance of the miner's name.
pub const NAME_PART_BYTES_MIN: usize = 8;
/// Worker names kept per name rule, those of absent miners included. About 300 bytes each.
pub const NAME_TABLE_COUNT_MAX: usize = 256 * 1024;
/// Longest params of a miner's configure or subscribe kept for logins of Adit's own; longer ones are not asked again.
pub const LOGIN_PARAMS_BYTES_MAX: usize = 1_024;
/// Longest path by which a miner may come in.
pub const PATH_BYTES_MAX: usize = 256;
/// Longest password of a miner kept for logins of Adit's own; where it is longer they use `x`.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Longest user agent kept, after cleaning.
pub const USER_AGENT_BYTES_MAX: usize = 128;
/// Longest reason for a rejection kept, after cleaning.
pub const REASON_BYTES_MAX: usize = 128;
/// Jobs remembered per session, newest kept.
pub const JOBS_COUNT_MAX: usize = 16;
/// Jobs of a session whose contents are kept for the share check, newest kept.
pub const JOB_CONTENTS_COUNT_MAX: usize = 4;
/// Job contents of a shard, bytes. A content beyond it is not kept: its job is tracked, its shares are not checked here.
pub const JOB_STORE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest job id; one that is longer is forwarded and not tracked.
pub const JOB_ID_BYTES_MAX: usize = 64;
/// Merkle branches of a job.
pub const BRANCHES_COUNT_MAX: usize = 32;
/// Longest coinbase (both halves and the extranonces), bytes.
pub const COINBASE_BYTES_MAX: usize = 64 * 1024;
/// Longest extranonce1, bytes.
pub const EXTRANONCE1_BYTES_MAX: usize = 32;
/// Bounds of `extranonce2_size`, bytes. None at all crashed firmware, and leaves a miner nothing to roll.
pub const EXTRANONCE2_SIZE_MIN: usize = 1;
/// The upper one.
pub const EXTRANONCE2_SIZE_MAX: usize = 16;

const _: () = assert!(MINER_LINE_BYTES_MAX < HELD_BYTES_MAX && HELD_BYTES_MAX < POOL_LINE_BYTES_MAX);
const _: () = assert!(POOL_LINE_BYTES_MAX < u32::MAX as usize, "spans are u32");
