use std::time::Instant;

use super::*;
use crate::audit::Audit;
use crate::peer::{PATIENCE, PeerListener};
use crate::practice_pool::{PracticePool, PracticePoolConfig};
use crate::wait;

/// A few thousand hashes per share: some milliseconds.
const DIFFICULTY: f64 = 1e-6;

fn pool(change: impl FnOnce(&mut PracticePoolConfig)) -> PracticePool {
    let mut config = PracticePoolConfig {
        difficulty: DIFFICULTY,
        transactions_count: 20,
        ..PracticePoolConfig::default()
    };
    change(&mut config);
    PracticePool::start(config).unwrap()
}

fn miner(pool: &str) -> CpuMiner {
    miner_with(pool, |_| ())
}

fn miner_with(pool: &str, change: impl FnOnce(&mut CpuMinerConfig)) -> CpuMiner {
    let mut config = CpuMinerConfig {
        backoff_min: Duration::from_millis(5),
        hashes_per_second_max: Some(500_000.0),
        settle: PATIENCE,
        ..CpuMinerConfig::new(pool, "account.rig")
    };
    change(&mut config);
    CpuMiner::start(config).unwrap()
}

fn mines(miner: &CpuMiner, more: u64) -> bool {
    let goal = miner.look(|report| report.accepted) + more;
    wait::until(PATIENCE, || miner.look(|report| report.accepted) >= goal)
}

/// Ends both and compares their books.
fn settle(miner: CpuMiner, pool: PracticePool) -> MinerReport {
    let report = miner.stop();
    let log = pool.stop();
    let fleet = report.fleet_report(0);
    Audit::new().miners(&fleet).pool("practice", &log).run().assert_clean();
    assert_eq!(report.waiting(), 0, "{report:?}");
    report
}

#[test]
fn a_miner_and_a_pool_agree_on_every_share() {
    for (extranonce2_size, version_mask) in [(8, 0x1fff_e000), (4, 0x00ff_0000), (4, 0)] {
        let pool = pool(|config| {
            config.extranonce2_size = extranonce2_size;
            config.version_mask = version_mask;
        });
        let miner = miner_with(&pool.url(), |config| config.threads_count = 2);
        assert!(mines(&miner, 20), "{:?}", miner.report());
        let stats = pool.stats();
        assert_eq!(stats.workers.keys().map(|name| &**name).collect::<Vec<_>>(), ["account.rig"]);
        let report = settle(miner, pool);
        assert!(report.hashes > 20_000, "twenty shares cost about 86,000 hashes");
        assert_eq!((report.rejected_count(), report.unanswered, report.strays), (0, 0, 0), "{report:?}");
        assert_eq!(report.latency_us().len(), report.accepted);
        assert_eq!(report.connects, 1);
    }
}

#[test]
fn jobs_blocks_and_difficulties_may_change_at_any_time() {
    let pool = pool(|config| {
        config.job_interval = Duration::from_millis(20);
        config.jobs_per_block = 3;
    });
    let miner = miner(&pool.url());
    for difficulty in [DIFFICULTY * 3.0, DIFFICULTY / 2.0, DIFFICULTY] {
        pool.set_difficulty(difficulty);
        assert!(wait::until(PATIENCE, || miner.look(|report| report.difficulty.to_bits())
            == difficulty.to_bits()));
        assert!(mines(&miner, 10));
    }
    let stale = pool.stats().rejected;
    assert!(stale.keys().all(|&code| code == 21), "a share may cross with a block on its way: {stale:?}");
    let report = settle(miner, pool);
    assert!(report.jobs > 3 && report.unanswered == 0, "{report:?}");
}

#[test]
fn a_miner_comes_back_after_a_lost_connection_and_finds_no_share_twice() {
    let pool = pool(|_| ());
    let miner = miner(&pool.url());
    for connects in 2..5 {
        assert!(mines(&miner, 3));
        pool.disconnect_all();
        assert!(wait::until(PATIENCE, || miner.look(|report| report.connects) >= connects));
    }
    assert!(mines(&miner, 3));
    let report = settle(miner, pool);
    assert!(!report.rejected.contains_key(&22), "{report:?}");
    assert!(report.failures.iter().any(|failure| failure.contains("closed")), "{:?}", report.failures);
}

#[test]
fn a_miner_waits_for_a_pool_that_is_not_there_yet() {
    let address = pool(|_| ()).address(); // free again, for nobody else so soon
    let miner = miner(&address.to_string());
    assert!(wait::until(PATIENCE, || miner.look(|report| report.failures.len() >= 2)));
    assert!(!miner.look(|report| report.is_mining));
    let pool = pool(|config| config.listen = address);
    assert!(mines(&miner, 1));
    settle(miner, pool);
}

#[test]
fn stopping_is_prompt_while_nobody_answers() {
    let miner = miner_with("127.0.0.1:1", |config| config.backoff_min = Duration::from_secs(3_600));
    assert!(wait::until(PATIENCE, || !miner.look(|report| report.failures.is_empty())));
    let start = Instant::now();
    let report = miner.stop();
    assert!(start.elapsed() < PATIENCE);
    assert_eq!((report.connects, report.hashes), (0, 0));
}

#[test]
fn a_share_without_an_answer_is_counted_when_the_wait_is_over() {
    let listener = PeerListener::bind().unwrap();
    let miner = miner_with(&listener.address().unwrap().to_string(), |config| {
        config.settle = Duration::from_millis(20);
    });
    let mut pool = listener.accept();
    for line in [
        r#"{"id":2,"result":[[],"f000000a",4],"error":null}"#,
        r#"{"id":3,"result":true,"error":null}"#,
        r#"{"id":null,"method":"mining.set_difficulty","params":[0.000001]}"#,
        r#"{"id":null,"method":"mining.notify","params":["1","0000000000000000000000000000000000000000000000000000000000000000","0200","ffff",[],"20000000","17034219","66252f80",true]}"#,
    ] {
        pool.send_line(line).unwrap();
    }
    assert!(wait::until(PATIENCE, || miner.look(|report| report.submitted > 0)));
    let report = miner.stop();
    assert_eq!(report.unanswered, report.submitted);
    assert_eq!(report.fleet_report(0).missing() as u64, report.submitted);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (threads_count, rate) in [(0, None), (1, Some(0.0)), (1, Some(-1.0)), (1, Some(f64::NAN))] {
        let config = CpuMinerConfig {
            threads_count,
            hashes_per_second_max: rate,
            ..CpuMinerConfig::new("127.0.0.1:1", "a")
        };
        assert!(CpuMiner::start(config).is_err(), "{threads_count} {rate:?}");
    }
}
