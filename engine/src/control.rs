//! What the admin server asks of the engine, answered from what shards publish anyway, and from copies of the workers'
//! figures that shards make within the time given: health never waits for a shard, and no shard for a reader.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_admin::view::{
    Ban, Build, ConfigText, Counts, DatabaseHealth, DrillReport, HealthFacts, Latency, LimitUse, Pool,
    PoolState, PoolsHealth, ProcessStats, Series, Shard, ShareCounts, Snapshot as Fleet, Span, Subject,
    SystemHealth, Workers,
};
use adit_admin::{AuditRecord, Caller, Command, Control, Done, Refusal};
use adit_protocol::event::{Oddity, Outcome};
use adit_store::clock::now_us;
use adit_store::health::{State, Status};
use adit_store::limits::OUTBOX_ROWS_MAX;
use crossbeam::channel::Sender;

use crate::counters::{self, CLOSE_REASONS, Counter, ODDITIES, REJECT_CLASSES, Snapshot};
use crate::figures::Figures;
use crate::process::ProcessFigures;
use crate::settings::PoolSettings;
use crate::supervisor::POOL_NAME;

/// The engine as operators see it.
pub struct Operators {
    figures: Figures,
    config_toml: String,
    started_ms: u64,
    /// Tells the process to drain and stop.
    drain: Sender<()>,
}

impl Operators {
    /// Answers from `figures`. `config_toml` has its secrets masked; `drain` is signalled by the drain command.
    pub fn new(figures: Figures, config_toml: String, drain: Sender<()>) -> Self {
        Self { figures, config_toml, started_ms: unix_ms(), drain }
    }

    /// The address of the pool as configured, without name and password.
    fn pool_url(&self) -> String {
        self.figures.settings.pools.first().map(PoolSettings::url).unwrap_or_default()
    }

    /// Why the pool cannot be used, if so.
    fn pool_fault(&self) -> Option<&'static str> {
        if self.figures.addresses.newest().is_empty() {
            Some("its name has no address")
        } else if self.figures.addresses.is_reachable() {
            None
        } else {
            Some("the last attempt to connect failed")
        }
    }

    fn pool(&self, sum: &Snapshot) -> Pool {
        let fault = self.pool_fault();
        Pool {
            name: POOL_NAME.to_owned(),
            url: self.pool_url(),
            group: "default".to_owned(),
            weight: 1,
            share_wanted: 1.0,
            share_achieved: 1.0,
            state: if fault.is_some() { PoolState::Down } else { PoolState::Up },
            reason: fault.unwrap_or_default().to_owned(),
            since_ms: self.started_ms,
            connections: sum.open(),
            connects: sum.get(Counter::Dials).saturating_sub(sum.get(Counter::DialsFailed)),
            connect_failures: Counts::from_iter([("dial", sum.get(Counter::DialsFailed))]),
            verdict_time: self.verdict_time(),
            jobs: sum.get(Counter::Jobs),
            bytes_in: sum.get(Counter::BytesFromPools),
            bytes_out: sum.get(Counter::BytesToPools),
            ..Pool::default()
        }
    }

    fn database(&self, status: &Status) -> DatabaseHealth {
        let failing = match &status.state {
            State::Writing | State::Stopped => None,
            State::Failing { message, .. } => Some(message.clone()),
            State::Died => Some("its thread ended by a bug".to_owned()),
        };
        let lag_us = if failing.is_some() { now_us().saturating_sub(status.durable_up_to_us) } else { 0 };
        DatabaseHealth {
            writable: failing.is_none(),
            last_error: failing,
            durable_lag_ms: lag_us / 1_000,
            queued_rows: status.rows_waiting,
            queue_rows_max: (OUTBOX_ROWS_MAX * self.figures.shards.len()) as u64,
            gap_shares: status.shares_in_gaps,
        }
    }

    fn verdict_time(&self) -> Latency {
        let histogram = self.figures.latency();
        let recorded: Vec<(u64, u64)> = histogram
            .iter_recorded()
            .map(|value| (value.value_iterated_to(), value.count_since_last_iteration()))
            .collect();
        Latency::from_recorded(recorded)
    }

    fn shard(&self, index: usize, snapshot: &Snapshot) -> Shard {
        let published = &self.figures.shards[index];
        Shard {
            index: index as u32,
            core: published.core.and_then(|core| u32::try_from(core).ok()),
            fresh: published.is_alive(),
            connections: snapshot.open(),
            connections_opened: snapshot.get(Counter::Accepted),
            connections_closed: CLOSE_REASONS
                .iter()
                .map(|&reason| (counters::close_reason_label(reason), snapshot.closed(reason)))
                .collect(),
            connections_refused: Counts::from_iter([
                ("connection_limit", snapshot.get(Counter::RefusedTotal)),
                ("address_limit", snapshot.get(Counter::RefusedAddress)),
            ]),
            miner_bytes_in: snapshot.get(Counter::BytesFromMiners),
            miner_bytes_out: snapshot.get(Counter::BytesToMiners),
            pool_bytes_in: snapshot.get(Counter::BytesFromPools),
            pool_bytes_out: snapshot.get(Counter::BytesToPools),
            oddities: ODDITIES
                .iter()
                .map(|&oddity| (counters::oddity_label(oddity), snapshot.odd(oddity)))
                .collect(),
            limits_hit: Counts::from_iter([
                ("pending_requests", snapshot.odd(Oddity::PendingFull)),
                ("names_per_connection", snapshot.odd(Oddity::RefusedNames)),
                ("receive_buffers", snapshot.get(Counter::BuffersShort)),
                ("accept_exhausted", snapshot.get(Counter::AcceptExhausted)),
            ]),
            panics: snapshot.get(Counter::Panics),
            ..Shard::default()
        }
    }
}

impl Control for Operators {
    fn health(&self) -> HealthFacts {
        let process = ProcessFigures::read();
        let fault = self.pool_fault();
        let alive = self.figures.shards.iter().filter(|shard| shard.is_alive()).count();
        let draining = self.figures.is_stopping();
        HealthFacts {
            pools: PoolsHealth {
                usable: u32::from(fault.is_none()),
                enabled: 1,
                unusable: fault.map(|fault| (self.pool_url(), fault.to_owned())).into_iter().collect(),
            },
            database: self.figures.ledger.as_ref().map(|health| self.database(&health.status())),
            system: SystemHealth {
                started_ms: self.started_ms,
                accepting: !draining && alive > 0,
                draining,
                shards_alive: alive as u32,
                shards: self.figures.shards.len() as u32,
                memory_bytes: process.memory_bytes,
                memory_bytes_max: None,
                descriptors: process.descriptors,
                descriptors_max: process.descriptors_max,
                connections: self.figures.admission.open() as u64,
                connections_max: self.figures.settings.limits.connections_max as u64,
            },
        }
    }

    fn snapshot(&self, within: Duration) -> Fleet {
        let process = ProcessFigures::read();
        let sum = self.figures.counters();
        let by_shard = self.figures.counters_by_shard();
        let totals = self.figures.fleet(within);
        let shares = ShareCounts { accepted_difficulty: totals.difficulty_accepted, ..shares(&sum) };
        // One pool: what all do is what is done there.
        let pool = Pool { hashrate: totals.hashrate, shares: shares.clone(), ..self.pool(&sum) };
        Fleet {
            at_ms: unix_ms(),
            build: Build { version: env!("CARGO_PKG_VERSION").to_owned(), ..Build::default() },
            process: ProcessStats {
                started_ms: self.started_ms,
                memory_bytes: process.memory_bytes,
                cpu_seconds: process.cpu_seconds,
                descriptors: process.descriptors,
                descriptors_max: process.descriptors_max,
                threads: process.threads,
                config_loaded_ms: self.started_ms,
                ..ProcessStats::default()
            },
            workers_online: totals.online_count as u64,
            workers_known: totals.known_count as u64,
            hashrate: totals.hashrate,
            shares,
            verdict_time: self.verdict_time(),
            shards: by_shard.iter().enumerate().map(|(index, shard)| self.shard(index, shard)).collect(),
            pools: vec![pool],
            limits: vec![LimitUse {
                name: "connections".to_owned(),
                used: self.figures.admission.open() as u64,
                max: self.figures.settings.limits.connections_max as u64,
            }],
            ..Fleet::default()
        }
    }

    fn workers(&self, within: Duration) -> Workers {
        self.figures.workers(within)
    }

    /// Nothing is known of the past while no ledger is kept.
    fn series(&self, subjects: &[Subject], _span: Span, _within: Duration) -> Vec<Option<Series>> {
        subjects.iter().map(|_| None).collect()
    }

    fn config(&self) -> ConfigText {
        ConfigText { toml: self.config_toml.clone(), file: None, loaded_ms: self.started_ms }
    }

    fn bans(&self) -> Vec<Ban> {
        Vec::new()
    }

    fn drill(&self) -> Option<DrillReport> {
        None
    }

    fn command(&self, command: &Command, _by: &Caller) -> Result<Done, Refusal> {
        if *command != Command::Drain {
            return Err(Refusal::Unavailable("this version of the engine cannot do that".to_owned()));
        }
        if self.figures.is_stopping() || self.drain.try_send(()).is_err() {
            return Err(Refusal::Conflict("Adit is stopping already".to_owned()));
        }
        let affected = self.figures.admission.open() as u64;
        Ok(Done { summary: "draining, then stopping".to_owned(), affected, details: Vec::new() })
    }

    fn audit(&self, record: &AuditRecord) {
        let AuditRecord { by, command, result, .. } = record;
        log::info!("{} ({}): {command:?}: {result:?}", by.token, by.source);
        let actor = format!("{} ({})", by.token, by.source);
        self.figures.audit("command", &actor, &format!("{command:?}"), &format!("{result:?}"));
    }
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
