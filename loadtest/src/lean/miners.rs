//! Miners that only make round trips: connect, log in, then submit in closed or in open loop while figures are taken.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::crowd::Crowd;
use super::kernel::KernelCount;
use crate::usage::TreeUsage;

/// How submits are paced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Every miner submits as soon as it has its answer.
    Closed,
    /// So many submits per second over all miners in turn, whatever the answers do.
    PerSecond(f64),
}

/// Miners that log in and submit nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// Everybody submits.
    Nobody,
    /// So many only listen.
    Reading(usize),
    /// So many stop to read once the load starts, and jobs pile up before them.
    Deaf(usize),
    /// Nobody submits. What is measured instead is a job's way from the pool's first byte to the last miner's last.
    FanOut,
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct LeanConfig {
    /// Where the miners connect.
    pub address: SocketAddr,
    /// How many.
    pub connections: usize,
    /// How they submit.
    pub pace: Pace,
    /// Who does not.
    pub quiet: Quiet,
    /// Logins under way at the same time.
    pub logins_max: usize,
    /// How long logging in may take in all.
    pub login_timeout: Duration,
    /// Idle time before memory is measured.
    pub settle: Duration,
    /// Load before the measuring starts.
    pub warm_up: Duration,
    /// Load that is measured.
    pub window: Duration,
    /// The process in between, if there is one.
    pub proxy: Option<u32>,
    /// Whether the kernel counts what that process asks of it meanwhile.
    pub kernel: bool,
}

/// What one measurement gave.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LeanReport {
    /// Connections logged in per second, until all had a job.
    pub logins_per_second: f64,
    /// CPU time of the proxy for each login, in µs.
    pub cpu_us_per_login: f64,
    /// Growth of the proxy's memory from before the first connect until all were idle with a job, in KiB per miner.
    pub rss_kib_per_idle_pair: f64,
    /// Growth of the proxy's memory from then to the end of the load, in KiB.
    #[serde(default)]
    pub rss_growth_kib: u64,
    /// Round trips finished while it was measured; in a fan-out, jobs delivered.
    pub round_trips: u64,
    /// Seconds of that.
    pub window_s: f64,
    /// CPU time of the proxy meanwhile, in nanoseconds by thread name.
    pub cpu_ns: BTreeMap<String, u64>,
    /// CPU time of the miners' own process meanwhile, in nanoseconds.
    pub miners_cpu_ns: u64,
    /// What the kernel counted of the proxy meanwhile, by name, if it was asked to and could.
    #[serde(default)]
    pub kernel: Option<BTreeMap<String, u64>>,
    /// From when a submit was due (open loop) or sent (closed loop) until its answer; in a fan-out, from a job's first byte
    /// at the pool until the last miner had it.
    pub p50_us: u64,
    /// The same, 99th percentile.
    pub p99_us: u64,
    /// The same, 99.9th percentile.
    pub p999_us: u64,
    /// What went wrong: refusals, strays, closes, answers missing at the end.
    pub faults: u64,
    /// The first of it, in words.
    pub first_fault: Option<String>,
}

impl LeanReport {
    /// CPU time of all the proxy's threads for each round trip, in µs.
    pub fn cpu_us_per_round_trip(&self) -> f64 {
        self.cpu_us_of(|_| true)
    }

    /// The same of the threads chosen by name.
    pub fn cpu_us_of(&self, chosen: impl Fn(&str) -> bool) -> f64 {
        let nanos: u64 = self.cpu_ns.iter().filter(|(name, _)| chosen(name)).map(|(_, nanos)| nanos).sum();
        nanos as f64 / 1_000.0 / self.round_trips.max(1) as f64
    }

    /// Round trips per second.
    pub fn round_trips_per_second(&self) -> f64 {
        self.round_trips as f64 / self.window_s.max(f64::MIN_POSITIVE)
    }
}

/// Makes one measurement and closes its connections.
pub fn measure(config: &LeanConfig) -> io::Result<LeanReport> {
    let look = || config.proxy.map_or(Ok(TreeUsage::default()), TreeUsage::of);
    let mut crowd = Crowd::new(config)?;
    let mut report = LeanReport::default();

    let at_start = look()?;
    let start = Instant::now();
    crowd.log_all_in(start + config.login_timeout)?;
    let miners = config.connections.max(1) as f64;
    report.logins_per_second = miners / start.elapsed().as_secs_f64();
    crowd.turn_until(Instant::now() + config.settle)?;
    let idle = look()?;
    report.cpu_us_per_login = sum(&idle.cpu_ns_since(&at_start)) as f64 / 1_000.0 / miners;
    report.rss_kib_per_idle_pair = idle.resident_kib.saturating_sub(at_start.resident_kib) as f64 / miners;

    crowd.start_load()?;
    crowd.turn_until(Instant::now() + config.warm_up)?;
    let (before, own_before, start) = (look()?, own_usage()?, Instant::now());
    let done_before = crowd.start_measuring();
    let watched = config.proxy.filter(|_| config.kernel);
    let count = watched.map(|proxy| KernelCount::start(proxy, config.window));
    crowd.turn_until(start + config.window)?;
    let after = look()?;
    report.rss_growth_kib = after.resident_kib.saturating_sub(idle.resident_kib);
    report.window_s = start.elapsed().as_secs_f64();
    report.round_trips = crowd.round_trips() - done_before;
    report.cpu_ns = after.cpu_ns_since(&before);
    report.miners_cpu_ns = sum(&own_usage()?.cpu_ns_since(&own_before));
    let latency: &Histogram<u64> = crowd.latency_us();
    report.p50_us = latency.value_at_quantile(0.5);
    report.p99_us = latency.value_at_quantile(0.99);
    report.p999_us = latency.value_at_quantile(0.999);

    // No perf is no fault: there are no counts then.
    report.kernel = count.and_then(Result::ok).map(KernelCount::counts).transpose()?.flatten();
    crowd.stop_load();
    crowd.settle_all(Instant::now() + config.login_timeout)?;
    (report.faults, report.first_fault) = crowd.into_faults();
    Ok(report)
}

fn own_usage() -> io::Result<TreeUsage> {
    TreeUsage::of(std::process::id())
}

fn sum(cpu_ns: &BTreeMap<String, u64>) -> u64 {
    cpu_ns.values().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lean::pool::LeanPool;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A pool that gives a job every few milliseconds, and one measurement against it.
    fn measured(connections: usize, pace: Pace, quiet: Quiet) -> LeanReport {
        let job_every = Duration::from_millis(20);
        let pool = LeanPool::bind(SocketAddr::from(([127, 0, 0, 1], 0)), job_every, false).unwrap();
        let address = pool.address().unwrap();
        let running = Arc::new(AtomicBool::new(true));
        let keep_on = Arc::clone(&running);
        let thread = std::thread::spawn(move || pool.run(|| keep_on.load(Ordering::Relaxed)));
        let report = measure(&LeanConfig {
            address,
            connections,
            pace,
            quiet,
            logins_max: 4,
            login_timeout: Duration::from_secs(20),
            settle: Duration::ZERO,
            warm_up: Duration::from_millis(20),
            window: Duration::from_millis(200),
            proxy: Some(std::process::id()),
            kernel: false,
        });
        running.store(false, Ordering::Relaxed);
        thread.join().unwrap().unwrap();
        report.unwrap()
    }

    #[test]
    fn a_closed_loop_makes_round_trips_without_faults() {
        let report = measured(10, Pace::Closed, Quiet::Nobody);
        assert_eq!((report.faults, report.first_fault.as_deref()), (0, None));
        assert!(report.round_trips > 100 && report.p50_us <= report.p999_us, "{report:?}");
        assert!(report.cpu_us_per_round_trip() > 0.0 && report.logins_per_second > 1.0, "{report:?}");
    }

    #[test]
    fn an_open_loop_keeps_its_rate() {
        let report = measured(7, Pace::PerSecond(1_000.0), Quiet::Nobody);
        assert_eq!((report.faults, report.first_fault.as_deref()), (0, None));
        let rate = report.round_trips_per_second();
        assert!((700.0..1_300.0).contains(&rate), "{rate}: {report:?}");
    }

    #[test]
    fn a_fan_out_is_timed_to_the_last_miner() {
        let report = measured(50, Pace::Closed, Quiet::FanOut);
        assert_eq!((report.faults, report.first_fault.as_deref()), (0, None));
        assert!(report.round_trips >= 50 && report.p50_us > 0, "at least one job reached all: {report:?}");
    }

    #[test]
    fn miners_that_do_not_read_are_no_fault_and_stop_nobody() {
        for quiet in [Quiet::Reading(5), Quiet::Deaf(5)] {
            let report = measured(10, Pace::Closed, quiet);
            assert_eq!((report.faults, report.first_fault.as_deref()), (0, None), "{quiet:?}");
            assert!(report.round_trips > 0, "{quiet:?}: {report:?}");
        }
    }
}
