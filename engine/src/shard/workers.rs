//! What a shard counts per worker and for all of them: how shares ended, difficulty, hashrates, who is connected.
//!
//! The shard alone writes here, so nothing is locked. A worker gets its entry when a pool accepts its name; a share then
//! costs two indexed loads and a few additions. Readers get copies piece by piece ([`Question`]), and put the shards
//! together themselves: [`crate::roster`].

use std::net::IpAddr;
use std::sync::Arc;

use adit_protocol::event::{ClosedShare, Outcome};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;
use adit_protocol::workers::NO_WORKER;
use adit_store::hashrate::Hashrate;
use adit_store::tally::{CLASSES_COUNT, class_index, credited};
use crossbeam::channel::Sender;

use super::fleet::{Fleet, FleetFigures};
use crate::clock::Clock;
use crate::news::bursts::{Burst, Watch};
use crate::workers::Registry;

/// Workers with figures of their own on one shard: 22 MiB. A later one takes the place of one that is not connected;
/// where all are, it is counted with [`NO_WORKER`] from then on.
pub const WORKERS_COUNT_MAX: usize = 64 * 1024;
/// Workers copied for one question: some 80 KiB, so that no share waits for a reader. The next turn may copy more.
pub const PIECE_COUNT_MAX: usize = 256;
/// Entries looked at for one to give away, for one worker that arrives.
const LOOKS_MAX: usize = 64;
/// The entry of those that have none of their own.
const OTHERS: u32 = 0;
/// Stands for no entry at all: the worker never came here, or its entry was given away.
const NONE: u32 = u32::MAX;

/// How shares ended. Each is in exactly one of the four.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// The pool accepted them.
    pub accepted: u64,
    /// The pool rejected them; by [`class_index`].
    pub rejected: [u64; CLASSES_COUNT],
    /// They were answered here; by [`class_index`].
    pub refused_here: [u64; CLASSES_COUNT],
    /// No verdict came in time.
    pub unanswered: u64,
    /// Sum of the assigned difficulty of the accepted ones.
    pub difficulty_accepted: f64,
    /// Good enough for a block, as far as checked here.
    pub block_candidates: u64,
}

impl Shares {
    #[inline]
    fn add(&mut self, share: &ClosedShare) {
        match share.outcome {
            Outcome::Accepted => {
                self.accepted += 1;
                self.difficulty_accepted += credited(share.difficulty);
            }
            Outcome::Rejected => self.rejected[class_index(share.class)] += 1,
            Outcome::RefusedHere => self.refused_here[class_index(share.class)] += 1,
            Outcome::Unanswered => self.unanswered += 1,
        }
        self.block_candidates += u64::from(share.block_candidate);
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.rejected.iter_mut().zip(other.rejected).for_each(|(mine, theirs)| *mine += theirs);
        self.refused_here.iter_mut().zip(other.refused_here).for_each(|(mine, theirs)| *mine += theirs);
        self.unanswered += other.unanswered;
        self.difficulty_accepted += other.difficulty_accepted;
        self.block_candidates += other.block_candidates;
    }
}

/// One worker as one shard knows it. Times are µs since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerFigures {
    /// Its key; [`NO_WORKER`] stands for all without figures of their own.
    pub worker: u32,
    /// Connections authorised under its name.
    pub connections: u32,
    /// Where it mines, or did last.
    pub pool: PoolId,
    /// How its shares ended.
    pub shares: Shares,
    /// Its hashrates, by accepted shares.
    pub hashrate: Hashrate,
    /// The difficulty assigned to its last share; 0 before any.
    pub difficulty: f64,
    /// The best difficulty that a share of it reached; 0 where none was checked here.
    pub best_difficulty: f64,
    /// Seen first.
    pub first_seen_us: u64,
    /// The last time that its name was accepted, a share of it ended, or a connection of it.
    pub last_seen_us: u64,
    /// The end of its last share; 0 before any.
    pub last_share_us: u64,
    /// Where its newest connection came from.
    pub address: Option<IpAddr>,
    /// What that connection calls itself; empty if it does not say.
    pub user_agent: Arc<str>,
}

impl WorkerFigures {
    fn new(worker: u32, now_us: u64) -> Self {
        Self {
            worker,
            connections: 0,
            pool: PoolId::NONE,
            shares: Shares::default(),
            hashrate: Hashrate::new(now_us),
            difficulty: 0.0,
            best_difficulty: 0.0,
            first_seen_us: now_us,
            last_seen_us: now_us,
            last_share_us: 0,
            address: None,
            user_agent: Arc::default(),
        }
    }
}

/// Asks a shard for a piece of its figures.
#[derive(Debug)]
pub struct Question {
    /// Given back with the answer: which shard was asked.
    pub index: usize,
    /// When it was asked.
    pub asked_at: Moment,
    /// The entry to begin with.
    pub from: usize,
    /// Where the copies go: as many as there is room for, [`PIECE_COUNT_MAX`] at most. The reader makes the room, so that
    /// the shard need not.
    pub room: Vec<WorkerFigures>,
    /// The same for what all workers make together.
    pub pools_room: Vec<(PoolId, FleetFigures)>,
    /// Where the answer goes, if there is room for it.
    pub reply: Sender<Answer>,
}

/// What a shard answers.
#[derive(Debug)]
pub struct Answer {
    /// That of the question.
    pub index: usize,
    /// The entries asked for.
    pub workers: Vec<WorkerFigures>,
    /// Whether there are entries behind them.
    pub has_more: bool,
    /// All workers together, at each pool that accepted anything.
    pub pools: Vec<(PoolId, FleetFigures)>,
}

/// The figures of one shard. An entry is given away only where all are taken, and what was counted in it goes on in that
/// of the others, so that sums only grow. A worker that was counted with the others stays there, or its connections would
/// be counted in one entry when it comes and in another when it leaves.
#[derive(Debug)]
pub(crate) struct Workers {
    clock: Clock,
    registry: Arc<Registry>,
    fleet: Fleet,
    entries: Vec<WorkerFigures>,
    /// Whether its rejects are news; by index of the entry.
    watches: Vec<Watch>,
    /// Index of the entry of each key, or [`NONE`]. Keys are counted up from 0, so this is short.
    index_of: Vec<u32>,
    count_max: usize,
    /// The entry looked at next for one to give away.
    hand: usize,
}

impl Workers {
    pub(crate) fn new(clock: Clock, registry: Arc<Registry>, count_max: usize) -> Self {
        let now_us = clock.wall_us(clock.now());
        Self {
            clock,
            registry,
            fleet: Fleet::new(now_us),
            entries: vec![WorkerFigures::new(NO_WORKER, now_us)],
            watches: vec![Watch::default()],
            index_of: vec![OTHERS],
            count_max,
            hand: 0,
        }
    }

    /// A pool accepted a name on one more connection.
    pub(crate) fn arrived(&mut self, worker: u32, address: IpAddr, user_agent: &str, now: Moment) {
        self.registry.arrived(worker);
        let now_us = self.clock.wall_us(now);
        let index = self.index_for(worker, now_us);
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        entry.connections += 1;
        entry.last_seen_us = now_us;
        entry.address = Some(address);
        if *entry.user_agent != *user_agent {
            entry.user_agent = user_agent.into();
        }
    }

    /// The pool at which a worker mines from now on.
    pub(super) fn mines_at(&mut self, worker: u32, pool: PoolId) {
        if let Some(entry) = self.entry(worker) {
            entry.pool = pool;
        }
    }

    /// A connection on which the name was accepted ended.
    pub(super) fn left(&mut self, worker: u32, now: Moment) {
        self.registry.left(worker);
        let now_us = self.clock.wall_us(now);
        if let Some(entry) = self.entry(worker) {
            entry.connections = entry.connections.saturating_sub(1);
            entry.last_seen_us = now_us;
        }
    }

    /// A share ended. Tells whether the worker's rejects became a burst by it.
    #[inline]
    pub(crate) fn share(&mut self, share: &ClosedShare, now: Moment) -> Option<Burst> {
        let now_us = self.clock.wall_us(now);
        let accepted = share.outcome == Outcome::Accepted;
        let difficulty = credited(share.difficulty);
        if accepted {
            self.fleet.credit(share.pool, difficulty, now_us);
        }
        let index = self.index_of(share.worker);
        let entry = self.entries.get_mut(index)?;
        entry.shares.add(share);
        if accepted {
            entry.hashrate.credit(difficulty, now_us);
        }
        entry.difficulty = difficulty;
        entry.pool = share.pool;
        // NaN, where it was not checked, is never the greater one.
        entry.best_difficulty = entry.best_difficulty.max(share.share_difficulty);
        entry.last_seen_us = now_us;
        entry.last_share_us = now_us;
        self.watches.get_mut(index)?.share(share.outcome, share.class, now)
    }

    /// Copies what was asked for. Takes no memory, and never waits for the reader.
    pub(crate) fn answer(&self, question: Question) {
        let Question { index, from, room: mut workers, pools_room: mut pools, reply, .. } = question;
        self.fleet.copy_into(&mut pools);
        workers.clear();
        let rest = self.entries.get(from..).unwrap_or_default();
        let count = rest.len().min(workers.capacity()).min(PIECE_COUNT_MAX);
        workers.extend(rest.iter().take(count).cloned());
        // A reader that waits no more does not want it.
        let _ = reply.try_send(Answer { index, workers, has_more: count < rest.len(), pools });
    }

    #[inline]
    fn entry(&mut self, worker: u32) -> Option<&mut WorkerFigures> {
        let index = self.index_of(worker);
        self.entries.get_mut(index)
    }

    #[inline]
    fn index_of(&self, worker: u32) -> usize {
        let index = self.index_of.get(worker as usize).copied().unwrap_or(NONE);
        if index == NONE { OTHERS as usize } else { index as usize }
    }

    /// The entry of a worker, made if there is none and room for it.
    fn index_for(&mut self, worker: u32, now_us: u64) -> u32 {
        let key = worker as usize;
        if self.index_of.len() <= key {
            self.index_of.resize(key + 1, NONE);
        }
        if let Some(&index) = self.index_of.get(key).filter(|&&index| index != NONE) {
            return index;
        }
        let index = if self.entries.len() <= self.count_max {
            self.entries.push(WorkerFigures::new(worker, now_us));
            self.watches.push(Watch::default());
            self.entries.len() as u32 - 1
        } else {
            self.take_over(worker, now_us).unwrap_or(OTHERS)
        };
        if let Some(place) = self.index_of.get_mut(key) {
            *place = index;
        }
        index
    }

    /// The entry of a worker that is not connected, made one of this worker; `None` if the ones looked at are all in use.
    fn take_over(&mut self, worker: u32, now_us: u64) -> Option<u32> {
        let (others, rest) = self.entries.split_first_mut()?;
        for _ in 0..LOOKS_MAX.min(rest.len()) {
            self.hand = (self.hand + 1) % rest.len();
            let entry = rest.get_mut(self.hand)?;
            if entry.connections > 0 {
                continue;
            }
            let left = std::mem::replace(entry, WorkerFigures::new(worker, now_us));
            others.shares.merge(&left.shares);
            others.hashrate.merge(&left.hashrate, now_us);
            others.last_share_us = others.last_share_us.max(left.last_share_us);
            *self.index_of.get_mut(left.worker as usize)? = NONE;
            let index = self.hand + 1;
            *self.watches.get_mut(index)? = Watch::default();
            return Some(index as u32);
        }
        None
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;

    use adit_protocol::event::ReasonKey;
    use adit_protocol::job::JobKey;
    use adit_protocol::verdict::RejectClass;
    use crossbeam::channel;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn workers(count_max: usize) -> Workers {
        Workers::new(Clock::start(), Registry::new(Arc::default()), count_max)
    }

    /// A share of difficulty 1,000.
    pub(crate) fn share(worker: u32, outcome: Outcome, class: Option<RejectClass>) -> ClosedShare {
        ClosedShare {
            pool: adit_protocol::pool::PoolId(1),
            worker,
            job: JobKey(1),
            difficulty: 1_000.0,
            share_difficulty: f64::NAN,
            outcome,
            class,
            code: 0,
            reason: ReasonKey::default(),
            submitted: Moment(0),
            block_candidate: false,
        }
    }

    fn ask(workers: &Workers, from: usize, room: usize) -> Answer {
        let (reply, answer) = channel::bounded(1);
        workers.answer(Question {
            index: 0,
            asked_at: Moment(0),
            from,
            room: Vec::with_capacity(room),
            pools_room: Vec::with_capacity(1),
            reply,
        });
        answer.try_recv().unwrap()
    }

    #[test]
    fn each_share_is_counted_once_under_its_worker() {
        let mut workers = workers(10);
        workers.arrived(7, HERE, "rig/1", Moment(0));
        for (outcome, class) in [
            (Outcome::Accepted, None),
            (Outcome::Accepted, None),
            (Outcome::Rejected, Some(RejectClass::Stale)),
            (Outcome::RefusedHere, Some(RejectClass::Duplicate)),
            (Outcome::Unanswered, None),
        ] {
            workers.share(&share(7, outcome, class), Moment(5));
        }
        workers.share(&share(99, Outcome::Accepted, None), Moment(6));
        let answer = ask(&workers, 0, 10);
        let (others, rig) = (&answer.workers[0], &answer.workers[1]);
        assert_eq!(
            (others.worker, others.shares.accepted),
            (NO_WORKER, 1),
            "no name was accepted under this key"
        );
        assert_eq!((rig.worker, rig.connections, &*rig.user_agent, rig.address), (7, 1, "rig/1", Some(HERE)));
        assert_eq!((rig.shares.accepted, rig.shares.unanswered), (2, 1));
        assert_eq!(rig.shares.rejected[class_index(Some(RejectClass::Stale))], 1);
        assert_eq!(rig.shares.refused_here[class_index(Some(RejectClass::Duplicate))], 1);
        assert!((rig.shares.difficulty_accepted - 2_000.0).abs() < 1e-9);
        assert!((answer.pools[0].1.difficulty_accepted - 3_000.0).abs() < 1e-9);
        assert!(rig.best_difficulty.abs() < 1e-9, "none was checked");
        workers.left(7, Moment(9));
        let rig = &ask(&workers, 1, 1).workers[0];
        assert_eq!((rig.connections, rig.shares.accepted), (0, 2), "its figures stay");
    }

    #[test]
    fn workers_beyond_the_bound_are_counted_together() {
        let mut workers = workers(3);
        for worker in 1..=5 {
            workers.arrived(worker, HERE, "", Moment(0));
            workers.share(&share(worker, Outcome::Accepted, None), Moment(1));
        }
        let answer = ask(&workers, 0, 100);
        let seen: Vec<_> = answer.workers.iter().map(|entry| (entry.worker, entry.shares.accepted)).collect();
        assert_eq!(seen, [(NO_WORKER, 2), (1, 1), (2, 1), (3, 1)]);
        assert_eq!(answer.workers[0].connections, 2);
        workers.left(5, Moment(2));
        assert_eq!(ask(&workers, 0, 1).workers[0].connections, 1);
        // One that was counted with the others stays there, even if there is an entry to be had.
        workers.left(1, Moment(3));
        workers.arrived(4, HERE, "", Moment(4));
        let answer = ask(&workers, 0, 100);
        assert_eq!((answer.workers[0].connections, answer.workers[1].worker), (2, 1));
        workers.left(4, Moment(5));
        workers.left(4, Moment(6));
        assert_eq!(ask(&workers, 0, 1).workers[0].connections, 0);
    }

    #[test]
    fn where_all_entries_are_taken_a_worker_takes_that_of_one_that_is_gone() {
        let mut workers = workers(3);
        for worker in 1..=3 {
            workers.arrived(worker, HERE, "old/1", Moment(0));
            workers.share(&share(worker, Outcome::Accepted, None), Moment(1));
        }
        workers.left(2, Moment(2));
        workers.arrived(7, HERE, "new/1", Moment(3));
        workers.share(&share(7, Outcome::Accepted, None), Moment(4));
        let sums = |workers: &Workers| -> Vec<_> {
            let answer = ask(workers, 0, 100);
            answer
                .workers
                .iter()
                .map(|entry| (entry.worker, entry.connections, entry.shares.accepted))
                .collect()
        };
        assert_eq!(sums(&workers), [(NO_WORKER, 0, 1), (1, 1, 1), (7, 1, 1), (3, 1, 1)], "no share is lost");
        assert_eq!(&*ask(&workers, 2, 1).workers[0].user_agent, "new/1");
        // A late verdict for the one that is gone, and its return.
        workers.share(&share(2, Outcome::Unanswered, None), Moment(5));
        workers.left(3, Moment(6));
        workers.arrived(2, HERE, "old/1", Moment(7));
        assert_eq!(sums(&workers), [(NO_WORKER, 0, 2), (1, 1, 1), (7, 1, 1), (2, 1, 0)]);
        assert_eq!(ask(&workers, 0, 1).workers[0].shares.unanswered, 1);
    }

    #[test]
    fn a_question_is_answered_by_a_piece_and_without_an_allocation() {
        const COUNT: u32 = 3_000;
        let mut workers = workers(WORKERS_COUNT_MAX);
        (1..=COUNT).for_each(|worker| workers.arrived(worker, HERE, "rig/1", Moment(0)));
        let (mut from, mut seen) = (0, Vec::new());
        loop {
            let (reply, answer) = channel::bounded(1);
            let question = Question {
                index: 0,
                asked_at: Moment(0),
                from,
                room: Vec::with_capacity(2 * PIECE_COUNT_MAX),
                pools_room: Vec::with_capacity(1),
                reply,
            };
            let allocations = allocation_counter::measure(|| workers.answer(question));
            assert_eq!(allocations.count_total, 0);
            let answer = answer.try_recv().unwrap();
            assert!(answer.workers.len() <= PIECE_COUNT_MAX, "no turn copies more");
            from += answer.workers.len();
            seen.extend(answer.workers.into_iter().map(|entry| entry.worker));
            if !answer.has_more {
                break;
            }
        }
        assert_eq!(seen, (0..=COUNT).collect::<Vec<_>>());
        assert!(ask(&workers, from, 5).workers.is_empty());
    }

    #[test]
    fn a_reader_that_is_gone_is_not_waited_for() {
        let workers = workers(1);
        let ask = |reply| {
            let (room, pools_room) = (Vec::new(), Vec::new());
            workers.answer(Question { index: 0, asked_at: Moment(0), from: 0, room, pools_room, reply });
        };
        let (reply, _) = channel::bounded(0);
        ask(reply);
        let (reply, answer) = channel::bounded(0);
        ask(reply);
        assert!(answer.try_recv().is_err());
    }

    #[test]
    fn shares_allocate_nothing() {
        let mut workers = workers(10);
        workers.arrived(1, HERE, "", Moment(0));
        // A pool's first share makes room for the pool.
        workers.share(&share(1, Outcome::Accepted, None), Moment(0));
        let allocations = allocation_counter::measure(|| {
            for n in 0..1_000 {
                workers.share(&share(n % 3, Outcome::Accepted, None), Moment(u64::from(n) << 20));
            }
        });
        assert_eq!(allocations.count_total, 0);
    }
}
