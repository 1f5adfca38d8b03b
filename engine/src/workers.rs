//! The workers of the process: one name and one key each, whichever shard or connection they come by.
//!
//! Asked when a miner authorises and when its session ends, so a lock is no harm here. Per-share figures do not live here:
//! they stand in each shard under the worker's key.

use std::collections::BTreeMap;
use std::sync::Arc;

use adit_protocol::names::{NameError, NameRule, NameTable};
use adit_protocol::workers::{Assigned, Workers};
use parking_lot::Mutex;

/// Workers with a key of their own. Names that no pool ever accepted leave with their last session; beyond this bound a
/// new worker mines like any other, but is counted under [`OTHER_WORKER`].
pub const WORKERS_COUNT_MAX: usize = 65_536;
/// The key of all workers beyond the bound.
pub const OTHER_WORKER: u32 = 0;

/// One worker as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its key in counters and rows. Never used again for another worker.
    pub key: u32,
    /// Its name as the pool hears it.
    pub name: String,
    /// Sessions that go by it now.
    pub sessions_count: u32,
}

/// All workers, shared by all shards.
#[derive(Debug)]
pub struct Registry {
    table: Mutex<Table>,
}

/// Invariant: a worker's `sessions_count` is the sum of those in `in_use` that lead to it.
#[derive(Debug)]
struct Table {
    names: NameTable,
    /// By upstream name.
    workers: BTreeMap<Box<[u8]>, Entry>,
    /// Raw names in use → upstream names: a release tells the raw name only.
    in_use: BTreeMap<Box<[u8]>, InUse>,
    last_key: u32,
    count_max: usize,
}

#[derive(Debug)]
struct InUse {
    upstream: Box<[u8]>,
    sessions_count: u32,
}

#[derive(Debug)]
struct Entry {
    key: u32,
    sessions_count: u32,
    /// Whether a pool accepted it once.
    is_proven: bool,
}

impl Registry {
    /// No workers yet; names are made by `rule`.
    pub fn new(rule: NameRule) -> Arc<Self> {
        Self::with_count_max(rule, WORKERS_COUNT_MAX)
    }

    fn with_count_max(rule: NameRule, count_max: usize) -> Arc<Self> {
        let table = Table {
            names: NameTable::new(rule, count_max),
            workers: BTreeMap::new(),
            in_use: BTreeMap::new(),
            last_key: OTHER_WORKER,
            count_max,
        };
        Arc::new(Self { table: Mutex::new(table) })
    }

    /// The door for the sessions of one shard.
    pub fn door(self: &Arc<Self>) -> Box<dyn Workers> {
        Box::new(Door(Arc::clone(self)))
    }

    /// All workers that have a key, by name.
    pub fn list(&self) -> Vec<Worker> {
        let table = self.table.lock();
        let mut list = Vec::with_capacity(table.workers.len());
        for (name, entry) in &table.workers {
            let name = String::from_utf8_lossy(name).into_owned();
            list.push(Worker { key: entry.key, name, sessions_count: entry.sessions_count });
        }
        list
    }
}

/// A shard's way to the registry.
struct Door(Arc<Registry>);

impl Workers for Door {
    fn assign(&mut self, raw: &[u8]) -> Result<Assigned, NameError> {
        self.0.table.lock().assign(raw)
    }

    fn proven(&mut self, raw: &[u8]) {
        self.0.table.lock().prove(raw);
    }

    fn release(&mut self, raw: &[u8]) {
        self.0.table.lock().release(raw);
    }
}

impl Table {
    fn assign(&mut self, raw: &[u8]) -> Result<Assigned, NameError> {
        let upstream: Box<[u8]> = self.names.assign(raw)?.into();
        if !self.workers.contains_key(&upstream) {
            if self.workers.len() >= self.count_max {
                return Ok(Assigned { upstream, worker: OTHER_WORKER });
            }
            self.last_key = self.last_key.saturating_add(1);
            let entry = Entry { key: self.last_key, sessions_count: 0, is_proven: false };
            self.workers.insert(upstream.clone(), entry);
        }
        let Some(entry) = self.workers.get_mut(&upstream) else {
            return Ok(Assigned { upstream, worker: OTHER_WORKER });
        };
        entry.sessions_count += 1;
        let in_use = self
            .in_use
            .entry(raw.into())
            .or_insert_with(|| InUse { upstream: upstream.clone(), sessions_count: 0 });
        in_use.sessions_count += 1;
        Ok(Assigned { upstream, worker: entry.key })
    }

    fn prove(&mut self, raw: &[u8]) {
        if let Some(entry) = self.in_use.get(raw).and_then(|in_use| self.workers.get_mut(&in_use.upstream)) {
            entry.is_proven = true;
        }
    }

    fn release(&mut self, raw: &[u8]) {
        self.names.release(raw);
        let Some(in_use) = self.in_use.get_mut(raw) else { return };
        in_use.sessions_count -= 1;
        if let Some(entry) = self.workers.get_mut(&in_use.upstream) {
            entry.sessions_count -= 1;
            if entry.sessions_count == 0 && !entry.is_proven {
                self.workers.remove(&in_use.upstream);
            }
        }
        if in_use.sessions_count == 0 {
            self.in_use.remove(raw);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(registry: &Registry) -> Vec<String> {
        registry.list().into_iter().map(|worker| worker.name).collect()
    }

    #[test]
    fn a_worker_keeps_its_key_across_sessions_and_shards() {
        let registry = Registry::new(NameRule::new(Some("ACC".to_owned()), None).expect("rule"));
        let (mut one, mut two) = (registry.door(), registry.door());
        let first = one.assign(b"x.rig1").expect("name");
        assert_eq!(&*first.upstream, b"ACC.rig1");
        one.proven(b"x.rig1");
        one.release(b"x.rig1");
        assert_eq!(two.assign(b"x.rig1").expect("name"), first);
        assert_ne!(two.assign(b"x.rig2").expect("name").worker, first.worker);
    }

    #[test]
    fn names_that_no_pool_accepted_leave_with_their_last_session() {
        let registry = Registry::new(NameRule::default());
        let mut door = registry.door();
        for n in 0..1_000 {
            let raw = format!("guess{n}");
            door.assign(raw.as_bytes()).expect("name");
            door.assign(raw.as_bytes()).expect("name");
            door.release(raw.as_bytes());
            assert_eq!(names(&registry), [raw.clone()]);
            door.release(raw.as_bytes());
        }
        assert_eq!(names(&registry), [""; 0]);
        assert!(registry.table.lock().in_use.is_empty());
    }

    #[test]
    fn beyond_the_bound_workers_share_one_key_and_still_mine() {
        let registry = Registry::with_count_max(NameRule::default(), 2);
        let mut door = registry.door();
        for name in [b"a", b"b"] {
            assert_ne!(door.assign(name).expect("name").worker, OTHER_WORKER);
            door.proven(name);
        }
        let third = door.assign(b"c").expect("name");
        assert_eq!((third.worker, &*third.upstream), (OTHER_WORKER, &b"c"[..]));
        door.release(b"c");
        assert_eq!(names(&registry), ["a", "b"]);
    }
}
