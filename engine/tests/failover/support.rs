//! Two pools in processes, Adit before them, and the miners: what every test of this folder begins and ends with.

use std::collections::BTreeMap;
use std::time::Duration;

use adit_loadtest::audit::{Audit, Findings};
use adit_loadtest::pool_process::{Launcher, PoolLooks, PoolProcess};
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Habit, PoolLog};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, FleetReport, Pace, Style};
use adit_loadtest::wait;

use crate::common::PATIENCE;
use crate::common::ledger::{Kept, Told, events, stop};
use crate::common::operator::{Operator, Tokens};

/// Miners of a test.
pub const MINERS: u64 = 200;
/// Of these, they that know `mining.set_extranonce`, and they that do not.
pub const SWITCHABLE: u64 = MINERS / 2;
/// Styles in turn: every other one can be switched live.
pub const STYLES: [Style; 4] = [Style::Cgminer, Style::EspMiner, Style::CgminerRolling, Style::Bmminer];
/// Deadlines and times that keep a test short, and that a busy machine keeps. What a test gives counts instead.
const SETTINGS: [&str; 8] = [
    "failover.failures_count=3",
    "failover.grace_ms=30000",
    "failover.backoff_min_ms=200",
    "failover.backoff_max_ms=1000",
    "failover.close_jitter_ms=300",
    "failover.rejects_run_count=5",
    "timeouts.submit_reply_ms=8000",
    "timeouts.handshake_reply_ms=8000",
];

/// Everything of a test that runs.
pub struct Scene {
    pub main: PoolProcess,
    pub standby: PoolProcess,
    pub adit: Adit,
    pub fleet: Fleet,
    kept: Kept,
}

/// Everything of a test that has ended, with books that agree.
pub struct Ended {
    pub report: FleetReport,
    pub findings: Findings,
    /// Moves in the audit trail.
    pub switches: Vec<Told>,
    /// Changes of pools in it.
    pub pool_states: Vec<Told>,
}

/// A pool that asks a little work for each share, in a process of its own.
#[track_caller]
pub fn pool(number: u8, looks: PoolLooks) -> PoolProcess {
    let program = std::env::current_exe().expect("this program");
    let arguments = ["--exact", "a_pool_in_a_process_of_its_own", "--nocapture"].map(String::from).into();
    PoolProcess::start(&Launcher { program, arguments }, number, looks).expect("a pool")
}

/// The main pool's looks.
pub fn main_looks() -> PoolLooks {
    PoolLooks { difficulty: "0.000000001".into(), job_every_ms: 1_000, ..PoolLooks::default() }
}

/// The other one's: the same job ids, other work, another difficulty and another extranonce2.
pub fn standby_looks() -> PoolLooks {
    PoolLooks { difficulty: "0.0000000016".into(), extranonce2_bytes: 6, ..main_looks() }
}

/// Miners of these styles that submit, and come back soon after they were closed.
pub fn fleet_config(adit: &Adit, miners: u64, styles: &[Style]) -> FleetConfig {
    FleetConfig {
        styles: styles.to_vec(),
        pace: Pace::PerSecond(200.0),
        connects_per_second: 400.0,
        reconnect_after: Some(Duration::from_millis(100)),
        reconnect_jitter: Duration::from_millis(200),
        ..FleetConfig::new(adit.address(), usize::try_from(miners).expect("some miners"))
    }
}

impl Scene {
    /// Both pools well, and every miner at the main one.
    #[track_caller]
    pub fn at_main(settings: &[&str]) -> Self {
        let scene = Self::start(Habit::Good, settings);
        scene.wait_for_all_at(&scene.main.tag());
        scene
    }

    /// The same, with somebody who may command and somebody who may only look. Nothing but what they want keeps a miner
    /// where it is: else everybody would go back at once.
    #[track_caller]
    pub fn with_operators() -> (Self, Operator, Operator) {
        Self::with_operators_and(&[])
    }

    /// The same, with other settings.
    #[track_caller]
    pub fn with_operators_and(more: &[&str]) -> (Self, Operator, Operator) {
        let tokens = Tokens::default();
        let known = tokens.setting();
        let settings =
            ["failover.hold_ms=0", "failover.good_ms=100", "failover.failback_spread_ms=0", &known];
        let settings = [&settings[..], more].concat();
        let scene = Self::start_by(Habit::Good, &settings, Some(tokens.viewing()));
        scene.wait_for_all_at(&scene.main.tag());
        let admin = scene.adit.admin_address().expect("it answers operators");
        (scene, tokens.operator(admin), tokens.viewer(admin))
    }

    /// The main pool with a habit, and miners that come.
    #[track_caller]
    pub fn start(habit: Habit, settings: &[&str]) -> Self {
        Self::start_by(habit, settings, None)
    }

    #[track_caller]
    fn start_by(habit: Habit, settings: &[&str], token: Option<String>) -> Self {
        let main = pool(0xa0, PoolLooks { habit, ..main_looks() });
        let standby = pool(0xb0, standby_looks());
        let kept = Kept::new().by(token);
        let second = standby.url();
        let mut arguments = vec!["--shards", "2", "--pool", &second];
        for setting in SETTINGS.iter().chain(settings) {
            arguments.extend(["--set", setting]);
        }
        let adit = kept.adit(&main.url(), &arguments);
        let fleet = Fleet::start(&fleet_config(&adit, MINERS, &STYLES)).expect("miners");
        Self { main, standby, adit, fleet, kept }
    }

    /// Waits until every miner works for the pool with this tag, and gets shares accepted there.
    #[track_caller]
    pub fn wait_for_all_at(&self, tag: &str) {
        let progress = self.fleet.progress();
        assert!(
            wait::until(2 * PATIENCE, || progress.working_for(tag) == MINERS),
            "{} of {MINERS} miners work for {tag}",
            progress.working_for(tag)
        );
        let accepted = progress.accepted();
        assert!(wait::until(PATIENCE, || progress.accepted() >= accepted + 100), "no shares are accepted");
    }

    /// Stops Adit while everything else goes on, and says what it wrote down.
    #[track_caller]
    pub fn stop_adit(self) -> Kept {
        stop(self.adit);
        self.fleet.finish(PATIENCE);
        self.kept
    }

    /// Ends everything and holds all books against each other.
    #[track_caller]
    pub fn end(self) -> Ended {
        let report = self.fleet.finish(PATIENCE);
        let books = self.kept.books(self.adit);
        let [switches, pool_states] = ["switch", "pool_state"].map(|kind| events(self.kept.file(), kind));
        let logs = [self.main.stop(), self.standby.stop()];
        let named: Vec<(String, &PoolLog)> = ["main", "standby"]
            .iter()
            .zip(&logs)
            .flat_map(|(name, lives)| lives.iter().map(move |log| (format!("{name} pool"), log)))
            .collect();
        let seen = named.iter().fold(Audit::new().miners(&report), |seen, (name, log)| seen.pool(name, log));
        let findings = books.audit(seen).run();
        findings.assert_clean();
        println!("{:?}", findings.totals);
        Ended { report, findings, switches, pool_states }
    }
}

impl Ended {
    /// How often each miner was moved: switched live, or back on a new connection.
    pub fn moves(&self) -> BTreeMap<u32, (u64, u64)> {
        let mut moves = BTreeMap::new();
        for arrival in &self.report.arrivals {
            let (live, back): &mut (u64, u64) = moves.entry(arrival.miner).or_default();
            match arrival.from {
                None => {}
                Some(_) if arrival.is_live => *live += 1,
                Some(_) => *back += 1,
            }
        }
        moves
    }

    /// Every move stands in the audit trail, by itself or counted with others that are alike.
    #[track_caller]
    pub fn assert_trail_has_each_move(&self) {
        let count_of = |told: &Told| {
            let many = told.detail.split_once(" more").and_then(|(head, _)| head.rsplit_once(' '));
            many.map_or(1, |(_, count)| count.parse::<u64>().expect("a number"))
        };
        let moves =
            |how| self.switches.iter().filter(|told| told.detail.contains(how)).map(count_of).sum::<u64>();
        let told: Vec<&str> = self.switches.iter().map(|told| told.detail.as_str()).collect();
        let by_way = (moves(", pool_lost, live"), moves(", pool_lost, closed to come back"));
        assert_eq!(by_way, (SWITCHABLE, MINERS - SWITCHABLE), "{told:#?}");
    }

    /// Every miner that knows `set_extranonce` was switched once on the connection it had, every other came back once.
    #[track_caller]
    pub fn assert_each_moved_once(&self) {
        let moves = self.moves();
        assert_eq!(moves.len() as u64, MINERS);
        for (miner, moves) in moves {
            let style = STYLES[miner as usize % STYLES.len()];
            let expected = if style.takes_extranonce() { (1, 0) } else { (0, 1) };
            assert_eq!(moves, expected, "miner {miner}, a {style:?}: (switched live, came back)");
        }
        assert_eq!(self.report.closes, MINERS - SWITCHABLE);
    }
}
