//! A scenario of the load harness against the real binary: everything that its file can say happens, and the books agree.

use std::path::Path;

use adit_loadtest::pool_process::{self, Launcher};
use adit_loadtest::scenario::{self, Means, Outcome, Phase, Scenario};

/// Every key of a fleet at a rate, and every step that is not tried by the tests of failover.
const BUSY: &str = r#"
about = "Everything at once, small."
run_ms = 4_000

[[pools]]
name = "main"
job_every_ms = 500

[[pools]]
name = "standby"
job_every_ms = 500
difficulties = ["0.0000000001", "0.000000001"]

[adit]
settings = ["failover.good_ms=1000", "failover.hold_ms=1000", "failover.close_jitter_ms=100"]

[fleet]
miners = 20
connects_per_second = 200
name_bytes = [0, 60]
submits_per_second = 20
slow_readers = 1
slow_bytes_per_second = 5_000
reconnect_after_ms = 100
reconnect_jitter_ms = 100
leaves_per_second = 1
ramps = [{ after_ms = 500, over_ms = 1_000, submits_per_second = 200 }]

[[steps]]
after_ms = 700
count = 5
do = "jobs"

[[steps]]
after_ms = 1_000
part = 0.5
do = "storm"

[[steps]]
after_ms = 1_500
for_ms = 600
count = 2
do = "flap"

[[steps]]
after_ms = 2_500
for_ms = 500
pool = "standby"
do = "slow"

[objectives]
unanswered_max = 0
wrong_pool_max = 0
"#;

const CLOSED: &str = "about = ''\nrun_ms = 1_000\nfleet = { miners = 5, in_flight = 2 }";

#[track_caller]
fn run(name: &str, text: &str, mut look: impl FnMut(Phase)) -> Outcome {
    let scenario = Scenario::parse(name, text).unwrap_or_else(|error| panic!("{error}"));
    let arguments = ["--exact", "a_pool_in_a_process_of_its_own", "--nocapture"].map(String::from).into();
    let means = Means {
        adit: Path::new(env!("CARGO_BIN_EXE_adit")).into(),
        adit_arguments: vec!["--no-pin".into()],
        pools: Launcher { program: std::env::current_exe().expect("this program"), arguments },
    };
    scenario::run(&scenario, &means, |live| look(live.phase)).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn all_that_a_scenario_can_say_happens_and_no_share_is_lost() {
    let mut phases = Vec::new();
    let outcome = run("busy", BUSY, |phase| phases.push(phase));
    assert!(outcome.is_good(), "{outcome}");
    phases.dedup();
    assert!(phases.ends_with(&[Phase::Running, Phase::Settling]), "{phases:?}");
    let figures = &outcome.figures;
    assert!(figures.submits > 100, "the rate went up: {outcome}");
    assert!(figures.connects >= 30, "half of them came twice: {outcome}");
    // As often as not, nobody is there yet when a pool that flaps goes again.
    assert!((1..=3).contains(&figures.failover.breaks.len()), "{outcome}");
    assert!(figures.ledger_bytes_per_share.is_some_and(|bytes| bytes > 0.0), "{outcome}");
}

#[test]
fn a_closed_loop_submits_as_soon_as_it_is_answered() {
    let outcome = run("closed", CLOSED, |_| {});
    assert!(outcome.is_good(), "{outcome}");
    assert!(outcome.figures.submits > 20 && outcome.figures.accepted == outcome.figures.submits, "{outcome}");
}

/// What the tests above start for every pool.
#[test]
fn a_pool_in_a_process_of_its_own() {
    if std::env::var_os(pool_process::ENVIRONMENT).is_some() {
        pool_process::serve(std::io::stdin(), std::io::stdout()).expect("a pool serves");
    }
}
