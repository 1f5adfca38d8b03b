//! A session: the protocol state of one miner and its pool. Bytes and a moment go in, bytes and events come out.
//!
//! Calling order: [`Session::new`] at accept; [`Session::receive`] for bytes of either side; on [`Event::Dial`] the owner
//! connects and later calls [`Session::connected`], or [`Session::gone`] with the reason; [`Session::timeout`] when
//! [`Session::deadline`] has come; [`Session::stop`] to settle and end. After [`Event::Finish`] the owner flushes and closes;
//! further calls are harmless and do nothing.
//!
//! A submit's way through the code: [`from_miner`] takes the line and opens its ticket in [`pending`](crate::pending),
//! [`from_pool`] closes it with the pool's verdict, [`ending`] closes it when a deadline or a lost connection does.

mod ending;
mod from_miner;
mod from_pool;
mod shares;

use crate::downstream::Downstream;
use crate::event::{CloseReason, Event, Gone, Oddity, Side};
use crate::framer::{BufferPool, Framer, LineTooLong, Received};
use crate::hold::Hold;
use crate::job::JobStore;
use crate::message::Line;
use crate::moment::Moment;
use crate::parse::Parser;
use crate::reasons::Reasons;
use crate::upstream::{Link, Upstream};
use crate::workers::Workers;

/// The deadlines of all sessions, and what they change on the way.
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
    /// Longest silence of a connected pool.
    pub pool_silence_ms: u64,
    /// By when configure, subscribe and authorize are answered here if the pool does not answer.
    pub handshake_reply_ms: u64,
    /// The same for `mining.extranonce.subscribe`, which many pools ignore and bmminer waits 2 s for.
    pub extranonce_reply_ms: u64,
    /// The same for a submit.
    pub submit_reply_ms: u64,
    /// How long open requests may settle after the miner closed its half.
    pub settle_ms: u64,
    /// Whether shares are hashed here too, which tells their own difficulty and finds blocks. A note, never a verdict.
    pub share_check: bool,
    /// The password sent upstream instead of the miner's, as it stands between the quotes of a JSON string.
    pub password: Option<Box<str>>,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            first_request_ms: 15_000,
            subscribe_ms: 20_000,
            authorize_ms: 60_000,
            miner_idle_ms: 3_600_000,
            pool_silence_ms: 120_000,
            handshake_reply_ms: 10_000,
            extranonce_reply_ms: 2_000,
            submit_reply_ms: 15_000,
            settle_ms: 5_000,
            share_check: false,
            password: None,
        }
    }
}

/// What a session borrows from its shard for one call.
pub struct Context<'a> {
    /// The present.
    pub now: Moment,
    /// Bytes for the miner are appended here.
    pub to_miner: &'a mut Vec<u8>,
    /// Bytes for the pool are appended here; the owner keeps them until the connection stands.
    pub to_pool: &'a mut Vec<u8>,
    /// What all sessions of a shard share.
    pub shared: &'a mut Shared,
}

impl Context<'_> {
    fn tell(&mut self, event: Event) {
        self.shared.events.push(event);
    }

    fn odd(&mut self, oddity: Oddity) {
        self.tell(Event::Odd(oddity));
    }
}

/// What all sessions of a shard share: parser, reassembly buffers, reasons, settings; and the events of the running call.
pub struct Shared {
    /// Filled by each call, drained by the owner.
    pub events: Vec<Event>,
    /// Deadlines and changes.
    pub settings: SessionSettings,
    /// Names across sessions.
    pub workers: Box<dyn Workers>,
    /// Texts behind [`ClosedShare::reason`](crate::event::ClosedShare::reason).
    pub reasons: Reasons,
    jobs: JobStore,
    parser: Parser,
    buffers: BufferPool,
}

impl Shared {
    /// What the sessions of one shard share.
    pub fn new(settings: SessionSettings, workers: Box<dyn Workers>) -> Self {
        Self {
            events: Vec::new(),
            settings,
            workers,
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

/// The last phase of a session: no side is broken beyond use, but one will send nothing more.
#[derive(Clone, Copy, Debug)]
struct Settling {
    /// Why it ends.
    reason: CloseReason,
    /// When it ends at the latest.
    until: Moment,
}

/// Protocol state of one miner and its pool. A plain value: no descriptor, no pointer into its shard.
///
/// Invariant: every request of the miner that is owed an answer is a ticket in `upstream.pending` or an answer in `hold`,
/// until its one answer was appended to `to_miner`; every share told to the pool ends in exactly one [`Event::Share`].
#[derive(Debug)]
pub struct Session {
    downstream: Downstream,
    upstream: Upstream,
    hold: Hold,
    /// Set when it only waits for open requests to settle.
    settling: Option<Settling>,
    finished: bool,
}

impl Session {
    /// A session for a miner that just connected.
    pub fn new(now: Moment) -> Self {
        Self {
            downstream: Downstream::new(now),
            upstream: Upstream::default(),
            hold: Hold::default(),
            settling: None,
            finished: false,
        }
    }

    /// Takes `bytes[..len]` as received from `side`; at least `LINE_PADDING` further writable bytes follow in `bytes`.
    #[inline]
    pub fn receive(&mut self, side: Side, bytes: &mut [u8], len: usize, cx: &mut Context<'_>) {
        if self.finished {
            return;
        }
        match side {
            Side::Miner => self.receive_from_miner(bytes, len, cx),
            Side::Pool => self.receive_from_pool(bytes, len, cx),
        }
        self.end_if_settled(cx);
    }

    /// Hands each whole line of one side's bytes to `take`, until the session ends.
    #[inline]
    fn each_line<const LINE_BYTES_MAX: usize>(
        &mut self,
        framer_of: fn(&mut Self) -> &mut Framer<LINE_BYTES_MAX>,
        take: fn(&mut Self, Line<'_>, &mut Context<'_>),
        bytes: &mut [u8],
        len: usize,
        cx: &mut Context<'_>,
    ) -> Result<(), LineTooLong> {
        let Some(mut received) = Received::new(bytes, len) else { return Ok(()) };
        // A line may lie in the framer's own buffer, and the session is wanted whole while it is out.
        let mut framer = std::mem::take(framer_of(self));
        let outcome = loop {
            match framer.next_line(&mut received, &mut cx.shared.buffers) {
                Ok(Some(line)) => take(self, line, cx),
                Ok(None) => break Ok(()),
                Err(too_long) => break Err(too_long),
            }
            if self.finished {
                framer.release(&mut cx.shared.buffers);
                break Ok(());
            }
        };
        *framer_of(self) = framer;
        outcome
    }

    /// The connection to the pool stands. Without an [`Event::Dial`] before it, nothing happens.
    pub fn connected(&mut self, cx: &mut Context<'_>) {
        if self.upstream.link == Link::Dialling {
            self.upstream.link = Link::Up;
            self.upstream.heard = cx.now;
        }
    }

    /// Nothing more will come from `side`.
    pub fn gone(&mut self, side: Side, why: Gone, cx: &mut Context<'_>) {
        if self.finished {
            return;
        }
        match side {
            Side::Miner => self.miner_gone(why, cx),
            Side::Pool => self.pool_gone(why, cx),
        }
    }

    /// The next moment at which [`Session::timeout`] wants to be called, [`Moment::NEVER`] if none.
    #[inline]
    pub fn deadline(&self, settings: &SessionSettings) -> Moment {
        if self.finished {
            return Moment::NEVER;
        }
        let miner = match self.settling {
            Some(settling) => settling.until,
            None => self.downstream.deadline(settings),
        };
        miner.min(self.upstream.pending.next_deadline()).min(self.upstream.silence_deadline(settings))
    }

    /// Handles all deadlines that have come.
    pub fn timeout(&mut self, cx: &mut Context<'_>) {
        if self.finished {
            return;
        }
        self.expire(cx);
        self.end_if_settled(cx);
    }

    /// Adit stops: open requests settle up to `until`, then [`Event::Finish`].
    pub fn stop(&mut self, until: Moment, cx: &mut Context<'_>) {
        self.settle(CloseReason::Stopping, until, cx);
    }

    /// Whether [`Event::Finish`] was told.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// What the miner calls itself; empty until it subscribed.
    pub fn user_agent(&self) -> &str {
        &self.downstream.user_agent
    }

    /// Whether the miner understands `mining.set_extranonce`.
    pub fn takes_extranonce(&self) -> bool {
        self.downstream.takes_extranonce
    }
}
