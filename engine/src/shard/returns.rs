//! Miners that cannot be switched live: closed when their next pool is ready for them, one after the other, and the
//! connection to that pool kept for their return ([`super::kept`]).

use adit_protocol::event::{CloseReason, MoveReason, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;

use super::moves::reason_label;
use super::pair::Key;
use super::plane::Plane;
use super::trail::Deed;
use crate::dice::Dice;
use crate::pools::counters::PoolCounter;
use crate::pools::standing::Standing;

/// Miners that a shard closes in a second, as long as that does not take longer than `close_jitter_ms` for all of them.
///
/// A miner that was closed costs its pool nothing, since its login is kept; what has to be spared is what lies between:
/// the accept queue, and the network of a farm of which each machine opens a connection.
const CLOSES_PER_SECOND: u64 = 250;
/// How long verdicts of a pool may take that stands away, for an operator's word or for silence.
const LAST_VERDICTS_MS: u64 = 500;

/// The pace at which a shard closes miners.
#[derive(Debug, Default)]
pub(super) struct ClosePace {
    /// When the last of those is closed who were given a moment.
    last: Moment,
}

impl ClosePace {
    /// When the next miner is closed: a little after the last one, but within `spread_ms`.
    fn next(&mut self, now: Moment, spread_ms: u64, dice: &mut Dice) -> Moment {
        const STEP_US: u64 = 1_000_000 / CLOSES_PER_SECOND;
        let next = Moment(self.last.max(now).0.saturating_add(dice.below(2 * STEP_US)));
        if next > now.plus_ms(spread_ms) {
            return Moment(now.0.saturating_add(dice.below(spread_ms.saturating_mul(1_000))));
        }
        self.last = next;
        next
    }
}

impl Plane {
    /// Another pool is ready for a miner that must come back to get there.
    pub(super) fn cannot_follow(&mut self, key: Key, wire: Wire) {
        if self.pairs.get_mut(key).is_some_and(|pair| !pair.moves.may_close) {
            return self.stays(key, wire);
        }
        self.move_over(key);
        let spread_ms = self.pools.catalogue.settings().failover.close_jitter_ms;
        let close_at = self.close_pace.next(self.now, spread_ms, &mut self.dice);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        (pair.moves.close_at, pair.moves.ready) = (close_at, Some(wire));
        pair.moves.ready_for = pair.session.login_reason(wire).map(Box::new);
        self.set_timer(key);
    }

    /// The moment has come to close a miner whose next pool is ready: that connection leaves the session first.
    pub(super) fn let_go(&mut self, key: Key) {
        let failover = &self.pools.catalogue.settings().failover;
        let (reserve_ms, hold_ms) = (failover.reserve_ms, failover.hold_ms);
        let Some(pair) = self.pairs.get_mut(key) else { return };
        pair.moves.close_at = Moment::NEVER;
        let Some(wire) = pair.moves.ready.take() else { return };
        let reason = pair.moves.ready_for.as_ref().map_or(MoveReason::PoolLost, |ready_for| ready_for.0);
        pair.moves.course.moved(reason, self.now, hold_ms);
        let pool = pair.wire(wire).pool;
        if reserve_ms == 0 || !self.begin_keeping(key, wire) {
            self.close_for_return(key, pool);
        }
    }

    /// Closes a miner so that it comes back to this pool. Verdicts that are on their way still come, from a pool that is to
    /// be left for its faults only if they are about to.
    pub(super) fn close_for_return(&mut self, key: Key, to: PoolId) {
        let settle_ms = self.shared.settings.settle_ms;
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let wait_ms = match self.pools.standing(pair.session.pool()) {
            _ if !pair.session.has_pool() => 0,
            Standing::Away => LAST_VERDICTS_MS,
            _ => settle_ms,
        };
        self.pool_counters.count(to, PoolCounter::ClosesTo);
        self.note_close(key, to);
        self.end_session(key, CloseReason::Moved, self.now.plus_ms(wait_ms));
    }
}

impl Plane {
    /// The close in the audit trail; the time is from when another pool was wanted.
    fn note_close(&mut self, key: Key, to: PoolId) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let (reason, began) =
            pair.moves.ready_for.take().map_or((MoveReason::PoolLost, self.now), |ready_for| *ready_for);
        let worker = pair.workers.first().copied().unwrap_or(adit_protocol::workers::NO_WORKER);
        let (from, to) = (pair.record.pool, self.pool_keys.of(to));
        let deed = Deed::Moved { from, to, reason: reason_label(reason), live: false };
        if let Some(books) = &mut self.books {
            books.moved(deed, worker, self.now.since_us(began), self.now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the last of so many is closed, who all have to be closed at the same moment.
    fn last_of(count: usize, spread_ms: u64) -> u64 {
        let (mut pace, mut dice) = (ClosePace::default(), Dice::default());
        let now = Moment(1_000_000);
        let closes = (0..count).map(|_| pace.next(now, spread_ms, &mut dice).since_us(now));
        closes.max().unwrap_or_default() / 1_000
    }

    #[test]
    fn few_miners_are_closed_soon_and_many_over_the_whole_time() {
        assert!(last_of(10, 3_000) <= 80, "each after 8 ms at most");
        assert!((200..=1_200).contains(&last_of(200, 3_000)), "about 800 ms");
        assert!((2_500..=3_000).contains(&last_of(5_000, 3_000)));
        assert_eq!(last_of(5_000, 0), 0);
    }

    #[test]
    fn those_who_come_later_are_not_kept_waiting_for_those_before() {
        let (mut pace, mut dice) = (ClosePace::default(), Dice::default());
        pace.next(Moment(0), 3_000, &mut dice);
        let later = Moment(60_000_000);
        assert!(pace.next(later, 3_000, &mut dice).since_us(later) <= 8_000);
    }
}
