//! The wires beside the current one, and how wires end: lost, given up, or lingering until their time is over.

use crate::event::{CloseReason, Event, Gone, LoginFailure, Oddity, Wire};
use crate::message::{Kind, Message, Method};
use crate::moment::Moment;
use crate::replies;
use crate::rewrite::Change;
use crate::rewrite::splice;
use crate::session::{Context, Session};
use crate::upstream::{Link, Upstream};

/// What Adit calls itself at pools that ask.
pub(super) const VERSION: &str = concat!("\"adit/", env!("CARGO_PKG_VERSION"), "\"");

impl Session {
    pub(super) fn pool_gone(&mut self, wire: Wire, why: Gone, cx: &mut Context<'_>) {
        let reason = match why {
            Gone::Closed => CloseReason::PoolClosed,
            Gone::Broken => CloseReason::PoolBroken,
            Gone::DialFailed => CloseReason::PoolUnreachable,
            Gone::DialTimeout => CloseReason::PoolConnectTimeout,
            Gone::NotReading => CloseReason::PoolNotReading,
            Gone::Panicked => return self.finish(CloseReason::Panicked, cx),
        };
        self.lose_wire(wire, reason, cx);
    }

    /// The connection on this wire is of no use any more. Its shares end unanswered; requests of the handshake are parked.
    pub(super) fn lose_wire(&mut self, wire: Wire, why: CloseReason, cx: &mut Context<'_>) {
        if self.finished || self.wire(wire).link == Link::Idle {
            return;
        }
        let is_current = self.current == Some(wire);
        if is_current && let Some(settling) = self.settling {
            // A miner that left first ended the session; the pool only follows.
            return self.finish(settling.reason, cx);
        }
        if self.wire(wire).login.is_some() {
            return self.fail_login(wire, LoginFailure::Lost(why), cx);
        }
        let pool = self.wire(wire).pool;
        if is_current {
            self.downstream.left_with = self.in_force();
            self.downstream.left_session = self.wire(wire).session_id.clone();
            (self.current, self.wait_until) = (None, Moment::NEVER);
            // Its jobs that waited for an earlier answer are of no use any more.
            self.drop_told();
        }
        self.free_wire(wire, cx);
        cx.tell(if is_current { Event::PoolLost { wire, pool, why } } else { Event::WireDone { wire } });
    }

    /// Forgets what the pool that is left told and the miner has not got yet.
    pub(super) fn drop_told(&mut self) {
        self.downstream.missed_terms |= self.hold.has_terms();
        self.hold.drop_told();
    }

    /// Ends what is on this wire and makes the place free. The requests that it owes are answered or parked.
    pub(super) fn free_wire(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let parked_until = cx.now.plus_ms(self.wire(wire).deadlines.handshake_reply_ms.into());
        while let Some((id, ticket)) = self.pending.leave(wire, parked_until) {
            self.answer_for_pool(id, &ticket, replies::POOL_LOST, cx);
        }
        self.jobs.orphan(wire);
        self.drop_wire(wire, cx);
    }

    /// Makes the place free, and gives back what the connection had.
    pub(super) fn drop_wire(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let mut upstream = std::mem::take(self.wire_mut(wire));
        upstream.framer.release(&mut cx.shared.buffers);
        if let Some((pool, id)) = upstream.session_id.as_deref() {
            // Once more, since the pool keeps it for a while from here on.
            cx.shared.session_ids.issued(id, *pool);
        }
        for (index, name) in self.downstream.names() {
            if upstream.take_name(index).is_some() {
                cx.shared.workers.release(upstream.pool, &name.raw);
            }
        }
        for name in upstream.spare_names {
            cx.shared.workers.release(upstream.pool, &name.raw);
        }
        self.note_asides();
    }

    /// The old wire's verdicts still reach the miner for a while; nothing else of it does.
    pub(super) fn linger(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let parked_until = cx.now.plus_ms(self.wire(wire).deadlines.handshake_reply_ms.into());
        self.pending.park(wire, parked_until);
        if self.wire(wire).link == Link::Up {
            self.wire_mut(wire).linger_until = cx.now.plus_ms(cx.shared.settings.linger_ms);
            return self.note_asides();
        }
        self.free_wire(wire, cx);
        cx.tell(Event::WireDone { wire });
    }

    /// Ends wires whose time is over.
    pub(super) fn expire_wires(&mut self, cx: &mut Context<'_>) {
        for wire in Wire::ALL {
            if self.wire(wire).silence_deadline() <= cx.now {
                self.lose_wire(wire, CloseReason::PoolSilent, cx);
            }
            if self.wire(wire).linger_until <= cx.now {
                self.free_wire(wire, cx);
                cx.tell(Event::WireDone { wire });
            }
            self.check_login(wire, cx);
        }
    }

    /// Notes when the next of the deadlines comes that only wires beside the current one have.
    pub(super) fn note_asides(&mut self) {
        let due = |upstream: &Upstream| {
            let login = upstream.login.as_ref().map_or(Moment::NEVER, |login| login.next_deadline(upstream));
            login.min(upstream.linger_until)
        };
        let [a, b] = &self.wires;
        self.asides_due = due(a).min(due(b));
    }

    /// A line on a wire that is not the current one: it reaches the miner only if it answers one of its requests.
    #[cold]
    pub(super) fn aside_line(&mut self, wire: Wire, message: &Message<'_>, cx: &mut Context<'_>) {
        match message.kind {
            Kind::Response if message.has_id() => self.response(wire, message, cx),
            Kind::Call(Method::Ping) if message.has_id() => answer_pool(wire, message, b"\"pong\"", cx),
            Kind::Call(_) if message.raw(message.method_name) == b"\"client.get_version\"" => {
                answer_pool(wire, message, VERSION.as_bytes(), cx);
            }
            Kind::Call(Method::Reconnect) => self.reconnect(wire, message, cx),
            Kind::Call(method) => self.note_aside(wire, method, message, cx),
            Kind::Response => cx.odd(Oddity::StrayResponse),
            Kind::Opaque => self.garbage(wire, Oddity::PoolText, cx),
        }
    }
}

/// Answers a request of the pool in the miner's place, who does not know this pool.
fn answer_pool(wire: Wire, message: &Message<'_>, result: &[u8], cx: &mut Context<'_>) {
    const ANSWER: &[u8] = br#"{"id":,"result":,"error":null}"#;
    let at = |at: u32| crate::message::Span { start: at, end: at };
    let changes =
        [Change { span: at(6), bytes: message.raw(message.id) }, Change { span: at(16), bytes: result }];
    splice(cx.toward(wire), ANSWER, changes);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_is_a_json_string() {
        assert!(super::VERSION.starts_with("\"adit/") && super::VERSION.ends_with('"'));
    }
}
