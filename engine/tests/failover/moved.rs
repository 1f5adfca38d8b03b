//! An operator moves miners.

use adit_loadtest::wait;
use serde_json::Value;

use crate::common::PATIENCE;
use crate::support::{MINERS, SWITCHABLE, Scene};

/// Miners that can be switched live, and one that cannot, by their numbers.
const LIVE: [&str; 2] = ["sim.rig1", "sim.rig3"];
const NOT_LIVE: &str = "sim.rig0";
/// The name of a pool that was given none.
fn name_of(url: &str) -> String {
    url.trim_start_matches("stratum+tcp://").to_owned()
}

#[track_caller]
fn wait_for(scene: &Scene, at_standby: u64) {
    let progress = scene.fleet.progress();
    let count = || (progress.working_for(&scene.main.tag()), progress.working_for(&scene.standby.tag()));
    let wanted = (MINERS - at_standby, at_standby);
    assert!(wait::until(PATIENCE, || count() == wanted), "{:?} are at both pools", count());
}

fn count(answer: &Value) -> u64 {
    answer["affected"].as_u64().expect("a count")
}

#[test]
fn a_worker_is_switched_live_and_kept_for_the_time_that_was_said() {
    let (scene, operator, _) = Scene::with_operators();
    let (main, standby) = (name_of(&scene.main.url()), name_of(&scene.standby.url()));
    let move_one = |name: &str, to: &str, hold: u32| {
        operator
            .command(&format!("/workers/{name}/move"), &format!(r#"{{"to":"{to}","hold_seconds":{hold}}}"#))
    };
    let answer = move_one(LIVE[0], &standby, 3_600);
    assert_eq!((count(&answer), &answer["details"][0]), (1, &"1 connection switched live".into()));
    wait_for(&scene, 1);
    // The other one's time is over at once, and it goes back: so what fetches miners back is at work.
    move_one(LIVE[1], &standby, 1);
    let switched = || {
        let events = operator.events("switch");
        let of = |name: &str| events.iter().filter(|event| event["worker"] == name).count();
        (of(LIVE[0]), of(LIVE[1]))
    };
    assert!(wait::until(PATIENCE, || switched() == (1, 2)), "{:?}", switched());
    wait_for(&scene, 1);
    assert_eq!(count(&move_one(LIVE[0], &standby, 3_600)), 0, "it is there already");
    // Wherever the configuration says.
    assert_eq!(count(&operator.command(&format!("/workers/{}/move", LIVE[0]), "")), 1);
    wait_for(&scene, 0);
    assert!(wait::until(PATIENCE, || switched() == (2, 2)), "{:?}", switched());
    let (_, refusal) = operator.post("/workers/sim.rig1/move", &format!(r#"{{"to":"{main}x"}}"#));
    assert_eq!(refusal["detail"], format!("there is no pool \"{main}x\""));
    let ended = scene.end();
    assert_eq!(ended.report.closes, 0, "nobody lost a connection");
}

#[test]
fn a_worker_that_cannot_be_switched_live_is_closed_only_where_that_is_allowed() {
    let (scene, operator, viewer) = Scene::with_operators();
    let standby = name_of(&scene.standby.url());
    let path = format!("/workers/{NOT_LIVE}/move");
    let (code, refusal) = operator.post(&path, &format!(r#"{{"to":"{standby}","reconnect":false}}"#));
    assert_eq!((code, refusal["title"].as_str()), (409, Some("Conflict")), "{refusal}");
    let order = format!(r#"{{"to":"{standby}"}}"#);
    assert_eq!(operator.post("/workers/nobody/move", &order).0, 404);
    assert_eq!(viewer.post(&path, &order).0, 403);
    assert_eq!(scene.fleet.progress().closes(), 0);
    let answer = operator.command(&path, &order);
    assert_eq!(count(&answer), 1, "{answer}");
    // It comes back to where it was sent, and stays there.
    assert!(wait::until(PATIENCE, || scene.fleet.progress().returns() == 1));
    wait_for(&scene, 1);
    assert_eq!(scene.end().report.closes, 1);
}

#[test]
fn all_miners_of_a_pool_are_moved_now_and_closed_only_where_that_is_allowed() {
    let (scene, operator, _) = Scene::with_operators();
    let (main, standby) = (name_of(&scene.main.url()), name_of(&scene.standby.url()));
    let path = format!("/pools/{main}/move");
    assert_eq!(operator.post(&path, &format!(r#"{{"to":"{main}"}}"#)).0, 422, "to itself");
    let answer = operator.command(&path, r#"{"reconnect":false}"#);
    assert_eq!(count(&answer), SWITCHABLE, "{answer}");
    wait_for(&scene, SWITCHABLE);
    assert_eq!(scene.fleet.progress().closes(), 0);
    let answer = operator.command(&path, "");
    assert_eq!(count(&answer), MINERS - SWITCHABLE, "{answer}");
    wait_for(&scene, MINERS);
    assert_eq!(operator.post(&path, "").0, 409, "nobody is left there");
    // A pool that nobody may be sent to is no place to move to.
    operator.command(&format!("/pools/{standby}/drain"), "");
    let (code, refusal) = operator.post(&path, &format!(r#"{{"to":"{standby}"}}"#));
    assert_eq!(code, 409, "{refusal}");
    assert!(refusal["detail"].as_str().is_some_and(|why| why.contains("draining")), "{refusal}");
    let ended = scene.end();
    assert_eq!(ended.report.closes, MINERS - SWITCHABLE, "each that cannot be switched live, once");
}
