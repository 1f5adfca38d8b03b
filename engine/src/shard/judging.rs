//! What a shard tells the control about pools: what became of its own connections there.

use std::hash::{DefaultHasher, Hash, Hasher};

use adit_protocol::event::{CloseReason, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;

use super::pair::Key;
use super::plane::Plane;
use super::wires::PoolEnd;
use crate::pools::breaker::{Failure, Report, Witness};
use crate::pools::counters::PoolCounter;
use crate::pools::reports::Sent;

impl Plane {
    /// Tells what happened at a pool. `began` is when the wait began that failed, or the login that worked.
    fn report(&self, pool: PoolId, report: Report, began: Moment) {
        self.reports.tell(Sent { pool, report, began, at: self.now });
    }

    /// Tells of a failure that a session saw. `began` is when the wait for something better began.
    pub(super) fn report_failed(&mut self, key: Key, pool: PoolId, failure: Failure, began: Moment) {
        let by = if failure.is_for_all() { Witness::Anybody } else { self.witness(key) };
        self.report(pool, Report::Failed(failure, by), began);
    }

    /// The miner of a session: by its worker, its name, or where it comes from, whatever is known first of these.
    fn witness(&mut self, key: Key) -> Witness {
        let Some(pair) = self.pairs.get_mut(key) else { return Witness::Anybody };
        let mut hasher = DefaultHasher::new();
        let asks = pair.session.asks();
        match (pair.workers.first(), asks.name) {
            (Some(worker), _) => worker.hash(&mut hasher),
            (None, Some(name)) => name.hash(&mut hasher),
            (None, None) => asks.origin.address.hash(&mut hasher),
        }
        Witness::Miner(hasher.finish())
    }

    /// So long before the present.
    pub(super) fn ago(&self, ms: u32) -> Moment {
        Moment(self.now.0.saturating_sub(u64::from(ms) * 1_000))
    }

    /// A connection has come to a job: the pool works.
    pub(super) fn first_job_came(&mut self, key: Key, pool: PoolId) {
        let now = self.now;
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let is_meant = |place: &&mut PoolEnd| place.is_of(pool) && place.working_since.is_none();
        let Some(place) = pair.wires.iter_mut().find(is_meant) else { return };
        place.working_since = Some(now);
        let began = place.opened_at;
        self.report(pool, Report::LoggedIn, began);
    }

    /// A verdict came, and it was a no or not. One no after the other says more of the pool than of the miner, unless the
    /// pool accepts what others submit.
    pub(super) fn judge_verdict(&mut self, key: Key, pool: PoolId, is_rejected: bool) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let Some(place) = pair.wires.iter_mut().find(|place| place.is_of(pool)) else { return };
        if !is_rejected {
            place.rejects_run = 0;
            return;
        }
        if place.rejects_run == 0 {
            place.accepted_before = self.pool_counters.accepted(pool);
        }
        place.rejects_run += 1;
        if place.rejects_run >= self.pools.catalogue.settings().failover.rejects_run_count {
            place.rejects_run = 0;
            if place.accepted_before == self.pool_counters.accepted(pool) {
                self.report_failed(key, pool, Failure::RejectsRun, self.now);
            }
        }
    }

    /// A submit got no verdict in time. That is the pool's doing, if its verdicts were read.
    pub(super) fn submit_unanswered(&mut self, key: Key, pool: PoolId) {
        let began = self.ago(self.shared.terms.of(pool).deadlines.submit_reply_ms);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if pair.wires.iter().any(|place| place.is_of(pool) && place.end.was_read_since(began)) {
            self.report_failed(key, pool, Failure::SubmitUnanswered, began);
        }
    }

    /// The connection in this place ended, and `why`.
    pub(super) fn report_lost(&mut self, key: Key, wire: Wire, why: CloseReason) {
        let now = self.now;
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let place = pair.wire(wire);
        let (pool, opened_at, working_since) = (place.pool, place.opened_at, place.working_since);
        let deadlines = self.shared.terms.of(pool).deadlines;
        // What was waited for in vain, and since when.
        let waited_ms = match why {
            CloseReason::PoolSilent => deadlines.silence_ms,
            CloseReason::PoolGaveNoJob => deadlines.first_job_ms,
            _ => 0,
        };
        let waits_since = Moment(now.0.saturating_sub(u64::from(waited_ms) * 1_000));
        if place.lacked_socket || (waited_ms > 0 && !place.end.was_read_since(waits_since)) {
            return; // not its doing
        }
        let Some(failure) = failure_of(why, working_since, now) else { return };
        let (counter, began) = match failure {
            Failure::Dial => (PoolCounter::DialsFailed, opened_at),
            Failure::NoJob => (PoolCounter::LoginsFailed, waits_since),
            _ if working_since.is_none() => (PoolCounter::LoginsFailed, opened_at),
            Failure::Silent => (PoolCounter::Lost, waits_since),
            _ => (PoolCounter::Lost, now),
        };
        self.pool_counters.count(pool, counter);
        self.report_failed(key, pool, failure, began);
    }
}

/// What the end of a connection says about its pool. `None` where it was not the pool's doing.
fn failure_of(why: CloseReason, working_since: Option<Moment>, now: Moment) -> Option<Failure> {
    Some(match why {
        CloseReason::PoolUnreachable | CloseReason::PoolConnectTimeout => Failure::Dial,
        CloseReason::PoolClosed | CloseReason::PoolBroken => match working_since {
            Some(since) => Failure::closed(now, since),
            None => Failure::Refused,
        },
        CloseReason::PoolSilent if working_since.is_none() => Failure::Handshake,
        CloseReason::PoolSilent | CloseReason::PoolNotReading => Failure::Silent,
        CloseReason::PoolLineTooLong | CloseReason::PoolGarbage => Failure::Garbage,
        CloseReason::PoolGaveNoJob => Failure::NoJob,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_connection_ended_says_what_is_wrong_with_its_pool() {
        let (now, lately, long_ago) = (Moment(100_000_000), Some(Moment(99_000_000)), Some(Moment(0)));
        for (why, working_since, failure) in [
            (CloseReason::PoolUnreachable, None, Some(Failure::Dial)),
            (CloseReason::PoolConnectTimeout, None, Some(Failure::Dial)),
            (CloseReason::PoolClosed, None, Some(Failure::Refused)),
            (CloseReason::PoolClosed, lately, Some(Failure::ClosedEarly)),
            (CloseReason::PoolBroken, long_ago, Some(Failure::Closed)),
            (CloseReason::PoolSilent, None, Some(Failure::Handshake)),
            (CloseReason::PoolSilent, long_ago, Some(Failure::Silent)),
            (CloseReason::PoolGarbage, lately, Some(Failure::Garbage)),
            (CloseReason::PoolGaveNoJob, None, Some(Failure::NoJob)),
            (CloseReason::MinerClosed, lately, None),
            (CloseReason::Stopping, lately, None),
        ] {
            assert_eq!(failure_of(why, working_since, now), failure, "{why:?}");
        }
    }
}
