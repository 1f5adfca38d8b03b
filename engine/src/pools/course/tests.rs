//! Decisions one by one; what follows from many of them is in `simulation.rs`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use adit_protocol::pool::Origin;
use adit_store::names::Names;

use super::*;
use crate::clock::Clock;
use crate::pools::catalogue::Catalogue;
use crate::pools::learned::Learned;
use crate::pools::orders::Orders;
use crate::pools::standing::Standings;
use crate::settings::{PoolSettings, Settings};

const FIRST: PoolId = PoolId(1);
const SECOND: PoolId = PoolId(2);
const HOLD_MS: u64 = 60_000;
const SPREAD_MS: u64 = 30_000;

/// Two pools, the first one first, and a miner at the second.
struct Scene {
    view: PoolsView,
    course: Course,
    dice: Dice,
    now: Moment,
    state: MinerState,
    at: PoolId,
}

impl Scene {
    fn new(first: Standing, second: Standing) -> Self {
        let pool = |name: &str, priority| PoolSettings {
            name: name.to_owned(),
            priority,
            ..PoolSettings::transparent("127.0.0.1", 3333)
        };
        let mut settings = Settings::with_pool(pool("first", 1));
        settings.pools.push(pool("second", 2));
        settings.failover.failback_spread_ms = SPREAD_MS;
        let catalogue = Arc::new(Catalogue::new(Arc::new(settings), None, &Names::default()).unwrap());
        let (orders, learned) = (Orders::default(), Learned::new(Clock::start()));
        let view = PoolsView { catalogue, standings: Standings::default(), orders, learned };
        view.standings.set(FIRST, first);
        view.standings.set(SECOND, second);
        let (course, dice, now) = (Course::default(), Dice::seeded(1), Moment(1_000_000));
        Self { view, course, dice, now, state: MinerState::Mines, at: SECOND }
    }

    fn ask<T>(&mut self, ask: impl FnOnce(&mut Course, &Miner<'_>, &mut Around<'_>) -> T) -> T {
        let origin = Origin { listener: 0, address: Ipv4Addr::LOCALHOST.into() };
        let asks = Asks { origin, path: None, agent: None, name: Some(b"a.rig"), can_follow: false };
        let miner = Miner { asks, at: self.at, state: self.state, is_live: false, is_kept_here: false };
        ask(&mut self.course, &miner, &mut Around { pools: &self.view, now: self.now, dice: &mut self.dice })
    }

    /// Waits for what is planned.
    fn due(&mut self) -> Due {
        self.now = self.now.max(self.course.deadline());
        self.ask(Course::due)
    }
}

#[test]
fn a_miner_goes_back_within_the_spread_and_not_before_its_hold_time_is_over() {
    let mut scene = Scene::new(Standing::Settled, Standing::Settled);
    let began = scene.now;
    assert_eq!(scene.ask(Course::look), Look::Wait);
    assert!(scene.course.deadline() <= began.plus_ms(SPREAD_MS));
    scene.course = Course::default();
    scene.course.arrived(began, HOLD_MS);
    scene.ask(Course::look);
    assert_eq!(scene.course.deadline(), began.plus_ms(HOLD_MS));
    assert_eq!(scene.due(), Due::Move(FIRST, MoveReason::FailBack));
}

#[test]
fn each_move_is_made_up_for_up_to_a_bound() {
    let mut scene = Scene::new(Standing::Settled, Standing::Settled);
    let began = scene.now;
    for count in 1..=2 * HOLDS_COUNT_MAX {
        scene.course.moved(MoveReason::PoolLost, began, HOLD_MS);
        let holds = count.min(HOLDS_COUNT_MAX);
        assert_eq!(scene.course.hold_until(), began.plus_ms(holds * HOLD_MS));
    }
    scene.course.moved(MoveReason::Kept, began, HOLD_MS);
    scene.ask(Course::look);
    assert_eq!(scene.course.deadline(), began.plus_ms(HOLDS_COUNT_MAX * HOLD_MS));
}

#[test]
fn a_plan_of_before_does_not_outrun_the_hold_time() {
    let mut scene = Scene::new(Standing::Away, Standing::Away);
    // Its pool does not work, and there is no other: it is looked at again soon.
    assert_eq!(scene.ask(Course::find), None);
    scene.course.arrived(scene.now, HOLD_MS);
    let hold_until = scene.course.hold_until();
    scene.view.standings.set(FIRST, Standing::Settled);
    scene.view.standings.set(SECOND, Standing::Settled);
    scene.ask(Course::look);
    assert_eq!((scene.due(), scene.course.deadline()), (Due::Wait, hold_until));
    assert_eq!(scene.due(), Due::Move(FIRST, MoveReason::FailBack));
}

#[test]
fn what_an_operator_wants_is_not_held() {
    let mut scene = Scene::new(Standing::Settled, Standing::Settled);
    scene.course.arrived(scene.now, HOLD_MS);
    scene.ask(Course::look);
    assert!(scene.course.deadline() >= scene.now.plus_ms(HOLD_MS));
    scene.view.orders.give(b"a.rig", FIRST, Moment::NEVER);
    scene.ask(Course::look);
    assert!(scene.course.deadline() <= scene.now.plus_ms(SPREAD_MS));
    assert_eq!(scene.due(), Due::Move(FIRST, MoveReason::FailBack));
}

#[test]
fn a_miner_that_lost_its_pool_is_never_held_and_tries_each_pool_once_a_round() {
    let mut scene = Scene::new(Standing::Fresh, Standing::Fresh);
    (0..5).for_each(|_| scene.course.moved(MoveReason::PoolLost, scene.now, HOLD_MS));
    scene.state = MinerState::Lost;
    scene.course.failed_at(SECOND);
    assert_eq!(scene.ask(Course::look), Look::Find);
    assert_eq!(scene.ask(Course::find), Some((FIRST, MoveReason::PoolLost)));
    scene.course.failed_at(FIRST);
    assert_eq!(scene.ask(Course::find), None);
    let wait = |scene: &Scene| scene.course.deadline().since_us(scene.now) / 1_000;
    assert!((ROUND_MS..2 * ROUND_MS).contains(&wait(&scene)));
    assert_eq!(scene.due(), Due::Find);
    assert_eq!(scene.ask(Course::find), Some((FIRST, MoveReason::PoolLost)), "another round");
}

#[test]
fn a_miner_under_drill_stays_where_it_is() {
    let mut scene = Scene::new(Standing::Settled, Standing::Settled);
    scene.ask(|course, miner, around| course.look(&Miner { is_kept_here: true, ..*miner }, around));
    assert_eq!(scene.course.deadline(), Moment::NEVER);
}
