//! Places to which pools sent their clients (`client.reconnect`), looked up off the shards.
//!
//! A place is a host and a port that no configuration names. Its addresses are looked up by a
//! [`Resolver`](crate::resolver::Resolver) like a pool's, as long as somebody was sent there lately. How many there are is
//! bounded: a pool that names a new one each time must not have names looked up without end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::resolver::{PoolAddresses, Resolver};

/// Places known at the same time.
const PLACES_COUNT_MAX: usize = 32;
/// One that nobody was sent to for so long makes room for another.
const KEPT: Duration = Duration::from_secs(300);

/// The places. Copies are the same.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<Vec<Place>>>);

#[derive(Debug)]
struct Place {
    host: Box<str>,
    port: u16,
    asked_at: Instant,
    resolver: Resolver,
}

impl Places {
    /// The addresses of a place, which may come a little later. `None` where too many other places were asked for lately.
    pub(crate) fn find(&self, host: &str, port: u16, refresh: Duration) -> Option<PoolAddresses> {
        self.find_at(host, port, refresh, Instant::now())
    }

    fn find_at(&self, host: &str, port: u16, refresh: Duration, now: Instant) -> Option<PoolAddresses> {
        let mut places = self.0.lock();
        if let Some(known) = places.iter_mut().find(|place| &*place.host == host && place.port == port) {
            known.asked_at = now;
            return Some(known.resolver.addresses().clone());
        }
        places.retain(|place| now.saturating_duration_since(place.asked_at) < KEPT);
        if places.len() >= PLACES_COUNT_MAX {
            return None;
        }
        let resolver = Resolver::start(host, port, refresh)
            .inspect_err(|error| log::warn!("{host}: no thread for its look-up: {error}"))
            .ok()?;
        let addresses = resolver.addresses().clone();
        places.push(Place { host: host.into(), port, asked_at: now, resolver });
        Some(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFRESH: Duration = Duration::from_secs(60);

    #[test]
    fn a_place_is_looked_up_once_and_makes_room_when_nobody_wants_it() {
        let (places, begin) = (Places::default(), Instant::now());
        for port in 1..=PLACES_COUNT_MAX as u16 {
            let found = places.find_at("127.0.0.1", port, REFRESH, begin).expect("room");
            assert_eq!(*found.newest(), [([127, 0, 0, 1], port).into()]);
        }
        assert!(places.find_at("127.0.0.1", 1, REFRESH, begin).is_some(), "known");
        assert!(places.find_at("127.0.0.2", 1, REFRESH, begin).is_none(), "one too many");
        assert!(places.find_at("127.0.0.2", 1, REFRESH, begin + KEPT).is_some());
        assert_eq!(places.0.lock().len(), 1);
    }
}
