//! The reading ends of everything that shards publish, to be asked from any thread without stopping one.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use adit_admin::Events;
use adit_admin::view::{Rates, Workers};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use adit_store::events::EventLog;
use adit_store::hashrate::Hashrate;
use adit_store::health::Health;
use adit_store::record::WorkerKey;
use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::admission::Admission;
use crate::clock::Clock;
use crate::control::drill::Drills;
use crate::counters::{Counters, Snapshot};
use crate::history::Memory;
use crate::latency::{self, Latency};
use crate::pools::catalogue::PoolEntry;
use crate::pools::control::PoolsPublished;
use crate::pools::counters::PoolCounters;
use crate::roster::Roster;
use crate::settings::Settings;
use crate::shard::Mail;
use crate::shard::fleet::FleetFigures;
use crate::shard::mailbox::Mailbox;
use crate::shard::workers::WorkerFigures;
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

/// What a shard answered last about all its workers together at each pool, and when it was asked.
pub(crate) type LastAnswer = Option<(Vec<(PoolId, FleetFigures)>, Moment)>;

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
    /// What they make at each pool that is configured.
    pub by_pool: HashMap<PoolId, PoolTotals>,
    /// How old each shard's last answer is: 0 for one that answered just now, `u64::MAX` for one that never did.
    pub answer_ages_us: Vec<u64>,
}

/// What all workers make together at one pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolTotals {
    /// Their hashrates, those of before the start included.
    pub hashrate: Rates,
    /// Sum of the assigned difficulty of the shares that it accepted since the start.
    pub difficulty_accepted: f64,
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

    /// Tells of each worker that is known to this run, with its hashrates, those of before the start included, after `within`
    /// at the latest. Whether all shards answered; if not, some workers are missing.
    pub(crate) fn each_worker(&self, within: Duration, mut tell: impl FnMut(&WorkerFigures, &Rates)) -> bool {
        let now_us = self.now_us();
        let roster = Roster::ask(&self.shards, within, self.clock.now(), now_us);
        let past = self.memory.get().map(|history| &history.workers);
        for (key, figures) in &roster.workers {
            let past = past.and_then(|past| past.get(key)).and_then(|past| past.hashrate.as_ref());
            tell(figures, &worker_views::rates(Some(&figures.hashrate), past, now_us));
        }
        roster.shards_missing == 0
    }

    /// What all workers make together, after `within` at the latest. For a shard that does not answer in time, its last
    /// answer counts: a sum that only grows must not shrink because one is late.
    pub fn fleet(&self, within: Duration) -> FleetTotals {
        let asked_at = self.clock.now();
        let catalogue = self.pools.catalogue();
        let fleets = Roster::ask_fleet(&self.shards, catalogue.numbers_count(), within, asked_at).fleets;
        let mut answers = self.answers.lock();
        answers.resize(fleets.len(), None);
        for (last, new) in answers.iter_mut().zip(fleets) {
            if let Some(fleet) = new {
                *last = Some((fleet, asked_at));
            }
        }
        let now_us = self.now_us();
        // In order: a sum of fractions in another order is another one, and this one must never shrink.
        let mut by_pool: BTreeMap<PoolId, FleetFigures> = BTreeMap::new();
        for (pool, figures) in answers.iter().flatten().flat_map(|(pools, _)| pools) {
            let sum = by_pool.entry(*pool);
            sum.and_modify(|sum| sum.merge(figures, now_us)).or_insert(*figures);
        }
        let answer_age = |last: &LastAnswer| last.as_ref().map_or(u64::MAX, |(_, at)| asked_at.since_us(*at));
        let answer_ages_us = answers.iter().map(answer_age).collect();
        drop(answers);
        let past = self.memory.get().map(|history| &history.pools);
        let sum = |all: &mut dyn Iterator<Item = &Hashrate>| {
            let first = *all.next()?;
            Some(all.fold(first, |mut sum, one| {
                sum.merge(one, now_us);
                sum
            }))
        };
        let present = sum(&mut by_pool.values().map(|figures| &figures.hashrate));
        let before = past.and_then(|past| sum(&mut past.values()));
        let of_pool = |entry: &Arc<PoolEntry>| {
            let figures = by_pool.get(&entry.id);
            let past = past.and_then(|past| past.get(&entry.settings.name));
            let hashrate = worker_views::rates(figures.map(|figures| &figures.hashrate), past, now_us);
            let difficulty_accepted = figures.map_or(0.0, |figures| figures.difficulty_accepted);
            (entry.id, PoolTotals { hashrate, difficulty_accepted })
        };
        let (online_count, known_count) = self.registry.online_and_known();
        FleetTotals {
            hashrate: worker_views::rates(present.as_ref(), before.as_ref(), now_us),
            difficulty_accepted: by_pool.values().map(|figures| figures.difficulty_accepted).sum(),
            online_count,
            known_count,
            by_pool: catalogue.pools().map(of_pool).collect(),
            answer_ages_us,
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
