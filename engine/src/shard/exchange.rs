//! Sessions and sockets: calling a session, taking its bytes and events, and keeping peers that do not read in bounds.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};

use adit_protocol::event::{CloseReason, Gone, MoveReason, Side, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use adit_protocol::session::{Context, Prepared, Session};
use socket2::SockRef;

use super::output::Added;
use super::pair::{End, Key, Phase};
use super::plane::Plane;
use crate::counters::Counter;
use crate::news::desk::Limit;
use crate::pools::counters::PoolCounter;
use crate::ring::buffers::Buffer;
use crate::ring::completion::Errno;

/// Bytes waiting for a peer at which its partner is not read any more; less where the bound is small.
const PAUSE_BYTES: usize = 64 * 1024;
/// A peer that does not take what waits for it within this time does not read.
const STALLED_MS: u64 = 60_000;

/// How long a connection that takes nothing more is still listened to. The kernel has its end at hand as a rule.
const LAST_BYTES_MS: u64 = 1_000;

/// One call of a session.
pub(super) enum Call<'a> {
    Receive(Side, &'a Buffer),
    Connected(Wire),
    Gone(Side, Gone),
    Timeout,
    End(CloseReason, Moment),
    Prepare(Wire, PoolId, MoveReason, &'a Cell<bool>),
    /// Leaves what was taken off in the cell.
    Detach(Wire, &'a Cell<Option<Box<Prepared>>>),
    /// Takes what is in the cell, or leaves it there.
    Adopt(Wire, MoveReason, &'a Cell<Option<Box<Prepared>>>),
}

impl Plane {
    /// Bytes of one side, for the session.
    pub(super) fn receive(&mut self, key: Key, side: Side, buffer: &Buffer) {
        if let Some(pair) = self.pairs.get_mut(key) {
            let (counter, bytes) = match side {
                Side::Miner => (Counter::BytesFromMiners, &mut pair.record.miner_bytes[0]),
                Side::Pool(wire) => {
                    let pool = pair.wires[wire.index()].pool;
                    self.pool_counters.add(pool, PoolCounter::BytesFrom, buffer.len());
                    (Counter::BytesFromPools, &mut pair.record.pool_bytes[0])
                }
            };
            *bytes += buffer.len() as u64;
            self.counters.add(counter, buffer.len());
        }
        self.call(key, &Call::Receive(side, buffer));
    }

    /// The connection in this place stands.
    pub(super) fn connected(&mut self, key: Key, wire: Wire) {
        self.call(key, &Call::Connected(wire));
    }

    /// The session ends by `until`.
    pub(super) fn end_session(&mut self, key: Key, reason: CloseReason, until: Moment) {
        self.call(key, &Call::End(reason, until));
    }

    /// Lets the session prepare a pool in a place that is spare. Whether it does.
    pub(super) fn prepare(&mut self, key: Key, wire: Wire, pool: PoolId, reason: MoveReason) -> bool {
        let is_prepared = Cell::new(false);
        self.call(key, &Call::Prepare(wire, pool, reason, &is_prepared));
        is_prepared.get()
    }

    /// The session's own deadlines have come.
    pub(super) fn time_out_session(&mut self, key: Key) {
        self.call(key, &Call::Timeout);
    }

    /// Tells sessions what was found out while others were being called.
    pub(super) fn tell_lost(&mut self) {
        let mut told_count = 0;
        while let Some(&(key, side, why)) = self.lost.get(told_count) {
            told_count += 1;
            if self.is_news(key, side) {
                self.call(key, &Call::Gone(side, why));
            }
        }
        self.lost.clear();
    }

    /// Whether nobody has told the session of this side's end in another way, or given its place to the next.
    fn is_news(&mut self, key: Key, side: Side) -> bool {
        let Some(pair) = self.pairs.get_mut(key) else { return false };
        match side {
            Side::Miner => true,
            Side::Pool(wire) => pair.wire(wire).is_news(),
        }
    }

    /// One side's connection takes nothing more: a send failed.
    ///
    /// What the peer sent before may still lie in the kernel, verdicts among it: a connection that was reset gives out
    /// what it has before it says so. So the session hears of the end only when the receive has come to it.
    pub(super) fn stop_sending(&mut self, key: Key, side: Side) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let end = pair.end_mut(side);
        if end.broken {
            return self.ending_moved(key);
        }
        end.broken = true;
        end.output.discard();
        if end.ended {
            return self.lose(key, side, Gone::Broken);
        }
        end.paused = false;
        end.heard_until = self.now.plus_ms(LAST_BYTES_MS);
        self.arm_receive(key, side);
        self.set_timer(key);
        self.ending_moved(key);
    }

    /// One side's connection is of no use any more.
    pub(super) fn lose(&mut self, key: Key, side: Side, why: Gone) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let end = pair.end_mut(side);
        if !end.lost {
            end.lost = true;
            end.broken = true;
            end.heard_until = Moment::NEVER;
            end.output.discard();
            if let Some(socket) = &end.socket {
                // What is in flight ends with it. It fails only where the peer did this already.
                let _ = SockRef::from(socket).shutdown(std::net::Shutdown::Both);
            }
            self.lost.push((key, side, why));
        }
        self.ending_moved(key);
    }

    /// The wheel rang for a pair.
    pub(super) fn on_deadline(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.rings_at = Moment::NEVER;
        match pair.phase {
            Phase::Open => {
                let due = |end: &End| match self.now {
                    now if end.output.stalled_at <= now => Some(Gone::NotReading),
                    now if end.heard_until <= now => Some(Gone::Broken),
                    _ => None,
                };
                let gone = Side::ALL.map(|side| (side, due(pair.end(side))));
                for (side, why) in gone {
                    if let Some(why) = why {
                        self.lose(key, side, why);
                    }
                }
                self.give_up_attempts(key);
                let settings = &self.shared.settings;
                if self.pairs.get_mut(key).is_some_and(|pair| pair.session.deadline(settings) <= self.now) {
                    self.time_out_session(key);
                }
                self.moves_due(key);
                self.redirect_due(key);
            }
            Phase::Flushing(_) => self.ending.push(key),
            Phase::Closing => {}
        }
        self.set_timer(key);
    }

    /// Moves the pair's timer if it has to ring earlier. A later deadline is found when it rings.
    pub(super) fn set_timer(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let deadline = pair.deadline(&self.shared.settings);
        if deadline < pair.rings_at {
            pair.rings_at = deadline;
            self.wheel.set(key.index, deadline);
        }
    }

    /// Receives from one side, unless that is not wanted (any more) or done already.
    pub(super) fn arm_receive(&mut self, key: Key, side: Side) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let closing = pair.phase == Phase::Closing;
        if matches!(side, Side::Pool(wire) if pair.wire(wire).keeping) {
            return;
        }
        let end = pair.end_mut(side);
        if closing || end.receiving || end.paused || end.ended || end.connecting || end.lost {
            return;
        }
        if let Some(socket) = &end.socket {
            self.ring.receive(socket.as_fd(), key.token(side));
            end.receiving = true;
        }
    }

    /// Starts an owned send of what waits for one side, if none is under way, and keeps to the bounds.
    pub(super) fn send_waiting(&mut self, key: Key, side: Side) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let end = pair.end_mut(side);
        if end.connected().is_some()
            && let Some(bytes) = end.output.next_send(self.now.plus_ms(STALLED_MS))
            && let Some(socket) = end.connected()
        {
            self.ring.send_owned(socket, bytes, key.token(side));
        }
        self.keep_bounds(key, side);
        self.set_timer(key);
    }

    /// An owned send ended.
    pub(super) fn on_sent(&mut self, key: Key, side: Side, result: Result<(), Errno>) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.end_mut(side).output.sent();
        match result {
            Ok(()) => self.send_waiting(key, side),
            Err(error) => {
                log::debug!("send: {error}");
                self.stop_sending(key, side);
            }
        }
        self.wire_moved(key, side);
        self.ending_moved(key);
    }

    /// Calls the session, then takes its bytes, its events, and its deadline. A panic in it ends this session only.
    pub(super) fn call(&mut self, key: Key, call: &Call<'_>) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if pair.phase != Phase::Open {
            return;
        }
        let (bytes, arena) = match call {
            Call::Receive(_, buffer) => self.ring.lend(buffer),
            _ => (&mut [][..], self.ring.arena()),
        };
        let before = arena.lens();
        let mut context = Context {
            now: self.now,
            to_miner: &mut arena.to_miner,
            to_wires: arena.to_wires.each_mut(),
            shared: &mut self.shared,
        };
        let session = &mut pair.session;
        let outcome = catch_unwind(AssertUnwindSafe(|| enter_session(session, bytes, call, &mut context)));
        let starts = Side::ALL.into_iter().zip(before);
        if outcome.is_err() {
            for (side, start) in starts {
                arena.toward(side).truncate(start);
            }
            return self.contain(key);
        }
        let after = arena.lens();
        for ((side, start), end) in starts.zip(after) {
            if end > start {
                self.collect(key, side, start);
            }
        }
        let had_others = self.take_events(key);
        let is_receive = matches!(call, Call::Receive(..));
        if had_others || !is_receive || self.pairs.get_mut(key).is_some_and(|pair| pair.may_be_due()) {
            self.set_timer(key);
        }
    }

    /// A session panicked. It is told to end, and ended by force if it cannot.
    fn contain(&mut self, key: Key) {
        self.counters.count(Counter::Panics);
        self.shared.events.clear();
        let Some(pair) = self.pairs.get_mut(key) else { return };
        // It was told already, and panicked again.
        if pair.ends().iter().all(|end| end.lost) {
            return self.finish(key, CloseReason::Panicked);
        }
        for side in Side::ALL {
            let end = pair.end_mut(side);
            (end.broken, end.lost) = (true, true);
            end.output.discard();
        }
        self.call(key, &Call::End(CloseReason::Panicked, self.now));
        if self.pairs.get_mut(key).is_some_and(|pair| pair.phase == Phase::Open) {
            self.finish(key, CloseReason::Panicked);
        }
    }

    /// Takes what the session appended for one side.
    fn collect(&mut self, key: Key, side: Side, start: usize) {
        let arena = self.ring.arena().toward(side);
        let added = arena.len().saturating_sub(start);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let (end, is_deaf, counter, bytes) = match side {
            Side::Miner => {
                let end = &mut pair.miner;
                let is_deaf = end.broken;
                (end, is_deaf, Counter::BytesToMiners, &mut pair.record.miner_bytes[1])
            }
            Side::Pool(wire) => {
                let place = &mut pair.wires[wire.index()];
                let is_deaf = place.is_deaf();
                self.pool_counters.add(place.pool, PoolCounter::BytesTo, added);
                (&mut place.end, is_deaf, Counter::BytesToPools, &mut pair.record.pool_bytes[1])
            }
        };
        if is_deaf {
            return arena.truncate(start);
        }
        *bytes += added as u64;
        self.counters.add(counter, added);
        let connected = end.connected().is_some();
        match end.output.add(arena, start, self.turn, connected) {
            Added::Range => self.touched.push((key, side)),
            Added::Joined => {}
            Added::Behind => {
                self.behind.push((key, side));
                self.keep_bounds(key, side);
            }
            Added::Waiting => self.keep_bounds(key, side),
        }
    }

    /// Pauses or resumes the other side of a peer that does not read, and gives the peer up at the bound.
    pub(super) fn keep_bounds(&mut self, key: Key, side: Side) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let waiting = pair.end(side).output.waiting();
        let pause_bytes = PAUSE_BYTES.min(self.output_bytes_max / 2);
        if waiting > self.output_bytes_max {
            let peer = pair.record.peer();
            self.news.limit(Limit::OutputBytes, Some(peer), self.now);
            return self.lose(key, side, Gone::NotReading);
        }
        let is_much = match waiting {
            waiting if waiting > pause_bytes => true,
            waiting if waiting <= pause_bytes / 2 => false,
            _ => return,
        };
        match side {
            Side::Miner => Wire::ALL.into_iter().for_each(|wire| self.pause(key, Side::Pool(wire), is_much)),
            // A pool that still has to catch up keeps the miner paused, whatever the other one does.
            Side::Pool(wire) => {
                let other = pair.wire(wire.other()).end.output.waiting() > pause_bytes / 2;
                self.pause(key, Side::Miner, is_much || other);
            }
        }
    }

    /// Lets a side wait, or go on.
    fn pause(&mut self, key: Key, side: Side, pause: bool) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let end = pair.end_mut(side);
        if pause && !end.paused && !end.broken && end.socket.is_some() {
            end.paused = true;
            self.counters.count(Counter::Pauses);
            if end.receiving {
                self.ring.cancel_receive(key.token(side));
            }
        } else if !pause && end.paused {
            end.paused = false;
            end.resumed_at = self.now;
            self.arm_receive(key, side);
        }
    }
}

fn enter_session(session: &mut Session, bytes: &mut [u8], call: &Call<'_>, context: &mut Context<'_>) {
    #[cfg(test)]
    super::tests::panic_on_purpose(bytes);
    match *call {
        Call::Receive(side, buffer) => session.receive(side, bytes, buffer.len(), context),
        Call::Connected(wire) => session.connected(wire, context),
        Call::Gone(side, why) => session.gone(side, why, context),
        Call::Timeout => session.timeout(context),
        Call::End(reason, until) => session.end(reason, until, context),
        Call::Prepare(wire, pool, reason, is_prepared) => {
            is_prepared.set(session.prepare(wire, pool, reason, context));
        }
        Call::Detach(wire, prepared) => prepared.set(session.detach(wire, context)),
        Call::Adopt(wire, reason, prepared) => {
            if let Some(given) = prepared.take() {
                prepared.set(session.adopt(wire, given, reason, context).err());
            }
        }
    }
}
