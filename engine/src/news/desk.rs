//! A shard's end: judges what is worth telling, and how often.
//!
//! On a share's way this is a comparison or two; some twenty times a second it is a copy of some 200 bytes besides.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_admin::Events;
use adit_admin::events::ShareSampler;
use adit_protocol::event::{CloseReason, ClosedShare, Oddity};
use adit_protocol::moment::Moment;
use adit_store::record::PoolKey;

use super::bursts::{Burst, Watch};
use super::{Item, Line, ShareItem, Words};
use crate::clock::Clock;

/// The same bound, and the job of the same pool, are told of no more often.
const PAUSE_US: u64 = 1_000_000;

/// Bounds that are told of. Each has its own pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// Miners connected.
    Connections,
    /// Miners connected from one address.
    ConnectionsPerAddress,
    /// Descriptors or memory, found short by an accept.
    Accepts,
    /// Requests that wait for the pool on one connection.
    PendingRequests,
    /// Names on one connection.
    NamesPerConnection,
    /// Bytes that wait for a peer that does not read.
    OutputBytes,
}

impl Limit {
    const COUNT: usize = 6;

    /// Its text, as in the counters.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::Accepts => "accepts",
            Self::PendingRequests => "pending_requests",
            Self::NamesPerConnection => "names_per_connection",
            Self::OutputBytes => "output_bytes",
        }
    }
}

/// What a shard tells through.
#[derive(Debug)]
pub(crate) struct Desk {
    line: Arc<Line>,
    events: Events,
    clock: Clock,
    sampler: ShareSampler,
    /// All shares of the shard at a pool; by the pool's number, grown when a pool is first seen.
    pools: Vec<PoolWatch>,
    limits: [Option<Moment>; Limit::COUNT],
}

#[derive(Clone, Copy, Debug, Default)]
struct PoolWatch {
    shares: Watch,
    job_told: Option<Moment>,
}

impl Desk {
    pub(crate) fn new(line: Arc<Line>, events: Events, clock: Clock) -> Self {
        let limits = [None; Limit::COUNT];
        Self { line, events, clock, sampler: ShareSampler::default(), pools: Vec::new(), limits }
    }

    /// A miner was let in.
    pub(crate) fn opened(&self, peer: SocketAddr, now: Moment) {
        self.tell(now, || Item::Opened { peer });
    }

    /// A session that began at `began` ended.
    pub(crate) fn closed(
        &self,
        peer: SocketAddr,
        worker: u32,
        reason: CloseReason,
        began: Moment,
        now: Moment,
    ) {
        self.tell(now, || Item::Closed { peer, worker, reason, lasted_us: now.since_us(began) });
    }

    /// A pool accepted a name.
    pub(crate) fn authorised(
        &mut self,
        peer: SocketAddr,
        worker: u32,
        pool: PoolKey,
        user_agent: &str,
        now: Moment,
    ) {
        self.pool(pool);
        self.tell(now, || Item::Authorised { peer, worker, pool, user_agent: user_agent.into() });
    }

    /// A share ended; `worker_burst` is what its worker's own watch said. `words` are the pool's or ours.
    #[inline]
    pub(crate) fn share(
        &mut self,
        share: &ClosedShare,
        pool: PoolKey,
        words: &str,
        worker_burst: Option<Burst>,
        now: Moment,
    ) {
        if !self.events.are_taken() {
            return;
        }
        let watch = self.pools.get_mut(usize::from(pool.0));
        let pool_burst = watch.and_then(|watch| watch.shares.share(share.outcome, share.class, now));
        if let Some(burst) = worker_burst {
            self.tell(now, || Item::Burst { worker: Some(share.worker), pool, burst });
        }
        if let Some(burst) = pool_burst {
            self.tell(now, || Item::Burst { worker: None, pool, burst });
        }
        if share.block_candidate {
            let (worker, share_difficulty) = (share.worker, share.share_difficulty);
            self.tell(now, || Item::BlockCandidate { worker, pool, share_difficulty });
        }
        let Some(skipped) = self.sampler.admit(now.0 / 1_000) else { return };
        self.tell(now, || {
            Item::Share(ShareItem {
                worker: share.worker,
                pool,
                outcome: share.outcome,
                class: share.class,
                words: Words::new(words),
                difficulty: share.difficulty,
                share_difficulty: share.share_difficulty,
                latency_us: now.since_us(share.submitted),
                skipped,
            })
        });
    }

    /// A job came from a pool, for one of its miners.
    pub(crate) fn job(&mut self, pool: PoolKey, clean: bool, block_height: Option<u32>, now: Moment) {
        if is_due(&mut self.pool(pool).job_told, now) {
            self.tell(now, || Item::Job { pool, clean, block_height });
        }
    }

    /// A bound was reached.
    pub(crate) fn limit(&mut self, limit: Limit, peer: Option<SocketAddr>, now: Moment) {
        if self.limits.get_mut(limit as usize).is_some_and(|told| is_due(told, now)) {
            self.tell(now, || Item::Limit { limit: limit.label(), peer });
        }
    }

    /// The same, where what was odd was a bound.
    pub(crate) fn odd(&mut self, oddity: Oddity, now: Moment) {
        match oddity {
            Oddity::PendingFull => self.limit(Limit::PendingRequests, None, now),
            Oddity::RefusedNames => self.limit(Limit::NamesPerConnection, None, now),
            _ => {}
        }
    }

    /// A miner was moved from one pool to another. `reason` is that of the counters; `took_us` is the time from the
    /// decision to the first job at the miner; `live` says whether the miner kept its connection.
    pub(crate) fn switched(
        &self,
        worker: u32,
        (from, to): (PoolKey, PoolKey),
        reason: &'static str,
        live: bool,
        took_us: u64,
        now: Moment,
    ) {
        self.tell(now, || Item::Switched { worker, from, to, reason, live, took_us });
    }

    /// The figures of a pool, made if there are none: not on a share's way.
    fn pool(&mut self, pool: PoolKey) -> &mut PoolWatch {
        let index = usize::from(pool.0);
        if self.pools.len() <= index {
            self.pools.resize(index + 1, PoolWatch::default());
        }
        &mut self.pools[index]
    }

    #[inline]
    fn tell(&self, now: Moment, item: impl FnOnce() -> Item) {
        if self.events.are_taken() {
            self.line.put(self.clock.wall_us(now), item());
        }
    }
}

/// Whether the pause since it was last told is over; if so, it counts as told.
fn is_due(told: &mut Option<Moment>, now: Moment) -> bool {
    let is_due = told.is_none_or(|told| now.since_us(told) >= PAUSE_US);
    if is_due {
        *told = Some(now);
    }
    is_due
}
