//! Upstream connections that stand ready and belong to no session: kept for miners that had to be closed and come back.
//!
//! One table for the process, since a miner may come back on any shard. Touched when a miner is closed for a move, at a
//! miner's first request, and once in a while to forget what nobody came for; never per message. Bounded: where it is full
//! the miner finds no connection waiting and gets a fresh one.
//!
//! It does not know what it keeps. Whatever that is, nobody looks after it while it lies here: no operation is in flight.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use parking_lot::Mutex;

/// Connections kept at the same time. Each is a descriptor that no miner uses.
pub const RESERVED_COUNT_MAX: usize = 8_192;

/// Of what is kept for one address, so many are looked at for one miner: a farm behind a balancer has one for all.
const LOOKED_AT_COUNT_MAX: usize = 64;

/// For whom something is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Where the miner was.
    pub address: IpAddr,
    /// The first name that it had authorised, raw.
    pub name: Box<[u8]>,
}

/// Something kept for a while.
#[derive(Debug)]
pub struct Kept<T> {
    /// For whom.
    pub owner: Owner,
    /// Where it leads.
    pub pool: PoolId,
    /// What it is.
    pub what: T,
    /// Until when.
    pub until: Moment,
}

/// The table. Copies are one.
#[derive(Debug)]
pub struct Reserved<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    table: Mutex<Table<T>>,
    /// How many are in the table, for those who only ask whether there is anything.
    count: AtomicUsize,
}

/// Invariant: no list is empty.
#[derive(Debug)]
struct Table<T> {
    /// Of each address, oldest first.
    by_address: HashMap<IpAddr, VecDeque<Kept<T>>>,
}

impl<T> Clone for Reserved<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Reserved<T> {
    fn default() -> Self {
        let table = Mutex::new(Table { by_address: HashMap::new() });
        Self(Arc::new(Shared { table, count: AtomicUsize::new(0) }))
    }
}

impl<T> Reserved<T> {
    /// Keeps something. It comes back when the table is full.
    pub fn keep(&self, kept: Kept<T>) -> Result<(), Kept<T>> {
        let mut table = self.0.table.lock();
        if self.count() >= RESERVED_COUNT_MAX {
            return Err(kept);
        }
        self.0.count.fetch_add(1, Ordering::Relaxed);
        table.by_address.entry(kept.owner.address).or_default().push_back(kept);
        Ok(())
    }

    /// Whether there is something for a miner at this address that `fits`, among the oldest. Costs nothing while the table
    /// is empty.
    pub fn has(&self, address: IpAddr, fits: impl FnMut(&Kept<T>) -> bool) -> bool {
        self.count() > 0
            && self
                .0
                .table
                .lock()
                .by_address
                .get(&address)
                .is_some_and(|list| list.iter().take(LOOKED_AT_COUNT_MAX).any(fits))
    }

    /// What is kept for a miner at this address: of the oldest that `rank` gives a rank, what it ranks highest, and of these
    /// the oldest. Miners behind one address that take each other's lose little, since another name can be authorised on it.
    pub fn take<N: Ord>(
        &self,
        address: IpAddr,
        now: Moment,
        mut rank: impl FnMut(&Kept<T>) -> Option<N>,
    ) -> Option<Kept<T>> {
        if self.count() == 0 {
            return None;
        }
        let mut table = self.0.table.lock();
        let Entry::Occupied(mut list) = table.by_address.entry(address) else { return None };
        let oldest = list.get().iter().take(LOOKED_AT_COUNT_MAX).enumerate();
        let of_time = oldest.filter(|(_, kept)| kept.until > now);
        let ranked = of_time.filter_map(|(index, kept)| Some((rank(kept)?, std::cmp::Reverse(index))));
        let (_, std::cmp::Reverse(index)) = ranked.max()?;
        let kept = list.get_mut().remove(index)?;
        if list.get().is_empty() {
            list.remove();
        }
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        Some(kept)
    }

    /// Takes out whatever nobody came for, and what leads to pools that `is_dead`. Beside it, when the next of those that
    /// are left is too old.
    pub fn expire(&self, now: Moment, is_dead: impl Fn(PoolId) -> bool) -> (Vec<Kept<T>>, Moment) {
        let (mut expired, mut next) = (Vec::new(), Moment::NEVER);
        if self.count() == 0 {
            return (expired, next);
        }
        let mut table = self.0.table.lock();
        table.by_address.retain(|_, list| {
            for kept in std::mem::take(list) {
                if kept.until <= now || is_dead(kept.pool) {
                    expired.push(kept);
                } else {
                    list.push_back(kept);
                }
            }
            next = list.iter().map(|kept| kept.until).fold(next, Moment::min);
            !list.is_empty()
        });
        self.0.count.fetch_sub(expired.len(), Ordering::Relaxed);
        (expired, next)
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const POOL: PoolId = PoolId(1);

    fn kept(name: &str, what: u32, until: u64) -> Kept<u32> {
        let owner = Owner { address: HERE, name: name.as_bytes().into() };
        Kept { owner, pool: POOL, what, until: Moment(until) }
    }

    fn take(reserved: &Reserved<u32>, name: Option<&str>, now: u64) -> Option<u32> {
        let is_its = |kept: &Kept<u32>| name.is_some_and(|name| *kept.owner.name == *name.as_bytes());
        reserved.take(HERE, Moment(now), |kept| Some(is_its(kept))).map(|kept| kept.what)
    }

    #[test]
    fn a_miner_gets_its_own_else_the_oldest_of_its_address_and_each_once() {
        let reserved = Reserved::default();
        for (name, what) in [("a", 1), ("b", 2), ("c", 3)] {
            reserved.keep(kept(name, what, 10)).unwrap();
        }
        assert!(reserved.has(HERE, |kept| kept.what == 3) && !reserved.has(HERE, |kept| kept.what == 4));
        assert_eq!(take(&reserved, Some("b"), 0), Some(2));
        assert_eq!(take(&reserved, Some("b"), 0), Some(1));
        assert_eq!(take(&reserved, None, 0), Some(3));
        assert_eq!((take(&reserved, None, 0), reserved.count()), (None, 0));
        assert!(!reserved.has(HERE, |_| true));
        assert!(reserved.take([10, 0, 0, 1].into(), Moment(0), |_| Some(0)).is_none());
    }

    #[test]
    fn what_does_not_fit_or_is_too_old_is_not_given_out() {
        let reserved = Reserved::default();
        reserved.keep(kept("a", 1, 10)).unwrap();
        assert_eq!(take(&reserved, Some("a"), 10), None);
        assert!(reserved.take(HERE, Moment(0), |kept| (kept.pool != POOL).then_some(0)).is_none());
        assert_eq!(reserved.count(), 1);
    }

    #[test]
    fn what_nobody_came_for_and_what_leads_nowhere_is_taken_out() {
        let reserved = Reserved::default();
        reserved.keep(kept("a", 1, 10)).unwrap();
        reserved.keep(kept("b", 2, 20)).unwrap();
        let (expired, next) = reserved.expire(Moment(10), |_| false);
        assert_eq!((expired.iter().map(|kept| kept.what).collect::<Vec<_>>(), next), (vec![1], Moment(20)));
        let (expired, next) = reserved.expire(Moment(11), |pool| pool == POOL);
        assert_eq!((expired.len(), next, reserved.count()), (1, Moment::NEVER, 0));
    }

    #[test]
    fn of_many_behind_one_address_only_the_oldest_are_looked_at() {
        let reserved = Reserved::default();
        for n in 0..2 * LOOKED_AT_COUNT_MAX as u32 {
            reserved.keep(kept("a", n, 10)).unwrap();
        }
        let mut looked_at = 0;
        let taken = reserved.take(HERE, Moment(0), |kept| {
            looked_at += 1;
            Some(kept.what)
        });
        assert_eq!((taken.unwrap().what as usize, looked_at), (LOOKED_AT_COUNT_MAX - 1, LOOKED_AT_COUNT_MAX));
        assert!(!reserved.has(HERE, |kept| kept.what as usize > LOOKED_AT_COUNT_MAX));
    }

    #[test]
    fn a_full_table_gives_back() {
        let reserved = Reserved::default();
        for n in 0..RESERVED_COUNT_MAX as u32 {
            reserved.keep(kept("a", n, 10)).unwrap();
        }
        assert_eq!(reserved.keep(kept("z", 7, 10)).unwrap_err().what, 7);
        take(&reserved, None, 0).unwrap();
        reserved.keep(kept("z", 7, 10)).unwrap();
    }
}
