//! Two shards both serve, and the log says how connections spread over them.

mod common;

use std::collections::BTreeMap;

use adit_loadtest::audit::Audit;
use adit_loadtest::peer::PATIENCE;
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace};
use adit_loadtest::wait;

use common::adit;

const MINERS: usize = 64;

#[test]
fn two_shards_both_serve_and_the_log_tells_the_spread() {
    let pool = ScriptedPool::start(Script::default()).unwrap();
    let mut adit = adit(&pool.url(), &["--shards", "2"]);
    let config = FleetConfig { pace: Pace::InFlight(2), ..FleetConfig::new(adit.address(), MINERS) };
    let fleet = Fleet::start(&config).unwrap();
    assert!(fleet.all_mining_within(PATIENCE));
    let before = shard_cpu(&adit);
    assert_eq!(before.len(), 2);
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 5_000));
    let after = shard_cpu(&adit);
    for (shard, before) in &before {
        let after = after[shard];
        assert!(after > *before, "{shard} did nothing: {before} ns of CPU before, {after} ns after");
    }
    let report = fleet.finish(PATIENCE);
    Audit::new().miners(&report).pool("pool", &pool.stop()).run().assert_clean();

    adit.signal("TERM").unwrap();
    adit.ends_within(PATIENCE).expect("it ends");
    let log = adit.log_text();
    let spread = accepted_by_shard(&log).unwrap_or_else(|| panic!("no spread in the log:\n{log}"));
    // Each TLS probe is a connection of its own. The kernel's hash leaves a shard without any in 1 of 2^63 runs.
    assert!(spread.len() == 2 && spread.iter().all(|&count| count > 0), "{spread:?}");
    assert!(spread.iter().sum::<u64>() >= MINERS as u64, "{spread:?}");
}

/// CPU time of each shard's threads, ns.
fn shard_cpu(adit: &Adit) -> BTreeMap<String, u64> {
    let mut by_shard = BTreeMap::new();
    for thread in adit.threads().expect("threads") {
        if thread.name.starts_with("adit-shard") {
            *by_shard.entry(thread.name).or_default() += thread.cpu_ns;
        }
    }
    by_shard
}

/// The last spread that the log tells: `connections by shard: [31, 33] accepted, …`.
fn accepted_by_shard(log: &str) -> Option<Vec<u64>> {
    let (_, rest) = log.rsplit_once("connections by shard: [")?;
    let (numbers, _) = rest.split_once("] accepted")?;
    numbers.split(", ").map(|number| number.parse().ok()).collect()
}
