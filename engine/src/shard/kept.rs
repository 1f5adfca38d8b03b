//! Connections to pools without a miner: how one leaves its session and its shard's ring, lies in a table, and becomes
//! another session's.
//!
//! ```text
//!  session ── prepared ──▶ receive cancelled ──▶ nothing in flight ──▶ detached ──▶ Reserved, or the stock
//!                                                                                       │
//!  session ◀── adopted, receive armed ◀── still open? ◀── a miner's first request ──────┘
//! ```
//!
//! While it lies there, nobody reads from it: what its pool says waits in the socket. So it is looked at before it is
//! given to anybody, for a pool that is gone must not cost a miner one more reconnect.
//!
//! Not here: which miners are closed for it ([`super::returns`]), and what makes connections for the stock
//! ([`super::stock`]).

use std::cell::Cell;
use std::os::fd::OwnedFd;

use adit_protocol::event::{CloseReason, MoveReason, Side, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::{Asks, Placement, PoolId, Router};
use adit_protocol::session::Prepared;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::drill::Traveller;
use super::exchange::Call;
use super::pair::{Key, Phase};
use super::plane::Plane;
use super::stock::Shelves;
use super::wires::PoolEnd;
use crate::pools::counters::PoolCounter;
use crate::pools::rendezvous::MinerKey;
use crate::pools::reserved::{Kept, Owner, Reserved};
use crate::pools::view::PoolsView;

/// How long a connection may take to leave the ring: the cancelling of a receive comes back in the next turn.
const LEAVE_MS: u64 = 200;

/// The least time between two looks at what is kept too long: it was kept one by one.
const FORGET_MS: u64 = 250;

/// A connection that is logged in and belongs to nobody, with nothing of it in flight.
#[derive(Debug)]
pub struct KeptUpstream {
    prepared: Box<Prepared>,
    socket: OwnedFd,
    /// By when the moves of the miner that it is kept for are made up for ([`crate::pools::course`]).
    made_up_at: Moment,
    /// That miner is under drill.
    traveller: Option<Traveller>,
}

/// How a connection that nobody reads from is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// As far as can be seen, it stands.
    Open,
    /// The pool closed it.
    Closed,
    /// It broke.
    Broken,
}

impl KeptUpstream {
    /// Where it leads.
    pub(super) fn pool(&self) -> PoolId {
        self.prepared.pool()
    }

    /// Whether the pool still has its end. What waits to be read hides an end from a read, but not from this.
    pub(super) fn health(&self) -> Health {
        let mut ends = [PollFd::new(&self.socket, PollFlags::RDHUP)];
        // At once, whatever there is.
        let found = poll(&mut ends, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        let seen = ends[0].revents();
        if found.is_err() || seen.intersects(PollFlags::ERR | PollFlags::NVAL) {
            Health::Broken
        } else if seen.intersects(PollFlags::RDHUP | PollFlags::HUP) {
            Health::Closed
        } else {
            Health::Open
        }
    }
}

/// A connection on its way out of the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaving {
    key: Key,
    wire: Wire,
    until: Moment,
}

/// Tells sessions that something is kept for their miner, and asks another router for everything else.
pub(super) struct Doorkeeper<R> {
    inner: R,
    pools: PoolsView,
    reserved: Reserved<KeptUpstream>,
    shelves: Shelves,
}

impl Doorkeeper<PoolsView> {
    /// One that goes by this view of the pools.
    pub(super) fn new(pools: &PoolsView, reserved: &Reserved<KeptUpstream>, shelves: &Shelves) -> Self {
        let (inner, pools) = (pools.clone(), pools.clone());
        Self { inner, pools, reserved: reserved.clone(), shelves: shelves.clone() }
    }
}

impl<R: Router> Router for Doorkeeper<R> {
    fn choose(&mut self, asks: &Asks<'_>) -> Option<PoolId> {
        self.inner.choose(asks)
    }

    fn keeps(&mut self, asks: &Asks<'_>, pool: PoolId) -> bool {
        self.reserved.has(asks.origin.address, |kept| suits(&self.pools, asks, kept))
            || self.shelves.claim(pool)
    }

    fn place(&mut self, asks: &Asks<'_>, pool: PoolId) -> Placement {
        self.inner.place(asks, pool)
    }

    fn knows_path(&self, path: &str) -> bool {
        self.inner.knows_path(path)
    }
}

/// Whether a kept connection is right for this miner: its pool takes miners, and belongs to the group that the miner is
/// sent to. Where its name is not known yet, it is taken for the one that it was kept for.
fn suits(pools: &PoolsView, asks: &Asks<'_>, kept: &Kept<KeptUpstream>) -> bool {
    let asks = Asks { name: asks.name.or(Some(&kept.owner.name)), ..*asks };
    let Some(route) = pools.catalogue.routes().find(&asks) else { return false };
    let miner = MinerKey::of_address(asks.origin.address);
    let is_of_group = pools.catalogue.plan().choose(route.group, miner, |pool| pool == kept.pool).is_some();
    is_of_group && pools.standing(kept.pool).takes()
}

impl Plane {
    /// Begins to take a prepared connection off its session: no bytes come from it any more. False if that cannot be done.
    pub(super) fn begin_keeping(&mut self, key: Key, wire: Wire) -> bool {
        let stops = self.stop_at.is_some();
        let Some(pair) = self.pairs.get_mut(key) else { return false };
        let place = pair.wire_mut(wire);
        if stops || !place.can_be_kept() {
            return false;
        }
        place.keeping = true;
        if place.end.receiving {
            self.ring.cancel_receive(key.token(Side::Pool(wire)));
        }
        self.leaving_ring.push(Leaving { key, wire, until: self.now.plus_ms(LEAVE_MS) });
        true
    }

    /// Takes connections off their sessions of which the kernel holds nothing any more. Sends of this turn come later, so
    /// what has any waits for the next one.
    pub(super) fn advance_keeping(&mut self) {
        let mut leaving = std::mem::take(&mut self.leaving_ring);
        leaving.retain(|&Leaving { key, wire, until }| {
            let (now, turn) = (self.now, self.turn);
            let Some(pair) = self.pairs.get_mut(key) else { return false };
            let is_open = pair.phase == Phase::Open;
            let place = pair.wire_mut(wire);
            if !place.keeping || !is_open {
                return false;
            }
            let is_quiet = place.end.is_quiet() && place.end.output.range(turn).is_none();
            if !is_quiet && place.can_be_kept() && now < until {
                return true;
            }
            let is_kept = is_quiet && place.can_be_kept() && self.keep(key, wire);
            if !is_kept {
                self.cannot_keep(key, wire);
            }
            false
        });
        self.leaving_ring = leaving;
    }

    /// Takes a connection off its session and keeps it. Whether that could be done.
    fn keep(&mut self, key: Key, wire: Wire) -> bool {
        let prepared = Cell::new(None);
        self.call(key, &Call::Detach(wire, &prepared));
        let Some(prepared) = prepared.take() else { return false };
        let Some(pair) = self.pairs.get_mut(key) else { return false };
        let PoolEnd { end, pool, .. } = std::mem::take(pair.wire_mut(wire));
        pair.wire_mut(wire).pool = pool;
        let is_stock = pair.is_stock();
        let (address, made_up_at) = (pair.record.address, pair.moves.course.made_up_at());
        let Some(socket) = end.socket else {
            prepared.discard(&mut self.shared);
            return false;
        };
        let name = prepared.names().next().map(Box::from);
        let traveller = self.drill_closes(key);
        let what = KeptUpstream { prepared, socket, made_up_at, traveller };
        if is_stock {
            self.put_in_stock(what);
            self.end_session(key, CloseReason::Moved, self.now);
            return true;
        }
        let until = self.now.plus_ms(self.pools.catalogue.settings().failover.reserve_ms);
        self.pool_counters.count(pool, PoolCounter::Reserved);
        // Without a name that the pool took there is nobody to keep it for.
        let owner = name.map(|name| Owner { address, name });
        let kept = match owner {
            Some(owner) => self.reserved.keep(Kept { owner, pool, what, until }).map_err(|kept| kept.what),
            None => Err(what),
        };
        match kept {
            Ok(()) => self.kept_until = self.kept_until.min(until),
            Err(what) => self.close_kept(what, PoolCounter::Lapsed),
        }
        self.close_for_return(key, pool);
        true
    }

    /// The connection cannot leave its session, and is closed with it.
    fn cannot_keep(&mut self, key: Key, wire: Wire) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.wire_mut(wire).keeping = false;
        let (pool, is_stock) = (pair.wire(wire).pool, pair.is_stock());
        if is_stock {
            return self.end_session(key, CloseReason::Moved, self.now);
        }
        self.arm_receive(key, Side::Pool(wire));
        self.close_for_return(key, pool);
    }

    /// A miner is here for whom something is kept, as it seemed a moment ago; else it gets a pool like one that lost its own.
    pub(super) fn welcome(&mut self, key: Key, pool: PoolId) {
        self.lacks_pool(key);
        let kept = self.reserved_for(key).or_else(|| self.draw(pool));
        let at = kept.as_ref().map_or(pool, KeptUpstream::pool);
        self.opened(key, at);
        if let Some(kept) = kept
            && self.give(key, kept, MoveReason::Kept)
        {
            return;
        }
        self.find_pool(key);
    }

    /// What is kept for this miner, and still of use.
    fn reserved_for(&mut self, key: Key) -> Option<KeptUpstream> {
        loop {
            let session = &self.pairs.get_mut(key)?.session;
            let asks = session.asks();
            // Its own, if its name is known. Else one that was asked for what it asks for: then nothing is asked again.
            let rank = |kept: &Kept<KeptUpstream>| {
                let is_own = asks.name == Some(&*kept.owner.name);
                let knows = kept.what.prepared.is_configured_for(session);
                suits(&self.pools, &asks, kept).then_some((is_own, knows))
            };
            let taken = self.reserved.take(asks.origin.address, self.now, rank)?;
            if taken.what.health() == Health::Open {
                self.pool_counters.count(taken.pool, PoolCounter::Taken);
                return Some(taken.what);
            }
            if let Some(pair) = self.pairs.get_mut(key) {
                pair.moves.course.goes_on_from(taken.what.made_up_at);
            }
            self.close_kept(taken.what, PoolCounter::Lapsed);
        }
    }

    /// Gives a kept connection to a session, in a place that is free. Whether the session took it; else it is closed.
    pub(super) fn give(&mut self, key: Key, kept: KeptUpstream, reason: MoveReason) -> bool {
        let KeptUpstream { prepared, socket, made_up_at, traveller } = kept;
        let pool = prepared.pool();
        let traveller = traveller.filter(|&traveller| self.drill_of(traveller).is_some());
        let Some((pair, wire)) = self.pairs.get_mut(key).and_then(|pair| {
            let wire = pair.free_wire()?;
            Some((pair, wire))
        }) else {
            self.close_kept(KeptUpstream { prepared, socket, made_up_at, traveller }, PoolCounter::Closed);
            return false;
        };
        pair.moves.course.goes_on_from(made_up_at);
        if let Some(traveller) = traveller {
            self.drill_comes_back(key, traveller);
        }
        let Some(pair) = self.pairs.get_mut(key) else { return false };
        *pair.wire_mut(wire) = PoolEnd::standing(pool, socket, self.now);
        self.move_begins(key, wire);
        let given = Cell::new(Some(prepared));
        self.call(key, &Call::Adopt(wire, reason, &given));
        let Some(prepared) = given.take() else {
            self.arm_receive(key, Side::Pool(wire));
            return true;
        };
        self.move_over(key);
        let Some(pair) = self.pairs.get_mut(key) else { return false };
        if traveller.is_some() {
            pair.moves.drill = None;
        }
        if let Some(socket) = std::mem::take(pair.wire_mut(wire)).end.socket {
            self.close_kept(KeptUpstream { prepared, socket, made_up_at, traveller }, PoolCounter::Closed);
        }
        false
    }

    /// Nobody wants it any more.
    pub(super) fn close_kept(&mut self, kept: KeptUpstream, why: PoolCounter) {
        let pool = kept.pool();
        if why != PoolCounter::Closed {
            self.pool_counters.count(pool, why);
        }
        self.pool_counters.count(pool, PoolCounter::Closed);
        if let Some(traveller) = kept.traveller {
            self.drill_loses(traveller);
        }
        kept.prepared.discard(&mut self.shared);
    }

    /// Closes what was kept too long, and what leads to pools where no miner may stay.
    pub(super) fn forget_kept(&mut self) {
        let now = if self.stop_at.is_some() { Moment::NEVER } else { self.now };
        let pools = &self.pools;
        let is_away = |pool| !pools.standing(pool).keeps();
        let (expired, next) = self.reserved.expire(now, is_away);
        // Where this shard kept nothing, others look after it.
        let soonest = self.now.plus_ms(FORGET_MS);
        self.kept_until = if self.kept_until == Moment::NEVER { Moment::NEVER } else { next.max(soonest) };
        for kept in expired {
            self.close_kept(kept.what, PoolCounter::Lapsed);
        }
    }
}
