//! The session's door to what is known of workers beyond one session: the engine implements it, a simulation too.

use crate::names::NameError;
use crate::pool::PoolId;

/// Stands for a worker that has no key (yet): no name matched, no pool accepted it, or there are too many workers.
pub const NO_WORKER: u32 = 0;

/// Names across all sessions. Called when a miner authorises and when its session ends, never per message.
pub trait Workers {
    /// The name by which this pool knows `raw`, the bytes between the quotes of the miner's name. It stands between quotes
    /// again when it is sent: what JSON wants escaped is escaped in it. Each success wants one [`Workers::release`] with
    /// the same arguments.
    fn assign(&mut self, pool: PoolId, raw: &[u8]) -> Result<Box<[u8]>, NameError>;

    /// A pool accepted the name: the worker's key from now on, for rows and counters, the same at every pool.
    /// [`NO_WORKER`] when there are too many. The name is assigned at this pool at the time.
    fn proven(&mut self, pool: PoolId, raw: &[u8]) -> u32;

    /// One session less uses the name at this pool.
    fn release(&mut self, pool: PoolId, raw: &[u8]);
}
