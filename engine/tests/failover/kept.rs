//! Miners that cannot be switched live are closed and come back: their new pool has logged them in before, and once is
//! enough.

use std::time::Duration;

use adit_loadtest::audit::Audit;
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{PoolLog, Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, FleetReport, Style};
use adit_loadtest::wait;

use crate::common::PATIENCE;
use crate::common::ledger::Kept;
use crate::support::fleet_config;

const MINERS: u64 = 40;
/// Neither can be switched live; the second one waits for the answer to configure before it subscribes.
const STYLES: [Style; 2] = [Style::Cgminer, Style::CgminerRolling];
/// Logins at a pool beside those of miners: probes.
const PROBES_MAX: u64 = 5;
/// Descriptors of probes and of what is on its way out.
const OTHERS_MAX: usize = 8;
/// Nobody waits for so long.
const LONG_MS: &str = "failover.reserve_ms=600000";
/// What a test of this file wants of pools that it breaks.
const SETTINGS: [&str; 4] = [
    "failover.grace_ms=600000",
    "failover.backoff_min_ms=100",
    "failover.backoff_max_ms=500",
    "timeouts.submit_reply_ms=8000",
];

/// A pool with this tag whose shares are not asked for work.
#[track_caller]
pub fn pool(tag: &str) -> ScriptedPool {
    let job_every = Some(Duration::from_secs(1));
    ScriptedPool::start(Script { tag: tag.into(), job_every, ..Script::default() }).expect("a pool")
}

/// Adit before these pools, the first one first.
#[track_caller]
pub fn adit(kept: &Kept, pools: &[&ScriptedPool], settings: &[&str]) -> Adit {
    let urls: Vec<String> = pools.iter().map(|pool| pool.url()).collect();
    let mut arguments = vec!["--shards", "2"];
    for url in &urls[1..] {
        arguments.extend(["--pool", url]);
    }
    for setting in SETTINGS.iter().chain(settings) {
        arguments.extend(["--set", setting]);
    }
    kept.adit(&urls[0], &arguments)
}

/// Waits until all of the fleet mine at the pool with this tag and get shares accepted there.
#[track_caller]
pub fn wait_for_all_at(fleet: &Fleet, tag: &str, miners: u64) {
    let progress = fleet.progress();
    let all = wait::until(2 * PATIENCE, || progress.working_for(tag) == miners);
    assert!(all, "{} of {miners} miners work for {tag}", progress.working_for(tag));
    let accepted = progress.accepted();
    assert!(wait::until(PATIENCE, || progress.accepted() >= accepted + 2 * miners), "no shares are accepted");
}

/// Holds all books against each other.
#[track_caller]
pub fn assert_clean(kept: &Kept, adit: Adit, reports: &[&FleetReport], logs: &[PoolLog]) {
    let books = kept.books(adit);
    let seen = reports.iter().fold(Audit::new(), |seen, report| seen.miners(report));
    let seen = logs.iter().fold(seen, |seen, log| seen.pool("a pool", log));
    books.audit(seen).run().assert_clean();
}

/// What was asked of a pool before anybody is authorised: subscribe and configure. Which name is known only then, so miners
/// behind one address may take each other's place.
fn asked(pool: &ScriptedPool) -> [u64; 2] {
    let log = pool.log();
    ["mining.subscribe", "mining.configure"].map(|method| log.requests_of(method))
}

#[test]
fn a_miner_that_must_come_back_is_logged_in_once_on_whatever_shard() {
    let (main, standby, kept) = (pool("a0"), pool("b0"), Kept::new());
    let adit = adit(&kept, &[&main, &standby], &[LONG_MS]);
    let fleet = Fleet::start(&fleet_config(&adit, MINERS, &STYLES)).expect("miners");
    wait_for_all_at(&fleet, "a0", MINERS);
    let descriptors = adit.usage().expect("usage").descriptors;
    let before = asked(&standby);
    let lost = main.kill();
    wait_for_all_at(&fleet, "b0", MINERS);
    let after = asked(&standby);
    for (what, wanted) in [(0, MINERS), (1, MINERS / 2)] {
        let new = after[what] - before[what];
        assert!((wanted..=wanted + PROBES_MAX).contains(&new), "{before:?} {after:?}");
    }
    let flat = || adit.usage().is_ok_and(|usage| usage.descriptors <= descriptors + OTHERS_MAX);
    assert!(wait::until(PATIENCE, flat), "{descriptors} descriptors became {:?}", adit.usage());
    let report = fleet.finish(PATIENCE);
    assert_eq!((report.closes, report.connects), (MINERS, 2 * MINERS));
    assert_clean(&kept, adit, &[&report], &[lost, standby.stop()]);
}

#[test]
fn a_login_that_nobody_comes_for_is_closed_in_time() {
    let (main, standby, kept) = (pool("a0"), pool("b0"), Kept::new());
    let adit = adit(&kept, &[&main, &standby], &["failover.reserve_ms=3000"]);
    let descriptors = adit.usage().expect("usage").descriptors;
    let config = FleetConfig { reconnect_after: None, ..fleet_config(&adit, MINERS, &STYLES) };
    let fleet = Fleet::start(&config).expect("miners");
    wait_for_all_at(&fleet, "a0", MINERS);
    let lost = main.kill();
    assert!(wait::until(PATIENCE, || standby.log().open >= MINERS), "not all are prepared");
    assert!(wait::until(PATIENCE, || fleet.progress().closes() == MINERS), "not all are closed");
    assert!(wait::until(PATIENCE, || standby.log().open <= 1), "they are kept for ever");
    let flat = || adit.usage().is_ok_and(|usage| usage.descriptors <= descriptors + OTHERS_MAX);
    assert!(wait::until(PATIENCE, flat), "{descriptors} descriptors became {:?}", adit.usage());
    let report = fleet.finish(PATIENCE);
    assert_clean(&kept, adit, &[&report], &[lost, standby.stop()]);
}

#[test]
fn another_miner_behind_the_same_address_may_have_it_and_mines_under_its_own_name() {
    let (main, standby, kept) = (pool("a0"), pool("b0"), Kept::new());
    let adit = adit(&kept, &[&main, &standby], &[LONG_MS]);
    let config = FleetConfig { reconnect_after: None, ..fleet_config(&adit, 1, &[Style::Cgminer]) };
    let first = Fleet::start(&config).expect("a miner");
    wait_for_all_at(&first, "a0", 1);
    let lost = main.kill();
    assert!(wait::until(PATIENCE, || first.progress().closes() == 1), "it is not closed");
    let before = asked(&standby);
    let other = FleetConfig { name_prefix: "other.rig".into(), ..config };
    let second = Fleet::start(&other).expect("a miner");
    wait_for_all_at(&second, "b0", 1);
    let after = asked(&standby);
    assert!(after[0] - before[0] <= 1, "it had to subscribe: {before:?} {after:?}"); // a probe may have
    assert!(standby.log().names.keys().any(|name| name.contains("other.rig")), "{:?}", standby.log().names);
    let reports = [first.finish(PATIENCE), second.finish(PATIENCE)];
    assert_clean(&kept, adit, &[&reports[0], &reports[1]], &[lost, standby.stop()]);
}

#[test]
fn a_miner_whose_new_pool_dies_before_it_is_back_is_not_harmed() {
    let (main, standby, third, kept) = (pool("a0"), pool("b0"), pool("c0"), Kept::new());
    let adit = adit(&kept, &[&main, &standby, &third], &[LONG_MS]);
    let config = FleetConfig {
        // Long enough for the second kill, on a busy machine too; nothing depends on who is first.
        reconnect_after: Some(Duration::from_secs(3)),
        ..fleet_config(&adit, MINERS, &STYLES)
    };
    let fleet = Fleet::start(&config).expect("miners");
    wait_for_all_at(&fleet, "a0", MINERS);
    let lost = main.kill();
    assert!(wait::until(PATIENCE, || fleet.progress().closes() >= MINERS / 2), "they are not closed");
    let lost_too = standby.kill();
    wait_for_all_at(&fleet, "c0", MINERS);
    let report = fleet.finish(PATIENCE);
    assert_clean(&kept, adit, &[&report], &[lost, lost_too, third.stop()]);
}

#[test]
fn without_a_time_to_keep_it_a_login_goes_with_its_miner() {
    let (main, standby, kept) = (pool("a0"), pool("b0"), Kept::new());
    let adit = adit(&kept, &[&main, &standby], &["failover.reserve_ms=0"]);
    let fleet = Fleet::start(&fleet_config(&adit, MINERS, &STYLES)).expect("miners");
    wait_for_all_at(&fleet, "a0", MINERS);
    let before = asked(&standby);
    let lost = main.kill();
    wait_for_all_at(&fleet, "b0", MINERS);
    let after = asked(&standby);
    assert!(after[0] - before[0] >= 2 * MINERS, "{before:?} {after:?}");
    let report = fleet.finish(PATIENCE);
    assert_clean(&kept, adit, &[&report], &[lost, standby.stop()]);
}
