//! What goes into the ledger: share rows (hot: fixed size, no heap) and notes (cold: everything else).
//!
//! A row names its worker, pool, session and reason by keys that [`Names`](crate::names::Names) hands out for one run of
//! the process; the ledger turns them into the numbers of its tables.

use std::net::IpAddr;

use adit_protocol::event::Outcome;
use adit_protocol::verdict::RejectClass;

/// A worker name, for one run of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerKey(pub u32);

impl WorkerKey {
    /// No name matched, or the name came after the table of names was full.
    pub const UNKNOWN: Self = Self(0);
}

/// A configured pool, for one run of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolKey(pub u16);

impl PoolKey {
    /// No pool yet, or the pool came after the table of pools was full.
    pub const NONE: Self = Self(0);
}

/// A session, for one run of the process: counted up from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub u64);

impl SessionKey {
    /// No session.
    pub const NONE: Self = Self(0);
}

/// A reject reason, for one run of the process. Not the shard's own number for it:
/// [`Outbox::reason`](crate::outbox::Outbox::reason) turns that one into this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReasonKey(pub u16);

impl ReasonKey {
    /// Accepted, or no reason was given.
    pub const NONE: Self = Self(0);
    /// A reason that came after the table of reasons was full.
    pub const OTHER: Self = Self(1);
}

/// One share with its end: a closed ticket. Exactly one per `mining.submit` that became a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShareRow {
    /// When the verdict was known: microseconds since 1970, UTC. The shard's start plus monotonic time, so it never
    /// goes back within one run.
    pub verdict_us: u64,
    /// The session it came through.
    pub session: SessionKey,
    /// Difficulty assigned to the miner for this job.
    pub difficulty: f64,
    /// Difficulty that the share reached; NaN when it was not checked here.
    pub share_difficulty: f64,
    /// From the submit's arrival to the verdict; saturated (71 minutes).
    pub latency_us: u32,
    /// The worker named in the submit.
    pub worker: WorkerKey,
    /// A number for the job, the same for the same job of one session.
    pub job: u32,
    /// The pool it went to, or would have gone to.
    pub pool: PoolKey,
    /// Why it was refused or rejected.
    pub reason: ReasonKey,
    /// The pool's or our error code; 0 when there is none.
    pub code: i16,
    /// How it ended.
    pub outcome: Outcome,
    /// What a refusal or rejection comes down to; `None` otherwise.
    pub class: Option<RejectClass>,
    /// Whether it is good enough for a block, as far as it was checked here.
    pub block_candidate: bool,
}

const _: () = assert!(size_of::<ShareRow>() == 56, "with the queue's stamp a row is one cache line");

/// A record that is not a share. Rare: connections, authorisations, operators' commands.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// A name was authorised.
    WorkerSeen {
        /// Whose.
        worker: WorkerKey,
        /// When, microseconds since 1970.
        at_us: u64,
        /// The miner's address.
        address: IpAddr,
        /// What the miner calls itself in subscribe; empty if it does not say.
        user_agent: Box<str>,
    },
    /// A pool was configured, or its address changed.
    PoolSeen {
        /// Which.
        pool: PoolKey,
        /// When, microseconds since 1970.
        at_us: u64,
        /// Its address as configured, without secrets.
        url: Box<str>,
    },
    /// A session began.
    SessionOpened(SessionOpened),
    /// A session ended. Complete in itself: it also stands when the opening was lost.
    SessionClosed(Box<SessionClosed>),
    /// Somebody or something changed the state of the proxy: the audit trail.
    Event {
        /// When, microseconds since 1970.
        at_us: u64,
        /// What kind: a short fixed word, such as `reload` or `clock_step`.
        kind: Box<str>,
        /// Who: an operator's token name and address, or `adit`.
        actor: Box<str>,
        /// What it is about: a pool, a worker; may be empty.
        subject: Box<str>,
        /// Why, or what exactly; may be empty.
        detail: Box<str>,
    },
}

/// The beginning of a session.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SessionOpened {
    /// Its key.
    pub session: SessionKey,
    /// When the miner's connection was accepted, microseconds since 1970.
    pub opened_us: u64,
    /// The miner's address.
    pub address: IpAddr,
    /// The pool it was paired with; [`PoolKey::NONE`] if not yet.
    pub pool: PoolKey,
    /// The shard that has it.
    pub shard: u16,
}

/// The end of a session, and what went through it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionClosed {
    /// Its beginning; `pool` is the last pool it had.
    pub opened: SessionOpened,
    /// When it ended, microseconds since 1970.
    pub closed_us: u64,
    /// The first name authorised on it; [`WorkerKey::UNKNOWN`] if none.
    pub worker: WorkerKey,
    /// What the miner called itself; empty if it did not say.
    pub user_agent: Box<str>,
    /// Why it ended: the label of the counter of that reason.
    pub reason: &'static str,
    /// Bytes from the miner, to the miner.
    pub miner_bytes: [u64; 2],
    /// Bytes from the pool, to the pool.
    pub pool_bytes: [u64; 2],
    /// Shares by outcome.
    pub shares: OutcomeCounts,
}

/// Shares by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeCounts {
    /// The pool accepted them.
    pub accepted: u64,
    /// The pool rejected them.
    pub rejected: u64,
    /// Answered here, never sent to a pool.
    pub refused_here: u64,
    /// Sent, and no verdict in time.
    pub unanswered: u64,
}

impl OutcomeCounts {
    /// Counts one share.
    #[inline]
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Accepted => &mut self.accepted,
            Outcome::Rejected => &mut self.rejected,
            Outcome::RefusedHere => &mut self.refused_here,
            Outcome::Unanswered => &mut self.unanswered,
        } += 1;
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.accepted + self.rejected + self.refused_here + self.unanswered
    }
}
