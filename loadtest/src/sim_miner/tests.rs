//! Miners straight at a scripted pool: the test peers themselves, without a proxy between.

use super::*;
use crate::audit::Audit;
use crate::peer::PATIENCE;
use crate::scripted_pool::{Rule, Script, ScriptedPool};

fn fleet(pool: &ScriptedPool, miners: usize, pace: Pace) -> Fleet {
    let config = FleetConfig { pace, ..FleetConfig::new(pool.address(), miners) };
    Fleet::start(&config).unwrap()
}

#[test]
fn every_style_mines_and_the_books_agree() {
    let pool = ScriptedPool::start(Script {
        greeting: vec![],
        job_every: Some(Duration::from_millis(50)),
        ..Script::default()
    })
    .unwrap();
    // Miners that probe for TLS first send the pool a line that it cannot read; it must close for them to go on.
    let styles: Vec<Style> = STYLES.into_iter().filter(|style| !style.probes_tls()).collect();
    let config = FleetConfig {
        styles,
        threads: 2,
        pace: Pace::PerSecond(2_000.0),
        ..FleetConfig::new(pool.address(), 36)
    };
    let fleet = Fleet::start(&config).unwrap();
    assert!(fleet.all_mining_within(PATIENCE));
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 1_000));
    let report = fleet.finish(PATIENCE);
    let log = pool.stop();
    let findings = Audit::new().miners(&report).pool("pool", &log).run();
    findings.assert_clean();
    assert_eq!(findings.totals.accepted, findings.totals.submits);
    assert_eq!(findings.totals.seen_by_pools, findings.totals.submits);
    assert_eq!(report.failures, [""; 0]);
    assert_eq!(report.latency_us.len(), findings.totals.submits);
}

#[test]
fn closed_loop_keeps_its_submits_in_flight() {
    let pool = ScriptedPool::start(Script::default()).unwrap();
    let fleet = fleet(&pool, 18, Pace::InFlight(4));
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 2_000));
    let report = fleet.finish(PATIENCE);
    Audit::new().miners(&report).pool("pool", &pool.stop()).run().assert_clean();
}

#[test]
fn answers_that_a_pool_withholds_doubles_or_reorders_are_told_apart() {
    let script = Script::default()
        .with(Rule::silent("mining.submit").to(1))
        .with(Rule::twice("mining.submit").to(2))
        .with(Rule::reversed("mining.submit", 2).to(6));
    let pool = ScriptedPool::start(script).unwrap();
    let config = FleetConfig {
        styles: vec![Style::Cgminer],
        pace: Pace::InFlight(7),
        submits_max: 7,
        ..FleetConfig::new(pool.address(), 1)
    };
    let fleet = Fleet::start(&config).unwrap();
    assert!(wait::until(PATIENCE, || fleet.progress().answered() == 6));
    let report = fleet.finish(Duration::from_millis(50));
    assert_eq!(report.missing(), 1);
    assert_eq!(report.strays, 1);
    assert_eq!(report.accepted(), 6);
}

#[test]
fn a_stalled_pool_is_charged_for_the_shares_that_were_due_meanwhile() {
    let pool = ScriptedPool::start(Script::default()).unwrap();
    let fleet = fleet(&pool, 10, Pace::PerSecond(1_000.0));
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 50));
    pool.freeze(true);
    let before = fleet.progress().submitted();
    assert!(wait::until(PATIENCE, || fleet.progress().submitted() >= before + 200));
    pool.freeze(false);
    let report = fleet.finish(PATIENCE);
    assert_eq!(report.missing(), 0);
    assert!(report.latency_us.max() >= 150_000, "{}", report.latency_us.max());
    assert!(report.latency_us.len() >= 250);
}

#[test]
fn miners_come_back_after_a_close_and_settle_what_was_open() {
    let pool = ScriptedPool::start(Script::default().with(Rule::silent("mining.submit"))).unwrap();
    let config = FleetConfig {
        styles: vec![Style::EspMiner],
        pace: Pace::InFlight(3),
        reconnect_after: Some(Duration::from_millis(5)),
        ..FleetConfig::new(pool.address(), 4)
    };
    let fleet = Fleet::start(&config).unwrap();
    assert!(wait::until(PATIENCE, || fleet.progress().submitted() == 12));
    pool.follow(Script::default());
    pool.act([crate::scripted_pool::Act::Reset]);
    assert!(wait::until(PATIENCE, || fleet.progress().closes() == 4 && fleet.progress().answered() > 100));
    let report = fleet.finish(PATIENCE);
    assert_eq!(report.count(Answer::ConnectionClosed), 12);
    assert_eq!(report.connects, 8);
    Audit::new().miners(&report).pool("pool", &pool.stop()).run().assert_clean();
}

#[test]
fn miners_that_leave_come_back_and_nobody_else_closed_them() {
    let pool = ScriptedPool::start(Script::default()).unwrap();
    let config = FleetConfig {
        styles: vec![Style::Cgminer],
        pace: Pace::PerSecond(500.0),
        reconnect_after: Some(Duration::from_millis(5)),
        leaves_per_second: 200.0,
        threads: 2,
        ..FleetConfig::new(pool.address(), 10)
    };
    let fleet = Fleet::start(&config).unwrap();
    assert!(wait::until(PATIENCE, || fleet.progress().returns() >= 50));
    let report = fleet.finish(PATIENCE);
    assert_eq!(report.closes, 0);
    assert!(report.connects >= 60);
    assert!(wait::until(PATIENCE, || pool.log().open == 0));
    Audit::new().miners(&report).pool("pool", &pool.stop()).run().assert_clean();
}
