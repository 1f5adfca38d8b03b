//! What a shard enters into the ledger, if one is kept: a row per share, a note per session and name.
//!
//! A session is in the ledger from its first valid request on: strangers who only knock leave no trace but in counters.

use std::net::{IpAddr, SocketAddr};

use adit_protocol::event::{CloseReason, ClosedShare};
use adit_protocol::moment::Moment;
use adit_protocol::reasons::Reasons;
use adit_protocol::session::Session;
use adit_store::outbox::Outbox;
use adit_store::record::{
    Note, OutcomeCounts, PoolKey, SessionClosed, SessionKey, SessionOpened, ShareRow, WorkerKey,
};

use crate::clock::Clock;
use crate::counters::close_reason_label;
use crate::vitals::Stage;

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
        Self { outbox, clock, shard: shard as u16, tick_at: Moment::NEVER }
    }

    /// When [`Books::tick`] has something to do.
    pub(super) fn tick_at(&self) -> Moment {
        self.tick_at
    }

    /// Hands over what found no room before.
    pub(super) fn tick(&mut self, now: Moment) {
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
