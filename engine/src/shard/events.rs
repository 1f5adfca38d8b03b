//! What sessions tell: entered into counters, the ledger and the news, and handed to whoever acts on it.

use adit_protocol::event::{ClosedShare, Event, MoveReason, Outcome};
use adit_protocol::job::ChainFacts;
use adit_protocol::pool::PoolId;

use super::moves::Decision;
use super::pair::Key;
use super::plane::Plane;
use crate::counters::Counter;
use crate::pools::breaker::Failure;
use crate::vitals::Stage;

impl Plane {
    /// Takes what a session told while it was called. Whether that was more than how shares ended.
    pub(super) fn take_events(&mut self, key: Key) -> bool {
        if self.shared.events.is_empty() {
            return false;
        }
        let mut had_others = false;
        let mut events = std::mem::take(&mut self.shared.events);
        for event in &events {
            had_others |= !matches!(event, Event::Share(_));
            self.on_event(key, event);
        }
        events.clear();
        self.shared.events = events;
        had_others
    }

    fn on_event(&mut self, key: Key, event: &Event) {
        match *event {
            Event::Share(ref share) => self.account(key, share),
            Event::Job { pool, clean, first, chain } => {
                self.job_came(pool, clean, chain);
                if first {
                    self.first_job_came(key, pool);
                }
            }
            Event::Odd(oddity) => {
                self.counters.odd(oddity);
                self.news.odd(oddity, self.now);
            }
            Event::Dial { wire, pool } => {
                self.opened(key, pool);
                self.arrived(key);
                self.open_wire(key, wire, pool);
            }
            Event::Arrived { pool } => self.decisions.push((key, Decision::Arrived(pool))),
            Event::PoolLost { wire, pool, why } => {
                if !self.was_sent_away(key, wire) {
                    self.report_lost(key, wire, why);
                }
                self.close_wire(key, wire);
                self.decisions.push((key, Decision::Lost(pool, why)));
            }
            Event::LoginFailed { wire, pool, reason, why } => {
                // Where a pool sent its clients says nothing of the place that is configured.
                if reason != MoveReason::Reconnect {
                    self.report_login_failed(key, wire, why);
                }
                self.close_wire(key, wire);
                self.decisions.push((key, Decision::LoginFailed(pool)));
            }
            Event::Prepared { wire, .. } if self.is_stock(key) => {
                self.decisions.push((key, Decision::Stocked(wire)));
            }
            Event::Prepared { wire, pool, can_switch, has_job } => {
                if has_job {
                    self.first_job_came(key, pool);
                }
                if !can_switch {
                    self.decisions.push((key, Decision::CannotFollow(wire)));
                }
            }
            Event::Switched { from, to, wire, reason, began } => {
                self.switched(key, (from, to), wire, reason, began);
            }
            Event::WireDone { wire } => self.close_wire(key, wire),
            Event::Finish(reason) => self.finish(key, reason),
            Event::Reconnect { wire, pool } => self.redirected(key, wire, pool),
            Event::ReconnectRefused { pool } => self.redirect_refused(key, pool),
            // What is kept for a miner it was given at its first request.
            Event::Subscribing => {}
            Event::Misplaced { pool, left } => self.misplaced(key, pool, left),
            Event::Subscribed { .. } if self.is_stock(key) => {}
            Event::Subscribed { .. } => {
                self.counters.count(Counter::Subscribed);
                if let Some(pair) = self.pairs.get_mut(key) {
                    self.vitals.reached(&mut pair.record.stage, Stage::Subscribed);
                }
            }
            Event::Authorised(worker) => {
                self.counters.count(Counter::Authorised);
                self.authorised(key, worker);
                self.named(key);
            }
            Event::AuthorizeRefused { pool, worked } => {
                self.counters.count(Counter::AuthorizeRefused);
                if worked {
                    self.report_failed(key, pool, Failure::NameRefused, self.now);
                }
            }
            Event::UnansweredSubmit { pool } => self.submit_unanswered(key, pool),
        }
    }

    /// Whether the session has no miner.
    fn is_stock(&mut self, key: Key) -> bool {
        self.pairs.get_mut(key).is_some_and(|pair| pair.is_stock())
    }

    /// A job is on its way to one miner.
    fn job_came(&mut self, pool: PoolId, clean: bool, chain: ChainFacts) {
        self.counters.count(Counter::Jobs);
        self.jobs_planned += 1;
        self.pool_counters.job(pool, clean, chain, self.now);
        self.news.job(self.pool_keys.of(pool), clean, chain.block_height, self.now);
    }

    /// A session made its first valid request, and was given a pool.
    pub(super) fn opened(&mut self, key: Key, pool: PoolId) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.record.pool = self.pool_keys.of(pool);
        if let Some(books) = &mut self.books {
            books.opened(&mut pair.record, self.now);
        }
    }

    /// The pool accepted a name of a session.
    fn authorised(&mut self, key: Key, worker: u32) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let at = pair.session.pool();
        let pool = self.pool_keys.of(at);
        self.vitals.reached(&mut pair.record.stage, Stage::Authorised);
        self.news.authorised(pair.record.peer(), worker, pool, pair.session.user_agent(), self.now);
        if !pair.workers.contains(&worker) {
            pair.workers.push(worker);
            self.workers.arrived(worker, pair.record.address, pair.session.user_agent(), self.now);
            self.workers.mines_at(worker, at);
        }
        if let Some(books) = &mut self.books {
            books.authorised(&mut pair.record, &pair.session, worker, self.now);
        }
    }

    /// The one place where a share that ended is entered into the books.
    fn account(&mut self, key: Key, share: &ClosedShare) {
        self.counters.share(share.outcome, share.class);
        self.pool_counters.share(share, self.now);
        if self.drill.is_some() {
            self.drill_share(key, share);
        }
        let pool = self.pool_keys.of(share.pool);
        let burst = self.workers.share(share, self.now);
        self.news.share(share, pool, self.shared.reasons.text(share.reason), burst, self.now);
        if share.block_candidate {
            self.counters.count(Counter::BlockCandidates);
        }
        if matches!(share.outcome, Outcome::Accepted | Outcome::Rejected) {
            self.latency.record(self.now.since_us(share.submitted), self.now);
            self.judge_verdict(key, share.pool, share.outcome == Outcome::Rejected);
        }
        if let (Some(books), Some(pair)) = (&mut self.books, self.pairs.get_mut(key)) {
            books.share(&mut pair.record, share, pool, &self.shared.reasons, self.now);
        }
    }
}
