//! `adit practice-pool`: a pool to point a proxy or a miner at, real in what it computes.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use adit_loadtest::practice_pool::{PracticePool, PracticePoolConfig, PracticePoolError, PracticePoolStats};
use clap::Args;

use super::tools::{self, Until};
use super::{EXIT_CONFIGURATION, EXIT_RUNTIME, fail, print};

#[derive(Args, Debug)]
pub struct PracticePoolFlags {
    /// Await miners here; port 0 lets the system choose
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3334")]
    listen: SocketAddr,

    /// Difficulty of every share. A CPU core with SHA instructions finds one at 0.001 every second or so, a 1 TH/s
    /// miner one at 1000 every few seconds
    #[arg(long, value_name = "D", default_value = "0.001", value_parser = tools::quantity, allow_negative_numbers = true)]
    difficulty: f64,

    /// Time between two jobs
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = tools::duration)]
    job_interval: Duration,

    /// Bytes of extranonce2, 1 to 16; 4 to 8 suits every miner
    #[arg(long, value_name = "N", default_value_t = 8)]
    extranonce2_size: usize,

    /// End after this time [default: on Ctrl-C]
    #[arg(long = "for", value_name = "TIME", value_parser = tools::duration)]
    time: Option<Duration>,
}

/// Runs the pool until its time is over or it is told to stop.
pub fn execute(flags: &PracticePoolFlags) -> ExitCode {
    let config = PracticePoolConfig {
        listen: flags.listen,
        difficulty: flags.difficulty,
        extranonce2_size: flags.extranonce2_size,
        job_interval: flags.job_interval,
        ..PracticePoolConfig::default()
    };
    let log = match tools::start_log() {
        Ok(log) => log,
        Err(error) => return fail(EXIT_RUNTIME, &error),
    };
    let pool = match PracticePool::start(config) {
        Ok(pool) => pool,
        Err(error @ PracticePoolError::Io(..)) => return fail(EXIT_RUNTIME, &error),
        Err(error) => return fail(EXIT_CONFIGURATION, &error),
    };
    let mut until = match Until::start(flags.time, log.clone()) {
        Ok(until) => until,
        Err(error) => return fail(EXIT_RUNTIME, &error),
    };
    print(&format!("practice pool at {}, difficulty {}; Ctrl-C ends it\n", pool.url(), flags.difficulty));
    while until.show(|| live_line(&pool.stats())) {}
    let stats = pool.stats();
    drop(pool);
    log.finish();
    print(&format!(
        "accepted={} rejected={} blocks={}\n",
        stats.accepted,
        stats.rejected_count(),
        stats.blocks
    ))
}

fn live_line(stats: &PracticePoolStats) -> String {
    format!(
        "{} connections  {} accepted  {} rejected  height {}",
        stats.connections,
        stats.accepted,
        shown_rejects(&stats.rejected),
        stats.height
    )
}

/// Refused shares, by code where there are any.
fn shown_rejects(rejected: &std::collections::BTreeMap<i32, u64>) -> String {
    let by_code: Vec<_> = rejected.iter().map(|(code, count)| format!("{code}: {count}")).collect();
    let count: u64 = rejected.values().sum();
    if by_code.is_empty() { "0".to_owned() } else { format!("{count} ({})", by_code.join(", ")) }
}
