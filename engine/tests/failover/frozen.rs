//! A pool's process is stopped: its sockets stay open, the kernel goes on to accept and acknowledge, and nothing comes.

use crate::support::Scene;

#[test]
fn miners_of_a_frozen_pool_work_for_the_standby_and_what_it_says_later_harms_nobody() {
    let scene = Scene::at_main(&[]);
    scene.main.freeze().expect("the pool stops");
    scene.wait_for_all_at(&scene.standby.tag());
    scene.main.thaw().expect("the pool goes on");
    scene.end().assert_each_moved_once();
}

#[test]
fn a_pool_without_shares_is_left_when_it_is_silent_for_too_long() {
    // No share is due for so long that its deadline can be what told.
    let settings = ["timeouts.submit_reply_ms=600000", "timeouts.pool_silence_ms=10000"];
    let scene = Scene::at_main(&settings);
    scene.main.freeze().expect("the pool stops");
    scene.wait_for_all_at(&scene.standby.tag());
    scene.end().assert_each_moved_once();
}
