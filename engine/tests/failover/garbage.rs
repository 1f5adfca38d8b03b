//! A pool sends what nobody can read.

use adit_loadtest::scripted_pool::Habit;

use crate::support::Scene;

#[test]
fn miners_of_a_pool_that_talks_garbage_work_for_the_standby() {
    let mut scene = Scene::at_main(&[]);
    scene.main.take_habit(Habit::Garbage);
    scene.wait_for_all_at(&scene.standby.tag());
    scene.end().assert_each_moved_once();
}
