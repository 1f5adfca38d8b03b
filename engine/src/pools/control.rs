//! The control of pools: one thread that hears what shards report, runs the breakers and the probes, publishes how pools
//! stand, and tells shards to look again. It decides about pools; shards decide about their sessions.
//!
//! ```text
//!  shards ── reports ──▶ breakers ──▶ standings (atomics) ──▶ shards
//!  probes ── results ──▶    │    └──▶ statuses (words), log, events
//!  operators ─ orders ─▶    └──▶ probes
//! ```
//!
//! It may be late and it may even die: shards go on with the last standings, and each session still sees for itself when
//! its own pool is gone.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_admin::Events;
use adit_admin::events::Event;
use adit_admin::view::{PoolProbe, PoolState};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use adit_store::events::EventLog;
use crossbeam::channel::{self, Receiver, Sender};
use parking_lot::Mutex;

use super::breaker::{Breaker, BreakerSettings, Command, Failure, State, Transition};
use super::catalogue::{Catalogue, CatalogueError, PoolEntry};
use super::checks::Checks;
use super::counters::PoolCounters;
use super::hurry::hurry;
use super::learned::Learned;
use super::orders::Orders;
use super::probe::{Login, ProbeError, Reached, Target, probe};
use super::reports::{Reports, Sent, reports};
use super::standing::{Standing, Standings};
use super::status::{PoolStatus, Statuses};
use super::view::PoolsView;
use crate::clock::{self, Clock};
use crate::dice::Dice;
use crate::ring::completion::Errno;
use crate::settings::Settings;
use crate::shard::Mail;
use crate::shard::mailbox::Mailbox;
use crate::workers::Registry;

/// How long to wait for the pools' names before the first miner may come.
const FIRST_LOOK_UP: Duration = Duration::from_secs(3);
/// Orders that may wait; whoever gives one waits for its answer.
const ORDERS_COUNT_MAX: usize = 16;
/// When a shard whose mailbox was full is told again.
const TELL_AGAIN_MS: u64 = 100;
/// Reports taken before the breakers' own deadlines are looked at again.
const REPORTS_PER_ROUND: usize = 256;
/// The password of a probe where none is configured: the one that miners send by custom.
const PASSWORD_DEFAULT: &str = "x";

/// What an operator wants, and where the answer goes.
#[derive(Debug)]
enum Order {
    /// Something of one pool. The answer: whether that changed anything.
    Command { pool: PoolId, command: Command, answer: Sender<bool> },
    /// Other pools, groups, routes and failover.
    Reload { settings: Arc<Settings>, answer: Sender<Result<(), CatalogueError>> },
}

/// What everybody else sees of the control. Copies are one.
#[derive(Clone, Debug)]
pub struct PoolsPublished {
    catalogue: Arc<Mutex<Arc<Catalogue>>>,
    /// How pools stand, for shards.
    pub standings: Standings,
    /// How pools are, in words.
    pub statuses: Statuses,
    /// Where operators want workers.
    pub worker_orders: Orders,
    learned: Learned,
    orders: Sender<Order>,
}

impl PoolsPublished {
    /// The pools in force.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.lock().clone()
    }

    /// What a shard starts with.
    pub fn view(&self) -> PoolsView {
        let (standings, learned) = (self.standings.clone(), self.learned.clone());
        PoolsView { catalogue: self.catalogue(), standings, orders: self.worker_orders.clone(), learned }
    }

    /// Has the control do what an operator wants. Whether that changed anything; `None` if the control does not answer.
    pub fn command(&self, pool: PoolId, command: Command, within: Duration) -> Option<bool> {
        let deadline = Instant::now() + within;
        let (answer, answered) = channel::bounded(1);
        self.orders.send_deadline(Order::Command { pool, command, answer }, deadline).ok()?;
        answered.recv_deadline(deadline).ok()
    }

    /// Has the control go by these settings from now on. `None` if it does not answer.
    pub fn reload(&self, settings: Arc<Settings>, within: Duration) -> Option<Result<(), CatalogueError>> {
        let deadline = Instant::now() + within;
        let (answer, answered) = channel::bounded(1);
        self.orders.send_deadline(Order::Reload { settings, answer }, deadline).ok()?;
        answered.recv_deadline(deadline).ok()
    }
}

/// The control before and while its thread runs.
#[derive(Debug)]
pub struct PoolControl {
    catalogue: Arc<Catalogue>,
    published: PoolsPublished,
    breakers: HashMap<PoolId, Breaker>,
    checks: Checks,
    workers: Arc<Registry>,
    clock: Clock,
    events: Events,
    /// The way into the ledger's audit trail, if one is kept.
    audit: Option<EventLog>,
    dice: Dice,
    shards: Vec<(Weak<Mailbox<Mail>>, PoolCounters)>,
    reports: Receiver<Sent>,
    orders: Receiver<Order>,
    probed: (Sender<Probed>, Receiver<Probed>),
    /// Whether every shard has the catalogue in force.
    is_catalogue_told: bool,
    /// Whether every shard was told that pools stand otherwise.
    is_news_told: bool,
}

/// The end of a probe.
#[derive(Debug)]
struct Probed {
    pool: PoolId,
    began: Moment,
    result: Result<Reached, ProbeError>,
}

impl PoolControl {
    /// Makes the first catalogue, and waits a while for the addresses of its pools.
    pub fn new(
        settings: Arc<Settings>,
        workers: Arc<Registry>,
        clock: Clock,
        events: Events,
    ) -> Result<(Self, Reports), CatalogueError> {
        let catalogue = Arc::new(Catalogue::new(settings, None, workers.keys())?);
        let deadline = Instant::now() + FIRST_LOOK_UP;
        for entry in catalogue.pools() {
            if !entry.addresses().wait(deadline.saturating_duration_since(Instant::now())) {
                log::warn!("pool {}: its name has no address yet", entry.settings.name);
            }
        }
        let (orders_sender, orders) = channel::bounded(ORDERS_COUNT_MAX);
        let (sender, reports) = reports();
        let published = PoolsPublished {
            catalogue: Arc::new(Mutex::new(catalogue.clone())),
            standings: Standings::default(),
            statuses: Statuses::default(),
            worker_orders: Orders::default(),
            learned: Learned::new(clock),
            orders: orders_sender,
        };
        let mut control = Self {
            catalogue,
            published,
            breakers: HashMap::new(),
            checks: Checks::default(),
            workers,
            clock,
            events,
            audit: None,
            dice: Dice::default(),
            shards: Vec::new(),
            reports,
            orders,
            probed: channel::unbounded(),
            is_catalogue_told: true,
            is_news_told: true,
        };
        control.follow_catalogue();
        control.publish_standings(clock.now());
        Ok((control, sender))
    }

    /// What everybody else sees.
    pub fn published(&self) -> &PoolsPublished {
        &self.published
    }

    /// Runs on a thread of its own, for these shards, until the other end of `stop` is dropped. What becomes of pools is
    /// entered into `audit`.
    pub fn start(
        mut self,
        shards: Vec<(Weak<Mailbox<Mail>>, PoolCounters)>,
        audit: Option<EventLog>,
        stop: Receiver<()>,
    ) -> io::Result<()> {
        (self.shards, self.audit) = (shards, audit);
        std::thread::Builder::new().name("adit-pools".into()).spawn(move || self.run(&stop)).map(drop)
    }

    fn run(mut self, stop: &Receiver<()>) {
        let never = channel::never();
        loop {
            let now = self.clock.now();
            let timer = clock::until(now, self.deadline()).map_or_else(|| never.clone(), channel::after);
            channel::select! {
                recv(self.reports) -> sent => match sent {
                    Ok(sent) => self.hear(sent),
                    // The shards are gone.
                    Err(_) => return,
                },
                recv(self.probed.1) -> probed => if let Ok(probed) = probed {
                    self.probed(&probed);
                },
                recv(self.orders) -> order => if let Ok(order) = order {
                    self.carry_out(&order);
                },
                recv(timer) -> _ => {}
                recv(stop) -> _ => return,
            }
            self.tick();
        }
    }

    /// Takes what waits, so that one dying pool does not publish ten thousand times.
    fn hear(&mut self, first: Sent) {
        let rest: Vec<Sent> = self.reports.try_iter().take(REPORTS_PER_ROUND).collect();
        for Sent { pool, report, began, at } in std::iter::once(first).chain(rest) {
            let sessions = self.sessions_count(pool);
            let Some(breaker) = self.breakers.get_mut(&pool) else { continue };
            breaker.set_sessions(u32::try_from(sessions).unwrap_or(u32::MAX));
            let reason = breaker.reason();
            let transition = breaker.report(at, report, began, self.dice.roll());
            let is_reason_new = breaker.reason() != reason;
            self.went(pool, transition);
            if is_reason_new && transition.is_none() {
                self.publish_status(pool);
            }
        }
    }

    fn probed(&mut self, Probed { pool, began, result }: &Probed) {
        if let (Err(error), Some(entry)) = (result, self.catalogue.get(*pool)) {
            log::info!("pool {}: a probe failed: {error}", entry.settings.name);
        }
        let Some(breaker) = self.breakers.get_mut(pool) else { return };
        if breaker.state().is_usable() && result.as_ref().is_err_and(ProbeError::is_ours) {
            return;
        }
        let now = self.clock.now();
        self.published.statuses.probed(
            *pool,
            PoolProbe {
                at_ms: unix_ms(*began, now),
                took_ms: now.since_us(*began) / 1_000,
                passed: result.is_ok(),
                detail: result.as_ref().map_or_else(ToString::to_string, ToString::to_string),
            },
        );
        let result = result.as_ref().map(|_| ()).map_err(ProbeError::failure);
        let transition = breaker.probed(now, result, *began, self.dice.roll());
        self.checks.follow(*pool, breaker.state(), now);
        self.went(*pool, transition);
    }

    /// Sessions that have the pool now.
    fn sessions_count(&self, pool: PoolId) -> u64 {
        self.shards.iter().map(|(_, counters)| counters.of(pool).open()).sum()
    }

    /// Probes pools in use of which too little is known.
    fn check(&mut self, now: Moment) {
        for pool in self.checks.take_due(now) {
            let is_suspect =
                self.breakers.get(&pool).is_some_and(|breaker| breaker.state() == State::Degraded);
            if (is_suspect || self.sessions_count(pool) == 0)
                && let Some(entry) = self.catalogue.get(pool)
            {
                self.start_probe(entry);
            }
        }
    }

    fn carry_out(&mut self, order: &Order) {
        // Where nobody waits for the answer any more, there is no harm.
        match order {
            Order::Command { pool, command, answer } => {
                let _ = answer.try_send(self.command(*pool, *command));
            }
            Order::Reload { settings, answer } => {
                let _ = answer.try_send(self.reload(settings.clone()));
            }
        }
    }

    fn command(&mut self, pool: PoolId, command: Command) -> bool {
        let now = self.clock.now();
        let transition = self.breakers.get_mut(&pool).and_then(|breaker| breaker.command(now, command));
        self.went(pool, transition);
        transition.is_some()
    }

    /// Goes by other settings. A pool that is new has to prove itself before a miner is sent there, unless there is no other;
    /// one that is the same keeps its state, unless its `enabled` is another one.
    fn reload(&mut self, settings: Arc<Settings>) -> Result<(), CatalogueError> {
        let catalogue = Arc::new(Catalogue::new(settings, Some(&self.catalogue), self.workers.keys())?);
        let before = std::mem::replace(&mut self.catalogue, catalogue.clone());
        *self.published.catalogue.lock() = catalogue.clone();
        self.follow_catalogue();
        for entry in catalogue.pools() {
            let was_enabled = before.get(entry.id).is_some_and(|old| old.settings.enabled);
            match (was_enabled, entry.settings.enabled) {
                (false, true) => _ = self.command(entry.id, Command::Enable),
                (true, false) => _ = self.command(entry.id, Command::Disable),
                (true, true) | (false, false) => {}
            }
        }
        self.publish_standings(self.clock.now());
        self.tell_catalogue();
        Ok(())
    }

    /// Tells shards which pools there are; again later, where one does not read its mail.
    fn tell_catalogue(&mut self) {
        self.is_catalogue_told = self.tell(&|| Mail::PoolsAre(self.catalogue.clone()));
    }

    /// Lets time pass for all breakers, and publishes what came of everything.
    fn tick(&mut self) {
        let now = self.clock.now();
        let due: Vec<PoolId> =
            self.breakers.iter().filter(|(_, b)| b.deadline() <= now).map(|(&id, _)| id).collect();
        for pool in due {
            let transition =
                self.breakers.get_mut(&pool).and_then(|breaker| breaker.tick(now, self.dice.roll()));
            self.went(pool, transition);
        }
        for pool in hurry(&self.catalogue, &mut self.breakers, || self.dice.roll()) {
            self.publish_status(pool);
        }
        if !self.is_catalogue_told {
            self.tell_catalogue();
        }
        self.check(now);
        self.publish_standings(now);
    }

    /// A pool went from one state to another: tells, and probes where that is asked for.
    fn went(&mut self, pool: PoolId, transition: Option<Transition>) {
        let (Some(Transition { from, to, reason, .. }), Some(entry)) = (transition, self.catalogue.get(pool))
        else {
            return;
        };
        let entry = entry.clone();
        self.checks.follow(pool, to, self.clock.now());
        let name = &entry.settings.name;
        let level = if to.is_usable() { log::Level::Info } else { log::Level::Warn };
        log::log!(level, "pool {name}: {from} -> {to}: {reason}");
        if let Some(audit) = &self.audit {
            // What finds no room is counted there.
            let at_us = self.clock.wall_us(self.clock.now());
            audit.enter(at_us, "pool_state", "adit", name, &format!("{from} -> {to}: {reason}"));
        }
        self.events.publish(Event::PoolState {
            pool: name.as_str().into(),
            from: view_of(from),
            to: view_of(to),
            reason: reason.to_string().into(),
        });
        self.publish_status(pool);
        if matches!(to, State::HalfOpen { .. }) {
            self.start_probe(&entry);
        }
    }

    fn start_probe(&self, entry: &PoolEntry) {
        let timeouts = &entry.settings.timeouts;
        let password = entry.terms().password.unwrap_or_else(|| PASSWORD_DEFAULT.into());
        let known = self.workers.known_name(entry.id);
        let is_known = known.is_some();
        // Nobody was accepted anywhere yet: many pools know an account without a miner's name behind it.
        let name =
            known.or_else(|| entry.settings.name_rule.account().map(|account| account.as_bytes().into()));
        let target = Target {
            addresses: entry.addresses().newest(),
            login: name.map(|name| Login { name, password, is_known }),
            connect: Duration::from_millis(timeouts.connect_ms),
            reply: Duration::from_millis(timeouts.handshake_reply_ms),
            first_job: Duration::from_millis(timeouts.first_job_ms),
        };
        let (pool, began, results) = (entry.id, self.clock.now(), self.probed.0.clone());
        let run = move || {
            let result = probe(&target);
            // The control has ended: nobody wants to know.
            let _ = results.send(Probed { pool, began, result });
        };
        if let Err(error) = std::thread::Builder::new().name("adit-probe".into()).spawn(run) {
            // The breaker gives the probe up by itself, and tries again.
            log::warn!("pool {}: no thread for a probe: {error}", entry.settings.name);
        }
    }

    /// Breakers for all pools of the catalogue, and only for these. A new one is taken to work where no other does.
    fn follow_catalogue(&mut self) {
        let now = self.clock.now();
        let failover = &self.catalogue.settings().failover;
        let mut before = std::mem::take(&mut self.breakers);
        let is_kept = |entry: &&Arc<PoolEntry>| {
            before.get(&entry.id).is_some_and(|breaker| breaker.state().is_usable())
        };
        let is_first = !self.catalogue.pools().any(|entry| is_kept(&entry));
        for entry in self.catalogue.pools() {
            self.workers.set_rule(entry.id, &entry.settings.name_rule);
            let settings = BreakerSettings::new(failover, &entry.settings.timeouts);
            let breaker = match before.remove(&entry.id) {
                Some(mut breaker) => {
                    breaker.set_settings(settings);
                    breaker
                }
                None => Breaker::new(now, settings, is_first && entry.settings.enabled),
            };
            self.checks.follow(entry.id, breaker.state(), now);
            self.breakers.insert(entry.id, breaker);
        }
        for &gone in before.keys() {
            self.published.standings.set(gone, Standing::Away);
            self.checks.forget(gone);
        }
        let pools: Vec<PoolId> = self.breakers.keys().copied().collect();
        for pool in pools {
            self.publish_status(pool);
        }
    }

    fn publish_status(&self, pool: PoolId) {
        let Some(breaker) = self.breakers.get(&pool) else { return };
        let now = self.clock.now();
        let until_ms = match breaker.state() {
            State::Down { until } | State::HalfOpen { until } => Some(unix_ms(until, now)),
            _ => None,
        };
        let status = PoolStatus {
            state: view_of(breaker.state()),
            reason: breaker.reason().to_string(),
            since_ms: unix_ms(breaker.since(), now),
            until_ms,
            ..PoolStatus::default()
        };
        self.published.statuses.set(pool, status);
    }

    /// Publishes how pools stand now, and tells shards if any stands otherwise than before.
    fn publish_standings(&mut self, now: Moment) {
        let mut is_news = !self.is_news_told;
        for (&pool, breaker) in &self.breakers {
            is_news |= self.published.standings.set(pool, breaker.standing(now));
        }
        if is_news {
            self.is_news_told = self.tell(&|| Mail::PoolsStand);
        }
    }

    /// Sends to all shards. Whether all have room for it.
    fn tell(&self, mail: &dyn Fn() -> Mail) -> bool {
        let mut is_told = true;
        for mailbox in self.shards.iter().filter_map(|(mailbox, _)| mailbox.upgrade()) {
            if mailbox.send(mail()).is_err() {
                log::warn!("a shard's mailbox is full: it hears later how pools stand");
                is_told = false;
            }
        }
        is_told
    }

    /// When something happens without anybody's doing.
    fn deadline(&self) -> Moment {
        let of_pool = |(pool, breaker): (&PoolId, &Breaker)| {
            let settles = match self.published.standings.of(*pool) {
                Standing::Fresh => breaker.settles_at(),
                _ => Moment::NEVER,
            };
            breaker.deadline().min(settles)
        };
        let of_pools = self.breakers.iter().map(of_pool).min().unwrap_or(Moment::NEVER);
        let due = of_pools.min(self.checks.deadline());
        let again = self.clock.now().plus_ms(TELL_AGAIN_MS);
        if self.is_catalogue_told && self.is_news_told { due } else { due.min(again) }
    }
}

/// A moment as Unix time.
fn unix_ms(at: Moment, now: Moment) -> u64 {
    let present = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    (present + at.since_us(now) / 1_000).saturating_sub(now.since_us(at) / 1_000)
}

impl ProbeError {
    /// Whether it says nothing of the pool.
    fn is_ours(&self) -> bool {
        matches!(self, Self::Connect(error) if Errno::tells_exhaustion(error))
    }

    /// What it says to a breaker.
    fn failure(&self) -> Failure {
        match self {
            Self::NoAddress | Self::Connect(_) => Failure::Dial,
            Self::Closed(_) => Failure::ClosedEarly,
            Self::Silent(_) => Failure::Handshake,
            Self::Refused(_) => Failure::Refused,
            Self::NoJob => Failure::NoJob,
            Self::NameRefused(_) => Failure::NameRefused,
            Self::Garbage => Failure::Garbage,
        }
    }
}

/// A state as operators are told it.
fn view_of(state: State) -> PoolState {
    match state {
        State::Up => PoolState::Up,
        State::Degraded => PoolState::Degraded,
        State::Down { .. } => PoolState::Down,
        State::HalfOpen { .. } => PoolState::HalfOpen,
        State::Disabled => PoolState::Disabled,
        State::Draining => PoolState::Draining,
    }
}
