//! What the admin server asks of the engine, answered from what shards publish anyway, and from copies of the workers'
//! figures that shards make within the time given: health never waits for a shard, and no shard for a reader.

mod busy;
mod commands;
pub(crate) mod drill;
mod ledger;
mod moves;
mod pools;
mod shard;
mod split;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_admin::view::{
    Ban, Build, ConfigText, Counts, DatabaseHealth, DrillReport, HealthFacts, Latency, LimitUse, Pool,
    ProcessStats, Series, ShareCounts, Snapshot as Fleet, Span, Subject, SystemHealth, Workers,
};
use adit_admin::{AuditRecord, Caller, Command, Control, Done, Refusal};
use adit_protocol::event::Outcome;
use adit_store::limits::OUTBOX_ROWS_MAX;
use crossbeam::channel::Sender;

use crate::counters::{self, Counter, REJECT_CLASSES, Snapshot};
use crate::curves::Curves;
use crate::figures::{Figures, FleetTotals};
use crate::process::{self, ProcessFigures};
use crate::reload::Configured;
use busy::BusyMeter;
use split::SplitMeter;

/// The commit that this was built from, where whoever built it said so.
const COMMIT: &str = match option_env!("BUILD_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The engine as operators see it.
pub struct Operators {
    figures: Figures,
    config: Configured,
    started_ms: u64,
    busy: BusyMeter,
    /// `None` where no ledger is kept.
    curves: Option<Curves>,
    splits: SplitMeter,
    /// Tells the process to drain and stop.
    drain: Sender<()>,
}

impl Operators {
    /// Answers from `figures`; `drain` is signalled by the drain command.
    pub fn new(figures: Figures, config: Configured, drain: Sender<()>) -> Self {
        let curves = figures.settings.ledger.as_deref().and_then(|ledger| {
            let started = Curves::start(ledger);
            started.inspect_err(|error| log::error!("figures over time cannot be read: {error}")).ok()
        });
        let (started_ms, busy, splits) = (unix_ms(), BusyMeter::default(), SplitMeter::default());
        let operators = Self { figures, config, started_ms, busy, curves, splits, drain };
        // The first look: from here on there is a span to take shares over.
        operators.busy_shares();
        operators
    }

    /// Every pool, after `within` at the latest.
    fn pools(&self, totals: &FleetTotals, within: Duration) -> Vec<Pool> {
        let deadline = Instant::now() + within;
        let splits = self.splits.splits(&self.figures, within);
        let mut pools = pools::views(&self.figures, totals, &splits);
        if let Some(curves) = &self.curves {
            let left = deadline.saturating_duration_since(Instant::now());
            let words = curves.words(self.started_ms * 1_000, left);
            for pool in &mut pools {
                pool.reject_reasons = words.get(&*pool.name).cloned().unwrap_or_default();
            }
        }
        pools
    }

    fn queue_rows_max(&self) -> u64 {
        (OUTBOX_ROWS_MAX * self.figures.shards.len()) as u64
    }

    fn verdict_time(&self) -> Latency {
        let histogram = self.figures.latency();
        let recorded: Vec<(u64, u64)> = histogram
            .iter_recorded()
            .map(|value| (value.value_iterated_to(), value.count_since_last_iteration()))
            .collect();
        Latency::from_recorded(recorded)
    }

    fn busy_shares(&self) -> Vec<f64> {
        let threads: Vec<_> = self.figures.shards.iter().map(|shard| shard.vitals.thread()).collect();
        self.busy.shares(&threads)
    }

    fn process(&self) -> ProcessStats {
        let process = ProcessFigures::read();
        let (config_loaded_ms, reloads) = match &self.config {
            Configured::Fixed(_) => (self.started_ms, reloads(0, 0)),
            Configured::Loaded(reloader) => {
                let (applied, failed) = reloader.counts();
                (reloader.text().1, reloads(applied, failed))
            }
        };
        ProcessStats {
            started_ms: self.started_ms,
            memory_bytes: process.memory_bytes,
            cpu_seconds: process.cpu_seconds,
            descriptors: process.descriptors,
            descriptors_max: process.descriptors_max,
            threads: process.threads,
            config_loaded_ms,
            reloads,
        }
    }

    fn limits(&self) -> Vec<LimitUse> {
        let limit = |name: &str, used, max| LimitUse { name: name.to_owned(), used, max };
        let connections_max = self.figures.settings.limits.connections_max as u64;
        vec![limit("connections", self.figures.admission.open() as u64, connections_max)]
    }
}

impl Control for Operators {
    fn health(&self) -> HealthFacts {
        let process = ProcessFigures::read();
        let alive = self.figures.shards_alive();
        let draining = self.figures.is_stopping();
        HealthFacts {
            pools: pools::health(&self.figures),
            database: self
                .figures
                .ledger
                .as_ref()
                .map(|health| -> DatabaseHealth { ledger::health(&health.status(), self.queue_rows_max()) }),
            system: SystemHealth {
                started_ms: self.started_ms,
                accepting: !draining && alive > 0,
                draining,
                shards_alive: alive as u32,
                shards: self.figures.shards.len() as u32,
                memory_bytes: process.memory_bytes,
                memory_bytes_max: process::memory_bytes_max(),
                descriptors: process.descriptors,
                descriptors_max: process.descriptors_max,
                connections: self.figures.admission.open() as u64,
                connections_max: self.figures.settings.limits.connections_max as u64,
            },
        }
    }

    fn snapshot(&self, within: Duration) -> Fleet {
        let begun = Instant::now();
        let sum = self.figures.counters();
        let by_shard = self.figures.counters_by_shard();
        let totals = self.figures.fleet(within);
        let shares = ShareCounts { accepted_difficulty: totals.difficulty_accepted, ..shares(&sum) };
        let pools = self.pools(&totals, within.saturating_sub(begun.elapsed()));
        let parts = by_shard.iter().zip(&self.figures.shards).enumerate();
        let parts = parts.zip(self.busy_shares()).zip(&totals.answer_ages_us);
        let by_shard = parts
            .map(|(((index, (counted, published)), busy), &age_us)| {
                shard::view(index, published, counted, busy, age_us)
            })
            .collect();
        let ledger_file = self.figures.settings.ledger.as_deref();
        Fleet {
            at_ms: unix_ms(),
            build: Build {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                commit: COMMIT.to_owned(),
                rustc: env!("BUILT_WITH_RUSTC").to_owned(),
            },
            process: self.process(),
            workers_online: totals.online_count as u64,
            workers_known: totals.known_count as u64,
            hashrate: totals.hashrate,
            shares,
            verdict_time: self.verdict_time(),
            shards: by_shard,
            pools,
            ledger: self
                .figures
                .ledger
                .as_ref()
                .map(|health| ledger::stats(&health.status(), self.queue_rows_max(), ledger_file)),
            limits: self.limits(),
            bans: self.bans().len() as u64,
            ..Fleet::default()
        }
    }

    fn workers(&self, within: Duration) -> Workers {
        self.figures.workers(within)
    }

    fn series(&self, subjects: &[Subject], span: Span, within: Duration) -> Vec<Option<Series>> {
        match &self.curves {
            Some(curves) => curves.series(subjects, span, within),
            None => vec![None; subjects.len()],
        }
    }

    fn config(&self) -> ConfigText {
        match &self.config {
            Configured::Fixed(toml) => {
                ConfigText { toml: (*toml).to_owned(), file: None, loaded_ms: self.started_ms }
            }
            Configured::Loaded(reloader) => {
                let (toml, loaded_ms) = reloader.text();
                ConfigText { toml, file: reloader.file(), loaded_ms }
            }
        }
    }

    fn bans(&self) -> Vec<Ban> {
        self.figures.admission.bans().list(unix_ms())
    }

    fn drill(&self) -> Option<DrillReport> {
        self.figures.drills.report()
    }

    fn command(&self, command: &Command, by: &Caller) -> Result<Done, Refusal> {
        commands::carry_out(self, command, by)
    }

    fn audit(&self, record: &AuditRecord) {
        commands::audit(&self.figures, record);
    }
}

/// Times the configuration was read again, by what came of it.
fn reloads(applied: u64, refused: u64) -> Counts {
    Counts::from_iter([("applied", applied), ("refused", refused)])
}

/// Shares by outcome, and by class where they were refused or rejected.
fn shares(snapshot: &Snapshot) -> ShareCounts {
    let by_class = |outcome| -> Counts {
        let label = |&class| (counters::reject_class_label(class), snapshot.refused(outcome, class));
        REJECT_CLASSES.iter().map(label).collect()
    };
    ShareCounts {
        accepted: snapshot.shares(Outcome::Accepted),
        rejected: by_class(Outcome::Rejected),
        refused_here: by_class(Outcome::RefusedHere),
        unanswered: snapshot.shares(Outcome::Unanswered),
        accepted_difficulty: 0.0,
        block_candidates: snapshot.get(Counter::BlockCandidates),
    }
}

fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
