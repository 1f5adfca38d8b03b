//! Warm standby: connections that are subscribed before anybody needs them.

use std::time::Duration;

use adit_loadtest::audit::admin_page;
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Rule, Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, Style};
use adit_loadtest::wait;

use crate::common::PATIENCE;
use crate::common::ledger::Kept;
use crate::kept::{adit, assert_clean, pool, wait_for_all_at};
use crate::support::fleet_config;

/// Spare connections of each of the two shards.
const SPARES: u64 = 6;
const IN_STOCK: u64 = 2 * SPARES;
const STANDBY: [&str; 2] = ["groups.0.name=default", "groups.0.warm_standby=6"];
/// Miners that can be switched live: few enough that either shard has spares for all of them.
const MINERS: u64 = SPARES;
const STYLES: [Style; 2] = [Style::EspMiner, Style::Bmminer];

/// Waits until both shards have all the spare connections to a pool that they are to have, by Adit's own count: that the
/// pool has answered a subscribe does not say that the connection is in stock already.
#[track_caller]
fn wait_for_stock(adit: &Adit, pool: &ScriptedPool) {
    let admin = adit.admin_address().expect("it answers operators");
    let in_stock = || {
        let page = admin_page(admin, "/stats/pools").expect("its pools");
        let pools = page["pools"].as_array().expect("a list");
        let own = pools.iter().find(|entry| entry["url"] == pool.url()).expect("the pool");
        own["standby"].as_u64().expect("a number")
    };
    assert!(
        wait::until(PATIENCE, || in_stock() == IN_STOCK),
        "{} of {IN_STOCK}: {:?}",
        in_stock(),
        pool.log()
    );
}

/// The same pool, that does not subscribe anybody any more.
fn without_subscribe(tag: &str) -> Script {
    let job_every = Some(Duration::from_secs(1));
    Script { tag: tag.into(), job_every, ..Script::default() }.with(Rule::silent("mining.subscribe"))
}

#[test]
fn a_switch_to_a_pool_in_stock_needs_no_subscribe() {
    let (main, standby, kept) = (pool("a0"), pool("b0"), Kept::new());
    let adit = adit(&kept, &[&main, &standby], &STANDBY);
    let fleet = Fleet::start(&fleet_config(&adit, MINERS, &STYLES)).expect("miners");
    wait_for_all_at(&fleet, "a0", MINERS);
    wait_for_stock(&adit, &standby);
    // From here on only what is in stock leads to work.
    standby.follow(without_subscribe("b0"));
    let lost = main.kill();
    wait_for_all_at(&fleet, "b0", MINERS);
    let report = fleet.finish(PATIENCE);
    assert_eq!((report.closes, report.connects), (0, MINERS), "all of them were switched live");
    assert_clean(&kept, adit, &[&report], &[lost, standby.stop()]);
}

#[test]
fn a_new_miner_takes_a_connection_in_stock() {
    let (main, standby, kept) = (pool("a0"), pool("b0"), Kept::new());
    let adit = adit(&kept, &[&main, &standby], &STANDBY);
    wait_for_stock(&adit, &main);
    main.follow(without_subscribe("a0"));
    let styles = [Style::Cgminer, Style::CgminerRolling, Style::EspMiner, Style::Bmminer];
    let fleet = Fleet::start(&fleet_config(&adit, MINERS, &styles)).expect("miners");
    wait_for_all_at(&fleet, "a0", MINERS);
    let report = fleet.finish(PATIENCE);
    assert_eq!((report.closes, report.connects), (0, MINERS));
    assert_clean(&kept, adit, &[&report], &[main.stop(), standby.stop()]);
}

#[test]
fn spare_connections_are_made_anew_before_they_are_old() {
    let (main, standby, kept) = (pool("a0"), pool("b0"), Kept::new());
    let adit = adit(&kept, &[&main, &standby], &[STANDBY[0], STANDBY[1], "failover.standby_ms=1500"]);
    wait_for_stock(&adit, &standby);
    let descriptors = adit.usage().expect("usage").descriptors;
    let is_renewed = || standby.log().accepted >= 4 * IN_STOCK;
    assert!(wait::until(2 * PATIENCE, is_renewed), "{:?}", standby.log());
    assert!(standby.log().open <= IN_STOCK + 2 * SPARES, "{:?}", standby.log());
    let flat = || adit.usage().is_ok_and(|usage| usage.descriptors <= descriptors + IN_STOCK as usize);
    assert!(wait::until(PATIENCE, flat), "{descriptors} descriptors became {:?}", adit.usage());
    assert_clean(&kept, adit, &[], &[main.stop(), standby.stop()]);
}

#[test]
fn a_pool_that_goes_takes_its_spare_connections_along_and_harms_nobody() {
    let (main, standby, kept) = (pool("a0"), pool("b0"), Kept::new());
    let adit = adit(&kept, &[&main, &standby], &STANDBY);
    let fleet = Fleet::start(&fleet_config(&adit, MINERS, &STYLES)).expect("miners");
    wait_for_all_at(&fleet, "a0", MINERS);
    wait_for_stock(&adit, &standby);
    let address = standby.address();
    let gone = standby.kill();
    // Shares are accepted as before.
    wait_for_all_at(&fleet, "a0", MINERS);
    let again = wait::for_some(PATIENCE, || {
        let job_every = Some(Duration::from_secs(1));
        let script = Script { tag: "b1".into(), job_every, ..Script::default() };
        ScriptedPool::start_at(address, script).ok()
    });
    let again = again.expect("its address is free again");
    wait_for_stock(&adit, &again);
    let lost = main.kill();
    wait_for_all_at(&fleet, "b1", MINERS);
    let report = fleet.finish(PATIENCE);
    assert_eq!(report.closes, 0);
    assert_clean(&kept, adit, &[&report], &[lost, gone, again.stop()]);
}

#[test]
fn a_spare_connection_tells_its_pool_no_name() {
    let (main, standby, kept) = (pool("a0"), pool("b0"), Kept::new());
    let adit = adit(&kept, &[&main, &standby], &STANDBY);
    wait_for_stock(&adit, &main);
    wait_for_stock(&adit, &standby);
    // But for probes.
    assert!(standby.log().requests_of("mining.authorize") <= 2, "{:?}", standby.log().requests);
    assert_clean(&kept, adit, &[], &[main.stop(), standby.stop()]);
}
