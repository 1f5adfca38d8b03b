//! A pool accepts connections and never says anything.

use adit_loadtest::scripted_pool::Habit;

use crate::support::Scene;

#[test]
fn a_pool_that_never_answers_a_handshake_keeps_no_miner() {
    let scene = Scene::start(Habit::Mute, &["timeouts.first_job_ms=8000"]);
    scene.wait_for_all_at(&scene.standby.tag());
    let ended = scene.end();
    assert!(ended.report.arrivals.iter().all(|arrival| *arrival.to == *"b000"), "nobody mined elsewhere");
}

#[test]
fn miners_of_a_pool_that_falls_silent_work_for_the_standby() {
    let mut scene = Scene::at_main(&[]);
    scene.main.take_habit(Habit::Mute);
    scene.wait_for_all_at(&scene.standby.tag());
    scene.end().assert_each_moved_once();
}
