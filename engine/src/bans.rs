//! Networks that are not let in. Asked at each accept, changed by operators.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adit_admin::view::Ban;
use parking_lot::Mutex;

use crate::pools::network::Network;

/// Bans in force at the same time.
pub const BANS_COUNT_MAX: usize = 1_024;

/// All bans. Copies share them.
#[derive(Clone, Debug, Default)]
pub struct Bans(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// How many there are, so that an accept takes no lock while there is none.
    count: AtomicUsize,
    bans: Mutex<Vec<(Network, Ban)>>,
}

impl Bans {
    /// Whether a miner from `address` is not let in.
    pub fn hold(&self, address: IpAddr, now_ms: u64) -> bool {
        if self.0.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let bans = self.0.bans.lock();
        bans.iter().any(|(network, ban)| network.contains(address) && is_in_force(ban, now_ms))
    }

    /// Lets a network in no more. One that is banned already is banned anew. False if there are too many.
    pub fn add(&self, network: Network, ban: Ban) -> bool {
        let now_ms = ban.since_ms;
        self.change(now_ms, |bans| {
            bans.retain(|(other, _)| *other != network);
            let has_room = bans.len() < BANS_COUNT_MAX;
            if has_room {
                bans.push((network, ban));
            }
            has_room
        })
    }

    /// Lets a network in again. False if it was not banned.
    pub fn lift(&self, network: Network, now_ms: u64) -> bool {
        self.change(now_ms, |bans| {
            let before = bans.len();
            bans.retain(|(other, _)| *other != network);
            bans.len() < before
        })
    }

    /// Those in force, oldest first.
    pub fn list(&self, now_ms: u64) -> Vec<Ban> {
        self.change(now_ms, |bans| bans.iter().map(|(_, ban)| ban.clone()).collect())
    }

    /// Changes the list once those that are over are out of it.
    fn change<T>(&self, now_ms: u64, change: impl FnOnce(&mut Vec<(Network, Ban)>) -> T) -> T {
        let mut bans = self.0.bans.lock();
        bans.retain(|(_, ban)| is_in_force(ban, now_ms));
        let result = change(&mut bans);
        self.0.count.store(bans.len(), Ordering::Relaxed);
        result
    }
}

fn is_in_force(ban: &Ban, now_ms: u64) -> bool {
    ban.until_ms.is_none_or(|until| now_ms < until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect("a network")
    }

    fn ban(text: &str, until_ms: Option<u64>) -> Ban {
        Ban { network: text.to_owned(), since_ms: 100, until_ms, ..Ban::default() }
    }

    #[test]
    fn a_ban_holds_its_network_until_it_is_over_or_lifted() {
        let bans = Bans::default();
        let miner: IpAddr = "::ffff:192.0.2.7".parse().expect("an address");
        assert!(!bans.hold(miner, 100));
        assert!(bans.add(network("192.0.2.0/24"), ban("192.0.2.0/24", Some(200))));
        assert!(bans.hold(miner, 199) && !bans.hold(miner, 200));
        assert!(!bans.hold("192.0.3.7".parse().expect("an address"), 150));
        assert_eq!((bans.list(150).len(), bans.list(200).len()), (1, 0));
        assert!(bans.add(network("192.0.2.7"), ban("192.0.2.7", None)));
        assert!(bans.hold(miner, u64::MAX));
        assert!(bans.lift(network("192.0.2.7"), 300) && !bans.lift(network("192.0.2.7"), 300));
        assert!(!bans.hold(miner, 300));
    }

    #[test]
    fn at_the_bound_no_further_network_is_banned() {
        let bans = Bans::default();
        for n in 0..BANS_COUNT_MAX {
            let text = format!("10.0.{}.{}", n / 256, n % 256);
            assert!(bans.add(network(&text), ban(&text, None)));
        }
        assert!(!bans.add(network("192.0.2.7"), ban("192.0.2.7", None)));
        assert!(bans.add(network("10.0.0.0"), ban("10.0.0.0", Some(500))), "one that is there is changed");
    }
}
