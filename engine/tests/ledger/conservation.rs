//! Pools that are late, silent or lost: the ledger says unanswered, and nothing else is missing.

use std::time::Duration;

use adit_loadtest::audit::{Audit, Findings};
use adit_loadtest::scripted_pool::{Act, Rule, Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace, Style};
use adit_loadtest::wait;

use crate::common::PATIENCE;
use crate::common::ledger::Kept;

/// A fleet against a pool of this script, until so many submits are answered; the books of all.
#[track_caller]
fn audited(script: Script, more: &[&str], answered: u64) -> Findings {
    let pool = ScriptedPool::start(script).expect("a pool");
    let kept = Kept::new();
    let adit = kept.adit(&pool.url(), more);
    let fleet = Fleet::start(&FleetConfig {
        pace: Pace::PerSecond(600.0),
        styles: vec![Style::Cgminer, Style::EspMiner],
        reconnect_after: Some(Duration::from_millis(20)),
        ..FleetConfig::new(adit.address(), 30)
    })
    .expect("miners start");
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= answered));
    let report = fleet.finish(PATIENCE);
    let books = kept.books(adit);
    wait::until(PATIENCE, || pool.log().open == 0);
    let log = pool.stop();
    let findings = books.audit(Audit::new().miners(&report).pool("pool", &log)).run();
    findings.assert_clean();
    println!("{:?}", findings.totals);
    findings
}

#[test]
fn acceptances_that_come_too_late_are_unanswered_rows() {
    let late = Rule::late("mining.submit", Duration::from_millis(900)).from(2).every(5);
    let totals =
        audited(Script::default().with(late), &["--set", "timeouts.submit_reply_ms=200"], 1_200).totals;
    // The last of them may be unanswered without having been accepted: Adit stopped before.
    assert!(totals.accepted_late >= 150 && totals.rows_unanswered >= totals.accepted_late, "{totals:?}");
    assert_eq!(totals.rows, totals.submits);
    // Those that were still to come when their miners left are late for nobody.
    assert!(totals.counted_late >= 100 && totals.counted_late <= totals.accepted_late, "{totals:?}");
}

#[test]
fn shares_that_a_pool_never_answers_are_unanswered_rows() {
    let silent = Rule::silent("mining.submit").from(2).every(5);
    let totals =
        audited(Script::default().with(silent), &["--set", "timeouts.submit_reply_ms=300"], 1_200).totals;
    // A machine that is busy with others lets the pool answer some of the others too late.
    let late = totals.accepted_late;
    assert!(totals.rows_unanswered >= 200 + late && totals.counted_late <= late, "{totals:?}");
    assert_eq!(totals.rows, totals.submits);
    assert_eq!(totals.accepted + totals.rows_unanswered, totals.rows);
}

#[test]
fn shares_lost_with_their_connection_are_unanswered_rows() {
    let script = Script::default()
        .with(Rule::late("mining.submit", Duration::from_millis(50)).every(3))
        .with(Rule::on("mining.submit", [Act::Reset]).from(20).to(20));
    let totals = audited(script, &[], 1_000).totals;
    assert!(totals.rows_unanswered >= 20, "{totals:?}");
}
