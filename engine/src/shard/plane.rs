//! The data plane of a shard: one turn after the other, into the kernel and back.
//!
//! A turn: enter the ring (it sends what the last turn left, waits, and reports) → put back what did not go out →
//! completions, mail and timers, each of which calls sessions → one send planned per touched direction.
//! This file is the order of things; what is done with a pair stands in its sister files.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use adit_protocol::event::{Gone, Side};
use adit_protocol::moment::Moment;
use adit_protocol::session::Shared;

use super::accept::Listening;
use super::books::Books;
use super::drill::Drill;
use super::kept::{Doorkeeper, KeptUpstream, Leaving};
use super::mailbox::Mailbox;
use super::moves::Decision;
use super::pair::{Key, Pairs};
use super::returns::ClosePace;
use super::stock::Stock;
use super::wheel::Wheel;
use super::workers::{WORKERS_COUNT_MAX, Workers};
use super::{Mail, Seed};
use crate::admission::Admission;
use crate::clock::Clock;
use crate::counters::{Counter, CounterWriter};
use crate::descriptors::Descriptors;
use crate::dice::Dice;
use crate::latency::Recorder;
use crate::news::desk::Desk;
use crate::pools::catalogue::PoolKeys;
use crate::pools::counters::PoolCounterWriter;
use crate::pools::issued::Issued;
use crate::pools::places::Places;
use crate::pools::reports::Reports;
use crate::pools::reserved::Reserved;
use crate::pools::view::PoolsView;
use crate::ring::completion::{Completion, Errno, FailedSend, Received};
use crate::ring::{Ring, RingSize, UNLIMITED};
use crate::vitals::VitalsWriter;

/// How long a shard waits in its ring at most, and how long nothing may have come until it parks. Longer costs nothing but
/// that; shorter costs one timer more for every so many messages.
const TICK_US: u64 = 20_000;

/// What there was to do in a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turned {
    /// Something came, or was due.
    pub(super) has_worked: bool,
    /// The ring's timer rang.
    pub(super) has_rung: bool,
}

/// Everything a shard's data plane owns.
pub(super) struct Plane {
    pub(super) ring: Ring,
    pub(super) clock: Clock,
    /// The present, as of this turn.
    pub(super) now: Moment,
    pub(super) turn: u64,
    pub(super) pairs: Pairs,
    pub(super) wheel: Wheel,
    pub(super) shared: Shared,
    pub(super) listeners: Vec<Listening>,
    pub(super) mailbox: Arc<Mailbox<Mail>>,
    pub(super) counters: CounterWriter,
    pub(super) latency: Recorder,
    pub(super) admission: Admission,
    pub(super) descriptors: Descriptors,
    pub(super) pools: PoolsView,
    pub(super) reports: Reports,
    pub(super) pool_counters: PoolCounterWriter,
    pub(super) pool_keys: PoolKeys,
    /// The way into the ledger, if one is kept.
    pub(super) books: Option<Books>,
    /// What each worker did.
    pub(super) workers: Workers,
    /// Signs of life.
    pub(super) vitals: VitalsWriter,
    /// What operators are told as it happens.
    pub(super) news: Desk,
    /// Jobs that the next enter sends to miners.
    pub(super) jobs_planned: u64,
    pub(super) output_bytes_max: usize,
    /// Directions that have a range in this turn's arena.
    pub(super) touched: Vec<(Key, Side)>,
    /// Directions with bytes that wait behind this turn's range.
    pub(super) behind: Vec<(Key, Side)>,
    /// Pairs whose session is over, to be looked at when this turn's sends are settled.
    pub(super) ending: Vec<Key>,
    /// Receives that found no buffer or stopped by themselves.
    pub(super) starved: Vec<(Key, Side)>,
    /// What sessions are still to be told.
    pub(super) lost: Vec<(Key, Side, Gone)>,
    /// What sessions left to be decided.
    pub(super) decisions: Vec<(Key, Decision)>,
    /// Connections that are kept for miners' returns, by all shards.
    pub(super) reserved: Reserved<KeptUpstream>,
    /// Which pool issued which session id, to all shards.
    pub(super) issued: Issued,
    /// Where pools sent their clients.
    pub(super) places: Places,
    /// When those that this shard has kept are to be looked at.
    pub(super) kept_until: Moment,
    /// Connections on their way out of the ring.
    pub(super) leaving_ring: Vec<Leaving>,
    /// Connections that wait for any miner.
    pub(super) stock: Stock,
    /// When miners are closed.
    pub(super) close_pace: ClosePace,
    /// Sessions for which a pool is being prepared.
    pub(super) moves_under_way: usize,
    /// Sessions that wait until there are fewer of those.
    pub(super) moves_queued: VecDeque<Key>,
    /// A drill in which some of its miners take part.
    pub(super) drill: Option<Drill>,
    /// When the next order of an operator is over.
    pub(super) orders_end_at: Moment,
    pub(super) dice: Dice,
    /// When Adit stops: the moment at which everything is closed, come what may.
    pub(super) stop_at: Option<Moment>,
    /// When the ring's timer rings; never while it is not armed.
    rings_at: Moment,
    completions: Vec<Completion>,
    rung: Vec<u32>,
}

impl Plane {
    /// Makes the ring and arms the listeners. Call it on the shard's own thread.
    pub(super) fn new(seed: Seed) -> io::Result<Self> {
        let Seed { settings, workers, clock, listeners, ring_eventfd, mailbox, counters, latency, .. } = seed;
        let now = clock.now();
        let mut pool_keys = PoolKeys::default();
        pool_keys.learn(&seed.pools.catalogue);
        let mut vitals = seed.vitals;
        vitals.begin(now);
        let stock = Stock::default();
        let router = Doorkeeper::new(&seed.pools, &seed.reserved, &stock.shelves);
        let mut plane = Self {
            ring: Ring::new(RingSize::default(), ring_eventfd)?,
            clock,
            now,
            turn: 0,
            pairs: Pairs::default(),
            wheel: Wheel::new(now),
            shared: super::new_shared(&settings, &workers, &seed.pools, router),
            listeners: (0..)
                .zip(listeners)
                .map(|(index, listener)| Listening::new(index, listener))
                .collect(),
            mailbox,
            counters,
            latency,
            admission: seed.admission,
            descriptors: Descriptors::new(),
            pools: seed.pools,
            reports: seed.reports,
            pool_counters: seed.pool_counters,
            pool_keys,
            books: seed.books,
            workers: Workers::new(clock, workers, WORKERS_COUNT_MAX),
            vitals,
            news: seed.news,
            jobs_planned: 0,
            output_bytes_max: settings.limits.output_bytes_max,
            touched: Vec::new(),
            behind: Vec::new(),
            ending: Vec::new(),
            starved: Vec::new(),
            lost: Vec::new(),
            decisions: Vec::new(),
            reserved: seed.reserved,
            issued: seed.issued,
            places: seed.places,
            kept_until: Moment::NEVER,
            leaving_ring: Vec::new(),
            stock,
            close_pace: ClosePace::default(),
            moves_under_way: 0,
            moves_queued: VecDeque::new(),
            drill: None,
            orders_end_at: Moment::NEVER,
            dice: Dice::default(),
            stop_at: None,
            rings_at: Moment::NEVER,
            completions: Vec::new(),
            rung: Vec::new(),
        };
        plane.shared.session_ids = Box::new(plane.issued.door(&plane.pools.catalogue));
        plane.arm_listeners();
        Ok(plane)
    }

    /// One turn. It may wait for something to do, until the ring's timer rings.
    pub(super) fn turn(&mut self, may_wait: bool) -> io::Result<Turned> {
        // With jobs to send there is no waiting, so that the time after tells when they were sent.
        let (jobs, planned_at) = (std::mem::take(&mut self.jobs_planned), self.now);
        let waits = may_wait && jobs == 0 && self.prepare_to_wait();
        let entered = self.ring.enter(waits.then_some(UNLIMITED));
        self.mailbox.back();
        entered?;
        self.now = self.clock.now();
        self.turn += 1;
        self.vitals.turned(self.now);
        if jobs > 0 {
            self.vitals.job_forwarding.record_many(self.now.since_us(planned_at), jobs);
        }

        let had_endings = !self.ending.is_empty();
        self.settle_sends();
        self.advance_endings();
        let (has_completions, has_rung) = self.handle_completions();
        self.arm_starved();
        let had_mail = self.read_mail();
        let had_timers = self.ring_timers();
        self.advance_keeping();
        self.decide();
        self.plan_sends();
        let has_worked = has_completions || had_endings || had_mail || had_timers || jobs > 0;
        Ok(Turned { has_worked, has_rung })
    }

    /// When something is to be done even if nothing comes in.
    pub(super) fn next_moment(&self) -> Moment {
        self.wheel.next().min(self.next_chore())
    }

    /// The same without the sessions' deadlines.
    fn next_chore(&self) -> Moment {
        let retry = self.listeners.iter().map(|listening| listening.retry_at).min().unwrap_or(Moment::NEVER);
        let tick = self.books.as_ref().map_or(Moment::NEVER, Books::tick_at);
        let stop = self.stop_at.unwrap_or(Moment::NEVER);
        let kept = self.kept_until.min(self.stock.due);
        let due = self.latency.due().min(self.orders_end_at).min(kept);
        due.min(retry).min(tick).min(stop)
    }

    /// Whether Adit stops and nothing is left to do.
    pub(super) fn is_done(&self) -> bool {
        self.stop_at.is_some() && self.listeners.is_empty() && self.pairs.count() == 0
    }

    /// Whether the next turn has something to do whatever comes in.
    pub(super) fn is_busy(&self) -> bool {
        !self.ending.is_empty()
            || !self.behind.is_empty()
            || !self.starved.is_empty()
            || !self.leaving_ring.is_empty()
    }

    /// Prepares to wait in the ring: from here on mail wakes it. False if there is something to do already.
    ///
    /// Nobody waits with a limit of his own: the kernel would arm and disarm a timer for each wait, where the ring's one
    /// stays armed over many, and ends each of them.
    fn prepare_to_wait(&mut self) -> bool {
        if self.mailbox.going_to_wait() || self.is_busy() {
            return false;
        }
        self.ring_by(self.next_moment().min(self.now + TICK_US));
        true
    }

    /// Has the ring's timer ring at this moment, if it does not ring earlier.
    pub(super) fn ring_by(&mut self, at: Moment) {
        if at < self.rings_at {
            self.rings_at = at;
            self.ring.ring_after(Duration::from_micros(at.since_us(self.clock.now())));
        }
    }

    /// Handles what the kernel completed. Whether there was anything, and whether the ring's timer rang.
    fn handle_completions(&mut self) -> (bool, bool) {
        let scratch = std::mem::take(&mut self.completions);
        let mut completions = self.ring.take_completions(scratch);
        let (mut has_any, mut has_rung) = (false, false);
        for completion in completions.drain(..) {
            has_any |= !matches!(completion, Completion::TimerRang);
            match completion {
                Completion::Received { token, received, armed } => {
                    self.on_received(Key::of(token), token.side, received, armed);
                }
                Completion::Sent { token, bytes, result } => {
                    drop(bytes);
                    self.on_sent(Key::of(token), token.side, result);
                }
                Completion::Accepted { token, socket, armed } => self.on_accepted(token.index, socket, armed),
                Completion::Connected { token, result } => {
                    self.on_connected(Key::of(token), token.side, result);
                }
                // The flag says whether there is mail.
                Completion::Woken => {}
                // The wheel says whether a deadline has come.
                Completion::TimerRang => (self.rings_at, has_rung) = (Moment::NEVER, true),
            }
        }
        self.completions = completions;
        let shortages = self.ring.take_shortages();
        if shortages > 0 {
            self.counters.add(Counter::BuffersShort, shortages);
        }
        (has_any, has_rung)
    }

    fn on_received(&mut self, key: Key, side: Side, received: Received, armed: bool) {
        let ended = match received {
            Received::Bytes(buffer) => {
                self.receive(key, side, &buffer);
                self.ring.give_back(buffer);
                None
            }
            other => Some(other),
        };
        if !armed {
            self.on_receive_ended(key, side, ended.as_ref());
        }
    }

    /// A receive that was armed is not any more. `received` is nothing if it still brought bytes.
    #[cold]
    fn on_receive_ended(&mut self, key: Key, side: Side, received: Option<&Received>) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let end = pair.end_mut(side);
        end.receiving = false;
        let gone = match received {
            None | Some(Received::Bytes(_) | Received::Failed(Errno::CANCELLED | Errno::NO_BUFFERS)) => None,
            Some(Received::EndOfStream) => {
                end.ended = true;
                Some(if end.broken { Gone::Broken } else { Gone::Closed })
            }
            Some(Received::Failed(error)) => {
                log::debug!("receive: {error}");
                Some(Gone::Broken)
            }
        };
        match gone {
            None => self.starved.push((key, side)),
            Some(Gone::Closed) => self.lost.push((key, side, Gone::Closed)),
            Some(why) => self.lose(key, side, why),
        }
        self.wire_moved(key, side);
        self.ending_moved(key);
    }

    /// Sends of the last turn that did not go out whole, and bytes that stood behind one.
    fn settle_sends(&mut self) {
        for FailedSend { token, unsent, broken } in self.ring.take_failed_sends() {
            let key = Key::of(token);
            let Some(pair) = self.pairs.get_mut(key) else { continue };
            if let Some(error) = broken {
                log::debug!("send: {error}");
                self.stop_sending(key, token.side);
                continue;
            }
            self.counters.count(Counter::SendsShort);
            pair.end_mut(token.side).output.put_back(unsent);
            self.send_waiting(key, token.side);
        }
        let mut behind = std::mem::take(&mut self.behind);
        for (key, side) in behind.drain(..) {
            self.send_waiting(key, side);
        }
        self.behind = behind;
    }

    /// Arms receives again that stopped for want of a buffer, no more of them than there are buffers.
    fn arm_starved(&mut self) {
        let count = self.starved.len().min(self.ring.free_buffers());
        let mut starved = std::mem::take(&mut self.starved);
        for (key, side) in starved.drain(..count) {
            self.arm_receive(key, side);
        }
        self.starved = starved;
    }

    fn read_mail(&mut self) -> bool {
        if !self.mailbox.has_mail() {
            return false;
        }
        let mailbox = self.mailbox.clone();
        while let Some(mail) = mailbox.take() {
            match mail {
                Mail::Stop { until } => self.stop(until),
                Mail::StopNow => self.stop_now(),
                Mail::Dismiss { whom, until } => self.dismiss(whom, until),
                Mail::Order(order) => self.order(&order),
                Mail::Drill(step) => self.drill_step(step),
                Mail::Figures(question) => {
                    self.vitals.mailbox.record(self.clock.now().since_us(question.asked_at));
                    self.workers.answer(question);
                }
                Mail::PoolsStand => self.pools_stand_otherwise(),
                Mail::PoolsAre(catalogue) => self.pools_are_others(catalogue),
            }
        }
        true
    }

    fn ring_timers(&mut self) -> bool {
        let chore = self.next_chore();
        if chore.min(self.wheel.next()) > self.now {
            return false;
        }
        let mut rung = std::mem::take(&mut self.rung);
        let due = self.wheel.ring(self.now, &mut rung).min(chore);
        // What the start took says nothing of how late deadlines are.
        if due <= self.now && self.turn > 1 {
            self.vitals.timers.record(self.now.since_us(due));
        }
        for index in rung.drain(..) {
            if let Some(key) = self.pairs.key_at(index) {
                self.on_deadline(key);
            }
        }
        self.rung = rung;
        self.arm_listeners();
        if self.latency.due() <= self.now {
            self.latency.publish(self.now);
        }
        if let Some(books) = &mut self.books
            && books.tick_at() <= self.now
        {
            books.tick(self.now);
        }
        if self.kept_until <= self.now {
            self.forget_kept();
        }
        if self.stock.due <= self.now {
            self.tend_stock();
        }
        if self.orders_end_at <= self.now {
            self.end_orders();
        }
        if self.stop_at.is_some_and(|at| at <= self.now) {
            self.stop_now();
        }
        true
    }

    /// One send per direction that got bytes this turn.
    fn plan_sends(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for (key, side) in touched.drain(..) {
            let Some(pair) = self.pairs.get_mut(key) else { continue };
            let end = pair.end(side);
            if let (Some(range), Some(socket)) = (end.output.range(self.turn), end.connected()) {
                self.ring.plan_send(socket, range, key.token(side));
            }
        }
        self.touched = touched;
    }
}
