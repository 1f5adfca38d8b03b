//! A pool refuses the names that it knew, and every share with them.

use adit_loadtest::scripted_pool::Habit;

use crate::support::Scene;

#[test]
fn miners_of_a_pool_that_knows_nobody_any_more_work_for_the_standby() {
    let mut scene = Scene::at_main(&[]);
    scene.main.take_habit(Habit::Refusing);
    scene.wait_for_all_at(&scene.standby.tag());
    let ended = scene.end();
    assert!(ended.report.rejected().contains_key(&24), "{:?}", ended.report.rejected());
    ended.assert_each_moved_once();
}
