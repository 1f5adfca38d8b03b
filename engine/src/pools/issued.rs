//! Which pool issued which session id, for the whole process: a miner that comes back names the id of its last session, on
//! any shard, and only the pool that issued it shall see it ([`adit_protocol::session_ids`]).
//!
//! Bounded and forgetful: an id is remembered for [`REMEMBERED`] at least, from when it was issued and again from when its
//! session ended, unless there are too many. A forgotten one counts as unknown. Not the ids are kept, but their hashes,
//! under a key that no pool knows. Touched when sessions begin and end only.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use adit_protocol::pool::PoolId;
use adit_protocol::session_ids::SessionIds;
use parking_lot::Mutex;

use super::catalogue::Catalogue;

/// How long an id is remembered at least. ckpool keeps a session for ten minutes after its end.
const REMEMBERED: Duration = Duration::from_secs(1_800);
/// Ids of one half of the table; there are two.
const HALF_COUNT_MAX: usize = 64 * 1024;

/// The table. Copies are the same.
#[derive(Clone, Debug, Default)]
pub struct Issued(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    hasher: RandomState,
    halves: Mutex<Halves>,
}

/// The younger half takes new ids; when it is full or old enough, it becomes the older one, and that is forgotten.
#[derive(Debug)]
struct Halves {
    young: HashMap<u64, PoolId>,
    old: HashMap<u64, PoolId>,
    young_since: Instant,
}

impl Default for Halves {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_since: Instant::now() }
    }
}

impl Halves {
    fn note(&mut self, id: u64, pool: PoolId, now: Instant) {
        self.age(now);
        if self.young.len() >= HALF_COUNT_MAX {
            self.turn(now);
        }
        self.young.insert(id, pool);
    }

    fn issuer(&mut self, id: u64, now: Instant) -> Option<PoolId> {
        self.age(now);
        self.young.get(&id).or_else(|| self.old.get(&id)).copied()
    }

    fn age(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.young_since);
        if age >= REMEMBERED {
            self.turn(now);
        }
        if age >= 2 * REMEMBERED {
            self.old.clear();
        }
    }

    fn turn(&mut self, now: Instant) {
        self.old = std::mem::take(&mut self.young);
        self.young_since = now;
    }
}

impl Issued {
    /// The door of one shard's sessions to it.
    pub(crate) fn door(&self, catalogue: &Catalogue) -> Door {
        Door { issued: self.clone(), has_one_pool: catalogue.pools().count() == 1 }
    }
}

/// A door to the table, for the pools of one catalogue.
#[derive(Debug)]
pub(crate) struct Door {
    issued: Issued,
    has_one_pool: bool,
}

impl Door {
    fn key(&self, id: &[u8]) -> u64 {
        self.issued.0.hasher.hash_one(id)
    }
}

impl SessionIds for Door {
    fn issued(&mut self, id: &[u8], pool: PoolId) {
        let key = self.key(id);
        self.issued.0.halves.lock().note(key, pool, Instant::now());
    }

    /// An id that nobody remembers is of before Adit's start, or of a proxy before it. With one pool it is most likely that
    /// pool's, and passing it is what a transparent proxy does. With several it is anybody's.
    fn may_resume(&mut self, id: &[u8], pool: PoolId) -> bool {
        let key = self.key(id);
        let issuer = self.issued.0.halves.lock().issuer(key, Instant::now());
        issuer.map_or(self.has_one_pool, |issuer| issuer == pool)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: PoolId = PoolId(1);
    const SPARE: PoolId = PoolId(2);

    fn door(has_one_pool: bool) -> Door {
        Door { issued: Issued::default(), has_one_pool }
    }

    #[test]
    fn an_id_goes_to_the_pool_that_issued_it_and_an_unknown_one_to_the_only_pool() {
        for has_one_pool in [true, false] {
            let mut door = door(has_one_pool);
            door.issued(b"\"5e\"", MAIN);
            assert_eq!([MAIN, SPARE].map(|pool| door.may_resume(b"\"5e\"", pool)), [true, false]);
            assert_eq!(door.may_resume(b"\"5f\"", MAIN), has_one_pool);
            door.issued(b"\"5e\"", SPARE);
            assert_eq!(
                [MAIN, SPARE].map(|pool| door.may_resume(b"\"5e\"", pool)),
                [false, true],
                "the last one"
            );
        }
    }

    #[test]
    fn what_one_shard_notes_all_know() {
        let issued = Issued::default();
        let mut doors = [true, false].map(|has_one_pool| Door { issued: issued.clone(), has_one_pool });
        doors[0].issued(b"\"5e\"", SPARE);
        assert!(doors[1].may_resume(b"\"5e\"", SPARE));
    }

    #[test]
    fn ids_are_forgotten_after_a_while_and_beyond_the_bound() {
        let mut halves = Halves::default();
        let begin = halves.young_since;
        halves.note(1, MAIN, begin);
        assert_eq!(halves.issuer(1, begin + REMEMBERED), Some(MAIN));
        assert_eq!(halves.issuer(1, begin + 2 * REMEMBERED), None);
        halves.note(2, MAIN, begin);
        assert_eq!(halves.issuer(2, begin + 5 * REMEMBERED), None, "nobody asked meanwhile");
        for id in 0..5 * HALF_COUNT_MAX as u64 {
            halves.note(id, SPARE, begin + 5 * REMEMBERED);
        }
        assert!(halves.young.len() + halves.old.len() <= 2 * HALF_COUNT_MAX);
        assert_eq!(halves.issuer(5 * HALF_COUNT_MAX as u64 - 1, begin + 5 * REMEMBERED), Some(SPARE));
    }
}
