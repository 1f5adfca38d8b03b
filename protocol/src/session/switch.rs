//! Moving a live miner to another wire: the one write that tells it, and the answers it was waiting for.
//!
//! Only where the miner can follow: it declared `mining.set_extranonce`, or nothing changes for it, or it knows no
//! extranonce yet. Others must come back on a new connection, for which the owner keeps what was prepared.

use std::io::Write;

use crate::downstream::{Stage, Standing};
use crate::event::{Event, Wire};
use crate::limits::LINE_PADDING;
use crate::login::{Login, Step};
use crate::message::Line;
use crate::moment::Moment;
use crate::pending::{Asked, Ticket};
use crate::pool::PoolId;
use crate::replies;
use crate::session::{Context, Session};
use crate::upstream::Extranonce;

/// What the miner was told by answers to its own requests, and need not be told again.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    mask: Option<u32>,
    extranonce: bool,
}

impl Session {
    /// The login on this wire has all it needs. Switches the miner there if that can be done live.
    pub(super) fn prepared(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let can_switch = self.can_switch(wire);
        let upstream = self.wire_mut(wire);
        let pool = upstream.pool;
        if let Some(login) = &mut upstream.login {
            login.until = Moment::NEVER;
            let has_job = login.job.is_some();
            if !std::mem::replace(&mut login.told, true) {
                cx.tell(Event::Prepared { wire, pool, can_switch, has_job });
            }
        }
        if !can_switch || self.settling.is_some() || self.is_for_stock(wire) {
            return;
        }
        if self.is_ahead_of_miner(wire) {
            return self.answer_configure_ahead(wire, cx);
        }
        self.switch(wire, cx);
    }

    /// Whether the pool was asked to subscribe, and the miner has not asked yet: a connection that was kept.
    fn is_ahead_of_miner(&self, wire: Wire) -> bool {
        let login = self.wire(wire).login.as_ref();
        self.downstream.stage != Stage::Subscribing
            && login.is_some_and(|login| !matches!(login.subscribe, Step::Unasked))
    }

    /// Answers a configure that waits, before the miner is switched: some subscribe only once they have its answer.
    fn answer_configure_ahead(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let upstream = &mut self.wires[wire.index()];
        let Some(login) = &upstream.login else { return };
        while let Some((id, ticket)) = self.pending.unpark(|asked| matches!(asked, Asked::Configure(_))) {
            let miner_id = &ticket.miner_id;
            match (login.configure.answer(), &ticket.asked) {
                (Some(answer), _) => self.hold.push(Some(id), |out| answer.write(out, miner_id.as_bytes())),
                (None, Asked::Configure(codes)) => {
                    upstream.version_mask = 0;
                    self.hold.push(Some(id), |out| replies::configure_refused(out, miner_id, codes));
                }
                (None, _) => {}
            }
            // What the miner was told is in force, whatever becomes of this connection. What the pool changed since then is
            // told when the miner is switched.
            let asked = self.downstream.mask_asked.unwrap_or(0);
            upstream.version_mask &= asked;
            self.downstream.left_with.1 = login.configure.answer().map_or(0, |_| login.answered.1 & asked);
        }
        self.hold.release(self.pending.earliest_handshake(), cx.to_miner);
    }

    /// The extranonce and the version mask in force at the miner.
    pub(super) fn in_force(&self) -> (Option<Extranonce>, u32) {
        match self.current.map(|wire| self.wire(wire)) {
            // What was not told anew is as the last pool left it.
            Some(upstream) => (upstream.extranonce.or(self.downstream.left_with.0), upstream.version_mask),
            None => self.downstream.left_with,
        }
    }

    /// Whether the miner can be moved to this wire without a new connection.
    fn can_switch(&self, wire: Wire) -> bool {
        let upstream = self.wire(wire);
        let (extranonce, mask) = self.in_force();
        // What the miner has not heard yet, it will not hear from the old pool any more.
        let missed_terms = self.downstream.missed_terms || self.hold.has_terms();
        let keeps_extranonce = extranonce.is_none() || !missed_terms && extranonce == upstream.extranonce;
        let keeps_mask = mask & !upstream.version_mask == 0;
        (self.downstream.takes_extranonce || keeps_extranonce)
            && (self.downstream.mask_asked.is_some() || keeps_mask)
    }

    fn switch(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let before = self.in_force();
        let from = self.pool;
        if let Some(old) = self.current.take() {
            self.linger(old, cx);
        }
        let generation = self.next_generation();
        let Some(login) = self.wire_mut(wire).login.take() else { return };
        self.wire_mut(wire).become_current(generation);
        self.jobs.expire();
        self.drop_told();
        (self.current, self.pool, self.switched) = (Some(wire), self.wire(wire).pool, true);
        (self.wait_until, self.bound_for) = (Moment::NEVER, PoolId::NONE);
        self.job_ids = self.job_ids.at_another_pool();
        self.downstream.left_session = None;
        let told = self.answer_parked(wire, &login, cx);
        self.settle_names(wire, &login, cx);
        self.release_held(cx);
        self.tell_terms(wire, before, told, cx);
        self.tell_job(wire, &login, cx);
        self.note_asides();
        let (to, reason, began) = (self.pool, login.why, login.began);
        cx.tell(Event::Switched { from, to, wire, reason, began });
    }

    /// Answers the requests that were parked from what this pool said to the login.
    fn answer_parked(&mut self, wire: Wire, login: &Login, cx: &mut Context<'_>) -> Told {
        let mut told = Told::default();
        while let Some((id, ticket)) = self.pending.unpark(|_| true) {
            let Ticket { miner_id, asked, .. } = ticket;
            let step = match &asked {
                Asked::Configure(_) => Some(&login.configure),
                Asked::Subscribe => Some(&login.subscribe),
                Asked::ExtranonceSubscribe => Some(&login.extranonce_subscribe),
                Asked::Authorize(index) => login.name(*index),
                Asked::Submit(_) | Asked::Login(_) | Asked::Other => continue,
            };
            let answer = step.and_then(Step::answer);
            // The pool may have told another extranonce behind its answer.
            let newer = self.wire(wire).extranonce.filter(|_| self.wire(wire).extranonce != login.answered.0);
            self.hold.push(Some(id), |out| match (answer, &asked) {
                (Some(_), Asked::Subscribe) if let Some(newer) = newer => {
                    replies::subscribed(out, &miner_id, &newer.extranonce1_hex(), newer.extranonce2_size);
                }
                (Some(answer), _) => answer.write(out, miner_id.as_bytes()),
                (None, Asked::Configure(codes)) => replies::configure_refused(out, &miner_id, codes),
                (None, Asked::Authorize(_)) => replies::error(out, miner_id.as_bytes(), replies::BAD_NAME),
                (None, _) => replies::error(out, miner_id.as_bytes(), replies::NOT_SUPPORTED),
            });
            match asked {
                Asked::Configure(_) => told.mask = Some(answer.map_or(0, |_| login.answered.1)),
                Asked::Subscribe => told.extranonce = true,
                Asked::Authorize(index) => {
                    let (pool, accepted) =
                        (self.wire(wire).pool, answer.is_some_and(|answer| answer.accepted));
                    self.authorize_answered(index, pool, accepted, cx);
                }
                _ => {}
            }
        }
        told
    }

    /// Names that worked elsewhere and are refused here are no names of this miner any more.
    fn settle_names(&mut self, wire: Wire, login: &Login, cx: &mut Context<'_>) {
        let pool = self.wire(wire).pool;
        for name in &login.names {
            let Some(index) = name.index else { continue };
            let Some(known) = self.downstream.name_mut(index) else { continue };
            if name.step.is_accepted() {
                known.worker = cx.shared.workers.proven(pool, &known.raw);
                known.standing = Standing::Authorised;
            } else {
                self.forget_name(index, cx);
            }
        }
    }

    /// Difficulty always, mask and extranonce where they change, or where it is unknown what the miner has.
    fn tell_terms(
        &mut self,
        wire: Wire,
        (extranonce, mask): (Option<Extranonce>, u32),
        told: Told,
        cx: &mut Context<'_>,
    ) {
        if self.downstream.stage != Stage::Subscribing {
            return;
        }
        let missed_terms = std::mem::take(&mut self.downstream.missed_terms);
        let upstream = &mut self.wires[wire.index()];
        if let Some(asked) = self.downstream.mask_asked {
            upstream.version_mask &= asked;
            let known = told.mask.or((!missed_terms).then_some(mask));
            if known.is_none_or(|known| upstream.version_mask != known & asked) {
                let mask = upstream.version_mask;
                // Writing to a Vec cannot fail, here and below.
                let _ = writeln!(
                    cx.to_miner,
                    "{{\"id\":null,\"method\":\"mining.set_version_mask\",\"params\":[\"{mask:08x}\"]}}"
                );
            }
        }
        let changes = |new: &Extranonce| missed_terms || extranonce != Some(*new);
        if let Some(new) = upstream.extranonce.filter(|new| !told.extranonce && changes(new)) {
            let _ = writeln!(
                cx.to_miner,
                "{{\"id\":null,\"method\":\"mining.set_extranonce\",\"params\":[\"{}\",{}]}}",
                new.extranonce1_hex(),
                new.extranonce2_size
            );
        }
        if upstream.difficulty <= 0.0 {
            upstream.difficulty = 1.0;
        }
        let _ = writeln!(
            cx.to_miner,
            "{{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[{}]}}",
            upstream.difficulty
        );
    }

    /// The newest job, as a clean one.
    fn tell_job(&mut self, wire: Wire, login: &Login, cx: &mut Context<'_>) {
        self.wire_mut(wire).clean_next = true;
        let Some(job) = &login.job else { return };
        let mut bytes = job.to_vec();
        bytes.resize(job.len() + LINE_PADDING, 0);
        if let Some(line) = Line::new(&mut bytes, job.len()) {
            self.pool_line(wire, line, cx);
        }
    }
}
