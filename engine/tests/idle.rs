//! What Adit costs while nothing happens: no CPU, and little memory per miner.

mod common;

use std::fs;
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
const LOOKS_MAX: u32 = 5;
/// How often all its threads together wake in a second: a count that a slow or busy machine does not change. Two shards
/// that turn every tick would wake a hundred times.
const WAKES_PER_SECOND_MAX: f64 = 20.0;
/// What so few wakes may take of a core that is slow, without optimisation. Measured: a fifth of it.
const IDLE_CPU_SHARE_MAX: f64 = 0.005;
/// Pairs that are measured, where the limit of descriptors allows.
const PAIRS: u64 = 2_000;
/// Descriptors for all else, in this process and in Adit, which has the same limit.
const OTHER_DESCRIPTORS: u64 = 400;
/// Resident memory that a pair may take, tracking state included.
const PAIR_KIB_MAX: f64 = 4.0;

/// What an idle process does all the same.
#[derive(Clone, Copy, Debug)]
struct Idleness {
    wakes_per_second: f64,
    cpu_share: f64,
}

impl Idleness {
    fn is_quiet(&self) -> bool {
        self.wakes_per_second <= WAKES_PER_SECOND_MAX && self.cpu_share <= IDLE_CPU_SHARE_MAX
    }
}

/// How the process is once it is quiet: the first look that finds it so, else the last one.
///
/// What the miners' coming and going left to do is still done in the first look, and where the machine is busy with
/// others, a thread that wakes once finds cold caches. A process that has something to do for ever is never quiet.
fn idleness(adit: &Adit) -> Idleness {
    let mut last = None;
    wait::until(LOOKS_MAX * LOOK, || {
        let cpu = || adit.usage().expect("usage").cpu;
        let (start, before) = (Instant::now(), (cpu(), wakes(adit)));
        std::thread::sleep(LOOK); // a measurement, not a synchronisation
        let seconds = start.elapsed().as_secs_f64();
        let found = Idleness {
            wakes_per_second: wakes(adit).saturating_sub(before.1) as f64 / seconds,
            cpu_share: cpu().saturating_sub(before.0).as_secs_f64() / seconds,
        };
        last = Some(found);
        found.is_quiet()
    });
    last.expect("a look")
}

/// How often threads of this process gave the processor up by themselves so far, each of which is a wake.
fn wakes(adit: &Adit) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", adit.pid())).expect("its threads");
    let count = |thread: fs::DirEntry| -> Option<u64> {
        let status = fs::read_to_string(thread.path().join("status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse().ok()
    };
    threads.filter_map(|thread| count(thread.ok()?)).sum()
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
    let fresh = idleness(&adit);
    let fleet = Fleet::start(&FleetConfig::new(adit.address(), 100)).unwrap();
    assert!(fleet.all_mining_within(PATIENCE));
    let with_silent_miners = idleness(&adit);
    fleet.finish(Duration::ZERO);
    assert!(wait::until(PATIENCE, || pool.log().open == 0));
    let afterwards = idleness(&adit);
    for (idleness, when) in
        [(fresh, "fresh"), (with_silent_miners, "with 100 silent miners"), (afterwards, "afterwards")]
    {
        println!("{when}: {idleness:.5?}");
        assert!(idleness.is_quiet(), "{when}: {idleness:?}");
    }
}

#[test]
fn an_idle_pair_with_a_job_takes_no_more_than_four_kib() {
    let descriptors = raise_descriptor_limit(2 * PAIRS + OTHER_DESCRIPTORS);
    let pairs = PAIRS.min(descriptors.saturating_sub(OTHER_DESCRIPTORS) / 2);
    if pairs < PAIRS {
        println!("SHRUNK: {pairs} pairs instead of {PAIRS}, for there are {descriptors} descriptors");
    }
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
