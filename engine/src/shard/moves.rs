//! Where a session mines: finding it another pool when it lost its own, when that one is no place to stay, or when a better
//! one is good again.
//!
//! A shard decides for its own sessions, from the standings that the control publishes. What must be (a pool is lost) is
//! done at once, as far as the bound on logins under way allows; what only should be (going back) is spread over time, and
//! never done twice within the hold time. A connection that works is never given up for want of another one.
//!
//! Not here: the login and the switch themselves ([`adit_protocol::session`]), and what becomes of a miner that cannot be
//! switched live ([`super::returns`]).

use adit_protocol::event::{CloseReason, LoginFailure, MoveReason, Side, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use adit_protocol::session::Session;

use super::drill::DrillStage;
use super::orders::Wanted;
use super::pair::{Key, Phase};
use super::plane::Plane;
use super::trail::Deed;
use crate::counters::Counter;
use crate::pools::counters::PoolCounter;
use crate::pools::drill::Drilled;
use crate::pools::standing::Standing;

/// Logins that a shard makes at the same time. A pool's accept queue is finite, and so is its patience.
pub(super) const UNDER_WAY_COUNT_MAX: usize = 512;
/// Pools tried in one round of attempts; then the miner waits a little.
const TRIED_COUNT_MAX: usize = 8;
/// The wait between the first two rounds; it doubles each time.
const ROUND_MS: u64 = 100;
/// Doublings of that wait at most.
const ROUND_DOUBLINGS_MAX: u8 = 5;

/// What is being done about the pool of one session.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a session, in any combination")]
pub(super) struct Moves {
    /// The place in which another pool is being prepared.
    pub(super) under_way: Option<Wire>,
    /// It waits for room among those under way.
    is_queued: bool,
    /// Pools that failed since the last one that worked.
    tried: [PoolId; TRIED_COUNT_MAX],
    tried_count: usize,
    rounds: u8,
    /// Why it has no pool, while it has none.
    pub(super) lost: Option<CloseReason>,
    /// Its name belongs to another group's pool, and waits for it.
    pub(super) is_misplaced: bool,
    /// When a miner without a pool is let go.
    pub(super) given_up_at: Moment,
    /// When to try (again) to get elsewhere.
    pub(super) next_at: Moment,
    /// No move that nothing forces before this.
    pub(super) hold_until: Moment,
    /// Whether it was moved, other than to where its name belongs.
    pub(super) has_moved: bool,
    /// When a miner that cannot be switched live is closed, so that it comes back to the pool that is ready for it.
    pub(super) close_at: Moment,
    /// Where that pool is ready.
    pub(super) ready: Option<Wire>,
    /// Where an operator wants it, as long as that could not be begun.
    pub(super) wanted: Option<Wanted>,
    /// Whether the miner may be closed where it cannot be switched live, in the move under way.
    pub(super) may_close: bool,
    /// How far it has come in a failover drill, if it is under one.
    pub(super) drill: Option<DrillStage>,
    /// What for, and since when that was wanted.
    pub(super) ready_for: Option<Box<(MoveReason, Moment)>>,
}

impl Default for Moves {
    fn default() -> Self {
        Self {
            under_way: None,
            is_queued: false,
            tried: [PoolId::NONE; TRIED_COUNT_MAX],
            tried_count: 0,
            rounds: 0,
            lost: None,
            is_misplaced: false,
            given_up_at: Moment::NEVER,
            next_at: Moment::NEVER,
            hold_until: Moment(0),
            has_moved: false,
            close_at: Moment::NEVER,
            ready: None,
            wanted: None,
            may_close: true,
            drill: None,
            ready_for: None,
        }
    }
}

impl Moves {
    /// When this session's pool is to be looked at.
    pub(super) fn deadline(&self) -> Moment {
        self.next_at.min(self.given_up_at).min(self.close_at)
    }

    /// Whether nothing is being done about its pool, nor about to be.
    pub(super) fn is_at_rest(&self) -> bool {
        self.drill.is_none() && self.is_idle()
    }

    /// Whether nothing is, though it is at this point of a drill.
    pub(super) fn is_idle_in(&self, stage: DrillStage) -> bool {
        self.drill == Some(stage) && self.is_idle()
    }

    fn is_idle(&self) -> bool {
        let is_free = self.under_way.is_none() && self.wanted.is_none() && !self.is_queued;
        is_free && self.lost.is_none() && self.ready.is_none() && self.close_at == Moment::NEVER
    }

    /// Whether it has no pool.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Whether it cannot stay at its pool, or has none.
    fn must_move(&self) -> bool {
        self.is_lost() || self.is_misplaced
    }

    fn tried(&self) -> &[PoolId] {
        self.tried.get(..self.tried_count).unwrap_or_default()
    }

    fn note_tried(&mut self, pool: PoolId) {
        if let Some(place) = self.tried.get_mut(self.tried_count) {
            *place = pool;
            self.tried_count += 1;
        }
    }

    fn has_tried_enough(&self) -> bool {
        self.tried_count == TRIED_COUNT_MAX
    }
}

/// What is to be decided about a session once nobody is in the middle of calling it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decision {
    /// It lost its pool.
    Lost(PoolId, CloseReason),
    /// It cannot be logged in there.
    LoginFailed(PoolId),
    /// Its miner's name waits for this pool.
    Misplaced(PoolId),
    /// It could go elsewhere, but not on its miner's present connection.
    CannotFollow(Wire),
    /// Something seems to be kept for its miner, to whom this pool was given.
    Arrived(PoolId),
    /// It has no miner, and its connection is ready for the stock.
    Stocked(Wire),
}

impl Plane {
    /// Tells sessions what was found out while others were being called, and decides what they left open.
    pub(super) fn decide(&mut self) {
        // Each round of it uses up a pool that was not tried before, so it ends.
        while !self.lost.is_empty() || !self.decisions.is_empty() {
            self.tell_lost();
            let mut decisions = std::mem::take(&mut self.decisions);
            for (key, decision) in decisions.drain(..) {
                match decision {
                    // Within one turn, a session may come to more than it left to be decided.
                    Decision::Lost(..) if self.session_is(key, Session::has_pool) => {}
                    Decision::Lost(pool, why) => self.pool_lost(key, pool, why),
                    Decision::LoginFailed(pool) => self.login_failed(key, pool),
                    Decision::Misplaced(pool) => self.move_misplaced(key, pool),
                    Decision::CannotFollow(wire) => {
                        if self.session_is(key, |session| session.is_prepared(wire)) {
                            self.cannot_follow(key, wire);
                        }
                    }
                    Decision::Arrived(_) if self.session_is(key, Session::is_finished) => {}
                    Decision::Arrived(pool) => self.welcome(key, pool),
                    Decision::Stocked(wire) => self.spare_ready(key, wire),
                }
            }
        }
        self.stock.shelves.forget_claims();
    }

    fn session_is(&mut self, key: Key, so: impl FnOnce(&Session) -> bool) -> bool {
        self.pairs.get_mut(key).is_some_and(|pair| so(&pair.session))
    }

    /// A miner has come, and is given its first pool. Where it is it stays for a while: it may have come back from a move.
    pub(super) fn arrived(&mut self, key: Key) {
        let hold_ms = self.pools.catalogue.settings().failover.hold_ms;
        if let Some(pair) = self.pairs.get_mut(key) {
            pair.moves.hold_until = self.now.plus_ms(hold_ms);
        }
    }

    /// The same for one to whom no connection was made: until it has a pool, it is as if it had lost one.
    pub(super) fn lacks_pool(&mut self, key: Key) {
        self.arrived(key);
        if let Some(pair) = self.pairs.get_mut(key) {
            pair.moves.lost = Some(CloseReason::NoPool);
        }
    }

    fn pool_lost(&mut self, key: Key, pool: PoolId, why: CloseReason) {
        let failover = &self.pools.catalogue.settings().failover;
        let (grace_ms, jitter_ms) = (failover.grace_ms, failover.close_jitter_ms.min(failover.grace_ms));
        let given_up_at = self.now.plus_ms(grace_ms + self.dice.below(jitter_ms));
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let moves = &mut pair.moves;
        moves.lost = Some(why);
        moves.given_up_at = moves.given_up_at.min(given_up_at);
        moves.note_tried(pool);
        if !self.follows_at_once(key) {
            self.find_pool(key);
        }
        self.set_timer(key);
    }

    fn login_failed(&mut self, key: Key, pool: PoolId) {
        self.move_over(key);
        let hold_ms = self.pools.catalogue.settings().failover.hold_ms;
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if pair.is_stock() {
            return self.spare_failed(key, pool);
        }
        let (now, at) = (self.now, pair.session.pool());
        pair.moves.note_tried(pool);
        self.drill_stays(key, Drilled::Failed);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        (pair.moves.close_at, pair.moves.ready) = (Moment::NEVER, None);
        if pair.moves.must_move() || self.pools.standing(at) == Standing::Away {
            return self.find_pool(key);
        }
        pair.moves.tried_count = 0;
        pair.moves.hold_until = pair.moves.hold_until.max(now.plus_ms(hold_ms));
        // It should still be there, and nobody else says when to try again.
        self.look_again(key);
    }

    /// Looks for a pool that takes a session that cannot stay where it is, or is nowhere.
    pub(super) fn find_pool(&mut self, key: Key) {
        if !self.may_begin_move(key) {
            return;
        }
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if pair.moves.ready.is_some() {
            // It is about to be closed, and its next pool has it logged in.
            return;
        }
        // The name that waited for another pool may have been answered at its deadline.
        pair.moves.is_misplaced &= pair.session.asks().name.is_some();
        if !pair.moves.must_move() && self.pools.standing(pair.session.pool()) != Standing::Away {
            return;
        }
        let is_gone = self.pools.catalogue.get(pair.session.pool()).is_none();
        let reason = match pair.moves.lost {
            _ if pair.moves.is_misplaced => MoveReason::Placement,
            // It never had one.
            Some(CloseReason::NoPool) => MoveReason::Kept,
            _ if is_gone => MoveReason::Leaving,
            _ => MoveReason::PoolLost,
        };
        let may_try = !pair.moves.has_tried_enough();
        let found = may_try.then(|| self.pools.choose(&pair.session.asks(), pair.moves.tried())).flatten();
        match found.filter(|&pool| pair.moves.lost.is_some() || pool != pair.session.pool()) {
            Some(pool) => _ = self.start_move(key, pool, reason),
            None => self.try_again_later(key),
        }
    }

    /// Whether a move of the session may begin now. If not, it waits for room, or one is under way.
    pub(super) fn may_begin_move(&mut self, key: Key) -> bool {
        let Some(pair) = self.pairs.get_mut(key) else { return false };
        if pair.phase != Phase::Open || pair.moves.under_way.is_some() {
            return false;
        }
        let has_room = self.moves_under_way < UNDER_WAY_COUNT_MAX;
        if !has_room {
            self.queue_move(key);
        }
        has_room
    }

    /// Lets a session wait until one of the logins under way has come to its end.
    pub(super) fn queue_move(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if !std::mem::replace(&mut pair.moves.is_queued, true) {
            self.moves_queued.push_back(key);
        }
    }

    /// All pools have failed: the next round comes after a while.
    fn try_again_later(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let wait_ms = ROUND_MS << pair.moves.rounds.min(ROUND_DOUBLINGS_MAX);
        pair.moves.rounds = pair.moves.rounds.saturating_add(1);
        pair.moves.tried_count = 0;
        pair.moves.next_at = self.now.plus_ms(wait_ms + self.dice.below(wait_ms));
        self.set_timer(key);
    }

    /// Begins to prepare a pool for a session. Whether it could.
    pub(super) fn start_move(&mut self, key: Key, pool: PoolId, reason: MoveReason) -> bool {
        if let Some(kept) = self.draw_for(key, pool)
            && self.give(key, kept, reason)
        {
            return true;
        }
        let Some(pair) = self.pairs.get_mut(key) else { return false };
        let Some(wire) = pair.session.spare_wire() else { return false };
        pair.moves.next_at = Moment::NEVER;
        let is_begun = self.prepare(key, wire, pool, reason);
        if is_begun {
            self.move_begins(key, wire);
            self.open_wire(key, wire, pool);
        }
        is_begun
    }

    /// A pool is being prepared in this place.
    pub(super) fn move_begins(&mut self, key: Key, wire: Wire) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        (pair.moves.under_way, pair.moves.next_at) = (Some(wire), Moment::NEVER);
        self.moves_under_way += 1;
    }

    /// A move has come to its end, good or bad: another session may begin one.
    pub(super) fn move_over(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.moves.may_close = true;
        if pair.moves.under_way.take().is_none() {
            return;
        }
        self.moves_under_way = self.moves_under_way.saturating_sub(1);
        while self.moves_under_way < UNDER_WAY_COUNT_MAX
            && let Some(next) = self.moves_queued.pop_front()
        {
            if let Some(pair) = self.pairs.get_mut(next) {
                pair.moves.is_queued = false;
            }
            self.look_again(next);
        }
    }

    /// The miner mines elsewhere now, on the connection that it had.
    pub(super) fn switched(
        &mut self,
        key: Key,
        (from, to): (PoolId, PoolId),
        wire: Wire,
        reason: MoveReason,
        began: Moment,
    ) {
        self.move_over(key);
        let now = self.now;
        let hold_ms = self.pools.catalogue.settings().failover.hold_ms;
        let (from_key, to_key) = (self.pool_keys.of(from), self.pool_keys.of(to));
        let hold_until = now.plus_ms(hold_ms);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let has_moved = pair.moves.has_moved || !matches!(reason, MoveReason::Placement | MoveReason::Kept);
        pair.record.pool = to_key;
        let Moves { wanted, drill, .. } = pair.moves;
        pair.moves = Moves { hold_until, has_moved, wanted, drill, ..Moves::default() };
        if let Some(redirects) = &mut pair.redirects {
            redirects.switched_to(wire);
        }
        if std::mem::take(&mut pair.wire_mut(wire).keeping) {
            self.arm_receive(key, Side::Pool(wire));
        }
        if reason == MoveReason::Kept {
            // Its first pool, not another one.
            return;
        }
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let worker = pair.workers.first().copied().unwrap_or(adit_protocol::workers::NO_WORKER);
        pair.workers.iter().for_each(|&worker| self.workers.mines_at(worker, to));
        let took_us = now.since_us(began);
        if reason == MoveReason::Placement {
            self.counters.count(Counter::PlacedLive);
        }
        self.pool_counters.switched_to(to, took_us);
        self.news.switched(worker, (from_key, to_key), reason_label(reason), true, took_us, now);
        let deed = Deed::Moved { from: from_key, to: to_key, reason: reason_label(reason), live: true };
        if let Some(books) = &mut self.books {
            books.moved(deed, worker, took_us, now);
        }
        self.drill_switched(key, to, reason, took_us);
        match reason {
            // It may have been its own connection only: then the pool is still well, and nobody else says to go back.
            MoveReason::PoolLost => self.look_again(key),
            _ => _ = self.begin_wanted(key),
        }
    }

    /// Pools stand otherwise than before.
    pub(super) fn pools_stand_otherwise(&mut self) {
        self.forget_kept();
        self.look_at_stock();
        for key in self.pairs.keys() {
            if let Some(pair) = self.pairs.get_mut(key) {
                pair.moves.tried_count = 0;
            }
            self.look_again(key);
        }
    }

    /// Looks whether a session is where it should be.
    pub(super) fn look_again(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let at = pair.session.pool();
        if pair.phase != Phase::Open || at == PoolId::NONE || pair.moves.under_way.is_some() {
            return;
        }
        if self.begin_wanted(key) {
            return;
        }
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if pair.moves.must_move() {
            return self.find_pool(key);
        }
        if self.pools.standing(at) == Standing::Away {
            if self.pools.choose(&pair.session.asks(), &[at]).is_some() {
                self.find_pool(key);
            }
            return;
        }
        match self.better(key) {
            Some(_) => self.plan_move(key),
            None => {
                if let Some(pair) = self.pairs.get_mut(key) {
                    pair.moves.next_at = Moment::NEVER;
                }
            }
        }
    }

    /// Plans a move that nothing forces, at a moment of its own.
    fn plan_move(&mut self, key: Key) {
        let spread_ms = self.pools.catalogue.settings().failover.failback_spread_ms;
        let at = self.now.plus_ms(self.dice.below(spread_ms));
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if pair.moves.next_at == Moment::NEVER {
            pair.moves.next_at = at.max(pair.moves.hold_until);
            self.set_timer(key);
        }
    }

    /// Where a session should rather be, if that is worth a move.
    fn better(&mut self, key: Key) -> Option<(PoolId, MoveReason)> {
        let pair = self.pairs.get_mut(key)?;
        if pair.moves.drill.is_some_and(|stage| stage != DrillStage::Back) {
            return None;
        }
        let at = pair.session.pool();
        let asks = pair.session.asks();
        let pool = self.pools.better(&asks, at)?;
        let is_ordered = self.pools.ordered(&asks) == Some(pool);
        let is_named = asks.name.is_some();
        // The routes are others than when it came.
        let is_elsewhere = is_named && !self.pools.is_of_group(&asks, at);
        let priority = |pool| self.pools.catalogue.get(pool).map(|entry| entry.settings.priority);
        let reason = match self.pools.standing(at) {
            Standing::Draining => MoveReason::Leaving,
            _ if is_elsewhere => MoveReason::Placement,
            _ if priority(pool) < priority(at) => MoveReason::FailBack,
            _ if is_ordered => MoveReason::Operator,
            // It may have been placed by the name that it has yet to give.
            _ if !is_named => return None,
            _ => MoveReason::Placement,
        };
        // Going back is worth a reconnect where the miner needs one, and so is its group; the rest is not.
        let is_worth_it = reason == MoveReason::FailBack || is_elsewhere;
        (is_worth_it || pair.session.takes_extranonce()).then_some((pool, reason))
    }

    /// A session's own moment has come.
    pub(super) fn moves_due(&mut self, key: Key) {
        let now = self.now;
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if pair.moves.given_up_at <= now {
            pair.moves.given_up_at = Moment::NEVER;
            let why = pair.moves.lost.unwrap_or(CloseReason::NoPool);
            return self.end_session(key, why, now);
        }
        if pair.moves.close_at <= now {
            return self.let_go(key);
        }
        if pair.moves.next_at > now {
            return;
        }
        pair.moves.next_at = Moment::NEVER;
        let at = pair.session.pool();
        if pair.moves.must_move() || self.pools.standing(at) == Standing::Away {
            return self.find_pool(key);
        }
        match self.better(key) {
            Some(_) if self.moves_under_way >= UNDER_WAY_COUNT_MAX => self.try_again_later(key),
            Some((pool, reason)) => _ = self.start_move(key, pool, reason),
            None => {}
        }
    }

    /// What a login that failed says about its pool.
    pub(super) fn report_login_failed(&mut self, key: Key, wire: Wire, why: LoginFailure) {
        use crate::pools::breaker::Failure;
        let failure = match why {
            LoginFailure::Lost(why) => return self.report_lost(key, wire, why),
            LoginFailure::Unanswered => Failure::Handshake,
            LoginFailure::SubscribeRefused => Failure::Refused,
            LoginFailure::NoJob => Failure::NoJob,
            LoginFailure::NamesRefused => Failure::NameRefused,
            // Not its doing.
            LoginFailure::NoRoom | LoginFailure::Misplaced => return,
        };
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let (pool, began) = (pair.wire(wire).pool, pair.wire(wire).opened_at);
        self.pool_counters.count(pool, PoolCounter::LoginsFailed);
        self.report_failed(key, pool, failure, began);
    }
}

/// Its text in counters and news.
pub(super) fn reason_label(reason: MoveReason) -> &'static str {
    match reason {
        MoveReason::PoolLost => "pool_lost",
        MoveReason::FailBack => "fail_back",
        MoveReason::Placement => "placement",
        MoveReason::Leaving => "leaving",
        MoveReason::Reconnect => "reconnect",
        MoveReason::Operator => "operator",
        MoveReason::Drill => "drill",
        MoveReason::Stock => "stock",
        MoveReason::Kept => "kept",
    }
}
