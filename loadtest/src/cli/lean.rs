//! `adit-loadtest pool` and `adit-loadtest miners`: the two ends of a measurement, each a process; and `scripted-pool`,
//! which scenarios start for every pool that is to be killed or frozen.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use adit_loadtest::lean::miners::{LeanConfig, LeanReport, Pace, Quiet, measure};
use adit_loadtest::lean::pool::LeanPool;
use adit_loadtest::pool_process;
use clap::Args;

use super::{fail, print};

/// A pool that accepts everything at the least cost, until it is killed
#[derive(Args, Debug)]
pub(super) struct Pool {
    /// Where to listen
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,

    /// Time between two jobs
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    job_every_ms: u64,

    /// Let other pools listen at the same address: the kernel deals out connections
    #[arg(long)]
    share_port: bool,
}

/// A pool that checks every share, ruled over stdin by the scenario that started it
#[derive(Args, Debug)]
pub(super) struct ScriptedPool {}

/// Miners that make round trips, and what these cost the proxy before them, as JSON
#[derive(Args, Debug)]
pub(super) struct Miners {
    /// The proxy, or the pool itself
    #[arg(long, value_name = "ADDR:PORT")]
    connect: SocketAddr,

    /// How many miners
    #[arg(long, value_name = "N", default_value_t = 100)]
    connections: usize,

    /// Submits per second over all miners, in open loop; without it each submits again once it has its answer
    #[arg(long, value_name = "N")]
    rate: Option<f64>,

    /// So many of them submit nothing
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with_all = ["deaf", "fan_out"])]
    reading: usize,

    /// So many of them stop to read once the load starts
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "fan_out")]
    deaf: usize,

    /// Submit nothing, and time jobs on their way to all miners instead
    #[arg(long)]
    fan_out: bool,

    /// The proxy's process, to measure its use
    #[arg(long, value_name = "PID")]
    proxy_pid: Option<u32>,

    /// Let the kernel count its system calls, context switches and interrupts to other cores, where perf works
    #[arg(long, requires = "proxy_pid")]
    kernel: bool,

    /// Logins under way at the same time
    #[arg(long, value_name = "N", default_value_t = 128)]
    logins_max: usize,

    /// How long all logins may take
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    login_timeout_ms: u64,

    /// Idle time before memory is measured
    #[arg(long, value_name = "MS", default_value_t = 500)]
    settle_ms: u64,

    /// Load before the measuring starts
    #[arg(long, value_name = "MS", default_value_t = 500)]
    warm_up_ms: u64,

    /// Load that is measured
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    window_ms: u64,
}

pub(super) fn pool(arguments: &Pool) -> ExitCode {
    let serve = || {
        let pool = LeanPool::bind(
            arguments.listen,
            Duration::from_millis(arguments.job_every_ms.max(1)),
            arguments.share_port,
        )?;
        writeln!(std::io::stderr(), "listening on {}", pool.address()?)?;
        pool.run(|| true)
    };
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

pub(super) fn scripted_pool(ScriptedPool {}: &ScriptedPool) -> ExitCode {
    match pool_process::serve(std::io::stdin(), std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

pub(super) fn miners(arguments: &Miners) -> ExitCode {
    let config = LeanConfig {
        address: arguments.connect,
        connections: arguments.connections.max(1),
        pace: arguments.rate.map_or(Pace::Closed, Pace::PerSecond),
        quiet: match (arguments.reading, arguments.deaf) {
            _ if arguments.fan_out => Quiet::FanOut,
            (0, 0) => Quiet::Nobody,
            (reading, 0) => Quiet::Reading(reading),
            (_, deaf) => Quiet::Deaf(deaf),
        },
        logins_max: arguments.logins_max.max(1),
        login_timeout: Duration::from_millis(arguments.login_timeout_ms),
        settle: Duration::from_millis(arguments.settle_ms),
        warm_up: Duration::from_millis(arguments.warm_up_ms),
        window: Duration::from_millis(arguments.window_ms),
        proxy: arguments.proxy_pid,
        kernel: arguments.kernel,
    };
    let json = |report: LeanReport| serde_json::to_string_pretty(&report).map_err(std::io::Error::other);
    match measure(&config).and_then(json) {
        Ok(text) => print(&text),
        Err(error) => fail(&error),
    }
}
