//! Upstream connections that stand ready and belong to no session: kept for miners that had to be closed and come back.
//!
//! One table for the process, since a miner may come back on any shard. Touched when a miner is closed for a move, at a
//! miner's first request, and once in a while to forget what nobody came for; never per message. Bounded: where it is full
//! the miner finds no connection waiting and gets a fresh one.
//!
//! It does not know what it keeps. Whatever that is, nobody looks after it while it lies here: no operation is in flight.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;

use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use parking_lot::Mutex;

/// Connections kept at the same time. Each is a descriptor that no miner uses.
pub const RESERVED_COUNT_MAX: usize = 8_192;

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
pub struct Reserved<T>(Arc<Mutex<Table<T>>>);

/// Invariant: no list is empty, and `count` is the sum of their lengths.
#[derive(Debug)]
struct Table<T> {
    by_address: HashMap<IpAddr, Vec<Kept<T>>>,
    count: usize,
}

impl<T> Clone for Reserved<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Reserved<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Table { by_address: HashMap::new(), count: 0 })))
    }
}

impl<T> Reserved<T> {
    /// Keeps something. It comes back when the table is full.
    pub fn keep(&self, kept: Kept<T>) -> Result<(), Kept<T>> {
        let mut table = self.0.lock();
        if table.count >= RESERVED_COUNT_MAX {
            return Err(kept);
        }
        table.count += 1;
        table.by_address.entry(kept.owner.address).or_default().push(kept);
        Ok(())
    }

    /// What is kept for a miner at this address: that of its name if the name is known, else the oldest. Miners behind one
    /// address that take each other's lose nothing, since another name can be authorised on it.
    pub fn take(
        &self,
        address: IpAddr,
        name: Option<&[u8]>,
        now: Moment,
        mut fits: impl FnMut(&Kept<T>) -> bool,
    ) -> Option<Kept<T>> {
        let mut table = self.0.lock();
        let Entry::Occupied(mut list) = table.by_address.entry(address) else { return None };
        let of_name = |kept: &Kept<T>| name.is_none_or(|name| *kept.owner.name == *name);
        let mut find = |own: bool| {
            let fits = |kept: &Kept<T>| kept.until > now && of_name(kept) == own && fits(kept);
            list.get().iter().position(fits)
        };
        let index = find(true).or_else(|| find(false))?;
        let kept = list.get_mut().remove(index);
        if list.get().is_empty() {
            list.remove();
        }
        table.count -= 1;
        Some(kept)
    }

    /// Takes out whatever nobody came for, and what leads to pools that `is_dead`.
    pub fn expire(&self, now: Moment, is_dead: impl Fn(PoolId) -> bool) -> Vec<Kept<T>> {
        let mut table = self.0.lock();
        let mut expired = Vec::new();
        table.by_address.retain(|_, list| {
            expired.extend(list.extract_if(.., |kept| kept.until <= now || is_dead(kept.pool)));
            !list.is_empty()
        });
        table.count -= expired.len();
        expired
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.0.lock().count
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
        reserved.take(HERE, name.map(str::as_bytes), Moment(now), |_| true).map(|kept| kept.what)
    }

    #[test]
    fn a_miner_gets_its_own_else_the_oldest_of_its_address_and_each_once() {
        let reserved = Reserved::default();
        for (name, what) in [("a", 1), ("b", 2), ("c", 3)] {
            reserved.keep(kept(name, what, 10)).unwrap();
        }
        assert_eq!(take(&reserved, Some("b"), 0), Some(2));
        assert_eq!(take(&reserved, Some("b"), 0), Some(1));
        assert_eq!(take(&reserved, None, 0), Some(3));
        assert_eq!((take(&reserved, None, 0), reserved.count()), (None, 0));
        assert!(reserved.take([10, 0, 0, 1].into(), None, Moment(0), |_| true).is_none());
    }

    #[test]
    fn what_does_not_fit_or_is_too_old_is_not_given_out() {
        let reserved = Reserved::default();
        reserved.keep(kept("a", 1, 10)).unwrap();
        assert_eq!(take(&reserved, Some("a"), 10), None);
        assert!(reserved.take(HERE, None, Moment(0), |kept| kept.pool != POOL).is_none());
        assert_eq!(reserved.count(), 1);
    }

    #[test]
    fn what_nobody_came_for_and_what_leads_nowhere_is_taken_out() {
        let reserved = Reserved::default();
        reserved.keep(kept("a", 1, 10)).unwrap();
        reserved.keep(kept("b", 2, 20)).unwrap();
        let expired = reserved.expire(Moment(10), |_| false);
        assert_eq!(expired.iter().map(|kept| kept.what).collect::<Vec<_>>(), [1]);
        assert_eq!(reserved.expire(Moment(11), |pool| pool == POOL).len(), 1);
        assert_eq!(reserved.count(), 0);
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
