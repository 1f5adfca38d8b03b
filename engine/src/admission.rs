//! Who may connect: a bound on all miners' connections and one per address. Process-wide, touched at accept and close.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::bans::Bans;
use crate::settings::Limits;

/// Why a connection was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many as allowed are open.
    Total,
    /// As many as allowed are open from this address or network.
    Address,
    /// An operator banned its network.
    Banned,
}

/// Counts open connections. Copies share their counts.
#[derive(Clone, Debug)]
pub struct Admission {
    state: Arc<Mutex<State>>,
    total_max: usize,
    address_max: usize,
    bans: Bans,
}

/// Invariant: the counts of `addresses` are above zero and sum up to `total`, so the table never has more than
/// `total_max` entries.
#[derive(Debug, Default)]
struct State {
    total: usize,
    addresses: HashMap<IpAddr, usize>,
}

/// A place that one connection takes, until it is dropped.
#[derive(Debug)]
pub struct Place {
    state: Arc<Mutex<State>>,
    origin: IpAddr,
}

impl Admission {
    /// An empty house with these bounds.
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: Arc::default(),
            total_max: limits.connections_max,
            address_max: limits.connections_per_address_max,
            bans: Bans::default(),
        }
    }

    /// Networks that are not let in.
    pub fn bans(&self) -> &Bans {
        &self.bans
    }

    /// A place for a connection from `address`. `now_ms` is Unix time.
    pub fn admit(&self, address: IpAddr, now_ms: u64) -> Result<Place, Refused> {
        if self.bans.hold(address, now_ms) {
            return Err(Refused::Banned);
        }
        let origin = origin(address);
        let mut state = self.state.lock();
        if state.total >= self.total_max {
            return Err(Refused::Total);
        }
        let count = state.addresses.entry(origin).or_default();
        // A bound of at least 1 is part of the settings, so a new entry never stays at zero.
        if *count >= self.address_max {
            return Err(Refused::Address);
        }
        *count += 1;
        state.total += 1;
        Ok(Place { state: self.state.clone(), origin })
    }

    /// Connections that have a place.
    pub fn open(&self) -> usize {
        self.state.lock().total
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.state.lock();
        state.total = state.total.saturating_sub(1);
        if let Some(count) = state.addresses.get_mut(&self.origin) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.addresses.remove(&self.origin);
            }
        }
    }
}

/// What counts as one address: an IPv4 address (also when it comes mapped into IPv6), or an IPv6 /64 network.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_bounds_hold_and_places_come_back() {
        let limits = Limits { connections_max: 3, connections_per_address_max: 2, ..Limits::default() };
        let admission = Admission::new(&limits);
        let first = admission.admit(address("10.0.0.1"), 0).unwrap();
        let second = admission.admit(address("::ffff:10.0.0.1"), 0).unwrap();
        assert_eq!(admission.admit(address("10.0.0.1"), 0).unwrap_err(), Refused::Address);
        let third = admission.admit(address("10.0.0.2"), 0).unwrap();
        assert_eq!(admission.admit(address("10.0.0.3"), 0).unwrap_err(), Refused::Total);
        drop(first);
        let fourth = admission.admit(address("10.0.0.1"), 0).unwrap();
        assert_eq!(admission.open(), 3);
        drop((second, third, fourth));
        assert_eq!(admission.open(), 0);
        assert!(admission.state.lock().addresses.is_empty());
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let limits = Limits { connections_per_address_max: 1, ..Limits::default() };
        let admission = Admission::new(&limits);
        let _first = admission.admit(address("2001:db8::1"), 0).unwrap();
        assert_eq!(admission.admit(address("2001:db8::ffff:2"), 0).unwrap_err(), Refused::Address);
        assert!(admission.admit(address("2001:db8:0:1::1"), 0).is_ok());
    }
}
