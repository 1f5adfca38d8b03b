//! A shard's part in a failover drill: some of a pool's miners are moved to where a failure would take them, kept there, and
//! moved back.
//!
//! Miners that cannot be switched live stay where they are and are counted, unless the operator wants them drilled, too:
//! then each is closed once its login at the standby is ready, which takes the drill with it ([`Traveller`]) to whatever
//! shard the miner comes back to, and the same on the way home. A pool that fails meanwhile comes first, as always; its miners have then left the drill. Not here: when what
//! is begun, and the report ([`crate::control`]).

use std::sync::Arc;

use adit_protocol::event::{ClosedShare, MoveReason, Outcome};
use adit_protocol::moment::Moment;
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
        /// Which drill it is, of those of the process.
        number: u64,
        /// The pool.
        from: PoolId,
        /// How many of its miners here.
        miners: u64,
        /// Whether those that cannot be switched live are closed, so that they come back there.
        may_close: bool,
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
    number: u64,
    home: PoolId,
    may_close: bool,
    tally: Arc<Tally>,
}

/// A miner under drill that was closed and has not come back: what the login that is kept for it knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traveller {
    /// Its drill's number: the login may be kept for longer than that drill takes.
    drill: u64,
    /// It is on its way home.
    is_homeward: bool,
    /// When it was to move.
    began: Moment,
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
            DrillStep::Leave { number, from, miners, may_close, tally } => {
                self.drill_is_over();
                self.drill = Some(Drill { number, home: from, may_close, tally: tally.clone() });
                self.draw_miners(from, miners, &tally);
            }
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
        let may_close = self.drill.as_ref().is_some_and(|drill| drill.may_close);
        if !may_close && !pair.session.takes_extranonce() {
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
        let may_close = self.drill.as_ref().is_some_and(|drill| drill.may_close);
        if let Some(pair) = self.pairs.get_mut(key) {
            pair.moves.wanted = Some(Wanted { pool, reason: MoveReason::Drill, may_close });
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

    /// A miner is closed so that it comes back where a login is kept for it. If it is under drill, that login knows.
    pub(super) fn drill_closes(&mut self, key: Key) -> Option<Traveller> {
        let drill = self.drill.as_ref()?;
        let (number, tally) = (drill.number, drill.tally.clone());
        let moves = &mut self.pairs.get_mut(key)?.moves;
        let is_homeward = match moves.drill? {
            DrillStage::Leaving => false,
            DrillStage::Returning => true,
            DrillStage::Away | DrillStage::Back => return None,
        };
        let ready_for = moves.ready_for.as_ref().filter(|ready_for| ready_for.0 == MoveReason::Drill);
        let Some(began) = ready_for.map(|ready_for| ready_for.1) else {
            // A failure came first.
            self.left_drill(key, Drilled::Diverted);
            return None;
        };
        moves.drill = None;
        if !is_homeward {
            tally.count(Drilled::Closed);
        }
        Some(Traveller { drill: number, is_homeward, began })
    }

    /// The drill that a miner was closed for, if that is still under way.
    pub(super) fn drill_of(&self, traveller: Traveller) -> Option<&Drill> {
        self.drill.as_ref().filter(|drill| drill.number == traveller.drill)
    }

    /// A miner of this drill is back for which a login was kept.
    pub(super) fn drill_comes_back(&mut self, key: Key, traveller: Traveller) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let stage = if traveller.is_homeward { DrillStage::Returning } else { DrillStage::Leaving };
        pair.moves.drill = Some(stage);
        pair.moves.ready_for = Some(Box::new((MoveReason::Drill, traveller.began)));
    }

    /// The login that was kept for a miner under drill is of no use any more.
    pub(super) fn drill_loses(&mut self, traveller: Traveller) {
        if let Some(drill) = self.drill_of(traveller) {
            drill.tally.left(Drilled::Gone, !traveller.is_homeward);
        }
    }

    /// A miner under drill mines at `to` now, switched live or come back ([`MoveReason::Kept`]).
    pub(super) fn drill_switched(&mut self, key: Key, to: PoolId, reason: MoveReason, took_us: u64) {
        let Some(drill) = &self.drill else { return };
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let Some(stage) = pair.moves.drill else { return };
        pair.moves.drill = match stage {
            DrillStage::Leaving if matches!(reason, MoveReason::Drill | MoveReason::Kept) => {
                drill.tally.moved(reason == MoveReason::Kept, took_us);
                Some(DrillStage::Away)
            }
            DrillStage::Returning if to == drill.home => {
                drill.tally.returned(reason == MoveReason::Kept, took_us);
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_miner_that_was_closed_for_an_earlier_drill_counts_in_no_later_one() {
        let pool = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (mut plane, ..) = crate::shard::tests::plane(&pool);
        let mut begin = |number| {
            let tally = Tally::new(1);
            let (from, tally_there) = (PoolId::NONE, tally.clone());
            plane.drill_step(DrillStep::Leave {
                number,
                from,
                miners: 0,
                may_close: true,
                tally: tally_there,
            });
            for drill in [1, 2] {
                plane.drill_loses(Traveller { drill, is_homeward: true, began: Moment::default() });
            }
            plane.drill_step(DrillStep::Over);
            tally.counts().gone
        };
        assert_eq!([1, 2, 3].map(&mut begin), [1, 1, 0]);
    }
}
