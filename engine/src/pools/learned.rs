//! Names that pools accepted, by where their miners come from: what a miner that has not given its name yet is probably
//! called.
//!
//! Most miners give their name only once they have a pool, and the pool may depend on it. Where one has been before, its
//! second connection is placed right at once. Many miners may share an address and a user agent; then the one that comes
//! is taken for one of those that are away, those first that were sent back for a new connection, in the order in which
//! they were. Where those that it could be belong to different groups, nothing is guessed; within one group it matters
//! little whose place a miner takes, since each place is taken once. A wrong guess costs what no guess costs.
//!
//! One table for the process, since a miner may come back on any shard. Touched when a miner comes, authorises, or
//! leaves; never per message. Bounded and forgetful.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use parking_lot::Mutex;

use crate::clock::Clock;

/// Names known at the same time. About 200 bytes each.
pub const NAMES_COUNT_MAX: usize = 32_768;
/// Names known of one address. The one that was away for longest makes room.
pub const NAMES_PER_ADDRESS_MAX: usize = 1_024;
/// Times that a name is sent back in vain within [`CLOSES_WITHIN_MS`]; then it is refused.
pub const CLOSES_COUNT_MAX: usize = 3;
/// See [`CLOSES_COUNT_MAX`].
pub const CLOSES_WITHIN_MS: u64 = 600_000;

/// How long the name of a miner that is away is known.
const KEPT_MS: u64 = 24 * 3_600_000;
/// How long a miner that was sent back is waited for.
const AWAITED_MS: u64 = 60_000;
/// One that left within this is taken to come back rather than one that left before.
const RECENT_MS: u64 = 120_000;
/// Between two looks for names that are known for too long.
const SWEEP_EVERY_MS: u64 = 60_000;

/// The table. Copies are one.
#[derive(Clone, Debug)]
pub struct Learned {
    table: Arc<Mutex<Table>>,
    clock: Clock,
}

/// A miner as it is told apart here.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    /// Where it is.
    pub address: IpAddr,
    /// What it calls itself in subscribe; empty where it does not.
    pub agent: &'a str,
    /// Its name, raw bytes between the quotes.
    pub name: &'a [u8],
}

impl Learned {
    /// Nothing is known.
    pub fn new(clock: Clock) -> Self {
        Self { table: Arc::default(), clock }
    }

    /// A pool accepted the miner's name. Whether [`Learned::left`] is to be called when its connection ends.
    pub fn authorised(&self, who: Who<'_>, pool: PoolId) -> bool {
        let now = self.clock.now();
        let mut table = self.table.lock();
        let Some(known) = table.get_or_insert(who, now) else { return false };
        known.connected += 1;
        (known.pool, known.seen, known.awaited) = (pool, now, None);
        known.closes = [None; CLOSES_COUNT_MAX];
        true
    }

    /// The connection of a miner whose name was accepted has ended.
    pub fn left(&self, who: Who<'_>) {
        let now = self.clock.now();
        if let Some(known) = self.table.lock().get_mut(who) {
            known.connected = known.connected.saturating_sub(1);
            known.seen = now;
        }
    }

    /// A miner is to be closed so that it comes back and gets to `pool`, where its name belongs. False if that was tried
    /// too often, or cannot be remembered.
    pub fn send_back(&self, who: Who<'_>, pool: PoolId) -> bool {
        self.table.lock().send_back(who, pool, self.clock.now())
    }

    /// What the miner at this address is probably called, if anything is known of it. `group_of` tells where a pool
    /// belongs.
    pub fn guess(
        &self,
        address: IpAddr,
        agent: Option<&str>,
        group_of: impl Fn(PoolId) -> Option<usize>,
    ) -> Option<Box<[u8]>> {
        self.table.lock().guess(address, agent, group_of, self.clock.now())
    }
}

/// Invariant: `count` is the number of names in all lists.
#[derive(Debug, Default)]
struct Table {
    by_address: HashMap<IpAddr, Vec<Known>>,
    count: usize,
    swept: Moment,
}

#[derive(Debug)]
struct Known {
    agent: Box<str>,
    name: Box<[u8]>,
    /// Where it belongs, or did when it was last seen.
    pool: PoolId,
    /// Its connections.
    connected: u32,
    /// When it last came or went.
    seen: Moment,
    /// When it was last taken for the one that comes.
    guessed: Moment,
    /// Since when it is awaited, after it was sent back.
    awaited: Option<Moment>,
    /// When it was last sent back.
    closes: [Option<Moment>; CLOSES_COUNT_MAX],
}

/// How probable it is that a known miner is the one that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Chance {
    LeftLately,
    Away,
    /// It may have gone without a word.
    Connected,
}

impl Known {
    fn is_worth_keeping(&self, now: Moment) -> bool {
        self.connected > 0 || self.seen.plus_ms(KEPT_MS) > now
    }

    fn chance(&self, now: Moment) -> Chance {
        match self.connected {
            0 if self.seen.plus_ms(RECENT_MS) > now => Chance::LeftLately,
            0 => Chance::Away,
            _ => Chance::Connected,
        }
    }

    fn is_awaited(&self, now: Moment) -> bool {
        self.awaited.is_some_and(|since| since.plus_ms(AWAITED_MS) > now)
    }
}

impl Table {
    fn get_mut(&mut self, who: Who<'_>) -> Option<&mut Known> {
        let list = self.by_address.get_mut(&who.address)?;
        list.iter_mut().find(|known| *known.name == *who.name && *known.agent == *who.agent)
    }

    /// What is known of a miner, and be it that it came now. `None` if there is no room.
    fn get_or_insert(&mut self, who: Who<'_>, now: Moment) -> Option<&mut Known> {
        if self.get_mut(who).is_none() {
            self.make_room(who.address, now)?;
            self.count += 1;
            self.by_address.entry(who.address).or_default().push(Known {
                agent: who.agent.into(),
                name: who.name.into(),
                pool: PoolId::NONE,
                connected: 0,
                seen: now,
                guessed: Moment(0),
                awaited: None,
                closes: [None; CLOSES_COUNT_MAX],
            });
        }
        self.get_mut(who)
    }

    /// Makes room for one more name at this address.
    fn make_room(&mut self, address: IpAddr, now: Moment) -> Option<()> {
        if let Some(list) = self.by_address.get_mut(&address)
            && list.len() >= NAMES_PER_ADDRESS_MAX
        {
            let away = list.iter().enumerate().filter(|(_, known)| known.connected == 0);
            let (oldest, _) = away.min_by_key(|(_, known)| known.seen)?;
            list.swap_remove(oldest);
            self.count -= 1;
        }
        if self.count >= NAMES_COUNT_MAX && self.swept.plus_ms(SWEEP_EVERY_MS) <= now {
            self.swept = now;
            self.by_address.retain(|_, list| {
                list.retain(|known| known.is_worth_keeping(now));
                !list.is_empty()
            });
            self.count = self.by_address.values().map(Vec::len).sum();
        }
        (self.count < NAMES_COUNT_MAX).then_some(())
    }

    fn send_back(&mut self, who: Who<'_>, pool: PoolId, now: Moment) -> bool {
        let Some(known) = self.get_or_insert(who, now) else { return false };
        let [first, rest @ ..] = known.closes;
        if first.is_some_and(|at| at.plus_ms(CLOSES_WITHIN_MS) > now) {
            return false;
        }
        for (place, close) in known.closes.iter_mut().zip(rest.into_iter().chain([Some(now)])) {
            *place = close;
        }
        (known.pool, known.seen, known.awaited) = (pool, now, Some(now));
        true
    }

    fn guess(
        &mut self,
        address: IpAddr,
        agent: Option<&str>,
        group_of: impl Fn(PoolId) -> Option<usize>,
        now: Moment,
    ) -> Option<Box<[u8]>> {
        let list = self.by_address.get_mut(&address)?;
        let could_be = |known: &&mut Known| {
            agent.is_none_or(|agent| *known.agent == *agent) && known.is_worth_keeping(now)
        };
        let awaited = list.iter_mut().filter(could_be).filter(|known| known.is_awaited(now));
        if let Some(known) = awaited.min_by_key(|known| known.awaited) {
            known.awaited = None;
            return Some(known.take(now));
        }
        let best = list.iter_mut().filter(could_be).map(|known| known.chance(now)).min()?;
        let mut candidates: Vec<_> =
            list.iter_mut().filter(could_be).filter(|known| known.chance(now) == best).collect();
        let group = group_of(candidates.first()?.pool);
        if candidates.iter().any(|known| group_of(known.pool) != group) {
            return None;
        }
        candidates.sort_by_key(|known| (known.guessed, known.seen));
        Some(candidates.first_mut()?.take(now))
    }
}

impl Known {
    /// It is taken for the one that comes.
    fn take(&mut self, now: Moment) -> Box<[u8]> {
        self.guessed = now;
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const A: PoolId = PoolId(1);
    const B: PoolId = PoolId(2);
    const MINUTE: u64 = 60_000;

    fn who(name: &str) -> Who<'_> {
        Who { address: HERE, agent: "cgminer", name: name.as_bytes() }
    }

    /// A name that was accepted at a pool and left then.
    fn away(table: &mut Table, name: &str, pool: PoolId, left: Moment) {
        let known = table.get_or_insert(who(name), left).expect("room");
        (known.pool, known.seen) = (pool, left);
    }

    fn guess(table: &mut Table, agent: Option<&str>, now: Moment) -> Option<String> {
        let name = table.guess(HERE, agent, |pool| Some(pool.0.into()), now)?;
        Some(String::from_utf8_lossy(&name).into_owned())
    }

    fn at(minutes: u64) -> Moment {
        Moment(0).plus_ms(minutes * MINUTE)
    }

    #[test]
    fn the_only_one_that_could_come_is_the_one_that_comes() {
        let mut table = Table::default();
        assert_eq!(guess(&mut table, None, at(0)), None);
        away(&mut table, "a", A, at(0));
        assert_eq!(guess(&mut table, Some("cgminer"), at(1)).as_deref(), Some("a"));
        assert_eq!(guess(&mut table, None, at(1)).as_deref(), Some("a"), "what it calls itself is not known");
        assert_eq!(guess(&mut table, Some("bitaxe"), at(1)), None);
        away(&mut table, "b", B, at(1));
        assert_eq!(guess(&mut table, None, at(1)), None, "either could come");
        assert_eq!(guess(&mut table, None, at(2)).as_deref(), Some("b"), "the other has been away for long");
        table.get_mut(who("b")).expect("known").connected = 1;
        assert_eq!(guess(&mut table, None, at(2)).as_deref(), Some("a"), "the other is there");
        assert_eq!(
            guess(&mut table, None, at(24 * 60)).as_deref(),
            Some("b"),
            "it may have gone without a word"
        );
    }

    #[test]
    fn miners_of_one_group_take_each_others_place_once_each() {
        let mut table = Table::default();
        for name in ["a", "b", "c"] {
            away(&mut table, name, A, at(1));
        }
        let mut names: Vec<_> =
            (0..3).filter_map(|n| guess(&mut table, None, Moment(at(1).0 + n + 1))).collect();
        names.sort();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn who_was_sent_back_is_awaited_in_order_and_not_for_ever() {
        let mut table = Table::default();
        away(&mut table, "at home", A, at(0));
        assert!(
            table.send_back(who("first"), B, at(0)) && table.send_back(who("second"), A, Moment(at(0).0 + 1))
        );
        let names = [(); 2].map(|()| guess(&mut table, Some("cgminer"), Moment(2)));
        assert_eq!(names, [Some("first".to_owned()), Some("second".to_owned())]);
        assert_eq!(
            guess(&mut table, None, Moment(2)),
            None,
            "from now on all three could come, and belong elsewhere"
        );
        assert!(table.send_back(who("first"), B, at(1)));
        assert_eq!(guess(&mut table, None, at(2)), None, "nobody came");
    }

    #[test]
    fn a_name_is_sent_back_three_times_in_ten_minutes_and_another_one_is_another() {
        let mut table = Table::default();
        for minute in 0..3 {
            assert!(table.send_back(who("a"), B, at(minute)));
        }
        assert!(!table.send_back(who("a"), B, at(3)));
        assert!(table.send_back(who("b"), B, at(3)));
        assert!(!table.send_back(who("a"), B, at(9)));
        assert!(table.send_back(who("a"), B, at(10)), "the first time is ten minutes ago");
        assert!(!table.send_back(who("a"), B, at(10)));
    }

    #[test]
    fn a_name_that_came_in_the_end_may_be_sent_back_again() {
        let learned = Learned::new(Clock::start());
        for _ in 0..CLOSES_COUNT_MAX {
            assert!(learned.send_back(who("a"), B));
        }
        assert!(!learned.send_back(who("a"), B));
        assert!(learned.authorised(who("a"), B));
        assert!(learned.send_back(who("a"), B));
        learned.left(who("a"));
        learned.left(who("nobody"));
    }

    #[test]
    fn who_was_away_for_longest_makes_room_and_who_is_there_does_not() {
        let mut table = Table::default();
        for n in 0..NAMES_PER_ADDRESS_MAX {
            let known = table.get_or_insert(who(&n.to_string()), Moment(n as u64)).expect("room");
            known.connected = u32::from(n == 0);
        }
        assert!(table.get_or_insert(who("new"), at(1)).is_some());
        assert!(table.get_mut(who("0")).is_some() && table.get_mut(who("1")).is_none());
        assert_eq!(table.count, NAMES_PER_ADDRESS_MAX);
        for known in table.by_address.get_mut(&HERE).expect("names") {
            known.connected = 1;
        }
        assert!(!table.send_back(who("one more"), B, at(1)), "what cannot be remembered is not sent back");
    }

    #[test]
    fn a_full_table_forgets_who_was_away_for_a_day() {
        let mut table = Table::default();
        let other =
            |n: usize| Who { address: IpAddr::from((n as u128).to_be_bytes()), agent: "", name: b"x" };
        for n in 0..NAMES_COUNT_MAX {
            assert!(table.get_or_insert(other(n), at(1)).is_some());
        }
        assert!(table.get_or_insert(who("new"), at(2)).is_none());
        assert!(table.get_or_insert(who("new"), at(24 * 60 + 1)).is_some());
        assert_eq!((table.count, table.by_address.len()), (1, 1));
    }
}
