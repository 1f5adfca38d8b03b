//! `adit mine`: a CPU miner that speaks Stratum and hashes for real.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use adit_loadtest::cpu_miner::{CpuMiner, CpuMinerConfig};
use clap::Args;

use super::tools::{self, Until};
use super::{EXIT_RUNTIME, fail, print};

#[derive(Args, Debug)]
pub struct MineFlags {
    /// Where to mine: Adit or a pool, as stratum+tcp://HOST:PORT
    #[arg(long, value_name = "URL", value_parser = tools::pool_url)]
    url: String,

    /// The worker name
    #[arg(long, value_name = "NAME")]
    user: String,

    /// Its password
    #[arg(long, value_name = "PASSWORD", default_value = "x")]
    password: String,

    /// Hashing threads [default: one per core this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,

    /// Hashes per second of all threads together, as in 500k or 2M [default: as many as they can]
    #[arg(long, value_name = "H", value_parser = tools::quantity, allow_negative_numbers = true)]
    hashrate_max: Option<f64>,

    /// Ask the pool for this difficulty
    #[arg(long, value_name = "D", value_parser = tools::quantity, allow_negative_numbers = true)]
    suggest_difficulty: Option<f64>,

    /// End after this time [default: on Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = tools::duration)]
    time: Option<Duration>,
}

/// Mines until the time is over or it is told to stop. Fails if nothing was accepted, for whoever tries a pool with it.
pub fn execute(flags: &MineFlags) -> ExitCode {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let config = CpuMinerConfig {
        password: flags.password.clone(),
        threads_count: flags.threads.map_or_else(cores, usize::from),
        hashes_per_second_max: flags.hashrate_max,
        suggest_difficulty: flags.suggest_difficulty,
        ..CpuMinerConfig::new(&flags.url, &flags.user)
    };
    match mine(config, flags.time) {
        Ok(Mined { summary, barren }) => match (print(&summary), barren) {
            (_, Some(why)) => fail(EXIT_RUNTIME, &why),
            (printed, None) => printed,
        },
        Err(error) => fail(EXIT_RUNTIME, &error),
    }
}

/// What came of mining.
struct Mined {
    summary: String,
    /// Why nothing was accepted, where nothing was.
    barren: Option<String>,
}

fn mine(config: CpuMinerConfig, time: Option<Duration>) -> Result<Mined, Box<dyn std::error::Error>> {
    let log = tools::start_log()?;
    let mut until = Until::start(time, log.clone())?;
    let miner = CpuMiner::start(config)?;
    let mut last = (Instant::now(), 0);
    let mut failures_count = 0;
    loop {
        let goes_on = until.show(|| {
            let (now, hashes) = (Instant::now(), miner.hashes());
            let seconds = now.duration_since(last.0).as_secs_f64().max(f64::EPSILON);
            let rate = hashes.saturating_sub(last.1) as f64 / seconds;
            last = (now, hashes);
            live_line(&miner, rate)
        });
        failures_count = miner.look(|report| {
            report.failures.iter().skip(failures_count).for_each(|failure| log::warn!("{failure}"));
            report.failures.len()
        });
        if !goes_on {
            break;
        }
    }
    let report = miner.stop();
    log.finish();
    let unanswered = report.unanswered + report.waiting();
    let rejected = report.rejected_count();
    let summary = format!("accepted={} rejected={rejected} unanswered={unanswered}\n", report.accepted);
    let barren = (report.accepted == 0).then(|| {
        let why = match report.failures.last() {
            _ if rejected + unanswered > 0 => format!("{rejected} were rejected, {unanswered} unanswered"),
            _ if report.jobs > 0 => format!("none was found in time at difficulty {}", report.difficulty),
            Some(failure) => failure.clone(),
            None => "the pool gave no job".into(),
        };
        format!("no share was accepted: {why}")
    });
    Ok(Mined { summary, barren })
}

fn live_line(miner: &CpuMiner, rate: f64) -> String {
    miner.look(|report| {
        let state = if report.is_mining { "mining" } else { "waiting for the pool" };
        format!(
            "{state}  {}H/s  {} accepted  {} rejected  difficulty {}",
            tools::shown_quantity(rate),
            report.accepted,
            report.rejected_count(),
            report.difficulty
        )
    })
}
