//! A pool resets every connection in the middle of a line, the new ones too.

use adit_loadtest::scripted_pool::Habit;

use crate::support::Scene;

#[test]
fn miners_of_a_pool_that_resets_mid_line_work_for_the_standby_and_see_no_half_line() {
    let mut scene = Scene::at_main(&[]);
    scene.main.take_habit(Habit::Breaking);
    scene.wait_for_all_at(&scene.standby.tag());
    let ended = scene.end();
    assert_eq!(ended.report.failures, [""; 0]);
    ended.assert_each_moved_once();
}
