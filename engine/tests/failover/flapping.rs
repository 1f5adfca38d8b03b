//! A pool goes and comes every few seconds.

use std::time::Duration;

use adit_loadtest::wait;

use crate::common::PATIENCE;
use crate::support::Scene;

/// Times that the pool goes.
const FLAPS: usize = 4;
/// How long it is there, and then not, each time: the length of the fault.
const FLAP: Duration = Duration::from_millis(800);

#[test]
fn a_flapping_pool_moves_each_miner_once_within_the_hold_time() {
    // Good at once, and everybody goes back at once: only the hold time keeps them.
    let settings = ["failover.hold_ms=600000", "failover.good_ms=100", "failover.failback_spread_ms=0"];
    let mut scene = Scene::at_main(&settings);
    scene.main.kill();
    scene.wait_for_all_at(&scene.standby.tag());
    scene.main.start_again().expect("the pool starts");
    // It is tried, and found well again: from here on everybody would go back if they might.
    let is_tried = || scene.main.log().is_some_and(|log| log.requests_of("mining.authorize") > 0);
    assert!(wait::until(PATIENCE, is_tried), "nobody tried whether the pool is back");
    for _ in 0..FLAPS {
        std::thread::sleep(FLAP);
        scene.main.kill();
        std::thread::sleep(FLAP);
        scene.main.start_again().expect("the pool starts");
    }
    std::thread::sleep(FLAP);
    scene.wait_for_all_at(&scene.standby.tag());
    scene.end().assert_each_moved_once();
}

#[test]
fn miners_go_back_to_a_pool_that_stays_good() {
    let settings = ["failover.hold_ms=100", "failover.good_ms=300", "failover.failback_spread_ms=500"];
    let mut scene = Scene::at_main(&settings);
    scene.main.kill();
    scene.wait_for_all_at(&scene.standby.tag());
    scene.main.start_again().expect("the pool starts");
    scene.wait_for_all_at(&scene.main.tag());
    let moves = scene.end().moves();
    assert!(moves.values().all(|&(live, back)| live + back == 2), "{moves:?}");
}
