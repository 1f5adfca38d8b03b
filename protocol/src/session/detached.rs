//! Prepared connections without a miner: taken off a session that must end, kept by the owner, given to a session that
//! needs one.
//!
//! A miner that cannot be switched live is closed, and comes back; then it finds its new pool logged in already. The same
//! way connections are kept in stock. What is kept is a plain value without a descriptor; the owner keeps the socket beside
//! it, and lets what the pool says meanwhile wait in there.

use crate::downstream::Stage;
use crate::event::{MoveReason, Wire};
use crate::login::{Login, LoginName, Step};
use crate::pool::PoolId;
use crate::session::{Context, Session, Shared};
use crate::upstream::{Link, SpareName, Upstream};

/// A prepared connection that belongs to no session. Each is given to one by [`Session::adopt`], or to
/// [`Prepared::discard`]: it has the use of names.
#[derive(Debug)]
pub struct Prepared {
    upstream: Upstream,
    login: Box<Login>,
    names: Vec<SpareName>,
    /// What the pool was asked to configure, raw.
    configure_params: Box<[u8]>,
    /// The first id that was not used on it.
    next_id: u32,
}

impl Prepared {
    /// Whose connection it is.
    pub fn pool(&self) -> PoolId {
        self.upstream.pool
    }

    /// The miner's names that the pool accepted, raw bytes between the quotes.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| &*name.raw)
    }

    /// Whether its pool was asked to configure what this session's miner asks for, and nothing else.
    pub fn is_configured_for(&self, session: &Session) -> bool {
        self.configure_params == session.downstream.configure_params
    }

    /// Gives back what it holds: nobody wants it any more.
    pub fn discard(mut self, shared: &mut Shared) {
        self.upstream.framer.release(&mut shared.buffers);
        for name in self.names {
            shared.workers.release(self.upstream.pool, &name.raw);
        }
    }
}

impl Session {
    /// Takes a prepared connection off the session. `None` if there is none on this wire. The place is free then; the owner
    /// has no operation in flight on the connection.
    pub fn detach(&mut self, wire: Wire, cx: &mut Context<'_>) -> Option<Box<Prepared>> {
        let is_prepared =
            self.wire(wire).login.as_ref().is_some_and(|login| login.told && login.is_complete());
        if self.finished || !is_prepared {
            return None;
        }
        // What is open on it is the login's own, and nothing that matters.
        while self.pending.leave(wire, cx.now).is_some() {}
        let mut upstream = std::mem::take(self.wire_mut(wire));
        let mut login = upstream.login.take()?;
        let mut names = std::mem::take(&mut upstream.spare_names);
        for LoginName { index, step } in login.names.drain(..) {
            let Some(index) = index else { continue };
            let Some(known) = self.downstream.name(index) else { continue };
            let Some(json) = upstream.take_name(index) else { continue };
            match step {
                Step::Answered(answer) if answer.accepted => {
                    names.push(SpareName { raw: known.raw.clone(), json, answer });
                }
                _ => cx.shared.workers.release(upstream.pool, &known.raw),
            }
        }
        self.note_asides();
        let next_id = self.pending.next_id().wrapping_add(upstream.id_offset);
        let configure_params = self.downstream.configure_params.clone();
        Some(Box::new(Prepared { upstream, login, names, configure_params, next_id }))
    }

    /// Gives the session a prepared connection of its own on a free wire. What the miner asked and the pool does not know
    /// yet is asked; then the miner is switched as after a login, but not before it asks to subscribe. Before the miner's
    /// first request and while the place is taken the connection is given back.
    pub fn adopt(
        &mut self,
        wire: Wire,
        mut prepared: Box<Prepared>,
        why: MoveReason,
        cx: &mut Context<'_>,
    ) -> Result<(), Box<Prepared>> {
        let is_free = self.wire(wire).link == Link::Idle;
        let wants = !self.finished && self.settling.is_none() && self.downstream.stage >= Stage::Speaking;
        if !is_free || !wants || !self.fits_parked(prepared.pool(), cx) {
            return Err(prepared);
        }
        if !prepared.is_configured_for(self) {
            prepared.login.configure = Step::Unasked;
            // What was granted for another miner's configure is not in force at this one.
            prepared.login.answered.1 = 0;
            prepared.upstream.version_mask = 0;
        }
        let Prepared { mut upstream, mut login, names, next_id, .. } = *prepared;
        (login.why, login.began, login.told) = (why, cx.now, false);
        // No id may be used twice on one connection: a late answer would be taken for another one's.
        upstream.id_offset = next_id.saturating_sub(self.pending.next_id());
        upstream.heard = cx.now;
        for name in names {
            match self.downstream.find_raw(&name.raw) {
                Some(index) => {
                    upstream.set_name_json(index, name.json);
                    login.names.push(LoginName { index: Some(index), step: Step::Answered(name.answer) });
                }
                None => upstream.spare_names.push(name),
            }
        }
        upstream.login = Some(login);
        *self.wire_mut(wire) = upstream;
        self.begin_login(wire, cx);
        Ok(())
    }
}
