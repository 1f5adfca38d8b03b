//! `mining.submit`: from the miner's line to the ticket, and from the ticket to its one outcome.

use crate::difficulty::Target;
use crate::downstream::Stage;
use crate::event::{ClosedShare, Event, Oddity, Outcome, ReasonKey, Wire};
use crate::job::{Aliases, JobEntry, JobKey};
use crate::message::Message;
use crate::moment::Moment;
use crate::pending::{Asked, Submitted, Ticket};
use crate::pool::PoolId;
use crate::raw_id::RawId;
use crate::reasons::Reasons;
use crate::replies::{self, LocalError};
use crate::rewrite::{Change, Decimal, id_member, splice};
use crate::session::from_miner::{id_change, refuse_always};
use crate::session::{Context, Session};
use crate::share::{LocalVerdict, ShareCheck, Solution};
use crate::upstream::Upstream;
use crate::verdict::RejectClass;
use crate::workers::NO_WORKER;

impl Session {
    /// Checks a submit and sends it up, or refuses it here. Nothing is allocated in the steady state.
    #[inline]
    pub(super) fn submit(&mut self, message: &Message<'_>, cx: &mut Context<'_>) {
        let json = message.param(0);
        if json.first() != Some(&b'"') {
            cx.odd(Oddity::RefusedMalformed);
            return self.refuse_share(message, NO_WORKER, replies::BAD_PARAMS, cx);
        }
        if self.downstream.stage < Stage::Subscribing {
            return self.refuse_share(message, NO_WORKER, replies::NOT_SUBSCRIBED, cx);
        }
        let named = self.downstream.find(json).and_then(|index| Some((index, self.downstream.name(index)?)));
        let Some((index, name)) = named else {
            return self.refuse_share(message, NO_WORKER, replies::UNAUTHORIZED, cx);
        };
        let worker = name.worker;
        let job = job_key(message);
        let entry = self.jobs.find(job).filter(|entry| self.is_meant(entry, message.param(1)));
        // A share goes to the pool that gave its job. Before any switch that can only be the current one.
        let destination = match entry {
            Some(entry) => entry.wire,
            None if self.switched || Aliases::resembles(message.param(1)) => None,
            None => self.current,
        };
        let Some(wire) = destination else {
            return self.refuse_share(message, worker, replies::BETWEEN_POOLS, cx);
        };
        if !self.pending.has_room() {
            cx.odd(Oddity::PendingFull);
            return self.refuse_share(message, worker, replies::PENDING_FULL, cx);
        }
        let upstream = &self.wires[wire.index()];
        let Some(upstream_json) = upstream.name(index) else {
            return self.refuse_share(message, worker, replies::UNAUTHORIZED, cx);
        };
        let name_change = Change { span: message.params.items[0], bytes: upstream_json };
        let submitted = judge(upstream, entry, job, worker, message, cx);
        let renamed = entry.is_some_and(|entry| entry.renamed);
        let ticket = Ticket {
            miner_id: RawId::keep(message.raw(message.id)),
            asked: Asked::Submit(submitted),
            wire: Some(wire),
            sent: cx.now,
            deadline: cx.now.plus_ms(upstream.deadlines.submit_reply_ms.into()),
        };
        let id = Decimal::new(self.pending.open(ticket).wrapping_add(upstream.id_offset));
        if renamed {
            return self.submit_renamed(wire, id, name_change, message, cx);
        }
        if message.id.is_present() {
            let id_change = Change { span: message.id, bytes: id.as_bytes() };
            splice(cx.toward(wire), message.line, [id_change, name_change]);
        } else {
            splice(cx.toward(wire), message.line, [id_change(message, &id, &id_member(id)), name_change]);
        }
    }

    /// Sends up a share for a job that the miner knows by an id of ours.
    #[cold]
    fn submit_renamed(
        &self,
        wire: Wire,
        id: Decimal,
        name_change: Change<'_>,
        message: &Message<'_>,
        cx: &mut Context<'_>,
    ) {
        let member = if message.id.is_present() { Vec::new() } else { id_member(id) };
        let theirs = self.aliases.theirs(message.param(1)).unwrap_or_default();
        let job_change = Change { span: message.params.items[1], bytes: theirs };
        splice(cx.toward(wire), message.line, [id_change(message, &id, &member), name_change, job_change]);
    }

    /// Answers a share here; it never goes to a pool.
    #[cold]
    fn refuse_share(&mut self, message: &Message<'_>, worker: u32, error: LocalError, cx: &mut Context<'_>) {
        refuse_always(message, error, cx);
        let reason = cx.shared.reasons.intern(error.text);
        cx.tell(Event::Share(ClosedShare {
            pool: self.pool,
            worker,
            job: job_key(message),
            difficulty: self.current.map_or(0.0, |wire| self.wire(wire).difficulty),
            share_difficulty: f64::NAN,
            outcome: Outcome::RefusedHere,
            class: Some(error.class),
            code: error.code(),
            reason,
            block_candidate: false,
            submitted: cx.now,
        }));
    }
}

/// What is known of a share when it is sent up. The check here is a note, never a verdict.
#[inline]
fn judge(
    upstream: &Upstream,
    entry: Option<&JobEntry>,
    job: JobKey,
    worker: u32,
    message: &Message<'_>,
    cx: &Context<'_>,
) -> Submitted {
    let mut submitted = Submitted {
        worker,
        job,
        difficulty: entry.map_or(upstream.difficulty, |entry| entry.difficulty),
        share_difficulty: f64::NAN,
        block_candidate: false,
    };
    if let Some(entry) = entry
        && let Some(verdict) = check(upstream, entry, message, cx)
    {
        submitted.share_difficulty = verdict.share_difficulty;
        submitted.block_candidate = verdict.is_block;
    }
    submitted
}

/// Hashes the share, if its job's content is known.
fn check(
    upstream: &Upstream,
    entry: &JobEntry,
    message: &Message<'_>,
    cx: &Context<'_>,
) -> Option<LocalVerdict> {
    let content = cx.shared.jobs.content(entry.content.as_ref()?)?;
    let extranonce = upstream.extranonce.filter(|_| entry.generation == upstream.generation)?;
    let solution = Solution::decode(message, extranonce.extranonce2_size.into()).ok()?;
    let check = ShareCheck {
        job: content,
        extranonce1: extranonce.extranonce1(),
        version_mask: upstream.version_mask,
        target: Target::from_difficulty(entry.difficulty)?,
    };
    Some(check.check(&solution))
}

/// How a share ended, beside what its ticket knew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub outcome: Outcome,
    pub class: Option<RejectClass>,
    pub code: i16,
    pub reason: ReasonKey,
}

impl Ending {
    /// The pool said yes.
    pub const ACCEPTED: Self =
        Self { outcome: Outcome::Accepted, class: None, code: 0, reason: Reasons::NONE };
}

/// Tells the one outcome of a share that had a ticket.
#[inline]
pub(super) fn close_share(
    submitted: &Submitted,
    pool: PoolId,
    sent: Moment,
    ending: Ending,
    cx: &mut Context<'_>,
) {
    cx.tell(Event::Share(ClosedShare {
        pool,
        worker: submitted.worker,
        job: submitted.job,
        difficulty: submitted.difficulty,
        share_difficulty: submitted.share_difficulty,
        outcome: ending.outcome,
        class: ending.class,
        code: ending.code,
        reason: ending.reason,
        block_candidate: submitted.block_candidate,
        submitted: sent,
    }));
}

/// The key of a share's job; that of the empty id where it has none fit to be tracked.
#[inline]
fn job_key(message: &Message<'_>) -> JobKey {
    JobKey::of_raw(message.param(1)).unwrap_or_default()
}
