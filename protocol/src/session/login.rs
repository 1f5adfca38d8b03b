//! Logins that Adit makes itself: the miner's own configure, subscribe and authorize, said again to another pool.
//!
//! A login asks what the miner asked so far, all of it in one write, and goes on asking what the miner asks meanwhile.
//! Its answers are kept in [`Login`]: [`switch`](super::switch) gives them to the miner where one of its requests was
//! parked.

use crate::downstream::{Stage, Standing};
use crate::event::{Event, LoginFailure, MoveReason, Wire};
use crate::login::{Answer, Login, LoginName, LoginStep, Step};
use crate::message::{Message, Method};
use crate::moment::Moment;
use crate::pending::{Asked, Ticket};
use crate::pool::PoolId;
use crate::raw_id::RawId;
use crate::rewrite::Decimal;
use crate::session::wires::VERSION;
use crate::session::{Context, Session};
use crate::upstream::{Link, Upstream, mask};
use crate::value;
use crate::verdict::{self, Verdict};

/// How long a login waits for a difficulty once it has a job: some pools tell it right behind, and without one it is 1.
const DIFFICULTY_WAIT_MS: u64 = 500;

impl Login {
    /// When it is to be looked at next: late, or complete but for a difficulty.
    pub(super) fn next_deadline(&self, upstream: &Upstream) -> Moment {
        if !self.is_complete() {
            self.until
        } else if self.told {
            Moment::NEVER
        } else if upstream.difficulty <= 0.0 && self.job.is_some() {
            self.job_came.plus_ms(DIFFICULTY_WAIT_MS)
        } else {
            Moment::NEVER
        }
    }
}

impl Session {
    /// Where another connection could be made: a free wire, else one that only lingers.
    pub fn spare_wire(&self) -> Option<Wire> {
        let is_free = |wire: &Wire| self.wire(*wire).link == Link::Idle;
        let lingers = |wire: &Wire| self.wire(*wire).linger_until != Moment::NEVER;
        Wire::ALL.into_iter().find(is_free).or_else(|| Wire::ALL.into_iter().find(lingers))
    }

    /// Whether there is no connection on this wire, nor one on its way.
    pub fn is_free(&self, wire: Wire) -> bool {
        self.wire(wire).link == Link::Idle
    }

    /// What the login on this wire is made for, and since when it is wanted; `None` if none is.
    pub fn login_reason(&self, wire: Wire) -> Option<(MoveReason, Moment)> {
        self.wire(wire).login.as_ref().map(|login| (login.why, login.began))
    }

    /// Begins to prepare `pool` on `wire`, which the owner then connects. False, and nothing is done, if the place is
    /// taken by a current or a prepared connection, the session ends, a name of the miner waits for pools of which this is
    /// none, or the miner has not asked for anything yet (only [`MoveReason::Stock`] goes without a miner). A lingering
    /// connection there ends by it, as [`Event::WireDone`] tells.
    pub fn prepare(&mut self, wire: Wire, pool: PoolId, why: MoveReason, cx: &mut Context<'_>) -> bool {
        let has_miner = self.pool != PoolId::NONE;
        if self.finished || self.settling.is_some() || has_miner == (why == MoveReason::Stock) {
            return false;
        }
        if !self.fits_parked(pool, cx) {
            return false;
        }
        if self.wire(wire).linger_until != Moment::NEVER {
            self.free_wire(wire, cx);
            cx.tell(Event::WireDone { wire });
        }
        if self.wire(wire).link != Link::Idle {
            return false;
        }
        let mut upstream = Upstream::dialling(pool, cx.shared.terms.of(pool));
        upstream.login = Some(Box::new(Login::new(why, cx.now)));
        *self.wire_mut(wire) = upstream;
        true
    }

    /// The connection stands: asks for all that the miner asked for.
    pub(super) fn begin_login(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let until = cx.now.plus_ms(self.wire(wire).deadlines.first_job_ms.into());
        let Some(login) = &mut self.wire_mut(wire).login else { return };
        login.until = until;
        self.also_configure(wire, cx);
        if self.downstream.stage == Stage::Subscribing || self.is_for_stock(wire) {
            self.also_subscribe(wire, cx);
        }
        if self.downstream.subscribes_extranonce {
            self.also_ask(wire, LoginStep::ExtranonceSubscribe, "mining.extranonce.subscribe", b"[]", cx);
        }
        let names: Vec<u8> = self.downstream.names().map(|(index, _)| index).collect();
        for index in names {
            self.also_authorize(wire, index, cx);
        }
        self.check_login(wire, cx);
    }

    /// Whether the login is made for no miner yet.
    pub(super) fn is_for_stock(&self, wire: Wire) -> bool {
        self.wire(wire).login.as_ref().is_some_and(|login| login.why == MoveReason::Stock)
    }

    /// What the miner asks while logins are made, they ask, too.
    pub(super) fn tell_logins(&mut self, step: LoginStep, cx: &mut Context<'_>) {
        for wire in Wire::ALL {
            let upstream = self.wire(wire);
            if upstream.login.is_none() || upstream.link != Link::Up {
                continue;
            }
            match step {
                LoginStep::Configure => {
                    if let Some(login) = &mut self.wire_mut(wire).login {
                        login.configure = Step::Unasked;
                    }
                    self.also_configure(wire, cx);
                }
                LoginStep::Subscribe => {
                    self.also_subscribe(wire, cx);
                    // A connection that was kept is subscribed already.
                    self.check_login(wire, cx);
                }
                LoginStep::ExtranonceSubscribe => {
                    self.also_ask(wire, step, "mining.extranonce.subscribe", b"[]", cx);
                    // It may have been all that was missing.
                    self.check_login(wire, cx);
                }
                LoginStep::Authorize(index) => self.also_authorize(wire, index, cx),
            }
        }
    }

    fn also_configure(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let params = self.downstream.configure_params.clone();
        let known = |login: &Login| login.configure.answer().is_some();
        if !params.is_empty() && !self.wire(wire).login.as_deref().is_some_and(known) {
            self.also_ask(wire, LoginStep::Configure, "mining.configure", &params, cx);
        }
    }

    /// Without the session id that the miner may have named: another pool issued it. A pool that comes back after it was
    /// lost is shown its own: where it gives the same extranonce1 for it, nothing changes for the miner.
    fn also_subscribe(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let agent = if self.is_for_stock(wire) { VERSION.as_bytes() } else { &self.downstream.agent_json };
        let left = self.downstream.left_session.as_deref().filter(|(pool, _)| *pool == self.wire(wire).pool);
        let params = match left {
            Some((_, id)) if agent.is_empty() => [b"[\"\",", &**id, b"]"].concat(),
            Some((_, id)) => [b"[", agent, b",", id, b"]"].concat(),
            None => [b"[", agent, b"]"].concat(),
        };
        if self.wire(wire).login.as_ref().is_some_and(|login| matches!(login.subscribe, Step::Unasked)) {
            self.also_ask(wire, LoginStep::Subscribe, "mining.subscribe", &params, cx);
        }
    }

    fn also_authorize(&mut self, wire: Wire, index: u8, cx: &mut Context<'_>) {
        let upstream = &mut self.wires[wire.index()];
        let Some(name) = self.downstream.name(index) else { return };
        let Some(login) = &mut upstream.login else { return };
        if login.name(index).is_some() || login.names.len() > usize::from(u8::MAX) {
            return;
        }
        if let Some(at) = upstream.spare_names.iter().position(|spare| spare.raw == name.raw) {
            let spare = upstream.spare_names.swap_remove(at);
            login.names.push(LoginName { index: Some(index), step: Step::Answered(spare.answer) });
            return upstream.set_name_json(index, spare.json);
        }
        // A name that cannot be sent to this pool is one that it refuses.
        let assigned = cx.shared.workers.assign(upstream.pool, &name.raw);
        let place = login.names.len() as u8;
        login.names.push(LoginName { index: Some(index), step: Step::Silent });
        let Ok(upstream_name) = assigned else { return };
        upstream.set_name(index, &upstream_name);
        let password: Vec<u8> = match &cx.shared.terms.of(upstream.pool).password {
            Some(password) => format!("\"{password}\"").into(),
            None if name.password.is_empty() => b"\"x\"".to_vec(),
            None => name.password.to_vec(),
        };
        let params = [b"[", upstream.name(index).unwrap_or_default(), b",", &password, b"]"].concat();
        self.also_ask(wire, LoginStep::Authorize(place), "mining.authorize", &params, cx);
    }

    /// Sends a request of the login.
    fn also_ask(&mut self, wire: Wire, step: LoginStep, method: &str, params: &[u8], cx: &mut Context<'_>) {
        if !self.pending.has_room_for_login() {
            return self.fail_login(wire, LoginFailure::NoRoom, cx);
        }
        let upstream = &mut self.wires[wire.index()];
        let Some(place) = upstream.login.as_mut().and_then(|login| login.step_mut(step)) else { return };
        *place = Step::Asked;
        let handshake_reply_ms = u64::from(upstream.deadlines.handshake_reply_ms);
        let reply_ms = match step {
            // Some pools answer it never, and the rest needs not wait for them.
            LoginStep::Configure => cx.shared.settings.extranonce_reply_ms.min(handshake_reply_ms),
            _ => handshake_reply_ms,
        };
        let ticket = Ticket {
            miner_id: RawId::Absent,
            asked: Asked::Login(step),
            wire: Some(wire),
            sent: cx.now,
            deadline: cx.now.plus_ms(reply_ms),
        };
        let id = Decimal::new(self.pending.open(ticket).wrapping_add(upstream.id_offset));
        let out = cx.toward(wire);
        out.extend_from_slice(b"{\"id\":");
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(b",\"method\":\"");
        out.extend_from_slice(method.as_bytes());
        out.extend_from_slice(b"\",\"params\":");
        out.extend_from_slice(params);
        out.extend_from_slice(b"}\n");
    }

    /// The pool's answer to a request of the login.
    pub(super) fn login_answered(
        &mut self,
        wire: Wire,
        step: LoginStep,
        message: &Message<'_>,
        cx: &mut Context<'_>,
    ) {
        let accepted = match step {
            LoginStep::Configure => {
                self.wire_mut(wire).version_mask = granted_mask(message.raw(message.result));
                true
            }
            LoginStep::Subscribe if self.subscribed(wire, message, cx) => true,
            LoginStep::Subscribe => return self.fail_login(wire, LoginFailure::SubscribeRefused, cx),
            LoginStep::Authorize(_) => verdict::of_authorize(message) == Verdict::Accepted,
            LoginStep::ExtranonceSubscribe => verdict::of_submit(message) == Verdict::Accepted,
        };
        let upstream = self.wire_mut(wire);
        if let Some(login) = &mut upstream.login {
            match step {
                LoginStep::Configure => login.answered.1 = upstream.version_mask,
                LoginStep::Subscribe => login.answered.0 = upstream.extranonce,
                LoginStep::ExtranonceSubscribe | LoginStep::Authorize(_) => {}
            }
            if let Some(place) = login.step_mut(step) {
                *place = Step::Answered(Answer::keep(message, accepted));
            }
        }
        if let LoginStep::Authorize(place) = step
            && !accepted
        {
            self.login_refused(wire, place, cx);
        }
    }

    /// The pool refuses a name. If others accepted it and this one accepts none, it is no pool for the miner.
    fn login_refused(&mut self, wire: Wire, place: u8, cx: &mut Context<'_>) {
        let upstream = self.wire(wire);
        let Some(login) = &upstream.login else { return };
        let worked = |index: Option<u8>| {
            let name = index.and_then(|index| self.downstream.name(index));
            name.is_some_and(|name| name.standing == Standing::Authorised)
        };
        let named = login.names.get(usize::from(place)).and_then(|name| name.index);
        let none_left = !login.names.iter().any(|name| name.step.is_open() || name.step.is_accepted());
        let fails = none_left && login.names.iter().any(|name| worked(name.index));
        if worked(named) {
            cx.tell(Event::AuthorizeRefused { pool: upstream.pool, worked: true });
        }
        if fails {
            self.fail_login(wire, LoginFailure::NamesRefused, cx);
        }
    }

    /// A request of the login was not answered in time.
    pub(super) fn login_silent(&mut self, wire: Wire, step: LoginStep, cx: &mut Context<'_>) {
        if matches!(step, LoginStep::Subscribe | LoginStep::Authorize(_)) {
            return self.fail_login(wire, LoginFailure::Unanswered, cx);
        }
        let login = self.wire_mut(wire).login.as_mut();
        if let Some(place) = login.and_then(|login| login.step_mut(step)) {
            *place = Step::Silent;
        }
    }

    /// What a pool tells on a wire that the miner does not mine on (yet).
    pub(super) fn note_aside(
        &mut self,
        wire: Wire,
        method: Method,
        message: &Message<'_>,
        cx: &mut Context<'_>,
    ) {
        let known = self.wire(wire).extranonce;
        if self.wire(wire).login.is_none() || !self.is_sound(wire, method, message, cx) {
            return;
        }
        let upstream = self.wire_mut(wire);
        let Some(login) = &mut upstream.login else { return };
        if method == Method::Notify {
            login.job = Some(message.line.into());
            login.job_came = login.job_came.min(cx.now);
        } else if known.is_some() && upstream.extranonce != known {
            // It counts from the next job on: told behind it, the one that came before would give invalid shares only.
            login.job = None;
            login.until = login.until.min(cx.now.plus_ms(upstream.deadlines.first_job_ms.into()));
        }
        self.note_asides();
    }

    /// Looks whether a login is complete or late.
    pub(super) fn check_login(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let upstream = self.wire(wire);
        let Some(login) = upstream.login.as_ref().filter(|_| upstream.link == Link::Up) else { return };
        let is_complete = login.is_complete();
        if !is_complete && login.until <= cx.now {
            return self.fail_login(wire, LoginFailure::NoJob, cx);
        }
        let wants_difficulty = upstream.difficulty <= 0.0
            && login.job.is_some()
            && cx.now < login.job_came.plus_ms(DIFFICULTY_WAIT_MS);
        if is_complete && !wants_difficulty {
            self.prepared(wire, cx);
        }
        self.note_asides();
    }

    /// Gives a login up and tells why.
    pub(super) fn fail_login(&mut self, wire: Wire, why: LoginFailure, cx: &mut Context<'_>) {
        let pool = self.wire(wire).pool;
        let Some(reason) = self.wire(wire).login.as_ref().map(|login| login.why) else { return };
        self.free_wire(wire, cx);
        cx.tell(Event::LoginFailed { wire, pool, reason, why });
    }
}

/// The version mask in the result of a configure; none if version rolling was refused.
pub(super) fn granted_mask(result: &[u8]) -> u32 {
    let (mut granted, mut refused) = (0, false);
    value::members(result, |key, raw| match key {
        "version-rolling.mask" => granted = mask(raw).unwrap_or(0),
        "version-rolling" => refused = raw == b"false",
        _ => {}
    });
    if refused { 0 } else { granted }
}
