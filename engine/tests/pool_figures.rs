//! What operators are told of each of two pools, held against what the pools themselves and the miners counted.

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use adit_loadtest::audit::admin_page;
use adit_loadtest::json_line::Verdict;
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{PoolLog, Rule, Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, FleetReport, Pace, Style};
use adit_loadtest::wait;
use common::{PATIENCE, adit, may_have_descriptors};
use serde_json::Value;

const MINERS: usize = 60;
/// Miners of the test of the split.
const WORKERS: usize = 1_000;
/// What Adit may need for so many: two each, a third one while a worker is moved.
const DESCRIPTORS: u64 = 3 * WORKERS as u64 + 600;
/// What the heavier pool is to have: weight 3 of 4.
const HEAVIER: f64 = 0.75;
const STALE: &str = r#"{"id":$id,"result":null,"error":[21,"Job not found",null]}"#;
const DUPLICATE: &str = r#"{"id":$id,"result":null,"error":[22,"Duplicate share",null]}"#;

/// Two pools of one priority, `north` and `south`, and Adit before them.
struct Scene {
    pools: [ScriptedPool; 2],
    adit: Adit,
    admin: SocketAddr,
}

impl Scene {
    #[track_caller]
    fn start(scripts: [Script; 2], settings: &[&str]) -> Self {
        let pools = scripts.map(|script| ScriptedPool::start(script).expect("a pool"));
        let second = pools[1].url();
        let mut arguments = vec!["--shards", "2", "--admin", "127.0.0.1:0", "--pool", &second];
        let both = ["pools.0.name=north", "pools.1.name=south", "pools.0.priority=1", "pools.1.priority=1"];
        for setting in both.iter().chain(settings) {
            arguments.extend(["--set", setting]);
        }
        let adit = adit(&pools[0].url(), &arguments);
        let admin = adit.admin_address().expect("an address for operators");
        Self { pools, adit, admin }
    }

    /// Miners that can be switched live, as many as `miners`, with so many submits a second together.
    fn fleet(&self, miners: usize, per_second: f64) -> Fleet {
        Fleet::start(&FleetConfig {
            styles: vec![Style::EspMiner],
            pace: Pace::PerSecond(per_second),
            connects_per_second: 500.0,
            ..FleetConfig::new(self.adit.address(), miners)
        })
        .expect("miners")
    }

    /// Both pools as operators see them.
    fn told(&self) -> [Value; 2] {
        let page = admin_page(self.admin, "/stats/pools").expect("an answer");
        [0, 1].map(|index| page["pools"][index].clone())
    }

    /// The same once nothing changes any more in what `of` looks at.
    #[track_caller]
    fn settled(&self, of: impl Fn(&Value) -> Value) -> [Value; 2] {
        let mut last = self.told();
        let is_settled = wait::until(PATIENCE, || {
            // Copies are shared by all who ask within 200 ms.
            std::thread::sleep(Duration::from_millis(500));
            let now = self.told();
            let is_settled = now.each_ref().map(&of) == last.each_ref().map(&of);
            last = now;
            is_settled
        });
        assert!(is_settled, "it goes on: {last:?}");
        last
    }

    /// Samples of a metric, by the values of its labels.
    fn metric(&self, name: &str) -> BTreeMap<Vec<String>, f64> {
        let page = admin_page(self.admin, "/metrics/json").expect("an answer");
        let metric =
            page["metrics"].as_array().expect("metrics").iter().find(|metric| metric["name"] == name);
        let samples = metric.and_then(|metric| metric["samples"].as_array()).into_iter().flatten();
        let labels = |sample: &Value| {
            let labels = sample["labels"].as_object().into_iter().flatten();
            labels.map(|(_, value)| value.as_str().unwrap_or_default().to_owned()).collect()
        };
        samples.map(|sample| (labels(sample), sample["value"].as_f64().unwrap_or(f64::NAN))).collect()
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no count: {value}"))
}

fn figure(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no figure: {value}"))
}

/// Shares that a pool rejected with this code.
fn rejected(log: &PoolLog, code: i32) -> u64 {
    log.submits.iter().filter(|submit| submit.verdict == Some(Verdict::Rejected(code))).count() as u64
}

/// Miners that came to work at the pool with this tag on the connection that they had.
fn moved_live(report: &FleetReport, to: &str) -> u64 {
    report.arrivals.iter().filter(|arrival| arrival.is_live && &*arrival.to == to).count() as u64
}

#[test]
fn each_pool_is_told_with_its_own_shares_times_jobs_and_hashrate() {
    let stale = Rule::answer("mining.submit", STALE).from(3).every(5);
    let duplicate = Rule::answer("mining.submit", DUPLICATE).from(2).every(4);
    let slow = Rule::late("mining.submit", Duration::from_millis(200));
    let south = Script { tag: "b0".into(), ..Script::default() };
    let scripts = [Script::default().with(stale), south.with(duplicate).with(slow)];
    let scene = Scene::start(scripts, &["failover.rejects_run_count=1000000"]);
    let fleet = scene.fleet(MINERS, 300.0);
    let progress = fleet.progress();
    let at_both = || progress.working_for("a0") > 0 && progress.working_for("b0") > 0;
    assert!(wait::until(PATIENCE, || at_both() && progress.accepted() > 1_000), "they do not mine");
    // A hashrate is known from a second on.
    assert!(
        wait::until(PATIENCE, || scene.told().iter().all(|pool| figure(&pool["hashrate"]["m5"]) > 0.0)),
        "no hashrates"
    );
    let report = fleet.finish(PATIENCE);
    let told = scene.settled(|pool| pool["shares"].clone());
    let series = scene.metric("adit_pool_shares_total");
    let verdicts = scene.metric("adit_pool_verdict_seconds_count");
    let mut difficulty_per_share = Vec::new();
    for (index, (pool, tag)) in told.iter().zip(["a0", "b0"]).enumerate() {
        let log = scene.pools[index].log();
        let shares = &pool["shares"];
        let accepted = log.accepted_submits() as u64;
        assert_eq!(count(&shares["accepted"]), accepted, "{pool}");
        assert_eq!(count(&shares["rejected"]["stale"]), rejected(&log, 21), "{pool}");
        assert_eq!(count(&shares["rejected"]["duplicate"]), rejected(&log, 22), "{pool}");
        assert!(rejected(&log, [21, 22][index]) > 10, "it rejected some");
        assert_eq!(count(&pool["verdict_time"]["count"]), log.submits.len() as u64, "{pool}");
        assert_eq!(count(&pool["connects"]), log.accepted, "{pool}");
        assert_eq!(count(&pool["connect_time"]["count"]), log.accepted, "{pool}");
        assert_eq!(count(&pool["switches_to"]["live"]), moved_live(&report, tag), "{pool}");
        assert_eq!(pool["switches_to"]["live"], pool["switch_time"]["count"], "{pool}");
        assert!(count(&pool["last_job_ms"]) >= count(&pool["since_ms"]), "{pool}");
        difficulty_per_share.push(figure(&shares["accepted_difficulty"]) / accepted as f64);
        let name = pool["name"].as_str().expect("a name");
        let sample = |outcome: &str, class: &str| {
            let found = series.iter().find(|(labels, _)| {
                [name, outcome, class].iter().all(|label| labels.iter().any(|is| is == label))
            });
            found.map(|(_, &value)| value as u64)
        };
        assert_eq!(sample("accepted", ""), Some(accepted));
        assert_eq!(sample("rejected", "stale"), Some(rejected(&log, 21)));
        let counted = verdicts.iter().find(|(labels, _)| labels.iter().any(|label| label == name));
        assert!(counted.is_none_or(|(_, &value)| value as usize == log.submits.len()), "{verdicts:?}");
        // Somebody mines there: that it was never tried is not true any more.
        assert_eq!(pool["reason"], "miners log in and get jobs", "{pool}");
        assert_eq!(pool["history"], Value::Array(Vec::new()), "it was never in another state");
    }
    assert!((difficulty_per_share[0] / difficulty_per_share[1] - 1.0).abs() < 1e-6, "both ask the same work");
    assert!(count(&told[1]["verdict_time"]["p50_us"]) >= 200_000, "south takes its time: {}", told[1]);
}

#[test]
fn a_pool_that_dies_has_its_probes_and_changes_in_its_history_and_the_other_one_the_times_of_the_moves() {
    let scripts = [Script::default(), Script { tag: "b0".into(), ..Script::default() }];
    let quick = ["failover.backoff_min_ms=100", "failover.backoff_max_ms=200", "failover.failures_count=3"];
    let Scene { pools: [north, south], adit, admin } = Scene::start(scripts, &quick);
    let fleet = Fleet::start(&FleetConfig {
        styles: vec![Style::EspMiner],
        reconnect_after: Some(Duration::from_millis(100)),
        ..FleetConfig::new(adit.address(), MINERS)
    })
    .expect("miners");
    let progress = fleet.progress();
    let all_mine = || progress.working_for("a0") + progress.working_for("b0") == MINERS as u64;
    assert!(wait::until(PATIENCE, || all_mine() && progress.working_for("b0") > 0), "they do not mine");
    south.kill();
    assert!(wait::until(2 * PATIENCE, || progress.working_for("a0") == MINERS as u64), "not all moved");
    let pool = |index: usize| admin_page(admin, "/stats/pools").expect("an answer")["pools"][index].clone();
    let has_failed_twice = || count(&pool(1)["probes_ended"]["failed"]) >= 2;
    assert!(wait::until(PATIENCE, has_failed_twice), "{}", pool(1));
    let report = fleet.finish(PATIENCE);
    let (north_told, south_told) = (pool(0), pool(1));
    assert_eq!(count(&north_told["switch_time"]["count"]), moved_live(&report, "a0"), "{north_told}");
    assert!(count(&north_told["switch_time"]["p99_us"]) > 0, "{north_told}");

    let history = south_told["history"].as_array().expect("a history");
    assert_eq!(
        (&history[0]["from"], history.last().map(|last| &last["to"])),
        (&"up".into(), Some(&south_told["state"]))
    );
    let is_linked = history.windows(2).all(|pair| {
        pair[0]["to"] == pair[1]["from"] && pair[0]["at_ms"].as_u64() <= pair[1]["at_ms"].as_u64()
    });
    assert!(is_linked && history.iter().all(|change| change["reason"] != ""), "{history:?}");
    let probes = south_told["probes"].as_array().expect("probes");
    let is_told = |probe: &&Value| {
        probe["passed"] == false
            && probe["detail"].as_str().is_some_and(|detail| detail.starts_with("connecting: "))
            && count(&probe["at_ms"]) >= count(&history[0]["at_ms"])
    };
    assert!(probes.iter().filter(is_told).count() >= 2, "{probes:?}");
    assert_eq!(north_told["state"], "up");
    drop(north);
}

#[test]
fn the_split_of_a_thousand_workers_is_told_by_workers_and_within_its_standard_error_by_hashrate() {
    if !may_have_descriptors(DESCRIPTORS) {
        return;
    }
    let scripts = [Script::default(), Script { tag: "b0".into(), ..Script::default() }];
    let scene = Scene::start(scripts, &["pools.0.weight=3", "pools.1.weight=1"]);
    let fleet = scene.fleet(WORKERS, 400.0);
    let progress = fleet.progress();
    let at_heavier = || progress.working_for("a0");
    let settled = || at_heavier() + progress.working_for("b0") == WORKERS as u64;
    assert!(wait::until(2 * PATIENCE, settled), "not all mine");
    // Each has some shares, and those that were placed before their name was known have moved: what operators are told is
    // what the miners see, and nobody is forgotten.
    let off = |part: &Value| (figure(&part["achieved"]) - HEAVIER).abs();
    let agrees = |split: &Value| {
        let part = at_heavier() as f64 / WORKERS as f64;
        progress.accepted() > 5 * WORKERS as u64
            && (figure(&split["by_workers"]["achieved"]) - part).abs() < 1e-9
            && (part - HEAVIER).abs() <= 0.03
            && off(&split["by_hashrate"]) <= figure(&split["by_hashrate"]["standard_error"])
    };
    let mut last = Value::Null;
    let is_told = wait::until(4 * PATIENCE, || {
        let [heavier, lighter] = scene.told();
        let workers = [&heavier, &lighter].map(|pool| count(&pool["split"]["workers"]));
        last = heavier["split"].clone();
        let is_told = agrees(&last) && workers.iter().sum::<u64>() == WORKERS as u64;
        if !is_told {
            std::thread::sleep(Duration::from_millis(500));
        }
        is_told
    });
    assert!(is_told, "{} of {WORKERS} at the heavier pool: {last}", at_heavier());
    let (rate, heads) = (&last["by_hashrate"], &last["by_workers"]);
    assert!((figure(&last["wanted"]) - HEAVIER).abs() < 1e-9, "{last}");
    let coin = (HEAVIER * (1.0 - HEAVIER) / WORKERS as f64).sqrt();
    assert!((figure(&heads["standard_error"]) - coin).abs() < 1e-6, "equal heads: {last}");
    let error = figure(&rate["standard_error"]);
    assert!((coin..4.0 * coin).contains(&error), "hashrates by few shares are less certain: {last}");
    println!("split of {WORKERS} workers, wanted {HEAVIER}: {last}");
    let told = scene.metric("adit_pool_split_achieved_ratio");
    assert_eq!(told.len(), 4, "two pools, by workers and by hashrate: {told:?}");
}
