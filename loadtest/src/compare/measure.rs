//! One measurement: a pool, a proxy and miners, each a process on its core, from their start to their end.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::thread::{CpuSet, sched_getaffinity};

use super::proxy::{Proxy, Running, on_core};
use super::{Load, Plan};
use crate::lean::miners::{LeanReport, Pace, Quiet};
use crate::process::{Adit, StartError};

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// Files or processes failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Adit or the pool did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Another proxy did not.
    #[error("not listening: {0}")]
    NotListening(String),
    /// The miners failed; what they said.
    #[error("the miners failed through {0}: {1}")]
    Miners(&'static str, String),
    /// The machine cannot show it.
    #[error("{what} takes {needed} cores, and there are {found} here: nothing was measured")]
    TooFewCores {
        /// What was to be measured.
        what: &'static str,
        /// How many it takes.
        needed: usize,
        /// How many this process may use.
        found: usize,
    },
    /// Answers were lost, refused or astray.
    #[error("{1} faults through {0}, the first: {2}")]
    Faults(&'static str, u64, String),
}

/// Which core each part runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// The proxy has this one to itself.
    pub proxy: usize,
    /// The pool's.
    pub pool: usize,
    /// The miners'.
    pub miners: usize,
}

impl Cores {
    /// The proxy on the last core this process may use, its peers on the first ones.
    pub fn of_this_machine() -> io::Result<Self> {
        let cores = usable_cores()?;
        let (first, second, last) = match cores[..] {
            [first, second, .., last] => (first, second, last),
            [first, last] => (first, first, last),
            _ => return Err(io::Error::other("it takes two cores: one for the proxy, one for its peers")),
        };
        Ok(Self { proxy: last, pool: first, miners: second })
    }
}

/// The cores that this process may use.
pub(super) fn usable_cores() -> io::Result<Vec<usize>> {
    let mask = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| mask.is_set(core)).collect())
}

/// Measures one proxy under one load.
pub(super) fn measure(
    plan: &Plan,
    load: Load,
    proxy: Proxy,
    directory: &Path,
) -> Result<LeanReport, MeasureError> {
    let pool = start_pool(plan, load, plan.cores.pool, &["--listen", "127.0.0.1:0"])?;
    let running = Running::start(proxy, plan, pool.address(), directory)?;
    let mut miners = miners_command(plan, load, plan.cores.miners, running.address);
    if let Some(pid) = running.pid() {
        miners.arg("--proxy-pid").arg(pid.to_string());
        if plan.kernel {
            miners.arg("--kernel");
        }
    }
    report_of(proxy, &miners.output()?)
}

/// Starts a pool that gives jobs as often as the load asks for.
pub(super) fn start_pool(
    plan: &Plan,
    load: Load,
    core: usize,
    arguments: &[&str],
) -> Result<Adit, StartError> {
    let (core, peers) = (core.to_string(), plan.peers.display().to_string());
    let job_every = load.job_every(plan.window).as_millis().to_string();
    let first = ["-c", &core, &peers, "pool", "--job-every-ms", &job_every];
    Adit::start(Path::new("taskset"), first.iter().chain(arguments))
}

/// Miners that make this load at this address.
pub(super) fn miners_command(plan: &Plan, load: Load, core: usize, address: SocketAddr) -> Command {
    let mut command = on_core(core, &plan.peers.display().to_string());
    command.arg("miners").arg("--connect").arg(address.to_string());
    command.arg("--connections").arg(load.connections.to_string());
    let times = [
        ("--settle-ms", plan.settle),
        ("--warm-up-ms", load.warm_up(plan.warm_up)),
        ("--window-ms", load.window(plan.window)),
    ];
    for (flag, time) in times {
        command.arg(flag).arg(time.as_millis().to_string());
    }
    if let Pace::PerSecond(rate) = load.pace {
        command.arg("--rate").arg(rate.to_string());
    }
    match load.quiet {
        Quiet::Nobody => {}
        Quiet::Reading(count) => drop(command.arg("--reading").arg(count.to_string())),
        Quiet::Deaf(count) => drop(command.arg("--deaf").arg(count.to_string())),
        Quiet::FanOut => drop(command.arg("--fan-out")),
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What miners told when they ended; a fault among it is none.
pub(super) fn report_of(proxy: Proxy, output: &Output) -> Result<LeanReport, MeasureError> {
    let failed = |text: &[u8]| MeasureError::Miners(proxy.name(), String::from_utf8_lossy(text).into_owned());
    if !output.status.success() {
        return Err(failed(&output.stderr));
    }
    let report: LeanReport =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string().as_bytes()))?;
    if report.faults > 0 {
        let first = report.first_fault.unwrap_or_default();
        return Err(MeasureError::Faults(proxy.name(), report.faults, first));
    }
    Ok(report)
}
