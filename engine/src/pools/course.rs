//! Where one miner should mine, and when it is moved there: the decisions of a shard for each of its sessions.
//!
//! What must be (its pool is lost) is decided at once. What only should be (going back, weights) waits for a moment of its
//! own within `failback_spread_ms`, and for the **hold time**: a miner is moved by choice only if its last move lies a hold
//! time back, its last two moves two hold times, and so on up to [`HOLDS_COUNT_MAX`]. So pools that come and go move a
//! miner no more often than once per hold time, beside the move away from the pool that just failed, which nothing may
//! hold up; and that one is made up for. What an operator wants (orders, draining, another group by a reload) is not held,
//! nor is a miner's first way to where the weights want it.
//!
//! Pure: time, randomness and how pools stand are arguments; `course/simulation.rs` runs it against pools that flap. Not
//! here: how a move is made, and how many at once ([`crate::shard`]).

use adit_protocol::event::MoveReason;
use adit_protocol::moment::Moment;
use adit_protocol::pool::{Asks, PoolId};

use super::standing::Standing;
use super::view::PoolsView;
use crate::dice::Dice;

/// Pools tried in one round of attempts; then the miner waits a little.
const TRIED_COUNT_MAX: usize = 8;
/// The wait between the first two rounds; it doubles each time.
const ROUND_MS: u64 = 100;
/// Doublings of that wait at most.
const ROUND_DOUBLINGS_MAX: u8 = 5;
/// How many moves are made up for at most: a miner that was moved more often than that goes back all the same one day.
pub const HOLDS_COUNT_MAX: u64 = 8;
/// How long after a name is known a miner is moved to where the name belongs by weight. Its handshake is over by then, and
/// some miners say only at its end that they take another extranonce.
const PLACE_AFTER_MS: u64 = 1_000;

/// What has been decided for one miner.
#[derive(Clone, Debug)]
pub struct Course {
    /// Pools that failed since the last one that worked.
    tried: [PoolId; TRIED_COUNT_MAX],
    tried_count: u8,
    rounds: u8,
    /// When to try (again) to get elsewhere.
    next_at: Moment,
    /// The move at that moment is the first one by its name.
    is_first_placement: bool,
    /// No move that nothing forces before: it has just come, or a pool that it wanted did not work.
    not_before: Moment,
    /// By when the moves so far are made up for.
    made_up_at: Moment,
    /// Whether it was moved, other than to where its name belongs.
    has_moved: bool,
}

impl Default for Course {
    fn default() -> Self {
        Self {
            tried: [PoolId::NONE; TRIED_COUNT_MAX],
            tried_count: 0,
            rounds: 0,
            next_at: Moment::NEVER,
            is_first_placement: false,
            not_before: Moment(0),
            made_up_at: Moment(0),
            has_moved: false,
        }
    }
}

/// What is known of a miner when its pool is decided about.
#[derive(Clone, Copy, Debug)]
pub struct Miner<'a> {
    /// How it is called, and where it came in.
    pub asks: Asks<'a>,
    /// Its pool, or the last one that it had.
    pub at: PoolId,
    /// Whether it has that pool.
    pub state: MinerState,
    /// Whether it can be switched live.
    pub is_live: bool,
    /// Somebody keeps it where it is: it is under drill.
    pub is_kept_here: bool,
}

/// Whether a miner has a pool at which it can stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinerState {
    /// It has.
    Mines,
    /// It lost the one that it had.
    Lost,
    /// It never had one.
    Arrives,
    /// Its name belongs to a pool of another group. Whether it has one meanwhile.
    Misplaced {
        /// It mines at its old pool as long as that is so.
        has_pool: bool,
    },
}

impl MinerState {
    fn has_pool(self) -> bool {
        matches!(self, Self::Mines | Self::Misplaced { has_pool: true })
    }
}

/// What a decision is made by.
#[derive(Debug)]
pub struct Around<'a> {
    /// The pools, and how they stand.
    pub pools: &'a PoolsView,
    /// The present.
    pub now: Moment,
    /// Chance.
    pub dice: &'a mut Dice,
}

/// What follows from a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Another pool has to be found now.
    Find,
    /// Nothing, or not yet: [`Course::deadline`].
    Wait,
}

/// What follows when the moment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Another pool has to be found.
    Find,
    /// It is moved there.
    Move(PoolId, MoveReason),
    /// Nothing, or not yet.
    Wait,
}

impl Course {
    /// When this miner's pool is to be looked at.
    pub fn deadline(&self) -> Moment {
        self.next_at
    }

    /// When it may be moved by choice.
    pub fn hold_until(&self) -> Moment {
        self.not_before.max(self.made_up_at)
    }

    /// By when its moves are made up for, on whatever connection.
    pub fn made_up_at(&self) -> Moment {
        self.made_up_at
    }

    /// A miner has come, and is given its first pool. Where it is it stays for a while: it may have come back from a move.
    pub fn arrived(&mut self, now: Moment, hold_ms: u64) {
        self.not_before = now.plus_ms(hold_ms);
    }

    /// It has been moved on an earlier connection.
    pub fn goes_on_from(&mut self, made_up_at: Moment) {
        self.made_up_at = self.made_up_at.max(made_up_at);
    }

    /// It mines at another pool now, or is about to be closed to come back there.
    pub fn moved(&mut self, reason: MoveReason, now: Moment, hold_ms: u64) {
        let Self { mut made_up_at, not_before, has_moved, .. } = *self;
        if reason != MoveReason::Kept {
            let most = now.plus_ms(hold_ms.saturating_mul(HOLDS_COUNT_MAX));
            made_up_at = made_up_at.max(now).plus_ms(hold_ms).min(most);
        }
        let has_moved = has_moved || !matches!(reason, MoveReason::Placement | MoveReason::Kept);
        *self = Self { not_before, made_up_at, has_moved, ..Self::default() };
    }

    /// This pool did not work for it.
    pub fn failed_at(&mut self, pool: PoolId) {
        if let Some(place) = self.tried.get_mut(usize::from(self.tried_count)) {
            *place = pool;
            self.tried_count += 1;
        }
    }

    /// A pool where it should rather be did not work for it, and it has one: it is not tried again for a while.
    pub fn stays(&mut self, now: Moment, hold_ms: u64) {
        self.tried_count = 0;
        self.not_before = self.not_before.max(now.plus_ms(hold_ms));
    }

    /// Pools stand otherwise than before: those that failed may work.
    pub fn pools_stand_otherwise(&mut self) {
        self.tried_count = 0;
    }

    /// Nothing is planned any more: a move is under way.
    pub fn forget_plan(&mut self) {
        (self.next_at, self.is_first_placement) = (Moment::NEVER, false);
    }

    /// The pool for a miner that cannot stay where it is, or is nowhere. `None`: there is none at the moment, and it is
    /// tried again later, or it can stay.
    pub fn find(&mut self, miner: &Miner<'_>, around: &mut Around<'_>) -> Option<(PoolId, MoveReason)> {
        if miner.state == MinerState::Mines && around.pools.standing(miner.at) != Standing::Away {
            return None;
        }
        let is_gone = around.pools.catalogue.get(miner.at).is_none();
        let reason = match miner.state {
            MinerState::Misplaced { .. } => MoveReason::Placement,
            MinerState::Arrives => MoveReason::Kept,
            MinerState::Lost | MinerState::Mines if is_gone => MoveReason::Leaving,
            MinerState::Lost | MinerState::Mines => MoveReason::PoolLost,
        };
        let tried = self.tried.get(..usize::from(self.tried_count)).unwrap_or_default();
        let may_try = tried.len() < TRIED_COUNT_MAX;
        let found = may_try.then(|| around.pools.choose(&miner.asks, tried)).flatten();
        let found = found.filter(|&pool| !miner.state.has_pool() || pool != miner.at);
        if found.is_none() {
            self.try_again_later(around);
        }
        found.map(|pool| (pool, reason))
    }

    /// All pools have failed, or there is no room for one move more: the next round comes after a while.
    pub fn try_again_later(&mut self, around: &mut Around<'_>) {
        let wait_ms = ROUND_MS << self.rounds.min(ROUND_DOUBLINGS_MAX);
        self.rounds = self.rounds.saturating_add(1);
        self.tried_count = 0;
        self.next_at = around.now.plus_ms(wait_ms + around.dice.below(wait_ms));
    }

    /// Looks whether a miner is where it should be.
    pub fn look(&mut self, miner: &Miner<'_>, around: &mut Around<'_>) -> Look {
        if miner.state != MinerState::Mines {
            return Look::Find;
        }
        if around.pools.standing(miner.at) == Standing::Away {
            let is_elsewhere_better = around.pools.choose(&miner.asks, &[miner.at]).is_some();
            return if is_elsewhere_better { Look::Find } else { Look::Wait };
        }
        match better(miner, around.pools) {
            Some(better) => self.plan(better, around),
            None => self.forget_plan(),
        }
        Look::Wait
    }

    /// Plans a move that nothing forces, at a moment of its own.
    fn plan(&mut self, better: Better, around: &mut Around<'_>) {
        let spread_ms = around.pools.catalogue.settings().failover.failback_spread_ms;
        let latest = around.now.plus_ms(spread_ms);
        if self.next_at != Moment::NEVER && (better.is_held || self.next_at <= latest) {
            return;
        }
        let at = around.now.plus_ms(around.dice.below(spread_ms));
        self.next_at = if better.is_held { at.max(self.hold_until()) } else { at };
    }

    /// A pool accepted a name of the miner: where it should rather be is known now. If only weights want it elsewhere, and it
    /// never was moved, that is soon.
    pub fn named(&mut self, miner: &Miner<'_>, around: &mut Around<'_>) {
        if self.has_moved || self.next_at != Moment::NEVER {
            return;
        }
        match better(miner, around.pools) {
            Some(Better { reason: MoveReason::FailBack, .. }) | None => _ = self.look(miner, around),
            Some(_) => {
                self.next_at = around.now.plus_ms(PLACE_AFTER_MS);
                self.is_first_placement = true;
            }
        }
    }

    /// The moment of [`Course::deadline`] may have come.
    pub fn due(&mut self, miner: &Miner<'_>, around: &mut Around<'_>) -> Due {
        if self.next_at > around.now {
            return Due::Wait;
        }
        let is_first = self.is_first_placement;
        self.forget_plan();
        if miner.state != MinerState::Mines || around.pools.standing(miner.at) == Standing::Away {
            return Due::Find;
        }
        match better(miner, around.pools) {
            None => Due::Wait,
            Some(better) => {
                let is_exempt = is_first && better.reason == MoveReason::Placement;
                if better.is_held && !is_exempt && self.hold_until() > around.now {
                    self.next_at = self.hold_until();
                    return Due::Wait;
                }
                Due::Move(better.pool, better.reason)
            }
        }
    }
}

/// A pool at which a miner should rather be.
#[derive(Clone, Copy, Debug)]
struct Better {
    pool: PoolId,
    reason: MoveReason,
    /// Whether that waits for the hold time.
    is_held: bool,
}

/// Where a miner should rather be, if that is worth a move.
fn better(miner: &Miner<'_>, pools: &PoolsView) -> Option<Better> {
    if miner.is_kept_here {
        return None;
    }
    let Miner { asks, at, .. } = miner;
    let pool = pools.better(asks, *at)?;
    let is_ordered = pools.ordered(asks) == Some(pool);
    let is_named = asks.name.is_some();
    // The routes are others than when it came.
    let is_elsewhere = is_named && !pools.is_of_group(asks, *at);
    let priority = |pool| pools.catalogue.get(pool).map(|entry| entry.settings.priority);
    let reason = match pools.standing(*at) {
        Standing::Draining => MoveReason::Leaving,
        _ if is_elsewhere => MoveReason::Placement,
        // It may have been placed, or awaited, by the name that it has yet to give.
        _ if !is_named => return None,
        _ if priority(pool) < priority(*at) => MoveReason::FailBack,
        _ if is_ordered => MoveReason::Operator,
        _ => MoveReason::Placement,
    };
    // Going back is worth a reconnect where the miner needs one, and so is its group; the rest is not.
    let is_worth_it = reason == MoveReason::FailBack || is_elsewhere || miner.is_live;
    let is_held = reason != MoveReason::Leaving && !is_elsewhere && !is_ordered;
    is_worth_it.then_some(Better { pool, reason, is_held })
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
