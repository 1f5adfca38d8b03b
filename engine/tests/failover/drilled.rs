//! A failover drill: a part of the miners goes to the standby and comes back, and no other miner notices.

use adit_loadtest::wait;
use serde_json::Value;

use crate::common::PATIENCE;
use crate::common::operator::Operator;
use crate::support::{MINERS, SWITCHABLE, Scene};

/// Long enough for whatever a test does meanwhile.
const LONG: &str = r#"{"percent":100,"hold_seconds":600}"#;
fn report(operator: &Operator) -> Value {
    operator.get("/drill")["drill"].clone()
}

fn number(report: &Value, field: &str) -> u64 {
    report[field].as_u64().unwrap_or_else(|| panic!("no {field} in {report}"))
}

/// Waits until the drill has come so far, and says what it reports then.
#[track_caller]
fn wait_for(operator: &Operator, phase: &str) -> Value {
    assert!(wait::until(2 * PATIENCE, || report(operator)["phase"] == phase), "{}", report(operator));
    report(operator)
}

#[track_caller]
fn wait_for_standby(scene: &Scene, miners: u64) {
    let progress = scene.fleet.progress();
    let count = || progress.working_for(&scene.standby.tag());
    assert!(wait::until(PATIENCE, || count() == miners), "{} at the standby", count());
}

#[test]
fn miners_that_can_be_switched_live_go_and_come_back_and_the_others_never_move() {
    let (scene, operator, viewer) = Scene::with_operators();
    assert_eq!(report(&viewer), Value::Null, "there was none");
    assert_eq!(viewer.post("/drill", LONG).0, 403);
    assert_eq!(operator.post("/drill", r#"{"action":"cancel"}"#).0, 409, "there is none to cancel");
    assert_eq!(operator.post("/drill", r#"{"pool":"nowhere"}"#).0, 404);
    let begun = operator.command("/drill", r#"{"percent":100,"hold_seconds":10}"#);
    assert_eq!(number(&begun, "affected"), MINERS, "{begun}");
    wait_for_standby(&scene, SWITCHABLE);
    assert_eq!(operator.post("/drill", LONG).0, 409, "one at a time");
    let over = wait_for(&operator, "over");
    assert_eq!(over["outcome"], "completed", "{over}");
    let counts = ["miners", "chosen", "moved", "returned", "not_live", "failed", "diverted", "gone"];
    let counts = counts.map(|field| number(&over, field));
    assert_eq!(counts, [MINERS, MINERS, SWITCHABLE, SWITCHABLE, MINERS - SWITCHABLE, 0, 0, 0], "{over}");
    for time in ["switch_time", "return_time"] {
        let time = &over[time];
        assert_eq!(number(time, "count"), SWITCHABLE, "{over}");
        assert!((1..=number(time, "p99_us")).contains(&number(time, "p50_us")), "{over}");
    }
    assert!(number(&over, "accepted") > 0 && over["problems"] == Value::Array(Vec::new()), "{over}");
    wait_for_standby(&scene, 0);
    let phases = || {
        let events = operator.events("drill");
        events.iter().map(|event| event["phase"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let all = ["leaving", "away", "returning", "over"];
    assert!(wait::until(PATIENCE, || phases() == all), "{:?}", phases());
    let ended = scene.end();
    assert_eq!(ended.report.closes, 0, "nobody lost a connection");
    for (miner, moves) in ended.moves() {
        assert!(matches!(moves, (0 | 2, 0)), "miner {miner}: {moves:?}");
    }
}

#[test]
fn a_stated_share_goes_and_an_operator_may_call_it_back() {
    let (scene, operator, _) = Scene::with_operators();
    let begun = operator.command("/drill", r#"{"percent":5,"hold_seconds":600}"#);
    assert_eq!(number(&begun, "affected"), MINERS / 20, "{begun}");
    let away = wait_for(&operator, "away");
    let (chosen, moved) = (number(&away, "chosen"), number(&away, "moved"));
    assert_eq!((chosen, moved + number(&away, "not_live")), (MINERS / 20, MINERS / 20), "{away}");
    wait_for_standby(&scene, moved);
    operator.command("/drill", r#"{"action":"cancel"}"#);
    let over = wait_for(&operator, "over");
    assert_eq!((&over["outcome"], number(&over, "returned")), (&"cancelled".into(), moved), "{over}");
    wait_for_standby(&scene, 0);
    assert_eq!(scene.end().report.closes, 0);
}

#[test]
fn a_pool_that_dies_in_the_middle_comes_first() {
    let (mut scene, operator, _) = Scene::with_operators();
    operator.command("/drill", LONG);
    wait_for(&operator, "away");
    wait_for_standby(&scene, SWITCHABLE);
    // Where miners would come back to. Those that stayed there move as always.
    scene.main.kill();
    let over = wait_for(&operator, "over");
    assert_eq!((&over["outcome"], number(&over, "returned")), (&"aborted".into(), 0), "{over}");
    assert!(over["problems"][0].as_str().is_some_and(|why| why.contains("cannot be used")), "{over}");
    scene.wait_for_all_at(&scene.standby.tag());
    let ended = scene.end();
    ended.assert_each_moved_once();
}

#[test]
fn a_standby_that_dies_in_the_middle_sends_its_miners_home_and_ends_the_drill() {
    let (mut scene, operator, _) = Scene::with_operators();
    operator.command("/drill", LONG);
    wait_for(&operator, "away");
    wait_for_standby(&scene, SWITCHABLE);
    scene.standby.kill();
    scene.wait_for_all_at(&scene.main.tag());
    let over = wait_for(&operator, "over");
    assert_eq!(over["outcome"], "aborted", "{over}");
    assert_eq!(number(&over, "diverted") + number(&over, "returned"), SWITCHABLE, "{over}");
    assert_eq!(scene.end().report.closes, 0);
}

#[test]
fn a_drill_under_way_when_adit_stops_is_in_the_ledger() {
    let (scene, operator, _) = Scene::with_operators();
    operator.command("/drill", LONG);
    wait_for(&operator, "away");
    let kept = scene.stop_adit();
    let rows = rusqlite::Connection::open(kept.file()).expect("the ledger");
    let stopped = "SELECT detail FROM events WHERE actor = 'ada' AND detail LIKE 'stopped with Adit: %'";
    let told: String = rows.query_row(stopped, [], |row| row.get(0)).expect("an event of the drill");
    assert!(told.contains(" 100 of 200 chosen moved to "), "{told}");
}

#[test]
fn miners_that_cannot_be_switched_live_are_closed_for_it_only_on_request_and_told_apart() {
    const CLOSED: u64 = MINERS - SWITCHABLE;
    let (scene, operator, _) = Scene::with_operators();
    operator.command("/drill", r#"{"percent":100,"hold_seconds":600,"reconnect":true}"#);
    let away = wait_for(&operator, "away");
    let counts = ["chosen", "moved", "closed", "reconnected", "not_live", "failed", "diverted", "gone"];
    let counts = counts.map(|field| number(&away, field));
    assert_eq!(counts, [MINERS, MINERS, CLOSED, CLOSED, 0, 0, 0, 0], "{away}");
    wait_for_standby(&scene, MINERS);
    operator.command("/drill", r#"{"action":"cancel"}"#);
    let over = wait_for(&operator, "over");
    assert_eq!(
        ["returned", "reconnected_back"].map(|field| number(&over, field)),
        [MINERS, CLOSED],
        "{over}"
    );
    let times = ["switch_time", "return_time", "reconnect_time", "reconnect_back_time"];
    let times = times.map(|time| number(&over[time], "count"));
    assert_eq!(times, [SWITCHABLE, SWITCHABLE, CLOSED, CLOSED], "{over}");
    wait_for_standby(&scene, 0);
    let ended = scene.end();
    assert_eq!(ended.report.closes, 2 * CLOSED, "there and back");
    for (miner, moves) in ended.moves() {
        assert!(matches!(moves, (2, 0) | (0, 2)), "miner {miner}: {moves:?}");
    }
}

#[test]
fn where_no_login_would_be_kept_no_miner_is_closed_for_a_drill() {
    let (scene, operator, _) = Scene::with_operators_and(&["failover.reserve_ms=0"]);
    let (status, refusal) = operator.post("/drill", r#"{"percent":100,"hold_seconds":2,"reconnect":true}"#);
    assert_eq!(status, 409, "{refusal}");
    assert!(refusal.to_string().contains("set failover.reserve_ms"), "{refusal}");
    operator.command("/drill", r#"{"percent":100,"hold_seconds":2}"#);
    let over = wait_for(&operator, "over");
    assert_eq!((number(&over, "returned"), number(&over, "closed")), (SWITCHABLE, 0), "{over}");
    assert_eq!(scene.end().report.closes, 0);
}
