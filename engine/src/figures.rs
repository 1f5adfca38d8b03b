//! The reading ends of everything that shards publish, to be asked from any thread without stopping one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use adit_admin::Events;
use adit_admin::view::{Rates, Workers};
use adit_protocol::moment::Moment;
use adit_store::events::EventLog;
use adit_store::health::Health;
use adit_store::record::WorkerKey;
use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::admission::Admission;
use crate::buckets::Buckets;
use crate::clock::Clock;
use crate::control::drill::Drills;
use crate::counters::{Counters, Snapshot};
use crate::history::Memory;
use crate::latency::{self, Latency};
use crate::pools::control::PoolsPublished;
use crate::pools::counters::PoolCounters;
use crate::roster::Roster;
use crate::settings::Settings;
use crate::shard::Mail;
use crate::shard::mailbox::Mailbox;
use crate::shard::workers::{FleetFigures, WorkerFigures};
use crate::vitals::Vitals;
use crate::worker_views;
use crate::workers::Registry;

/// A shard that is awake and has not turned for so long hangs. A turn takes milliseconds at most.
const HANGS_US: u64 = 10_000_000;

/// What one shard publishes.
#[derive(Clone, Debug)]
pub struct ShardFigures {
    /// The core it is bound to, if it is.
    pub core: Option<usize>,
    /// Its counters.
    pub counters: Counters,
    /// Its counters per pool.
    pub pool_counters: PoolCounters,
    /// What its switches took, from wanting another pool for a miner to its first job there.
    pub switch_times: Buckets,
    /// Its latencies.
    pub latency: Latency,
    /// Signs of life.
    pub vitals: Vitals,
    pub(crate) mailbox: Weak<Mailbox<Mail>>,
}

impl ShardFigures {
    /// Whether its thread serves. It holds one of the two ends of its mailbox as long as it does.
    pub fn is_alive(&self) -> bool {
        self.mailbox.strong_count() > 1
    }

    /// Whether it is neither waiting nor asleep and has not turned for so long that something holds it.
    fn hangs(&self, now: Moment) -> bool {
        let is_awake = self.mailbox.upgrade().is_some_and(|mailbox| mailbox.is_awake());
        is_awake && now.since_us(self.vitals.turned_at()) > HANGS_US
    }
}

/// What a shard answered last about all its workers together, and when it was asked.
pub(crate) type LastAnswer = Option<(FleetFigures, Moment)>;

/// What all of them publish. Copies read the same.
#[derive(Clone, Debug)]
pub struct Figures {
    /// By index.
    pub shards: Vec<ShardFigures>,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// Who is connected.
    pub admission: Admission,
    /// Which pools there are, and how they stand.
    pub pools: PoolsPublished,
    /// How the ledger is, if one is kept.
    pub ledger: Option<Arc<Health>>,
    /// The way of audit events into it.
    pub audit: Option<EventLog>,
    /// Whether Adit was told to stop.
    pub stopping: Arc<AtomicBool>,
    /// Where is published what operators are told of.
    pub events: Events,
    pub(crate) drills: Drills,
    pub(crate) clock: Clock,
    pub(crate) registry: Arc<Registry>,
    pub(crate) memory: Memory,
    /// By shard.
    pub(crate) answers: Arc<Mutex<Vec<LastAnswer>>>,
}

/// What all workers make together.
#[derive(Clone, Debug, Default)]
pub struct FleetTotals {
    /// Their hashrates, those of before the start included.
    pub hashrate: Rates,
    /// Sum of the assigned difficulty of accepted shares since the start.
    pub difficulty_accepted: f64,
    /// Workers that are connected.
    pub online_count: usize,
    /// Workers that are known.
    pub known_count: usize,
    /// How old each shard's last answer is: 0 for one that answered just now, `u64::MAX` for one that never did.
    pub answer_ages_us: Vec<u64>,
}

impl Figures {
    /// The counters of each shard.
    pub fn counters_by_shard(&self) -> Vec<Snapshot> {
        self.shards.iter().map(|shard| shard.counters.snapshot()).collect()
    }

    /// The counters, summed over shards.
    pub fn counters(&self) -> Snapshot {
        let mut sum = Snapshot::default();
        self.counters_by_shard().iter().for_each(|shard| sum.merge(shard));
        sum
    }

    /// Submit to verdict in µs, over all shards; up to a quarter of a second old.
    pub fn latency(&self) -> Histogram<u64> {
        let mut sum = latency::histogram();
        self.shards.iter().for_each(|shard| shard.latency.add_to(&mut sum));
        sum
    }

    /// Every worker over all shards, and every one that the ledger remembers, after `within` at the latest.
    pub fn workers(&self, within: Duration) -> Workers {
        let roster = Roster::ask(&self.shards, within, self.clock.now(), self.now_us());
        let (now_us, catalogue) = (self.now_us(), self.pools.catalogue());
        let past = self.memory.get().map(|history| &history.workers);
        let view = |key: u32, figures: Option<&WorkerFigures>, past| {
            let name = self.registry.keys().worker_name(WorkerKey(key))?;
            let pool = figures.and_then(|figures| catalogue.get(figures.pool));
            let pool = pool.map(|entry| entry.settings.name.as_str().into());
            Some(worker_views::worker(&name, pool, figures, past, now_us))
        };
        let present = roster.workers.values().filter(|figures| worker_views::is_worth_telling(figures));
        let mut all: Vec<_> = present
            .filter_map(|figures| {
                view(figures.worker, Some(figures), past.and_then(|past| past.get(&figures.worker)))
            })
            .collect();
        let gone = past.into_iter().flatten().filter(|(key, _)| !roster.workers.contains_key(key));
        all.extend(gone.filter_map(|(&key, past)| view(key, None, Some(past))));
        Workers { all, shards_missing: roster.shards_missing as u32 }
    }

    /// What all workers make together, after `within` at the latest. For a shard that does not answer in time, its last
    /// answer counts: a sum that only grows must not shrink because one is late.
    pub fn fleet(&self, within: Duration) -> FleetTotals {
        let asked_at = self.clock.now();
        let fleets = Roster::ask_fleet(&self.shards, within, asked_at).fleets;
        let mut answers = self.answers.lock();
        answers.resize(fleets.len(), None);
        for (last, new) in answers.iter_mut().zip(fleets) {
            *last = new.map(|fleet| (fleet, asked_at)).or(*last);
        }
        let now_us = self.now_us();
        let mut sum: Option<FleetFigures> = None;
        for (fleet, _) in answers.iter().flatten() {
            match &mut sum {
                Some(sum) => sum.merge(fleet, now_us),
                None => sum = Some(*fleet),
            }
        }
        let past = self.memory.get().and_then(|history| history.fleet.as_ref());
        let (online_count, known_count) = self.registry.online_and_known();
        FleetTotals {
            hashrate: worker_views::rates(sum.as_ref().map(|sum| &sum.hashrate), past, now_us),
            difficulty_accepted: sum.map_or(0.0, |sum| sum.difficulty_accepted),
            online_count,
            known_count,
            answer_ages_us: answers
                .iter()
                .map(|last| last.map_or(u64::MAX, |(_, at)| asked_at.since_us(at)))
                .collect(),
        }
    }

    /// Enters who or what changed the state of the proxy into the ledger, if one is kept, with the shards' time.
    pub fn audit(&self, kind: &str, actor: &str, subject: &str, detail: &str) {
        if let Some(audit) = &self.audit
            && !audit.enter(self.now_us(), kind, actor, subject, detail)
        {
            log::debug!("no room for an event in the ledger, which counts it: {kind} {subject} {detail}");
        }
    }

    fn now_us(&self) -> u64 {
        self.clock.wall_us(self.clock.now())
    }

    /// Shards that serve. One that has not turned for a while although nothing holds it is not among them.
    pub fn shards_alive(&self) -> usize {
        let now = self.clock.now();
        self.shards.iter().filter(|shard| shard.is_alive() && !shard.hangs(now)).count()
    }

    /// Tells every shard something. False if one cannot take it.
    pub(crate) fn tell_all(&self, mail: impl Fn() -> Mail) -> bool {
        self.shards.iter().all(|shard| {
            shard.mailbox.upgrade().is_some_and(|mailbox| mailbox.send(mail()).is_ok()) || !shard.is_alive()
        })
    }

    /// Whether Adit was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
