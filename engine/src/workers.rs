//! The workers of the process: one key each, and one upstream name per way of making names, whichever shard or connection
//! they come by.
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

/// Raw names known at the same time, per rule. Those of no session make room for new ones.
const NAMES_COUNT_MAX: usize = adit_protocol::limits::NAME_TABLE_COUNT_MAX;

/// All workers, shared by all shards.
#[derive(Debug)]
pub struct Registry {
    upstream: Mutex<Upstream>,
    /// Keys, the same as in the ledger's rows. Only names that a pool accepted get one, so guesses do not fill it.
    keys: Arc<Names>,
    connections: Mutex<Connections>,
}

/// Who is connected, over all shards.
#[derive(Debug, Default)]
struct Connections {
    /// Of each worker that was ever seen.
    by_worker: HashMap<u32, u32>,
    /// Workers with any, counted along: with 100,000 workers nobody may hold the lock for as long as looking takes.
    online: usize,
}

/// Upstream names. Pools with the same rule share a table, so a miner is called the same at all of them.
#[derive(Debug, Default)]
struct Upstream {
    tables: Vec<NameTable>,
    /// Index into `tables`.
    by_pool: HashMap<PoolId, usize>,
    /// The name that a pool accepted last, as the miner gives it.
    last_proven: HashMap<PoolId, Box<[u8]>>,
}

impl Registry {
    /// No workers yet; keys are given out by `keys`. Names want [`Registry::set_rule`] for their pool.
    pub fn new(keys: Arc<Names>) -> Arc<Self> {
        Arc::new(Self { upstream: Mutex::default(), keys, connections: Mutex::default() })
    }

    /// Names at this pool are made by `rule`. A pool has one rule for as long as it has its number.
    pub fn set_rule(&self, pool: PoolId, rule: &NameRule) {
        let mut upstream = self.upstream.lock();
        let found = upstream.tables.iter().position(|table| table.rule() == rule);
        let index = found.unwrap_or_else(|| {
            upstream.tables.push(NameTable::new(rule.clone(), NAMES_COUNT_MAX));
            upstream.tables.len() - 1
        });
        upstream.by_pool.insert(pool, index);
    }

    /// The name by which a pool knows the miner whose name it accepted last: there is no better one to try a pool with.
    /// A pool that accepted none yet is tried with another one's.
    pub fn known_name(&self, pool: PoolId) -> Option<Box<[u8]>> {
        let mut upstream = self.upstream.lock();
        let raw = upstream.last_proven.get(&pool).or_else(|| upstream.last_proven.values().next())?.clone();
        let table = upstream.table(pool)?;
        let name = table.assign(&raw).ok()?.into();
        table.release(&raw);
        Some(name)
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
            self.connections.lock().by_worker.entry(worker).or_default();
        }
    }

    /// A connection more is authorised under the worker's name.
    pub fn arrived(&self, worker: u32) {
        if worker != NO_WORKER {
            let mut connections = self.connections.lock();
            let count = connections.by_worker.entry(worker).or_default();
            *count += 1;
            connections.online += usize::from(*count == 1);
        }
    }

    /// A connection less is.
    pub fn left(&self, worker: u32) {
        let mut connections = self.connections.lock();
        if let Some(count) = connections.by_worker.get_mut(&worker).filter(|count| **count > 0) {
            *count -= 1;
            connections.online -= usize::from(*count == 0);
        }
    }

    /// The key of a known worker and its connections, by its name.
    pub fn find(&self, name: &str) -> Option<(u32, u32)> {
        // Copied out, so that no shard waits while names are compared.
        let known: Vec<_> =
            self.connections.lock().by_worker.iter().map(|(&key, &count)| (key, count)).collect();
        known.into_iter().find(|&(key, _)| self.keys.worker_name(WorkerKey(key)).as_deref() == Some(name))
    }

    /// Workers that are connected, and workers that are known. Each is counted once, on however many shards it is.
    pub fn online_and_known(&self) -> (usize, usize) {
        let connections = self.connections.lock();
        (connections.online, connections.by_worker.len())
    }
}

impl Upstream {
    fn table(&mut self, pool: PoolId) -> Option<&mut NameTable> {
        self.tables.get_mut(*self.by_pool.get(&pool)?)
    }

    /// What the worker is called in the ledger and by operators: the name that pools know, if it is the same everywhere,
    /// else what the miner calls itself.
    fn display_name(&mut self, pool: PoolId, raw: &[u8]) -> Option<String> {
        if self.tables.len() > 1 {
            return Some(String::from_utf8_lossy(raw).into_owned());
        }
        let table = self.table(pool)?;
        // One user more for a moment: the name is in use, so this is the name it has.
        let name = table.assign(raw).map(|name| String::from_utf8_lossy(name).into_owned());
        table.release(raw);
        name.ok()
    }
}

/// A shard's way to the registry.
struct Door(Arc<Registry>);

impl Workers for Door {
    fn assign(&mut self, pool: PoolId, raw: &[u8]) -> Result<Box<[u8]>, NameError> {
        let mut upstream = self.0.upstream.lock();
        let table = upstream.table(pool).ok_or(NameError::TableFull)?;
        table.assign(raw).map(Into::into)
    }

    fn proven(&mut self, pool: PoolId, raw: &[u8]) -> u32 {
        let mut upstream = self.0.upstream.lock();
        let Some(name) = upstream.display_name(pool, raw) else { return NO_WORKER };
        upstream.last_proven.insert(pool, raw.into());
        drop(upstream);
        self.0.keys.worker(&name).0
    }

    fn release(&mut self, pool: PoolId, raw: &[u8]) {
        if let Some(table) = self.0.upstream.lock().table(pool) {
            table.release(raw);
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_store::record::WorkerKey;

    use super::*;

    const POOL: PoolId = PoolId(1);
    const OTHER_POOL: PoolId = PoolId(2);

    fn rule(account: &str) -> NameRule {
        NameRule::new(Some(account.to_owned()), None).expect("rule")
    }

    #[test]
    fn a_worker_with_two_connections_is_online_until_both_are_gone() {
        let registry = Registry::new(Arc::default());
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
        let registry = Registry::new(Arc::default());
        registry.set_rule(POOL, &rule("ACC"));
        let (mut one, mut two) = (registry.door(), registry.door());
        assert_eq!(&*one.assign(POOL, b"x.rig1").expect("name"), b"ACC.rig1");
        let key = one.proven(POOL, b"x.rig1");
        assert_ne!(key, NO_WORKER);
        one.release(POOL, b"x.rig1");
        assert_eq!(&*two.assign(POOL, b"x.rig1").expect("name"), b"ACC.rig1");
        assert_eq!(two.proven(POOL, b"x.rig1"), key);
        two.assign(POOL, b"x.rig2").expect("name");
        assert_ne!(two.proven(POOL, b"x.rig2"), key);
        let name = registry.keys().worker_name(WorkerKey(key));
        assert_eq!(name.as_deref(), Some("ACC.rig1"));
    }

    #[test]
    fn a_worker_has_one_key_at_pools_that_call_it_differently() {
        let registry = Registry::new(Arc::default());
        registry.set_rule(POOL, &rule("ACC"));
        registry.set_rule(OTHER_POOL, &rule("acc2"));
        let mut door = registry.door();
        let mut key_at = |pool, upstream: &[u8]| {
            assert_eq!(&*door.assign(pool, b"x.rig1").expect("name"), upstream);
            door.proven(pool, b"x.rig1")
        };
        let key = key_at(POOL, b"ACC.rig1");
        assert_eq!(key_at(OTHER_POOL, b"acc2.rig1"), key);
        assert_eq!(registry.keys().worker_name(WorkerKey(key)).as_deref(), Some("x.rig1"));
    }

    #[test]
    fn a_pool_is_tried_with_a_name_that_was_accepted() {
        let registry = Registry::new(Arc::default());
        for (pool, account) in [(POOL, "ACC"), (OTHER_POOL, "acc2")] {
            registry.set_rule(pool, &rule(account));
        }
        assert_eq!(registry.known_name(POOL), None);
        let mut door = registry.door();
        for raw in [b"x.rig1", b"x.rig2"] {
            door.assign(POOL, raw).expect("name");
            door.proven(POOL, raw);
        }
        assert_eq!(registry.known_name(POOL).as_deref(), Some(&b"ACC.rig2"[..]));
        assert_eq!(registry.known_name(OTHER_POOL).as_deref(), Some(&b"acc2.rig2"[..]));
        assert_eq!(registry.known_name(PoolId(9)), None);
    }
}
