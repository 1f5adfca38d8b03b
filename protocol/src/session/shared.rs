//! What a session borrows for each call: the present, buffers to write to, and what all sessions of a shard share.

use crate::event::{Event, Oddity, Wire};
use crate::framer::BufferPool;
use crate::job::JobStore;
use crate::moment::Moment;
use crate::parse::Parser;
use crate::pool::{Router, TermsTable};
use crate::reasons::Reasons;
use crate::session_ids::{OnePool, SessionIds};
use crate::workers::Workers;

/// What counts for all sessions whatever their pool.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// From accept to the first valid request.
    pub first_request_ms: u64,
    /// From accept to the miner's subscribe.
    pub subscribe_ms: u64,
    /// From accept to the pool's first acceptance of a name.
    pub authorize_ms: u64,
    /// Longest silence of an authorised miner. Small miners at a high difficulty are silent for long.
    pub miner_idle_ms: u64,
    /// By when `mining.extranonce.subscribe` is answered here, which many pools ignore and bmminer waits 2 s for. The
    /// pool's own deadline counts if it is earlier.
    pub extranonce_reply_ms: u64,
    /// How long the connection to a pool that a miner was moved away from stays for its last verdicts.
    pub linger_ms: u64,
    /// How long open requests may settle after the miner closed its half.
    pub settle_ms: u64,
    /// Whether shares are hashed here too, which tells their own difficulty and finds blocks. A note, never a verdict.
    pub share_check: bool,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            first_request_ms: 15_000,
            subscribe_ms: 20_000,
            authorize_ms: 60_000,
            miner_idle_ms: 3_600_000,
            extranonce_reply_ms: 2_000,
            linger_ms: 30_000,
            settle_ms: 5_000,
            share_check: false,
        }
    }
}

/// What a session borrows from its shard for one call.
pub struct Context<'a> {
    /// The present.
    pub now: Moment,
    /// Bytes for the miner are appended here.
    pub to_miner: &'a mut Vec<u8>,
    /// Bytes for the pool on each wire are appended here; the owner keeps them until the connection stands.
    pub to_wires: [&'a mut Vec<u8>; 2],
    /// What all sessions of a shard share.
    pub shared: &'a mut Shared,
}

impl Context<'_> {
    /// Where bytes for the pool on this wire are appended.
    #[inline]
    pub(super) fn toward(&mut self, wire: Wire) -> &mut Vec<u8> {
        let [a, b] = &mut self.to_wires;
        match wire {
            Wire::A => a,
            Wire::B => b,
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.shared.events.push(event);
    }

    pub(super) fn odd(&mut self, oddity: Oddity) {
        self.tell(Event::Odd(oddity));
    }
}

/// What all sessions of a shard share: parser, reassembly buffers, reasons, settings, doors; and the events of the running call.
pub struct Shared {
    /// Filled by each call, drained by the owner.
    pub events: Vec<Event>,
    /// What counts whatever the pool.
    pub settings: SessionSettings,
    /// What counts per pool.
    pub terms: TermsTable,
    /// Names across sessions.
    pub workers: Box<dyn Workers>,
    /// The choice of pools.
    pub router: Box<dyn Router>,
    /// Which pool issued which session id; [`OnePool`] until another one is set.
    pub session_ids: Box<dyn SessionIds>,
    /// Texts behind [`ClosedShare::reason`](crate::event::ClosedShare::reason).
    pub reasons: Reasons,
    pub(super) jobs: JobStore,
    pub(super) parser: Parser,
    pub(super) buffers: BufferPool,
}

impl Shared {
    /// What the sessions of one shard share. Every pool has the default terms until others are set.
    pub fn new(settings: SessionSettings, workers: Box<dyn Workers>, router: Box<dyn Router>) -> Self {
        Self {
            events: Vec::new(),
            settings,
            terms: TermsTable::default(),
            workers,
            router,
            session_ids: Box::new(OnePool),
            reasons: Reasons::default(),
            jobs: JobStore::default(),
            parser: Parser::new(),
            buffers: BufferPool::default(),
        }
    }

    /// Bytes that the contents of jobs take, each once however many sessions have it.
    pub fn job_bytes_count(&self) -> usize {
        self.jobs.bytes_count()
    }
}
