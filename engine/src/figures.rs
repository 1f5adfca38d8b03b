//! The reading ends of everything that shards publish, to be asked from any thread without stopping one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use adit_store::health::Health;
use hdrhistogram::Histogram;

use crate::admission::Admission;
use crate::counters::{Counters, Snapshot};
use crate::latency::{self, Latency};
use crate::resolver::PoolAddresses;
use crate::settings::Settings;
use crate::shard::Mail;
use crate::shard::mailbox::Mailbox;

/// What one shard publishes.
#[derive(Clone, Debug)]
pub struct ShardFigures {
    /// The core it is bound to, if it is.
    pub core: Option<usize>,
    /// Its counters.
    pub counters: Counters,
    /// Its latencies.
    pub latency: Latency,
    pub(crate) mailbox: Weak<Mailbox<Mail>>,
}

impl ShardFigures {
    /// Whether its thread serves. It holds one of the two ends of its mailbox as long as it does.
    pub fn is_alive(&self) -> bool {
        self.mailbox.strong_count() > 1
    }
}

/// What all of them publish. Copies read the same.
#[derive(Clone, Debug)]
pub struct Figures {
    /// By index.
    pub shards: Vec<ShardFigures>,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// Who is connected.
    pub admission: Admission,
    /// Where the pool is, and whether it could be reached.
    pub addresses: PoolAddresses,
    /// How the ledger is, if one is kept.
    pub ledger: Option<Arc<Health>>,
    /// Whether Adit was told to stop.
    pub stopping: Arc<AtomicBool>,
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

    /// Whether Adit was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
