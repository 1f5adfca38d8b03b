//! The workers of the process: one upstream name and one key each, whichever shard or connection they come by.
//!
//! Asked when a miner authorises and when its session ends, so a lock is no harm here. Per-share figures do not live here:
//! they stand in each shard under the worker's key.

use std::collections::HashMap;
use std::sync::Arc;

use adit_protocol::names::{NameError, NameRule, NameTable};
use adit_protocol::pool::PoolId;
use adit_protocol::workers::{NO_WORKER, Workers};
use adit_store::names::Names;
use adit_store::record::WorkerKey;
use parking_lot::Mutex;

/// Raw names known at the same time. Those of no session make room for new ones.
const NAMES_COUNT_MAX: usize = adit_protocol::limits::NAME_TABLE_COUNT_MAX;

/// All workers, shared by all shards.
#[derive(Debug)]
pub struct Registry {
    table: Mutex<NameTable>,
    /// Keys, the same as in the ledger's rows. Only names that a pool accepted get one, so guesses do not fill it.
    keys: Arc<Names>,
    /// Connections of each worker that was ever seen, over all shards.
    connections: Mutex<HashMap<u32, u32>>,
}

impl Registry {
    /// No workers yet; names are made by `rule`, keys given out by `keys`.
    pub fn new(rule: NameRule, keys: Arc<Names>) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::new(NameTable::new(rule, NAMES_COUNT_MAX)),
            keys,
            connections: Mutex::default(),
        })
    }

    /// The door for the sessions of one shard.
    pub fn door(self: &Arc<Self>) -> Box<dyn Workers> {
        Box::new(Door(Arc::clone(self)))
    }

    /// Keys of workers, pools and reasons.
    pub fn keys(&self) -> &Arc<Names> {
        &self.keys
    }

    /// The worker is known, connected or not.
    pub fn remember(&self, worker: u32) {
        if worker != NO_WORKER {
            self.connections.lock().entry(worker).or_default();
        }
    }

    /// A connection more is authorised under the worker's name.
    pub fn arrived(&self, worker: u32) {
        if worker != NO_WORKER {
            *self.connections.lock().entry(worker).or_default() += 1;
        }
    }

    /// A connection less is.
    pub fn left(&self, worker: u32) {
        if let Some(connections) = self.connections.lock().get_mut(&worker) {
            *connections = connections.saturating_sub(1);
        }
    }

    /// The key of a known worker and its connections, by its name.
    pub fn find(&self, name: &str) -> Option<(u32, u32)> {
        // Copied out, so that no shard waits while names are compared.
        let known: Vec<_> = self.connections.lock().iter().map(|(&key, &count)| (key, count)).collect();
        known.into_iter().find(|&(key, _)| self.keys.worker_name(WorkerKey(key)).as_deref() == Some(name))
    }

    /// Workers that are connected, and workers that are known. Each is counted once, on however many shards it is.
    pub fn online_and_known(&self) -> (usize, usize) {
        let connections = self.connections.lock();
        (connections.values().filter(|&&count| count > 0).count(), connections.len())
    }
}

/// A shard's way to the registry.
struct Door(Arc<Registry>);

impl Workers for Door {
    fn assign(&mut self, _: PoolId, raw: &[u8]) -> Result<Box<[u8]>, NameError> {
        self.0.table.lock().assign(raw).map(Into::into)
    }

    fn proven(&mut self, pool: PoolId, raw: &[u8]) -> u32 {
        // One user more for a moment: the name is in use, so this is the name it has.
        let Ok(upstream) = self.assign(pool, raw) else { return NO_WORKER };
        self.release(pool, raw);
        self.0.keys.worker(&String::from_utf8_lossy(&upstream)).0
    }

    fn release(&mut self, _: PoolId, raw: &[u8]) {
        self.0.table.lock().release(raw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: PoolId = PoolId(1);

    #[test]
    fn a_worker_with_two_connections_is_online_until_both_are_gone() {
        let registry = Registry::new(NameRule::new(None, None).expect("rule"), Arc::default());
        registry.remember(1);
        for worker in [2, 2, NO_WORKER] {
            registry.arrived(worker);
        }
        assert_eq!(registry.online_and_known(), (1, 2));
        registry.left(2);
        assert_eq!(registry.online_and_known(), (1, 2));
        for worker in [2, 1, NO_WORKER] {
            registry.left(worker);
        }
        assert_eq!(registry.online_and_known(), (0, 2));
    }

    #[test]
    fn a_worker_has_one_name_and_one_key_on_all_shards() {
        let rule = NameRule::new(Some("ACC".to_owned()), None).expect("rule");
        let registry = Registry::new(rule, Arc::default());
        let (mut one, mut two) = (registry.door(), registry.door());
        assert_eq!(&*one.assign(POOL, b"x.rig1").expect("name"), b"ACC.rig1");
        let key = one.proven(POOL, b"x.rig1");
        assert_ne!(key, NO_WORKER);
        one.release(POOL, b"x.rig1");
        assert_eq!(&*two.assign(POOL, b"x.rig1").expect("name"), b"ACC.rig1");
        assert_eq!(two.proven(POOL, b"x.rig1"), key);
        two.assign(POOL, b"x.rig2").expect("name");
        assert_ne!(two.proven(POOL, b"x.rig2"), key);
        let name = registry.keys().worker_name(adit_store::record::WorkerKey(key));
        assert_eq!(name.as_deref(), Some("ACC.rig1"));
    }
}
