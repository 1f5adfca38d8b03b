//! A shard's part in a failover drill: some of a pool's miners are switched live to where a failure would take them, kept
//! there, and switched back.
//!
//! Only what a miner does not notice but by its work is done: one that cannot be switched live stays where it is, and is
//! counted. A pool that fails meanwhile comes first, as always; its miners have then left the drill. Not here: when what
//! is begun, and the report ([`crate::control`]).

use std::sync::Arc;

use adit_protocol::event::{ClosedShare, MoveReason, Outcome};
use adit_protocol::pool::PoolId;
use adit_protocol::verdict::RejectClass;
use crossbeam::channel::Sender;

use super::orders::Wanted;
use super::pair::{Key, Phase};
use super::plane::Plane;
use crate::pools::drill::{Drilled, Tally};

/// What a drill wants of a shard.
#[derive(Debug)]
pub enum DrillStep {
    /// Say how many miners this pool has here.
    Count(PoolId, Sender<u64>),
    /// Draw so many of the pool's miners, and move them.
    Leave {
        /// The pool.
        from: PoolId,
        /// How many of its miners here.
        miners: u64,
        /// Where it is written what becomes of them.
        tally: Arc<Tally>,
    },
    /// Move back those that are away.
    Return,
    /// It is over: whoever is still away goes by the plan from here on.
    Over,
}

/// A drill in which this shard takes part.
#[derive(Debug)]
pub(super) struct Drill {
    home: PoolId,
    tally: Arc<Tally>,
}

/// How far a miner under drill has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrillStage {
    Leaving,
    Away,
    Returning,
    /// It is back; its shares still count.
    Back,
}

impl Plane {
    /// Does what a drill wants.
    pub(super) fn drill_step(&mut self, step: DrillStep) {
        match step {
            // Where nobody waits for the answer any more, there is no harm.
            DrillStep::Count(pool, answer) => _ = answer.try_send(self.drillable(pool).len() as u64),
            DrillStep::Leave { from, miners, tally } => self.draw_miners(from, miners, &tally),
            DrillStep::Return => self.drill_returns(),
            DrillStep::Over => self.drill_is_over(),
        }
    }

    /// Miners at a pool that nothing is being done about.
    fn drillable(&mut self, pool: PoolId) -> Vec<Key> {
        let mut keys = self.pairs.keys();
        keys.retain(|&key| {
            self.pairs.get_mut(key).is_some_and(|pair| {
                let is_meant = pair.phase == Phase::Open && !pair.is_stock();
                is_meant && pair.session.pool() == pool && pair.moves.is_at_rest()
            })
        });
        keys
    }

    fn draw_miners(&mut self, from: PoolId, miners: u64, tally: &Arc<Tally>) {
        self.drill_is_over();
        self.drill = Some(Drill { home: from, tally: tally.clone() });
        let mut keys = self.drillable(from);
        for _ in 0..miners {
            if keys.is_empty() {
                break;
            }
            let drawn = self.dice.below(keys.len() as u64) as usize;
            self.drill_one(keys.swap_remove(drawn), from, tally);
        }
        tally.count(Drilled::Begun);
    }

    fn drill_one(&mut self, key: Key, from: PoolId, tally: &Tally) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        tally.count(Drilled::Chosen);
        if !pair.session.takes_extranonce() {
            return tally.left(Drilled::NotLive, true);
        }
        let Some(pool) = self.pools.choose(&pair.session.asks(), &[from]) else {
            return tally.left(Drilled::Failed, true);
        };
        pair.moves.drill = Some(DrillStage::Leaving);
        self.want_for_drill(key, pool);
        self.drill_cannot_begin(key);
    }

    /// Wants a miner elsewhere. Whether that is begun, or waits.
    fn want_for_drill(&mut self, key: Key, pool: PoolId) -> bool {
        if let Some(pair) = self.pairs.get_mut(key) {
            pair.moves.wanted = Some(Wanted { pool, reason: MoveReason::Drill, may_close: false });
        }
        self.begin_wanted(key)
    }

    /// Where nothing is begun for a miner that is to leave, it stays.
    fn drill_cannot_begin(&mut self, key: Key) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        if pair.moves.is_idle_in(DrillStage::Leaving) {
            self.left_drill(key, Drilled::Failed);
        }
    }

    fn drill_returns(&mut self) {
        let Some(home) = self.drill.as_ref().map(|drill| drill.home) else { return };
        for key in self.pairs.keys() {
            let Some(pair) = self.pairs.get_mut(key) else { continue };
            match pair.moves.drill {
                Some(DrillStage::Leaving) => {
                    // Too late to count; it may still come there, and is then fetched by the next call.
                    if pair.moves.wanted.take().is_some() {
                        self.left_drill(key, Drilled::Failed);
                    }
                }
                Some(DrillStage::Away) => {
                    if self.want_for_drill(key, home)
                        && let Some(pair) = self.pairs.get_mut(key)
                    {
                        pair.moves.drill = Some(DrillStage::Returning);
                    }
                }
                Some(DrillStage::Returning | DrillStage::Back) | None => {}
            }
        }
    }

    fn drill_is_over(&mut self) {
        if self.drill.take().is_none() {
            return;
        }
        for key in self.pairs.keys() {
            let Some(pair) = self.pairs.get_mut(key) else { continue };
            if pair.moves.drill.take().is_some() {
                pair.moves.wanted = None;
                self.look_again(key);
            }
        }
    }

    /// A miner under drill was switched to `to`.
    pub(super) fn drill_switched(&mut self, key: Key, to: PoolId, reason: MoveReason, took_us: u64) {
        let Some(drill) = &self.drill else { return };
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let Some(stage) = pair.moves.drill else { return };
        pair.moves.drill = match stage {
            DrillStage::Leaving if reason == MoveReason::Drill => {
                drill.tally.moved(took_us);
                Some(DrillStage::Away)
            }
            DrillStage::Returning if to == drill.home => {
                drill.tally.returned(took_us);
                Some(DrillStage::Back)
            }
            DrillStage::Back => Some(DrillStage::Back),
            // A failure came first.
            DrillStage::Leaving | DrillStage::Away | DrillStage::Returning => {
                drill.tally.left(Drilled::Diverted, stage == DrillStage::Leaving);
                Some(DrillStage::Back)
            }
        };
    }

    /// A miner under drill stays where it is.
    pub(super) fn drill_stays(&mut self, key: Key, why: Drilled) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        match pair.moves.drill {
            Some(DrillStage::Leaving) => self.left_drill(key, why),
            // It is tried again as long as the drill takes.
            Some(DrillStage::Returning) => pair.moves.drill = Some(DrillStage::Away),
            Some(DrillStage::Away | DrillStage::Back) | None => {}
        }
    }

    /// A miner has nothing to do with the drill any more, and `why`.
    pub(super) fn left_drill(&mut self, key: Key, why: Drilled) {
        let Some(drill) = &self.drill else { return };
        let Some(pair) = self.pairs.get_mut(key) else { return };
        match pair.moves.drill.take() {
            Some(DrillStage::Back) | None => {}
            Some(stage) => drill.tally.left(why, stage == DrillStage::Leaving),
        }
    }

    /// A share ended while there is a drill.
    #[cold]
    pub(super) fn drill_share(&mut self, key: Key, share: &ClosedShare) {
        let Some(drill) = &self.drill else { return };
        if self.pairs.get_mut(key).is_none_or(|pair| pair.moves.drill.is_none()) {
            return;
        }
        drill.tally.count(match (share.outcome, share.class) {
            (Outcome::Accepted, _) => Drilled::Accepted,
            (Outcome::Unanswered, _) => Drilled::Unanswered,
            (Outcome::Rejected | Outcome::RefusedHere, Some(RejectClass::Stale)) => Drilled::Stale,
            (Outcome::Rejected | Outcome::RefusedHere, _) => Drilled::Rejected,
        });
    }
}
