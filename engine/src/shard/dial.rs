//! Connecting to the pool: its addresses in turn, each with its share of the connect deadline.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use adit_protocol::event::{Gone, Side, Wire};
use adit_protocol::moment::Moment;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::pair::{Dialling, Key, Phase};
use super::plane::Plane;
use crate::counters::Counter;
use crate::listen;
use crate::ring::completion::Errno;

/// The least time an address gets when there are several.
const ATTEMPT_MS_MIN: u64 = 1_000;

impl Plane {
    /// The session wants its pool on this wire.
    pub(super) fn dial(&mut self, key: Key, wire: Wire) {
        let addresses = self.addresses.newest();
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let until = self.now.plus_ms(self.connect_ms);
        pair.dialling = Some(Box::new(Dialling {
            wire,
            addresses,
            next: 0,
            attempt_until: Moment::NEVER,
            until,
            timed_out: false,
        }));
        self.try_next_address(key, Gone::DialFailed);
    }

    /// A connect ended.
    pub(super) fn on_connected(&mut self, key: Key, side: Side, result: Result<(), Errno>) {
        let (Some(pair), Side::Pool(wire)) = (self.pairs.get_mut(key), side) else { return };
        pair.end_mut(side).connecting = false;
        if pair.phase != Phase::Open {
            return self.ending_moved(key);
        }
        let Err(error) = result else {
            if let Some(dialling) = pair.dialling.take() {
                let left_us = dialling.until.since_us(self.now);
                self.vitals.connecting.record((self.connect_ms * 1_000).saturating_sub(left_us));
            }
            self.addresses.note_dial(true);
            self.arm_receive(key, side);
            self.connected(key, wire);
            self.send_waiting(key, side);
            return;
        };
        self.counters.count(Counter::DialsFailed);
        pair.end_mut(side).socket = None;
        let timed_out = pair.dialling.as_ref().is_some_and(|dialling| dialling.timed_out);
        let why = if timed_out { Gone::DialTimeout } else { Gone::DialFailed };
        if !timed_out {
            log::debug!("connect: {error}");
        }
        self.try_next_address(key, why);
    }

    /// Ends the present attempt if its time is over. Its completion says when it has ended.
    pub(super) fn give_up_attempt(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let Some(dialling) = &mut pair.dialling else { return };
        if dialling.attempt_until <= self.now {
            dialling.timed_out = true;
            dialling.attempt_until = Moment::NEVER;
            self.ring.cancel_connect(key.token(Side::Pool(dialling.wire)));
        }
    }

    /// Tries addresses until a connect is in flight; tells the session `why` not when none is left.
    fn try_next_address(&mut self, key: Key, mut why: Gone) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let Some(dialling) = &mut pair.dialling else { return };
        let side = Side::Pool(dialling.wire);
        let end = &mut pair.wires[dialling.wire.index()];
        while let Some(&address) = dialling.addresses.get(dialling.next)
            && self.now < dialling.until
        {
            dialling.next += 1;
            self.counters.count(Counter::Dials);
            let socket = match pool_socket(address) {
                Ok(socket) => socket,
                Err(error) => {
                    log::warn!("a socket toward {address}: {error}");
                    self.counters.count(Counter::DialsFailed);
                    why = Gone::DialFailed;
                    continue;
                }
            };
            let attempt_ms = (self.connect_ms / dialling.addresses.len() as u64).max(ATTEMPT_MS_MIN);
            dialling.attempt_until = self.now.plus_ms(attempt_ms).min(dialling.until);
            dialling.timed_out = false;
            self.ring.connect(socket.as_fd(), address, key.token(side));
            end.connecting = true;
            end.socket = Some(socket);
            return self.set_timer(key);
        }
        self.addresses.note_dial(false);
        pair.dialling = None;
        (end.broken, end.lost) = (true, true);
        end.output.discard();
        self.lost.push((key, side, why));
    }
}

fn pool_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    listen::tune(&SockRef::from(&socket))?;
    Ok(socket.into())
}
