//! The only pool there is restarts.

use adit_loadtest::audit::Audit;
use adit_loadtest::sim_miner::{Fleet, Style};
use adit_loadtest::wait;

use crate::common::PATIENCE;
use crate::common::ledger::Kept;
use crate::support::{fleet_config, main_looks, pool};

const MINERS: u64 = 100;

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
