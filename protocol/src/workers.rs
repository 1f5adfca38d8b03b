//! The session's door to what is known of workers beyond one session: the engine implements it, a simulation too.

use crate::names::NameError;

/// A miner's name as it is known upstream and to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// What the pool hears, without quotes; JSON needs no escapes in it that are not there.
    pub upstream: Box<[u8]>,
    /// The engine's key of the worker, for rows and counters.
    pub worker: u32,
}

/// Names across all sessions. Called when a miner authorises and when its session ends, never per message.
pub trait Workers {
    /// The upstream name and key for `raw`, the bytes between the quotes of the miner's name. Each success wants one
    /// [`Workers::release`] with the same bytes.
    fn assign(&mut self, raw: &[u8]) -> Result<Assigned, NameError>;

    /// A pool accepted the name.
    fn proven(&mut self, raw: &[u8]);

    /// One session less uses the name.
    fn release(&mut self, raw: &[u8]);
}
