//! What is shown on a terminal, from what the admin side answers.

use std::fmt::{self, Display, Write};

use adit_admin::health::{Status, Verdict};
use adit_admin::view::{DrillPhase, DrillReport, Pool, PoolState, SplitPart, Stats};

/// Longest name of a pool that keeps its column.
const NAME_CHARS: usize = 16;

/// Everything that is shown.
#[derive(Debug)]
pub struct Page<'a> {
    /// Whether all is well.
    pub verdict: &'a Verdict,
    /// The whole at a glance.
    pub stats: &'a Stats,
    /// The pools.
    pub pools: &'a [Pool],
    /// The drill that is under way.
    pub drill: Option<&'a DrillReport>,
    /// Whether colours are wanted.
    pub has_colours: bool,
}

impl Page<'_> {
    fn coloured(&self, colour: Colour, text: &str) -> String {
        if self.has_colours { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
    }

    /// How long ago that was when the figures were taken.
    fn ago(&self, at_ms: u64) -> Time {
        Time(self.stats.at_ms.saturating_sub(at_ms) / 1_000)
    }

    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (colour, word) = match self.verdict.status {
            Status::Ok => (Colour::Green, "all well"),
            Status::Degraded => (Colour::Yellow, "degraded"),
            Status::Failing => (Colour::Red, "failing"),
        };
        let uptime = Time(self.stats.uptime_seconds);
        writeln!(f, "adit {}  {}  up {uptime}", self.stats.build.version, self.coloured(colour, word))?;
        self.verdict.reasons.iter().try_for_each(|reason| {
            let since =
                reason.since_ms.map_or_else(String::new, |since_ms| format!(" (for {})", self.ago(since_ms)));
            writeln!(f, "  {}{since}", reason.text)
        })
    }

    fn pool(&self, f: &mut fmt::Formatter<'_>, pool: &Pool) -> fmt::Result {
        let colour = match pool.state {
            PoolState::Up => Colour::Green,
            PoolState::Degraded | PoolState::HalfOpen | PoolState::Disabled | PoolState::Draining => {
                Colour::Yellow
            }
            PoolState::Down => Colour::Red,
        };
        // Padded before it is coloured: colours have no width.
        let state = self.coloured(colour, &format!("{:<9}", pool.state.label()));
        let accepted = percent(pool.shares.accepted, pool.shares.total());
        let verdicts = &pool.verdict_time;
        let p99 = if verdicts.count == 0 { "–".to_owned() } else { Micros(verdicts.p99_us).to_string() };
        write!(
            f,
            "pool {:<NAME_CHARS$} {state} {:>7} {:<11}  {:>12}  {accepted} accepted  p99 {p99}",
            pool.name,
            Count(pool.connections),
            if pool.connections == 1 { "connection" } else { "connections" },
            Hashes(pool.hashrate.m5)
        )?;
        if pool.standby > 0 {
            write!(f, "  {} stand ready", Count(pool.standby))?;
        }
        // Why something works is of no use to anybody.
        if pool.state != PoolState::Up && !pool.reason.is_empty() {
            write!(f, "  {}", pool.reason)?;
        }
        f.write_char('\n')?;
        let is_peer = |other: &Pool| (&other.group, other.priority) == (&pool.group, pool.priority);
        if self.pools.iter().filter(|other| is_peer(other)).count() > 1 {
            Self::split(f, pool)?;
        }
        Self::switches(f, pool)
    }

    /// Where the weights share miners out: what its own asks for, and what came of it.
    fn split(f: &mut fmt::Formatter<'_>, Pool { split, .. }: &Pool) -> fmt::Result {
        write!(f, "     {:NAME_CHARS$} wanted {}", "", part(split.wanted))?;
        if split.workers > 0 {
            let SplitPart { achieved, standard_error } = split.by_hashrate;
            write!(f, ", has {} ± {} of the hashrate", part(achieved), part(standard_error))?;
            let SplitPart { achieved, standard_error } = split.by_workers;
            write!(f, ", {} ± {} of the workers", part(achieved), part(standard_error))?;
        }
        f.write_char('\n')
    }

    /// How many miners were moved there without a reconnect, and what that took.
    fn switches(f: &mut fmt::Formatter<'_>, Pool { switch_time, .. }: &Pool) -> fmt::Result {
        if switch_time.count == 0 {
            return Ok(());
        }
        let (p50, p99) = (Micros(switch_time.p50_us), Micros(switch_time.p99_us));
        let switches = several(switch_time.count, "live switch", "live switches");
        writeln!(f, "     {:NAME_CHARS$} {switches} to it, p50 {p50}, p99 {p99}", "")
    }
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { shares, hashrate, process, verdict_time, .. } = self.stats;
        self.head(f)?;
        let bound = self.stats.limits.iter().find(|limit| limit.name == "connections");
        let of = bound.map(|bound| format!(" of {}", Count(bound.max))).unwrap_or_default();
        writeln!(
            f,
            "miners   {}{of} connected, {} online, {} known",
            Count(self.stats.connections),
            several(self.stats.workers_online, "worker", "workers"),
            Count(self.stats.workers_known)
        )?;
        writeln!(
            f,
            "hashrate {} (5 min)  {} (1 h)  {} (1 d)",
            Hashes(hashrate.m5),
            Hashes(hashrate.h1),
            Hashes(hashrate.d1)
        )?;
        writeln!(
            f,
            "shares   {} accepted ({}), {} rejected, {} refused here, {} unanswered",
            Count(shares.accepted),
            percent(shares.accepted, shares.total()),
            Count(shares.rejected.total()),
            Count(shares.refused_here.total()),
            Count(shares.unanswered)
        )?;
        let (p50, p99) = (Micros(verdict_time.p50_us), Micros(verdict_time.p99_us));
        writeln!(f, "verdicts p50 {p50}, p99 {p99}")?;
        self.pools.iter().try_for_each(|pool| self.pool(f, pool))?;
        if let Some(drill) = self.drill {
            writeln!(f, "drill    {}", Drill(drill))?;
        }
        if let Some(ledger) = &self.stats.ledger {
            writeln!(
                f,
                "ledger   {} rows, {} shares in gaps, {} ms behind",
                Count(ledger.rows),
                Count(ledger.gap_shares),
                Count(ledger.durable_lag_ms)
            )?;
        }
        writeln!(
            f,
            "machine  {} MiB, {:.0} s of CPU, {} of {} descriptors",
            Count(process.memory_bytes / 1024 / 1024),
            process.cpu_seconds,
            Count(process.descriptors),
            Count(process.descriptors_max)
        )
    }
}

#[derive(Clone, Copy)]
enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
}

/// How far a drill is.
struct Drill<'a>(&'a DrillReport);

impl Display for Drill<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DrillReport { phase, from, to, chosen, moved, returned, hold_seconds, .. } = self.0;
        let (chosen, moved, returned) = (Count(*chosen), Count(*moved), Count(*returned));
        write!(f, "{from} to {}: ", to.join(", "))?;
        match phase {
            DrillPhase::Leaving => write!(f, "{moved} of {chosen} miners are there"),
            DrillPhase::Away => write!(f, "{moved} miners are there for {hold_seconds} s"),
            DrillPhase::Returning => write!(f, "{returned} of {moved} miners are back"),
            DrillPhase::Over => write!(f, "over"),
        }
    }
}

/// A count with its thousands apart.
struct Count(u64);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (n, digit) in digits.chars().enumerate() {
            if n > 0 && (digits.len() - n).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// Hashes per second with three digits and a prefix.
struct Hashes(f64);

impl Display for Hashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rate = self.0;
        let mut prefixes = ["", "k", "M", "G", "T", "P", "E", "Z"].into_iter().peekable();
        while rate >= 999.5 && prefixes.len() > 1 {
            rate /= 1_000.0;
            prefixes.next();
        }
        let prefix = prefixes.next().unwrap_or_default();
        let is_whole = rate >= 99.95 || rate == 0.0;
        f.pad(&if is_whole { format!("{rate:.0} {prefix}H/s") } else { format!("{rate:.1} {prefix}H/s") })
    }
}

/// A duration in microseconds.
struct Micros(u64);

impl Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us @ 0..1_000 => write!(f, "{us} µs"),
            us @ 1_000..1_000_000 => write!(f, "{:.1} ms", us as f64 / 1e3),
            us => write!(f, "{:.1} s", us as f64 / 1e6),
        }
    }
}

/// A long duration in seconds, by its two largest units.
struct Time(u64);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0;
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3_600 => write!(f, "{minutes} min {} s", seconds % 60),
            3_600..86_400 => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// So many of something.
fn several(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", Count(count), if count == 1 { one } else { many })
}

/// A part of a whole, 0 to 1.
fn part(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.2} %", part as f64 * 100.0 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use adit_admin::health::Reason;
    use adit_admin::view::{Latency, LimitUse, Rates, ShareCounts, Split};

    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        let hashes =
            [0.0, 12.34, 999.4, 999.6, 123_456.0, 9.87e14, 1e25].map(|rate| Hashes(rate).to_string());
        assert_eq!(
            hashes,
            ["0 H/s", "12.3 H/s", "999 H/s", "1.0 kH/s", "123 kH/s", "987 TH/s", "10000 ZH/s"]
        );
        let counts = [0, 999, 1_000, 1_234_567].map(|count| Count(count).to_string());
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
        let times = [5, 65, 3_700, 90_000].map(|seconds| Time(seconds).to_string());
        assert_eq!(times, ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]);
        assert_eq!([900, 1_500, 2_000_000].map(|us| Micros(us).to_string()), ["900 µs", "1.5 ms", "2.0 s"]);
        assert_eq!((percent(1, 3), percent(0, 0)), ("33.33 %".to_owned(), "–".to_owned()));
    }

    #[test]
    fn a_page_says_what_is_wrong_and_has_colours_only_where_wanted() {
        let verdict = Verdict {
            status: Status::Degraded,
            reasons: vec![Reason { text: "pool b: refused".to_owned(), since_ms: Some(1_000) }],
        };
        let shares = ShareCounts { accepted: 99, unanswered: 1, ..ShareCounts::default() };
        let stats = Stats {
            at_ms: 66_000,
            connections: 1_234,
            limits: vec![LimitUse { name: "connections".to_owned(), used: 1_234, max: 10_000 }],
            shares: shares.clone(),
            ..Stats::default()
        };
        let pool = Pool {
            name: "north".to_owned(),
            state: PoolState::Up,
            shares,
            hashrate: Rates { m5: 5e15, ..Rates::default() },
            ..Pool::default()
        };
        let drill = DrillReport {
            from: "north".to_owned(),
            to: vec!["south".to_owned()],
            chosen: 10,
            moved: 3,
            ..DrillReport::default()
        };
        let page = |has_colours| {
            let (pools, drill) = (std::slice::from_ref(&pool), Some(&drill));
            Page { verdict: &verdict, stats: &stats, pools, drill, has_colours }.to_string()
        };
        let text = page(false);
        assert!(text.contains("\ndrill    north to south: 3 of 10 miners are there\n"), "{text}");
        assert!(
            text.contains("degraded") && text.contains("\n  pool b: refused (for 1 min 5 s)\n"),
            "{text}"
        );
        assert!(text.contains("1,234 of 10,000 connected") && text.contains("99.00 %"), "{text}");
        assert!(text.contains("north") && text.contains("5.0 PH/s"), "{text}");
        assert!(!text.contains('\x1b') && page(true).contains("\x1b[33mdegraded"), "{text}");
        assert!(!text.contains("wanted"), "there is one pool: {text}");
    }

    #[test]
    fn several_pools_are_shown_with_their_split() {
        let by_hashrate = SplitPart { achieved: 0.742, standard_error: 0.021 };
        let by_workers = SplitPart { achieved: 0.75, standard_error: 0.014 };
        let busy = Pool {
            split: Split { wanted: 0.75, workers: 900, by_hashrate, by_workers },
            switch_time: Latency { count: 12, p50_us: 31_000, p99_us: 45_000, ..Latency::default() },
            ..Pool::default()
        };
        let pools = [busy, Pool::default()];
        let (verdict, stats) = (Verdict { status: Status::Ok, reasons: Vec::new() }, Stats::default());
        let text = Page { verdict: &verdict, stats: &stats, pools: &pools, drill: None, has_colours: false }
            .to_string();
        let told = "wanted 75.0 %, has 74.2 % ± 2.1 % of the hashrate, 75.0 % ± 1.4 % of the workers\n";
        assert!(text.contains(told), "{text}");
        assert!(text.contains("12 live switches to it, p50 31.0 ms, p99 45.0 ms\n"), "{text}");
        assert!(
            text.contains("– accepted  p99 –\n") && text.contains("wanted 0.0 %\n"),
            "nobody is there: {text}"
        );
        let [first, second] = pools;
        let pools = [first, Pool { priority: 2, ..second }];
        let text = Page { verdict: &verdict, stats: &stats, pools: &pools, drill: None, has_colours: false }
            .to_string();
        assert!(
            !text.contains("wanted") && text.contains("12 live switches"),
            "one stands in for the other: {text}"
        );
    }
}
