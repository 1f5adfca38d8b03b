//! Two pools share the miners by weight.

use std::collections::BTreeSet;
use std::time::Duration;

use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace, Style};
use adit_loadtest::wait;

use crate::common::{PATIENCE, adit};
use crate::support::{fleet_config, main_looks, pool, standby_looks};

const WORKERS: u64 = 1_000;
/// What the heavier pool is to have: weight 3 of 4.
const HEAVIER: f64 = 0.75;
const OFF_MAX: f64 = 0.03;
/// Without a move for so long, there is none to come.
const QUIET: Duration = Duration::from_secs(3);
/// Workers that may be on their way when a round ends: a dial that a busy machine lets fail sends a miner elsewhere for a
/// while. Without a rule that keeps them, 375 would change.
const ASTRAY_MAX: usize = 10;

#[test]
fn a_thousand_workers_are_split_by_weight_within_three_percent_and_keep_their_pool() {
    let (heavier, lighter) = (pool(0xa0, main_looks()), pool(0xb0, standby_looks()));
    let second = lighter.url();
    let settings = ["pools.0.priority=1", "pools.1.priority=1", "pools.0.weight=3", "pools.1.weight=1"];
    let mut arguments = vec!["--shards", "2", "--pool", &second];
    for setting in settings {
        arguments.extend(["--set", setting]);
    }
    let adit = adit(&heavier.url(), &arguments);
    let config = FleetConfig {
        pace: Pace::Idle,
        connects_per_second: 500.0,
        ..fleet_config(&adit, WORKERS, &[Style::EspMiner])
    };
    let workers_of = |round: &str| {
        let fleet = Fleet::start(&config).expect("miners");
        let progress = fleet.progress();
        let settled = || progress.working_for("a000") + progress.working_for("b000") == WORKERS;
        assert!(wait::until(2 * PATIENCE, settled), "{round}: not all mine");
        let at_heavier = |progress: &adit_loadtest::sim_miner::Progress| {
            progress.working_for("a000") as f64 / WORKERS as f64
        };
        let is_right = || (at_heavier(progress) - HEAVIER).abs() <= OFF_MAX;
        // They are moved to where their weight wants them once their name is known, and then nobody is moved any more.
        let is_quiet = || {
            let switches = progress.switches();
            std::thread::sleep(QUIET);
            progress.switches() == switches
        };
        assert!(
            wait::until(2 * PATIENCE, || is_quiet() && is_right()),
            "{round}: {} at the heavier pool",
            at_heavier(progress)
        );
        let report = fleet.finish(PATIENCE);
        let mut last = std::collections::BTreeMap::new();
        for arrival in &report.arrivals {
            last.insert(arrival.miner, arrival.to.clone());
        }
        last.into_iter().filter(|(_, to)| **to == *"a000").map(|(miner, _)| miner).collect::<BTreeSet<u32>>()
    };
    let before = workers_of("the first time");
    let after = workers_of("the second time");
    let changed = before.symmetric_difference(&after).count();
    assert!(changed <= ASTRAY_MAX, "{changed} workers have another pool after they came back");
}
