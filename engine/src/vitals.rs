//! Signs of life of a shard, beside what it counts: when it last turned, whom it serves at which stage, how soon it
//! passes jobs on, takes its mail and looks at deadlines. One writer per shard, any number of readers, no locked instruction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use adit_admin::view::Latency;
use adit_protocol::moment::Moment;

use crate::buckets::{self, BucketWriter, Buckets};

/// How far a miner has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// It is connected.
    #[default]
    Connected,
    /// A pool answered its subscribe.
    Subscribed,
    /// A pool accepted a name of it.
    Authorised,
}

impl Stage {
    /// Every stage, each at the index of its own number.
    pub const ALL: [Self; 3] = [Self::Connected, Self::Subscribed, Self::Authorised];

    /// Its text in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Subscribed => "subscribed",
            Self::Authorised => "authorized",
        }
    }
}

/// On cache lines of their own, like the counters.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cells {
    turned_at: AtomicU64,
    thread: AtomicU64,
    stages: [AtomicU64; Stage::ALL.len()],
}

/// The reading end. Copies read the same.
#[derive(Clone, Debug)]
pub struct Vitals {
    cells: Arc<Cells>,
    job_forwarding: Buckets,
    mailbox: Buckets,
    timers: Buckets,
}

/// The writing end. There is one, and it stays with its shard.
#[derive(Debug)]
pub struct VitalsWriter {
    cells: Arc<Cells>,
    /// From a pool's job to the miners' sockets.
    pub job_forwarding: BucketWriter,
    /// From posting a message to its handling.
    pub mailbox: BucketWriter,
    /// From a deadline to when it was looked at.
    pub timers: BucketWriter,
}

/// Those of a shard that has not begun.
pub fn vitals() -> (VitalsWriter, Vitals) {
    let cells = Arc::<Cells>::default();
    let [(job_writer, job_forwarding), (mail_writer, mailbox), (timer_writer, timers)] =
        [(); 3].map(|()| buckets::buckets());
    let writer = VitalsWriter {
        cells: cells.clone(),
        job_forwarding: job_writer,
        mailbox: mail_writer,
        timers: timer_writer,
    };
    (writer, Vitals { cells, job_forwarding, mailbox, timers })
}

impl VitalsWriter {
    /// The shard begins, on the calling thread.
    pub fn begin(&mut self, now: Moment) {
        self.turned(now);
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        self.cells.thread.store(u64::from(thread.unsigned_abs()), Relaxed);
    }

    /// The shard turned.
    #[inline]
    pub fn turned(&mut self, now: Moment) {
        self.cells.turned_at.store(now.0, Relaxed);
    }

    /// A miner connected.
    pub fn arrived(&mut self) {
        self.add(Stage::Connected, 1);
    }

    /// A miner came as far as `to`; it never goes back.
    pub fn reached(&mut self, from: &mut Stage, to: Stage) {
        if to > *from {
            self.add(*from, u64::MAX);
            self.add(to, 1);
            *from = to;
        }
    }

    /// A miner left.
    pub fn left(&mut self, stage: Stage) {
        self.add(stage, u64::MAX);
    }

    /// The only writer, so load and store need not be one instruction.
    fn add(&mut self, stage: Stage, n: u64) {
        if let Some(cell) = self.cells.stages.get(stage as usize) {
            cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
        }
    }
}

impl Vitals {
    /// When the shard last turned. One that sleeps does not.
    pub fn turned_at(&self) -> Moment {
        Moment(self.cells.turned_at.load(Relaxed))
    }

    /// The kernel's number of its thread, 0 before it began.
    pub fn thread(&self) -> u64 {
        self.cells.thread.load(Relaxed)
    }

    /// Miners at each stage.
    pub fn stages(&self) -> [(Stage, u64); Stage::ALL.len()] {
        Stage::ALL.map(|stage| {
            let count = self.cells.stages.get(stage as usize).map_or(0, |cell| cell.load(Relaxed));
            // One that moves just now may be counted out before it is counted in.
            (stage, if count > u64::MAX / 2 { 0 } else { count })
        })
    }

    /// From a pool's job to the miners' sockets.
    pub fn job_forwarding(&self) -> Latency {
        self.job_forwarding.read()
    }

    /// From posting a message to its handling.
    pub fn mailbox(&self) -> Latency {
        self.mailbox.read()
    }

    /// From a deadline to when it was looked at.
    pub fn timers(&self) -> Latency {
        self.timers.read()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_miner_is_at_one_stage_and_never_goes_back() {
        let (mut writer, vitals) = vitals();
        let counts = |vitals: &Vitals| vitals.stages().map(|(_, count)| count);
        let mut stages = [Stage::default(); 3];
        for _ in &stages {
            writer.arrived();
        }
        assert_eq!(counts(&vitals), [3, 0, 0]);
        writer.reached(&mut stages[0], Stage::Subscribed);
        writer.reached(&mut stages[1], Stage::Authorised);
        writer.reached(&mut stages[1], Stage::Subscribed);
        writer.reached(&mut stages[0], Stage::Subscribed);
        assert_eq!(counts(&vitals), [1, 1, 1]);
        for stage in stages {
            writer.left(stage);
        }
        assert_eq!(counts(&vitals), [0, 0, 0]);
    }
}
