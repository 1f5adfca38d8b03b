//! Runs a scenario against a real Adit.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::books::Shelf;
use super::breaks::{Break, Failover};
use super::file::Scenario;
use super::hostile::Strangers;
use super::live::{Live, Phase};
use super::outcome::{Figures, Moment, Outcome};
use super::schedule::{Planned, Schedule};
use super::steps::Action;
use crate::audit::{Audit, CounterBook, Difference};
use crate::pool_process::{Launcher, PoolProcess};
use crate::process::{Adit, StartError};
use crate::sim_miner::{Fleet, FleetReport};
use crate::wait;

/// The number of the first pool of a scenario.
const FIRST_POOL: u8 = 0xa0;
const TICK: Duration = Duration::from_millis(20);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How long the last answers may take.
const GRACE: Duration = Duration::from_secs(20);
/// How long Adit may take until it has let go of everybody: thousands of miners leave at the same moment.
const REST: Duration = Duration::from_secs(60);
/// How long a job may take to every miner before it counts as not arrived.
const FAN_OUT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a scenario could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Sockets, threads or processes of miners and pools, or the ledger's file.
    #[error("miners, pools or ledger: {0}")]
    Peers(#[from] io::Error),
    /// Adit did not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// What a scenario is run with.
#[derive(Clone, Debug)]
pub struct Means {
    /// The binary of Adit.
    pub adit: PathBuf,
    /// Further arguments of `adit run`.
    pub adit_arguments: Vec<String>,
    /// How to start the process of a pool.
    pub pools: Launcher,
}

/// A scenario that runs.
struct Run<'a> {
    scenario: &'a Scenario,
    adit: Adit,
    pools: Vec<PoolProcess>,
    fleet: Fleet,
    started: Instant,
    next_sample: Instant,
    shelf: Option<Shelf>,
    breaks: Vec<Break>,
    figures: Figures,
    /// What happened since the last look.
    happened: Vec<String>,
}

/// Runs it; `tell` hears once a second how it goes.
pub fn run(scenario: &Scenario, means: &Means, mut tell: impl FnMut(&Live)) -> Result<Outcome, RunError> {
    let mut pools = Vec::new();
    for (number, looks) in scenario.pools.iter().enumerate() {
        let number = FIRST_POOL + u8::try_from(number).unwrap_or(u8::MAX - FIRST_POOL);
        pools.push(PoolProcess::start(&means.pools, number, looks.clone())?);
    }
    let shelf = scenario.adit.ledger.then(Shelf::new).transpose()?;
    let adit = Adit::start(&means.adit, adit_arguments(scenario, means, &pools, shelf.as_ref()))?;
    let figures = Figures {
        miners: scenario.fleet.miners as u64,
        resident_kib_at_start: adit.usage()?.resident_kib,
        round_s: scenario.round().as_secs_f64(),
        ..Figures::default()
    };
    let strangers = Strangers::start(adit.address(), scenario.hostile)?;
    let fleet = Fleet::start(&scenario.fleet.config(adit.address(), scenario.run_time()))?;
    let started = Instant::now();
    let mut run = Run {
        scenario,
        adit,
        pools,
        fleet,
        started,
        next_sample: started,
        shelf,
        breaks: Vec::new(),
        figures,
        happened: Vec::new(),
    };
    run.gather(&mut tell)?;
    run.go_on(&mut tell)?;
    run.figures.strangers = strangers.connects();
    drop(strangers);
    run.look(Phase::Settling, 0.0, GRACE, &mut tell)?;
    run.finish(&means.adit)
}

impl Run<'_> {
    /// Until every miner has a job, or the time for that is over.
    fn gather(&mut self, tell: &mut impl FnMut(&Live)) -> Result<(), RunError> {
        let time = Duration::from_millis(self.scenario.fleet.all_mining_within_ms);
        let end = Instant::now() + time;
        // Not all of them at the same time, where they come and go.
        while self.fleet.progress().arrived() < self.figures.miners && Instant::now() < end {
            std::thread::sleep(TICK);
            let done = self.fleet.progress().arrived() as f64 / self.figures.miners.max(1) as f64;
            self.look_if_due(Phase::Gathering, done, time, tell)?;
        }
        self.figures.mining = self.fleet.progress().arrived();
        Ok(())
    }

    /// The time of the run itself, with its steps and ramps.
    fn go_on(&mut self, tell: &mut impl FnMut(&Live)) -> Result<(), RunError> {
        let (start, time) = (Instant::now(), self.scenario.run_time());
        let mut schedule = Schedule::new(self.scenario, start);
        while start.elapsed() < time {
            while let Some(due) = schedule.next_due(Instant::now()) {
                self.act(due)?;
            }
            self.fleet.set_rate(self.scenario.fleet.rate(start.elapsed(), time));
            let done = start.elapsed().as_secs_f64() / time.as_secs_f64();
            self.look_if_due(Phase::Running, done, time, tell)?;
            std::thread::sleep(schedule.wait(Instant::now()).map_or(TICK, |wait| wait.min(TICK)));
        }
        Ok(())
    }

    fn act(&mut self, due: Planned) -> Result<(), RunError> {
        let Planned { action, place, count, part, .. } = due;
        let Some(pool) = self.pools.get_mut(place) else { return Ok(()) };
        let name = &self.scenario.pools[place].name;
        if action.is_break() && pool.is_alive() {
            let (pool, tag) = (name.clone(), pool.tag());
            self.breaks.push(Break { at: Instant::now(), action, pool, tag });
        }
        match action {
            Action::FanOut => self.figures.fan_out_ms.push(fan_out_ms(pool, &self.fleet)),
            Action::Jobs => (0..count).for_each(|_| pool.new_job()),
            Action::Storm => self.fleet.storm(part),
            Action::Kill => pool.kill(),
            Action::Start => pool.start_again()?,
            Action::Restart => {
                pool.kill();
                pool.start_again()?;
            }
            Action::Freeze => pool.freeze()?,
            Action::Thaw => pool.thaw()?,
            Action::Mute | Action::Refuse | Action::Garbage | Action::Reset | Action::Slow | Action::Heal => {
                pool.take_habit(action.habit().unwrap_or_default());
            }
            Action::Flap => {} // the schedule has made it many kills
        }
        let at_s = self.started.elapsed().as_secs_f64();
        self.happened.push(format!("{at_s:.1} s  {action:?} {name}"));
        Ok(())
    }

    fn look_if_due(
        &mut self,
        phase: Phase,
        done: f64,
        takes: Duration,
        tell: &mut impl FnMut(&Live),
    ) -> Result<(), RunError> {
        if Instant::now() < self.next_sample {
            return Ok(());
        }
        self.next_sample += SAMPLE_EVERY;
        self.look(phase, done, takes, tell)
    }

    fn look(
        &mut self,
        phase: Phase,
        done: f64,
        takes: Duration,
        tell: &mut impl FnMut(&Live),
    ) -> Result<(), RunError> {
        let (usage, progress) = (self.adit.usage()?, self.fleet.progress());
        let before = self.figures.timeline.last().copied().unwrap_or_default();
        let latency_us = progress.take_latency_us();
        let quantile_ms = |quantile| latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
        let now = Moment {
            at_s: self.started.elapsed().as_secs_f64(),
            mining: progress.mining(),
            submitted: progress.submitted(),
            answered: progress.answered(),
            accepted: progress.accepted(),
            resident_kib: usage.resident_kib,
            cpu_s: usage.cpu.as_secs_f64(),
            descriptors: usage.descriptors,
            p50_ms: quantile_ms(0.5),
            p99_ms: quantile_ms(0.99),
            ledger_bytes: self.shelf.as_ref().map_or(0, Shelf::bytes),
        };
        let happened = std::mem::take(&mut self.happened);
        tell(&Live { phase, done, takes, moments: [before, now], happened });
        self.figures.timeline.push(now);
        Ok(())
    }

    fn finish(mut self, binary: &Path) -> Result<Outcome, RunError> {
        let is_alive = self.adit.is_running();
        let report = self.fleet.finish(GRACE);
        let (mut counters, mut unsettled) = (None, None);
        if is_alive {
            match self.adit.admin_address().map(|admin| CounterBook::settled(admin, REST)).transpose() {
                Ok(settled) => counters = settled,
                // What was seen until then is worth telling all the same.
                Err(error) => unsettled = Some(format!("the counters: {error}")),
            }
            self.adit.signal("TERM")?;
        }
        let has_ended_well = self.adit.ends_within(GRACE).is_some_and(|status| status.success());
        let mut logs = Vec::new();
        for (looks, pool) in self.scenario.pools.iter().zip(self.pools) {
            let lives = pool.stop().into_iter().enumerate();
            logs.extend(lives.map(|(life, log)| (format!("{}, life {}", looks.name, life + 1), log)));
        }
        // Before the ledger is read: whoever reads it makes files beside it.
        let ledger_bytes = self.shelf.as_ref().map(Shelf::bytes);
        let ledger = self.shelf.as_ref().map(|shelf| shelf.book(binary)).transpose()?;
        let mut audit = Audit::new().miners(&report);
        for (name, log) in &logs {
            audit = audit.pool(name, log);
        }
        if let Some(ledger) = &ledger {
            audit = audit.ledger(ledger);
        }
        if let Some(counters) = &counters {
            audit = audit.counters(counters);
        }
        let findings = audit.run();
        let mut figures = self.figures;
        figures.take_report(&report);
        figures.ledger_bytes_per_share =
            ledger_bytes.map(|bytes| bytes as f64 / findings.totals.rows.max(1) as f64);
        let wrong_pool = findings.count(Difference::WrongPool);
        figures.failover = Failover::new(&self.breaks, &report, wrong_pool, self.started);
        let mut outcome = Outcome::new(figures, findings, &self.scenario.objectives);
        outcome.missed.extend(unsettled);
        if !(is_alive && has_ended_well) {
            outcome.missed.push("Adit did not live to the end, or did not end in order".into());
        }
        Ok(outcome)
    }
}

impl Figures {
    fn take_report(&mut self, report: &FleetReport) {
        let ms = |histogram: &hdrhistogram::Histogram<u64>, quantile| {
            histogram.value_at_quantile(quantile) as f64 / 1_000.0
        };
        self.submits = report.submits.len() as u64;
        self.accepted = report.accepted() as u64;
        self.connects = report.connects;
        self.closes = report.closes;
        self.failures = report.failures.len() as u64;
        self.first_failure = report.failures.first().cloned();
        self.first_job_ms = [0.5, 0.99].map(|quantile| ms(&report.first_job_us, quantile));
        self.latency_ms = [0.5, 0.99, 0.999].map(|quantile| ms(&report.latency_us, quantile));
    }
}

fn adit_arguments(
    scenario: &Scenario,
    means: &Means,
    pools: &[PoolProcess],
    shelf: Option<&Shelf>,
) -> Vec<String> {
    let mut arguments = vec!["run".to_owned()];
    let mut give = |flag: &str, value: &str| arguments.extend([flag.to_owned(), value.to_owned()]);
    give("--listen", "127.0.0.1:0");
    give("--admin", "127.0.0.1:0");
    for pool in pools {
        give("--pool", &pool.url());
    }
    for setting in &scenario.adit.settings {
        give("--set", setting);
    }
    if let Some(shelf) = shelf {
        give("--ledger", &shelf.file().display().to_string());
    }
    arguments.extend_from_slice(&means.adit_arguments);
    arguments
}

/// Milliseconds from telling the pool to give a job until every miner that mines has heard of it; infinite if some did
/// not in time. The time that pool and miners themselves take is in it.
fn fan_out_ms(pool: &mut PoolProcess, fleet: &Fleet) -> f64 {
    let progress = fleet.progress();
    let all = progress.jobs_heard() + progress.mining();
    let start = Instant::now();
    pool.new_job();
    let heard = wait::until(FAN_OUT_TIMEOUT, || progress.jobs_heard() >= all);
    if heard { start.elapsed().as_secs_f64() * 1_000.0 } else { f64::INFINITY }
}
