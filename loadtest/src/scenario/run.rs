//! Runs a scenario against a real Adit.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::file::{Action, Scenario};
use super::hostile::Strangers;
use super::outcome::{Figures, Moment, Outcome};
use crate::audit::Audit;
use crate::process::{Adit, StartError};
use crate::scripted_pool::{PoolLog, Script, ScriptedPool};
use crate::sim_miner::{Fleet, FleetConfig, FleetReport, Pace};
use crate::wait;

const TICK: Duration = Duration::from_millis(20);
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// How long the last answers may take.
const GRACE: Duration = Duration::from_secs(20);
/// How long a job may take to every miner before it counts as not arrived.
const FAN_OUT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a scenario could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Sockets or threads of miners or pool.
    #[error("miners or pool: {0}")]
    Peers(#[from] io::Error),
    /// Adit did not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A scenario that runs.
struct Run<'a> {
    scenario: &'a Scenario,
    adit: Adit,
    pool: Option<ScriptedPool>,
    /// What earlier pools saw.
    logs: Vec<PoolLog>,
    fleet: Fleet,
    started: Instant,
    next_sample: Instant,
    figures: Figures,
}

/// Runs it; `tell` hears once a second how it goes.
pub fn run(
    scenario: &Scenario,
    adit: &Path,
    adit_arguments: &[String],
    mut tell: impl FnMut(&str),
) -> Result<Outcome, RunError> {
    let pool = ScriptedPool::start(script(scenario, 0))?;
    let mut arguments = vec!["run".to_owned()];
    for (flag, value) in [("--listen", "127.0.0.1:0"), ("--admin", "off"), ("--pool", &pool.url())] {
        arguments.extend([flag.to_owned(), value.to_owned()]);
    }
    arguments.extend_from_slice(adit_arguments);
    let adit = Adit::start(adit, arguments)?;
    let figures = Figures {
        miners: scenario.fleet.miners as u64,
        resident_kib_at_start: adit.usage()?.resident_kib,
        ..Figures::default()
    };
    let strangers = Strangers::start(adit.address(), scenario.hostile)?;
    let fleet = Fleet::start(&fleet_config(scenario, &adit))?;
    let now = Instant::now();
    let (pool, logs) = (Some(pool), Vec::new());
    let mut run = Run { scenario, adit, pool, logs, fleet, started: now, next_sample: now, figures };
    run.gather(&mut tell)?;
    run.go_on(&mut tell)?;
    run.figures.strangers = strangers.connects();
    drop(strangers);
    Ok(run.finish())
}

impl Run<'_> {
    /// Until every miner has a job, or the time for that is over.
    fn gather(&mut self, tell: &mut impl FnMut(&str)) -> Result<(), RunError> {
        let end = Instant::now() + Duration::from_millis(self.scenario.fleet.all_mining_within_ms);
        while self.fleet.progress().mining() < self.figures.miners && Instant::now() < end {
            std::thread::sleep(TICK);
            self.sample(tell)?;
        }
        self.figures.mining = self.fleet.progress().mining();
        Ok(())
    }

    /// The time of the run itself, with its steps.
    fn go_on(&mut self, tell: &mut impl FnMut(&str)) -> Result<(), RunError> {
        let start = Instant::now();
        let end = start + Duration::from_millis(self.scenario.run_ms);
        let mut steps: Vec<_> = self
            .scenario
            .steps
            .iter()
            .map(|step| (start + Duration::from_millis(step.after_ms), step))
            .collect();
        while Instant::now() < end {
            for (due, step) in &mut steps {
                if Instant::now() < *due {
                    continue;
                }
                let again = Duration::from_millis(step.every_ms);
                *due = if again.is_zero() { end } else { *due + again };
                self.act(step.action)?;
            }
            std::thread::sleep(TICK);
            self.sample(tell)?;
        }
        Ok(())
    }

    fn act(&mut self, action: Action) -> Result<(), RunError> {
        let Some(pool) = &self.pool else { return Ok(()) };
        match action {
            Action::FanOut => self.figures.fan_out_ms.push(fan_out_ms(pool, &self.fleet)),
            Action::FreezePool => pool.freeze(true),
            Action::ThawPool => pool.freeze(false),
            Action::RestartPool => {
                let address = pool.address();
                self.logs.extend(self.pool.take().map(ScriptedPool::kill));
                self.pool = Some(ScriptedPool::start_at(address, script(self.scenario, self.logs.len()))?);
            }
        }
        Ok(())
    }

    fn sample(&mut self, tell: &mut impl FnMut(&str)) -> Result<(), RunError> {
        if Instant::now() < self.next_sample {
            return Ok(());
        }
        self.next_sample += SAMPLE_EVERY;
        let (usage, progress) = (self.adit.usage()?, self.fleet.progress());
        let before = self.figures.timeline.last().copied().unwrap_or_default();
        let now = Moment {
            at_s: self.started.elapsed().as_secs_f64(),
            mining: progress.mining(),
            submitted: progress.submitted(),
            accepted: progress.accepted(),
            resident_kib: usage.resident_kib,
            cpu_s: usage.cpu.as_secs_f64(),
            descriptors: usage.descriptors,
        };
        let seconds = (now.at_s - before.at_s).max(f64::MIN_POSITIVE);
        tell(&format!(
            "{:5.0} s  {} mining  {:.0} submits/s  {} accepted  {:.1} MiB  {:.0} % CPU  {} descriptors",
            now.at_s,
            now.mining,
            now.submitted.saturating_sub(before.submitted) as f64 / seconds,
            now.accepted,
            now.resident_kib as f64 / 1024.0,
            (now.cpu_s - before.cpu_s).max(0.0) / seconds * 100.0,
            now.descriptors,
        ));
        self.figures.timeline.push(now);
        Ok(())
    }

    fn finish(mut self) -> Outcome {
        let report = self.fleet.finish(GRACE);
        self.logs.extend(self.pool.take().map(ScriptedPool::stop));
        let names: Vec<String> = (0..self.logs.len()).map(|nth| format!("pool {nth}")).collect();
        let mut audit = Audit::new().miners(&report);
        for (name, log) in names.iter().zip(&self.logs) {
            audit = audit.pool(name, log);
        }
        let findings = audit.run();
        let mut figures = self.figures;
        figures.take_report(&report);
        Outcome::new(figures, findings, &self.scenario.objectives)
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

fn script(scenario: &Scenario, nth: usize) -> Script {
    let job_every = scenario.pool.job_every_ms;
    Script {
        // Every pool its own tag: work of one that was killed is not its successor's.
        tag: format!("{:02x}", 0xa0 + nth % 0x50),
        job_every: (job_every > 0).then(|| Duration::from_millis(job_every)),
        ..Script::default()
    }
}

fn fleet_config(scenario: &Scenario, adit: &Adit) -> FleetConfig {
    let part = &scenario.fleet;
    let rate = part.submits_per_second;
    let again = part.reconnect_after_ms;
    FleetConfig {
        pace: if rate > 0.0 { Pace::PerSecond(rate) } else { Pace::Idle },
        connects_per_second: part.connects_per_second,
        reconnect_after: (again > 0).then(|| Duration::from_millis(again)),
        ..FleetConfig::new(adit.address(), part.miners)
    }
}

/// Milliseconds from telling the pool to give a job until every miner that mines has heard of it; infinite if some did
/// not in time. The time that pool and miners themselves take is in it.
fn fan_out_ms(pool: &ScriptedPool, fleet: &Fleet) -> f64 {
    let progress = fleet.progress();
    let all = progress.jobs_heard() + progress.mining();
    let start = Instant::now();
    pool.new_job();
    let heard = wait::until(FAN_OUT_TIMEOUT, || progress.jobs_heard() >= all);
    if heard { start.elapsed().as_secs_f64() * 1_000.0 } else { f64::INFINITY }
}
