//! Whether what was to hold does: one line for each bound that a comparison has figures for.
//!
//! A figure holds where its median keeps the bound, and by its spread where only its best round does: then this many rounds
//! cannot tell it from the bound. Nothing is said of fewer than [`ROUNDS_MIN`] rounds, nor where haproxy, or what else stood
//! still, differed too much from itself in the same figure.

use std::fmt;

use super::summary::{Comparison, NULL_OFF_MAX, Spread, ratio, shards_cpu_us, text};
use super::{LoadSamples, Proxy};
use crate::lean::miners::LeanReport;

/// Rounds for a verdict.
pub const ROUNDS_MIN: usize = 5;
/// As [`NULL_OFF_MAX`], for a 99th percentile, which rests on few moments of a window.
const NULL_OFF_P99_MAX: f64 = 0.25;
/// CPU per round trip over haproxy's: the load, the bound with everything on, and the one of the shards alone.
const CPU: [(&str, usize, f64, Option<f64>); 3] =
    [("closed", 100, 1.00, Some(0.92)), ("closed", 1_000, 0.90, Some(0.85)), ("open", 500, 1.00, None)];
/// Memory of an idle pair, and what a crowd that stopped to read may cost the others' p99.
const KIB_PER_PAIR_MAX: f64 = 4.0;
const STALLED_P99_MAX: f64 = 1.2;

/// What can be said of a bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The median keeps it.
    Holds,
    /// The best round keeps it.
    HoldsBySpread,
    /// No round does.
    Fails,
    /// What should have been the same differed this much.
    TooNoisy(f64),
    /// So few rounds show nothing.
    TooFewRounds(usize),
}

/// A bound, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// What is bounded, and at which load.
    pub what: String,
    /// What was measured, as told.
    figure: String,
    /// The bound, as told.
    bound: String,
    /// Whether it holds.
    pub verdict: Verdict,
}

impl Comparison {
    /// All bounds that there are figures for.
    pub fn judge(&self) -> Vec<Judged> {
        let mut judged: Vec<Judged> =
            self.loads.iter().flat_map(|samples| self.judge_load(samples)).flatten().collect();
        judged.extend(self.judge_stalled());
        judged
    }

    /// Whether a bound was missed, and not for noise.
    pub fn has_failed(&self) -> bool {
        self.judge().iter().any(|judged| judged.verdict == Verdict::Fails)
    }

    fn judge_load(&self, samples: &LoadSamples) -> Vec<Option<Judged>> {
        let (kind, connections) = (samples.load.kind(), samples.load.connections);
        let at = format!("{connections} {kind}");
        match kind {
            "closed" | "open" => {
                let mut judged = self.judge_cpu(samples, &at);
                judged.push(self.judge_latency(samples, &at, "p50", |report| report.p50_us as f64));
                judged.push(self.judge_latency(samples, &at, "p99", |report| report.p99_us as f64));
                judged
            }
            "many" => {
                let spread = samples.spread(Proxy::Adit, false, |report| report.rss_kib_per_idle_pair);
                let what = format!("KiB per idle pair at {at}");
                vec![spread.map(|spread| self.judged(what, spread, 2, KIB_PER_PAIR_MAX, None))]
            }
            "fan-out" => {
                let p50 = |report: &LeanReport| report.p50_us as f64;
                let spread = samples.in_rounds((Proxy::Adit, false), p50, p50, ratio);
                let off = samples.null_off(p50).filter(|&off| off > NULL_OFF_MAX);
                let what = format!("time until the last miner has a job over haproxy's, at {at}");
                vec![spread.map(|spread| self.judged(what, spread, 3, 1.0, off))]
            }
            _ => Vec::new(),
        }
    }

    fn judge_cpu(&self, samples: &LoadSamples, at: &str) -> Vec<Option<Judged>> {
        let load = (samples.load.kind(), samples.load.connections);
        let bounds = CPU.into_iter().find(|&(kind, connections, ..)| (kind, connections) == load);
        let Some((_, _, all_max, shards_max)) = bounds else { return Vec::new() };
        let off = samples.null_off(LeanReport::cpu_us_per_round_trip).filter(|&off| off > NULL_OFF_MAX);
        let one = |what: &str, figure: fn(&LeanReport) -> f64, bound| {
            let spread = samples.cpu_ratio(Proxy::Adit, false, figure)?;
            Some(self.judged(
                format!("CPU per round trip over haproxy's, {what}, at {at}"),
                spread,
                3,
                bound,
                off,
            ))
        };
        vec![
            one("everything on", LeanReport::cpu_us_per_round_trip, all_max),
            shards_max.and_then(|bound| one("shards alone", shards_cpu_us, bound)),
        ]
    }

    /// What Adit adds to a direct connection, less what haproxy adds in the same round.
    fn judge_latency(
        &self,
        samples: &LoadSamples,
        at: &str,
        name: &str,
        figure: fn(&LeanReport) -> f64,
    ) -> Option<Judged> {
        let more = |adit: f64, haproxy: f64| Some(adit - haproxy);
        let spread = samples.in_rounds((Proxy::Adit, false), figure, figure, more)?;
        let off_max = if name == "p99" { NULL_OFF_P99_MAX } else { NULL_OFF_MAX };
        let off = samples.null_off(figure).filter(|&off| off > off_max);
        let median = |proxy| samples.spread(proxy, false, figure).map(|spread| spread.median);
        let added = median(Proxy::Direct).and_then(|direct| {
            let [haproxy, adit] = [Proxy::Haproxy, Proxy::Adit].map(median);
            Some(format!(" (added: haproxy {:.0}, Adit {:.0})", haproxy? - direct, adit? - direct))
        });
        let what = format!("µs of {name} more than haproxy's, at {at}{}", added.unwrap_or_default());
        Some(self.judged(what, spread, 0, 0.0, off))
    }

    /// The p99 of those who read beside others who do not, over their p99 beside others who do.
    fn judge_stalled(&self) -> Option<Judged> {
        let of = |kind| self.loads.iter().find(|samples| samples.load.kind() == kind);
        let (idle, deaf) = (of("half-idle")?, of("half-deaf")?);
        let in_round = |sample: &super::Sample| {
            let beside = idle.of(Proxy::Adit, false).find(|other| other.round == sample.round)?;
            ratio(sample.report.p99_us as f64, beside.report.p99_us as f64)
        };
        let spread = Spread::of(deaf.of(Proxy::Adit, false).filter_map(in_round).collect())?;
        // The same load in round after round should give the same.
        let beside = idle.spread(Proxy::Adit, false, |report| report.p99_us as f64)?;
        let from_middle =
            |sample: &super::Sample| Some((ratio(sample.report.p99_us as f64, beside.median)? - 1.0).abs());
        let off = Spread::of(idle.of(Proxy::Adit, false).filter_map(from_middle).collect());
        let off = off.map(|off| off.median).filter(|&off| off > NULL_OFF_P99_MAX);
        let what = "p99 beside 2,000 that stopped to read over p99 beside 2,000 that read".to_owned();
        Some(self.judged(what, spread, 3, STALLED_P99_MAX, off))
    }

    fn judged(&self, what: String, spread: Spread, digits: usize, bound: f64, off: Option<f64>) -> Judged {
        let verdict = match off {
            _ if self.rounds < ROUNDS_MIN => Verdict::TooFewRounds(self.rounds),
            Some(off) => Verdict::TooNoisy(off),
            None if spread.median <= bound => Verdict::Holds,
            None if spread.low <= bound => Verdict::HoldsBySpread,
            None => Verdict::Fails,
        };
        Judged { what, figure: text(Some(spread), digits), bound: format!("{bound:.2}"), verdict }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => out.write_str("holds"),
            Self::HoldsBySpread => out.write_str("holds by its spread"),
            Self::Fails => out.write_str("DOES NOT HOLD"),
            Self::TooNoisy(off) => write!(out, "too noisy, the same was {:.0} % from itself", off * 100.0),
            Self::TooFewRounds(rounds) => write!(out, "no verdict by {rounds} rounds, it takes {ROUNDS_MIN}"),
        }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, figure, bound, verdict } = self;
        write!(out, "{verdict}: {what}: {figure}, at most {bound}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Load, Sample};

    /// Rounds with the p99 (and, a tenth of it, the CPU) of haproxy, of haproxy again, and of Adit, at each load.
    fn comparison(loads: &[(Load, &[[u64; 3]])]) -> Comparison {
        let report = |p99_us: u64| LeanReport {
            round_trips: 1,
            cpu_ns: [("adit-shard-0".into(), p99_us * 100)].into(),
            p50_us: p99_us,
            p99_us,
            rss_kib_per_idle_pair: 3.0,
            ..LeanReport::default()
        };
        let samples = |&(load, rounds): &(Load, &[[u64; 3]])| {
            let of_round = |(round, &[first, again, adit]): (usize, &[u64; 3])| {
                [(Proxy::Haproxy, false, first), (Proxy::Haproxy, true, again), (Proxy::Adit, false, adit)]
                    .map(|(proxy, is_null, p99)| Sample { round, proxy, is_null, report: report(p99) })
            };
            LoadSamples { load, samples: rounds.iter().enumerate().flat_map(of_round).collect() }
        };
        let rounds = loads.first().map_or(0, |(_, rounds)| rounds.len());
        Comparison { loads: loads.iter().map(samples).collect(), rounds }
    }

    fn load(kind: &str, connections: usize) -> Load {
        let is_it = |load: &Load| load.kind() == kind && load.connections == connections;
        Load::ALL.into_iter().find(is_it).unwrap()
    }

    fn verdicts(kind: &str, connections: usize, rounds: &[[u64; 3]]) -> Vec<Verdict> {
        let comparison = comparison(&[(load(kind, connections), rounds)]);
        comparison.judge().into_iter().map(|judged| judged.verdict).collect()
    }

    #[test]
    fn a_bound_holds_by_its_median_or_by_its_best_round() {
        use Verdict::{Fails, Holds, HoldsBySpread};
        // 0.96, 0.96, 0.98, 0.99, 1.01 of haproxy: all on holds at 100, the shards alone do not.
        let rounds = [[100, 101, 96], [100, 101, 96], [100, 99, 98], [100, 99, 99], [100, 101, 101]];
        assert_eq!(verdicts("closed", 100, &rounds), [Holds, Fails, Holds, Holds]);
        let rounds = [[100, 101, 99], [100, 101, 102], [100, 99, 103], [100, 99, 103], [100, 101, 103]];
        assert_eq!(verdicts("open", 500, &rounds), [HoldsBySpread; 3]);
    }

    #[test]
    fn nothing_is_said_of_few_rounds_or_a_noisy_machine() {
        let few = verdicts("closed", 1_000, &[[100, 100, 50]; 4]);
        assert_eq!(few, [Verdict::TooFewRounds(4); 4]);
        // 15 % off: too much for CPU and the median, not for a 99th percentile.
        let noisy = verdicts("closed", 1_000, &[[100, 115, 50]; 5]);
        assert!(matches!(
            noisy[..],
            [Verdict::TooNoisy(_), Verdict::TooNoisy(_), Verdict::TooNoisy(_), Verdict::Holds]
        ));
        assert!(
            !comparison(&[(load("closed", 1_000), &[[100, 115, 500]; 5])]).has_failed() || noisy.len() == 4
        );
    }

    #[test]
    fn a_stalled_crowd_is_held_against_one_that_reads_in_the_same_round() {
        let judged = |deaf: u64| {
            let idle: &[[u64; 3]] = &[[100, 100, 100]; 5];
            let deaf: &[[u64; 3]] = &[[900, 900, deaf]; 5];
            let halves = [(load("half-idle", 4_000), idle), (load("half-deaf", 4_000), deaf)];
            comparison(&halves).judge().pop().unwrap()
        };
        assert_eq!(judged(119).verdict, Verdict::Holds);
        assert_eq!(judged(130).verdict, Verdict::Fails);
        assert!(judged(130).to_string().starts_with("DOES NOT HOLD: p99 beside"), "{}", judged(130));
    }

    #[test]
    fn memory_and_fan_out_have_their_bounds() {
        assert_eq!(verdicts("many", 9_000, &[[1, 1, 1]; 5]), [Verdict::Holds]);
        assert_eq!(verdicts("fan-out", 5_000, &[[100, 100, 130]; 5]), [Verdict::Fails]);
    }
}
