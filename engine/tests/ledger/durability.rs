//! kill -9 under load, at any moment: what was promised is there, none twice, and the next start needs no hand.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use adit_loadtest::audit::Rows;
use adit_loadtest::json_line::Verdict;
use adit_loadtest::scripted_pool::{PoolLog, Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace};
use adit_loadtest::wait;
use adit_store::limits::DURABLE_MS_MAX;

use crate::common::PATIENCE;
use crate::common::ledger::{Kept, assert_sound, book, stop};
use crate::disk_witness::DiskWitness;

/// Set it for more kills.
const KILLS_VARIABLE: &str = "LEDGER_KILLS";
const KILLS: u64 = 4;
const MINERS: usize = 20;
const SHARES_PER_SECOND: f64 = 3_000.0;
/// From all miners mining to the kill: long enough for some batches to be owed, short enough to hit every moment of one.
const LIFE_MS_MIN: u64 = 400;
const LIFE_MS_SPREAD: u64 = 300;

/// What is known of one life of the process.
struct Life {
    /// Shares that miners had been told accepted, longer than the promise before the kill.
    promised: u64,
    log: PoolLog,
}

#[test]
fn killed_at_any_moment_it_loses_nothing_that_was_promised() {
    let kills = std::env::var(KILLS_VARIABLE).ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    let kept = Kept::new();
    let mut workers = BTreeMap::new();
    let mut promised = 0;
    for number in 0..kills {
        let life = live_and_die(&kept, number);
        assert_sound(kept.file());
        let found = book(kept.file()).workers().clone();
        let of_this_life = |worker: &String| worker.starts_with(&prefix(number));
        let old: BTreeMap<_, _> = found.iter().filter(|(worker, _)| !of_this_life(worker)).collect();
        assert!(old.into_iter().eq(&workers), "kill {number} changed rows of an earlier life");
        let new = || found.iter().filter(|(worker, _)| of_this_life(worker));
        let accepted: u64 = new().map(|(_, rows)| rows.accepted).sum();
        assert!(accepted >= life.promised, "kill {number}: {} promised, {accepted} there", life.promised);
        for (worker, rows) in new() {
            // None twice, and none that no pool accepted.
            let there = accepted_from(worker, &life.log);
            assert!(rows.accepted <= there, "kill {number}, {worker}: {rows:?}, {there} at the pool");
            assert_eq!(*rows, Rows { accepted: rows.accepted, ..Rows::default() }, "kill {number}, {worker}");
        }
        promised += life.promised;
        workers = found;
    }
    // One more start, and an end in order.
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    stop(kept.adit(&pool.url(), &[]));
    assert_sound(kept.file());
    assert_eq!(*book(kept.file()).workers(), workers);
    let rows: u64 = workers.values().map(Rows::total).sum();
    println!("{kills} kills, {promised} rows promised, {rows} there, each once");
    assert!(promised > kills * 100, "the test proves something: {promised}");
}

/// Runs Adit under load on the ledger and kills it.
fn live_and_die(kept: &Kept, number: u64) -> Life {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let mut adit = kept.adit(&pool.url(), &["--shards", "2"]);
    let fleet = Fleet::start(&FleetConfig {
        pace: Pace::PerSecond(SHARES_PER_SECOND),
        name_prefix: prefix(number),
        ..FleetConfig::new(adit.address(), MINERS)
    })
    .expect("miners start");
    assert!(fleet.all_mining_within(PATIENCE));
    let life = Duration::from_millis(LIFE_MS_MIN + RandomState::new().hash_one(number) % LIFE_MS_SPREAD);
    let begun = Instant::now();
    let witness = DiskWitness::start(kept.file().parent().expect("a directory"));
    let mut looks: Vec<(Instant, u64)> = Vec::new();
    wait::until(life, || {
        looks.push((Instant::now(), fleet.progress().accepted()));
        false
    });
    let killed = Instant::now();
    adit.signal("KILL").expect("it runs");
    assert!(adit.ends_within(PATIENCE).is_some());
    drop(fleet.finish(Duration::ZERO));
    // A machine that did not let this test look or write for a while may not have let the ledger write either.
    let stalled = looks.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or_default();
    let held_up = stalled + witness.longest();
    let limit = killed.checked_sub(Duration::from_millis(DURABLE_MS_MAX) + held_up).unwrap_or(begun);
    let promised = looks.iter().rev().find(|(at, _)| *at <= limit).map_or(0, |&(_, accepted)| accepted);
    wait::until(PATIENCE, || pool.log().open == 0);
    Life { promised, log: pool.stop() }
}

/// Names of the workers of one life.
fn prefix(number: u64) -> String {
    format!("life{number}.rig")
}

/// Shares of a worker that the pool accepted.
fn accepted_from(worker: &str, log: &PoolLog) -> u64 {
    let of_worker = log.submits.iter().filter(|submit| &*submit.name == worker);
    of_worker.filter(|submit| submit.verdict == Some(Verdict::Accepted)).count() as u64
}
