//! The herald: one thread that makes events of what shards tell.
//!
//! It sleeps until a shard rings, then gathers for a moment, so that many items cost a shard one wake-up call.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use adit_admin::Events;
use adit_admin::events::{Event, ShareOutcome};
use adit_protocol::event::Outcome;
use adit_protocol::workers::NO_WORKER;
use adit_store::names::Names;
use adit_store::record::{PoolKey, WorkerKey};

use super::{Bell, Item, Line, ShareItem};
use crate::counters::{close_reason_label, reject_class_label};

/// How long it gathers.
const GATHER: Duration = Duration::from_millis(20);
/// Jobs of the same pool that different shards tell of within this time are one.
const SAME_JOB_US: u64 = 1_000_000;
/// Whatever it does, shards come first.
const NICENESS: i32 = 10;

/// A running herald. Dropping it ends its thread, once everything is told.
#[derive(Debug)]
pub(crate) struct Herald {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Herald {
    /// Takes from `lines`, which all ring `bell`.
    pub(crate) fn start(
        lines: Vec<Arc<Line>>,
        bell: Arc<Bell>,
        names: Arc<Names>,
        events: Events,
    ) -> std::io::Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut work = Work { lines, bell, names, events, stopping: stopping.clone(), jobs: HashMap::new() };
        let thread = thread::Builder::new().name("adit-herald".into()).spawn(move || {
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                log::debug!("the herald's priority stays as it is: {error}");
            }
            work.run();
        })?;
        Ok(Self { stopping, thread: Some(thread) })
    }
}

impl Drop for Herald {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                log::error!("the herald panicked");
            }
        }
    }
}

struct Work {
    lines: Vec<Arc<Line>>,
    bell: Arc<Bell>,
    names: Arc<Names>,
    events: Events,
    stopping: Arc<AtomicBool>,
    /// When a pool's last job was told, µs since 1970.
    jobs: HashMap<u16, u64>,
}

impl Work {
    fn run(&mut self) {
        // Nobody else sets it.
        let _ = self.bell.herald.set(thread::current());
        loop {
            let is_last = self.stopping.load(Ordering::SeqCst);
            if self.tell_all() {
                if !is_last {
                    thread::sleep(GATHER);
                }
            } else if is_last {
                return;
            } else {
                self.sleep();
            }
        }
    }

    fn sleep(&self) {
        self.bell.is_asleep.store(true, Ordering::SeqCst);
        let has_news = self.lines.iter().any(|line| !line.items.is_empty());
        if has_news || self.stopping.load(Ordering::SeqCst) {
            self.bell.is_asleep.store(false, Ordering::SeqCst);
        } else {
            // It may also wake up for no reason; then it looks and sleeps again.
            thread::park();
            thread::sleep(GATHER);
        }
    }

    /// Tells what waits; whether there was anything.
    fn tell_all(&mut self) -> bool {
        let mut any = false;
        for line in &self.lines {
            for (at_us, item) in std::iter::from_fn(|| line.items.pop()).take(super::WAITING_COUNT_MAX) {
                any = true;
                if let Item::Job { pool, .. } = item {
                    let told = self.jobs.entry(pool.0).or_default();
                    if *told > 0 && at_us < told.saturating_add(SAME_JOB_US) {
                        continue;
                    }
                    *told = at_us;
                }
                self.events.publish_at(at_us / 1_000, self.event(line.shard, item));
            }
            self.events.count_lost(line.lost.swap(0, Ordering::Relaxed));
        }
        any
    }

    fn event(&self, shard: u32, item: Item) -> Event {
        match item {
            Item::Opened { peer } => Event::ConnectionOpened { address: text(peer), shard },
            Item::Closed { peer, worker, reason, lasted_us } => Event::ConnectionClosed {
                address: text(peer),
                worker: (worker != NO_WORKER).then(|| self.worker(worker)),
                reason: close_reason_label(reason).into(),
                lasted_ms: lasted_us / 1_000,
            },
            Item::Authorised { peer, worker, pool, user_agent } => Event::WorkerAuthorized {
                worker: self.worker(worker),
                pool: self.pool(pool),
                address: text(peer),
                user_agent,
            },
            Item::Share(ended) => self.share(&ended),
            Item::Burst { worker, pool, burst } => Event::RejectBurst {
                pool: self.pool(pool),
                worker: worker.map(|worker| self.worker(worker)),
                class: burst.class.map_or("other", reject_class_label).into(),
                rejected: burst.rejected.into(),
                total: burst.total.into(),
                within_ms: burst.within_us / 1_000,
            },
            Item::Job { pool, clean, block_height } => {
                Event::Job { pool: self.pool(pool), clean, block_height: block_height.map(u64::from) }
            }
            Item::BlockCandidate { worker, pool, share_difficulty } => Event::BlockCandidate {
                worker: self.worker(worker),
                pool: self.pool(pool),
                share_difficulty,
                block_height: None,
            },
            Item::Limit { limit, peer } => Event::LimitHit { limit: limit.into(), address: peer.map(text) },
            Item::Switched { worker, from, to, reason, live, took_us } => Event::Switch {
                worker: (worker != NO_WORKER).then(|| self.worker(worker)),
                from: self.pool(from),
                to: self.pool(to),
                reason: reason.into(),
                live,
                took_ms: took_us / 1_000,
            },
        }
    }

    fn share(&self, share: &ShareItem) -> Event {
        let is_the_pools = matches!(share.outcome, Outcome::Accepted | Outcome::Rejected);
        let words = share.words.as_str();
        Event::Share {
            worker: self.worker(share.worker),
            pool: (share.outcome != Outcome::RefusedHere).then(|| self.pool(share.pool)),
            outcome: match share.outcome {
                Outcome::Accepted => ShareOutcome::Accepted,
                Outcome::Rejected => ShareOutcome::Rejected,
                Outcome::RefusedHere => ShareOutcome::RefusedHere,
                Outcome::Unanswered => ShareOutcome::Unanswered,
            },
            class: share.class.map(|class| reject_class_label(class).into()),
            reason: (!words.is_empty()).then(|| words.into()),
            difficulty: share.difficulty,
            share_difficulty: Some(share.share_difficulty).filter(|difficulty| difficulty.is_finite()),
            latency_us: is_the_pools.then_some(share.latency_us),
            skipped: share.skipped,
        }
    }

    fn worker(&self, key: u32) -> Arc<str> {
        self.names.worker_name(WorkerKey(key)).unwrap_or_default()
    }

    fn pool(&self, key: PoolKey) -> Arc<str> {
        self.names.pool_name(key).unwrap_or_default()
    }
}

fn text(peer: SocketAddr) -> Arc<str> {
    SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string().into()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use adit_admin::events::Kind;
    use adit_protocol::event::{ClosedShare, ReasonKey};
    use adit_protocol::job::JobKey;
    use adit_protocol::moment::Moment;
    use adit_protocol::verdict::RejectClass;

    use super::*;
    use crate::clock::Clock;
    use crate::news::desk::{Desk, Limit};

    const PATIENCE: Duration = Duration::from_secs(20);

    fn rejected(worker: u32) -> ClosedShare {
        ClosedShare {
            pool: adit_protocol::pool::PoolId(1),
            worker,
            job: JobKey::of_raw(b"\"j\"").expect("a job id"),
            difficulty: 8.0,
            share_difficulty: f64::NAN,
            outcome: Outcome::Rejected,
            class: Some(RejectClass::Stale),
            code: 21,
            reason: ReasonKey(2),
            block_candidate: false,
            submitted: Moment(0),
        }
    }

    #[test]
    fn what_two_shards_tell_becomes_events_in_words() {
        let (names, events, bell) = (Arc::new(Names::default()), Events::default(), Arc::<Bell>::default());
        let inbox = events.take_all().expect("nobody else listens");
        let (worker, pool) = (names.worker("farm.rig1").0, names.pool("main"));
        let lines: Vec<_> = (0..2).map(|shard| Line::new(shard, bell.clone())).collect();
        let clock = Clock::start();
        let [mut one, mut other] = [0, 1].map(|n: usize| Desk::new(lines[n].clone(), events.clone(), clock));
        let herald = Herald::start(lines, bell, names, events).expect("a thread");
        let peer: SocketAddr = "[::ffff:192.0.2.7]:4000".parse().expect("an address");
        let now = Moment(5_000_000);
        one.opened(peer, now);
        one.authorised(peer, worker, pool, "cgminer/4.12", now);
        // Both shards have miners of the same pool, each of which gets the job.
        one.job(pool, true, Some(840_000), now);
        other.job(pool, true, Some(840_000), now);
        one.job(pool, true, Some(840_000), now);
        let mut burst = None;
        let mut watch = crate::news::bursts::Watch::default();
        for _ in 0..10 {
            burst = watch.share(Outcome::Rejected, Some(RejectClass::Stale), now);
            one.share(&rejected(worker), pool, "job not found", burst, now);
        }
        assert!(burst.is_some());
        one.limit(Limit::Connections, Some(peer), now);
        one.limit(Limit::Connections, Some(peer), now);
        other.closed(peer, NO_WORKER, adit_protocol::event::CloseReason::MinerClosed, Moment(0), now);
        let mut told = Vec::new();
        let begun = Instant::now();
        while told.len() < 1 + 1 + 1 + 2 + 10 + 1 + 1 && begun.elapsed() < PATIENCE {
            told.extend(std::iter::from_fn(|| inbox.take()).map(|(_, event)| event));
            thread::yield_now();
        }
        drop(herald);
        assert!(inbox.take().is_none(), "more than was told");
        let of = |kind| told.iter().filter(|event| event.kind() == kind).collect::<Vec<_>>();
        let count = |kind| of(kind).len();
        assert_eq!([Kind::Job, Kind::LimitHit, Kind::RejectBurst].map(count), [1, 1, 2]);
        let address: Arc<str> = "192.0.2.7:4000".into();
        assert_eq!(
            *of(Kind::ConnectionOpened)[0],
            Event::ConnectionOpened { address: address.clone(), shard: 0 }
        );
        let closed = Event::ConnectionClosed {
            address,
            worker: None,
            reason: "miner_closed".into(),
            lasted_ms: 5_000,
        };
        assert_eq!(*of(Kind::ConnectionClosed)[0], closed);
        assert!(of(Kind::Share).iter().all(|event| event.worker() == Some("farm.rig1")
            && event.is_about_pool("main")
            && matches!(event, Event::Share { reason: Some(reason), .. } if &**reason == "job not found")));
    }
}
