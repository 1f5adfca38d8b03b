//! Names that belong to another pool than the one that the miner was given before its name was known.
//!
//! Such a name is never told to the present pool: its authorize is parked and the owner is asked for the other pool; or,
//! where the miner would need a new connection for it, the session ends, and the router sees to it that the next one is
//! placed right at once. Not here: which pool is right ([`Router::place`](crate::pool::Router::place)).

use crate::event::{CloseReason, Event, LoginFailure, Oddity, Wire};
use crate::message::Message;
use crate::moment::Moment;
use crate::pool::{Asks, Placement, PoolId};
use crate::replies;
use crate::session::from_miner::between_quotes;
use crate::session::{Context, Session};

impl Session {
    /// Whether a name belongs to the pool that the miner has, or is on its way to.
    pub(super) fn placement(&self, json: &[u8], cx: &mut Context<'_>) -> Placement {
        let known = self.downstream.find(json);
        let is_here = |index| self.current.is_some_and(|wire| self.wire(wire).name(index).is_some());
        if known.is_some_and(is_here) {
            return Placement::Stay;
        }
        // A connection has one pool: its first name says which, and what belongs elsewhere is refused.
        let has_others = self.downstream.names().any(|(index, _)| Some(index) != known);
        let is_moving = has_others && self.bound_for != PoolId::NONE;
        let home = if is_moving { self.bound_for } else { self.pool };
        let asks = self.asks_as(Some(between_quotes(json)));
        let asks = Asks { can_follow: asks.can_follow || has_others, ..asks };
        match cx.shared.router.place(&asks, home) {
            Placement::Stay if is_moving => Placement::Move(home),
            Placement::Move(pool) if pool == home => Placement::Stay,
            Placement::Move(_) | Placement::Close | Placement::Nowhere if has_others => Placement::Refuse,
            placement => placement,
        }
    }

    /// Whether the miner could be moved to any pool without a new connection, as far as that depends on the miner.
    pub(super) fn can_follow(&self) -> bool {
        let (extranonce, mask) = self.in_force();
        (self.downstream.takes_extranonce || extranonce.is_none())
            && (self.downstream.mask_asked.is_some() || mask == 0)
    }

    /// Lets the present pool go if the miner got nothing from it that the next one could not give it anew, so that it need
    /// not know `mining.set_extranonce`. Where that was.
    pub(super) fn let_pool_go(&mut self, cx: &mut Context<'_>) -> Option<Wire> {
        let wire = self.current.filter(|_| self.in_force().0.is_none())?;
        self.downstream.left_with = self.in_force();
        (self.current, self.wait_until) = (None, Moment::NEVER);
        self.drop_told();
        self.free_wire(wire, cx);
        Some(wire)
    }

    /// Gives up what is being prepared at pools that the name in `json` does not belong to, and that would be told it. Whether
    /// something is left that will answer its authorize.
    pub(super) fn keep_fitting_logins(&mut self, json: &[u8], cx: &mut Context<'_>) -> bool {
        let mut is_any_left = false;
        for wire in Wire::ALL {
            if self.wire(wire).login.is_none() {
                continue;
            }
            let asks = Asks { can_follow: true, ..self.asks_as(Some(between_quotes(json))) };
            if cx.shared.router.place(&asks, self.wire(wire).pool) == Placement::Stay {
                is_any_left = true;
            } else {
                self.fail_login(wire, LoginFailure::Misplaced, cx);
            }
        }
        is_any_left
    }

    /// Whether this is a pool for the name that waits for one, if any does.
    pub(super) fn fits_parked(&self, pool: PoolId, cx: &mut Context<'_>) -> bool {
        let asks = Asks { can_follow: true, ..self.asks() };
        self.bound_for == PoolId::NONE
            || asks.name.is_none()
            || cx.shared.router.place(&asks, pool) == Placement::Stay
    }

    /// The authorize is parked: asks for the pool that it belongs to, unless that is on its way.
    pub(super) fn ask_for_pool(&mut self, pool: PoolId, is_on_its_way: bool, cx: &mut Context<'_>) {
        self.bound_for = pool;
        let left = self.let_pool_go(cx);
        if left.is_some() || !is_on_its_way {
            cx.tell(Event::Misplaced { pool, left });
        }
    }

    /// Ends the session, so that the miner comes back and is placed by its name.
    pub(super) fn send_back(&mut self, message: &Message<'_>, cx: &mut Context<'_>) {
        self.refuse_in_order(message, replies::COME_AGAIN, cx);
        self.finish(CloseReason::Misplaced, cx);
    }

    /// The name's pools are not there. Where there is no other pool, the miner's own backup pool works.
    pub(super) fn no_pool_for(&mut self, message: &Message<'_>, cx: &mut Context<'_>) {
        self.refuse_in_order(message, replies::NO_POOL, cx);
        self.finish(CloseReason::NoPool, cx);
    }

    /// The name belongs elsewhere, and the miner does not come there.
    pub(super) fn refuse_misplaced(&mut self, message: &Message<'_>, cx: &mut Context<'_>) {
        cx.odd(Oddity::RefusedMisplaced);
        self.refuse_in_order(message, replies::WRONG_POOL, cx);
    }
}
