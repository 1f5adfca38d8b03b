//! What the ledger remembers of the time before this start: who mined, and the hashrates they had, so that a restart blanks
//! no figure.
//!
//! It is read once, while the shards are not serving yet, and never changes: averages decay linearly, so what was and what
//! is since are kept apart and added when somebody asks.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{io, thread};

use adit_protocol::workers::NO_WORKER;
use adit_store::hashrate::Hashrate;
use adit_store::reader::{ReadError, Reader};
use crossbeam::channel;

use crate::workers::Registry;

/// Workers of earlier runs that are remembered, those seen last first.
const WORKERS_COUNT_MAX: usize = 64 * 1024;
/// A week of ten thousand workers is a hundred million minutes to read: shards go first.
const NICENESS: i32 = 10;

/// What there was before this start.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// Workers by key.
    pub(crate) workers: HashMap<u32, Past>,
    /// The hashrates of all of them together, at each pool by its name.
    pub(crate) pools: HashMap<String, Hashrate>,
}

/// What a worker was. Times are µs since 1970.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) first_seen_us: u64,
    pub(crate) last_seen_us: u64,
    /// Empty if it was never told.
    pub(crate) address: String,
    pub(crate) user_agent: String,
    /// `None` if it had no share within the longest window.
    pub(crate) hashrate: Option<Hashrate>,
}

/// The history, as soon as it is read. Copies are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory(Arc<OnceLock<History>>);

impl Memory {
    /// Reads the ledger on a thread of its own and waits for it up to `patience`. A ledger so large that this takes longer
    /// is read on while miners are served already: then shares of that minute may be counted twice in the hashrates.
    pub(crate) fn recall(
        ledger: &Path,
        registry: Arc<Registry>,
        now_us: u64,
        patience: Duration,
    ) -> io::Result<Self> {
        let memory = Self::default();
        let (read, is_read) = channel::bounded::<()>(0);
        let (path, place) = (ledger.to_owned(), memory.0.clone());
        thread::Builder::new().name("adit-history".into()).spawn(move || {
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                log::debug!("reading what was before the start is no nicer than the shards: {error}");
            }
            match History::read(&path, &registry, now_us) {
                // Nobody else sets it.
                Ok(history) => drop(place.set(history)),
                Err(error) => log::warn!("hashrates of before the start are not known: {error}"),
            }
            drop(read);
        })?;
        if is_read.recv_timeout(patience) == Err(channel::RecvTimeoutError::Timeout) {
            log::info!("still reading the hashrates of before the start; they appear when that is done");
        }
        Ok(memory)
    }

    /// What there was; `None` while it is read, and where no ledger is kept.
    pub(crate) fn get(&self) -> Option<&History> {
        self.0.get()
    }
}

impl History {
    fn read(ledger: &Path, registry: &Registry, now_us: u64) -> Result<Self, ReadError> {
        let reader = Reader::open(ledger)?;
        // The hashrates first: the sooner, the less of this run is in them.
        let mut restored = reader.restore_hashrates(now_us)?;
        let mut history = Self::default();
        history.pools.extend(restored.pools.drain(..));
        for known in reader.workers_not_seen_since(now_us)?.into_iter().take(WORKERS_COUNT_MAX) {
            let key = registry.keys().worker(&known.name).0;
            let past = Past {
                first_seen_us: known.seen_us.0,
                last_seen_us: known.seen_us.1,
                address: known.address,
                user_agent: known.user_agent,
                hashrate: None,
            };
            if key != NO_WORKER {
                registry.remember(key);
                history.workers.insert(key, past);
            }
        }
        for (name, hashrate) in restored.workers {
            if let Some(past) = history.workers.get_mut(&registry.keys().worker(&name).0) {
                past.hashrate = Some(hashrate);
            }
        }
        Ok(history)
    }
}
