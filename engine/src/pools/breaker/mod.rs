//! The circuit breaker of one pool: from what sessions and probes report to a state, with its reason and time.
//!
//! ```text
//!           failures                       as many as the limit
//!      up ───────────────▶ degraded ─────────────────────────────▶ down ◀──────────┐
//!      ▲ ◀─────────────────┘                                        │ time is over │ probe failed, or told nothing
//!      │    few within the window                                   ▼              │
//!      └───────────────────────────────────────────────────────── half-open ───────┘
//!            probe: full login and a first job                      ▲
//!                                                                   │ enable
//!   (any state) ── disable, drain ──▶ disabled, draining ───────────┘
//! ```
//!
//! | from | on | to |
//! |---|---|---|
//! | up | a third of the failures that take it down, within the window | degraded |
//! | up, degraded | as many failures within the window as [`Breaker::limit`] says, or as many failed probes in a row as [`BreakerSettings::failures_count`] | down |
//! | degraded | fewer failures within the window than led here, and as much time has passed | up |
//! | down | its time is over | half-open: whoever owns the breaker starts a probe |
//! | half-open | the probe logged in fully and got a job | up |
//! | half-open | the probe failed, or told nothing within [`BreakerSettings::probe_ms`] | down, for longer |
//! | any but disabled | an operator disables it | disabled |
//! | any but draining | an operator drains it | draining |
//! | disabled, draining | an operator enables it | half-open |
//!
//! What may be of one miner's making counts once for each miner within the window, so one that a pool throws out again and again
//! degrades the pool and no more.
//!
//! Invariants: `up` and `degraded` are the usable states; out of `down` the only way to them is a probe that got a job; no
//! state but `up` and those an operator chose is for ever, since every other one has a [`Breaker::deadline`]. The time down doubles
//! with each return that lasted less than [`BreakerSettings::good_ms`], up to a bound; [`Breaker::hurry`] cuts it where miners wait.
//! Between `up` and `degraded` there are at most two transitions in a window, so the log stays quiet however many sessions fail
//! one by one.
//!
//! Not here: probing itself, moving miners, and telling anybody. Time and randomness are arguments.

mod backoff;
mod words;

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use adit_protocol::moment::Moment;

pub use backoff::Backoff;
pub use words::{Command, Failure, Reason, Report, State, Witness};

use super::settings::{FailoverSettings, PoolTimeouts};
use super::standing::Standing;

/// Degraded is a pool with so many times fewer failures than take it down.
const DEGRADED_PART: u32 = 3;
/// One failure in so many sessions within the window is no sign that the pool is dead, however many sessions there are.
const SESSIONS_PER_FAILURE: u32 = 100;
/// While no pool of a group is usable, each is tried so many times within the time that miners are kept without one ...
const TRIES_WITHIN_GRACE: u64 = 20;
/// ... but not more often than this, which would be hammering, and not less often, since nobody mines meanwhile.
const HURRIED_MS: RangeInclusive<u64> = 250..=2_000;
/// A degraded pool with so many failures within the window is not good any more; one alone may have been an accident.
const DOUBTS_COUNT: usize = 2;

/// What a breaker goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// So many failures ...
    pub failures_count: u32,
    /// ... within this time take the pool down.
    pub window_ms: u64,
    /// How long it is down.
    pub backoff: Backoff,
    /// The longest it is down, never below the shortest, while no pool of its group is usable.
    pub hurried_ms: u64,
    /// A pool that was up for so long starts again from the shortest time down.
    pub good_ms: u64,
    /// How long a probe may take in all.
    pub probe_ms: u64,
}

impl BreakerSettings {
    /// As configured for all pools and this one.
    pub fn new(failover: &FailoverSettings, timeouts: &PoolTimeouts) -> Self {
        // Configure, subscribe and authorize each have their time.
        let handshake_ms = timeouts.handshake_reply_ms.saturating_mul(3);
        Self {
            failures_count: failover.failures_count,
            window_ms: failover.window_ms,
            backoff: Backoff { min_ms: failover.backoff_min_ms, max_ms: failover.backoff_max_ms },
            hurried_ms: (failover.grace_ms / TRIES_WITHIN_GRACE)
                .clamp(*HURRIED_MS.start(), *HURRIED_MS.end())
                .max(failover.backoff_min_ms),
            good_ms: failover.good_ms,
            probe_ms: timeouts.connect_ms.saturating_add(handshake_ms).saturating_add(timeouts.first_job_ms),
        }
    }
}

/// A change of state, for the log and for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// When.
    pub at: Moment,
    /// The state left.
    pub from: State,
    /// The state entered.
    pub to: State,
    /// What made it so.
    pub reason: Reason,
}

/// One failure within the window.
#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Moment,
    failure: Failure,
    by: Witness,
}

/// The breaker of one pool.
#[derive(Clone, Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    since: Moment,
    reason: Reason,
    /// When it came into use: made, or back by a probe.
    usable_since: Moment,
    /// Failures within the window, oldest first; fewer than the limit was when they came. None in a state that is not usable.
    failures: VecDeque<Seen>,
    /// Since when it is good, if it is: usable, and not doubted by several.
    good_since: Option<Moment>,
    /// Whether it was ever not good, or not to be used.
    was_bad: bool,
    /// Times it went down since it was last good; doubles the time down.
    downs_count: u32,
    sessions_count: u32,
    /// Probes in a row that failed since the pool came into use, or since anybody last logged in.
    failed_probes_count: u32,
}

impl Breaker {
    /// A pool that nobody has tried yet: usable, if the operator enabled it.
    pub fn new(now: Moment, settings: BreakerSettings, enabled: bool) -> Self {
        Self {
            settings,
            state: if enabled { State::Up } else { State::Disabled },
            since: now,
            usable_since: now,
            reason: if enabled { Reason::Untried } else { Reason::Operator },
            failures: VecDeque::new(),
            good_since: enabled.then_some(now),
            was_bad: !enabled,
            downs_count: 0,
            sessions_count: 0,
            failed_probes_count: 0,
        }
    }

    /// The state.
    pub fn state(&self) -> State {
        self.state
    }

    /// When the state was entered.
    pub fn since(&self) -> Moment {
        self.since
    }

    /// What led to the state.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Since when the pool is good, if it is. Miners may go back to a better pool some time after.
    pub fn good_since(&self) -> Option<Moment> {
        self.good_since
    }

    /// Whether it has something to make good: it was not used before, or not good.
    pub fn was_bad(&self) -> bool {
        self.was_bad
    }

    /// What shards may do with the pool now.
    pub fn standing(&self, now: Moment) -> Standing {
        match self.state {
            State::Up | State::Degraded if self.settles_at() <= now => Standing::Settled,
            State::Up | State::Degraded => Standing::Fresh,
            State::Draining => Standing::Draining,
            State::Down { .. } | State::HalfOpen { .. } | State::Disabled => Standing::Away,
        }
    }

    /// When it has been good for long enough that miners may leave another one for it.
    pub fn settles_at(&self) -> Moment {
        match self.good_since {
            // There is nothing to come back from.
            Some(since) if !self.was_bad => since,
            Some(since) => since.plus_ms(self.settings.good_ms),
            None => Moment::NEVER,
        }
    }

    /// How many failures within the window take the pool down, with as many sessions as there are.
    pub fn limit(&self) -> u32 {
        self.settings.failures_count.max(self.sessions_count / SESSIONS_PER_FAILURE)
    }

    /// How many failures within the window make the pool degraded.
    fn degraded_count(&self) -> usize {
        self.limit().div_ceil(DEGRADED_PART) as usize
    }

    /// When [`Breaker::tick`] has something to do; [`Moment::NEVER`] if something else must happen first.
    pub fn deadline(&self) -> Moment {
        match self.state {
            State::Down { until } | State::HalfOpen { until } => until,
            State::Degraded => {
                // The youngest of those that must be forgotten for the others to be few.
                let excess = self.failures.len().checked_sub(self.degraded_count());
                let last =
                    excess.and_then(|index| self.failures.get(index)).map_or(self.since, |seen| seen.at);
                last.max(self.since).plus_ms(self.settings.window_ms)
            }
            State::Up | State::Disabled | State::Draining => Moment::NEVER,
        }
    }

    /// Goes by other settings from now on. A time down that has begun stays as it is.
    pub fn set_settings(&mut self, settings: BreakerSettings) {
        self.settings = settings;
    }

    /// Sessions that have the pool now: with many, single failures count less.
    pub fn set_sessions(&mut self, count: u32) {
        self.sessions_count = count;
    }

    /// Takes what a session saw. `began` is when the wait began that failed, or the login that worked: what began before the
    /// pool came back tells nothing of the pool as it is now. `random` is any number.
    pub fn report(&mut self, now: Moment, report: Report, began: Moment, random: u64) -> Option<Transition> {
        if !self.state.is_usable() || began < self.usable_since {
            return None;
        }
        self.drop_old(now);
        let Report::Failed(failure, by) = report else {
            self.failures.retain(|seen| !seen.failure.is_disproved_by_login());
            self.failed_probes_count = 0;
            if self.reason == Reason::Untried {
                self.reason = Reason::LoggedIn;
            }
            return None;
        };
        if by != Witness::Anybody {
            self.failures.retain(|seen| seen.by != by);
        }
        if self.failures.len() + 1 >= self.limit() as usize {
            return Some(self.down(now, Reason::Failure(failure), random));
        }
        self.failures.push_back(Seen { at: now, failure, by });
        let is_degraded = self.failures.len() >= self.degraded_count();
        if is_degraded && self.failures.len() >= DOUBTS_COUNT {
            (self.good_since, self.was_bad) = (None, true);
        }
        let is_news = is_degraded && self.state == State::Up;
        is_news.then(|| self.enter(now, State::Degraded, Reason::Failure(failure)))
    }

    /// Takes the end of a probe that began at `began`: `Ok` is a full login and a first job. One that half-open did not ask
    /// for counts as a session's report; as many in a row as [`BreakerSettings::failures_count`] says take the pool down,
    /// however many sessions it has: a session that is still open tells nothing of the next login.
    pub fn probed(
        &mut self,
        now: Moment,
        result: Result<(), Failure>,
        began: Moment,
        random: u64,
    ) -> Option<Transition> {
        match (self.state, result) {
            (State::HalfOpen { .. }, _) if began < self.since => None,
            (State::HalfOpen { .. }, Ok(())) => {
                self.usable_since = now;
                Some(self.enter(now, State::Up, Reason::Probed))
            }
            (State::HalfOpen { .. }, Err(failure)) => Some(self.down(now, Reason::Probe(failure), random)),
            (_, Ok(())) => self.report(now, Report::LoggedIn, began, random),
            (state, Err(failure)) if state.is_usable() && began >= self.usable_since => {
                self.failed_probes_count += 1;
                if self.failed_probes_count >= self.settings.failures_count {
                    return Some(self.down(now, Reason::Probe(failure), random));
                }
                self.report(now, Report::Failed(failure, Witness::Anybody), began, random)
            }
            (_, Err(_)) => None,
        }
    }

    /// Does what an operator asks for.
    pub fn command(&mut self, now: Moment, command: Command) -> Option<Transition> {
        let to = match command {
            Command::Enable if !matches!(self.state, State::Disabled | State::Draining) => return None,
            Command::Enable => State::HalfOpen { until: now.plus_ms(self.settings.probe_ms) },
            Command::Disable => State::Disabled,
            Command::Drain => State::Draining,
        };
        (to != self.state).then(|| self.enter(now, to, Reason::Operator))
    }

    /// Does what the time asks for. A transition to half-open asks for a probe.
    pub fn tick(&mut self, now: Moment, random: u64) -> Option<Transition> {
        if now < self.deadline() {
            return None;
        }
        match self.state {
            State::Down { .. } => {
                let until = now.plus_ms(self.settings.probe_ms);
                Some(self.enter(now, State::HalfOpen { until }, Reason::TimeOver))
            }
            State::HalfOpen { .. } => Some(self.down(now, Reason::ProbeOverdue, random)),
            State::Degraded => {
                self.drop_old(now);
                Some(self.enter(now, State::Up, Reason::WindowPassed))
            }
            State::Up | State::Disabled | State::Draining => None,
        }
    }

    /// No pool of its group is usable: cuts a time down that is too long for the miners who wait, one that runs already too.
    /// Such a time doubles no later one. Whether it was cut.
    pub fn hurry(&mut self, random: u64) -> bool {
        let BreakerSettings { backoff, hurried_ms, .. } = self.settings;
        match self.state {
            State::Down { until } if until > self.since.plus_ms(hurried_ms) => {
                let hurried = Backoff { max_ms: hurried_ms, ..backoff };
                let until = self.since.plus_ms(hurried.delay_ms(u32::MAX, random));
                self.state = State::Down { until };
                self.downs_count = self.downs_count.saturating_sub(1);
                true
            }
            _ => false,
        }
    }

    /// Drops failures that are older than the window.
    fn drop_old(&mut self, now: Moment) {
        let window_ms = self.settings.window_ms;
        while self.failures.front().is_some_and(|seen| seen.at.plus_ms(window_ms) <= now) {
            self.failures.pop_front();
        }
    }

    fn down(&mut self, now: Moment, reason: Reason, random: u64) -> Transition {
        if self.state.is_usable() && self.usable_since.plus_ms(self.settings.good_ms) <= now {
            self.downs_count = 0;
        }
        let until = now.plus_ms(self.settings.backoff.delay_ms(self.downs_count, random));
        self.downs_count = self.downs_count.saturating_add(1);
        self.enter(now, State::Down { until }, reason)
    }

    fn enter(&mut self, now: Moment, to: State, reason: Reason) -> Transition {
        let transition = Transition { at: now, from: self.state, to, reason };
        match to {
            State::Up => self.good_since = self.good_since.or(Some(now)),
            State::Degraded => {}
            State::Down { .. } | State::HalfOpen { .. } | State::Disabled | State::Draining => {
                self.failures.clear();
                self.failed_probes_count = 0;
                (self.good_since, self.was_bad) = (None, true);
            }
        }
        (self.state, self.since, self.reason) = (to, now, reason);
        transition
    }
}

#[cfg(test)]
mod tests;
