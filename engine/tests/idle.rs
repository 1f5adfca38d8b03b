//! What Adit costs while nothing happens: no CPU, and little memory per miner.

mod common;

use std::time::{Duration, Instant};

use adit_loadtest::peer::PATIENCE;
use adit_loadtest::process::{Adit, raise_descriptor_limit};
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig};
use adit_loadtest::wait;

use common::adit;

/// How long an idle process is looked at.
const LOOK: Duration = Duration::from_secs(4);
/// Looks until it must have been quiet in one.
const LOOKS_MAX: usize = 5;
/// "0 %": what `top` rounds to nothing.
const IDLE_CPU_SHARE_MAX: f64 = 0.001;
/// Pairs that are measured, where the limit of descriptors allows.
const PAIRS: u64 = 2_000;
/// Resident memory that a pair may take, tracking state included.
const PAIR_KIB_MAX: f64 = 4.0;

/// The share of one core that the process takes once it is quiet: the first look that finds it so, else the best one.
///
/// What the miners' coming and going left to do is still done in the first look, and where the machine is busy with
/// others, a thread that wakes once finds cold caches. A process that has something to do for ever is never quiet.
fn cpu_share(adit: &Adit) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..LOOKS_MAX {
        let (start, before) = (Instant::now(), adit.usage().expect("usage").cpu);
        std::thread::sleep(LOOK); // a measurement, not a synchronisation
        let used = adit.usage().expect("usage").cpu.saturating_sub(before);
        best = best.min(used.as_secs_f64() / start.elapsed().as_secs_f64());
        if best <= IDLE_CPU_SHARE_MAX {
            break;
        }
    }
    best
}

/// Resident memory once it has stopped growing.
fn settled_kib(adit: &Adit) -> u64 {
    let mut last = 0;
    wait::until(PATIENCE, || {
        std::thread::sleep(Duration::from_millis(100));
        let now = adit.usage().expect("usage").resident_kib;
        std::mem::replace(&mut last, now) == now
    });
    last
}

#[test]
fn an_idle_process_takes_no_cpu_before_and_after_it_had_miners() {
    let pool = ScriptedPool::start(Script { job_every: None, ..Script::default() }).unwrap();
    let adit = adit(&pool.url(), &["--shards", "2"]);
    let fresh = cpu_share(&adit);
    let fleet = Fleet::start(&FleetConfig::new(adit.address(), 100)).unwrap();
    assert!(fleet.all_mining_within(PATIENCE));
    let with_silent_miners = cpu_share(&adit);
    fleet.finish(Duration::ZERO);
    assert!(wait::until(PATIENCE, || pool.log().open == 0));
    let afterwards = cpu_share(&adit);
    println!(
        "share of a core: fresh {fresh:.5}, 100 silent miners {with_silent_miners:.5}, afterwards {afterwards:.5}"
    );
    for (share, when) in
        [(fresh, "fresh"), (with_silent_miners, "with silent miners"), (afterwards, "afterwards")]
    {
        assert!(share <= IDLE_CPU_SHARE_MAX, "{when}: {share} of a core");
    }
}

#[test]
fn an_idle_pair_with_a_job_takes_no_more_than_four_kib() {
    let descriptors = raise_descriptor_limit(2 * PAIRS + 200);
    let pairs = PAIRS.min((descriptors.saturating_sub(200)) / 2);
    let pool = ScriptedPool::start(Script { job_every: None, ..Script::default() }).unwrap();
    let adit = adit(&pool.url(), &[]);
    // What the first sessions bring in for all of them is not the pairs'.
    let first = Fleet::start(&FleetConfig::new(adit.address(), 20)).unwrap();
    assert!(first.all_mining_within(PATIENCE));
    let before = settled_kib(&adit);
    let config = FleetConfig {
        name_prefix: "farm.rig".into(),
        connects_per_second: 2_000.0,
        ..FleetConfig::new(adit.address(), pairs as usize)
    };
    let fleet = Fleet::start(&config).unwrap();
    assert!(fleet.all_mining_within(PATIENCE));
    pool.new_job();
    let after = settled_kib(&adit);
    let per_pair = after.saturating_sub(before) as f64 / pairs as f64;
    println!("{pairs} pairs: {before} KiB before, {after} KiB with them, {per_pair:.2} KiB per pair");
    assert!(per_pair <= PAIR_KIB_MAX, "{per_pair:.2} KiB per pair");
}
