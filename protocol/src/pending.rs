//! Requests that wait for the pool, by the ids Adit gave them.
//!
//! Upstream ids are our own integers, counted up, so the table is a window over them: finding one is an index, not a
//! search. A ticket leaves it exactly once: answered, expired, or given up. What expired stays as a mark for a while, so
//! that a verdict that comes late is counted and not taken for somebody else's.

use std::collections::VecDeque;

use crate::event::Wire;
use crate::job::JobKey;
use crate::limits::{PENDING_COUNT_MAX, PENDING_WINDOW_COUNT_MAX};
use crate::login::LoginStep;
use crate::moment::Moment;
use crate::raw_id::RawId;

/// Our first id. Pools' own requests (ckpool pings with 42) use small ones; an echo of those must match nothing here.
pub const FIRST_UPSTREAM_ID: u32 = 1_000;
/// How long an expired request is remembered.
const LATE_MS_MAX: u64 = 120_000;
/// How long a parked request waits at most since it was made: cpuminer gives up after 30 s.
const PARKED_MS_MAX: u64 = 25_000;
/// Room kept by a session that waits for nothing: an idle one shall be small.
const SLOTS_KEPT_MAX: usize = 8;

/// What was asked.
#[derive(Clone, Debug)]
pub enum Asked {
    /// `mining.configure`; the codes in it, as raw JSON strings.
    Configure(Box<[Box<str>]>),
    /// `mining.subscribe`
    Subscribe,
    /// `mining.authorize` of the name with this index in the session.
    Authorize(u8),
    /// `mining.extranonce.subscribe`
    ExtranonceSubscribe,
    /// `mining.submit`
    Submit(Submitted),
    /// A request of a login that Adit makes itself; the miner knows nothing of it.
    Login(LoginStep),
    /// Anything else: answered if the pool answers.
    Other,
}

impl Asked {
    /// Whether its answer has a place in the order of the handshake.
    pub fn is_handshake(&self) -> bool {
        !matches!(self, Self::Submit(_) | Self::Login(_) | Self::Other)
    }

    /// Whether the miner must get an answer even if the pool gives none.
    pub fn is_owed(&self) -> bool {
        !matches!(self, Self::Login(_) | Self::Other)
    }

    /// Whether it is a share.
    pub fn is_submit(&self) -> bool {
        matches!(self, Self::Submit(_))
    }
}

/// What is known of a share while its verdict is awaited.
#[derive(Clone, Copy, Debug)]
pub struct Submitted {
    /// The engine's key of the worker.
    pub worker: u32,
    /// The job it is for.
    pub job: JobKey,
    /// Difficulty assigned.
    pub difficulty: f64,
    /// Difficulty reached, NaN when not checked.
    pub share_difficulty: f64,
    /// Whether the check here found it good enough for a block.
    pub block_candidate: bool,
}

/// One request on its way.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// The miner's id for it.
    pub miner_id: RawId,
    /// What was asked.
    pub asked: Asked,
    /// The wire on which it went up; only there it is answered. `None`: it is parked, no pool being asked at present.
    pub wire: Option<Wire>,
    /// When its line came.
    pub sent: Moment,
    /// When the miner gets our answer instead of the pool's (or, for [`Asked::Other`], when it is forgotten).
    pub deadline: Moment,
}

#[derive(Clone, Debug)]
enum Slot {
    Open(Ticket),
    Late { submit: bool, wire: Wire, until: Moment },
    Done,
}

/// What a response's id stands for.
#[derive(Debug)]
pub enum Found {
    /// A request that waits: now closed.
    Ticket(Ticket),
    /// One that was answered here before.
    Late {
        /// Whether it was a share.
        submit: bool,
    },
    /// Nothing we asked.
    Nothing,
}

/// The window of open requests.
///
/// Invariant: slot `n` belongs to id `base + n`; the first slot is never done; `open_count` and `handshake_count` count
/// the open slots and those of the handshake.
#[derive(Debug)]
pub struct Pending {
    slots: VecDeque<Slot>,
    base: u32,
    open_count: u32,
    owed_count: u32,
    handshake_count: u32,
    /// No open ticket's deadline and no late mark's end is earlier.
    earliest: Moment,
}

impl Default for Pending {
    fn default() -> Self {
        Self {
            slots: VecDeque::new(),
            base: FIRST_UPSTREAM_ID,
            open_count: 0,
            owed_count: 0,
            handshake_count: 0,
            earliest: Moment::NEVER,
        }
    }
}

impl Pending {
    /// Whether one more request can be taken. What only takes up room is forgotten for it: a request that the pool need
    /// not answer (ckpool never answers `suggest_difficulty`) must not stop the shares behind it.
    #[inline]
    pub fn has_room(&mut self) -> bool {
        self.has_room_for_login() && (self.open_count as usize) < PENDING_COUNT_MAX
    }

    /// The same for a request of Adit's own: what the miner has open does not count against it, or one whose pool answers
    /// nothing could not be logged in elsewhere.
    pub fn has_room_for_login(&mut self) -> bool {
        if self.slots.len() >= PENDING_WINDOW_COUNT_MAX {
            self.forget_unowed();
        }
        self.slots.len() < PENDING_WINDOW_COUNT_MAX
    }

    /// Takes marks and unowed requests off the front.
    #[cold]
    fn forget_unowed(&mut self) {
        while self.slots.front().is_some_and(|slot| !slot.is_owed()) {
            if let Some(Slot::Open(ticket)) = self.slots.pop_front() {
                self.forget(&ticket);
            }
            self.base = self.base.wrapping_add(1);
        }
        self.check();
    }

    /// Takes a request and returns its upstream id. The caller has asked [`Pending::has_room`].
    #[inline]
    pub fn open(&mut self, ticket: Ticket) -> u32 {
        debug_assert!(self.slots.len() < PENDING_WINDOW_COUNT_MAX);
        let id = self.next_id();
        self.open_count += 1;
        self.owed_count += u32::from(ticket.asked.is_owed());
        self.handshake_count += u32::from(ticket.asked.is_handshake());
        self.earliest = self.earliest.min(ticket.deadline);
        self.slots.push_back(Slot::Open(ticket));
        self.check();
        id
    }

    /// Closes the request with this id, if it went up on this wire.
    #[inline]
    pub fn close(&mut self, wire: Wire, id: u64) -> Found {
        let index = id.wrapping_sub(u64::from(self.base));
        let Some(slot) = usize::try_from(index).ok().and_then(|index| self.slots.get_mut(index)) else {
            return Found::Nothing;
        };
        if slot.wire() != Some(wire) {
            return Found::Nothing;
        }
        let found = match std::mem::replace(slot, Slot::Done) {
            Slot::Open(ticket) => {
                self.forget(&ticket);
                Found::Ticket(ticket)
            }
            Slot::Late { submit, .. } => Found::Late { submit },
            Slot::Done => Found::Nothing,
        };
        self.drop_done();
        self.check();
        found
    }

    /// What an open request of this id on this wire asks for.
    pub fn asked(&self, wire: Wire, id: u64) -> Option<&Asked> {
        let index = usize::try_from(id.wrapping_sub(u64::from(self.base))).ok()?;
        match self.slots.get(index)? {
            Slot::Open(ticket) if ticket.wire == Some(wire) => Some(&ticket.asked),
            _ => None,
        }
    }

    /// Closes the oldest open request whose deadline has come; a mark stays for a late answer. Call until `None`.
    pub fn expire(&mut self, now: Moment) -> Option<(u32, Ticket)> {
        if now < self.earliest {
            return None;
        }
        for index in 0..self.slots.len() {
            let late = match &self.slots[index] {
                Slot::Open(ticket) if ticket.deadline <= now => ticket.late(now),
                Slot::Late { until, .. } if *until <= now => Slot::Done,
                _ => continue,
            };
            if let Slot::Open(ticket) = std::mem::replace(&mut self.slots[index], late) {
                self.forget(&ticket);
                self.check();
                return Some((self.base.wrapping_add(index as u32), ticket));
            }
        }
        self.drop_done();
        self.earliest = self.slots.iter().filter_map(Slot::next).min().unwrap_or(Moment::NEVER);
        self.check();
        None
    }

    /// Closes the oldest open request of the handshake before its deadline, as [`Pending::expire`] would after it.
    pub fn expire_handshake(&mut self, now: Moment) -> Option<(u32, Ticket)> {
        let id = self.earliest_handshake()?;
        let slot = self.slots.get_mut(id.wrapping_sub(self.base) as usize)?;
        let Slot::Open(ticket) = std::mem::replace(slot, Slot::Done) else { return None };
        *slot = ticket.late(now);
        self.earliest = self.earliest.min(now.plus_ms(LATE_MS_MAX));
        self.forget(&ticket);
        self.check();
        Some((id, ticket))
    }

    /// The wire will answer nothing more. Its requests of the handshake are parked; of the others the oldest is closed and
    /// returned. Call until `None`, which forgets its marks, too: a later connection in its place has the same ids to come.
    pub fn leave(&mut self, wire: Wire, parked_until: Moment) -> Option<(u32, Ticket)> {
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.wire() != Some(wire) {
                continue;
            }
            match std::mem::replace(slot, Slot::Done) {
                Slot::Open(ticket) if ticket.asked.is_handshake() => {
                    *slot = Slot::Open(ticket.parked(parked_until));
                }
                Slot::Open(ticket) => {
                    self.forget(&ticket);
                    self.check();
                    return Some((self.base.wrapping_add(index as u32), ticket));
                }
                Slot::Late { .. } | Slot::Done => {}
            }
        }
        self.drop_done();
        self.check();
        None
    }

    /// Parks the requests of the handshake on this wire: another pool will answer them. The others stay.
    pub fn park(&mut self, wire: Wire, parked_until: Moment) {
        for slot in &mut self.slots {
            if let Slot::Open(ticket) = slot
                && ticket.wire == Some(wire)
                && ticket.asked.is_handshake()
            {
                *ticket = ticket.clone().parked(parked_until);
            }
        }
    }

    /// Opens a request again that has just expired, parked.
    pub fn park_expired(&mut self, id: u32, ticket: Ticket, parked_until: Moment) {
        let Some(slot) = self.slots.get_mut(id.wrapping_sub(self.base) as usize) else { return };
        let ticket = ticket.parked(parked_until);
        self.earliest = self.earliest.min(ticket.deadline);
        self.open_count += 1;
        self.owed_count += u32::from(ticket.asked.is_owed());
        self.handshake_count += u32::from(ticket.asked.is_handshake());
        *slot = Slot::Open(ticket);
        self.check();
    }

    /// Closes the oldest parked request of those that `is_wanted`.
    pub fn unpark(&mut self, is_wanted: impl Fn(&Asked) -> bool) -> Option<(u32, Ticket)> {
        let parked = |slot: &Slot| matches!(slot, Slot::Open(ticket) if ticket.wire.is_none() && is_wanted(&ticket.asked));
        let index = self.slots.iter().position(parked)?;
        let Slot::Open(ticket) = std::mem::replace(&mut self.slots[index], Slot::Done) else { return None };
        self.forget(&ticket);
        let id = self.base.wrapping_add(index as u32);
        self.drop_done();
        self.check();
        Some((id, ticket))
    }

    /// Closes the oldest open request: nobody will answer it any more.
    pub fn give_up(&mut self) -> Option<(u32, Ticket)> {
        while let Some(slot) = self.slots.pop_front() {
            let id = self.base;
            self.base = self.base.wrapping_add(1);
            if let Slot::Open(ticket) = slot {
                self.forget(&ticket);
                return Some((id, ticket));
            }
        }
        None
    }

    /// The oldest unanswered request of the handshake.
    #[inline]
    pub fn earliest_handshake(&self) -> Option<u32> {
        if self.handshake_count == 0 {
            return None;
        }
        let is_open = |slot: &Slot| matches!(slot, Slot::Open(ticket) if ticket.asked.is_handshake());
        self.slots.iter().position(is_open).map(|index| self.base.wrapping_add(index as u32))
    }

    /// The id that the next request gets.
    #[inline]
    pub fn next_id(&self) -> u32 {
        self.base.wrapping_add(self.slots.len() as u32)
    }

    /// Requests whose answer the miner is owed.
    pub fn owed_count(&self) -> u32 {
        self.owed_count
    }

    /// A moment before which nothing expires.
    #[inline]
    pub fn next_deadline(&self) -> Moment {
        self.earliest
    }

    fn forget(&mut self, ticket: &Ticket) {
        self.open_count -= 1;
        self.owed_count -= u32::from(ticket.asked.is_owed());
        self.handshake_count -= u32::from(ticket.asked.is_handshake());
    }

    fn drop_done(&mut self) {
        while matches!(self.slots.front(), Some(Slot::Done)) {
            self.slots.pop_front();
            self.base = self.base.wrapping_add(1);
        }
        if self.slots.is_empty() {
            self.earliest = Moment::NEVER;
            if self.slots.capacity() > SLOTS_KEPT_MAX {
                self.slots.shrink_to(SLOTS_KEPT_MAX);
            }
        }
    }

    fn check(&self) {
        debug_assert_eq!(
            self.slots.iter().filter(|slot| matches!(slot, Slot::Open(_))).count(),
            self.open_count as usize
        );
        debug_assert!(self.owed_count <= self.open_count && self.handshake_count <= self.owed_count);
    }
}

impl Ticket {
    /// The same request, waiting for another pool up to `until`, but no longer than miners do.
    fn parked(mut self, until: Moment) -> Self {
        self.wire = None;
        self.deadline = self.deadline.max(until.min(self.sent.plus_ms(PARKED_MS_MAX)));
        self
    }

    /// What stays in its place when it is answered here.
    fn late(&self, now: Moment) -> Slot {
        match self.wire {
            Some(wire) if self.asked.is_owed() => {
                Slot::Late { submit: self.asked.is_submit(), wire, until: now.plus_ms(LATE_MS_MAX) }
            }
            _ => Slot::Done,
        }
    }
}

impl Slot {
    /// On which wire an answer to it may come.
    #[inline]
    fn wire(&self) -> Option<Wire> {
        match self {
            Self::Open(ticket) => ticket.wire,
            Self::Late { wire, .. } => Some(*wire),
            Self::Done => None,
        }
    }

    /// Whether the miner still waits for an answer.
    fn is_owed(&self) -> bool {
        matches!(self, Self::Open(ticket) if ticket.asked.is_owed())
    }

    fn next(&self) -> Option<Moment> {
        match self {
            Self::Open(ticket) => Some(ticket.deadline),
            Self::Late { until, .. } => Some(*until),
            Self::Done => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(asked: Asked, deadline: u64) -> Ticket {
        let miner_id = RawId::keep(b"4");
        Ticket { miner_id, asked, wire: Some(Wire::A), sent: Moment(0), deadline: Moment(deadline) }
    }

    fn submit() -> Asked {
        Asked::Submit(Submitted {
            worker: 0,
            job: JobKey(0),
            difficulty: 1.0,
            share_difficulty: f64::NAN,
            block_candidate: false,
        })
    }

    #[test]
    fn a_request_closes_once() {
        let mut pending = Pending::default();
        let id = pending.open(ticket(submit(), 10));
        assert!(matches!(pending.close(Wire::A, u64::from(id)), Found::Ticket(_)));
        assert!(matches!(pending.close(Wire::A, u64::from(id)), Found::Nothing));
        assert_eq!(pending.next_deadline(), Moment::NEVER);
    }

    #[test]
    fn answers_in_any_order_find_their_requests() {
        let mut pending = Pending::default();
        let ids: Vec<u32> = (0..5).map(|n| pending.open(ticket(Asked::Authorize(n), 10))).collect();
        for n in [3, 0, 4, 1, 2] {
            let found = pending.close(Wire::A, u64::from(ids[n]));
            assert!(
                matches!(found, Found::Ticket(Ticket { asked: Asked::Authorize(m), .. }) if usize::from(m) == n)
            );
        }
        assert!(pending.slots.is_empty());
    }

    #[test]
    fn ids_never_issued_match_nothing() {
        let mut pending = Pending::default();
        let id = u64::from(pending.open(ticket(submit(), 10)));
        for other in [0, 42, id - 1, id + 1, u64::MAX] {
            assert!(matches!(pending.close(Wire::A, other), Found::Nothing));
        }
    }

    #[test]
    fn an_expired_request_is_late_for_a_while_and_then_forgotten() {
        let mut pending = Pending::default();
        let early = pending.open(ticket(submit(), 10));
        let kept = pending.open(ticket(submit(), 20));
        assert!(pending.expire(Moment(9)).is_none());
        assert_eq!(pending.expire(Moment(10)).map(|(id, _)| id), Some(early));
        assert!(pending.expire(Moment(10)).is_none());
        assert_eq!(pending.next_deadline(), Moment(20));
        assert!(matches!(pending.close(Wire::A, u64::from(kept)), Found::Ticket(_)));
        assert!(pending.expire(Moment(10).plus_ms(LATE_MS_MAX)).is_none());
        assert!(matches!(pending.close(Wire::A, u64::from(early)), Found::Nothing));
        let early = pending.open(ticket(submit(), 10));
        assert!(pending.expire(Moment(10)).is_some());
        assert!(matches!(pending.close(Wire::A, u64::from(early)), Found::Late { submit: true }));
    }

    #[test]
    fn the_window_is_bounded_even_if_the_oldest_is_never_answered() {
        let mut pending = Pending::default();
        let mut taken = 0;
        while pending.has_room() {
            let id = pending.open(ticket(submit(), 10));
            taken += 1;
            if taken > 1 {
                pending.close(Wire::A, u64::from(id));
            }
        }
        assert_eq!(taken, PENDING_WINDOW_COUNT_MAX);
        pending.expire(Moment(10)).expect("the oldest");
        assert!(pending.has_room(), "a mark only takes up room");
    }

    #[test]
    fn what_nobody_is_owed_stops_nothing() {
        let mut pending = Pending::default();
        let other = pending.open(ticket(Asked::Other, 10_000));
        for _ in 0..3 * PENDING_WINDOW_COUNT_MAX {
            assert!(pending.has_room());
            let id = pending.open(ticket(submit(), 10));
            assert!(matches!(pending.close(Wire::A, u64::from(id)), Found::Ticket(_)));
        }
        assert!(matches!(pending.close(Wire::A, u64::from(other)), Found::Nothing));
        assert!(pending.slots.is_empty() && pending.slots.capacity() <= 2 * SLOTS_KEPT_MAX);
    }

    #[test]
    fn no_more_than_the_bound_are_open() {
        let mut pending = Pending::default();
        let mut taken = 0;
        while pending.has_room() {
            pending.open(ticket(submit(), 10));
            taken += 1;
        }
        assert_eq!(taken, PENDING_COUNT_MAX);
    }

    #[test]
    fn giving_up_returns_every_open_request_in_order() {
        let mut pending = Pending::default();
        let ids: Vec<u32> = (0..4).map(|n| pending.open(ticket(Asked::Authorize(n), 10))).collect();
        pending.close(Wire::A, u64::from(ids[1]));
        let rest: Vec<u32> = std::iter::from_fn(|| pending.give_up()).map(|(id, _)| id).collect();
        assert_eq!(rest, [ids[0], ids[2], ids[3]]);
        assert_eq!(pending.owed_count(), 0);
        assert_eq!(pending.open(ticket(submit(), 10)), ids[3] + 1);
    }

    #[test]
    fn what_a_lost_wire_owes_is_closed_or_parked_and_nothing_on_it_answers_any_more() {
        let mut pending = Pending::default();
        let late = pending.open(ticket(submit(), 5));
        let parked = pending.open(ticket(Asked::Subscribe, 10));
        let share = pending.open(ticket(submit(), 10));
        let elsewhere = pending.open(Ticket { wire: Some(Wire::B), ..ticket(submit(), 10) });
        assert_eq!(pending.expire(Moment(5)).map(|(id, _)| id), Some(late));
        assert!(matches!(pending.close(Wire::A, u64::from(elsewhere)), Found::Nothing), "another wire's");
        let left: Vec<u32> =
            std::iter::from_fn(|| pending.leave(Wire::A, Moment(10))).map(|(id, _)| id).collect();
        assert_eq!(left, [share]);
        for id in [late, parked, share] {
            assert!(matches!(pending.close(Wire::A, u64::from(id)), Found::Nothing));
        }
        assert_eq!((pending.earliest_handshake(), pending.owed_count()), (Some(parked), 2));
        assert!(matches!(pending.close(Wire::B, u64::from(elsewhere)), Found::Ticket(_)));
        assert_eq!(pending.expire(Moment(10)).map(|(id, _)| id), Some(parked));
        assert!(pending.expire(Moment(10)).is_none());
        assert!(pending.slots.is_empty(), "no mark stays of what no wire can answer");
    }
}
