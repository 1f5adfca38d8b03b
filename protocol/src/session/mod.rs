//! A session: the protocol state of one miner and its pools. Bytes and a moment go in, bytes and events come out.
//!
//! Calling order: [`Session::new`] at accept; [`Session::receive`] for bytes of any side; on [`Event::Dial`] the owner
//! connects that wire and later calls [`Session::connected`], or [`Session::gone`] with the reason (on [`Event::Arrived`] it
//! has a connection at hand instead, and calls [`Session::adopt`]); [`Session::timeout`]
//! when [`Session::deadline`] has come; [`Session::end`] to settle and end. After [`Event::PoolLost`] it is the owner who
//! decides what becomes of the session. After [`Event::Finish`] the owner flushes and closes; further calls are harmless
//! and do nothing.
//!
//! A submit's way through the code: [`from_miner`] takes the line and opens its ticket in [`pending`](crate::pending),
//! [`from_pool`] closes it with the pool's verdict, [`ending`] closes it when a deadline or a lost connection does.

mod arrival;
mod detached;
mod ending;
mod from_miner;
mod from_pool;
mod jobs;
mod login;
mod placing;
mod shared;
mod shares;
mod sieve;
mod switch;
mod wires;

pub use detached::Prepared;
pub use shared::{Context, SessionSettings, Shared};

use crate::downstream::Downstream;
use crate::event::{CloseReason, Gone, Side, Wire};
use crate::framer::{Framer, LineTooLong, Received};
use crate::hold::Hold;
use crate::job::{Aliases, JobTable};
use crate::message::Line;
use crate::moment::Moment;
use crate::pending::Pending;
use crate::pool::{Asks, Origin, PoolId};
use crate::reconnect::Reconnect;
use crate::upstream::{Link, Upstream};
use jobs::JobIds;

/// The last phase of a session: no side is broken beyond use, but one will send nothing more.
#[derive(Clone, Copy, Debug)]
struct Settling {
    /// Why it ends.
    reason: CloseReason,
    /// When it ends at the latest.
    until: Moment,
}

/// Protocol state of one miner and its pools. A plain value: no descriptor, no pointer into its shard.
///
/// Invariant: every request of the miner that is owed an answer is a ticket in `pending` or an answer in `hold`, until its
/// one answer was appended to `to_miner`; every share told to a pool ends in exactly one [`Event::Share`]. The wire in
/// `current` is not idle.
///
/// [`Event::Share`]: crate::event::Event::Share
#[derive(Debug)]
pub struct Session {
    downstream: Downstream,
    wires: [Upstream; 2],
    /// The wire that the miner mines on. `None` before its first request, and while there is no pool.
    current: Option<Wire>,
    /// The pool of the current wire, or of the last one.
    pool: PoolId,
    pending: Pending,
    /// The jobs that passed through, newest kept.
    jobs: JobTable,
    hold: Hold,
    /// Whether the miner had another pool before: from then on a share for a job that is not known goes nowhere.
    switched: bool,
    /// The pool that parked names wait for, if they do.
    bound_for: PoolId,
    /// By which ids the miner is told jobs.
    job_ids: JobIds,
    /// Counts the extranonces of all pools that the miner had.
    generation: u8,
    /// Jobs that the miner knows by ids of ours.
    aliases: Aliases,
    /// Where a pool wants to be connected to, within its domain.
    reconnect: Option<Box<Reconnect>>,
    /// The same, in another domain.
    reconnect_refused: Option<Box<Reconnect>>,
    /// When the next deadline of a wire beside the current one comes.
    asides_due: Moment,
    /// Until when the session waits: for a pool while there is none; else for the first job of its pool, which is owed once
    /// the miner is subscribed and has a name.
    wait_until: Moment,
    /// Set when it only waits for open requests to settle.
    settling: Option<Settling>,
    finished: bool,
    /// Nothing but shares and their verdicts came with the last bytes.
    routine: bool,
}

/// Resident memory of an idle pair is promised to stay below 4 KiB; what is rare about a session is boxed.
const _: () = assert!(size_of::<Session>() <= 1024);

impl Session {
    /// A session for a miner that just connected.
    pub fn new(now: Moment, origin: Origin) -> Self {
        Self {
            downstream: Downstream::new(now, origin),
            wires: Default::default(),
            current: None,
            pool: PoolId::NONE,
            pending: Pending::default(),
            jobs: JobTable::default(),
            hold: Hold::default(),
            switched: false,
            bound_for: PoolId::NONE,
            job_ids: JobIds::default(),
            generation: 0,
            aliases: Aliases::default(),
            reconnect: None,
            reconnect_refused: None,
            asides_due: Moment::NEVER,
            wait_until: Moment::NEVER,
            settling: None,
            finished: false,
            routine: false,
        }
    }

    /// Takes `bytes[..len]` as received from `side`; at least `LINE_PADDING` further writable bytes follow in `bytes`.
    #[inline]
    pub fn receive(&mut self, side: Side, bytes: &mut [u8], len: usize, cx: &mut Context<'_>) {
        if self.finished {
            return;
        }
        self.routine = true;
        match side {
            Side::Miner => self.receive_from_miner(bytes, len, cx),
            Side::Pool(wire) => self.receive_from_pool(wire, bytes, len, cx),
        }
        self.end_if_settled(cx);
    }

    /// Hands each whole line of one side's bytes to `take`, until that says stop.
    #[inline]
    fn each_line<const LINE_BYTES_MAX: usize>(
        &mut self,
        framer_of: impl Fn(&mut Self) -> &mut Framer<LINE_BYTES_MAX>,
        mut take: impl FnMut(&mut Self, Line<'_>, &mut Context<'_>) -> Go,
        bytes: &mut [u8],
        len: usize,
        cx: &mut Context<'_>,
    ) -> Result<(), LineTooLong> {
        let Some(mut received) = Received::new(bytes, len) else { return Ok(()) };
        // A line may lie in the framer's own buffer, and the session is wanted whole while it is out.
        let mut framer = std::mem::take(framer_of(self));
        loop {
            match framer.next_line(&mut received, &mut cx.shared.buffers) {
                Ok(Some(line)) => {
                    if take(self, line, cx) == Go::Stop {
                        framer.release(&mut cx.shared.buffers);
                        return Ok(());
                    }
                }
                Ok(None) => {
                    *framer_of(self) = framer;
                    return Ok(());
                }
                Err(too_long) => {
                    framer.release(&mut cx.shared.buffers);
                    return Err(too_long);
                }
            }
        }
    }

    /// The connection on this wire stands. Where none was wanted, nothing happens.
    pub fn connected(&mut self, wire: Wire, cx: &mut Context<'_>) {
        let upstream = self.wire_mut(wire);
        if upstream.link == Link::Dialling {
            upstream.link = Link::Up;
            upstream.heard = cx.now;
            self.begin_login(wire, cx);
        }
    }

    /// Nothing more will come from `side`. What came before it was handed over before.
    pub fn gone(&mut self, side: Side, why: Gone, cx: &mut Context<'_>) {
        if self.finished {
            return;
        }
        match side {
            Side::Miner => self.miner_gone(why, cx),
            Side::Pool(wire) => self.pool_gone(wire, why, cx),
        }
        self.end_if_settled(cx);
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
        let [a, b] = &self.wires;
        let silence = a.silence_deadline().min(b.silence_deadline());
        miner.min(self.pending.next_deadline()).min(silence).min(self.asides_due).min(self.wait_until)
    }

    /// Whether [`Session::deadline`] may have come nearer than `known`, what it was before the last [`Session::receive`] or
    /// earlier than that. It costs next to nothing where only shares and verdicts came: they move no deadline nearer but
    /// that of what the pool owes.
    #[inline]
    pub fn may_be_due_before(&self, known: Moment) -> bool {
        !self.routine || self.pending.next_deadline() < known
    }

    /// Handles all deadlines that have come.
    pub fn timeout(&mut self, cx: &mut Context<'_>) {
        if self.finished {
            return;
        }
        self.expire(cx);
        self.end_if_settled(cx);
    }

    /// Ends the session: open requests settle up to `until`, at once if that has come; then [`Event::Finish`].
    ///
    /// [`Event::Finish`]: crate::event::Event::Finish
    pub fn end(&mut self, reason: CloseReason, until: Moment, cx: &mut Context<'_>) {
        if until <= cx.now {
            let reason = self.settling.map_or(reason, |settling| settling.reason);
            return self.finish(reason, cx);
        }
        self.settle(reason, until, cx);
    }

    /// There is no pool for the miner, but one may come: the session ends at `until` if it has none by then. Nothing happens
    /// where it has one.
    pub fn wait_for_pool(&mut self, until: Moment) {
        if self.current.is_none() {
            self.wait_until = until;
        }
    }

    /// Where the pool of the last [`Event::Reconnect`] wants to be connected to; told once.
    ///
    /// [`Event::Reconnect`]: crate::event::Event::Reconnect
    pub fn take_reconnect(&mut self) -> Option<Reconnect> {
        self.reconnect.take().map(|target| *target)
    }

    /// Where the pool of the last [`Event::ReconnectRefused`] wanted to be connected to: for words, not to go there.
    ///
    /// [`Event::ReconnectRefused`]: crate::event::Event::ReconnectRefused
    pub fn take_refused_reconnect(&mut self) -> Option<Reconnect> {
        self.reconnect_refused.take().map(|target| *target)
    }

    /// A number for the extranonce of a pool that the miner comes to: one that no earlier job has.
    fn next_generation(&mut self) -> u8 {
        // Leaves room for the changes that the pool makes itself; jobs that old are not known any more.
        self.generation = self.generation.wrapping_add(16);
        self.generation
    }

    /// Whether [`Event::Finish`] was told.
    ///
    /// [`Event::Finish`]: crate::event::Event::Finish
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The pool that the miner mines at, or did last; [`PoolId::NONE`] before its first request.
    #[inline]
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// Whether it has a connection to a pool, or one on its way, that its miner mines on.
    pub fn has_pool(&self) -> bool {
        self.current.is_some()
    }

    /// Whether the connection on this wire is ready, and waits for the miner to be able to follow.
    pub fn is_prepared(&self, wire: Wire) -> bool {
        self.wire(wire).login.as_ref().is_some_and(|login| login.told)
    }

    /// The wire that the miner mines on, if there is one.
    #[inline]
    pub fn current_wire(&self) -> Option<Wire> {
        self.current
    }

    /// What is known of the miner where a pool is chosen for it.
    pub fn asks(&self) -> Asks<'_> {
        self.asks_as(self.downstream.names().next().map(|(_, name)| &*name.raw))
    }

    /// What the miner calls itself; empty until that is known.
    pub fn user_agent(&self) -> &str {
        &self.downstream.user_agent
    }

    /// Whether the miner understands `mining.set_extranonce`.
    pub fn takes_extranonce(&self) -> bool {
        self.downstream.takes_extranonce
    }

    #[inline]
    fn wire(&self, wire: Wire) -> &Upstream {
        &self.wires[wire.index()]
    }

    #[inline]
    fn wire_mut(&mut self, wire: Wire) -> &mut Upstream {
        &mut self.wires[wire.index()]
    }
}

/// Whether the lines of one side's bytes go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Go {
    On,
    Stop,
}
