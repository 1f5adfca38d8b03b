//! The end of a pair and of the shard: last bytes out, both peers told, sockets closed when nothing is in flight.

use std::net::Shutdown;
use std::time::Duration;

use adit_protocol::event::{CloseReason, Side, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::workers::NO_WORKER;
use socket2::SockRef;

use super::Whom;
use super::pair::{Key, Phase};
use super::plane::Plane;
use crate::pools::counters::PoolCounter;
use crate::pools::drill::Drilled;

/// How long last bytes may take, and how long a peer may take to close after we did.
const FLUSH_MS: u64 = 1_000;

impl Plane {
    /// The session is over. What it left is still sent; what comes in is thrown away.
    pub(super) fn finish(&mut self, key: Key, reason: CloseReason) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if pair.phase != Phase::Open {
            return;
        }
        if pair.is_stock() {
            let pool = pair.wire(Wire::A).pool;
            self.spare_over(pool);
        } else {
            self.miner_left(key, reason);
        }
        self.remember_leaving(key);
        self.move_over(key);
        self.left_drill(key, Drilled::Gone);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.phase = Phase::Flushing(self.now.plus_ms(FLUSH_MS));
        for wire in Wire::ALL {
            let place = pair.wire_mut(wire);
            place.forget_dial();
            place.keeping = false;
            if place.is_open() {
                self.pool_counters.count(place.pool, PoolCounter::Closed);
            }
            if place.end.connecting {
                // Nobody is left who could want this pool.
                (place.end.broken, place.end.lost) = (true, true);
                self.ring.cancel_connect(key.token(Side::Pool(wire)));
            }
        }
        // The peers' own ends are worth waiting for: closing a socket with unread bytes would reset it, and our last
        // bytes with it.
        for side in Side::ALL {
            if let Some(pair) = self.pairs.get_mut(key) {
                pair.end_mut(side).paused = false;
            }
            self.arm_receive(key, side);
        }
        self.set_timer(key);
        self.ending.push(key);
    }

    /// Enters the end of a miner's session into the books.
    fn miner_left(&mut self, key: Key, reason: CloseReason) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        log::debug!("session ended: {}", crate::counters::close_reason_label(reason));
        self.counters.closed(reason);
        if let Some(books) = &mut self.books {
            books.closed(&pair.record, &pair.session, reason, self.now);
        }
        self.vitals.left(pair.record.stage);
        let worker = pair.workers.first().copied().unwrap_or(NO_WORKER);
        self.news.closed(pair.record.peer(), worker, reason, pair.record.accepted, self.now);
        for worker in std::mem::take(&mut pair.workers) {
            self.workers.left(worker, self.now);
        }
    }

    /// Something changed about a pair that may be on its way out.
    pub(super) fn ending_moved(&mut self, key: Key) {
        if self.pairs.get_mut(key).is_some_and(|pair| pair.phase != Phase::Open) {
            self.ending.push(key);
        }
    }

    /// Brings pairs on their way out as far as they can get. All sends planned earlier are settled.
    pub(super) fn advance_endings(&mut self) {
        let mut ending = std::mem::take(&mut self.ending);
        for key in ending.drain(..) {
            self.advance_ending(key);
        }
        // Nothing above finishes a session, so none was added.
        self.ending = ending;
    }

    /// Ends the sessions of some miners, by `until` at the latest.
    pub(super) fn dismiss(&mut self, whom: Whom, until: Moment) {
        for key in self.pairs.keys() {
            if self.pairs.get_mut(key).is_some_and(|pair| whom.is(pair)) {
                self.end_session(key, CloseReason::Dismissed, until);
            }
        }
    }

    /// Stops: no new connections, and sessions settle up to `until`. At once when it is the second time.
    pub(super) fn stop(&mut self, until: Moment) {
        if self.stop_at.is_some() {
            return self.stop_now();
        }
        self.stop_at = Some(until.plus_ms(2 * FLUSH_MS));
        for key in self.pairs.keys() {
            self.end_session(key, CloseReason::Stopping, until);
        }
        self.stop_accepting();
        self.close_spares();
    }

    /// What is kept for miners is of no use any more.
    fn close_spares(&mut self) {
        self.forget_kept();
        self.tend_stock();
    }

    /// Stops at once: sessions end, and nothing is waited for.
    pub(super) fn stop_now(&mut self) {
        self.stop_at = Some(Moment::NEVER);
        self.stop_accepting();
        self.close_spares();
        for key in self.pairs.keys() {
            self.end_session(key, CloseReason::Stopping, self.now);
            self.time_out_session(key);
            self.shut(key);
            self.ending.push(key);
        }
    }

    fn advance_ending(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if let Phase::Flushing(until) = pair.phase {
            for side in Side::ALL {
                let end = pair.end_mut(side);
                if !end.finished
                    && end.output.waiting() == 0
                    && let Some(socket) = end.connected()
                {
                    // It fails only where the peer is gone; then the receive says so too.
                    let _ = SockRef::from(&socket).shutdown(Shutdown::Write);
                    end.finished = true;
                }
            }
            if pair.ends().iter().all(|end| end.is_over()) {
                self.shut(key);
            } else if self.now >= until {
                self.reset(key);
                self.shut(key);
            }
        }
        if self.pairs.get_mut(key).is_some_and(|pair| pair.phase == Phase::Closing && pair.is_quiet()) {
            self.wheel.clear(key.index);
            self.pairs.remove(key);
        }
    }

    /// Has the close tell peers by a reset that did not close in their time.
    ///
    /// One that only sends would never know otherwise: its bytes wait before a full window that nobody opens any more.
    /// And the kernel need not keep what one that does not read was sent.
    fn reset(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        for end in pair.ends() {
            if let Some(socket) = &end.socket
                && !(end.finished && end.ended)
            {
                // It fails only on a socket that is gone already.
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
        }
    }

    /// Ends whatever is in flight on both sockets; the last completion closes them.
    fn shut(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.phase = Phase::Closing;
        for side in Side::ALL {
            let end = pair.end_mut(side);
            end.output.discard();
            if let Some(socket) = &end.socket {
                // It fails only on a socket that never stood or is gone already.
                let _ = SockRef::from(socket).shutdown(Shutdown::Both);
            }
        }
        for wire in Wire::ALL {
            if pair.wire(wire).end.connecting {
                self.ring.cancel_connect(key.token(Side::Pool(wire)));
            }
        }
    }
}
