//! A pool's process is killed.

use crate::common::ledger::Told;
use crate::support::Scene;

#[test]
fn miners_of_a_killed_pool_work_for_the_standby_and_half_of_them_never_noticed_a_close() {
    let mut scene = Scene::at_main(&[]);
    scene.main.kill();
    scene.wait_for_all_at(&scene.standby.tag());
    let ended = scene.end();
    ended.assert_each_moved_once();
    ended.assert_trail_has_each_move();
    let is_down = |told: &&Told| told.detail.contains(" -> down: ");
    assert!(ended.pool_states.iter().any(|told| is_down(&told)), "the trail knows nothing of the pool");
}

#[test]
fn a_pool_that_was_killed_is_used_again_once_it_is_back() {
    let mut scene = Scene::at_main(&["failover.hold_ms=100"]);
    scene.main.kill();
    scene.wait_for_all_at(&scene.standby.tag());
    scene.main.start_again().expect("the pool starts");
    // It is taken for what it is, a pool that works: when the other one goes, miners come.
    scene.standby.kill();
    scene.wait_for_all_at(&scene.main.tag());
    let ended = scene.end();
    assert!(ended.findings.totals.accepted > 300, "{}", ended.findings);
}
