//! What a shard enters into the ledger, if one is kept: a row per share, a note per session and name.
//!
//! A session is in the ledger from its first valid request on: strangers who only knock leave no trace but in counters.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use adit_protocol::event::{CloseReason, ClosedShare};
use adit_protocol::moment::Moment;
use adit_protocol::reasons::Reasons;
use adit_protocol::session::Session;
use adit_store::outbox::Outbox;
use adit_store::record::{
    Note, OutcomeCounts, PoolKey, SessionClosed, SessionKey, SessionOpened, ShareRow, WorkerKey,
};

use super::trail::{Deed, Many, Trail};
use crate::clock::Clock;
use crate::counters::close_reason_label;
use crate::vitals::Stage;

/// Who did what nobody ordered.
const ACTOR: &str = "adit";

/// How soon the outbox is looked after once something was put in.
const TICK_MS: u64 = 250;

/// A shard's way into the ledger.
#[derive(Debug)]
pub struct Books {
    outbox: Outbox,
    clock: Clock,
    shard: u16,
    /// When the outbox wants to be looked after; never while nothing was put in.
    tick_at: Moment,
    trail: Trail,
}

/// What the ledger and operators will want to know about a session.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) accepted: Moment,
    pub(super) address: IpAddr,
    port: u16,
    /// How far the miner has come.
    pub(super) stage: Stage,
    /// Given at the first valid request.
    session: SessionKey,
    /// Where it mines, or did last.
    pub(super) pool: PoolKey,
    /// The first name that the pool accepted.
    worker: WorkerKey,
    /// Bytes from the miner, to the miner.
    pub(super) miner_bytes: [u64; 2],
    /// Bytes from the pool, to the pool.
    pub(super) pool_bytes: [u64; 2],
    shares: OutcomeCounts,
}

impl Record {
    /// Of a miner that just connected from `peer`.
    pub(super) fn new(peer: SocketAddr, now: Moment) -> Self {
        Self {
            accepted: now,
            address: peer.ip().to_canonical(),
            port: peer.port(),
            stage: Stage::default(),
            session: SessionKey::NONE,
            pool: PoolKey::NONE,
            worker: WorkerKey::UNKNOWN,
            miner_bytes: [0; 2],
            pool_bytes: [0; 2],
            shares: OutcomeCounts::default(),
        }
    }

    /// Where the miner is.
    pub(super) fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

impl Books {
    /// Enters what happens on shard number `shard` into `outbox`.
    pub fn new(outbox: Outbox, clock: Clock, shard: usize) -> Self {
        Self { outbox, clock, shard: shard as u16, tick_at: Moment::NEVER, trail: Trail::default() }
    }

    /// When [`Books::tick`] has something to do.
    pub(super) fn tick_at(&self) -> Moment {
        self.tick_at.min(self.trail.due())
    }

    /// Hands over what found no room before.
    pub(super) fn tick(&mut self, now: Moment) {
        for many in self.trail.take_due(now) {
            self.tell_many(&many, now);
        }
        self.outbox.tick();
        self.tick_at = if self.outbox.has_gap() { now.plus_ms(TICK_MS) } else { Moment::NEVER };
    }

    /// A session made its first valid request.
    pub(super) fn opened(&mut self, record: &mut Record, now: Moment) {
        record.session = self.outbox.names().next_session();
        let opened = self.opening(record);
        self.note(Note::SessionOpened(opened), now);
    }

    /// The pool accepted a name of the session.
    pub(super) fn authorised(&mut self, record: &mut Record, session: &Session, worker: u32, now: Moment) {
        let worker = WorkerKey(worker);
        if record.worker == WorkerKey::UNKNOWN {
            record.worker = worker;
        }
        let at_us = self.clock.wall_us(now);
        let user_agent = session.user_agent().into();
        self.note(Note::WorkerSeen { worker, at_us, address: record.address, user_agent }, now);
    }

    /// A share ended.
    #[inline]
    pub(super) fn share(
        &mut self,
        record: &mut Record,
        share: &ClosedShare,
        pool: PoolKey,
        reasons: &Reasons,
        now: Moment,
    ) {
        record.shares.add(share.outcome);
        let reason = self.outbox.reason(share.reason, reasons.text(share.reason));
        self.outbox.push(ShareRow {
            verdict_us: self.clock.wall_us(now),
            session: record.session,
            difficulty: share.difficulty,
            share_difficulty: share.share_difficulty,
            latency_us: u32::try_from(now.since_us(share.submitted)).unwrap_or(u32::MAX),
            worker: WorkerKey(share.worker),
            job: share.job.0,
            pool,
            reason,
            code: share.code,
            outcome: share.outcome,
            class: share.class,
            block_candidate: share.block_candidate,
        });
        self.tick_soon(now);
    }

    /// A miner was moved, or closed to come back elsewhere. `took_us` is the time since that was wanted.
    pub(super) fn moved(&mut self, deed: Deed, worker: u32, took_us: u64, now: Moment) {
        if self.trail.admit(deed, took_us, now) {
            let worker = self.outbox.names().worker_name(WorkerKey(worker)).unwrap_or_default();
            let (kind, _, what) = self.words(deed);
            self.event(kind, &worker, &format!("{what}, {}", took(took_us)), now);
        }
    }

    /// A pool wanted a client at this place.
    pub(super) fn redirected(&mut self, deed: Deed, place: &str, now: Moment) {
        if self.trail.admit(deed, 0, now) {
            let (kind, subject, what) = self.words(deed);
            self.event(kind, &subject, &format!("to {place}: {what}"), now);
        }
    }

    /// What is still to be told of moves, before the end.
    pub(super) fn tell_all(&mut self, now: Moment) {
        for many in self.trail.take_all() {
            self.tell_many(&many, now);
        }
    }

    fn tell_many(&mut self, many: &Many, now: Moment) {
        let (kind, subject, what) = self.words(many.deed);
        let slowest = match many.deed {
            Deed::Moved { .. } => format!(", the slowest {}", took(many.slowest_us)),
            Deed::Redirected { .. } | Deed::Others => String::new(),
        };
        self.event(kind, &subject, &format!("{what}: {} more{slowest}", many.count), now);
    }

    /// The kind of an event, what it is about where it is about many, and what happened.
    fn words(&self, deed: Deed) -> (&'static str, Arc<str>, String) {
        let pool = |key| self.outbox.names().pool_name(key).unwrap_or_default();
        match deed {
            Deed::Moved { from, to, reason, live } => {
                let how = if live { "live" } else { "closed to come back" };
                ("switch", pool(to), format!("{} -> {}, {reason}, {how}", pool(from), pool(to)))
            }
            Deed::Redirected { pool: key, outcome } => ("redirect", pool(key), outcome.to_owned()),
            Deed::Others => ("switch", Arc::default(), "other moves".to_owned()),
        }
    }

    fn event(&mut self, kind: &str, subject: &str, detail: &str, now: Moment) {
        let at_us = self.clock.wall_us(now);
        let [kind, actor, subject, detail] = [kind, ACTOR, subject, detail].map(Into::into);
        self.note(Note::Event { at_us, kind, actor, subject, detail }, now);
    }

    /// The session ended.
    pub(super) fn closed(&mut self, record: &Record, session: &Session, reason: CloseReason, now: Moment) {
        if record.session == SessionKey::NONE {
            return;
        }
        let closed = SessionClosed {
            opened: self.opening(record),
            closed_us: self.clock.wall_us(now),
            worker: record.worker,
            user_agent: session.user_agent().into(),
            reason: close_reason_label(reason),
            miner_bytes: record.miner_bytes,
            pool_bytes: record.pool_bytes,
            shares: record.shares,
        };
        self.note(Note::SessionClosed(Box::new(closed)), now);
    }

    fn opening(&self, record: &Record) -> SessionOpened {
        SessionOpened {
            session: record.session,
            opened_us: self.clock.wall_us(record.accepted),
            address: record.address,
            pool: record.pool,
            shard: self.shard,
        }
    }

    fn note(&mut self, note: Note, now: Moment) {
        // What finds no room is counted by the outbox.
        let _ = self.outbox.note(note);
        self.tick_soon(now);
    }

    fn tick_soon(&mut self, now: Moment) {
        if self.tick_at == Moment::NEVER {
            self.tick_at = now.plus_ms(TICK_MS);
        }
    }
}

/// A time as operators read it.
fn took(us: u64) -> String {
    if us < 10_000 { format!("{}.{} ms", us / 1_000, us % 1_000 / 100) } else { format!("{} ms", us / 1_000) }
}
