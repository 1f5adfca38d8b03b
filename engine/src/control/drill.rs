//! Failover drills: some of a pool's miners are moved to where a failure would take them, and back, and how that went is
//! reported.
//!
//! ```text
//!  leaving ──▶ away (as long as the operator said) ──▶ returning ──▶ over
//!     └──────────┴── cancelled, or a standby fails ────────▲           ▲
//!     └──────────┴── Adit stops, or the pool itself fails ──┴──────────┘
//! ```
//!
//! One at a time, on a thread that only waits and adds up; each phase has an end. A pool that fails comes first: shards do
//! what they always do then, and the drill says that it was cut short. Not here: how a miner is moved
//! (`crate::shard::drill`).

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use adit_admin::events::Event;
use adit_admin::view::{DrillOutcome, DrillPhase, DrillReport, Latency};
use adit_admin::{Done, Refusal};
use adit_protocol::pool::PoolId;
use crossbeam::channel::{self, Receiver, Sender};
use parking_lot::Mutex;

use super::commands::{count_of, done};
use super::moves::usable;
use super::unix_ms;
use crate::figures::{Figures, ShardFigures};
use crate::pools::catalogue::{Catalogue, PoolEntry};
use crate::pools::drill::{DrillCounts, Tally, Trip};
use crate::pools::standing::Standing;
use crate::shard::Mail;
use crate::shard::drill::DrillStep;

/// How long miners may take to get there, and as long again to get back.
const MOVES_TIME_MAX: Duration = Duration::from_secs(60);
/// How long shares of the miners still count once all are back: those for the standby's jobs are on their way.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// How often it is looked how far miners are, and whether anything ends the drill.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often miners that are not back are sent for again.
const SEND_EVERY: Duration = Duration::from_secs(1);
/// How long shards may take to say how many miners they have.
const COUNT_WITHIN: Duration = Duration::from_secs(2);

/// The drills of a process. Copies are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drills {
    /// Held while one begins, so that there is only one.
    running: Arc<Mutex<Option<Running>>>,
    report: Arc<Mutex<Option<DrillReport>>>,
    /// How many there were, to number them.
    count: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Running {
    end: Sender<End>,
    thread: JoinHandle<()>,
}

/// What somebody wants of a drill that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Cancelled,
    Stopped,
}

/// What ends a drill early.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cut {
    Told(End),
    /// No pool is left to be away at.
    StandbyGone(String),
    /// There is nowhere to go back to.
    HomeGone(String),
}

impl Drills {
    /// The last drill, under way or over.
    pub(crate) fn report(&self) -> Option<DrillReport> {
        self.report.lock().clone()
    }

    /// Ends the one that runs, for Adit stops, and waits until its report is kept.
    pub(crate) fn stop(&self) {
        let Some(Running { end, thread }) = self.running.lock().take() else { return };
        // It may have ended by itself.
        let _ = end.try_send(End::Stopped);
        if thread.join().is_err() {
            log::error!("the drill panicked");
        }
    }
}

/// What an operator wants of a drill.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan<'a> {
    /// The pool to leave; `None` is the one with most miners.
    pub(super) pool: Option<&'a str>,
    pub(super) percent: u8,
    pub(super) hold_s: u32,
    /// Whether miners that cannot be switched live are closed for it.
    pub(super) reconnect: bool,
}

/// Ends the drill that runs.
pub(super) fn cancel(figures: &Figures) -> Result<Done, Refusal> {
    let running = figures.drills.running.lock();
    let Some(running) = running.as_ref().filter(|running| !running.thread.is_finished()) else {
        return Err(Refusal::Conflict("no drill is under way".to_owned()));
    };
    let _ = running.end.try_send(End::Cancelled);
    let away = figures.drills.report().map_or(0, |report| report.moved.saturating_sub(report.returned));
    Ok(done("the drill ends, and its miners are moved back".to_owned(), away))
}

/// Begins a drill.
pub(super) fn start(figures: &Figures, plan: Plan<'_>, by: &str) -> Result<Done, Refusal> {
    let Plan { pool, percent, hold_s, reconnect } = plan;
    let catalogue = figures.pools.catalogue();
    let from = match pool {
        Some(name) => usable(figures, &catalogue, name)?,
        None => busiest(figures, &catalogue)?,
    };
    let name = &from.settings.name;
    let to = standbys(figures, &catalogue, from);
    if to.is_empty() {
        let group = &from.settings.group;
        let why = format!("no other pool of group {group} can take the miners of {name}");
        return Err(Refusal::Conflict(why));
    }
    if reconnect && catalogue.settings().failover.reserve_ms == 0 {
        let why = "with reconnect miners would be closed for nothing, since no login is kept for them: set \
                   failover.reserve_ms to more than 0";
        return Err(Refusal::Conflict(why.to_owned()));
    }
    if figures.is_stopping() {
        return Err(Refusal::Conflict("Adit is stopping".to_owned()));
    }
    let mut running = figures.drills.running.lock();
    if running.as_ref().is_some_and(|running| !running.thread.is_finished()) {
        return Err(Refusal::Conflict("a drill is under way; it can be cancelled".to_owned()));
    }
    let counts = count(figures, from.id)?;
    let miners: u64 = counts.iter().sum();
    if miners == 0 {
        return Err(Refusal::Conflict(format!("nobody mines at {name}")));
    }
    let wanted = (miners * u64::from(percent)).div_ceil(100).max(1);
    let report = DrillReport {
        by: by.to_owned(),
        from: name.clone(),
        to: to.iter().map(|entry| entry.settings.name.clone()).collect(),
        percent,
        hold_seconds: hold_s,
        reconnect,
        started_ms: unix_ms(),
        miners,
        ..DrillReport::default()
    };
    let where_to = report.to.join(", ");
    *figures.drills.report.lock() = Some(report);
    let (end, ends) = channel::bounded(2);
    let drill = Drill {
        figures: figures.clone(),
        number: figures.drills.count.fetch_add(1, Relaxed),
        tallies: apportion(&counts, wanted)
            .into_iter()
            // A miner that is closed may come back to any shard.
            .map(|part| (part, Tally::new(if reconnect { wanted } else { part } as usize)))
            .collect(),
        reconnect,
        from: (from.id, name.clone()),
        to: to.iter().map(|entry| entry.id).collect(),
        hold: Duration::from_secs(hold_s.into()),
        ends,
        times_us: Default::default(),
    };
    let thread = drill.start().map_err(|error| Refusal::Unavailable(format!("no thread for it: {error}")))?;
    *running = Some(Running { end, thread });
    let moving = count_of(wanted, "miner");
    let how = if reconnect { ", closing those that cannot be switched live" } else { "" };
    let summary =
        format!("moving {moving} of {miners} at {name} to {where_to} for {hold_s} s, then back{how}");
    Ok(done(summary, wanted))
}

/// The usable pool with most miners.
fn busiest<'a>(figures: &Figures, catalogue: &'a Catalogue) -> Result<&'a PoolEntry, Refusal> {
    let miners = |entry: &&PoolEntry| -> u64 {
        figures.shards.iter().map(|shard| shard.pool_counters.of(entry.id).open()).sum()
    };
    let usable = catalogue.pools().map(|entry| &**entry);
    let usable = usable.filter(|entry| figures.pools.standings.of(entry.id).takes());
    let busiest = usable.filter(|entry| miners(entry) > 0).max_by_key(miners);
    busiest.ok_or_else(|| Refusal::Conflict("nobody mines at a pool that can be used".to_owned()))
}

/// The pools that take a pool's miners when it fails.
fn standbys<'a>(figures: &Figures, catalogue: &'a Catalogue, from: &PoolEntry) -> Vec<&'a PoolEntry> {
    let groups = &catalogue.settings().groups;
    let Some(group) = groups.iter().position(|group| group.name == from.settings.group) else {
        return Vec::new();
    };
    let least = |least| {
        let is_usable = |pool| pool != from.id && figures.pools.standings.of(pool) >= least;
        let parts = catalogue.plan().wanted(group, is_usable).into_iter().filter(|part| part.wanted > 0.0);
        parts.filter_map(|part| catalogue.get(part.pool).map(|entry| &**entry)).collect::<Vec<_>>()
    };
    let settled = least(Standing::Settled);
    if settled.is_empty() { least(Standing::Fresh) } else { settled }
}

/// How many miners each shard has at a pool, those apart that are being moved already.
fn count(figures: &Figures, pool: PoolId) -> Result<Vec<u64>, Refusal> {
    let deadline = Instant::now() + COUNT_WITHIN;
    let asked: Vec<Receiver<u64>> = (0..figures.shards.len())
        .map(|shard| {
            let (answer, answered) = channel::bounded(1);
            tell(figures, shard, DrillStep::Count(pool, answer));
            answered
        })
        .collect();
    let answers = asked.into_iter().map(|answered| answered.recv_deadline(deadline));
    let counted: Result<Vec<u64>, _> = answers.collect();
    counted.map_err(|_| Refusal::Unavailable("a shard does not read its mail; try again".to_owned()))
}

/// How many of `wanted` miners come from each shard: in proportion, and the largest remainders first.
fn apportion(counts: &[u64], wanted: u64) -> Vec<u64> {
    let sum = counts.iter().sum::<u64>().max(1);
    let mut parts: Vec<u64> = counts.iter().map(|&count| count * wanted / sum).collect();
    let mut by_remainder: Vec<usize> = (0..counts.len()).collect();
    by_remainder
        .sort_by_key(|&shard| std::cmp::Reverse(counts.get(shard).map_or(0, |count| count * wanted % sum)));
    let missing = wanted.saturating_sub(parts.iter().sum()) as usize;
    for shard in by_remainder.into_iter().take(missing) {
        if let Some(part) = parts.get_mut(shard) {
            *part += 1;
        }
    }
    parts
}

/// Tells one shard. Whether it has room for it.
fn tell(figures: &Figures, shard: usize, step: DrillStep) -> bool {
    let mailbox = figures.shards.get(shard).and_then(|shard| shard.mailbox.upgrade());
    mailbox.is_some_and(|mailbox| mailbox.send(Mail::Drill(step)).is_ok())
}

/// Trips that are reported.
const TRIPS: [Trip; 4] = [Trip::There, Trip::Back, Trip::ThereAnew, Trip::BackAnew];

/// A drill that runs.
struct Drill {
    figures: Figures,
    number: u64,
    /// By shard: how many miners it is to draw, and what it tells of them.
    tallies: Vec<(u64, Arc<Tally>)>,
    from: (PoolId, String),
    to: Vec<PoolId>,
    hold: Duration,
    reconnect: bool,
    ends: Receiver<End>,
    /// What trips took so far, in the order of [`TRIPS`].
    times_us: [Vec<u64>; TRIPS.len()],
}

impl Drill {
    fn start(self) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().name("adit-drill".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        self.enter(DrillPhase::Leaving, MOVES_TIME_MAX);
        self.leave();
        let shards = self.tallies.len() as u64;
        let mut cut = self.wait(MOVES_TIME_MAX, |counts| counts.begun == shards && counts.leaving() == 0);
        let late = self.look().leaving();
        if cut.is_none() && late > 0 {
            self.problem(format!(
                "{} not moved within {} s",
                count_of(late, "miner"),
                MOVES_TIME_MAX.as_secs()
            ));
        }
        if cut.is_none() {
            self.enter(DrillPhase::Away, self.hold);
            cut = self.wait(self.hold, |counts| counts.under_drill() == 0);
        }
        let is_home_there = !matches!(cut, Some(Cut::HomeGone(_) | Cut::Told(End::Stopped)));
        if is_home_there {
            let later = self.come_back();
            cut = cut.or(later);
        }
        self.over(cut);
    }

    /// Has shards draw their miners.
    fn leave(&mut self) {
        for (shard, (miners, tally)) in self.tallies.clone().into_iter().enumerate() {
            let may_close = self.reconnect;
            let step = DrillStep::Leave {
                number: self.number,
                from: self.from.0,
                miners,
                may_close,
                tally: tally.clone(),
            };
            if !tell(&self.figures, shard, step) {
                tally.count(crate::pools::drill::Drilled::Begun);
                self.problem(format!("shard {shard} does not read its mail, and takes no part"));
            }
        }
    }

    /// Has miners moved back, again and again until they are.
    fn come_back(&mut self) -> Option<Cut> {
        self.enter(DrillPhase::Returning, MOVES_TIME_MAX);
        let until = Instant::now() + MOVES_TIME_MAX;
        loop {
            (0..self.tallies.len()).for_each(|shard| _ = tell(&self.figures, shard, DrillStep::Return));
            let cut = self.wait(SEND_EVERY, |counts| counts.under_drill() == 0);
            // It is ending already; only what leaves it nowhere to go is of interest.
            if let Some(cut @ (Cut::HomeGone(_) | Cut::Told(End::Stopped))) = cut {
                return Some(cut);
            }
            let missing = self.look().under_drill();
            if missing == 0 {
                self.wait(SETTLE_TIME, |_| false);
                return None;
            }
            if Instant::now() >= until {
                let missing = count_of(missing, "miner");
                self.problem(format!("{missing} not back within {} s", MOVES_TIME_MAX.as_secs()));
                return None;
            }
        }
    }

    /// Waits until something is so, at most for a time; what cuts the drill short ends the wait.
    fn wait(&mut self, time: Duration, is_so: impl Fn(&DrillCounts) -> bool) -> Option<Cut> {
        let until = Instant::now() + time;
        loop {
            let counts = self.look();
            if is_so(&counts) || Instant::now() >= until {
                return None;
            }
            if let Some(cut) = self.cut() {
                return Some(cut);
            }
        }
    }

    /// What ends the drill, if something does within a moment.
    fn cut(&self) -> Option<Cut> {
        if let Ok(end) = self.ends.recv_timeout(LOOK_EVERY) {
            return Some(Cut::Told(end));
        }
        if self.figures.is_stopping() {
            return Some(Cut::Told(End::Stopped));
        }
        let takes = |pool| self.figures.pools.standings.of(pool).takes();
        let reason = |pool| self.figures.pools.statuses.of(pool).reason;
        if !takes(self.from.0) {
            return Some(Cut::HomeGone(format!("{} cannot be used: {}", self.from.1, reason(self.from.0))));
        }
        let standby = self.to.first().filter(|_| !self.to.iter().any(|&pool| takes(pool)))?;
        Some(Cut::StandbyGone(format!("the standby cannot be used: {}", reason(*standby))))
    }

    /// Adds up what shards tell.
    fn look(&mut self) -> DrillCounts {
        let mut sum = DrillCounts::default();
        for (_, tally) in &self.tallies {
            sum.merge(&tally.counts());
            for (times_us, trip) in self.times_us.iter_mut().zip(TRIPS) {
                times_us.extend(tally.take_times(trip));
            }
        }
        let [switch_time, return_time, reconnect_time, reconnect_back_time] =
            self.times_us.each_mut().map(|us| latency(us));
        self.report(|report| {
            report.chosen = sum.chosen;
            report.moved = sum.moved;
            report.returned = sum.returned;
            report.not_live = sum.not_live;
            report.failed = sum.failed;
            report.diverted = sum.diverted;
            report.gone = sum.gone;
            report.accepted = sum.accepted;
            report.stale = sum.stale;
            report.rejected = sum.rejected;
            report.unanswered = sum.unanswered;
            report.closed = sum.closed;
            report.reconnected = sum.reconnected;
            report.reconnected_back = sum.reconnected_back;
            (report.switch_time, report.return_time) = (switch_time, return_time);
            (report.reconnect_time, report.reconnect_back_time) = (reconnect_time, reconnect_back_time);
        });
        sum
    }

    fn problem(&self, words: String) {
        self.report(|report| report.problems.push(words));
    }

    fn enter(&self, phase: DrillPhase, time: Duration) {
        let until_ms = unix_ms().saturating_add(time.as_millis() as u64);
        self.report(|report| (report.phase, report.phase_until_ms) = (phase, Some(until_ms)));
        self.tell_listeners();
    }

    fn report(&self, change: impl FnOnce(&mut DrillReport)) {
        if let Some(report) = &mut *self.figures.drills.report.lock() {
            change(report);
        }
    }

    fn tell_listeners(&self) {
        let Some(report) = self.figures.drills.report() else { return };
        let DrillReport { phase, outcome, from, chosen, moved, returned, .. } = report;
        let from = from.into();
        self.figures.events.publish(Event::Drill { phase, outcome, from, chosen, moved, returned });
    }

    /// Ends it: shards go by the plan again, and what came of it is kept.
    fn over(mut self, cut: Option<Cut>) {
        let mut untold: Vec<usize> = (0..self.tallies.len()).collect();
        let until = Instant::now() + COUNT_WITHIN;
        while !untold.is_empty() && Instant::now() < until {
            let is_alive = |shard: usize| self.figures.shards.get(shard).is_some_and(ShardFigures::is_alive);
            untold.retain(|&shard| is_alive(shard) && !tell(&self.figures, shard, DrillStep::Over));
            if !untold.is_empty() {
                thread::sleep(LOOK_EVERY);
            }
        }
        self.look();
        let (outcome, why) = match cut {
            None => (DrillOutcome::Completed, None),
            Some(Cut::Told(End::Cancelled)) => (DrillOutcome::Cancelled, None),
            Some(Cut::Told(End::Stopped)) => (DrillOutcome::Stopped, None),
            Some(Cut::StandbyGone(why) | Cut::HomeGone(why)) => (DrillOutcome::Aborted, Some(why)),
        };
        self.report(|report| {
            report.problems.extend(why);
            (report.phase, report.outcome) = (DrillPhase::Over, Some(outcome));
            (report.phase_until_ms, report.finished_ms) = (None, Some(unix_ms()));
        });
        let Some(report) = self.figures.drills.report() else { return };
        let words = in_words(&report);
        log::info!("drill of {}: {words}", report.from);
        self.figures.audit("drill", &report.by, &report.from, &words);
        self.tell_listeners();
    }
}

/// The distribution of these times.
fn latency(us: &mut [u64]) -> Latency {
    us.sort_unstable();
    Latency::from_recorded(us.iter().map(|&us| (us, 1)))
}

/// What came of it, in one line.
fn in_words(report: &DrillReport) -> String {
    let outcome = match report.outcome {
        Some(DrillOutcome::Completed) => "completed",
        Some(DrillOutcome::Cancelled) => "cancelled",
        Some(DrillOutcome::Aborted) => "aborted",
        Some(DrillOutcome::Stopped) => "stopped with Adit",
        None => "under way",
    };
    let ms = |us: u64| us as f64 / 1e3;
    let time = &report.switch_time;
    let mut words = format!(
        "{outcome}: {} of {} chosen moved to {} in {:.1} ms (p50), {:.1} ms (p99), {} back; {} not live, {} failed, \
         {} diverted, {} gone; shares {} accepted, {} stale, {} rejected, {} unanswered",
        report.moved,
        report.chosen,
        report.to.join(", "),
        ms(time.p50_us),
        ms(time.p99_us),
        report.returned,
        report.not_live,
        report.failed,
        report.diverted,
        report.gone,
        report.accepted,
        report.stale,
        report.rejected,
        report.unanswered,
    );
    if report.reconnect {
        let time = &report.reconnect_time;
        let _ = write!(
            words,
            "; of these {} closed for it, {} there in {:.1} ms (p50), {:.1} ms (p99), {} back",
            report.closed,
            report.reconnected,
            ms(time.p50_us),
            ms(time.p99_us),
            report.reconnected_back,
        );
    }
    for problem in &report.problems {
        words.push_str("; ");
        words.push_str(problem);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn miners_are_drawn_from_shards_in_proportion() {
        for (counts, wanted, parts) in [
            (vec![100, 100], 10, vec![5, 5]),
            (vec![1, 0, 199], 1, vec![0, 0, 1]),
            (vec![3, 3, 3], 4, vec![2, 1, 1]),
            (vec![7, 5], 12, vec![7, 5]),
        ] {
            assert_eq!(apportion(&counts, wanted), parts, "{wanted} of {counts:?}");
        }
    }

    #[test]
    fn what_came_of_a_drill_is_one_line() {
        let report = DrillReport {
            outcome: Some(DrillOutcome::Aborted),
            to: vec!["b".to_owned(), "c".to_owned()],
            chosen: 4,
            moved: 3,
            returned: 2,
            not_live: 1,
            problems: vec!["a cannot be used: no connect".to_owned()],
            ..DrillReport::default()
        };
        let words = in_words(&report);
        assert!(words.starts_with("aborted: 3 of 4 chosen moved to b, c in 0.0 ms (p50)"), "{words}");
        assert!(words.ends_with("0 unanswered; a cannot be used: no connect"), "{words}");
        let report = DrillReport { reconnect: true, closed: 2, reconnected: 1, ..report };
        let words = in_words(&report);
        assert!(words.contains("; of these 2 closed for it, 1 there in 0.0 ms (p50)"), "{words}");
    }
}
