//! How requests end without the pool, and how the session itself ends: deadlines, lost connections, settling.

use crate::downstream::Stage;
use crate::event::{CloseReason, Event, Gone, Oddity, Outcome, Wire};
use crate::moment::Moment;
use crate::pending::{Asked, Ticket};
use crate::replies::{self, LocalError};
use crate::session::shares::{Ending, close_share};
use crate::session::{Context, Session, Settling};

impl Session {
    /// All deadlines that have come: answers for a silent pool, then the peers' own.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        while let Some((id, ticket)) = self.pending.expire(cx.now) {
            self.expired(id, ticket, cx);
            if self.finished {
                return;
            }
        }
        self.expire_wires(cx);
        if self.finished {
            return;
        }
        if self.wait_until <= cx.now {
            match self.current {
                Some(wire) => self.lose_wire(wire, CloseReason::PoolGaveNoJob, cx),
                None => self.finish(CloseReason::NoPool, cx),
            }
            if self.finished {
                return;
            }
        }
        let settings = &cx.shared.settings;
        let (deadline, reason) = match self.settling {
            Some(settling) => (settling.until, settling.reason),
            None => (self.downstream.deadline(settings), self.overdue()),
        };
        if deadline <= cx.now {
            self.finish(reason, cx);
        }
    }

    /// A request's deadline has come.
    fn expired(&mut self, id: u32, ticket: Ticket, cx: &mut Context<'_>) {
        match (&ticket.asked, ticket.wire) {
            (Asked::Login(step), Some(wire)) => return self.login_silent(wire, *step, cx),
            (Asked::Submit(_), Some(wire)) => {
                cx.tell(Event::UnansweredSubmit { pool: self.wire(wire).pool });
            }
            // A pool that does not answer subscribe is dead; another one may answer it.
            (Asked::Subscribe, Some(wire)) if self.settling.is_none() && self.in_force().0.is_none() => {
                let parked_until = cx.now.plus_ms(self.wire(wire).deadlines.handshake_reply_ms.into());
                self.pending.park_expired(id, ticket, parked_until);
                return self.lose_wire(wire, CloseReason::PoolSilent, cx);
            }
            _ => {}
        }
        self.answer_for_pool(id, &ticket, replies::POOL_SILENT, cx);
    }

    /// What the miner has not done by its deadline.
    fn overdue(&self) -> CloseReason {
        match self.downstream.stage {
            Stage::Silent | Stage::Greeted => CloseReason::FirstRequestTimeout,
            Stage::Speaking => CloseReason::SubscribeTimeout,
            Stage::Subscribing if self.downstream.is_authorised() => CloseReason::MinerIdle,
            Stage::Subscribing => CloseReason::AuthorizeTimeout,
        }
    }

    /// Frees room in the hold by answering the request that everything waits for, as if its deadline had come.
    /// Whether the session goes on.
    pub(super) fn make_room(&mut self, bytes: usize, cx: &mut Context<'_>) -> bool {
        while !self.hold.is_empty() && !self.hold.has_room(bytes) {
            let Some((id, ticket)) = self.pending.expire_handshake(cx.now) else {
                self.finish(CloseReason::HeldTooMuch, cx);
                return false;
            };
            self.answer_for_pool(id, &ticket, replies::POOL_SILENT, cx);
            if self.finished {
                return false;
            }
        }
        true
    }

    /// Gives the miner our answer to a request that the pool left open. Never an acceptance.
    pub(super) fn answer_for_pool(
        &mut self,
        id: u32,
        ticket: &Ticket,
        error: LocalError,
        cx: &mut Context<'_>,
    ) {
        let miner_id = ticket.miner_id.as_bytes();
        if ticket.asked.is_owed() {
            cx.odd(Oddity::AnsweredForPool);
        }
        let pool = ticket.wire.map_or(self.pool, |wire| self.wire(wire).pool);
        let known = self.in_force().0;
        let mut subscribe_failed = false;
        match &ticket.asked {
            Asked::Login(_) | Asked::Other => return self.release_held(cx),
            Asked::Submit(submitted) => {
                let reason = cx.shared.reasons.intern(error.text);
                let ending = Ending { outcome: Outcome::Unanswered, class: None, code: error.code(), reason };
                close_share(submitted, pool, ticket.sent, ending, cx);
                self.hold.push(Some(id), |out| replies::error(out, miner_id, error));
            }
            Asked::Configure(codes) if error == replies::POOL_SILENT => {
                self.hold.push(Some(id), |out| replies::configure_refused(out, &ticket.miner_id, codes));
            }
            Asked::Subscribe if let Some(known) = known => self.hold.push(Some(id), |out| {
                replies::subscribed(out, &ticket.miner_id, &known.extranonce1_hex(), known.extranonce2_size);
            }),
            asked => {
                self.hold.push(Some(id), |out| replies::error(out, miner_id, error));
                match asked {
                    Asked::Authorize(index) => self.authorize_answered(*index, pool, false, cx),
                    Asked::Subscribe => subscribe_failed = true,
                    _ => {}
                }
            }
        }
        self.release_held(cx);
        if subscribe_failed && error == replies::POOL_SILENT {
            // Without a subscription there is nothing to mine: let the miner go where there is.
            let reason = self.settling.map_or(CloseReason::NoPool, |settling| settling.reason);
            self.finish(reason, cx);
        }
    }

    pub(super) fn miner_gone(&mut self, why: Gone, cx: &mut Context<'_>) {
        let reason = match why {
            Gone::Closed => CloseReason::MinerClosed,
            Gone::NotReading => CloseReason::MinerNotReading,
            Gone::Panicked => CloseReason::Panicked,
            Gone::Broken | Gone::DialFailed | Gone::DialTimeout => CloseReason::MinerBroken,
        };
        let until = cx.now.plus_ms(cx.shared.settings.settle_ms);
        self.settle(reason, until, cx);
    }

    /// Lets the open requests settle up to `until`, then ends: a share on its way still gets its verdict.
    pub(super) fn settle(&mut self, reason: CloseReason, until: Moment, cx: &mut Context<'_>) {
        if self.finished {
            return;
        }
        let settling = self.settling.get_or_insert(Settling { reason, until });
        settling.until = settling.until.min(until);
        self.end_if_settled(cx);
    }

    pub(super) fn end_if_settled(&mut self, cx: &mut Context<'_>) {
        if let Some(Settling { reason, .. }) = self.settling
            && !self.finished
            && self.pending.owed_count() == 0
        {
            self.finish(reason, cx);
        }
    }

    /// The end, told once. Whatever still waits for the pool is answered with an error and ends unanswered.
    pub(super) fn finish(&mut self, reason: CloseReason, cx: &mut Context<'_>) {
        if self.finished {
            return;
        }
        self.finished = true;
        let error = if reason == CloseReason::PoolSilent { replies::POOL_SILENT } else { replies::POOL_LOST };
        while let Some((id, ticket)) = self.pending.give_up() {
            self.answer_for_pool(id, &ticket, error, cx);
        }
        self.release_held(cx);
        self.jobs.clear(&mut cx.shared.jobs);
        for wire in Wire::ALL {
            self.drop_wire(wire, cx);
        }
        cx.tell(Event::Finish(reason));
    }
}
