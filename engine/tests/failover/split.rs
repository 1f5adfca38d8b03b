//! Two pools share the miners by weight.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use adit_loadtest::pool_process::PoolProcess;
use adit_loadtest::process::Adit;
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace, Style};
use adit_loadtest::wait;

use crate::common::{PATIENCE, adit, may_have_descriptors};
use crate::support::{fleet_config, main_looks, pool, standby_looks};

const WORKERS: u64 = 1_000;
/// What Adit may need for so many: two each, a third one while a worker is moved.
const DESCRIPTORS: u64 = 3 * WORKERS + 600;
/// What the heavier pool is to have: weight 3 of 4.
const HEAVIER: f64 = 0.75;
const OFF_MAX: f64 = 0.03;
/// Without a move for so long, there is none to come.
const QUIET: Duration = Duration::from_secs(3);
/// Workers that may be on their way when a round ends: a dial that a busy machine lets fail sends a miner elsewhere for a
/// while. Without a rule that keeps them, 375 would change.
const ASTRAY_MAX: usize = 10;

/// Two pools that share the miners by weight, and Adit before them.
struct Shared {
    adit: Adit,
    heavier: PoolProcess,
    lighter: PoolProcess,
}

/// What became of a fleet.
struct Round {
    /// Miners that mined at the heavier pool in the end.
    at_heavier: BTreeSet<u32>,
    /// Moves without a reconnect.
    switches: u64,
}

impl Shared {
    #[track_caller]
    fn start() -> Self {
        let (heavier, lighter) = (pool(0xa0, main_looks()), pool(0xb0, standby_looks()));
        let second = lighter.url();
        let settings = ["pools.0.priority=1", "pools.1.priority=1", "pools.0.weight=3", "pools.1.weight=1"];
        let mut arguments = vec!["--shards", "2", "--pool", &second];
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        Self { adit: adit(&heavier.url(), &arguments), heavier, lighter }
    }

    /// All workers come, mine until nobody is moved any more, and leave.
    #[track_caller]
    fn round(&self, style: Style) -> Round {
        let config = FleetConfig {
            pace: Pace::Idle,
            connects_per_second: 500.0,
            ..fleet_config(&self.adit, WORKERS, &[style])
        };
        let fleet = Fleet::start(&config).expect("miners");
        let progress = fleet.progress();
        let mining = || progress.working_for(&self.heavier.tag()) + progress.working_for(&self.lighter.tag());
        assert!(wait::until(2 * PATIENCE, || mining() == WORKERS), "{} mine", mining());
        let is_quiet = || {
            let switches = progress.switches();
            std::thread::sleep(QUIET);
            progress.switches() == switches
        };
        assert!(wait::until(2 * PATIENCE, is_quiet), "moves without end");
        let switches = progress.switches();
        let report = fleet.finish(PATIENCE);
        let last: BTreeMap<_, _> =
            report.arrivals.iter().map(|arrival| (arrival.miner, arrival.to.clone())).collect();
        let at_heavier = last.into_iter().filter(|(_, to)| **to == *self.heavier.tag());
        Round { at_heavier: at_heavier.map(|(miner, _)| miner).collect(), switches }
    }
}

impl Round {
    #[track_caller]
    fn assert_split(&self) {
        let part = self.at_heavier.len() as f64 / WORKERS as f64;
        assert!((part - HEAVIER).abs() <= OFF_MAX, "{part} at the heavier pool");
    }
}

#[test]
fn a_thousand_workers_are_split_by_weight_within_three_percent_and_keep_their_pool() {
    if !may_have_descriptors(DESCRIPTORS) {
        return;
    }
    let shared = Shared::start();
    // They say their name in the first write, so they come where they belong.
    let [before, after] = [(); 2].map(|()| shared.round(Style::EspMiner));
    for round in [&before, &after] {
        round.assert_split();
        assert!(round.switches <= ASTRAY_MAX as u64, "{} moves", round.switches);
    }
    let changed = before.at_heavier.symmetric_difference(&after.at_heavier).count();
    assert!(changed <= ASTRAY_MAX, "{changed} workers have another pool after they came back");
}

#[test]
fn miners_that_cannot_be_moved_are_split_by_weight_once_their_names_are_known() {
    if !may_have_descriptors(DESCRIPTORS) {
        return;
    }
    let shared = Shared::start();
    // They give their name too late, and all come from one address.
    shared.round(Style::Cgminer);
    let known = shared.round(Style::Cgminer);
    known.assert_split();
    assert_eq!(known.switches, 0);
}
