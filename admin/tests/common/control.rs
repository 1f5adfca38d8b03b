//! A control that says what a test puts into it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_admin::view::{
    Ban, Build, CertificateInfo, ConfigText, Counts, DatabaseHealth, DrillReport, HealthFacts, Latency,
    LedgerStats, LimitUse, Pool, PoolChange, PoolProbe, PoolState, PoolsHealth, ProcessStats, Rates, Series,
    Shard, ShareCounts, Snapshot, Span, Split, SplitPart, Subject, SystemHealth, UnusablePool, Worker,
    WorkerState, Workers,
};
use adit_admin::{AuditRecord, Caller, Command, Control, Done, Refusal};

/// What a [`FakeControl`] says, and what it heard.
#[derive(Default)]
pub struct Said {
    pub health: HealthFacts,
    pub snapshot: Snapshot,
    pub workers: Workers,
    pub keeps_series: bool,
    pub refusal: Option<Refusal>,
    pub panics: bool,
    pub config: ConfigText,
    pub audited: Vec<AuditRecord>,
}

/// A control that says what was put into it.
#[derive(Default)]
pub struct FakeControl(Mutex<Said>);

impl FakeControl {
    /// One that is well: two shards, two pools, `workers` workers, every figure there is.
    pub fn well_with(workers: u32) -> Arc<Self> {
        let said = Said {
            health: health(),
            snapshot: snapshot(workers),
            workers: Workers { all: (0..workers).map(worker).collect(), shards_missing: 0 },
            keeps_series: true,
            config: ConfigText { toml: "[pool]\npassword = \"***\"\n".into(), file: None, loaded_ms: 7 },
            ..Said::default()
        };
        Arc::new(Self(Mutex::new(said)))
    }

    /// The same with a few workers.
    pub fn well() -> Arc<Self> {
        Self::well_with(5)
    }

    pub fn change(&self, change: impl FnOnce(&mut Said)) {
        change(&mut self.0.lock().unwrap());
    }

    pub fn read<T>(&self, read: impl FnOnce(&Said) -> T) -> T {
        read(&self.0.lock().unwrap())
    }
}

impl Control for FakeControl {
    fn health(&self) -> HealthFacts {
        assert!(!self.read(|said| said.panics), "a test wants a panic");
        self.read(|said| said.health.clone())
    }

    fn snapshot(&self, _within: Duration) -> Snapshot {
        self.read(|said| said.snapshot.clone())
    }

    fn workers(&self, _within: Duration) -> Workers {
        self.read(|said| said.workers.clone())
    }

    fn series(&self, subjects: &[Subject], span: Span, _within: Duration) -> Vec<Option<Series>> {
        let steps = ((span.to_ms - span.from_ms) / span.step_ms) as usize;
        let series = Series {
            from_ms: span.from_ms,
            step_ms: span.step_ms,
            hashrate: vec![1e14; steps],
            accepted: vec![9; steps],
            rejected: vec![1; steps],
        };
        vec![self.read(|said| said.keeps_series).then_some(series); subjects.len()]
    }

    fn config(&self) -> ConfigText {
        self.read(|said| said.config.clone())
    }

    fn bans(&self) -> Vec<Ban> {
        vec![Ban {
            network: "192.0.2.7".into(),
            since_ms: 1,
            until_ms: None,
            reason: "test".into(),
            by: "ada".into(),
        }]
    }

    fn drill(&self) -> Option<DrillReport> {
        Some(DrillReport { from: "a".into(), to: vec!["b".into()], started_ms: 1, ..DrillReport::default() })
    }

    fn command(&self, command: &Command, _by: &Caller) -> Result<Done, Refusal> {
        match self.read(|said| said.refusal.clone()) {
            Some(refusal) => Err(refusal),
            None => Ok(Done { summary: format!("did {command:?}"), affected: 1, details: Vec::new() }),
        }
    }

    fn audit(&self, record: &AuditRecord) {
        self.change(|said| said.audited.push(record.clone()));
    }
}

fn health() -> HealthFacts {
    HealthFacts {
        pools: PoolsHealth {
            usable: 1,
            enabled: 2,
            unusable: vec![UnusablePool { name: "b".into(), reason: "refused".into(), since_ms: 5 }],
        },
        database: Some(DatabaseHealth { writable: true, queue_rows_max: 100, ..DatabaseHealth::default() }),
        system: SystemHealth { accepting: true, shards_alive: 2, shards: 2, ..SystemHealth::default() },
    }
}

fn latency() -> Latency {
    Latency::from_recorded([(80, 1_u64), (900, 50), (30_000, 4), (70_000_000, 1)])
}

fn shares() -> ShareCounts {
    ShareCounts {
        accepted: 1_000,
        rejected: Counts::from_iter([("stale", 3), ("duplicate", 1)]),
        refused_here: Counts::from_iter([("low_difficulty", 2)]),
        unanswered: 1,
        accepted_difficulty: 6.5e7,
        block_candidates: 1,
    }
}

fn snapshot(workers: u32) -> Snapshot {
    let rates = Rates { m1: 1e15, m5: 1.1e15, ..Rates::default() };
    let shard = |index| Shard {
        index,
        core: Some(index),
        fresh: true,
        busy_share: 0.125,
        connections: 50,
        stages: Counts::from_iter([("authorized", 49), ("subscribed", 1)]),
        connections_opened: 70,
        connections_closed: Counts::from_iter([("miner_closed", 20)]),
        connections_refused: Counts::from_iter([("address_limit", 2)]),
        parse_errors: Counts::from_iter([("not_json", 1)]),
        oddities: Counts::from_iter([("late_accept", 1)]),
        limits_hit: Counts::from_iter([("pending", 1)]),
        placements: Counts::from_iter([("live", 1)]),
        job_forwarding: latency(),
        mailbox: latency(),
        timers: latency(),
        ..Shard::default()
    };
    let pool = |name: &str, state| Pool {
        name: name.into(),
        url: format!("stratum+tcp://{name}.example:3333"),
        group: "main".into(),
        weight: 1,
        state,
        reason: "all well".into(),
        history: vec![PoolChange { at_ms: 5, from: PoolState::HalfOpen, to: state, reason: "probe".into() }],
        split: Split {
            wanted: 0.5,
            workers: 50,
            by_workers: SplitPart { achieved: 0.5, standard_error: 0.05 },
            by_hashrate: SplitPart { achieved: 0.48, standard_error: 0.07 },
        },
        probes: vec![PoolProbe { at_ms: 5, took_ms: 70, passed: true, detail: "it answered".into() }],
        probes_ended: Counts::from_iter([("passed", 1), ("failed", 0)]),
        connections: 50,
        kept: Counts::from_iter([("reserved", 1)]),
        connect_failures: Counts::from_iter([("dial", 1)]),
        connect_time: latency(),
        switches_to: Counts::from_iter([("live", 1)]),
        switch_time: latency(),
        shares: shares(),
        reject_reasons: Counts::from_iter([("job not found".to_owned(), 3)]),
        verdict_time: latency(),
        hashrate: rates,
        jobs: 100,
        last_job_ms: Some(1_700_000_000_000),
        difficulty: Some(65_536.0),
        block_height: Some(840_000),
        network_difficulty: Some(8.6e13),
        ..Pool::default()
    };
    Snapshot {
        at_ms: 1_700_000_010_000,
        build: Build { version: "0.1.0".into(), commit: "abc".into(), rustc: "1.90".into() },
        process: ProcessStats {
            started_ms: 1_700_000_000_000,
            reloads: Counts::from_iter([("applied", 1)]),
            ..ProcessStats::default()
        },
        workers_online: workers.into(),
        workers_known: workers.into(),
        hashrate: rates,
        shares: shares(),
        verdict_time: latency(),
        shards: vec![shard(0), shard(1)],
        pools: vec![pool("a", PoolState::Up), pool("b", PoolState::Down)],
        ledger: Some(LedgerStats { rows: 5, batch_time: latency(), ..LedgerStats::default() }),
        limits: vec![LimitUse { name: "connections".into(), used: 100, max: 10_000 }],
        certificates: vec![CertificateInfo {
            used_by: "0.0.0.0:3334".into(),
            subject: "proxy.farm".into(),
            expires_ms: 1_800_000_000_000,
        }],
        bans: 1,
    }
}

/// The n-th worker: every third one is offline, the names sort by number.
pub fn worker(n: u32) -> Worker {
    let is_online = n % 3 != 2;
    Worker {
        name: format!("farm.rig{n:05}").into(),
        upstream_name: format!("account.rig{n:05}").into(),
        state: if is_online { WorkerState::Online } else { WorkerState::Offline },
        pool: Some(if n.is_multiple_of(2) { "a" } else { "b" }.into()),
        connections: u32::from(is_online),
        address: Some(format!("10.0.{}.{}", n / 256, n % 256).into()),
        user_agent: Some("cgminer/4.12".into()),
        first_seen_ms: 1_690_000_000_000 + u64::from(n),
        last_seen_ms: 1_700_000_000_000,
        last_share_ms: is_online.then_some(1_700_000_005_000),
        difficulty: 65_536.0,
        best_difficulty: None,
        hashrate: Rates { m5: f64::from(n) * 1e12, ..Rates::default() },
        shares: ShareCounts { accepted: u64::from(n), ..shares() },
    }
}
