//! Pools in processes of their own, with miners straight at them. The process is this test's own program.

use super::*;
use crate::audit::Audit;
use crate::peer::{Heard, PATIENCE, Peer};
use crate::scripted_pool::Fit;
use crate::sim_miner::{Fleet, FleetConfig, Pace, Style};

/// Not a test: what the process of a pool runs. Without its variable it has nothing to do.
#[test]
fn a_pool_in_a_process_of_its_own() {
    if std::env::var_os(ENVIRONMENT).is_some() {
        serve(io::stdin(), io::stdout()).expect("a pool");
    }
}

fn pool(number: u8, looks: PoolLooks) -> PoolProcess {
    let program = std::env::current_exe().expect("this program");
    let name = "pool_process::tests::a_pool_in_a_process_of_its_own";
    let arguments = ["--exact", name, "--nocapture"].map(String::from).into();
    PoolProcess::start(&Launcher { program, arguments }, number, looks).expect("a pool")
}

fn fleet(pool: &PoolProcess) -> Fleet {
    let config = FleetConfig {
        styles: vec![Style::Cgminer, Style::EspMiner],
        pace: Pace::PerSecond(400.0),
        reconnect_after: Some(Duration::from_millis(20)),
        ..FleetConfig::new(pool.address(), 8)
    };
    Fleet::start(&config).expect("miners")
}

#[test]
fn a_killed_pool_leaves_a_whole_log_and_comes_back_with_other_work() {
    let mut pool = pool(0xb0, PoolLooks { difficulty: "0.00000002".into(), ..PoolLooks::default() });
    let first_tag = pool.tag();
    let fleet = fleet(&pool);
    assert!(fleet.all_mining_within(PATIENCE));
    assert_eq!(fleet.progress().working_for(&first_tag), 8);
    assert!(wait::until(PATIENCE, || fleet.progress().accepted() >= 100));
    pool.kill();
    assert!(!pool.is_alive() && pool.tag() == first_tag);
    assert!(wait::until(PATIENCE, || fleet.progress().closes() >= 8));
    assert_eq!(fleet.progress().working_for(&first_tag), 0);
    pool.start_again().unwrap();
    assert_ne!(pool.tag(), first_tag);
    assert!(wait::until(PATIENCE, || fleet.progress().working_for(&pool.tag()) == 8));
    let accepted = fleet.progress().accepted();
    assert!(wait::until(PATIENCE, || fleet.progress().accepted() >= accepted + 100));
    let report = fleet.finish(PATIENCE);
    let logs = pool.stop();
    assert_eq!(logs.len(), 2);
    let came_back = report.arrivals.iter().filter(|arrival| arrival.from.as_deref() == Some(&first_tag));
    assert!(came_back.clone().count() == 8 && came_back.clone().all(|arrival| !arrival.is_live));
    assert!(logs.iter().all(|log| log.open == 0 && log.accepted_submits() >= 50));
    let findings = Audit::new().miners(&report).pool("first", &logs[0]).pool("second", &logs[1]).run();
    findings.assert_clean();
    assert_eq!(findings.totals.rejected, 0, "{findings}");
}

#[test]
fn a_frozen_pool_accepts_and_is_silent_until_it_thaws() {
    let mut pool = pool(0xb1, PoolLooks::default());
    pool.freeze().unwrap();
    let mut miner = Peer::connect(pool.address()).unwrap();
    miner.send_line(r#"{"id":1,"method":"mining.authorize","params":["n"]}"#).unwrap();
    miner.expect_silence(Duration::from_millis(100));
    pool.thaw().unwrap();
    miner.expect_line(r#"{"id":1,"result":true,"error":null}"#);
    pool.kill();
    assert!(matches!(miner.hear(PATIENCE), Heard::End(_) | Heard::Reset));
}

#[test]
fn a_pool_takes_habits_and_leaves_them() {
    let mut pool = pool(0xb2, PoolLooks { habit: Habit::Refusing, ..PoolLooks::default() });
    let mut miner = Peer::connect(pool.address()).unwrap();
    let ask = r#"{"id":1,"method":"mining.authorize","params":["n"]}"#;
    miner.send_line(ask).unwrap();
    assert!(miner.line().contains("24"));
    pool.take_habit(Habit::Good);
    // The order and the request take different ways.
    let is_good = || {
        miner.send_line(ask).unwrap();
        miner.line().contains("true")
    };
    assert!(wait::until(PATIENCE, is_good));
    pool.take_habit(Habit::Breaking);
    assert!(matches!(miner.hear(PATIENCE), Heard::Reset));
    pool.take_habit(Habit::Garbage);
    let mut miner = Peer::connect(pool.address()).unwrap();
    assert!(wait::until(PATIENCE, || {
        miner = Peer::connect(pool.address()).unwrap();
        miner.send_line(ask).unwrap();
        matches!(miner.hear(PATIENCE), Heard::Line(line) if line.starts_with(b"HTTP"))
    }));
}

#[test]
fn a_share_that_was_not_worked_for_is_found() {
    let pool = pool(0xb3, PoolLooks { difficulty: "1".into(), ..PoolLooks::default() });
    let mut miner = Peer::connect(pool.address()).unwrap();
    miner.send_line(r#"{"id":1,"method":"mining.subscribe","params":[]}"#).unwrap();
    miner.send_line(r#"{"id":2,"method":"mining.authorize","params":["n"]}"#).unwrap();
    let lines: Vec<String> = (0..4).map(|_| miner.line()).collect();
    let job = lines.iter().find(|line| line.contains("mining.notify\",\"params")).expect("a job");
    let params = crate::json_line::JsonLine::read(job.as_bytes()).unwrap().params();
    let text = |nth: usize| params[nth].as_str().unwrap().to_owned();
    let content = crate::share::JobContent { prevhash: text(1), coinb1: text(2), coinb2: text(3) };
    let extranonce1 = format!("{}000001", pool.tag());
    let nonce = crate::share::seal(&extranonce1, &content, "0000000000000001", &text(7));
    let submit = format!(
        r#"{{"id":3,"method":"mining.submit","params":["n","{}","0000000000000001","{}","{nonce:08x}"]}}"#,
        text(0),
        text(7)
    );
    miner.send_line(&submit).unwrap();
    assert!(miner.line().contains("23"));
    let log = pool.stop().remove(0);
    assert_eq!(log.submits[0].fit, Fit::TooEasy);
}
