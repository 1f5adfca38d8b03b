//! The only pool there is restarts.

use adit_loadtest::audit::Audit;
use adit_loadtest::sim_miner::{Fleet, Style};
use adit_loadtest::wait;

use crate::common::PATIENCE;
use crate::common::ledger::Kept;
use crate::common::operator::Tokens;
use crate::support::{fleet_config, main_looks, pool};

const MINERS: u64 = 100;
/// Miners of the test whose outage is long.
const FEW_MINERS: u64 = 20;
/// Times that a pool is found away before it starts again: a probe takes it down once more each 1.2 to 1.5 s, 12 s in all. Were
/// its time down to double, the fifth would be later than that, and the sixth later than the grace time.
const DOWNS_COUNT: usize = 10;

#[test]
fn a_restart_of_the_only_pool_loses_no_connection_of_a_miner_that_can_be_switched() {
    let mut pool = pool(0xa0, main_looks());
    let kept = Kept::new();
    let settings = [
        "failover.failures_count=3",
        "failover.grace_ms=600000",
        "failover.backoff_min_ms=100",
        "failover.backoff_max_ms=300",
    ];
    let arguments: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let adit = kept.adit(&pool.url(), &arguments);
    let fleet =
        Fleet::start(&fleet_config(&adit, MINERS, &[Style::EspMiner, Style::Bmminer])).expect("miners");
    let all_at = |tag: &str| wait::until(PATIENCE, || fleet.progress().working_for(tag) == MINERS);
    assert!(all_at(&pool.tag()));
    assert!(wait::until(PATIENCE, || fleet.progress().accepted() >= 100));
    pool.kill();
    let refused = fleet.progress().answered() - fleet.progress().accepted();
    let told = || fleet.progress().answered() - fleet.progress().accepted() > refused + 20;
    assert!(wait::until(PATIENCE, told), "shares without a pool are answered");
    pool.start_again().expect("the pool starts");
    assert!(all_at(&pool.tag()), "{} of {MINERS} are back", fleet.progress().working_for(&pool.tag()));
    let accepted = fleet.progress().accepted();
    assert!(wait::until(PATIENCE, || fleet.progress().accepted() >= accepted + 100));
    let report = fleet.finish(PATIENCE);
    let closed = kept.books(adit);
    let logs = pool.stop();
    let books = logs.iter().fold(Audit::new().miners(&report), |books, log| books.pool("the pool", log));
    closed.audit(books).run().assert_clean();
    assert_eq!(report.closes, 0);
    assert_eq!(report.connects, MINERS);
}

/// With the settings that everybody has who set none.
#[test]
fn a_pool_that_was_away_for_much_of_the_grace_time_is_found_again_before_it_ends() {
    let mut pool = pool(0xa0, main_looks());
    let tokens = Tokens::default();
    let kept = Kept::new().by(Some(tokens.viewing()));
    // Other tests with one pool want other settings than the default ones.
    let known = tokens.setting();
    let settings =
        ["--set", "failover.failures_count=3", "--set", "failover.grace_ms=30000", "--set", &known];
    let adit = kept.adit(&pool.url(), &settings);
    let operator = tokens.operator(adit.admin_address().expect("it answers operators"));
    let fleet =
        Fleet::start(&fleet_config(&adit, FEW_MINERS, &[Style::EspMiner, Style::Bmminer])).expect("miners");
    let all_at = |tag: &str| wait::until(PATIENCE, || fleet.progress().working_for(tag) == FEW_MINERS);
    assert!(all_at(&pool.tag()));
    pool.kill();
    let downs = || operator.events("pool_state").iter().filter(|event| event["to"] == "down").count();
    assert!(wait::until(2 * PATIENCE, || downs() >= DOWNS_COUNT), "the pool was down {} times", downs());
    pool.start_again().expect("the pool starts");
    assert!(all_at(&pool.tag()), "{} of {FEW_MINERS} are back", fleet.progress().working_for(&pool.tag()));
    let report = fleet.finish(PATIENCE);
    let closed = kept.books(adit);
    let logs = pool.stop();
    let books = logs.iter().fold(Audit::new().miners(&report), |books, log| books.pool("the pool", log));
    closed.audit(books).run().assert_clean();
    assert_eq!((report.closes, report.connects), (0, FEW_MINERS));
}
