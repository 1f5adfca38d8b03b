//! A restart blanks no figure, in order or by kill -9: hashrates and workers are there before the first share.

use std::net::SocketAddr;

use adit_loadtest::audit::admin_page;
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace};
use adit_loadtest::wait;
use serde_json::Value;

use crate::common::PATIENCE;
use crate::common::ledger::{Kept, assert_sound, book, stop};

const MINERS: usize = 6;
const WINDOWS: [&str; 7] = ["m1", "m5", "m15", "h1", "h6", "d1", "d7"];

fn page(adit: &Adit, path: &str) -> Value {
    let admin: SocketAddr = adit.admin_address().expect("it answers operators");
    admin_page(admin, path).expect(path)
}

/// Workers by name, with their hashrates.
fn workers(adit: &Adit) -> Vec<(String, Vec<f64>)> {
    let page = page(adit, "/stats/workers");
    let workers = page["workers"].as_array().expect("workers").iter();
    let mut workers: Vec<_> = workers
        .map(|worker| {
            let rates = WINDOWS.map(|window| worker["hashrate"][window].as_f64().expect("a rate"));
            (worker["name"].as_str().expect("a name").to_owned(), rates.to_vec())
        })
        .collect();
    workers.sort_by(|(one, _), (other, _)| one.cmp(other));
    workers
}

#[track_caller]
fn restarted_after(end: impl FnOnce(Adit)) {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let kept = Kept::new();
    let first = kept.adit(&pool.url(), &[]);
    let config = FleetConfig { pace: Pace::PerSecond(200.0), ..FleetConfig::new(first.address(), MINERS) };
    let fleet = Fleet::start(&config).expect("miners start");
    assert!(wait::until(PATIENCE, || fleet.progress().accepted() >= 600));
    let shines = |workers: &[(String, Vec<f64>)]| {
        workers.len() == MINERS && workers.iter().all(|(_, rates)| rates.iter().all(|&rate| rate > 0.0))
    };
    assert!(wait::until(PATIENCE, || shines(&workers(&first))), "{:?}", workers(&first));
    let accepted = fleet.finish(PATIENCE).accepted() as u64;
    assert!(wait::until(PATIENCE, || book(kept.file()).sum().accepted == accepted), "all of it is durable");
    let before = workers(&first);
    end(first);

    let second = kept.adit(&pool.url(), &[]);
    let after = workers(&second);
    assert!(shines(&after), "{after:?}");
    let names = |workers: &[(String, Vec<f64>)]| -> Vec<String> {
        workers.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&after), names(&before));
    let all = page(&second, "/stats");
    assert!(WINDOWS.iter().all(|&window| all["hashrate"][window].as_f64() > Some(0.0)), "{all}");
    stop(second);
    assert_sound(kept.file());
    assert_eq!(book(kept.file()).sum().accepted, accepted);
}

#[test]
fn a_restart_in_order_blanks_no_figure() {
    restarted_after(stop);
}

/// The running minute was in memory only: it is made again from the shares before anybody asks.
#[test]
fn a_kill_blanks_no_figure() {
    restarted_after(|mut adit| {
        adit.signal("KILL").expect("it runs");
        assert!(adit.ends_within(PATIENCE).is_some());
    });
}
