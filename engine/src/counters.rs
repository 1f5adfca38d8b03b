//! What a shard counts. One writer per shard, any number of readers, no locked instruction.
//!
//! Every counter is declared here with its name and meaning, so that whoever shows them needs no list of his own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adit_protocol::event::{CloseReason, Oddity, Outcome};
use adit_protocol::verdict::RejectClass;

macro_rules! counters {
    ($($variant:ident $name:literal $help:literal)*) => {
        /// A counter without further label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter {
            $(#[doc = $help] $variant,)*
        }

        impl Counter {
            /// All of them, each at the index of its own number.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Its name in metrics, without prefix and suffix.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it counts.
            pub fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)* }
            }
        }
    };
}

counters! {
    Accepted "connections_accepted" "Miners' connections accepted."
    RefusedTotal "connections_refused_total" "Miners' connections refused: as many as allowed are open."
    RefusedAddress "connections_refused_address" "Miners' connections refused: as many as allowed are open from their address."
    RefusedBanned "connections_refused_banned" "Miners' connections refused: an operator banned their network."
    RefusedNoPool "connections_refused_no_pool" "Miners' connections refused: no pool is usable."
    AcceptExhausted "accept_exhausted" "Accepts that failed for want of descriptors or memory."
    AcceptFailed "accept_failed" "Accepts that failed for another reason."
    Dials "dials" "Attempts to connect to a pool's address."
    DialsFailed "dials_failed" "Attempts to connect to a pool's address that failed or took too long."
    BytesFromMiners "bytes_from_miners" "Bytes received from miners."
    BytesFromPools "bytes_from_pools" "Bytes received from pools."
    BytesToMiners "bytes_to_miners" "Bytes given to sockets toward miners, or waiting for them."
    BytesToPools "bytes_to_pools" "Bytes given to sockets toward pools, or waiting for them."
    BuffersShort "receive_buffers_short" "Receives that waited because all provided buffers were in use."
    SendsShort "sends_short" "Sends that a peer's full window cut short."
    Pauses "receives_paused" "Receives paused because the other side does not read."
    Subscribed "subscribed" "Subscriptions that the pool answered."
    Authorised "authorised" "Names that the pool accepted."
    AuthorizeRefused "authorize_refused" "Names that the pool refused."
    PlacedLive "placed_live" "Miners switched live to the pool that their name belongs to."
    Jobs "jobs" "Jobs passed to miners."
    BlockCandidates "block_candidates" "Shares good enough for a block, as far as checked here."
    Panics "panics" "Bugs contained to one session."
}

macro_rules! labels {
    ($type:ident, $all:ident, $label:ident, $doc:literal: $($variant:ident $text:literal)*) => {
        #[doc = $doc]
        pub const $all: &[$type] = &[$($type::$variant,)*];

        /// Its text in metrics and logs.
        pub fn $label(value: $type) -> &'static str {
            match value { $($type::$variant => $text,)* }
        }
    };
}

labels! { CloseReason, CLOSE_REASONS, close_reason_label, "All reasons, each at the index of its own number.":
    MinerClosed "miner_closed"
    MinerBroken "miner_broken"
    MinerNotReading "miner_not_reading"
    FirstRequestTimeout "first_request_timeout"
    SubscribeTimeout "subscribe_timeout"
    AuthorizeTimeout "authorize_timeout"
    MinerIdle "miner_idle"
    MinerLineTooLong "miner_line_too_long"
    MinerBadLine "miner_bad_line"
    TlsOnPlainPort "tls_on_plain_port"
    HttpOnPlainPort "http_on_plain_port"
    NotStratum "not_stratum"
    ForeignCoin "foreign_coin"
    PoolClosed "pool_closed"
    PoolBroken "pool_broken"
    PoolNotReading "pool_not_reading"
    PoolUnreachable "pool_unreachable"
    PoolConnectTimeout "pool_connect_timeout"
    PoolSilent "pool_silent"
    PoolLineTooLong "pool_line_too_long"
    PoolGarbage "pool_garbage"
    PoolGaveNoJob "pool_gave_no_job"
    HeldTooMuch "held_too_much"
    NoPool "no_pool"
    Stopping "stopping"
    Panicked "panicked"
    Dismissed "dismissed"
    Moved "moved"
    Misplaced "misplaced"
}

labels! { Outcome, OUTCOMES, outcome_label, "All outcomes, each at the index of its own number.":
    Accepted "accepted"
    Rejected "rejected"
    RefusedHere "refused_here"
    Unanswered "unanswered"
}

labels! { RejectClass, REJECT_CLASSES, reject_class_label, "All classes, each at the index of its own number.":
    Stale "stale"
    Duplicate "duplicate"
    LowDifficulty "low_difficulty"
    Unauthorized "unauthorized"
    NotSubscribed "not_subscribed"
    Time "time"
    Version "version"
    Other "other"
}

labels! { Oddity, ODDITIES, oddity_label, "All oddities, each at the index of its own number.":
    StrayResponse "stray_response"
    LateAccept "late_accept"
    LateReject "late_reject"
    LateAnswer "late_answer"
    PoolText "pool_text"
    ReconnectHeldBack "reconnect_held_back"
    RefusedInternal "refused_internal"
    AnsweredForPool "answered_for_pool"
    PendingFull "pending_full"
    RefusedMalformed "refused_malformed"
    RefusedNames "refused_names"
    UnreadableJob "unreadable_job"
    RefusedMisplaced "refused_misplaced"
    PoolMalformed "pool_malformed"
}

const CLOSED_AT: usize = Counter::ALL.len();
const SHARES_AT: usize = CLOSED_AT + CLOSE_REASONS.len();
const REJECTED_AT: usize = SHARES_AT + OUTCOMES.len();
const REFUSED_AT: usize = REJECTED_AT + REJECT_CLASSES.len();
const ODD_AT: usize = REFUSED_AT + REJECT_CLASSES.len();
const COUNT: usize = ODD_AT + ODDITIES.len();

/// One shard's counters, on cache lines of their own.
#[derive(Debug)]
#[repr(align(128))]
struct Cells([AtomicU64; COUNT]);

/// The reading end: copies are cheap and may go to any thread.
#[derive(Clone, Debug)]
pub struct Counters(Arc<Cells>);

/// The writing end. There is one, and it stays with its shard.
#[derive(Debug)]
pub struct CounterWriter(Arc<Cells>);

/// Fresh counters of one shard, all zero.
pub fn counters() -> (CounterWriter, Counters) {
    let cells = Arc::new(Cells(std::array::from_fn(|_| AtomicU64::new(0))));
    (CounterWriter(cells.clone()), Counters(cells))
}

impl CounterWriter {
    /// Adds one.
    #[inline]
    pub fn count(&mut self, counter: Counter) {
        self.add_at(counter as usize, 1);
    }

    /// Adds `n`.
    #[inline]
    pub fn add(&mut self, counter: Counter, n: usize) {
        self.add_at(counter as usize, n as u64);
    }

    /// A session ended.
    pub fn closed(&mut self, reason: CloseReason) {
        self.add_at(CLOSED_AT + reason as usize, 1);
    }

    /// A share ended; `class` says what a refusal or rejection comes down to.
    #[inline]
    pub fn share(&mut self, outcome: Outcome, class: Option<RejectClass>) {
        self.add_at(SHARES_AT + outcome as usize, 1);
        if let (Some(start), Some(class)) = (classes_at(outcome), class) {
            self.add_at(start + class as usize, 1);
        }
    }

    /// Something odd happened.
    pub fn odd(&mut self, oddity: Oddity) {
        self.add_at(ODD_AT + oddity as usize, 1);
    }

    /// The only writer, so load and store need not be one instruction.
    #[inline]
    fn add_at(&mut self, index: usize, n: u64) {
        if let Some(cell) = self.0.0.get(index) {
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
        }
    }
}

/// Where the classes of an outcome stand, if it has any.
#[inline]
fn classes_at(outcome: Outcome) -> Option<usize> {
    match outcome {
        Outcome::Rejected => Some(REJECTED_AT),
        Outcome::RefusedHere => Some(REFUSED_AT),
        Outcome::Accepted | Outcome::Unanswered => None,
    }
}

impl Counters {
    /// The present values.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(std::array::from_fn(|n| self.0.0[n].load(Ordering::Relaxed)))
    }
}

/// Values of one moment, of one shard or summed over several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot([u64; COUNT]);

impl Default for Snapshot {
    fn default() -> Self {
        Self([0; COUNT])
    }
}

impl Snapshot {
    /// Adds another shard's values.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.wrapping_add(theirs);
        }
    }

    /// One counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.at(counter as usize)
    }

    /// Sessions that ended for `reason`.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.at(CLOSED_AT + reason as usize)
    }

    /// Sessions that ended.
    pub fn closed_total(&self) -> u64 {
        CLOSE_REASONS.iter().map(|&reason| self.closed(reason)).sum()
    }

    /// Sessions that have not ended.
    pub fn open(&self) -> u64 {
        self.get(Counter::Accepted).saturating_sub(self.closed_total())
    }

    /// Shares that ended so.
    pub fn shares(&self, outcome: Outcome) -> u64 {
        self.at(SHARES_AT + outcome as usize)
    }

    /// Shares rejected or refused here for reasons of this class; 0 for other outcomes.
    pub fn refused(&self, outcome: Outcome, class: RejectClass) -> u64 {
        classes_at(outcome).map_or(0, |start| self.at(start + class as usize))
    }

    /// How often this was odd.
    pub fn odd(&self, oddity: Oddity) -> u64 {
        self.at(ODD_AT + oddity as usize)
    }

    fn at(&self, index: usize) -> u64 {
        self.0.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_stands_at_its_own_number() {
        assert!(Counter::ALL.iter().enumerate().all(|(n, &counter)| counter as usize == n));
        assert!(CLOSE_REASONS.iter().enumerate().all(|(n, &reason)| reason as usize == n));
        assert!(OUTCOMES.iter().enumerate().all(|(n, &outcome)| outcome as usize == n));
        assert!(REJECT_CLASSES.iter().enumerate().all(|(n, &class)| class as usize == n));
        assert!(ODDITIES.iter().enumerate().all(|(n, &oddity)| oddity as usize == n));
    }

    #[test]
    fn a_snapshot_sums_over_shards() {
        let (mut first, first_read) = counters();
        let (mut second, second_read) = counters();
        first.count(Counter::Accepted);
        first.add(Counter::BytesToPools, 300);
        second.count(Counter::Accepted);
        second.closed(CloseReason::Panicked);
        second.share(Outcome::Unanswered, None);
        second.share(Outcome::Rejected, Some(RejectClass::Stale));
        second.odd(Oddity::UnreadableJob);
        let mut sum = first_read.snapshot();
        sum.merge(&second_read.snapshot());
        assert_eq!(sum.get(Counter::Accepted), 2);
        assert_eq!(sum.get(Counter::BytesToPools), 300);
        assert_eq!(sum.closed(CloseReason::Panicked), 1);
        assert_eq!((sum.closed_total(), sum.open()), (1, 1));
        assert_eq!(sum.shares(Outcome::Unanswered), 1);
        assert_eq!(sum.refused(Outcome::Rejected, RejectClass::Stale), 1);
        assert_eq!(sum.refused(Outcome::RefusedHere, RejectClass::Stale), 0);
        assert_eq!(sum.odd(Oddity::UnreadableJob), 1);
        assert_eq!(sum.0.iter().sum::<u64>(), 307);
    }
}
