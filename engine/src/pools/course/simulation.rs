//! Seeded farms at pools that flap: the real decisions ([`Course`], [`PoolsView`], [`Breaker`]) on a clock and with dice of
//! ours. What a shard does between a decision and its effect is played in a few lines: a login takes a moment and may
//! fail, a miner that cannot be switched live is closed and comes back.
//!
//! What must hold, for every miner at every moment:
//! - **hold**: when it is moved by choice, its last move lies a hold time back, its last two moves two hold times, and so on;
//! - **good**: nobody leaves a pool that works for one that has not been good for `good_ms`;
//! - **forced**: a miner whose pool is gone has another one soon, if one works, however often it was moved;
//! - **home**: once all pools stay well, every miner is at its best pool at last.
//!
//! Each of these is broken on purpose ([`Flaw`]) to see that it is noticed.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;

use adit_protocol::pool::Origin;
use adit_store::names::Names;

use super::*;
use crate::clock::Clock;
use crate::pools::breaker::{Breaker, BreakerSettings, Failure, Report, State, Witness};
use crate::pools::catalogue::Catalogue;
use crate::pools::learned::Learned;
use crate::pools::orders::Orders;
use crate::pools::standing::Standings;
use crate::settings::{PoolSettings, Settings};

const SEEDS_COUNT: u64 = 64;
const MINERS_COUNT: u64 = 24;
const STEP_MS: u64 = 100;
/// How long pools flap.
const FLAPPING_MS: u64 = 600_000;
/// What a login takes.
const LOGIN_MS: u64 = 300;
/// How soon a miner without a pool has one again: a login, the breakers' word, some rounds of attempts.
const FORCED_MS: u64 = 20_000;

/// What is done wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// There is no hold time.
    NoHold,
    /// Only the last move counts.
    OneMoveCounts,
    /// What a miner was moved on its earlier connections is forgotten.
    ForgetsOnReturn,
    /// A pool that just came back is as good as any.
    NoGoodTime,
    /// A miner that lost its pool is held, too.
    HoldsAll,
    /// Nobody looks again when pools stand otherwise.
    LooksOnce,
}

/// A pool: how it is in truth, and what Adit thinks.
struct Pool {
    id: PoolId,
    breaker: Breaker,
    is_there: bool,
    /// When that changes.
    changes_at: Moment,
    /// When the probe under way began, and when it is over.
    probe: Option<(Moment, Moment)>,
    /// How it stood when that was last published.
    standing: Standing,
    /// Since when it is there and takes miners.
    takes_since: Moment,
}

enum Place {
    /// Lost, and about to look for another pool.
    Nowhere,
    At,
    /// It has been closed, and comes back.
    Away(Moment),
}

struct Login {
    to: PoolId,
    reason: MoveReason,
    done_at: Moment,
}

struct Rig {
    name: Vec<u8>,
    is_live: bool,
    course: Course,
    place: Place,
    at: PoolId,
    login: Option<Login>,
    /// Where it is awaited, with its login kept.
    kept: Option<PoolId>,
    lost_at: Moment,
    /// Its latest moves.
    moves: VecDeque<Moment>,
}

struct Farm {
    flaw: Flaw,
    now: Moment,
    dice: Dice,
    view: PoolsView,
    pools: Vec<Pool>,
    rigs: Vec<Rig>,
    hold_ms: u64,
    by_choice: u64,
    forced: u64,
    broken: Vec<&'static str>,
}

fn asks(name: &[u8], is_live: bool) -> Asks<'_> {
    let origin = Origin { listener: 0, address: Ipv4Addr::LOCALHOST.into() };
    Asks { origin, path: None, agent: None, name: Some(name), can_follow: is_live }
}

impl Farm {
    fn new(seed: u64, flaw: Flaw) -> Self {
        let mut dice = Dice::seeded(seed);
        let mut settings = Settings::with_pool(PoolSettings::transparent("127.0.0.1", 1));
        let count = 2 + dice.below(3);
        settings.pools = (0..count)
            .map(|n| PoolSettings {
                name: format!("pool{n}"),
                priority: 1 + dice.below(count) as u16,
                weight: 1 + dice.below(3) as u32,
                ..PoolSettings::transparent("127.0.0.1", 1)
            })
            .collect();
        let failover = &mut settings.failover;
        failover.hold_ms = [1_000, 10_000, 60_000][dice.below(3) as usize];
        failover.good_ms = [100, 2_000, 30_000][dice.below(3) as usize];
        failover.failback_spread_ms = [0, 1_000, 30_000][dice.below(3) as usize];
        failover.backoff_min_ms = 200;
        failover.backoff_max_ms = 2_000;
        let timeouts = settings.pools[0].timeouts.clone();
        let breakers = BreakerSettings::new(&settings.failover, &timeouts);
        let hold_ms = settings.failover.hold_ms;
        let catalogue = Arc::new(Catalogue::new(Arc::new(settings), None, &Names::default()).expect("pools"));
        let now = Moment(1_000_000);
        let pools = catalogue
            .pools()
            .map(|entry| Pool {
                id: entry.id,
                breaker: Breaker::new(now, breakers, true),
                is_there: true,
                changes_at: now.plus_ms(dice.below(20_000)),
                probe: None,
                standing: Standing::Settled,
                takes_since: now,
            })
            .collect();
        let (orders, learned) = (Orders::default(), Learned::new(Clock::start()));
        let view = PoolsView { catalogue, standings: Standings::default(), orders, learned };
        let rigs = (0..MINERS_COUNT)
            .map(|n| Rig {
                name: format!("a.rig{n}").into_bytes(),
                is_live: n % 2 == 0,
                course: Course::default(),
                place: Place::Away(now.plus_ms(dice.below(1_000))),
                at: PoolId::NONE,
                login: None,
                kept: None,
                lost_at: Moment::NEVER,
                moves: VecDeque::new(),
            })
            .collect();
        let broken = Vec::new();
        let mut farm = Self { flaw, now, dice, view, pools, rigs, hold_ms, by_choice: 0, forced: 0, broken };
        farm.publish();
        farm
    }

    fn run(mut self) -> Self {
        let over = self.now.plus_ms(FLAPPING_MS);
        while self.now < over {
            self.flap();
            self.step();
        }
        for pool in &mut self.pools {
            pool.is_there = true;
        }
        // All that may be made up for, a time in which a pool becomes good, and one in which everybody goes back.
        let at_rest = self.now.plus_ms((HOLDS_COUNT_MAX + 2) * self.hold_ms + 200_000);
        while self.now < at_rest {
            self.step();
        }
        for n in 0..self.rigs.len() {
            let rig = &self.rigs[n];
            let asks = asks(&rig.name, rig.is_live);
            // Whom weights would have elsewhere stays where that costs a reconnect.
            let is_home = self.view.better(&asks, rig.at).is_none_or(|better| {
                let priority = |pool| self.view.catalogue.get(pool).map(|entry| entry.settings.priority);
                !rig.is_live && priority(better) == priority(rig.at)
            });
            self.must(matches!(rig.place, Place::At) && is_home, "home");
        }
        self
    }

    fn must(&mut self, holds: bool, rule: &'static str) {
        if !holds {
            self.broken.push(rule);
        }
    }

    fn step(&mut self) {
        self.now = self.now.plus_ms(STEP_MS);
        self.probe();
        if self.publish() && self.flaw != Flaw::LooksOnce {
            for n in 0..self.rigs.len() {
                self.rigs[n].course.pools_stand_otherwise();
                self.look(n);
            }
        }
        for n in 0..self.rigs.len() {
            self.live(n);
        }
    }

    /// Pools go and come as they like, each by its own dice: some stay for seconds, some for a minute.
    fn flap(&mut self) {
        for n in 0..self.pools.len() {
            if self.pools[n].changes_at > self.now {
                continue;
            }
            let bound = [500, 5_000, 60_000][self.dice.below(3) as usize];
            let pool = &mut self.pools[n];
            pool.is_there = !pool.is_there;
            pool.changes_at = self.now.plus_ms(100 + self.dice.below(bound));
        }
    }

    fn is_there(&self, pool: PoolId) -> bool {
        self.pools.iter().any(|known| known.id == pool && known.is_there)
    }

    fn publish(&mut self) -> bool {
        let mut is_news = false;
        for pool in &mut self.pools {
            pool.standing = pool.breaker.standing(self.now);
            let standing = match pool.standing {
                Standing::Fresh if self.flaw == Flaw::NoGoodTime => Standing::Settled,
                standing => standing,
            };
            is_news |= self.view.standings.set(pool.id, standing);
            if !(pool.is_there && standing.takes()) {
                pool.takes_since = Moment::NEVER;
            } else if pool.takes_since == Moment::NEVER {
                pool.takes_since = self.now;
            }
        }
        is_news
    }

    /// The breakers' time passes, and what they want to know is tried.
    fn probe(&mut self) {
        for pool in &mut self.pools {
            if let Some((began, _)) = pool.probe.take_if(|(_, done_at)| *done_at <= self.now) {
                let result = if pool.is_there { Ok(()) } else { Err(Failure::Dial) };
                pool.breaker.probed(self.now, result, began, self.dice.roll());
            }
            pool.breaker.tick(self.now, self.dice.roll());
            if matches!(pool.breaker.state(), State::HalfOpen { .. }) && pool.probe.is_none() {
                pool.probe = Some((self.now, self.now.plus_ms(LOGIN_MS)));
            }
        }
    }

    fn report(&mut self, pool: PoolId, report: Report) {
        let random = self.dice.roll();
        if let Some(pool) = self.pools.iter_mut().find(|known| known.id == pool) {
            pool.breaker.report(self.now, report, self.now, random);
        }
    }

    /// What becomes of a miner in this step.
    fn live(&mut self, n: usize) {
        let now = self.now;
        let rig = &mut self.rigs[n];
        match rig.place {
            Place::Away(until) if until <= now => return self.comes(n),
            Place::Away(_) => return,
            Place::At if !self.pools.iter().any(|pool| pool.id == rig.at && pool.is_there) => {
                (rig.place, rig.lost_at) = (Place::Nowhere, now);
                rig.course.failed_at(rig.at);
                let at = rig.at;
                self.report(at, Report::Failed(Failure::Closed, Witness::Anybody));
                self.find(n);
            }
            Place::At | Place::Nowhere => {}
        }
        let rig = &mut self.rigs[n];
        if let Some(login) = rig.login.take_if(|login| login.done_at <= now) {
            self.logged_in(n, &login);
        }
        if self.rigs[n].login.is_none() && self.rigs[n].course.deadline() <= now {
            match self.ask(n, Course::due) {
                Due::Find => self.find(n),
                Due::Move(to, reason) => self.log_in(n, to, reason),
                Due::Wait => {}
            }
        }
        let lost_at = self.rigs[n].lost_at;
        let is_late = matches!(self.rigs[n].place, Place::Nowhere)
            && self.pools.iter().any(|pool| now > pool.takes_since.max(lost_at).plus_ms(FORCED_MS));
        if is_late {
            // Told once for each loss.
            self.rigs[n].lost_at = Moment::NEVER;
        }
        self.must(!is_late, "forced");
    }

    /// It connects: to the login that was kept for it, or wherever the plan says.
    fn comes(&mut self, n: usize) {
        let (now, hold_ms) = (self.now, self.hold_ms());
        let rig = &mut self.rigs[n];
        let made_up_at = rig.course.made_up_at();
        rig.course = Course::default();
        rig.course.arrived(now, hold_ms);
        let kept = rig.kept.take().filter(|&pool| self.view.standing(pool).takes());
        if kept.is_none() {
            // Nobody knows it any more.
            rig.moves.clear();
        } else if self.flaw != Flaw::ForgetsOnReturn {
            rig.course.goes_on_from(made_up_at);
        }
        let is_kept_there = kept.is_some_and(|pool| self.is_there(pool));
        let asks = asks(&self.rigs[n].name, self.rigs[n].is_live);
        let Some(pool) = kept.or_else(|| self.view.choose(&asks, &[])) else {
            self.rigs[n].place = Place::Away(now.plus_ms(1_000 + self.dice.below(1_000)));
            return;
        };
        (self.rigs[n].at, self.rigs[n].place) = (pool, Place::At);
        if is_kept_there {
            self.rigs[n].course.moved(MoveReason::Kept, now, hold_ms);
        }
        self.ask(n, Course::named);
        self.look(n);
    }

    fn hold_ms(&self) -> u64 {
        if self.flaw == Flaw::NoHold { 0 } else { self.hold_ms }
    }

    fn ask<T>(&mut self, n: usize, ask: impl FnOnce(&mut Course, &Miner<'_>, &mut Around<'_>) -> T) -> T {
        let rig = &mut self.rigs[n];
        let state = if matches!(rig.place, Place::Nowhere) { MinerState::Lost } else { MinerState::Mines };
        let asks = asks(&rig.name, rig.is_live);
        let miner = Miner { asks, at: rig.at, state, is_live: rig.is_live, is_kept_here: false };
        ask(&mut rig.course, &miner, &mut Around { pools: &self.view, now: self.now, dice: &mut self.dice })
    }

    fn look(&mut self, n: usize) {
        let rig = &self.rigs[n];
        if rig.login.is_none()
            && !matches!(rig.place, Place::Away(_))
            && self.ask(n, Course::look) == Look::Find
        {
            self.find(n);
        }
    }

    fn find(&mut self, n: usize) {
        let is_held = self.flaw == Flaw::HoldsAll && self.rigs[n].course.hold_until() > self.now;
        if self.rigs[n].login.is_some() || is_held {
            return;
        }
        if let Some((to, reason)) = self.ask(n, Course::find) {
            self.log_in(n, to, reason);
        }
    }

    fn log_in(&mut self, n: usize, to: PoolId, reason: MoveReason) {
        if matches!(reason, MoveReason::FailBack | MoveReason::Placement) {
            let is_good = self.pools.iter().any(|pool| pool.id == to && pool.standing == Standing::Settled);
            self.must(is_good, "good");
        }
        let done_at = self.now.plus_ms(LOGIN_MS + self.dice.below(LOGIN_MS));
        self.rigs[n].course.forget_plan();
        self.rigs[n].login = Some(Login { to, reason, done_at });
    }

    fn logged_in(&mut self, n: usize, login: &Login) {
        let (now, hold_ms) = (self.now, self.hold_ms());
        let is_there = self.is_there(login.to);
        self.report(
            login.to,
            if is_there { Report::LoggedIn } else { Report::Failed(Failure::Dial, Witness::Anybody) },
        );
        let rig = &mut self.rigs[n];
        if !is_there {
            rig.course.failed_at(login.to);
            let must_move =
                matches!(rig.place, Place::Nowhere) || self.view.standing(rig.at) == Standing::Away;
            if must_move {
                return self.find(n);
            }
            rig.course.stays(now, hold_ms);
            return self.look(n);
        }
        // Where it lost its pool meanwhile, nothing was chosen.
        let is_chosen = matches!(login.reason, MoveReason::FailBack | MoveReason::Placement)
            && matches!(rig.place, Place::At);
        self.note_move(n, is_chosen);
        let rig = &mut self.rigs[n];
        if self.flaw == Flaw::OneMoveCounts {
            rig.course = Course::default();
        }
        rig.course.moved(login.reason, now, hold_ms);
        if rig.is_live {
            (rig.at, rig.place) = (login.to, Place::At);
            return self.look(n);
        }
        rig.kept = Some(login.to);
        rig.place = Place::Away(now.plus_ms(500 + self.dice.below(2_000)));
    }

    fn note_move(&mut self, n: usize, is_chosen: bool) {
        let (now, hold_ms) = (self.now, self.hold_ms);
        let moves = &mut self.rigs[n].moves;
        let is_held = is_chosen
            && (1_u64..).zip(moves.iter().rev()).any(|(count, &at)| at.plus_ms(count * hold_ms) > now);
        if moves.len() as u64 == HOLDS_COUNT_MAX {
            moves.pop_front();
        }
        moves.push_back(now);
        self.by_choice += u64::from(is_chosen);
        self.forced += u64::from(!is_chosen);
        self.must(!is_held, "hold");
    }
}

#[test]
fn pools_that_flap_move_nobody_by_choice_more_than_once_per_hold_time() {
    let (mut by_choice, mut forced) = (0, 0);
    for seed in 0..SEEDS_COUNT {
        let farm = Farm::new(seed, Flaw::None).run();
        assert_eq!(farm.broken, [""; 0], "seed {seed}");
        by_choice += farm.by_choice;
        forced += farm.forced;
    }
    println!("{by_choice} moves by choice, {forced} forced ones in {SEEDS_COUNT} seeds");
    assert!(by_choice > 10 * SEEDS_COUNT && forced > 100 * SEEDS_COUNT, "{by_choice} {forced}");
}

#[test]
fn each_flaw_is_noticed() {
    for (flaw, rule) in [
        (Flaw::NoHold, "hold"),
        (Flaw::OneMoveCounts, "hold"),
        (Flaw::ForgetsOnReturn, "hold"),
        (Flaw::NoGoodTime, "good"),
        (Flaw::HoldsAll, "forced"),
        (Flaw::LooksOnce, "home"),
    ] {
        let is_noticed = (0..SEEDS_COUNT).any(|seed| Farm::new(seed, flaw).run().broken.contains(&rule));
        assert!(is_noticed, "{flaw:?}: no seed breaks the rule of {rule}");
    }
}
