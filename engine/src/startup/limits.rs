//! Whether the process may have the descriptors and the locked memory that its settings ask for.
//!
//! [`judge`] is a pure function; [`super::check`] asks the system and raises what may be raised.

use std::fmt;

use thiserror::Error;

/// Descriptors of a pair: the miner's and the pool's.
const DESCRIPTORS_PER_PAIR: u64 = 2;
/// The same while the miner moves: the next pool's as well, and for a while the last one's.
const DESCRIPTORS_PER_MOVING_PAIR: u64 = 3;
/// Descriptors of a shard beside its listeners: its ring, the three of its glommio executor, event and timer descriptors.
const DESCRIPTORS_PER_SHARD: u64 = 32;
/// Descriptors of the rest of the process: log, ledger, admin connections, name look-ups, signals; and pairs that are
/// being closed while new ones are taken.
const DESCRIPTORS_BASE: u64 = 256;
/// glommio refuses to start below.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;
/// glommio registers its smallest buffer (64 KiB) in each of its three rings.
const MEMLOCK_BYTES_PER_SHARD: u64 = 3 * 64 * 1024;

/// A limit of the process as the kernel has it. `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What counts now.
    pub soft: Option<u64>,
    /// How far the process may raise it itself.
    pub hard: Option<u64>,
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Open files and sockets.
    Descriptors,
    /// Memory that is not swapped, in bytes.
    LockedMemory,
}

/// What settings ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Pairs at the same time.
    pub connections_max: usize,
    /// Threads that serve them.
    pub shards_count: usize,
    /// Addresses each of them listens on.
    pub listeners_count: usize,
    /// Spare connections that each of them keeps at most.
    pub spares_count: usize,
    /// Whether there are several pools for miners to move between.
    pub may_move: bool,
}

impl Needs {
    /// Open files and sockets while every miner mines, and none moves: below that, miners are refused.
    pub fn descriptors(&self) -> u64 {
        (self.connections_max as u64).saturating_mul(DESCRIPTORS_PER_PAIR).saturating_add(self.overhead())
    }

    /// The same at the worst: all miners move at the same time.
    pub fn descriptors_at_most(&self) -> u64 {
        (self.connections_max as u64).saturating_mul(self.per_pair_at_most()).saturating_add(self.overhead())
    }

    /// Locked memory, in bytes.
    pub fn locked_bytes(&self) -> u64 {
        (self.shards_count as u64).saturating_mul(MEMLOCK_BYTES_PER_SHARD).max(MEMLOCK_BYTES_MIN)
    }

    /// The most connections that so many descriptors allow, if few move at the same time.
    pub fn connections_within(&self, descriptors: u64) -> usize {
        (descriptors.saturating_sub(self.overhead()) / DESCRIPTORS_PER_PAIR) as usize
    }

    /// The same if all may.
    pub fn moving_within(&self, descriptors: u64) -> usize {
        (descriptors.saturating_sub(self.overhead()) / self.per_pair_at_most()) as usize
    }

    fn per_pair_at_most(&self) -> u64 {
        if self.may_move { DESCRIPTORS_PER_MOVING_PAIR } else { DESCRIPTORS_PER_PAIR }
    }

    fn overhead(&self) -> u64 {
        let per_shard = DESCRIPTORS_PER_SHARD
            .saturating_add(self.listeners_count as u64)
            .saturating_add(self.spares_count as u64);
        (self.shards_count as u64).saturating_mul(per_shard).saturating_add(DESCRIPTORS_BASE)
    }
}

/// What to do about a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing: it is enough.
    Enough,
    /// Raise the soft limit to this.
    Raise(u64),
    /// The hard limit is too low.
    TooLow(TooLow),
}

/// A limit that somebody else has to raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub struct TooLow {
    /// Which.
    pub resource: Resource,
    /// What is needed.
    pub needed: u64,
    /// What the process may have at most.
    pub hard: u64,
}

impl fmt::Display for TooLow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { resource, needed, hard } = self;
        match resource {
            Resource::Descriptors => write!(
                f,
                "{needed} file descriptors are needed, and this process may have {hard}. Set LimitNOFILE={needed} in its \
                 systemd unit, `ulimit -Hn {needed}` in the root shell that starts it, or --ulimit nofile={needed} for docker run"
            ),
            Resource::LockedMemory => {
                let kib = needed.div_ceil(1024);
                write!(
                    f,
                    "{kib} KiB of locked memory are needed, and this process may have {} KiB. Set LimitMEMLOCK={needed} in \
                     its systemd unit, `ulimit -Hl {kib}` in the root shell that starts it, or --ulimit memlock={needed} \
                     for docker run",
                    hard / 1024
                )
            }
        }
    }
}

/// Compares a limit with what is needed.
pub fn judge(resource: Resource, limit: Limit, needed: u64) -> Judgement {
    match (limit.soft, limit.hard) {
        (None, _) => Judgement::Enough,
        (Some(soft), _) if soft >= needed => Judgement::Enough,
        (_, Some(hard)) if hard < needed => Judgement::TooLow(TooLow { resource, needed, hard }),
        _ => Judgement::Raise(needed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: Needs = Needs {
        connections_max: 10_000,
        shards_count: 8,
        listeners_count: 2,
        spares_count: 0,
        may_move: false,
    };

    #[test]
    fn a_pair_takes_two_descriptors_and_everything_else_comes_on_top() {
        assert_eq!(NEEDS.descriptors(), 2 * 10_000 + 8 * (32 + 2) + 256);
        assert_eq!(NEEDS.connections_within(NEEDS.descriptors()), 10_000);
        assert_eq!(NEEDS.connections_within(NEEDS.descriptors() - 1), 9_999);
        assert_eq!(NEEDS.connections_within(100), 0);
        assert_eq!(Needs { spares_count: 5, ..NEEDS }.descriptors(), NEEDS.descriptors() + 8 * 5);
        assert_eq!(NEEDS.descriptors_at_most(), NEEDS.descriptors(), "one pool");
        let several = Needs { may_move: true, ..NEEDS };
        assert_eq!(several.descriptors(), NEEDS.descriptors());
        assert_eq!(several.descriptors_at_most(), NEEDS.descriptors() + 10_000);
        assert_eq!(several.moving_within(several.descriptors_at_most()), 10_000);
        assert_eq!(several.moving_within(several.descriptors_at_most() - 1), 9_999);
        let absurd = Needs {
            connections_max: usize::MAX,
            shards_count: usize::MAX,
            listeners_count: usize::MAX,
            spares_count: usize::MAX,
            may_move: true,
        };
        assert_eq!((absurd.descriptors(), absurd.descriptors_at_most()), (u64::MAX, u64::MAX));
    }

    #[test]
    fn locked_memory_grows_with_shards_from_what_glommio_wants_at_least() {
        let of = |shards_count| Needs { shards_count, ..NEEDS }.locked_bytes();
        assert_eq!((of(1), of(2), of(64)), (512 * 1024, 512 * 1024, 64 * 192 * 1024));
    }

    #[test]
    fn a_soft_limit_is_raised_as_far_as_the_hard_one_allows() {
        let too_low = |hard| Judgement::TooLow(TooLow { resource: Resource::Descriptors, needed: 100, hard });
        for (soft, hard, expected) in [
            (Some(100), Some(100), Judgement::Enough),
            (None, None, Judgement::Enough),
            (Some(99), Some(100), Judgement::Raise(100)),
            (Some(1), None, Judgement::Raise(100)),
            (Some(99), Some(99), too_low(99)),
            (Some(1), Some(2), too_low(2)),
        ] {
            assert_eq!(
                judge(Resource::Descriptors, Limit { soft, hard }, 100),
                expected,
                "{soft:?} {hard:?}"
            );
        }
    }

    #[test]
    fn a_limit_that_is_too_low_comes_with_the_exact_lines_to_set() {
        let descriptors = TooLow { resource: Resource::Descriptors, needed: 20_528, hard: 4_096 }.to_string();
        for line in ["may have 4096", "LimitNOFILE=20528", "ulimit -Hn 20528", "--ulimit nofile=20528"] {
            assert!(descriptors.contains(line), "{descriptors}");
        }
        let memory = TooLow { resource: Resource::LockedMemory, needed: 1_572_864, hard: 65_536 }.to_string();
        for line in [
            "1536 KiB",
            "may have 64 KiB",
            "LimitMEMLOCK=1572864",
            "ulimit -Hl 1536",
            "--ulimit memlock=1572864",
        ] {
            assert!(memory.contains(line), "{memory}");
        }
    }
}
