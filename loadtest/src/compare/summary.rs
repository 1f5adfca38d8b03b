//! What a comparison says: medians and spread, ratios within rounds, and whether the machine was quiet enough.

use std::fmt;

use serde_json::{Value, json};

use super::{Load, LoadSamples, Proxy, Sample};
use crate::lean::miners::{LeanReport, Pace, Quiet};

/// How far from one the ratio of haproxy to itself may be, in the middle of all rounds, for a conclusion.
pub const NULL_OFF_MAX: f64 = 0.10;
/// What the names of Adit's serving threads start with.
const SHARD_THREAD: &str = "adit-shard";

/// CPU time of Adit's serving threads for each round trip, in µs.
pub(super) fn shards_cpu_us(report: &LeanReport) -> f64 {
    report.cpu_us_of(|thread| thread.starts_with(SHARD_THREAD))
}

/// All figures of a comparison.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Load by load.
    pub loads: Vec<LoadSamples>,
    /// Rounds of each.
    pub rounds: usize,
}

/// The middle of some figures, and their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

impl Comparison {
    /// The loads at which haproxy differed too much from itself, each with how much.
    pub fn too_noisy(&self) -> Vec<(Load, f64)> {
        let noisy = |samples: &LoadSamples| {
            let off = samples.null_off(LeanReport::cpu_us_per_round_trip)?;
            (off > NULL_OFF_MAX).then_some((samples.load, off))
        };
        self.loads.iter().filter_map(noisy).collect()
    }

    /// One row per proxy and load.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self.loads.iter().flat_map(LoadSamples::json_rows).collect();
        json!({ "rows": rows })
    }
}

impl LoadSamples {
    fn proxies(&self) -> Vec<(Proxy, bool)> {
        let mut proxies: Vec<_> = self.samples.iter().map(|sample| (sample.proxy, sample.is_null)).collect();
        proxies.sort_unstable();
        proxies.dedup();
        proxies
    }

    pub(super) fn of(&self, proxy: Proxy, is_null: bool) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.proxy == proxy && sample.is_null == is_null)
    }

    pub(super) fn spread(
        &self,
        proxy: Proxy,
        is_null: bool,
        figure: impl Fn(&LeanReport) -> f64,
    ) -> Option<Spread> {
        Spread::of(self.of(proxy, is_null).map(|sample| figure(&sample.report)).collect())
    }

    /// What `hold` makes of a figure of one proxy and a figure of haproxy in the same round.
    pub(super) fn in_rounds(
        &self,
        (proxy, is_null): (Proxy, bool),
        figure: impl Fn(&LeanReport) -> f64,
        base: impl Fn(&LeanReport) -> f64,
        hold: impl Fn(f64, f64) -> Option<f64>,
    ) -> Option<Spread> {
        let in_round = |sample: &Sample| {
            let haproxy = self.of(Proxy::Haproxy, false).find(|other| other.round == sample.round)?;
            hold(figure(&sample.report), base(&haproxy.report))
        };
        Spread::of(self.of(proxy, is_null).filter_map(in_round).collect())
    }

    /// A figure of one proxy over haproxy's CPU per round trip in the same round.
    pub(super) fn cpu_ratio(
        &self,
        proxy: Proxy,
        is_null: bool,
        figure: impl Fn(&LeanReport) -> f64,
    ) -> Option<Spread> {
        self.in_rounds((proxy, is_null), figure, LeanReport::cpu_us_per_round_trip, ratio)
    }

    /// How far haproxy is from itself, in the middle of all rounds.
    pub(super) fn null_off(&self, figure: impl Fn(&LeanReport) -> f64) -> Option<f64> {
        let off = |again: f64, first: f64| Some((ratio(again, first)? - 1.0).abs());
        Some(self.in_rounds((Proxy::Haproxy, true), &figure, &figure, off)?.median)
    }

    fn json_rows(&self) -> Vec<Value> {
        let row = |(proxy, _): (Proxy, bool)| {
            let median = |figure: &dyn Fn(&LeanReport) -> f64| {
                self.spread(proxy, false, figure).map_or(0.0, |spread| rounded(spread.median))
            };
            let ratio = self.cpu_ratio(proxy, false, LeanReport::cpu_us_per_round_trip);
            let ratio = ratio.filter(|_| proxy != Proxy::Direct).map(|ratio| rounded(ratio.median));
            json!({
                "proxy": proxy.name(),
                "load": self.load.kind(),
                "connections": self.load.connections,
                "cpu_us_per_round_trip": median(&LeanReport::cpu_us_per_round_trip),
                "ratio_to_haproxy": ratio,
                "p50_us": median(&|report| report.p50_us as f64),
                "p99_us": median(&|report| report.p99_us as f64),
                "rss_kib_per_idle_pair": median(&|report| report.rss_kib_per_idle_pair),
            })
        };
        self.proxies().into_iter().filter(|&(_, is_null)| !is_null).map(row).collect()
    }

    fn write_proxy(&self, out: &mut fmt::Formatter<'_>, proxy: Proxy, is_null: bool) -> fmt::Result {
        let median = |figure: &dyn Fn(&LeanReport) -> f64| {
            self.spread(proxy, is_null, figure).map_or(0.0, |spread| spread.median)
        };
        let name = if is_null { "haproxy again" } else { proxy.name() };
        let is_proxy = proxy != Proxy::Direct;
        let cpu = self.spread(proxy, is_null, LeanReport::cpu_us_per_round_trip).filter(|_| is_proxy);
        let ratio = self.cpu_ratio(proxy, is_null, LeanReport::cpu_us_per_round_trip).filter(|_| is_proxy);
        let per_core = cpu.map_or(0.0, |cpu| 1e6 / cpu.median.max(f64::MIN_POSITIVE));
        writeln!(
            out,
            "  {name:<14}{:>25}{:>21}{:>9.0}{per_core:>14.0}{:>9.0}{:>9.0}{:>9.0}{:>10.2}{:>9.0}{:>9.1}{:>9.1}",
            text(cpu, 2),
            text(ratio, 3),
            median(&LeanReport::round_trips_per_second),
            median(&|report| report.p50_us as f64),
            median(&|report| report.p99_us as f64),
            median(&|report| report.p999_us as f64),
            median(&|report| report.rss_kib_per_idle_pair),
            median(&|report| report.logins_per_second),
            median(&|report| report.cpu_us_per_login),
            median(&|report| report.rss_growth_kib as f64 / 1024.0),
        )?;
        if proxy == Proxy::Adit {
            let cpu = self.spread(proxy, false, shards_cpu_us);
            let ratio = self.cpu_ratio(proxy, false, shards_cpu_us);
            writeln!(out, "  {:<14}{:>25}{:>21}", "  shards alone", text(cpu, 2), text(ratio, 3))?;
        }
        self.write_kernel(out, proxy, is_null)
    }

    /// What the kernel counted, where it was asked to.
    fn write_kernel(&self, out: &mut fmt::Formatter<'_>, proxy: Proxy, is_null: bool) -> fmt::Result {
        let Some(kernel) = self.of(proxy, is_null).find_map(|sample| sample.report.kernel.as_ref()) else {
            return Ok(());
        };
        write!(out, "  {:<14}", "  per trip")?;
        for name in kernel.keys() {
            let per_trip = |report: &LeanReport| {
                let count = report.kernel.as_ref().and_then(|kernel| kernel.get(name)).copied();
                count.unwrap_or_default() as f64 / report.round_trips.max(1) as f64
            };
            write!(out, "  {name} {}", text(self.spread(proxy, is_null, per_trip), 2))?;
        }
        writeln!(out)
    }
}

/// One over the other, where there is something to hold against.
pub(super) fn ratio(figure: f64, base: f64) -> Option<f64> {
    (base > 0.0).then(|| figure / base)
}

impl fmt::Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for samples in &self.loads {
            let load = samples.load;
            let connections = load.connections;
            match (load.quiet, load.pace) {
                (Quiet::FanOut, _) => {
                    writeln!(out, "{connections} connections, jobs on their way to all of them")?;
                }
                (_, Pace::Closed) => writeln!(out, "{connections} connections, closed loop")?,
                (Quiet::Nobody, Pace::PerSecond(rate)) => {
                    writeln!(out, "{connections} connections, {rate}/s")?;
                }
                (Quiet::Reading(count), Pace::PerSecond(rate)) => {
                    writeln!(out, "{connections} connections, {rate}/s; {count} only read")?;
                }
                (Quiet::Deaf(count), Pace::PerSecond(rate)) => {
                    writeln!(out, "{connections} connections, {rate}/s; {count} stop to read")?;
                }
            }
            let trips =
                if load.quiet == Quiet::FanOut { "CPU µs per delivery" } else { "CPU µs per round trip" };
            writeln!(
                out,
                "  {:<14}{:>25}{:>21}{:>9}{:>14}{:>9}{:>9}{:>9}{:>10}{:>9}{:>9}{:>9}",
                "",
                trips,
                "ratio to haproxy",
                "trips/s",
                "trips/s/core",
                "p50 µs",
                "p99 µs",
                "p99.9 µs",
                "KiB/pair",
                "logins/s",
                "µs/login",
                "load MiB"
            )?;
            for (proxy, is_null) in samples.proxies() {
                samples.write_proxy(out, proxy, is_null)?;
            }
            writeln!(out)?;
        }
        writeln!(out, "Medians of the rounds (lowest–highest); ratios within a round.")?;
        for judged in self.judge() {
            writeln!(out, "{judged}")?;
        }
        for (load, off) in self.too_noisy() {
            let (connections, kind, off) = (load.connections, load.kind(), off * 100.0);
            writeln!(
                out,
                "No conclusion at {connections} {kind}: haproxy differed from itself by {off:.0} %."
            )?;
        }
        Ok(())
    }
}

impl Spread {
    pub(super) fn of(mut figures: Vec<f64>) -> Option<Self> {
        figures.sort_unstable_by(f64::total_cmp);
        let (&low, &high) = (figures.first()?, figures.last()?);
        let middle = figures.len() / 2;
        let upper = *figures.get(middle)?;
        let lower = if figures.len().is_multiple_of(2) { *figures.get(middle - 1)? } else { upper };
        Some(Self { low, median: f64::midpoint(lower, upper), high })
    }
}

pub(super) fn text(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or("-".into(), |Spread { low, median, high }| {
        format!("{median:.digits$} ({low:.digits$}–{high:.digits$})")
    })
}

/// Three digits behind the point: more would be noise.
fn rounded(figure: f64) -> f64 {
    (figure * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(cpu_us: u64) -> LeanReport {
        LeanReport {
            round_trips: 10,
            window_s: 1.0,
            cpu_ns: [("adit-shard-0".into(), cpu_us * 9_000), ("other".into(), cpu_us * 1_000)].into(),
            p50_us: 40,
            p99_us: 90,
            rss_kib_per_idle_pair: 2.5,
            ..LeanReport::default()
        }
    }

    /// Rounds with the CPU of haproxy, of haproxy again, and of Adit.
    fn comparison(rounds: &[[u64; 3]]) -> Comparison {
        let mut samples = Vec::new();
        for (round, [first, again, adit]) in rounds.iter().enumerate() {
            let runs =
                [(Proxy::Haproxy, false, first), (Proxy::Haproxy, true, again), (Proxy::Adit, false, adit)];
            for (proxy, is_null, &cpu_us) in runs {
                samples.push(Sample { round, proxy, is_null, report: report(cpu_us) });
            }
        }
        let load = Load { connections: 100, pace: Pace::Closed, quiet: Quiet::Nobody };
        Comparison { loads: vec![LoadSamples { load, samples }], rounds: rounds.len() }
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        // The machine got slower from round to round; the ratios do not care.
        let comparison = comparison(&[[10, 10, 8], [20, 21, 18], [40, 40, 36]]);
        assert_eq!(comparison.too_noisy(), []);
        let expected = json!({
            "proxy": "adit", "load": "closed", "connections": 100, "cpu_us_per_round_trip": 18.0,
            "ratio_to_haproxy": 0.9, "p50_us": 40.0, "p99_us": 90.0, "rss_kib_per_idle_pair": 2.5,
        });
        assert_eq!(comparison.json()["rows"][1], expected);
        assert_eq!(comparison.json()["rows"].as_array().map(Vec::len), Some(2));
        let text = comparison.to_string();
        assert!(text.contains("0.900 (0.800–0.900)") && text.contains("0.810 (0.720–0.810)"), "{text}");
    }

    #[test]
    fn a_noisy_machine_allows_no_conclusion() {
        let comparison = comparison(&[[10, 12, 8], [10, 8, 9], [10, 10, 9]]);
        assert_eq!(comparison.too_noisy().len(), 1);
        assert!(comparison.to_string().contains("No conclusion at 100 closed"), "{comparison}");
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]), Some(Spread { low: 1.0, median: 2.5, high: 4.0 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }
}
