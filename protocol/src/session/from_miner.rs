//! Lines of the miner: forwarded under our ids, answered here, or refused. PROTOCOL facts: docs/PROTOCOL.md sections 2 and 3.

use crate::downstream::Stage;
use crate::event::{CloseReason, Event, Oddity, Wire};
use crate::limits::{LOGIN_PARAMS_BYTES_MAX, NAME_BYTES_MAX, PASSWORD_BYTES_MAX};
use crate::login::LoginStep;
use crate::message::{Kind, Line, Message, Method};
use crate::pending::{Asked, Found, Ticket};
use crate::pool::{Placement, PoolId};
use crate::raw_id::RawId;
use crate::replies::{self, LocalError};
use crate::rewrite::{Change, Decimal, behind_brace, forward, id_member, splice};
use crate::session::{Context, Go, Session};
use crate::session_ids;
use crate::upstream::mask;
use crate::value;

/// How long a request that only the pool may answer is remembered.
const OTHER_REPLY_MS: u64 = 10_000;
/// Codes of a configure that are remembered for our own answer.
const CONFIGURE_CODES_MAX: usize = 16;

impl Session {
    pub(super) fn receive_from_miner(&mut self, bytes: &mut [u8], len: usize, cx: &mut Context<'_>) {
        self.downstream.heard = cx.now;
        if self.downstream.stage == Stage::Silent && !self.greet(bytes.get(..len).unwrap_or_default(), cx) {
            return;
        }
        if self.pool == PoolId::NONE {
            self.look_ahead(bytes.get(..len).unwrap_or_default(), cx);
        }
        let take = |session: &mut Self, line: Line<'_>, cx: &mut Context<'_>| {
            session.miner_line(line, cx);
            if session.finished { Go::Stop } else { Go::On }
        };
        let fits = self.each_line(|session| &mut session.downstream.framer, take, bytes, len, cx);
        if fits.is_err() && !self.finished {
            replies::error(cx.to_miner, b"null", replies::LINE_TOO_LONG);
            self.finish(CloseReason::MinerLineTooLong, cx);
        }
    }

    fn miner_line(&mut self, line: Line<'_>, cx: &mut Context<'_>) {
        let message = match cx.shared.parser.parse(line) {
            Ok(message) => message,
            Err(failure) => return self.bad_miner_line(failure.line, cx),
        };
        if message.kind == Kind::Call(Method::Submit) {
            return self.submit(&message, cx);
        }
        self.routine = false;
        match message.kind {
            Kind::Call(method) => self.miner_call(method, &message, cx),
            // The answer to a pool's own request (client.get_version, mining.ping): its id is the pool's.
            Kind::Response => self.forward_up(&message, cx),
            Kind::Opaque => refuse(&message, replies::NO_METHOD, cx),
        }
    }

    fn miner_call(&mut self, method: Method, message: &Message<'_>, cx: &mut Context<'_>) {
        match method {
            Method::PoolInternal => {
                cx.odd(Oddity::RefusedInternal);
                return refuse(message, replies::NOT_SUPPORTED, cx);
            }
            Method::ForeignCoin if self.downstream.stage < Stage::Speaking => {
                return self.foreign_coin(message, cx);
            }
            Method::Subscribe if is_ethereum(message) => return self.foreign_coin(message, cx),
            Method::Authorize => return self.authorize(message, cx),
            _ => {}
        }
        if !self.dial_once(message, cx) {
            return;
        }
        match method {
            Method::Configure => {
                let asked = self.configure(message);
                self.ask(message, asked, None, cx);
                self.tell_logins(LoginStep::Configure, cx);
            }
            Method::Subscribe => {
                self.downstream.stage = Stage::Subscribing;
                self.downstream.note_agent(message);
                self.downstream.agent_json = bounded(message.param(0), LOGIN_PARAMS_BYTES_MAX);
                let stripped = self.foreign_session_id(message, cx);
                self.ask(message, Asked::Subscribe, stripped, cx);
                self.tell_logins(LoginStep::Subscribe, cx);
                cx.tell(Event::Subscribing);
            }
            Method::ExtranonceSubscribe => {
                self.downstream.takes_extranonce = true;
                self.downstream.subscribes_extranonce = true;
                self.ask(message, Asked::ExtranonceSubscribe, None, cx);
                self.tell_logins(LoginStep::ExtranonceSubscribe, cx);
            }
            // ESP-Miner's answer to a pool's ping: the id is the pool's, and nobody answers it.
            Method::Pong => self.forward_up(message, cx),
            _ if message.has_id() => self.ask(message, Asked::Other, None, cx),
            _ => self.forward_up(message, cx),
        }
    }

    /// Notes what configure asks for.
    fn configure(&mut self, message: &Message<'_>) -> Asked {
        let mut codes: Vec<Box<str>> = Vec::new();
        value::elements(message.param(0), |code| {
            if codes.len() < CONFIGURE_CODES_MAX
                && let Some(text) = value::plain_str(code)
            {
                self.downstream.takes_extranonce |= text == "subscribe-extranonce";
                codes.push(format!("\"{text}\"").into());
            }
        });
        if codes.iter().any(|code| &**code == "\"version-rolling\"") {
            // BIP310: a missing mask means all bits.
            self.downstream.mask_asked = Some(u32::MAX);
            value::members(message.param(1), |key, raw| {
                if key == "version-rolling.mask" {
                    self.downstream.mask_asked = mask(raw).or(Some(u32::MAX));
                }
            });
        }
        self.downstream.configure_params = bounded(message.raw(message.params.whole), LOGIN_PARAMS_BYTES_MAX);
        Asked::Configure(codes.into())
    }

    fn authorize(&mut self, message: &Message<'_>, cx: &mut Context<'_>) {
        let json = message.param(0);
        if value::string(json).is_none() {
            cx.odd(Oddity::RefusedMalformed);
            return refuse_always(message, replies::BAD_PARAMS, cx);
        }
        if !self.pending.has_room() {
            cx.odd(Oddity::PendingFull);
            return refuse_always(message, replies::PENDING_FULL, cx);
        }
        if self.pool == PoolId::NONE {
            self.downstream.name_ahead = Some(between_quotes(json).into());
        }
        if !self.dial_once(message, cx) {
            return;
        }
        let placement = self.placement(json, cx);
        let wire = match placement {
            Placement::Stay => self.current,
            Placement::Move(_) => None,
            Placement::Close => return self.send_back(message, cx),
            Placement::Nowhere => return self.no_pool_for(message, cx),
            Placement::Refuse => return self.refuse_misplaced(message, cx),
        };
        let Some(index) = self.name_index(wire, json, message, cx) else { return };
        if let Some(name) = self.downstream.name_mut(index) {
            name.asked_count = name.asked_count.saturating_add(1);
            name.password = bounded(message.param(1), PASSWORD_BYTES_MAX);
        }
        match wire {
            Some(wire) if self.answer_spare(wire, index, message, cx) => {}
            Some(wire) => self.authorize_up(wire, index, message, cx),
            None => drop(self.open(None, message, Asked::Authorize(index), cx)),
        }
        let is_on_its_way = self.keep_fitting_logins(json, cx);
        if let Placement::Move(pool) = placement {
            self.ask_for_pool(pool, is_on_its_way, cx);
        }
        self.tell_logins(LoginStep::Authorize(index), cx);
    }

    /// Answers an authorize with an error, in its turn: miners may wait for earlier answers of the handshake.
    pub(super) fn refuse_in_order(&mut self, message: &Message<'_>, error: LocalError, cx: &mut Context<'_>) {
        let (id, wire) = (self.pending.next_id(), self.current.unwrap_or(Wire::A));
        self.open(Some(wire), message, Asked::ExtranonceSubscribe, cx);
        if let Found::Ticket(ticket) = self.pending.close(wire, id.into()) {
            self.hold.push(Some(id), |out| replies::error(out, ticket.miner_id.as_bytes(), error));
        }
        self.release_held(cx);
    }

    /// Answers an authorize by what the pool said to it before the connection was this session's. Whether it did.
    fn answer_spare(&mut self, wire: Wire, index: u8, message: &Message<'_>, cx: &mut Context<'_>) -> bool {
        let Some(name) = self.downstream.name(index) else { return false };
        let spare_names = &mut self.wires[wire.index()].spare_names;
        let Some(at) = spare_names.iter().position(|spare| spare.raw == name.raw) else { return false };
        let spare = spare_names.swap_remove(at);
        let pool = self.wire(wire).pool;
        // The name has one use more, since it was asked for again.
        cx.shared.workers.release(pool, &spare.raw);
        let id = self.pending.next_id();
        self.open(Some(wire), message, Asked::Authorize(index), cx);
        let Found::Ticket(ticket) = self.pending.close(wire, id.into()) else { return true };
        self.authorize_answered(index, pool, spare.answer.accepted, cx);
        self.hold.push(Some(id), |out| spare.answer.write(out, ticket.miner_id.as_bytes()));
        self.release_held(cx);
        true
    }

    /// Sends an authorize to the current pool, in its words.
    fn authorize_up(&mut self, wire: Wire, index: u8, message: &Message<'_>, cx: &mut Context<'_>) {
        let (id, member) = self.open(Some(wire), message, Asked::Authorize(index), cx);
        let upstream = self.wire(wire);
        let name_change =
            Change { span: message.params.items[0], bytes: upstream.name(index).unwrap_or_default() };
        let id_change = id_change(message, &id, &member);
        let Some(password) = &cx.shared.terms.of(upstream.pool).password else {
            return splice(cx.toward(wire), message.line, [id_change, name_change]);
        };
        let mut span = message.params.items[1];
        let mut text = format!("\"{password}\"");
        if message.params.count < 2 {
            // No password given: it goes behind the name, as some pools want exactly two parameters.
            let end = message.params.items[0].end;
            span = crate::message::Span { start: end, end };
            text.insert(0, ',');
        }
        let password_change = Change { span, bytes: text.as_bytes() };
        splice(cx.toward(wire), message.line, [id_change, name_change, password_change]);
    }

    /// The index of the name to be authorised on this wire, if on any, new or known. `None` after it was refused.
    fn name_index(
        &mut self,
        wire: Option<Wire>,
        json: &[u8],
        message: &Message<'_>,
        cx: &mut Context<'_>,
    ) -> Option<u8> {
        let known = self.downstream.find(json);
        if known.is_none() && !self.downstream.has_room_for_name() {
            cx.odd(Oddity::RefusedNames);
            self.refuse_in_order(message, replies::TOO_MANY_NAMES, cx);
            return None;
        }
        let raw = between_quotes(json);
        if raw.len() > NAME_BYTES_MAX {
            cx.odd(Oddity::RefusedNames);
            self.refuse_in_order(message, replies::BAD_NAME, cx);
            return None;
        }
        let Some(wire) = wire else { return known.or_else(|| Some(self.downstream.add_name(raw))) };
        if let Some(index) = known
            && self.wire(wire).name(index).is_some()
        {
            return known;
        }
        // It may be spelled with other escapes than before: what counts is the spelling that is kept.
        let spelling = known.and_then(|index| self.downstream.name(index)).map_or(raw, |name| &name.raw);
        let Ok(upstream) = cx.shared.workers.assign(self.wire(wire).pool, spelling) else {
            cx.odd(Oddity::RefusedNames);
            self.refuse_in_order(message, replies::BAD_NAME, cx);
            return None;
        };
        let index = known.unwrap_or_else(|| self.downstream.add_name(raw));
        self.wire_mut(wire).set_name(index, &upstream);
        Some(index)
    }

    fn foreign_coin(&mut self, message: &Message<'_>, cx: &mut Context<'_>) {
        refuse(message, replies::FOREIGN_COIN, cx);
        self.finish(CloseReason::ForeignCoin, cx);
    }

    /// Passes a line up as it is. Without a pool there is nobody who could want it.
    fn forward_up(&self, message: &Message<'_>, cx: &mut Context<'_>) {
        if let Some(wire) = self.current {
            forward(cx.toward(wire), message.line);
        }
    }

    /// The change that keeps a session id from a pool that did not issue it.
    fn foreign_session_id(&self, message: &Message<'_>, cx: &mut Context<'_>) -> Option<Change<'static>> {
        let id = session_ids::in_subscribe(message)?;
        let may_resume = cx.shared.session_ids.may_resume(id, self.pool);
        (!may_resume).then(|| session_ids::without_id(message))
    }

    /// Sends a request up under an id of ours, and with one more change if there is one. Without a pool it is parked if it
    /// is owed an answer, else dropped.
    fn ask(&mut self, message: &Message<'_>, asked: Asked, change: Option<Change<'_>>, cx: &mut Context<'_>) {
        if self.current.is_none() && !asked.is_owed() {
            return;
        }
        if !self.pending.has_room() {
            cx.odd(Oddity::PendingFull);
            if asked.is_owed() {
                refuse_always(message, replies::PENDING_FULL, cx);
            }
            return;
        }
        let (id, member) = self.open(self.current, message, asked, cx);
        let Some(wire) = self.current else { return };
        let id_change = id_change(message, &id, &member);
        match change {
            Some(change) => splice(cx.toward(wire), message.line, [id_change, change]),
            None => splice(cx.toward(wire), message.line, [id_change]),
        }
    }

    /// Opens a ticket, parked if there is no wire for it. Returns its id, as digits and as a member for a line that has
    /// none.
    fn open(
        &mut self,
        wire: Option<Wire>,
        message: &Message<'_>,
        asked: Asked,
        cx: &Context<'_>,
    ) -> (Decimal, Vec<u8>) {
        let deadlines = match wire {
            Some(wire) => self.wire(wire).deadlines,
            None => cx.shared.terms.of(self.pool).deadlines,
        };
        let handshake_reply_ms = u64::from(deadlines.handshake_reply_ms);
        let reply_ms = match asked {
            Asked::Other => OTHER_REPLY_MS,
            Asked::ExtranonceSubscribe => cx.shared.settings.extranonce_reply_ms.min(handshake_reply_ms),
            _ => handshake_reply_ms,
        };
        let miner_id = RawId::keep(message.raw(message.id));
        let ticket = Ticket { miner_id, asked, wire, sent: cx.now, deadline: cx.now.plus_ms(reply_ms) };
        let id_offset = wire.map_or(0, |wire| self.wire(wire).id_offset);
        let id = Decimal::new(self.pending.open(ticket).wrapping_add(id_offset));
        let member = if message.id.is_present() { Vec::new() } else { id_member(id) };
        (id, member)
    }
}

/// A copy of a raw value that is not longer than `bytes_max`, else nothing.
fn bounded(raw: &[u8], bytes_max: usize) -> Box<[u8]> {
    if raw.len() <= bytes_max { raw.into() } else { Box::default() }
}

/// What stands between the quotes of a JSON string.
pub(super) fn between_quotes(json: &[u8]) -> &[u8] {
    json.get(1..json.len().saturating_sub(1)).unwrap_or_default()
}

/// The change that puts our id into a request.
pub(super) fn id_change<'a>(message: &Message<'_>, id: &'a Decimal, member: &'a [u8]) -> Change<'a> {
    if message.id.is_present() {
        Change { span: message.id, bytes: id.as_bytes() }
    } else {
        Change { span: behind_brace(message.line), bytes: member }
    }
}

/// Answers with an error if the miner wants an answer at all.
pub(super) fn refuse(message: &Message<'_>, error: LocalError, cx: &mut Context<'_>) {
    if message.has_id() {
        replies::error(cx.to_miner, message.raw(message.id), error);
    }
}

/// Answers with an error, whatever the id: the five methods always get one answer.
pub(super) fn refuse_always(message: &Message<'_>, error: LocalError, cx: &mut Context<'_>) {
    replies::error(cx.to_miner, message.raw(message.id), error);
}

/// EthereumStratum/1.0.0 names itself in the second parameter of subscribe.
fn is_ethereum(message: &Message<'_>) -> bool {
    value::plain_str(message.param(1)).is_some_and(|text| text.starts_with("EthereumStratum/"))
}
