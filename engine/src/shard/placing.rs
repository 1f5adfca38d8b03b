//! Miners whose name became known after they were given a pool, and belongs to another one.
//!
//! A name of another group is urgent: its authorize waits for a pool of that group. One that only the weights of its own
//! group would have elsewhere is worth a live switch and nothing more. Names are remembered where they matter, so that
//! the next connection begins where it belongs ([`crate::pools::learned`]).

use adit_protocol::event::{CloseReason, MoveReason, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;

use super::moves::Decision;
use super::pair::Key;
use super::plane::Plane;
use crate::pools::course::Course;
use crate::pools::learned::Who;

/// By what a miner is remembered.
#[derive(Debug)]
pub(super) struct Remembered {
    agent: Box<str>,
    name: Box<[u8]>,
}

impl Plane {
    /// A name belongs to another group's pool, and waits for it. `left` is where the session's own pool was, if that was
    /// let go.
    pub(super) fn misplaced(&mut self, key: Key, pool: PoolId, left: Option<Wire>) {
        if let Some(wire) = left {
            self.close_wire(key, wire);
        }
        self.decisions.push((key, Decision::Misplaced(pool)));
    }

    /// The same, once nobody is in the middle of calling the session.
    pub(super) fn move_misplaced(&mut self, key: Key, pool: PoolId) {
        let grace_ms = self.pools.catalogue.settings().failover.grace_ms;
        let given_up_at = self.now.plus_ms(grace_ms);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let moves = &mut pair.moves;
        (moves.is_misplaced, moves.close_at, moves.ready) = (true, Moment::NEVER, None);
        moves.course.forget_plan();
        if !pair.session.has_pool() {
            moves.lost.get_or_insert(CloseReason::NoPool);
            moves.given_up_at = moves.given_up_at.min(given_up_at);
        }
        if self.may_begin_move(key) {
            // Where it cannot, the authorize is answered at its deadline.
            let _ = self.start_move(key, pool, MoveReason::Placement);
        }
        self.set_timer(key);
    }

    /// A pool accepted a name of the miner: it is remembered, and the miner moved if the weights want that.
    pub(super) fn named(&mut self, key: Key) {
        self.remember(key);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if pair.moves.under_way.is_none() {
            let _ = self.ask_course(key, Course::named); // nobody to decide about, if the miner is gone
            self.set_timer(key);
        }
    }

    fn remember(&mut self, key: Key) {
        if !self.pools.catalogue.names_matter() {
            return;
        }
        let Some(pair) = self.pairs.get_mut(key).filter(|pair| pair.remembered.is_none()) else { return };
        let asks = pair.session.asks();
        let (Some(name), agent) = (asks.name, asks.agent.unwrap_or_default()) else { return };
        let who = Who { address: asks.origin.address, agent, name };
        if self.pools.learned.authorised(who, pair.session.pool()) {
            let (agent, name) = (agent.into(), name.into());
            pair.remembered = Some(Box::new(Remembered { agent, name }));
        }
    }

    /// The miner's connection has ended.
    pub(super) fn remember_leaving(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if let Some(remembered) = pair.remembered.take() {
            let address = pair.session.asks().origin.address;
            let Remembered { agent, name } = &*remembered;
            self.pools.learned.left(Who { address, agent, name });
        }
    }
}
