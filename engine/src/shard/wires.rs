//! The two places of a pair for connections to pools: a connection that is of the past leaves its place when the kernel
//! holds nothing of it any more, and only then the next one may take it.
//!
//! A completion names a place, not a connection; so two connections are never in one place. Not here: which pool a place
//! is given to ([`super::moves`]), and how it is reached ([`super::dial`]).

use std::net::{Shutdown, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use adit_protocol::event::{Side, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use socket2::SockRef;

use super::output::Output;
use super::pair::{End, Key, Phase};
use super::plane::Plane;
use crate::pools::counters::PoolCounter;

/// One of the two places, and the connection in it.
#[derive(Debug)]
pub(super) struct PoolEnd {
    pub(super) end: End,
    /// Whose it is, or was last.
    pub(super) pool: PoolId,
    /// When the place was given to it.
    pub(super) opened_at: Moment,
    /// When it gave its first job.
    pub(super) working_since: Option<Moment>,
    /// Shares that it rejected since the last one that it accepted.
    pub(super) rejects_run: u32,
    /// Shares that the pool had accepted from anybody when that run began.
    pub(super) accepted_before: u64,
    /// There was no socket for the last attempt to connect, which tells nothing of the pool.
    pub(super) lacked_socket: bool,
    /// While it does not stand yet.
    pub(super) dialling: Option<Box<Dialling>>,
    /// It is about to leave the session, to be kept: nothing is received from it any more.
    pub(super) keeping: bool,
    /// The connection is of the past; it leaves with its last completion.
    leaving: bool,
    /// What takes the place then. What it has to say so far waits in `end`'s output.
    next: Option<PoolId>,
}

/// A connection to a pool that does not stand yet.
#[derive(Debug)]
pub(super) struct Dialling {
    pub(super) addresses: Arc<[SocketAddr]>,
    /// Whether the pool named them, and not the configuration.
    pub(super) is_elsewhere: bool,
    /// Index of the address that is tried first, and how many have been.
    pub(super) first: usize,
    pub(super) tried_count: usize,
    /// How long all of it may take.
    pub(super) connect_ms: u64,
    /// When the present attempt has taken too long.
    pub(super) attempt_until: Moment,
    /// When all of it has taken too long.
    pub(super) until: Moment,
    /// The present attempt is being cancelled.
    pub(super) timed_out: bool,
}

impl Dialling {
    /// The index of the address that comes next, after those that were tried.
    pub(super) fn next_index(&self) -> usize {
        (self.first + self.tried_count).checked_rem(self.addresses.len()).unwrap_or(0)
    }

    /// The next address, each once.
    pub(super) fn next_address(&mut self) -> Option<SocketAddr> {
        let index = self.next_index();
        let address = self.addresses.get(index).filter(|_| self.tried_count < self.addresses.len())?;
        self.tried_count += 1;
        Some(*address)
    }

    /// The index of the address that is being tried.
    pub(super) fn present_index(&self) -> usize {
        let present = (self.first + self.tried_count).saturating_sub(1);
        present.checked_rem(self.addresses.len()).unwrap_or(0)
    }
}

impl Default for PoolEnd {
    fn default() -> Self {
        Self {
            end: End::default(),
            pool: PoolId::NONE,
            opened_at: Moment::NEVER,
            working_since: None,
            rejects_run: 0,
            accepted_before: 0,
            lacked_socket: false,
            dialling: None,
            keeping: false,
            leaving: false,
            next: None,
        }
    }
}

impl PoolEnd {
    /// A place with a connection in it that stands.
    pub(super) fn standing(pool: PoolId, socket: OwnedFd, now: Moment) -> Self {
        let end = End { socket: Some(socket), ..End::default() };
        Self { end, pool, opened_at: now, ..Self::default() }
    }

    /// Whether nothing is in it, nor on its way there.
    pub(super) fn is_free(&self) -> bool {
        self.opened_at == Moment::NEVER && !self.leaving && self.end.socket.is_none()
    }

    /// Whether the connection in it stands, and owes its peer nothing.
    pub(super) fn can_be_kept(&self) -> bool {
        let end = &self.end;
        let stands = end.connected().is_some() && !end.lost && !end.ended;
        stands && !self.leaving && end.output.waiting() == 0
    }

    /// When the present attempt to connect has taken too long.
    pub(super) fn dial_deadline(&self) -> Moment {
        self.dialling.as_ref().map_or(Moment::NEVER, |dialling| dialling.attempt_until)
    }

    /// Whether there is a connection in it that is not of the past.
    pub(super) fn is_open(&self) -> bool {
        self.opened_at != Moment::NEVER && !self.leaving
    }

    /// Whether that is one to this pool.
    pub(super) fn is_of(&self, pool: PoolId) -> bool {
        self.pool == pool && self.is_open()
    }

    /// Nobody wants it any more.
    pub(super) fn forget_dial(&mut self) {
        self.dialling = None;
        self.next = None;
    }

    /// Whether bytes for it are for a connection that takes no more.
    pub(super) fn is_deaf(&self) -> bool {
        self.end.broken && self.next.is_none()
    }

    /// Whether the news that the connection is gone is about the one in the place.
    pub(super) fn is_news(&self) -> bool {
        !self.leaving && (self.end.lost || self.end.ended)
    }
}

impl Plane {
    /// Gives a place to a pool. What the session says to it from now on waits until the connection stands.
    pub(super) fn open_wire(&mut self, key: Key, wire: Wire, pool: PoolId) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let place = pair.wire_mut(wire);
        if place.leaving {
            place.next = Some(pool);
            return;
        }
        place.pool = pool;
        place.opened_at = self.now;
        place.working_since = None;
        place.rejects_run = 0;
        self.pool_counters.count(pool, PoolCounter::Opened);
        self.dial(key, wire);
    }

    /// The session has no use for the connection in this place any more.
    pub(super) fn close_wire(&mut self, key: Key, wire: Wire) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let place = pair.wire_mut(wire);
        place.forget_dial();
        place.keeping = false;
        let end = &mut place.end;
        (end.lost, end.broken) = (true, true);
        end.heard_until = Moment::NEVER;
        end.output.discard();
        if let Some(socket) = &end.socket {
            // It fails only on a socket that never stood or is gone already.
            let _ = SockRef::from(socket).shutdown(Shutdown::Both);
        }
        if !std::mem::replace(&mut place.leaving, true) {
            self.pool_counters.count(place.pool, PoolCounter::Closed);
        }
        if end.connecting {
            self.ring.cancel_connect(key.token(Side::Pool(wire)));
        }
        self.keep_bounds(key, Side::Pool(wire));
        self.wire_moved(key, Side::Pool(wire));
    }

    /// An operation of this side has ended; perhaps it was the last one of a connection that leaves.
    pub(super) fn wire_moved(&mut self, key: Key, side: Side) {
        let Side::Pool(wire) = side else { return };
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let is_open = pair.phase == Phase::Open;
        let place = pair.wire_mut(wire);
        if !is_open || !place.leaving || !place.end.is_quiet() {
            return;
        }
        let output = std::mem::take(&mut place.end.output);
        place.end = End { output, ..End::default() };
        place.leaving = false;
        place.opened_at = Moment::NEVER;
        match place.next.take() {
            Some(pool) => self.open_wire(key, wire, pool),
            None => place.end.output = Output::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_tried_once_and_the_next_to_dial_begins_where_time_ran_out() {
        let address = |n: u16| SocketAddr::from(([127, 0, 0, 1], n));
        let mut dialling = Dialling {
            addresses: (0..4).map(address).collect(),
            is_elsewhere: false,
            first: 3,
            tried_count: 0,
            connect_ms: 0,
            attempt_until: Moment::NEVER,
            until: Moment::NEVER,
            timed_out: false,
        };
        assert_eq!(dialling.next_address(), Some(address(3)));
        assert_eq!(dialling.next_address(), Some(address(0)));
        assert_eq!((dialling.present_index(), dialling.next_index()), (0, 1));
        assert_eq!([(); 3].map(|()| dialling.next_address()), [Some(address(1)), Some(address(2)), None]);
        // The name has fewer addresses than when somebody noted where to begin, or none.
        (dialling.first, dialling.tried_count) = (9, 0);
        assert_eq!(dialling.next_address(), Some(address(1)));
        dialling.addresses = Arc::new([]);
        assert_eq!((dialling.next_address(), dialling.next_index(), dialling.present_index()), (None, 0, 0));
    }
}
