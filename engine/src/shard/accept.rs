//! Taking miners in: accepting, admission, and what to do when descriptors run out.

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};

use adit_protocol::event::{CloseReason, Side};
use adit_protocol::moment::Moment;
use adit_protocol::pool::Origin;
use adit_protocol::session::Session;
use socket2::SockRef;

use super::books::Record;
use super::pair::Pair;
use super::plane::Plane;
use crate::admission::Refused;
use crate::counters::Counter;
use crate::news::desk::Limit;
use crate::ring::completion::{Errno, Token};

/// Until the next accept after a failed one: descriptors do not come back sooner.
const RETRY_MS: u64 = 100;
/// Between two lines in the log about the same trouble.
const LOG_EVERY_MS: u64 = 10_000;

/// A listener and its accept.
#[derive(Debug)]
pub(super) struct Listening {
    listener: TcpListener,
    /// Its number, which its completions carry; the same for good.
    index: u32,
    armed: bool,
    /// When to arm again after a failure.
    pub(super) retry_at: Moment,
    /// Adit stops: the listener closes with its last completion.
    closing: bool,
    logged_at: Option<Moment>,
}

impl Listening {
    pub(super) fn new(index: u32, listener: TcpListener) -> Self {
        Self { listener, index, armed: false, retry_at: Moment::NEVER, closing: false, logged_at: None }
    }

    fn token(&self) -> Token {
        Token { index: self.index, generation: 0, side: Side::Miner }
    }
}

impl Plane {
    /// Arms the listeners that are not and should be.
    pub(super) fn arm_listeners(&mut self) {
        for listening in &mut self.listeners {
            let waits = listening.retry_at != Moment::NEVER && listening.retry_at > self.now;
            if listening.armed || listening.closing || waits {
                continue;
            }
            listening.retry_at = Moment::NEVER;
            listening.armed = true;
            self.ring.accept(listening.listener.as_fd(), listening.token());
        }
    }

    /// A connection, or a failure to take one.
    pub(super) fn on_accepted(&mut self, index: u32, socket: Result<OwnedFd, Errno>, armed: bool) {
        match socket {
            Ok(socket) => self.admit(index, socket),
            Err(Errno::CANCELLED) => {}
            Err(error) => self.accept_failed(index, error),
        }
        if armed {
            return;
        }
        let Some(at) = self.listeners.iter().position(|listening| listening.index == index) else { return };
        let listening = &mut self.listeners[at];
        listening.armed = false;
        if listening.closing {
            self.close_listener(at);
        } else {
            self.arm_listeners();
        }
    }

    /// Takes no further connections. Those that the kernel took already are served.
    pub(super) fn stop_accepting(&mut self) {
        for at in (0..self.listeners.len()).rev() {
            let listening = &mut self.listeners[at];
            if listening.closing {
                continue;
            }
            listening.closing = true;
            listening.retry_at = Moment::NEVER;
            if listening.armed {
                let token = listening.token();
                self.ring.cancel_accept(token);
            } else {
                self.close_listener(at);
            }
        }
    }

    /// The accept has ended: what is still queued is taken, since closing the listener would reset it.
    fn close_listener(&mut self, at: usize) {
        let Listening { listener, index, .. } = self.listeners.remove(at);
        if let Err(error) = listener.set_nonblocking(true) {
            log::warn!("a listener's queue could not be emptied: {error}");
            return;
        }
        while let Ok((socket, _)) = listener.accept() {
            self.admit(index, socket.into());
        }
    }

    fn admit(&mut self, listener: u32, socket: OwnedFd) {
        let peer = SockRef::from(&socket).peer_addr().ok().and_then(|address| address.as_socket());
        let Some(peer) = peer else {
            // It was reset before we looked.
            return self.counters.count(Counter::AcceptFailed);
        };
        if !self.pools.has_usable() {
            // Its own backup pool serves it sooner than we do. Never look alive while dead.
            log::debug!("{peer}: refused (no pool is usable)");
            return self.counters.count(Counter::RefusedNoPool);
        }
        let place = match self.admission.admit(peer.ip(), self.clock.wall_us(self.now) / 1_000) {
            Ok(place) => place,
            Err(refused) => {
                log::debug!("{peer}: refused ({refused:?})");
                let (counter, limit) = match refused {
                    Refused::Total => (Counter::RefusedTotal, Limit::Connections),
                    Refused::Address => (Counter::RefusedAddress, Limit::ConnectionsPerAddress),
                    // No bound was reached, and the operator knows.
                    Refused::Banned => return self.counters.count(Counter::RefusedBanned),
                };
                self.news.limit(limit, Some(peer), self.now);
                return self.counters.count(counter);
            }
        };
        log::debug!("{peer}: connected");
        self.counters.count(Counter::Accepted);
        let origin = Origin { listener: listener as u16, address: peer.ip().to_canonical() };
        let session = Session::new(self.now, origin);
        let record = Record::new(peer, self.now);
        self.vitals.arrived();
        self.news.opened(peer, self.now);
        let key = self.pairs.insert(Pair::new(socket, place, session, record));
        self.arm_receive(key, Side::Miner);
        self.set_timer(key);
        if self.stop_at.is_some() {
            self.end_session(key, CloseReason::Stopping, self.now);
        }
    }

    fn accept_failed(&mut self, index: u32, error: Errno) {
        if error.is_exhaustion() {
            self.counters.count(Counter::AcceptExhausted);
            self.news.limit(Limit::Accepts, None, self.now);
        } else {
            self.counters.count(Counter::AcceptFailed);
        }
        let now = self.now;
        let Some(listening) = self.listeners.iter_mut().find(|listening| listening.index == index) else {
            return;
        };
        if !listening.closing {
            listening.retry_at = now.plus_ms(RETRY_MS);
        }
        if listening.logged_at.is_none_or(|at| at.plus_ms(LOG_EVERY_MS) <= now) {
            listening.logged_at = Some(now);
            log::warn!("accepting connections: {error}; trying again every {RETRY_MS} ms");
        }
    }
}
