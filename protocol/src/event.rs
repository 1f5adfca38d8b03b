//! What a session tells its owner beside bytes: to dial, to finish, and what to count. Fixed-size values, no heap.

use crate::job::{ChainFacts, JobKey};
use crate::moment::Moment;
use crate::pool::PoolId;
use crate::verdict::RejectClass;

/// One of the two places that a session has for connections to pools. The name stays with a connection as long as it
/// lives, whatever part it plays: the current one, one being prepared, one that lingers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// The first place.
    A,
    /// The second place.
    B,
}

impl Wire {
    /// Both places.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// The place's number.
    #[inline]
    pub fn index(self) -> usize {
        self as usize
    }

    /// The other place.
    #[inline]
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// One of the peers of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Downstream: the hashing device.
    Miner,
    /// Upstream: the pool on this wire.
    Pool(Wire),
}

impl Side {
    /// Every side there is.
    pub const ALL: [Self; 3] = [Self::Miner, Self::Pool(Wire::A), Self::Pool(Wire::B)];
}

/// Why a connection will deliver nothing more, as its owner saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gone {
    /// The peer closed its sending half in order.
    Closed,
    /// The connection was reset or failed.
    Broken,
    /// The pool could not be reached: refused, unreachable, no address.
    DialFailed,
    /// The pool did not accept the connection within the connect deadline.
    DialTimeout,
    /// The peer did not read: what waits for it reached its bound.
    NotReading,
    /// A bug in Adit was contained to this session.
    Panicked,
}

/// What a wire is prepared for. Told back with what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MoveReason {
    /// The miner's pool is dead, or no pool was there.
    PoolLost,
    /// A better pool is good again.
    FailBack,
    /// The miner's name belongs to another pool.
    Placement,
    /// The pool is drained, disabled, or not configured any more.
    Leaving,
    /// The pool asked to be connected to elsewhere.
    Reconnect,
    /// An operator said so.
    Operator,
    /// A failover drill.
    Drill,
    /// No miner yet: the connection is to be kept for one. A session without a miner prepares it, and is not switched.
    Stock,
    /// A connection that was kept, for the miner or for any.
    Kept,
}

/// Why a login that Adit made did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LoginFailure {
    /// The connection was lost, or never stood.
    Lost(CloseReason),
    /// No answer within the handshake's deadline.
    Unanswered,
    /// All was answered, and no job came.
    NoJob,
    /// Subscribe was refused, or its answer cannot be read.
    SubscribeRefused,
    /// No name that another pool accepted is accepted there.
    NamesRefused,
    /// Too many requests of the session are open to make one more.
    NoRoom,
    /// The miner turned out to be one for another pool.
    Misplaced,
}

/// Why a session ended. Each has a counter of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The miner closed its connection.
    MinerClosed,
    /// The miner's connection broke.
    MinerBroken,
    /// The miner did not read what it was sent.
    MinerNotReading,
    /// No valid request within the deadline.
    FirstRequestTimeout,
    /// No subscribe within the deadline.
    SubscribeTimeout,
    /// No authorised name within the deadline.
    AuthorizeTimeout,
    /// Nothing from the miner for the idle limit.
    MinerIdle,
    /// A miner's line was longer than the limit.
    MinerLineTooLong,
    /// A miner's line was not a JSON object, or ambiguous.
    MinerBadLine,
    /// The first byte was that of a TLS ClientHello.
    TlsOnPlainPort,
    /// The first bytes were an HTTP request.
    HttpOnPlainPort,
    /// The first byte was neither `{` nor white space.
    NotStratum,
    /// Another coin's protocol.
    ForeignCoin,
    /// The pool closed its connection.
    PoolClosed,
    /// The pool's connection broke.
    PoolBroken,
    /// The pool did not read what it was sent.
    PoolNotReading,
    /// The pool could not be reached.
    PoolUnreachable,
    /// The pool did not accept the connection in time.
    PoolConnectTimeout,
    /// The pool sent nothing for the silence limit.
    PoolSilent,
    /// A pool's line was longer than the limit.
    PoolLineTooLong,
    /// The pool sent too many lines that are not Stratum.
    PoolGarbage,
    /// The miner was subscribed and had a name, and the pool gave it no job in time.
    PoolGaveNoJob,
    /// More lines were held back during the handshake than the limit allows.
    HeldTooMuch,
    /// No pool was there for the miner.
    NoPool,
    /// Adit is stopping.
    Stopping,
    /// A bug in Adit, contained to this session.
    Panicked,
    /// An operator wanted it.
    Dismissed,
    /// The miner's pool changed, and it can follow only on a new connection.
    Moved,
    /// The miner's name belongs to another pool, and it can get there only on a new connection.
    Misplaced,
}

/// How a share ended. Exactly one per share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The pool accepted it.
    Accepted,
    /// The pool rejected it.
    Rejected,
    /// It was answered here and never went to a pool.
    RefusedHere,
    /// It went to a pool and no verdict came before our deadline or before the connection ended.
    Unanswered,
}

/// Number of an interned reject reason in the shard's reason table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReasonKey(pub u16);

/// A closed ticket: the end of one `mining.submit`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClosedShare {
    /// The pool that judged or should have judged it; the miner's pool of that time if it was refused here.
    pub pool: PoolId,
    /// The engine's key of the worker; [`NO_WORKER`](crate::workers::NO_WORKER) if no pool accepted the name (yet).
    pub worker: u32,
    /// The job it was for, as the miner named it.
    pub job: JobKey,
    /// Difficulty assigned when the job was sent; the current one if the job is unknown; 0 before any was told.
    pub difficulty: f64,
    /// Difficulty that the share reached, NaN when it was not checked here.
    pub share_difficulty: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// What a refusal or rejection comes down to; `None` when it was neither.
    pub class: Option<RejectClass>,
    /// The pool's or our error code; 0 when accepted or when the pool named none.
    pub code: i16,
    /// Interned reason; 0 is "none".
    pub reason: ReasonKey,
    /// Whether the share is good enough for a block, as far as it was checked here.
    pub block_candidate: bool,
    /// When the line came from the miner.
    pub submitted: Moment,
}

/// Lines that are counted by what was odd about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Oddity {
    /// A response of the pool to nothing that waits for one.
    StrayResponse,
    /// A verdict that came after our deadline: the pool accepted.
    LateAccept,
    /// A verdict that came after our deadline: the pool rejected.
    LateReject,
    /// A late answer to something else than a submit.
    LateAnswer,
    /// A pool's line that is no Stratum message: no JSON, ambiguous, or an object that is nothing. Held back.
    PoolText,
    /// `client.reconnect` to another domain or to nowhere; neither followed nor passed down.
    ReconnectHeldBack,
    /// A request answered here because it is pool-internal.
    RefusedInternal,
    /// Our answer after the pool stayed silent.
    AnsweredForPool,
    /// A request refused because too many wait for the pool.
    PendingFull,
    /// A malformed submit or authorize, refused here.
    RefusedMalformed,
    /// An authorize beyond the limit of names, refused here.
    RefusedNames,
    /// A job whose contents could not be read; forwarded all the same.
    UnreadableJob,
    /// An authorize of a name that belongs to another pool, refused here.
    RefusedMisplaced,
    /// A pool's message that is not what its method says: params of another kind, a difficulty that is none. Held back.
    PoolMalformed,
}

/// What happened. Drained by the owner after each call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// The first valid request came: connect this wire to this pool. At most once per session, and not after
    /// [`Event::Arrived`].
    Dial {
        /// A place that is free.
        wire: Wire,
        /// The pool that the router chose.
        pool: PoolId,
    },
    /// The first valid request came, and something is kept for the miner ([`Router::keeps`](crate::pool::Router::keeps)), so
    /// nothing is dialled and its requests wait: give it that ([`Session::adopt`](crate::session::Session::adopt)), or
    /// prepare a pool. In the place of [`Event::Dial`].
    Arrived {
        /// The pool that the router chose.
        pool: PoolId,
    },
    /// The miner authorised a name that belongs to another pool. The authorize waits: prepare that pool.
    Misplaced {
        /// The name's pool.
        pool: PoolId,
        /// Where its pool was, if it was let go for that: close the connection. The session goes on without one.
        left: Option<Wire>,
    },
    /// The miner asks to subscribe, and its pool was asked: the last moment at which a connection that was kept
    /// ([`Session::adopt`](crate::session::Session::adopt)) spares it a switch that it hears of. Where something is known
    /// to be kept, [`Event::Arrived`] came before.
    Subscribing,
    /// The current connection is of no use any more: close it. The session goes on without a pool: its owner
    /// prepares another one, lets it wait, or ends it.
    PoolLost {
        /// Where it was. The place is free.
        wire: Wire,
        /// Which pool's it was.
        pool: PoolId,
        /// Why.
        why: CloseReason,
    },
    /// A prepared wire has all of a login. Where the miner can be switched live it is so at once, and
    /// [`Event::Switched`] follows; else the wire stays as it is until something changes.
    Prepared {
        /// Where.
        wire: Wire,
        /// Whose.
        pool: PoolId,
        /// Whether the miner can be switched live.
        can_switch: bool,
        /// Whether a job came. Where no name was accepted yet, a login is complete without.
        has_job: bool,
    },
    /// A login failed. The place is free: close the connection.
    LoginFailed {
        /// Where it was.
        wire: Wire,
        /// Whose.
        pool: PoolId,
        /// What it was for.
        reason: MoveReason,
        /// Why it failed.
        why: LoginFailure,
    },
    /// The miner mines on another wire now.
    Switched {
        /// The pool before.
        from: PoolId,
        /// The pool now.
        to: PoolId,
        /// Where.
        wire: Wire,
        /// What for.
        reason: MoveReason,
        /// When the new wire was wanted.
        began: Moment,
    },
    /// A connection that was not the current one is of no use any more. The place is free: close the connection.
    WireDone {
        /// Where it was.
        wire: Wire,
    },
    /// A pool wants to be connected to elsewhere, within its domain:
    /// [`take_reconnect`](crate::session::Session::take_reconnect) says where.
    Reconnect {
        /// On which wire it said so.
        wire: Wire,
        /// Which pool.
        pool: PoolId,
    },
    /// A pool wants to be connected to in another domain, which is not followed:
    /// [`take_refused_reconnect`](crate::session::Session::take_refused_reconnect) says where.
    ReconnectRefused {
        /// Which pool.
        pool: PoolId,
    },
    /// The session is over: send what is in the buffers, then close all connections. Exactly once per session.
    Finish(CloseReason),
    /// A share ended.
    Share(ClosedShare),
    /// A submit was answered here because the pool stayed silent up to its deadline.
    UnansweredSubmit {
        /// The silent one.
        pool: PoolId,
    },
    /// The pool answered subscribe.
    Subscribed {
        /// Which.
        pool: PoolId,
    },
    /// The pool accepted a name; the engine's key of the worker.
    Authorised(u32),
    /// The pool refused a name.
    AuthorizeRefused {
        /// Which.
        pool: PoolId,
        /// Whether the name was accepted before in this session.
        worked: bool,
    },
    /// A job passed through.
    Job {
        /// Whose.
        pool: PoolId,
        /// `clean_jobs`
        clean: bool,
        /// Whether it is the first one of its connection.
        first: bool,
        /// What it tells of the chain.
        chain: ChainFacts,
    },
    /// Something odd, to be counted.
    Odd(Oddity),
}
