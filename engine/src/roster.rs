//! Workers over all shards: asks each shard for copies of its figures and puts them together. A worker spread over shards
//! is one worker.
//!
//! Shards are asked piece by piece. Nobody waits longer than told; the part of a shard that did not answer in time is
//! missing, and that is said.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use crossbeam::channel;

use crate::figures::ShardFigures;
use crate::shard::Mail;
use crate::shard::fleet::FleetFigures;
use crate::shard::workers::{PIECE_COUNT_MAX, Question, WorkerFigures};

/// What shards answered, put together.
#[derive(Debug, Default)]
pub struct Roster {
    /// Workers by key.
    pub workers: HashMap<u32, WorkerFigures>,
    /// What all workers of each shard make together at each pool; `None` for a shard that did not answer in time.
    pub fleets: Vec<Option<Vec<(PoolId, FleetFigures)>>>,
    /// Shards that did not answer in time.
    pub shards_missing: usize,
}

impl Roster {
    /// All workers, after `within` at the latest. `now` and `now_us` are the present on the shards' clock, as a moment and
    /// in µs since 1970.
    pub fn ask(shards: &[ShardFigures], within: Duration, now: Moment, now_us: u64) -> Self {
        Self::gather(shards, (PIECE_COUNT_MAX, 0), within, now, now_us)
    }

    /// What all workers make together at each of so many pools, after `within` at the latest.
    pub fn ask_fleet(shards: &[ShardFigures], pools_count: usize, within: Duration, now: Moment) -> Self {
        Self::gather(shards, (0, pools_count), within, now, 0)
    }

    /// Asks for as many workers at a time and as many pools as `room` says.
    fn gather(
        shards: &[ShardFigures],
        (room, pools_room): (usize, usize),
        within: Duration,
        now: Moment,
        now_us: u64,
    ) -> Self {
        let deadline = Instant::now() + within;
        let mut fleets = vec![None; shards.len()];
        // One question per shard is under way at most, so no answer finds this full.
        let (reply, answers) = channel::bounded(shards.len());
        let ask = |index: usize, from: usize| {
            let (room, pools_room) = (Vec::with_capacity(room), Vec::with_capacity(pools_room));
            let question = Question { index, asked_at: now, from, room, pools_room, reply: reply.clone() };
            shards.get(index).is_some_and(|shard| send(shard, question))
        };
        let mut under_way = (0..shards.len()).filter(|&index| ask(index, 0)).count();
        let mut pieces: Vec<Vec<WorkerFigures>> = vec![Vec::new(); shards.len()];
        while under_way > 0
            && let Ok(mut answer) = answers.recv_deadline(deadline)
            && let Some(workers) = pieces.get_mut(answer.index)
        {
            workers.append(&mut answer.workers);
            if room > 0 && answer.has_more {
                under_way -= usize::from(!ask(answer.index, workers.len()));
                continue;
            }
            if let Some(fleet) = fleets.get_mut(answer.index) {
                *fleet = Some(answer.pools);
            }
            under_way -= 1;
        }
        let mut roster = Self::default();
        // In the order of shards, not of answers: a sum of fractions in another order is another one, and a counter must
        // never shrink. And only whole ones: half of a shard would look like one whose other workers left.
        for (workers, fleet) in pieces.into_iter().zip(&fleets) {
            match fleet {
                Some(_) => roster.add(workers, now_us),
                None => roster.shards_missing += 1,
            }
        }
        Self { fleets, ..roster }
    }

    /// Adds what a shard answered.
    fn add(&mut self, workers: Vec<WorkerFigures>, now_us: u64) {
        for figures in workers {
            match self.workers.entry(figures.worker) {
                Entry::Occupied(known) => merge(known.into_mut(), figures, now_us),
                Entry::Vacant(place) => {
                    place.insert(figures);
                }
            }
        }
    }
}

/// Adds what another shard knows of the same worker. What can only be one thing is that of the shard that saw it last.
fn merge(into: &mut WorkerFigures, other: WorkerFigures, now_us: u64) {
    into.connections += other.connections;
    into.shares.merge(&other.shares);
    into.hashrate.merge(&other.hashrate, now_us);
    into.best_difficulty = into.best_difficulty.max(other.best_difficulty);
    into.first_seen_us = into.first_seen_us.min(other.first_seen_us);
    if other.last_share_us > into.last_share_us {
        into.last_share_us = other.last_share_us;
        into.difficulty = other.difficulty;
    }
    if other.last_seen_us > into.last_seen_us {
        into.last_seen_us = other.last_seen_us;
        into.address = other.address;
        into.user_agent = other.user_agent;
        into.pool = other.pool;
    }
}

/// Sends a question. False if the shard cannot take it.
fn send(shard: &ShardFigures, question: Question) -> bool {
    let mailbox = if shard.is_alive() { shard.mailbox.upgrade() } else { None };
    mailbox.is_some_and(|mailbox| mailbox.send(Mail::Figures(question)).is_ok())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::thread;

    use adit_protocol::event::{ClosedShare, Outcome};

    use super::*;
    use crate::clock::Clock;
    use crate::counters;
    use crate::latency::Recorder;
    use crate::ring::eventfd::EventFd;
    use crate::shard::mailbox::Mailbox;
    use crate::shard::workers::tests::share;
    use crate::shard::workers::{WORKERS_COUNT_MAX, Workers};
    use crate::vitals;
    use crate::workers::Registry;

    const PATIENCE: Duration = Duration::from_secs(10);
    const SECOND: u64 = 1_000_000;

    /// A mailbox that seems to have a shard behind it, and what is published of that.
    fn shard() -> (Arc<Mailbox<Mail>>, ShardFigures) {
        let eventfd = Arc::new(EventFd::new().unwrap());
        let mailbox = Arc::new(Mailbox::new(eventfd.clone(), eventfd));
        let figures = ShardFigures {
            core: None,
            counters: counters::counters().1,
            pool_counters: crate::pools::counters::pool_counters().1,
            latency: Recorder::new().1,
            vitals: vitals::vitals().1,
            mailbox: Arc::downgrade(&mailbox),
        };
        (mailbox, figures)
    }

    /// Answers questions from `workers` until `mailbox` has no other end any more.
    fn serve(mailbox: &Arc<Mailbox<Mail>>, workers: Workers) -> thread::JoinHandle<()> {
        let mailbox = mailbox.clone();
        thread::spawn(move || {
            while Arc::strong_count(&mailbox) > 1 {
                match mailbox.take() {
                    Some(Mail::Figures(question)) => workers.answer(question),
                    _ => thread::yield_now(),
                }
            }
        })
    }

    #[test]
    fn a_worker_on_two_shards_is_one_worker() {
        let registry = Registry::new(Arc::default());
        let clock = Clock::start();
        let [mut one, mut other] = [1, 2].map(|_| Workers::new(clock, registry.clone(), WORKERS_COUNT_MAX));
        let here = |n| IpAddr::V4(Ipv4Addr::new(127, 0, 0, n));
        one.arrived(1, here(1), "old/1", Moment(0));
        other.arrived(1, here(2), "new/2", Moment(SECOND));
        (2..600).for_each(|worker| one.arrived(worker, here(1), "", Moment(0)));
        for n in 1..=600 {
            one.share(&share(1, Outcome::Accepted, None), Moment(n * SECOND));
            other.share(&share(1, Outcome::Accepted, None), Moment(n * SECOND + 1));
        }
        let (shards, figures): (Vec<_>, Vec<_>) = [shard(), shard()].into_iter().unzip();
        let threads = [serve(&shards[0], one), serve(&shards[1], other)];
        let now_us = clock.wall_us(Moment(600 * SECOND + 1));
        let roster = Roster::ask(&figures, PATIENCE, Moment(0), now_us);
        assert_eq!((roster.workers.len(), roster.shards_missing), (600, 0));
        let rig = &roster.workers[&1];
        assert_eq!((rig.connections, rig.shares.accepted), (2, 1_200));
        assert_eq!((rig.address, &*rig.user_agent), (Some(here(2)), "new/2"), "the newer ones");
        assert_eq!((rig.first_seen_us, rig.last_share_us), (clock.wall_us(Moment(0)), now_us));
        let expected = 2.0 * 1_000.0 * adit_store::hashrate::HASHES_PER_DIFFICULTY;
        let fleet = Roster::ask_fleet(&figures, 1, PATIENCE, Moment(0));
        assert!(fleet.workers.is_empty(), "nobody asked for them");
        let [one, other] = [0, 1].map(|shard| fleet.fleets[shard].as_ref().unwrap()[0]);
        assert_eq!((one.0, other.0), (PoolId(1), PoolId(1)));
        let mut sum = one.1.hashrate;
        sum.merge(&other.1.hashrate, now_us);
        for rates in [rig.hashrate, sum] {
            let rate = rates.hashes_per_second(now_us)[0];
            assert!((rate / expected - 1.0).abs() < 0.05, "{rate} for {expected}");
        }
        drop(shards);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    #[test]
    fn the_sum_does_not_depend_on_who_answers_first() {
        let difficulties = [0.1, 0.2, 0.3];
        let sums = [[0, 1, 2], [2, 1, 0], [1, 2, 0]].map(|order| {
            let (mailboxes, figures): (Vec<_>, Vec<_>) = [shard(), shard(), shard()].into_iter().unzip();
            // A shard whose mailbox nobody else holds has ended.
            let asked = mailboxes.clone();
            let answering = thread::spawn(move || {
                for index in order {
                    let mut workers =
                        Workers::new(Clock::start(), Registry::new(Arc::default()), WORKERS_COUNT_MAX);
                    let accepted =
                        ClosedShare { difficulty: difficulties[index], ..share(1, Outcome::Accepted, None) };
                    workers.arrived(1, Ipv4Addr::LOCALHOST.into(), "", Moment(0));
                    workers.share(&accepted, Moment(SECOND));
                    let since = Instant::now();
                    let question = loop {
                        match asked[index].take() {
                            Some(Mail::Figures(question)) => break question,
                            _ => thread::yield_now(),
                        }
                        assert!(since.elapsed() < PATIENCE, "nobody asks");
                    };
                    workers.answer(question);
                }
            });
            let roster = Roster::ask(&figures, PATIENCE, Moment(SECOND), 0);
            answering.join().unwrap();
            drop(mailboxes);
            assert_eq!(roster.shards_missing, 0);
            roster.workers[&1].shares.difficulty_accepted.to_bits()
        });
        let [forth, back] = [0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1].map(f64::to_bits);
        assert_ne!(forth, back, "the order matters to these");
        assert_eq!(sums, [forth; 3]);
    }

    #[test]
    fn a_shard_that_does_not_answer_is_told_and_not_waited_for() {
        let registry = Registry::new(Arc::default());
        let mut workers = Workers::new(Clock::start(), registry, WORKERS_COUNT_MAX);
        (1..1_000).for_each(|worker| workers.arrived(worker, Ipv4Addr::LOCALHOST.into(), "", Moment(0)));
        let (mailboxes, figures): (Vec<_>, Vec<_>) = [shard(), shard(), shard()].into_iter().unzip();
        let thread = serve(&mailboxes[1], workers);
        // The first sleeps, the last has ended: nobody holds its other end.
        let asleep = mailboxes[0].clone();
        let asked = Instant::now();
        let within = Duration::from_secs(1);
        let roster = Roster::ask(&figures, within, Moment(0), 0);
        assert!(asked.elapsed() >= within && asked.elapsed() < PATIENCE, "{:?}", asked.elapsed());
        assert_eq!((roster.shards_missing, roster.workers.len()), (2, 1_000), "the one behind it is not");
        drop((asleep, mailboxes));
        thread.join().unwrap();
    }
}
