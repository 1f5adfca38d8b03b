//! The admin side with made-up figures: for looking at the dashboard in any state and size, and for taking pictures of it.
//! No engine, no miner, no pool; nothing of this is in the product.
//!
//!     cargo run -p adit-admin --example made_up -- --workers 10000 --scene trouble
//!
//! It prints where it listens, and a token of each role, and ends when its standard input does.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_admin::events::ShareOutcome;
use adit_admin::view::{
    Ban, Build, CertificateInfo, ConfigText, Counts, DatabaseHealth, DrillPhase, DrillReport, HealthFacts,
    Latency, LedgerStats, LimitUse, Pool, PoolChange, PoolProbe, PoolState, PoolsHealth, ProcessStats, Rates,
    Series, Shard, ShareCounts, Snapshot, Span, Split, SplitPart, Subject, SystemHealth, UnusablePool,
    Worker, WorkerState, Workers,
};
use adit_admin::{
    AdminServer, AuditRecord, Caller, Command, Control, Done, Event, Events, NewToken, Options, Refusal,
    Role, Token,
};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// What a miner of these days does.
const RIG_HASHES_PER_SECOND: f64 = 2.0e14;
const SHARES_PER_RIG_AND_MINUTE: f64 = 6.0;
const CONNECTIONS_MAX: u64 = 20_000;
/// Names, share of the miners, and what a pool's verdicts take.
const POOLS: [(&str, f64, u64); 3] = [("north", 0.7, 18_000), ("south", 0.3, 31_000), ("solo", 0.0, 900)];

/// What is going on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scene {
    Well,
    Trouble,
    NoLedger,
    Drill,
}

struct MadeUp {
    workers: u32,
    scene: Scene,
    started_ms: u64,
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A number between 0 and 1 that looks random and is always the same for the same `n`.
fn noise(n: u64) -> f64 {
    let mut x = n.wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 29;
    x = x.wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^= x >> 32;
    (x % 1_000_000) as f64 / 1e6
}

/// How much of the fleet runs at a time: a little less in hot afternoons, a dent last night.
fn weather(at_ms: u64, now_ms: u64) -> f64 {
    let day = (at_ms % DAY_MS) as f64 / DAY_MS as f64;
    let dent = if (now_ms - 9 * HOUR_MS..now_ms - 8 * HOUR_MS).contains(&at_ms) { 0.55 } else { 1.0 };
    dent * (0.965 + 0.02 * (day * TAU).cos() + 0.012 * noise(at_ms / MINUTE_MS))
}

impl MadeUp {
    fn is_trouble(&self) -> bool {
        self.scene == Scene::Trouble
    }

    fn is_offline(&self, n: u32) -> bool {
        noise(u64::from(n)) < if self.is_trouble() { 0.18 } else { 0.01 }
    }

    fn online(&self) -> u64 {
        (0..self.workers).filter(|&n| !self.is_offline(n)).count() as u64
    }

    fn uptime_minutes(&self) -> f64 {
        (now_ms().saturating_sub(self.started_ms)) as f64 / MINUTE_MS as f64
    }

    fn rates(&self, part: f64) -> Rates {
        let now = now_ms();
        let all = self.online() as f64 * RIG_HASHES_PER_SECOND * part;
        let noise = 0.01 * noise(now / 2_000);
        let rate = all * (weather(now, now) + noise);
        Rates {
            m1: rate,
            m5: rate * 0.998,
            m15: rate,
            h1: rate * 1.003,
            h6: rate,
            d1: rate * 0.98,
            d7: rate * 0.97,
        }
    }

    fn shares(&self, part: f64) -> ShareCounts {
        let all = (f64::from(self.workers) * part * SHARES_PER_RIG_AND_MINUTE * self.uptime_minutes()) as u64;
        let of = |share: f64| (all as f64 * share) as u64;
        let worse = if self.is_trouble() { 14.0 } else { 1.0 };
        ShareCounts {
            accepted: of(1.0 - 0.0058 * worse),
            rejected: Counts::from_iter([
                ("stale", of(0.0031 * worse)),
                ("duplicate", of(0.0004)),
                ("low_difficulty", of(0.0008 * worse)),
                ("unauthorized", 0),
                ("other", of(0.0001)),
            ]),
            refused_here: Counts::from_iter([("stale", of(0.0009)), ("not_subscribed", of(0.0001))]),
            unanswered: of(0.0004 * worse),
            accepted_difficulty: of(1.0) as f64 * 262_144.0,
            block_candidates: u64::from(part >= 0.7 && self.workers > 1_000),
        }
    }

    fn latency(middle_us: u64, count: u64) -> Latency {
        let steps: Vec<(u64, u64)> = (0..60_u64)
            .map(|step| {
                let away = step as f64 / 10.0 - 2.0;
                let value = middle_us as f64 * 2_f64.powf(away);
                let weight = (-away * away * if away < 0.0 { 2.2 } else { 0.8 }).exp();
                (value as u64, (weight * count as f64 / 12.0) as u64)
            })
            .filter(|&(_, count)| count > 0)
            .collect();
        Latency::from_recorded(steps)
    }

    fn pools(&self) -> Vec<Pool> {
        POOLS.iter().enumerate().map(|(index, &pool)| self.pool(index as u32, pool)).collect()
    }

    /// Two pools share the first priority, two parts to one; all is at the second one while the first is down.
    fn split(&self, index: u32, part: f64) -> Split {
        let is_down = self.is_trouble() && index == 0;
        let wanted = match (self.is_trouble(), index) {
            (true, 0) => 0.0,
            (true, 1) | (_, 2) => 1.0,
            (_, 0) => 2.0 / 3.0,
            _ => 1.0 / 3.0,
        };
        let workers = (self.online() as f64 * part) as u64;
        let is_used = workers > 0 && !is_down;
        let chance = (wanted * (1.0 - wanted) / self.online().max(1) as f64).sqrt();
        let part = |off: f64, standard_error: f64| SplitPart {
            achieved: if is_used { wanted + off * standard_error } else { 0.0 },
            standard_error,
        };
        let side = if index == 0 { 1.0 } else { -1.0 };
        Split {
            wanted,
            workers,
            by_workers: part(0.4 * side, chance),
            by_hashrate: part(-0.7 * side, chance * 1.6),
        }
    }

    fn probes(&self, index: u32) -> Vec<PoolProbe> {
        let is_down = self.is_trouble() && index == 0;
        let probe = |before: u64| PoolProbe {
            at_ms: now_ms() / MINUTE_MS * MINUTE_MS - before,
            took_ms: if is_down { 3 } else { 240 },
            passed: !is_down,
            detail: if is_down {
                "connecting: Connection refused (os error 111)".to_owned()
            } else {
                "it took a name and gave a job".to_owned()
            },
        };
        (0..3).rev().map(|n| probe(n * MINUTE_MS)).collect()
    }

    fn pool(&self, index: u32, (name, usual, middle_us): (&str, f64, u64)) -> Pool {
        let now = now_ms();
        let part = match (self.is_trouble(), index) {
            (true, 0) => 0.0,
            (true, 1) => 1.0,
            _ => usual,
        };
        let shares = self.shares(usual);
        let change = |before: u64, from, to, reason: &str| PoolChange {
            at_ms: now / MINUTE_MS * MINUTE_MS - before,
            from,
            to,
            reason: reason.to_owned(),
        };
        let mut history = match index {
            0 => vec![
                change(9 * HOUR_MS, PoolState::Up, PoolState::Down, "no job for 120 s"),
                change(8 * HOUR_MS + 300_000, PoolState::Down, PoolState::HalfOpen, "the pause is over"),
                change(8 * HOUR_MS + 290_000, PoolState::HalfOpen, PoolState::Up, "the probe got a job"),
            ],
            1 => vec![
                change(5 * HOUR_MS, PoolState::Up, PoolState::Degraded, "3 of 20 connects failed"),
                change(4 * HOUR_MS, PoolState::Degraded, PoolState::Up, "all well for 10 min"),
            ],
            _ => vec![change(20 * HOUR_MS, PoolState::Up, PoolState::Disabled, "switched off by ada")],
        };
        if self.is_trouble() && index == 0 {
            history.push(change(4 * MINUTE_MS, PoolState::Up, PoolState::Down, "connection refused"));
        }
        let last = history.last().cloned().unwrap_or_default();
        Pool {
            name: name.to_owned(),
            url: format!("stratum+tcp://{name}.pool.example:3333"),
            group: "default".to_owned(),
            priority: 1 + u32::from(index == 2),
            weight: if index == 0 { 2 } else { 1 },
            split: self.split(index, part),
            state: last.to,
            reason: last.reason,
            since_ms: last.at_ms,
            until_ms: (last.to == PoolState::Down).then_some(now + 22_000),
            history,
            probes: self.probes(index),
            probes_ended: Counts::from_iter([("passed", 71), ("failed", u64::from(index == 0) * 9)]),
            connections: (self.online() as f64 * part) as u64,
            standby: u64::from(index == 1) * 2,
            kept: Counts::from_iter([("reserved", 42), ("returned", 40), ("lapsed", 2)]),
            connects: 400,
            connect_failures: Counts::from_iter([("dial", u64::from(index == 0) * 31)]),
            connect_time: Self::latency(12_000, 400),
            switches_to: Counts::from_iter([
                ("live", u64::from(self.workers / 2)),
                ("reconnect", u64::from(self.workers / 10)),
            ]),
            switch_time: Self::latency(45_000, u64::from(self.workers / 2)),
            verdict_time: Self::latency(middle_us, shares.accepted),
            reject_reasons: Counts::from_iter([
                ("Job not found".to_owned(), shares.rejected.of("stale")),
                ("Above target".to_owned(), shares.rejected.of("low_difficulty")),
                ("Duplicate share".to_owned(), shares.rejected.of("duplicate")),
            ]),
            hashrate: self.rates(part),
            jobs: (self.uptime_minutes() * 2.0) as u64,
            clean_jobs: (self.uptime_minutes() / 10.0) as u64,
            last_job_ms: (part > 0.0).then_some(now - 1_000 - now % 28_000),
            difficulty: (part > 0.0).then_some(262_144.0),
            block_height: (index < 2).then_some(925_118),
            network_difficulty: Some(1.52e14),
            bytes_in: 1 << 33,
            bytes_out: 1 << 32,
            shares,
        }
    }

    fn shard(&self, index: u32) -> Shard {
        let online = self.online();
        let busy = 0.02 + online as f64 / 40_000.0 + 0.03 * noise(now_ms() / 3_000 + u64::from(index));
        Shard {
            index,
            core: Some(index),
            fresh: !(self.is_trouble() && index == 1),
            heartbeat_age_ms: 40,
            busy_share: busy,
            connections: online / 4 + u64::from(u64::from(index) < online % 4),
            connections_opened: online,
            miner_bytes_in: 1 << 31,
            miner_bytes_out: 1 << 32,
            ..Shard::default()
        }
    }

    fn worker(&self, n: u32) -> Worker {
        let now = now_ms();
        let is_offline = self.is_offline(n);
        let (name, own) = (format!("farm{}.rig{n:05}", n / 2_500 + 1), noise(u64::from(n) + 77));
        let part = 1.0 / f64::from(self.workers);
        let rate = if is_offline { 0.0 } else { RIG_HASHES_PER_SECOND * (0.6 + 0.8 * own) };
        let shares = self.shares(part * (0.6 + 0.8 * own));
        Worker {
            upstream_name: format!("acme.{name}").into(),
            name: name.into(),
            state: if is_offline { WorkerState::Offline } else { WorkerState::Online },
            pool: Some(if own < 0.7 && !self.is_trouble() { "north" } else { "south" }.into()),
            connections: u32::from(!is_offline),
            address: Some(format!("10.{}.{}.{}", n / 65_536, n / 256 % 256, n % 256).into()),
            user_agent: Some("bmminer/2.0.0".into()),
            first_seen_ms: now - 90 * DAY_MS,
            last_seen_ms: if is_offline { now - 3 * HOUR_MS } else { now },
            last_share_ms: Some(now - if is_offline { 3 * HOUR_MS } else { (own * 20_000.0) as u64 }),
            difficulty: 262_144.0,
            best_difficulty: Some(1.4e9 * own),
            hashrate: Rates {
                m1: rate,
                m5: rate,
                m15: rate,
                h1: rate * 0.99,
                h6: rate,
                d1: rate * 0.97,
                d7: rate,
            },
            shares,
        }
    }

    fn one_series(&self, subject: &Subject, span: Span) -> Series {
        let now = now_ms();
        let (part, seed) = match subject {
            Subject::Fleet => (self.online() as f64, 0),
            Subject::Pool(name) => {
                let found = POOLS.iter().find(|(pool, ..)| pool == name);
                (self.online() as f64 * found.map_or(0.0, |(_, part, _)| *part), 1)
            }
            Subject::Worker(name) => {
                let seed = name.bytes().fold(7_u64, |seed, byte| seed.wrapping_mul(31) + u64::from(byte));
                (1.0, seed)
            }
        };
        let at = || (span.from_ms..span.to_ms).step_by(span.step_ms as usize);
        let own = |at_ms: u64| if seed > 1 { 0.85 + 0.3 * noise(seed ^ (at_ms / span.step_ms)) } else { 1.0 };
        let hashrate: Vec<f64> =
            at().map(|at_ms| part * RIG_HASHES_PER_SECOND * weather(at_ms, now) * own(at_ms)).collect();
        let minutes = span.step_ms as f64 / MINUTE_MS as f64;
        let total = part * SHARES_PER_RIG_AND_MINUTE * minutes;
        let lost = |at_ms: u64| {
            let recent = self.is_trouble() && at_ms + 20 * MINUTE_MS > now;
            total * if recent { 0.08 } else { 0.003 + 0.004 * noise(at_ms / span.step_ms) }
        };
        Series {
            from_ms: span.from_ms,
            step_ms: span.step_ms,
            hashrate,
            accepted: at().map(|at_ms| (total - lost(at_ms)) as u64).collect(),
            rejected: at().map(|at_ms| lost(at_ms) as u64).collect(),
        }
    }
}

impl Control for MadeUp {
    fn health(&self) -> HealthFacts {
        let is_trouble = self.is_trouble();
        let north = UnusablePool {
            name: "north".to_owned(),
            reason: "connection refused".to_owned(),
            since_ms: now_ms() - 4 * MINUTE_MS,
        };
        let unusable = if is_trouble { vec![north] } else { vec![] };
        let database = DatabaseHealth {
            writable: true,
            queue_rows_max: 262_144,
            durable_lag_ms: if is_trouble { 3_400 } else { 120 },
            ..DatabaseHealth::default()
        };
        HealthFacts {
            pools: PoolsHealth { usable: if is_trouble { 1 } else { 2 }, enabled: 2, unusable },
            database: (self.scene != Scene::NoLedger).then_some(database),
            system: SystemHealth {
                started_ms: self.started_ms,
                accepting: true,
                shards_alive: if is_trouble { 3 } else { 4 },
                shards: 4,
                memory_bytes: 312 << 20,
                memory_bytes_max: Some(2 << 30),
                descriptors: 2 * self.online(),
                descriptors_max: 65_536,
                connections: self.online(),
                connections_max: CONNECTIONS_MAX,
                ..SystemHealth::default()
            },
        }
    }

    fn snapshot(&self, _within: Duration) -> Snapshot {
        let now = now_ms();
        let shares = self.shares(1.0);
        let is_trouble = self.is_trouble();
        let ledger = LedgerStats {
            rows: shares.total(),
            file_bytes: shares.total() * 92,
            durable_lag_ms: if is_trouble { 3_400 } else { 120 },
            queued_rows: if is_trouble { 90_000 } else { 40 },
            queue_rows_max: 262_144,
            gap_shares: if is_trouble { 1_204 } else { 0 },
            ..LedgerStats::default()
        };
        let expires = now + if is_trouble { 6 * DAY_MS } else { 71 * DAY_MS };
        let certificate = CertificateInfo {
            used_by: "0.0.0.0:3334".to_owned(),
            subject: "proxy.farm.example".to_owned(),
            expires_ms: expires,
        };
        Snapshot {
            at_ms: now,
            build: Build { version: env!("CARGO_PKG_VERSION").to_owned(), ..Build::default() },
            process: ProcessStats {
                started_ms: self.started_ms,
                memory_bytes: 312 << 20,
                descriptors: 2 * self.online() + 40,
                descriptors_max: 65_536,
                threads: 14,
                ..ProcessStats::default()
            },
            workers_online: self.online(),
            workers_known: self.workers.into(),
            hashrate: self.rates(1.0),
            verdict_time: Self::latency(19_000, shares.accepted),
            shares,
            shards: (0..4).map(|index| self.shard(index)).collect(),
            pools: self.pools(),
            ledger: (self.scene != Scene::NoLedger).then_some(ledger),
            limits: vec![LimitUse { name: "connections".into(), used: self.online(), max: CONNECTIONS_MAX }],
            certificates: vec![certificate],
            bans: 1,
        }
    }

    fn workers(&self, _within: Duration) -> Workers {
        let all = (0..self.workers).map(|n| self.worker(n)).collect();
        Workers { all, shards_missing: u32::from(self.is_trouble()) }
    }

    fn series(&self, subjects: &[Subject], span: Span, _within: Duration) -> Vec<Option<Series>> {
        let has_any = self.scene != Scene::NoLedger && self.workers > 0;
        subjects.iter().map(|subject| has_any.then(|| self.one_series(subject, span))).collect()
    }

    fn config(&self) -> ConfigText {
        ConfigText {
            toml: "listen = [\"0.0.0.0:3333\"]  # the file\n".to_owned(),
            file: None,
            loaded_ms: self.started_ms,
        }
    }

    fn bans(&self) -> Vec<Ban> {
        let (network, reason, by) = ("198.51.100.0/24".to_owned(), "port scans".to_owned(), "ada".to_owned());
        vec![Ban { network, since_ms: self.started_ms, until_ms: Some(now_ms() + HOUR_MS), reason, by }]
    }

    fn drill(&self) -> Option<DrillReport> {
        let times = |us: &[u64]| Latency::from_recorded(us.iter().map(|&us| (us, 10)).collect::<Vec<_>>());
        let report = DrillReport {
            by: "ada".to_owned(),
            from: "north".to_owned(),
            to: vec!["south".to_owned()],
            percent: 5,
            hold_seconds: 60,
            started_ms: self.started_ms,
            miners: 800,
            chosen: 40,
            moved: 38,
            not_live: 2,
            switch_time: times(&[11_000, 14_000, 23_000]),
            accepted: 410,
            stale: 1,
            ..DrillReport::default()
        };
        (self.scene == Scene::Drill).then(|| DrillReport {
            phase: DrillPhase::Away,
            phase_until_ms: Some(now_ms() + 42_000),
            ..report
        })
    }

    fn command(&self, command: &Command, _by: &Caller) -> Result<Done, Refusal> {
        match command {
            Command::DisablePool { pool } if pool == "south" => {
                Err(Refusal::Conflict("south is the last pool that miners can be sent to.".to_owned()))
            }
            _ => Ok(Done {
                summary: "Done, as far as made-up figures go.".to_owned(),
                affected: 1,
                details: vec![],
            }),
        }
    }

    fn audit(&self, _record: &AuditRecord) {}
}

/// Tells of what goes on, a few events each second.
fn publish(events: &Events, workers: u32, is_trouble: bool) {
    let rig = |n: u64| -> Arc<str> {
        let n = (noise(n) * f64::from(workers)) as u32;
        format!("farm{}.rig{n:05}", n / 2_500 + 1).into()
    };
    if is_trouble {
        let (pool, reason) = ("north".into(), "connection refused".into());
        events.publish(Event::PoolState { pool, from: PoolState::Up, to: PoolState::Down, reason });
        for n in 0..u64::from(workers.min(700)) {
            let (from, to) = ("north".into(), "south".into());
            let switch = Event::Switch {
                worker: Some(rig(n)),
                from,
                to,
                reason: "failover".into(),
                live: true,
                took_ms: 48,
            };
            events.publish(switch);
        }
        let burst = Event::RejectBurst {
            pool: "south".into(),
            worker: None,
            class: "stale".into(),
            rejected: 312,
            total: 3_804,
            within_ms: 60_000,
        };
        events.publish(burst);
    }
    for n in 0_u64.. {
        std::thread::sleep(Duration::from_millis(400));
        if workers == 0 {
            continue;
        }
        let (worker, address): (_, Arc<str>) = (rig(n), format!("10.0.0.{}:41002", n % 250).into());
        events.publish(match n % 23 {
            3 => Event::ConnectionClosed {
                address,
                worker: Some(worker),
                reason: "miner_closed".into(),
                lasted_ms: n * 7_000,
            },
            4 => Event::ConnectionOpened { address, shard: 0 },
            5 => Event::WorkerAuthorized {
                worker,
                pool: "north".into(),
                address,
                user_agent: "bmminer/2.0.0".into(),
            },
            6 => Event::Job { pool: "north".into(), clean: n % 5 == 0, block_height: Some(925_118) },
            12 => Event::ConnectionClosed {
                address,
                worker: None,
                reason: "http_on_plain_port".into(),
                lasted_ms: 3,
            },
            18 => Event::LimitHit { limit: "address_limit".into(), address: Some(address) },
            _ => Event::Share {
                worker,
                pool: Some("north".into()),
                outcome: ShareOutcome::Accepted,
                class: None,
                reason: None,
                difficulty: 262_144.0,
                share_difficulty: None,
                latency_us: Some(18_231),
                skipped: 0,
            },
        });
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given: HashMap<&str, &str> = arguments
        .chunks(2)
        .filter_map(|pair| Some((pair.first()?.as_str(), pair.get(1)?.as_str())))
        .collect();
    let scene = match given.get("--scene").copied().unwrap_or("well") {
        "well" => Scene::Well,
        "trouble" => Scene::Trouble,
        "no-ledger" => Scene::NoLedger,
        "drill" => Scene::Drill,
        other => panic!("there is no scene {other}; there are well, trouble, no-ledger, drill"),
    };
    let workers = given.get("--workers").map_or(4, |count| count.parse().expect("a number of workers"));
    let address: SocketAddr = given.get("--admin").unwrap_or(&"127.0.0.1:0").parse().expect("an address");
    let new_token = |name: &str, role| {
        let new = NewToken::generate().expect("random bytes");
        println!("{name} {}", new.secret);
        Token { name: name.to_owned(), role, hash: new.hash }
    };
    let tokens = match given.get("--tokens").copied() {
        Some("yes") => vec![new_token("viewer", Role::Viewer), new_token("ada", Role::Operator)],
        _ => Vec::new(),
    };
    let events = Events::default();
    let control =
        MadeUp { workers, scene, started_ms: now_ms() - if workers == 0 { 40_000 } else { 26 * HOUR_MS } };
    let workers_in_metrics_max =
        given.get("--workers-in-metrics").map_or(0, |count| count.parse().expect("a number of workers"));
    let options = Options { events: events.clone(), tokens, workers_in_metrics_max, ..Options::default() };
    let server = AdminServer::start(&[address], Arc::new(control), options).expect("an admin server");
    println!("http://{}/", server.addresses()[0]);
    std::thread::spawn(move || publish(&events, workers, scene == Scene::Trouble));
    // Whoever started it closes its input, or dies, and so ends it.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
