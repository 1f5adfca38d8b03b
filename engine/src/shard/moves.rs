//! Where a session mines: finding it another pool when it lost its own, when that one is no place to stay, or when a better
//! one is good again.
//!
//! A shard decides for its own sessions, from the standings that the control publishes, by [`crate::pools::course`]: here that
//! is carried out, as far as the bound on logins under way allows. A connection that works is never given up for want of
//! another one.
//!
//! Not here: the login and the switch themselves ([`adit_protocol::session`]), and what becomes of a miner that cannot be
//! switched live ([`super::returns`]).

use adit_protocol::event::{CloseReason, LoginFailure, MoveReason, Side, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use adit_protocol::session::Session;

use super::drill::DrillStage;
use super::orders::Wanted;
use super::pair::{Key, Pair, Phase};
use super::plane::Plane;
use super::trail::Deed;
use crate::counters::Counter;
use crate::pools::counters::PoolCounter;
use crate::pools::course::{Around, Course, Due, Look, Miner, MinerState};
use crate::pools::drill::Drilled;
use crate::pools::standing::Standing;

/// Logins that a shard makes at the same time. A pool's accept queue is finite, and so is its patience.
pub(super) const UNDER_WAY_COUNT_MAX: usize = 512;

/// What is being done about the pool of one session.
#[derive(Debug)]
pub(super) struct Moves {
    /// The place in which another pool is being prepared.
    pub(super) under_way: Option<Wire>,
    /// It waits for room among those under way.
    is_queued: bool,
    /// What was decided for it.
    pub(super) course: Course,
    /// Why it has no pool, while it has none.
    pub(super) lost: Option<CloseReason>,
    /// Its name belongs to another group's pool, and waits for it.
    pub(super) is_misplaced: bool,
    /// When a miner without a pool is let go.
    pub(super) given_up_at: Moment,
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
            course: Course::default(),
            lost: None,
            is_misplaced: false,
            given_up_at: Moment::NEVER,
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
        self.course.deadline().min(self.given_up_at).min(self.close_at)
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

    fn state(&self) -> MinerState {
        match self.lost {
            _ if self.is_misplaced => MinerState::Misplaced { has_pool: self.lost.is_none() },
            Some(CloseReason::NoPool) => MinerState::Arrives,
            Some(_) => MinerState::Lost,
            None => MinerState::Mines,
        }
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

    /// A miner has come, and is given its first pool.
    pub(super) fn arrived(&mut self, key: Key) {
        let hold_ms = self.pools.catalogue.settings().failover.hold_ms;
        if let Some(pair) = self.pairs.get_mut(key) {
            pair.moves.course.arrived(self.now, hold_ms);
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
        moves.course.failed_at(pool);
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
        pair.moves.course.failed_at(pool);
        self.drill_stays(key, Drilled::Failed);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        (pair.moves.close_at, pair.moves.ready) = (Moment::NEVER, None);
        if pair.moves.state() != MinerState::Mines || self.pools.standing(at) == Standing::Away {
            return self.find_pool(key);
        }
        pair.moves.course.stays(now, hold_ms);
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
        match self.ask_course(key, Course::find).flatten() {
            Some((pool, reason)) => _ = self.start_move(key, pool, reason),
            None => self.set_timer(key),
        }
    }

    /// Has something decided about a session's pool.
    pub(super) fn ask_course<T>(
        &mut self,
        key: Key,
        ask: impl FnOnce(&mut Course, &Miner<'_>, &mut Around<'_>) -> T,
    ) -> Option<T> {
        let Pair { session, moves, .. } = self.pairs.get_mut(key)?;
        let is_kept_here = moves.drill.is_some_and(|stage| stage != DrillStage::Back);
        let miner = Miner {
            asks: session.asks(),
            at: session.pool(),
            state: moves.state(),
            is_live: session.takes_extranonce(),
            is_kept_here,
        };
        let mut around = Around { pools: &self.pools, now: self.now, dice: &mut self.dice };
        Some(ask(&mut moves.course, &miner, &mut around))
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

    /// Whether there are too few descriptors to keep the connections of the past beside those of the present. Then no
    /// switch does.
    fn descriptors_run_short(&mut self) -> bool {
        let is_short = self.descriptors.run_short();
        let linger_ms = self.pools.catalogue.settings().failover.linger_ms;
        self.shared.settings.linger_ms = if is_short { 0 } else { linger_ms };
        is_short
    }

    /// Begins to prepare a pool for a session. Whether it could.
    pub(super) fn start_move(&mut self, key: Key, pool: PoolId, reason: MoveReason) -> bool {
        let _ = self.descriptors_run_short(); // for the switch that comes of it
        if let Some(kept) = self.draw_for(key, pool)
            && self.give(key, kept, reason)
        {
            return true;
        }
        let Some(pair) = self.pairs.get_mut(key) else { return false };
        let Some(wire) = pair.session.spare_wire() else { return false };
        pair.moves.course.forget_plan();
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
        pair.moves.under_way = Some(wire);
        pair.moves.course.forget_plan();
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
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.record.pool = to_key;
        let Moves { mut course, wanted, drill, ready_for, .. } = std::mem::take(&mut pair.moves);
        course.moved(reason, now, hold_ms);
        pair.moves = Moves { course, wanted, drill, ..Moves::default() };
        if let Some(redirects) = &mut pair.redirects {
            redirects.switched_to(wire);
        }
        if std::mem::take(&mut pair.wire_mut(wire).keeping) {
            self.arm_receive(key, Side::Pool(wire));
        }
        if reason == MoveReason::Kept {
            // Its first pool, not another one; but perhaps not the one that is meant for it.
            let wanted_at = ready_for.map_or(began, |ready_for| ready_for.1);
            self.drill_switched(key, to, reason, now.since_us(wanted_at));
            return self.look_again(key);
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
                pair.moves.course.pools_stand_otherwise();
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
        match self.ask_course(key, Course::look) {
            Some(Look::Find) => self.find_pool(key),
            Some(Look::Wait) => self.set_timer(key),
            None => {}
        }
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
        match self.ask_course(key, Course::due) {
            Some(Due::Find) => self.find_pool(key),
            Some(Due::Move(pool, reason)) => {
                let is_busy = self.moves_under_way >= UNDER_WAY_COUNT_MAX || self.descriptors_run_short();
                if is_busy {
                    self.ask_course(key, |course, _, around| course.try_again_later(around));
                } else {
                    self.start_move(key, pool, reason);
                }
            }
            Some(Due::Wait) | None => {}
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
