//! Under load and through faults the books agree: nothing lost, nothing twice, nothing accepted that no pool accepted.

mod common;

use std::time::Duration;

use adit_loadtest::audit::{Audit, Findings};
use adit_loadtest::cpu_miner::{CpuMiner, CpuMinerConfig};
use adit_loadtest::peer::PATIENCE;
use adit_loadtest::practice_pool::{PracticePool, PracticePoolConfig};
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Act, Rule, Script, ScriptedPool};
use adit_loadtest::shapes::FAILURE_SHAPES;
use adit_loadtest::sim_miner::{Fleet, FleetConfig, FleetReport, Pace, Style};
use adit_loadtest::wait;

use common::ledger::Kept;

/// Where answers come out of order, ids that are used again cannot tell them apart, neither here nor at a real miner.
const UNIQUE_IDS: [Style; 5] =
    [Style::Cgminer, Style::CgminerRolling, Style::EspMiner, Style::StringIds, Style::OddIds];

fn fleet(adit: &Adit, config: FleetConfig) -> Fleet {
    Fleet::start(&FleetConfig { address: adit.address(), ..config }).expect("miners start")
}

fn config(miners: usize, pace: Pace) -> FleetConfig {
    FleetConfig { pace, ..FleetConfig::new(([127, 0, 0, 1], 0).into(), miners) }
}

/// The fleet's, the pool's and the ledger's books, which agree.
#[track_caller]
fn audited(report: &FleetReport, pool: ScriptedPool, adit: Adit, kept: &Kept) -> Findings {
    let books = kept.books(adit);
    // The pool may still be reading what the last connections left behind.
    wait::until(PATIENCE, || pool.log().open == 0);
    let log = pool.stop();
    let findings = books.audit(Audit::new().miners(report).pool("pool", &log)).run();
    findings.assert_clean();
    println!(
        "{:?}\nfrom due to answer: p50 {} us, p99 {} us, max {} us",
        findings.totals,
        report.latency_us.value_at_quantile(0.5),
        report.latency_us.value_at_quantile(0.99),
        report.latency_us.max()
    );
    findings
}

#[test]
fn miners_of_every_style_at_a_fixed_rate_are_all_answered() {
    let pool =
        ScriptedPool::start(Script { job_every: Some(Duration::from_millis(200)), ..Script::default() })
            .unwrap();
    let kept = Kept::new();
    let adit = kept.adit(&pool.url(), &["--shards", "2"]);
    let fleet = fleet(&adit, config(100, Pace::PerSecond(2_000.0)));
    assert!(fleet.all_mining_within(PATIENCE));
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 5_000));
    let report = fleet.finish(PATIENCE);
    assert_eq!(report.failures, [""; 0]);
    assert_eq!(report.closes, 0);
    let findings = audited(&report, pool, adit, &kept);
    assert_eq!(findings.totals.accepted, findings.totals.submits);
    assert_eq!(report.latency_us.len(), findings.totals.submits);
}

#[test]
fn refusals_late_doubled_and_reordered_answers_reach_the_right_shares() {
    let script = Script::default()
        .with(Rule::late("mining.submit", Duration::from_millis(30)).from(2).every(7))
        .with(Rule::twice("mining.submit").from(3).every(7))
        .with(Rule::reversed("mining.submit", 3).from(4).every(7))
        .with(Rule::answer("mining.submit", FAILURE_SHAPES[2]).from(5).every(7))
        .with(Rule::answer("mining.submit", FAILURE_SHAPES[3]).from(6).every(7));
    let pool = ScriptedPool::start(script).unwrap();
    let kept = Kept::new();
    let adit = kept.adit(&pool.url(), &["--set", "timeouts.submit_reply_ms=8000"]);
    let fleet =
        fleet(&adit, FleetConfig { styles: UNIQUE_IDS.to_vec(), ..config(20, Pace::PerSecond(500.0)) });
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 1_500));
    let report = fleet.finish(PATIENCE);
    let findings = audited(&report, pool, adit, &kept);
    assert!(findings.totals.rejected >= 300, "{findings}");
    assert_eq!(findings.totals.accepted_late, 0);
}

#[test]
fn submits_that_a_pool_leaves_unanswered_are_refused_once() {
    let script = Script::default().with(Rule::silent("mining.submit").from(2).every(5));
    let pool = ScriptedPool::start(script).unwrap();
    let kept = Kept::new();
    let adit = kept.adit(&pool.url(), &["--set", "timeouts.submit_reply_ms=300"]);
    let fleet =
        fleet(&adit, FleetConfig { styles: UNIQUE_IDS.to_vec(), ..config(30, Pace::PerSecond(600.0)) });
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 1_200));
    let report = fleet.finish(PATIENCE);
    let silent = pool.log().submits.iter().filter(|submit| submit.verdict.is_none()).count() as u64;
    let findings = audited(&report, pool, adit, &kept);
    assert!(silent >= 200, "{findings}");
    // A machine that is busy with others lets the pool answer some of them too late.
    let late = findings.totals.accepted_late;
    assert_eq!(findings.totals.refused_here, silent + late, "{findings}");
}

#[test]
fn connections_that_pools_and_miners_break_under_load_lose_no_book_entry() {
    let script = Script::default()
        .with(Rule::on("mining.submit", [Act::Reset]).from(40).to(40))
        .with(Rule::on("mining.submit", [Act::Behave, Act::Close]).from(30).to(30));
    let pool = ScriptedPool::start(script).unwrap();
    let kept = Kept::new();
    let adit = kept.adit(&pool.url(), &[]);
    let reconnect_after = Some(Duration::from_millis(20));
    let fleet = fleet(&adit, FleetConfig { reconnect_after, ..config(40, Pace::InFlight(4)) });
    assert!(wait::until(PATIENCE, || fleet.progress().closes() >= 200));
    for _ in 0..3 {
        pool.act([Act::Reset]);
        let closes = fleet.progress().closes();
        assert!(wait::until(PATIENCE, || fleet.progress().closes() >= closes + 40));
    }
    let report = fleet.finish(PATIENCE);
    assert!(report.closes >= 300);
    let findings = audited(&report, pool, adit, &kept);
    assert!(findings.totals.accepted >= 4_000, "{findings}");
}

#[test]
fn a_pool_that_is_killed_and_comes_back_gets_only_shares_of_its_own() {
    let first = ScriptedPool::start(Script::default()).unwrap();
    let address = first.address();
    let kept = Kept::new();
    let adit = kept.adit(&first.url(), &[]);
    let reconnect_after = Some(Duration::from_millis(50));
    let fleet = fleet(&adit, FleetConfig { reconnect_after, ..config(40, Pace::PerSecond(1_000.0)) });
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 500));
    let first = first.kill();
    assert!(wait::until(PATIENCE, || fleet.progress().closes() >= 40));
    // Another chain of jobs, the same job ids.
    let second = ScriptedPool::start_at(address, Script { tag: "b0".into(), ..Script::default() }).unwrap();
    assert!(fleet.all_mining_within(PATIENCE));
    let answered = fleet.progress().answered();
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= answered + 500));
    let report = fleet.finish(PATIENCE);
    let (books, second) = (kept.books(adit), second.stop());
    let told = Audit::new().miners(&report).pool("first", &first).pool("second", &second);
    let findings = books.audit(told).run();
    findings.assert_clean();
    assert!(findings.totals.accepted >= 900, "{findings}");
}

#[test]
fn a_pool_that_stands_still_for_a_while_costs_time_and_nothing_else() {
    let pool = ScriptedPool::start(Script::default()).unwrap();
    let kept = Kept::new();
    let adit = kept.adit(&pool.url(), &[]);
    let fleet = fleet(&adit, config(20, Pace::PerSecond(500.0)));
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 200));
    pool.freeze(true);
    let submitted = fleet.progress().submitted();
    assert!(wait::until(PATIENCE, || fleet.progress().submitted() >= submitted + 300));
    pool.freeze(false);
    let report = fleet.finish(PATIENCE);
    let findings = audited(&report, pool, adit, &kept);
    assert_eq!(findings.totals.accepted, findings.totals.submits);
    // The rate did not follow the pool: what was due meanwhile is charged with its wait.
    assert!(report.latency_us.max() >= 300_000, "{}", report.latency_us.max());
}

#[test]
fn shares_of_real_work_through_adit_are_accepted_by_a_pool_that_hashes_them() {
    let config = PracticePoolConfig {
        difficulty: 0.000_002, // some 8,600 hashes each
        job_interval: Duration::from_millis(300),
        jobs_per_block: 3,
        ..PracticePoolConfig::default()
    };
    let pool = PracticePool::start(config).unwrap();
    let kept = Kept::new();
    let adit = kept.adit(&pool.url(), &["--user", "ACCOUNT", "--share-check"]);
    let miners: Vec<CpuMiner> = (0..3)
        .map(|number| {
            let user = format!("someone.cpu{number}");
            let config = CpuMinerConfig {
                hashes_per_second_max: Some(200_000.0),
                ..CpuMinerConfig::new(adit.address().to_string(), user)
            };
            CpuMiner::start(config).expect("a miner")
        })
        .collect();
    let accepted = || miners.iter().map(|miner| miner.look(|report| report.accepted)).sum::<u64>();
    assert!(wait::until(PATIENCE, || accepted() >= 100));
    let reports: Vec<FleetReport> =
        miners.into_iter().zip(0..).map(|(miner, number)| miner.stop().fleet_report(number)).collect();
    let books = kept.books(adit);
    let log = pool.stop();
    assert_eq!(log.names.keys().collect::<Vec<_>>(), ["ACCOUNT.cpu0", "ACCOUNT.cpu1", "ACCOUNT.cpu2"]);
    let told = reports.iter().fold(Audit::new(), Audit::miners).pool("practice", &log);
    let findings = books.audit(told).run();
    findings.assert_clean();
    assert!(findings.totals.accepted >= 100, "{findings}");
}
