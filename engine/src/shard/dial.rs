//! Connecting to a pool: its addresses in turn, each with its share of the connect deadline.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use adit_protocol::event::{Gone, Side, Wire};
use adit_protocol::moment::Moment;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::pair::{Key, Phase};
use super::plane::Plane;
use super::wires::Dialling;
use crate::counters::Counter;
use crate::listen;
use crate::ring::completion::Errno;

/// The least time an address gets when there are several.
const ATTEMPT_MS_MIN: u64 = 1_000;

impl Plane {
    /// Connects a place to the pool that it was given to.
    pub(super) fn dial(&mut self, key: Key, wire: Wire) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let elsewhere = pair.redirects.as_mut().and_then(|redirects| redirects.take_addresses(wire));
        let place = pair.wire_mut(wire);
        let entry = self.pools.catalogue.get(place.pool);
        let is_elsewhere = elsewhere.is_some();
        // A pool that a reload took away has no address any more.
        let configured = || entry.map_or_else(Arc::default, |entry| entry.addresses().newest());
        let addresses = elsewhere.unwrap_or_else(configured);
        let first = entry.filter(|_| !is_elsewhere).map_or(0, |entry| entry.addresses().first());
        let connect_ms = entry.map_or(0, |entry| entry.settings.timeouts.connect_ms);
        place.dialling = Some(Box::new(Dialling {
            addresses,
            is_elsewhere,
            first,
            tried_count: 0,
            connect_ms,
            attempt_until: Moment::NEVER,
            until: self.now.plus_ms(connect_ms),
            timed_out: false,
        }));
        self.try_next_address(key, wire, Gone::DialFailed);
    }

    /// A connect ended.
    pub(super) fn on_connected(&mut self, key: Key, side: Side, result: Result<(), Errno>) {
        let Side::Pool(wire) = side else { return };
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let is_open = pair.phase == Phase::Open;
        let place = pair.wire_mut(wire);
        place.end.connecting = false;
        if !is_open {
            return self.ending_moved(key);
        }
        let Some(dialling) = &place.dialling else { return self.wire_moved(key, side) };
        let Err(error) = result else {
            let left_us = dialling.until.since_us(self.now);
            let took_us = (dialling.connect_ms * 1_000).saturating_sub(left_us);
            self.pool_counters.connected(place.pool, took_us);
            if let Some(entry) = self.pools.catalogue.get(place.pool).filter(|_| !dialling.is_elsewhere) {
                entry.addresses().begin_with(dialling.present_index());
            }
            place.dialling = None;
            self.arm_receive(key, side);
            self.connected(key, wire);
            self.send_waiting(key, side);
            return;
        };
        let timed_out = dialling.timed_out;
        place.end.socket = None;
        self.counters.count(Counter::DialsFailed);
        let why = if timed_out { Gone::DialTimeout } else { Gone::DialFailed };
        if !timed_out {
            log::debug!("connect: {error}");
        }
        self.try_next_address(key, wire, why);
    }

    /// Ends the present attempts whose time is over. Their completions say when they have ended.
    pub(super) fn give_up_attempts(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        for wire in Wire::ALL {
            let Some(dialling) = &mut pair.wire_mut(wire).dialling else { continue };
            if dialling.attempt_until <= self.now {
                dialling.timed_out = true;
                dialling.attempt_until = Moment::NEVER;
                self.ring.cancel_connect(key.token(Side::Pool(wire)));
            }
        }
    }

    /// Tries addresses until a connect is in flight; tells the session `why` not when none is left.
    fn try_next_address(&mut self, key: Key, wire: Wire, mut why: Gone) {
        let side = Side::Pool(wire);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let place = pair.wire_mut(wire);
        let Some(dialling) = &mut place.dialling else { return };
        while self.now < dialling.until
            && let Some(address) = dialling.next_address()
        {
            self.counters.count(Counter::Dials);
            let socket = pool_socket(address);
            place.lacked_socket = socket.as_ref().is_err_and(Errno::tells_exhaustion);
            let socket = match socket {
                Ok(socket) => socket,
                Err(error) => {
                    log::debug!("a socket toward {address}: {error}");
                    self.counters.count(Counter::DialsFailed);
                    why = Gone::DialFailed;
                    continue;
                }
            };
            let attempt_ms = (dialling.connect_ms / dialling.addresses.len() as u64).max(ATTEMPT_MS_MIN);
            dialling.attempt_until = self.now.plus_ms(attempt_ms).min(dialling.until);
            dialling.timed_out = false;
            self.ring.connect(socket.as_fd(), address, key.token(side));
            place.end.connecting = true;
            place.end.socket = Some(socket);
            return self.set_timer(key);
        }
        if let Some(entry) = self.pools.catalogue.get(place.pool) {
            // Where time did not suffice for all of them, the next one to dial begins with those that are left.
            entry.addresses().begin_with(dialling.next_index());
        }
        place.dialling = None;
        (place.end.broken, place.end.lost) = (true, true);
        place.end.output.discard();
        self.lost.push((key, side, why));
    }
}

fn pool_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    listen::tune(&SockRef::from(&socket))?;
    Ok(socket.into())
}
