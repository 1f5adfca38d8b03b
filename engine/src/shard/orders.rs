//! Miners that an operator wants at another pool, now: prepared there and switched live, or closed once that pool is ready
//! for them.
//!
//! What is ordered is begun at once, whatever was decided for the miner lately, and kept: the name has an order
//! ([`crate::pools::orders`]) from here on, so that going back, weights and new connections go by it. Not here: who may
//! order, and what is made of the answers ([`crate::control`]).

use std::cell::Cell;

use adit_protocol::event::{MoveReason, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use crossbeam::channel::Sender;

use super::Whom;
use super::exchange::Call;
use super::moves::UNDER_WAY_COUNT_MAX;
use super::pair::{Key, Pair, Phase};
use super::plane::Plane;
use crate::pools::drill::Drilled;

/// What an operator wants.
#[derive(Clone, Debug)]
pub struct Order {
    /// Which miners.
    pub whom: Whom,
    /// Where they are to mine; `None`: where the plan says, any order of before forgotten, or for the miners of a pool
    /// wherever else it says.
    pub to: Option<PoolId>,
    /// Up to when they are kept there.
    pub until: Moment,
    /// Whether those that cannot be switched live are closed, so that they come back there.
    pub may_close: bool,
    /// Where the answer goes.
    pub answer: Sender<Ordered>,
}

/// What an order means for the miners of one shard, or of several. Each connection is counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ordered {
    /// They are switched live.
    pub live: u64,
    /// They are closed when the pool is ready for them.
    pub closed: u64,
    /// They are there already.
    pub there: u64,
    /// They stay, for they cannot be switched live and may not be closed.
    pub stay: u64,
    /// They stay, for the pool is of another group than theirs.
    pub strangers: u64,
    /// They stay, for there is no other pool for them.
    pub nowhere: u64,
}

impl Ordered {
    /// Adds what another shard answered.
    pub fn merge(&mut self, other: &Self) {
        self.live += other.live;
        self.closed += other.closed;
        self.there += other.there;
        self.stay += other.stay;
        self.strangers += other.strangers;
        self.nowhere += other.nowhere;
    }
}

/// A move that somebody wants as soon as it can be begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) pool: PoolId,
    pub(super) reason: MoveReason,
    /// Whether the miner may be closed where it cannot be switched live.
    pub(super) may_close: bool,
}

impl Whom {
    /// Whether a miner is one of them.
    pub(super) fn is(self, pair: &Pair) -> bool {
        // Connections for the stock are nobody's.
        !pair.is_stock()
            && match self {
                Self::Worker(worker) => pair.workers.contains(&worker),
                Self::Network(network) => network.contains(pair.record.address),
                Self::Pool(pool) => pair.session.pool() == pool,
            }
    }
}

impl Plane {
    /// Does what an operator wants with some miners.
    pub(super) fn order(&mut self, order: &Order) {
        let mut ordered = Ordered::default();
        for key in self.pairs.keys() {
            self.order_one(key, order, &mut ordered);
        }
        self.orders_end_at = self.orders_end_at.min(order.until);
        // Where nobody waits for the answer any more, there is no harm.
        let _ = order.answer.try_send(ordered);
    }

    fn order_one(&mut self, key: Key, order: &Order, ordered: &mut Ordered) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let at = pair.session.pool();
        if pair.phase != Phase::Open || at == PoolId::NONE || !order.whom.is(pair) {
            return;
        }
        let asks = pair.session.asks();
        let to = match (order.to, order.whom) {
            (Some(pool), _) if !self.pools.is_of_group(&asks, pool) => {
                ordered.strangers += 1;
                return;
            }
            (Some(pool), _) => Some(pool),
            (None, Whom::Pool(from)) => self.pools.choose(&asks, &[from]),
            (None, _) => {
                asks.name.map(|name| self.pools.orders.lift(name));
                self.pools.choose(&asks, &[])
            }
        };
        let Some(pool) = to else {
            ordered.nowhere += 1;
            return;
        };
        let is_live = pair.session.takes_extranonce();
        if pool != at && !is_live && !order.may_close {
            ordered.stay += 1;
            return;
        }
        let is_kept = order.to.is_some() || matches!(order.whom, Whom::Pool(_));
        if let (true, Some(name)) = (is_kept, asks.name)
            && !self.pools.orders.give(name, pool, order.until)
        {
            log::warn!("more workers are moved by operators than can be kept in mind");
        }
        if pool == at && !pair.moves.is_lost() {
            pair.moves.wanted = None;
            ordered.there += 1;
            return;
        }
        ordered.live += u64::from(is_live);
        ordered.closed += u64::from(!is_live);
        let reason = MoveReason::Operator;
        pair.moves.wanted = Some(Wanted { pool, reason, may_close: order.may_close });
        let _ = self.begin_wanted(key);
    }

    /// Begins the move that somebody wants for a session, if there is one, nothing else is under way for it, and there is
    /// room for one login more; otherwise it waits until that is so. Whether there is a move now, or one that waits.
    pub(super) fn begin_wanted(&mut self, key: Key) -> bool {
        let Some(pair) = self.pairs.get_mut(key) else { return false };
        let moves = &mut pair.moves;
        let Some(wanted) = moves.wanted.filter(|_| pair.phase == Phase::Open) else { return false };
        if moves.under_way.is_some() {
            return true;
        }
        if self.moves_under_way >= UNDER_WAY_COUNT_MAX {
            self.queue_move(key);
            return true;
        }
        moves.wanted = None;
        moves.may_close = wanted.may_close;
        let is_there = pair.session.pool() == wanted.pool && !pair.moves.is_lost();
        let is_begun = !is_there
            && self.pools.standing(wanted.pool).takes()
            && self.start_move(key, wanted.pool, wanted.reason);
        if let Some(pair) = self.pairs.get_mut(key)
            && !is_begun
        {
            pair.moves.may_close = true;
        }
        is_begun
    }

    /// The miner stays where it is: it cannot be switched live to the pool that is ready, and may not be closed for it.
    pub(super) fn stays(&mut self, key: Key, wire: Wire) {
        self.move_over(key);
        let prepared = Cell::new(None);
        self.call(key, &Call::Detach(wire, &prepared));
        if let Some(prepared) = prepared.take() {
            prepared.discard(&mut self.shared);
            self.close_wire(key, wire);
        }
        self.drill_stays(key, Drilled::NotLive);
    }

    /// The time of an order is over: miners go where the plan says, spread like all that nothing forces.
    pub(super) fn end_orders(&mut self) {
        self.orders_end_at = self.pools.orders.end(self.now);
        self.pools_stand_otherwise();
    }
}
