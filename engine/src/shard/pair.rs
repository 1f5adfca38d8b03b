//! One miner and its pool connections as the shard sees them: three sockets at most, their outputs, the session; and the
//! table of all.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use adit_protocol::event::{Side, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::session::{Session, SessionSettings};

use super::books::Record;
use super::moves::Moves;
use super::output::Output;
use super::placing::Remembered;
use super::redirects::Redirects;
use super::wires::PoolEnd;
use crate::admission::Place;
use crate::ring::completion::Token;

/// A pair's place in the table, and which of its users it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) index: u32,
    generation: u32,
}

impl Key {
    pub(super) fn token(self, side: Side) -> Token {
        Token { index: self.index, generation: self.generation, side }
    }

    pub(super) fn of(token: Token) -> Self {
        Self { index: token.index, generation: token.generation }
    }
}

/// How far a pair has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The session decides.
    Open,
    /// The session is over: what waits is sent, then both peers are told, up to this moment.
    Flushing(Moment),
    /// All sockets are shut down; they are closed when nothing is in flight.
    Closing,
}

/// One socket of a pair.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a socket, in any combination")]
pub(super) struct End {
    pub(super) socket: Option<OwnedFd>,
    pub(super) output: Output,
    /// A connect is in flight.
    pub(super) connecting: bool,
    /// A receive is in flight.
    pub(super) receiving: bool,
    /// No receive is wanted, since the other side does not read.
    pub(super) paused: bool,
    /// The peer closed its sending half.
    pub(super) ended: bool,
    /// The connection takes nothing more.
    pub(super) broken: bool,
    /// The connection is of no use any more, and the session was told or is about to be.
    pub(super) lost: bool,
    /// We closed our sending half.
    pub(super) finished: bool,
    /// Until when a connection that takes nothing more may still give what the peer sent before.
    pub(super) heard_until: Moment,
    /// When it last went on after it had to wait for the other side.
    pub(super) resumed_at: Moment,
}

impl Default for End {
    fn default() -> Self {
        Self {
            socket: None,
            output: Output::default(),
            connecting: false,
            receiving: false,
            paused: false,
            ended: false,
            broken: false,
            lost: false,
            finished: false,
            heard_until: Moment::NEVER,
            resumed_at: Moment(0),
        }
    }
}

impl End {
    /// The socket, when bytes can be sent to it.
    pub(super) fn connected(&self) -> Option<BorrowedFd<'_>> {
        if self.connecting || self.broken { None } else { self.socket.as_ref().map(AsFd::as_fd) }
    }

    /// Whether the kernel holds nothing of this socket.
    pub(super) fn is_quiet(&self) -> bool {
        !self.connecting && !self.receiving && !self.output.is_in_flight()
    }

    /// Whether it was read all the time since then, as far as the other side goes.
    pub(super) fn was_read_since(&self, then: Moment) -> bool {
        !self.paused && self.resumed_at <= then
    }

    /// Whether neither side has anything more to say, or nobody would hear it.
    pub(super) fn is_over(&self) -> bool {
        self.socket.is_none() || self.broken || (self.finished && self.ended)
    }
}

/// A miner, its session, and its pools.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) session: Session,
    pub(super) miner: End,
    pub(super) wires: [PoolEnd; 2],
    pub(super) phase: Phase,
    /// What is being done about its pool.
    pub(super) moves: Moves,
    /// Where its pool wants it.
    pub(super) redirects: Option<Box<Redirects>>,
    /// When the wheel rings for this pair; at or before [`Pair::deadline`].
    pub(super) rings_at: Moment,
    /// What goes into the ledger when it ends.
    pub(super) record: Record,
    /// Keys of the names that the pool accepted on it, each once.
    pub(super) workers: Vec<u32>,
    /// What is remembered of it beyond its connection, if names matter.
    pub(super) remembered: Option<Box<Remembered>>,
    /// Its place among the connections that are let in. Without one it has no miner: it makes a connection for the stock.
    admitted: Option<Place>,
}

/// Resident memory of an idle pair is promised to stay below 4 KiB, what the session allocates included.
const _: () = assert!(size_of::<Pair>() <= 1536);

impl Pair {
    pub(super) fn new(miner: OwnedFd, place: Place, session: Session, record: Record) -> Self {
        let miner = End { socket: Some(miner), ..End::default() };
        Self { miner, admitted: Some(place), ..Self::without_miner(session, record) }
    }

    /// A pair that only makes a connection to a pool.
    pub(super) fn without_miner(session: Session, record: Record) -> Self {
        Self {
            session,
            miner: End::default(),
            wires: Default::default(),
            phase: Phase::Open,
            moves: Moves::default(),
            redirects: None,
            rings_at: Moment::NEVER,
            record,
            workers: Vec::new(),
            remembered: None,
            admitted: None,
        }
    }

    /// Whether it has no miner, and makes a connection for the stock.
    pub(super) fn is_stock(&self) -> bool {
        self.admitted.is_none()
    }

    /// A place in which nothing is, so that a connection can be put there.
    pub(super) fn free_wire(&self) -> Option<Wire> {
        Wire::ALL.into_iter().find(|&wire| self.session.is_free(wire) && self.wire(wire).is_free())
    }

    pub(super) fn end(&self, side: Side) -> &End {
        match side {
            Side::Miner => &self.miner,
            Side::Pool(wire) => &self.wire(wire).end,
        }
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Miner => &mut self.miner,
            Side::Pool(wire) => &mut self.wire_mut(wire).end,
        }
    }

    pub(super) fn wire(&self, wire: Wire) -> &PoolEnd {
        &self.wires[wire.index()]
    }

    pub(super) fn wire_mut(&mut self, wire: Wire) -> &mut PoolEnd {
        &mut self.wires[wire.index()]
    }

    /// All of its sockets.
    pub(super) fn ends(&self) -> [&End; 3] {
        let [a, b] = &self.wires;
        [&self.miner, &a.end, &b.end]
    }

    /// When this pair wants to be looked at next.
    pub(super) fn deadline(&self, settings: &SessionSettings) -> Moment {
        match self.phase {
            Phase::Open => {
                let [a, b] = &self.wires;
                let ends = self.ends().map(|end| end.output.stalled_at.min(end.heard_until));
                let earliest = ends.into_iter().fold(Moment::NEVER, Moment::min);
                let earliest = earliest.min(self.moves.deadline()).min(self.redirected_at());
                self.session.deadline(settings).min(earliest).min(a.dial_deadline()).min(b.dial_deadline())
            }
            Phase::Flushing(until) => until,
            Phase::Closing => Moment::NEVER,
        }
    }

    /// Whether its timer may ring too late now, where nothing but the session received something since it was set.
    #[inline]
    pub(super) fn may_be_due(&self) -> bool {
        self.session.may_be_due_before(self.rings_at)
    }

    /// When it is to go where its pool wants it.
    fn redirected_at(&self) -> Moment {
        self.redirects.as_ref().map_or(Moment::NEVER, |redirects| redirects.deadline())
    }

    /// Whether the kernel holds nothing of this pair.
    pub(super) fn is_quiet(&self) -> bool {
        self.ends().iter().all(|end| end.is_quiet())
    }
}

/// All pairs of a shard. A pair stays where it is in memory; a key of a pair that is gone finds nothing.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    pair: Option<Box<Pair>>,
}

impl Pairs {
    pub(super) fn insert(&mut self, pair: Pair) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        slot.pair = Some(Box::new(pair));
        Key { index, generation: slot.generation }
    }

    #[inline]
    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Pair> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.pair.as_deref_mut() } else { None }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Box<Pair>> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let pair = slot.pair.take()?;
        slot.generation = slot.generation.wrapping_add(1) & Token::GENERATION_MAX;
        self.free.push(key.index);
        Some(pair)
    }

    /// The key of whoever has this slot now.
    pub(super) fn key_at(&self, index: u32) -> Option<Key> {
        let slot = self.slots.get(index as usize)?;
        slot.pair.as_ref().map(|_| Key { index, generation: slot.generation })
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        (0..self.slots.len() as u32).filter_map(|index| self.key_at(index)).collect()
    }

    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
