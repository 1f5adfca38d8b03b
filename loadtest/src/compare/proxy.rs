//! The proxies that are compared, each started so that it may use one core and does nothing but relay.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::Plan;
use super::measure::MeasureError;
use crate::process::Adit;
use crate::wait;

/// How long a proxy may take to listen, and to end.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Descriptors a proxy plans for: both sockets of each pair and some of its own, within the usual limit of 20,000.
const DESCRIPTORS_MAX: usize = 19_900;
/// Adit's ledger; SQLite's own files beside it begin with the same name.
const LEDGER: &str = "ledger.sqlite";
/// Where Debian keeps nginx's stream module.
const NGINX_STREAM_MODULE: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// What stands between miners and pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proxy {
    /// Nothing: what the peers alone take.
    Direct,
    /// haproxy in TCP mode with one thread.
    Haproxy,
    /// nginx's stream module with one worker.
    Nginx,
    /// Adit with one shard.
    Adit,
}

impl Proxy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Haproxy, Self::Nginx, Self::Adit];

    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Adit => "adit",
        }
    }
}

/// A proxy that listens. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) address: SocketAddr,
    process: Process,
}

#[derive(Debug)]
enum Process {
    None,
    Adit(Adit),
    Other(Child),
}

impl Running {
    /// Starts a proxy before a pool.
    pub(super) fn start(
        proxy: Proxy,
        plan: &Plan,
        pool: SocketAddr,
        directory: &Path,
    ) -> Result<Self, MeasureError> {
        match proxy {
            Proxy::Direct => Ok(Self { address: pool, process: Process::None }),
            Proxy::Adit => Self::start_adit(plan, 1, pool, directory),
            Proxy::Haproxy => {
                let address = free_address()?;
                let file = directory.join("haproxy.cfg");
                fs::write(&file, haproxy_configuration(address, pool))?;
                let mut command = on_core(plan.cores.proxy, "haproxy");
                command.arg("-db").arg("-f").arg(file);
                Self::start_other(command, address)
            }
            Proxy::Nginx => {
                let address = free_address()?;
                let file = directory.join("nginx.conf");
                fs::write(&file, nginx_configuration(address, pool, directory))?;
                let mut command = on_core(plan.cores.proxy, "nginx");
                command.arg("-e").arg("stderr").arg("-p").arg(directory).arg("-c").arg(file);
                Self::start_other(command, address)
            }
        }
    }

    /// Starts Adit with so many shards.
    pub(super) fn start_adit(
        plan: &Plan,
        shards: usize,
        pool: SocketAddr,
        directory: &Path,
    ) -> Result<Self, MeasureError> {
        for old in fs::read_dir(directory)?.flatten() {
            if old.file_name().to_string_lossy().starts_with(LEDGER) {
                fs::remove_file(old.path())?;
            }
        }
        let (mask, program) = (plan.adit_mask.clone(), plan.adit.display().to_string());
        let mut arguments: Vec<String> = vec!["-c".into(), mask, program, "run".into()];
        for (flag, value) in [("--listen", "127.0.0.1:0"), ("--shards", &shards.to_string())] {
            arguments.extend([flag.into(), value.into()]);
        }
        if !plan.adit_arguments.iter().any(|argument| argument.starts_with("--admin")) {
            arguments.extend(["--admin".into(), "off".into()]);
        }
        arguments.extend(["--pool".into(), format!("stratum+tcp://{pool}")]);
        if plan.ledger {
            arguments.extend(["--ledger".into(), directory.join(LEDGER).display().to_string()]);
        }
        arguments.extend_from_slice(&plan.adit_arguments);
        let adit = Adit::start(Path::new("taskset"), arguments)?;
        Ok(Self { address: adit.address(), process: Process::Adit(adit) })
    }

    fn start_other(mut command: Command, address: SocketAddr) -> Result<Self, MeasureError> {
        let program = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let mut running = Self { address, process: Process::Other(child) };
        let listens =
            wait::until(START_TIMEOUT, || running.has_ended() || TcpStream::connect(address).is_ok());
        if !listens || running.has_ended() {
            return Err(MeasureError::NotListening(program));
        }
        Ok(running)
    }

    /// The process whose use is measured.
    pub(super) fn pid(&self) -> Option<u32> {
        match &self.process {
            Process::None => None,
            Process::Adit(adit) => Some(adit.pid()),
            Process::Other(child) => Some(child.id()),
        }
    }

    fn has_ended(&mut self) -> bool {
        match &mut self.process {
            Process::Other(child) => !matches!(child.try_wait(), Ok(None)),
            Process::None | Process::Adit(_) => false,
        }
    }
}

impl Drop for Running {
    /// nginx's workers outlive a master that is killed, so it is asked first.
    fn drop(&mut self) {
        if let Process::Other(child) = &mut self.process {
            let _ = kill_process(Pid::from_child(child), Signal::TERM);
            if !wait::until(START_TIMEOUT, || !matches!(child.try_wait(), Ok(None))) {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// A command that may use one core only.
pub(super) fn on_core(core: usize, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

/// A port that was free a moment ago: these programs do not tell which one the kernel chose.
pub(super) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind(("127.0.0.1", 0))?.local_addr()
}

fn haproxy_configuration(address: SocketAddr, pool: SocketAddr) -> String {
    let pairs_max = (DESCRIPTORS_MAX - 100) / 2;
    format!(
        "global\n    nbthread 1\n    maxconn {pairs_max}\n\
         defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 10m\n    timeout server 10m\n\
         listen stratum\n    bind {address} backlog 4096\n    maxconn {pairs_max}\n    server pool {pool}\n"
    )
}

fn nginx_configuration(address: SocketAddr, pool: SocketAddr, directory: &Path) -> String {
    let pid = directory.join("nginx.pid");
    format!(
        "load_module {NGINX_STREAM_MODULE};\n\
         daemon off;\nworker_processes 1;\nworker_rlimit_nofile {DESCRIPTORS_MAX};\npid {};\n\
         events {{ worker_connections {DESCRIPTORS_MAX}; }}\n\
         stream {{ server {{ listen {address} backlog=4096; proxy_pass {pool}; proxy_timeout 10m; }} }}\n",
        pid.display()
    )
}
