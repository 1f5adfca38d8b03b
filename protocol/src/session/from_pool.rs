//! Lines of the pool: answers go to the request they belong to, everything else passes through, in the order in which a
//! miner can read it. PROTOCOL facts: docs/PROTOCOL.md sections 2 and 4.

use crate::downstream::Standing;
use crate::event::{CloseReason, Event, Oddity, Outcome, Wire};
use crate::message::{Kind, Line, Message, Method};
use crate::moment::Moment;
use crate::pending::{Asked, Found, Ticket};
use crate::pool::PoolId;
use crate::reconnect::Reconnect;
use crate::rewrite::{Change, forward, member_span, splice};
use crate::session::login::granted_mask;
use crate::session::shares::{Ending, close_share};
use crate::session::{Context, Go, Session};
use crate::session_ids;
use crate::upstream::{Extranonce, Link};
use crate::value;
use crate::verdict::{self, Verdict};

impl Session {
    pub(super) fn receive_from_pool(
        &mut self,
        wire: Wire,
        bytes: &mut [u8],
        len: usize,
        cx: &mut Context<'_>,
    ) {
        if self.wire(wire).link != Link::Up {
            return;
        }
        self.wire_mut(wire).heard = cx.now;
        let take = |session: &mut Self, line: Line<'_>, cx: &mut Context<'_>| {
            session.pool_line(wire, line, cx);
            if session.finished || session.wire(wire).link == Link::Idle { Go::Stop } else { Go::On }
        };
        let fits = self.each_line(|session| &mut session.wire_mut(wire).framer, take, bytes, len, cx);
        if fits.is_err() {
            self.lose_wire(wire, CloseReason::PoolLineTooLong, cx);
        }
        if self.current != Some(wire) {
            self.routine = false;
            self.check_login(wire, cx);
        }
    }

    pub(super) fn pool_line(&mut self, wire: Wire, line: Line<'_>, cx: &mut Context<'_>) {
        let Ok(message) = cx.shared.parser.parse(line) else {
            self.routine = false;
            return self.garbage(wire, Oddity::PoolText, cx);
        };
        self.routine &= self.current == Some(wire) && message.kind == Kind::Response;
        if self.current != Some(wire) {
            return self.aside_line(wire, &message, cx);
        }
        match message.kind {
            Kind::Response if message.has_id() => self.response(wire, &message, cx),
            Kind::Call(Method::Reconnect) => self.reconnect(wire, &message, cx),
            Kind::Call(method) if !self.is_sound(wire, method, &message, cx) => {}
            Kind::Call(Method::Notify) => self.pass_job(wire, &message, cx),
            Kind::Call(method) => {
                self.pass_down(message.line, cx);
                if matches!(method, Method::SetExtranonce | Method::SetVersionMask) {
                    self.hold.note_terms();
                }
            }
            Kind::Response => cx.odd(Oddity::StrayResponse),
            Kind::Opaque => self.garbage(wire, Oddity::PoolText, cx),
        }
    }

    /// A pool's wish to be connected to elsewhere, which the miner never hears of: it would leave Adit.
    #[cold]
    pub(super) fn reconnect(&mut self, wire: Wire, message: &Message<'_>, cx: &mut Context<'_>) {
        let upstream = self.wire(wire);
        let (pool, lingers) = (upstream.pool, upstream.linger_until != Moment::NEVER);
        let Some(target) = Reconnect::read(message).filter(|_| !lingers) else {
            return cx.odd(Oddity::ReconnectHeldBack);
        };
        let is_allowed = target.may_leave(cx.shared.terms.of(pool).host.as_deref());
        // Apart, since a pool may say several before its owner asks for the first.
        if is_allowed {
            self.reconnect = Some(Box::new(target));
            return cx.tell(Event::Reconnect { wire, pool });
        }
        self.reconnect_refused = Some(Box::new(target));
        cx.odd(Oddity::ReconnectHeldBack);
        cx.tell(Event::ReconnectRefused { pool });
    }

    /// Passes a line down as it is, behind those that wait.
    pub(super) fn pass_down(&mut self, line: &[u8], cx: &mut Context<'_>) {
        self.pass_down_with(line.len() + 1, cx, |out| forward(out, line));
    }

    /// The same for a line of at most `bytes_max` bytes that `write` appends.
    #[inline]
    pub(super) fn pass_down_with(
        &mut self,
        bytes_max: usize,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.hold.is_empty() {
            return write(cx.to_miner);
        }
        if !self.make_room(bytes_max, cx) {
            return;
        }
        if self.hold.is_empty() { write(cx.to_miner) } else { self.hold.push(None, write) }
    }

    pub(super) fn response(&mut self, wire: Wire, message: &Message<'_>, cx: &mut Context<'_>) {
        let upstream = self.wire(wire);
        let Some(id) = value::id_number(message.raw(message.id)) else {
            return cx.odd(Oddity::StrayResponse);
        };
        let id = id.wrapping_sub(upstream.id_offset.into());
        if upstream.extranonce.is_none() && self.is_no_subscription(wire, id, message) {
            // No pool for the miner; another one may answer.
            cx.odd(Oddity::PoolMalformed);
            return self.lose_wire(wire, CloseReason::PoolGarbage, cx);
        }
        match self.pending.close(wire, id) {
            Found::Ticket(ticket) => self.answer(wire, id as u32, &ticket, message, cx),
            Found::Late { submit: true } => {
                let oddity = match verdict::of_submit(message) {
                    Verdict::Accepted => Oddity::LateAccept,
                    Verdict::Rejected(_) => Oddity::LateReject,
                };
                cx.odd(oddity);
            }
            Found::Late { submit: false } => cx.odd(Oddity::LateAnswer),
            Found::Nothing => cx.odd(Oddity::StrayResponse),
        }
    }

    /// Whether this is an answer to subscribe that gives neither an extranonce nor an error.
    #[cold]
    fn is_no_subscription(&self, wire: Wire, id: u64, message: &Message<'_>) -> bool {
        matches!(self.pending.asked(wire, id), Some(Asked::Subscribe))
            && Extranonce::from_result(message.raw(message.result)).is_none()
            && !verdict::is_refusal(message)
    }

    /// The pool's answer to a request: noted, then given to the miner under the miner's own id.
    #[inline]
    fn answer(&mut self, wire: Wire, id: u32, ticket: &Ticket, message: &Message<'_>, cx: &mut Context<'_>) {
        self.routine &= ticket.asked.is_submit();
        let upstream = &mut self.wires[wire.index()];
        match &ticket.asked {
            Asked::Submit(submitted) => match verdict::of_submit(message) {
                Verdict::Accepted => close_share(submitted, upstream.pool, ticket.sent, Ending::ACCEPTED, cx),
                Verdict::Rejected(reject) => {
                    let reason = cx.shared.reasons.intern(&reject.reason);
                    let code = reject.code.and_then(|code| i16::try_from(code).ok()).unwrap_or(0);
                    let ending =
                        Ending { outcome: Outcome::Rejected, class: Some(reject.class), code, reason };
                    close_share(submitted, upstream.pool, ticket.sent, ending, cx);
                }
            },
            Asked::Authorize(index) => {
                let accepted = verdict::of_authorize(message) == Verdict::Accepted;
                let pool = upstream.pool;
                self.authorize_answered(*index, pool, accepted, cx);
                self.await_job(wire, cx.now);
            }
            Asked::Subscribe => {
                self.subscribed(wire, message, cx);
                self.await_job(wire, cx.now);
            }
            Asked::Configure(_) => {
                upstream.version_mask = granted_mask(message.raw(message.result));
            }
            Asked::Login(step) => return self.login_answered(wire, *step, message, cx),
            Asked::ExtranonceSubscribe | Asked::Other => {}
        }
        let miner_id = ticket.miner_id.as_bytes();
        let span = if miner_id.is_empty() { member_span(message.line, message.id) } else { message.id };
        let change = [Change { span, bytes: miner_id }];
        let blocker = self.pending.earliest_handshake();
        if self.hold.is_empty() && blocker.is_none_or(|blocker| id < blocker) {
            return splice(cx.to_miner, message.line, change);
        }
        self.hold_answer(id, cx, |out| splice(out, message.line, change));
    }

    /// A miner that is subscribed and has a name is owed a job, unless one came.
    #[cold]
    fn await_job(&mut self, wire: Wire, now: Moment) {
        let upstream = self.wire(wire);
        let is_owed = upstream.extranonce.is_some() && self.downstream.is_authorised() && !upstream.had_job;
        if is_owed && self.current == Some(wire) {
            let until = now.plus_ms(upstream.deadlines.first_job_ms.into());
            self.wait_until = self.wait_until.min(until);
        }
    }

    /// Keeps an answer until those before it are given, and gives what can be given. The request is closed, so its answer is
    /// never without room: what waits for too long is answered by us then.
    #[cold]
    fn hold_answer(&mut self, id: u32, cx: &mut Context<'_>, write: impl FnOnce(&mut Vec<u8>)) {
        self.hold.push(Some(id), write);
        self.release_held(cx);
        self.make_room(0, cx);
    }

    /// Gives the miner what need not wait any more.
    pub(super) fn release_held(&mut self, cx: &mut Context<'_>) {
        self.hold.release(self.pending.earliest_handshake(), cx.to_miner);
    }

    /// The pool's answer to a subscribe. Whether it gives an extranonce.
    pub(super) fn subscribed(&mut self, wire: Wire, message: &Message<'_>, cx: &mut Context<'_>) -> bool {
        let upstream = self.wire_mut(wire);
        let Some(extranonce) = Extranonce::from_result(message.raw(message.result)) else { return false };
        upstream.set_extranonce(extranonce);
        let id = session_ids::in_result(message.raw(message.result));
        upstream.session_id = id.map(|id| Box::new((upstream.pool, id.into())));
        if let Some(id) = id {
            cx.shared.session_ids.issued(id, upstream.pool);
        }
        cx.tell(Event::Subscribed { pool: upstream.pool });
        true
    }

    /// A pool's answer to an authorize, or ours in its place.
    pub(super) fn authorize_answered(
        &mut self,
        index: u8,
        pool: PoolId,
        accepted: bool,
        cx: &mut Context<'_>,
    ) {
        let Some(name) = self.downstream.name_mut(index) else { return };
        name.asked_count = name.asked_count.saturating_sub(1);
        if accepted {
            name.standing = Standing::Authorised;
            name.worker = cx.shared.workers.proven(pool, &name.raw);
            return cx.shared.events.push(Event::Authorised(name.worker));
        }
        let worked = name.standing == Standing::Authorised;
        if worked || name.asked_count == 0 {
            cx.tell(Event::AuthorizeRefused { pool, worked });
        }
        if !worked && name.asked_count == 0 {
            self.forget_name(index, cx);
        }
    }

    /// Forgets a name that no pool accepted.
    pub(super) fn forget_name(&mut self, index: u8, cx: &mut Context<'_>) {
        let Some(name) = self.downstream.remove_name(index) else { return };
        for upstream in &mut self.wires {
            if let Some(login) = &mut upstream.login {
                login.forget_name(index);
            }
            if upstream.take_name(index).is_some() {
                cx.shared.workers.release(upstream.pool, &name.raw);
            }
        }
    }
}
