//! What a second shard is worth: round trips per second through one shard and through two, in turns.
//!
//! The shards have a core each, and whoever loads them must not be what holds them back: two pools at one address and two
//! processes of miners, each on a core of its own. A round in which a shard still had time says nothing, and where there
//! are fewer cores than that, nothing is measured.

use std::fmt;
use std::net::SocketAddr;

use super::measure::{MeasureError, miners_command, report_of, start_pool, usable_cores};
use super::proxy::{Proxy, Running};
use super::summary::{Spread, ratio, shards_cpu_us, text};
use super::verdict::ROUNDS_MIN;
use super::{Load, Plan, WorkDirectory};
use crate::lean::miners::LeanReport;

/// Processes of pools, and of miners.
const PEERS_OF_A_KIND: usize = 2;
const SHARDS: usize = 2;
/// A core for each shard and each peer.
pub const SHARDS_CORES_MIN: usize = SHARDS + 2 * PEERS_OF_A_KIND;
/// Round trips through two shards over those through one.
const RATIO_MIN: f64 = 1.7;
/// A shard that used less of its core was not loaded.
const LOADED_MIN: f64 = 0.9;
const CONNECTIONS: usize = 1_000;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Shards {
    /// Round by round, with one shard and with two.
    rounds: Vec<[Carried; 2]>,
    /// Cores had to be shared.
    is_crowded: bool,
}

/// What some shards carried.
#[derive(Clone, Copy, Debug, Default)]
struct Carried {
    trips_per_second: f64,
    /// How much of their cores they used, from 0 to 1.
    used: f64,
}

impl Plan {
    /// Measures one shard beside two. Where there are too few cores, only if `crowded`, and without a conclusion.
    pub fn shards(
        &self,
        crowded: bool,
        mut tell: impl FnMut(usize, usize, &str),
    ) -> Result<Shards, MeasureError> {
        let cores = usable_cores()?;
        let is_crowded = is_crowd(cores.len(), crowded)?;
        // In a crowd they take turns.
        let core = |nth: usize| cores[nth % cores.len()];
        let mut shards = Shards { rounds: Vec::new(), is_crowded };
        let directory = WorkDirectory::make()?;
        for round in 0..self.rounds {
            let mut carried = [Carried::default(); 2];
            for turn in 0..SHARDS {
                let count = 1 + (turn + round) % SHARDS;
                let about = format!("round {} of {}: {count} of {SHARDS} shards", round + 1, self.rounds);
                tell(round * SHARDS + turn, self.rounds * SHARDS, &about);
                carried[count - 1] = self.carried(count, &core, &directory)?;
            }
            shards.rounds.push(carried);
        }
        Ok(shards)
    }

    fn carried(
        &self,
        shards: usize,
        core: &impl Fn(usize) -> usize,
        directory: &WorkDirectory,
    ) -> Result<Carried, MeasureError> {
        let masks: Vec<String> = (0..shards).map(|nth| core(nth).to_string()).collect();
        let plan = Self { adit_mask: masks.join(","), ..self.clone() };
        let load = Load::closed(CONNECTIONS / PEERS_OF_A_KIND);
        let first = start_pool(&plan, load, core(SHARDS), &["--share-port", "--listen", "127.0.0.1:0"])?;
        let address: SocketAddr = first.address();
        let at = address.to_string();
        let _second = start_pool(&plan, load, core(SHARDS + 1), &["--share-port", "--listen", &at])?;
        let running = Running::start_adit(&plan, shards, address, &directory.0)?;
        let mut miners = Vec::new();
        for nth in 0..PEERS_OF_A_KIND {
            let core = core(SHARDS + PEERS_OF_A_KIND + nth);
            let mut command = miners_command(&plan, load, core, running.address);
            command.args(running.pid().iter().flat_map(|pid| ["--proxy-pid".to_owned(), pid.to_string()]));
            miners.push(command.spawn()?);
        }
        let mut reports = Vec::new();
        for miners in miners {
            reports.push(report_of(Proxy::Adit, &miners.wait_with_output()?)?);
        }
        Ok(Carried::by(shards, &reports))
    }
}

/// Whether so many cores have to be shared; an error unless they may.
fn is_crowd(found: usize, may_be: bool) -> Result<bool, MeasureError> {
    let what = "two shards beside one, each as loaded as it can be,";
    match found < SHARDS_CORES_MIN {
        true if !may_be => Err(MeasureError::TooFewCores { what, needed: SHARDS_CORES_MIN, found }),
        is_crowd => Ok(is_crowd),
    }
}

impl Carried {
    /// By shards that these miners loaded at the same time.
    fn by(shards: usize, reports: &[LeanReport]) -> Self {
        // Each of them saw the use of all the shards.
        let used = |report: &LeanReport| {
            shards_cpu_us(report) * report.round_trips as f64 / 1e6 / report.window_s.max(f64::MIN_POSITIVE)
        };
        let most = reports.iter().map(used).fold(0.0, f64::max);
        Self {
            trips_per_second: reports.iter().map(LeanReport::round_trips_per_second).sum(),
            used: most / shards.max(1) as f64,
        }
    }
}

impl Shards {
    /// Why nothing can be concluded; `None` if something can.
    fn doubt(&self) -> Option<String> {
        if self.is_crowded {
            return Some(format!("it takes {SHARDS_CORES_MIN} cores, and they had to share fewer"));
        }
        if self.rounds.len() < ROUNDS_MIN {
            return Some(format!("{} rounds, it takes {ROUNDS_MIN}", self.rounds.len()));
        }
        let used = Spread::of(self.rounds.iter().flatten().map(|carried| carried.used).collect())?;
        (used.low < LOADED_MIN).then(|| {
            format!("a shard used {:.0} % of its core: its peers could not load it", used.low * 100.0)
        })
    }

    /// Whether the bound holds; `None` if nothing can be concluded.
    pub fn holds(&self) -> Option<bool> {
        self.doubt().is_none().then(|| self.ratio().is_some_and(|ratio| ratio.high >= RATIO_MIN))
    }

    fn ratio(&self) -> Option<Spread> {
        let of_round = |[one, two]: &[Carried; 2]| ratio(two.trips_per_second, one.trips_per_second);
        Spread::of(self.rounds.iter().filter_map(of_round).collect())
    }
}

impl fmt::Display for Shards {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, name) in ["one shard", "two shards"].into_iter().enumerate() {
            let trips = Spread::of(self.rounds.iter().map(|round| round[nth].trips_per_second).collect());
            writeln!(out, "  {name:<12}{:>28} round trips/s", text(trips, 0))?;
        }
        writeln!(out, "  ratio       {:>28}", text(self.ratio(), 3))?;
        match (self.doubt(), self.holds()) {
            (Some(doubt), _) => write!(out, "No conclusion: {doubt}."),
            (None, Some(true)) => write!(out, "holds: at least {RATIO_MIN} times as much through two shards"),
            (None, _) => write!(out, "DOES NOT HOLD: at least {RATIO_MIN} times as much through two shards"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(rounds: usize, ratio: f64, used: f64, is_crowded: bool) -> Shards {
        let carried = |trips_per_second| Carried { trips_per_second, used };
        Shards { rounds: vec![[carried(100.0), carried(100.0 * ratio)]; rounds], is_crowded }
    }

    #[test]
    fn two_shards_are_judged_where_they_were_loaded_often_enough_on_cores_of_their_own() {
        assert_eq!(shards(5, 1.8, 0.99, false).holds(), Some(true));
        assert_eq!(shards(5, 1.6, 0.99, false).holds(), Some(false));
        for doubtful in [shards(4, 1.8, 0.99, false), shards(5, 1.8, 0.5, false), shards(5, 1.8, 0.99, true)]
        {
            assert_eq!(doubtful.holds(), None);
            assert!(doubtful.to_string().contains("No conclusion"), "{doubtful}");
        }
    }

    #[test]
    fn nothing_is_measured_with_fewer_cores_than_shards_and_peers_unless_they_may_share() {
        let refused = is_crowd(2, false).unwrap_err().to_string();
        assert!(refused.contains("takes 6 cores, and there are 2 here"), "{refused}");
        assert!(is_crowd(2, true).unwrap());
        assert!(!is_crowd(SHARDS_CORES_MIN, false).unwrap());
    }

    #[test]
    fn what_two_processes_of_miners_saw_is_added_up() {
        let report = |round_trips| LeanReport {
            round_trips,
            window_s: 2.0,
            cpu_ns: [("adit-shard-0".into(), 1_900_000_000), ("adit-shard-1".into(), 1_900_000_000)].into(),
            ..LeanReport::default()
        };
        let carried = Carried::by(2, &[report(1_000), report(3_000)]);
        assert!((carried.trips_per_second - 2_000.0).abs() < 1e-6 && (carried.used - 0.95).abs() < 1e-6);
    }
}
