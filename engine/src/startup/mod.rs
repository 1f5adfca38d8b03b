//! What is asked of the machine before the first miner is let in.
//!
//! A proxy that starts and then cannot serve is worse than one that says at once what is missing: io_uring
//! ([`io_uring`]), descriptors and locked memory ([`limits`]).

pub mod io_uring;
pub mod limits;

use rustix::process::{Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use crate::settings::{GroupSettings, Settings};
use io_uring::IoUringProblem;
use limits::{Judgement, Limit, Needs, Resource, TooLow};

/// Why Adit does not start here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StartupError {
    /// No io_uring.
    #[error(transparent)]
    IoUring(#[from] IoUringProblem),
    /// Fewer descriptors than `limits.connections_max` asks for.
    #[error("limits.connections_max = {connections_max}: {limit}{}", or_lower(*possible))]
    Descriptors {
        /// As configured.
        connections_max: usize,
        /// What the descriptors would allow.
        possible: usize,
        /// The limit and how to raise it.
        limit: TooLow,
    },
    /// Not enough locked memory.
    #[error(transparent)]
    LockedMemory(TooLow),
    /// The system refuses what its own limits allow.
    #[error("a limit of this process cannot be raised: {0}")]
    Raise(rustix::io::Errno),
}

/// All that stands in the way, at once; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct StartupErrors(pub Vec<StartupError>);

/// Spare connections that a shard keeps at most: for pools of a group that share its miners, for each as many.
fn spares_count(settings: &Settings) -> usize {
    let of = |group: &GroupSettings| {
        let pools = settings.pools.iter().filter(|pool| pool.group == group.name).count();
        pools * usize::from(group.warm_standby)
    };
    settings.groups.iter().map(of).sum()
}

/// Checks this machine against `settings`, and raises the soft limits that have to be.
///
/// Where nobody chose `limits.connections_max` (`is_max_chosen`), a low descriptor limit lowers it, and the returned
/// lines say so; where somebody did, it is a promise, and the start fails.
pub fn check(settings: &mut Settings, is_max_chosen: bool) -> Result<Vec<String>, StartupErrors> {
    let needs = Needs {
        connections_max: settings.limits.connections_max,
        shards_count: settings.shards.map_or_else(cores_count, std::num::NonZeroUsize::get),
        listeners_count: settings.listeners.len(),
        spares_count: spares_count(settings),
        may_move: settings.pools.len() > 1,
    };
    let mut errors = Vec::new();
    let mut notes = Vec::new();
    errors.extend(io_uring::judge(io_uring::evidence()).err().map(StartupError::IoUring));
    match ensure(Resource::Descriptors, needs.descriptors_at_most()) {
        Ok(None) => {}
        Ok(Some(limit)) => {
            let connections_max = needs.connections_max;
            let possible = needs.connections_within(limit.hard);
            let lowered = needs.moving_within(limit.hard);
            let are_too_few = if is_max_chosen { possible < connections_max } else { lowered == 0 };
            if are_too_few {
                let limit = TooLow { needed: needs.descriptors(), ..limit };
                errors.push(StartupError::Descriptors { connections_max, possible, limit });
            } else {
                errors.extend(ensure(Resource::Descriptors, limit.hard).err());
                notes.push(if is_max_chosen {
                    format!("not all miners can move to another pool at the same time: {limit}")
                } else {
                    lower_connections_max(settings, lowered);
                    format!("limits.connections_max is {lowered} instead of {connections_max}: {limit}")
                });
            }
        }
        Err(error) => errors.push(error),
    }
    match ensure(Resource::LockedMemory, needs.locked_bytes()) {
        Ok(None) => {}
        Ok(Some(limit)) => errors.push(StartupError::LockedMemory(limit)),
        Err(error) => errors.push(error),
    }
    if errors.is_empty() { Ok(notes) } else { Err(StartupErrors(errors)) }
}

/// The other way out, where there is one: no proxy serves zero connections.
fn or_lower(possible: usize) -> String {
    if possible == 0 { String::new() } else { format!("; or lower limits.connections_max to {possible}") }
}

/// Cores that this process may use.
fn cores_count() -> usize {
    rustix::thread::sched_getaffinity(None).map_or(1, |cores| (cores.count() as usize).max(1))
}

fn lower_connections_max(settings: &mut Settings, connections_max: usize) {
    let limits = &mut settings.limits;
    limits.connections_max = connections_max;
    limits.connections_per_address_max = limits.connections_per_address_max.min(connections_max);
}

/// Makes sure that the process's soft limit is at least `needed`, or says that the hard limit stands in the way.
fn ensure(resource: Resource, needed: u64) -> Result<Option<TooLow>, StartupError> {
    let of_system = match resource {
        Resource::Descriptors => rustix::process::Resource::Nofile,
        Resource::LockedMemory => rustix::process::Resource::Memlock,
    };
    let Rlimit { current, maximum } = getrlimit(of_system);
    match limits::judge(resource, Limit { soft: current, hard: maximum }, needed) {
        Judgement::Enough => Ok(None),
        Judgement::Raise(soft) => {
            setrlimit(of_system, Rlimit { current: Some(soft), maximum }).map_err(StartupError::Raise)?;
            Ok(None)
        }
        Judgement::TooLow(limit) => Ok(Some(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::PoolSettings;

    fn settings(connections_max: usize) -> Settings {
        let mut settings = Settings::with_pool(PoolSettings::transparent("pool.example", 3333));
        settings.shards = std::num::NonZeroUsize::new(1);
        settings.limits.connections_max = connections_max;
        settings.limits.connections_per_address_max = connections_max;
        settings
    }

    /// More pairs than a kernel has descriptors (`fs.nr_open` is at most 2^31).
    const TOO_MANY: usize = 1 << 33;

    fn is_unlimited() -> bool {
        getrlimit(rustix::process::Resource::Nofile).maximum.is_none()
    }

    #[test]
    fn a_chosen_number_of_connections_that_cannot_be_kept_stops_the_start() {
        if is_unlimited() {
            return; // Linux has no unlimited descriptors; only an emulation could say so.
        }
        let errors = check(&mut settings(TOO_MANY), true).expect_err("no machine has so many").0;
        let found = errors.iter().find_map(|error| match error {
            StartupError::Descriptors { connections_max, possible, .. } => {
                Some((*connections_max, *possible))
            }
            _ => None,
        });
        let Some((connections_max, possible)) = found else { panic!("{errors:?}") };
        assert_eq!(connections_max, TOO_MANY);
        assert!(possible < TOO_MANY);
    }

    #[test]
    fn nobody_is_told_to_allow_no_connections() {
        let limit = TooLow { resource: Resource::Descriptors, needed: 20_322, hard: 100 };
        let told =
            |possible| StartupError::Descriptors { connections_max: 10_000, possible, limit }.to_string();
        assert!(told(0).ends_with(&limit.to_string()), "{}", told(0));
        assert!(told(39).ends_with("; or lower limits.connections_max to 39"), "{}", told(39));
    }

    #[test]
    fn a_default_number_of_connections_is_lowered_to_what_is_possible() {
        if is_unlimited() {
            return;
        }
        let mut settings = settings(TOO_MANY);
        let notes = match check(&mut settings, false) {
            Ok(notes) => notes,
            // Where the tests run under a tiny limit, or without io_uring, that is what is told.
            Err(errors) => return assert!(!errors.0.is_empty()),
        };
        assert!(settings.limits.connections_max < TOO_MANY);
        assert_eq!(settings.limits.connections_per_address_max, settings.limits.connections_max);
        assert!(notes[0].contains("LimitNOFILE="), "{notes:?}");
        let soft = getrlimit(rustix::process::Resource::Nofile).current;
        let needs = Needs {
            connections_max: settings.limits.connections_max,
            shards_count: 1,
            listeners_count: settings.listeners.len(),
            spares_count: 0,
            may_move: false,
        };
        assert!(soft.is_none_or(|soft| soft >= needs.descriptors()), "the soft limit was raised: {soft:?}");
    }
}
