//! One measurement: a pool, a proxy and miners, each a process on its core, from their start to their end.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

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
        let mask = sched_getaffinity(None)?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| mask.is_set(core)).collect();
        let (first, second, last) = match cores[..] {
            [first, second, .., last] => (first, second, last),
            [first, last] => (first, first, last),
            _ => return Err(io::Error::other("it takes two cores: one for the proxy, one for its peers")),
        };
        Ok(Self { proxy: last, pool: first, miners: second })
    }
}

/// Measures one proxy under one load.
pub(super) fn measure(
    plan: &Plan,
    load: Load,
    proxy: Proxy,
    directory: &Path,
) -> Result<LeanReport, MeasureError> {
    let pool = start_pool(plan, load)?;
    let running = Running::start(proxy, plan, pool.address(), directory)?;
    let report = run_miners(plan, load, proxy, running.address, running.pid())?;
    if report.faults > 0 {
        let first = report.first_fault.unwrap_or_default();
        return Err(MeasureError::Faults(proxy.name(), report.faults, first));
    }
    Ok(report)
}

fn start_pool(plan: &Plan, load: Load) -> Result<Adit, StartError> {
    let core = plan.cores.pool.to_string();
    let peers = plan.peers.display().to_string();
    let job_every = load.job_every(plan.window).as_millis().to_string();
    let arguments = ["-c", &core, &peers, "pool", "--listen", "127.0.0.1:0", "--job-every-ms", &job_every];
    Adit::start(Path::new("taskset"), arguments)
}

fn run_miners(
    plan: &Plan,
    load: Load,
    proxy: Proxy,
    address: SocketAddr,
    pid: Option<u32>,
) -> Result<LeanReport, MeasureError> {
    let mut command = on_core(plan.cores.miners, &plan.peers.display().to_string());
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
    if let Some(pid) = pid {
        command.arg("--proxy-pid").arg(pid.to_string());
    }
    let output = command.stdin(Stdio::null()).output()?;
    let failed = |text: &[u8]| MeasureError::Miners(proxy.name(), String::from_utf8_lossy(text).into_owned());
    if !output.status.success() {
        return Err(failed(&output.stderr));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string().as_bytes()))
}
