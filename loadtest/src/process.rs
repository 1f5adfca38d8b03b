//! A running `adit` as a test sees it: started with arguments, ready at a deadline, measured through `/proc`, gone when
//! dropped.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::wait;

/// How long a start may take.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// What stands before an address in the log when a listener is ready.
const LISTENING: &str = "listening on ";
/// The same when operators can be answered; logged before.
const ANSWERING: &str = "operators are answered on http://";
/// Settings in the environment are this: a process under test gets none that its test did not give.
const ENVIRONMENT_PREFIX: &str = "ADIT_";
/// Lines of the log that are kept; a test that makes more looks at the first ones.
const LOG_LINES_MAX: usize = 100_000;
/// `USER_HZ`: what `/proc` counts CPU time in, on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Why a process could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It could not be started at all.
    #[error("cannot start the process: {0}")]
    Spawn(#[from] io::Error),
    /// It ended, or logged no address in time.
    #[error("the process is not listening; it said:\n{0}")]
    NotListening(String),
}

/// What a process uses at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory, in KiB.
    pub resident_kib: u64,
    /// CPU time of all its threads so far, user and system.
    pub cpu: Duration,
    /// Open descriptors.
    pub descriptors: usize,
    /// Threads.
    pub threads: u64,
}

/// One thread of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// As the kernel has it: the first 15 bytes.
    pub name: String,
    /// CPU time so far, user and system; zero where the kernel does not count it in nanoseconds.
    pub cpu_ns: u64,
}

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Adit {
    child: Child,
    addresses: Vec<SocketAddr>,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Adit {
    /// Starts a binary and waits until it has logged `listening on ADDRESS`.
    pub fn start<A: AsRef<OsStr>>(
        binary: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self, StartError> {
        Self::start_with(binary, arguments, 1)
    }

    /// The same for a process that is ready once it has logged so many addresses.
    pub fn start_with<A: AsRef<OsStr>>(
        binary: &Path,
        arguments: impl IntoIterator<Item = A>,
        listeners: usize,
    ) -> Result<Self, StartError> {
        let mut command = Command::new(binary);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(ENVIRONMENT_PREFIX) {
                command.env_remove(name);
            }
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let reader = child.stderr.take().map(|stderr| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || keep_log(stderr, &log))
        });
        let mut adit = Self { child, addresses: Vec::new(), log, reader };
        wait::until(START_TIMEOUT, || {
            adit.addresses = adit.log.lock().iter().filter_map(|line| listening_address(line)).collect();
            adit.addresses.len() >= listeners || adit.child.try_wait().is_ok_and(|ended| ended.is_some())
        });
        if adit.addresses.len() < listeners {
            let _ = adit.child.kill();
            adit.join_reader();
            return Err(StartError::NotListening(adit.log_text()));
        }
        Ok(adit)
    }

    /// Where it listens: the first listener.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where it listens: all listeners, in the order of the log.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it answers operators, if it does.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        let log = self.log.lock();
        let said = log.iter().find_map(|line| Some(line.split_once(ANSWERING)?.1))?;
        said.split_whitespace().next()?.parse().ok()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log_text(&self) -> String {
        self.log.lock().join("\n")
    }

    /// Whether a line of the log contains `text` within the time.
    pub fn logs_within(&self, text: &str, time: Duration) -> bool {
        wait::until(time, || self.log.lock().iter().any(|line| line.contains(text)))
    }

    /// How many lines of the log contain `text` so far.
    pub fn log_count(&self, text: &str) -> usize {
        self.log.lock().iter().filter(|line| line.contains(text)).count()
    }

    /// Sends a signal by its name: `TERM`, `INT`, `HUP`, `USR1`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        // The shell's own `kill`: no library call for this without `unsafe`.
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{kill}: {status}"))) }
    }

    /// How it ended, if it did within the time.
    pub fn ends_within(&mut self, time: Duration) -> Option<ExitStatus> {
        let status = wait::for_some(time, || self.child.try_wait().ok().flatten())?;
        self.join_reader();
        Some(status)
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it uses now.
    pub fn usage(&self) -> io::Result<Usage> {
        let proc = format!("/proc/{}", self.child.id());
        let status = fs::read_to_string(format!("{proc}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        let missing = |name: &str| io::Error::other(format!("no {name} in {proc}/status"));
        Ok(Usage {
            resident_kib: field("VmRSS:").ok_or_else(|| missing("VmRSS"))?,
            threads: field("Threads:").ok_or_else(|| missing("Threads"))?,
            cpu: self.cpu(&proc)?,
            descriptors: fs::read_dir(format!("{proc}/fd"))?.count(),
        })
    }

    /// Its threads.
    pub fn threads(&self) -> io::Result<Vec<Thread>> {
        let mut threads = Vec::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end between the listing and the reading.
            let path = entry?.path();
            let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
            let schedstat = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            let cpu_ns = schedstat.split_ascii_whitespace().next().and_then(|field| field.parse().ok());
            threads.push(Thread { name: name.trim_end().into(), cpu_ns: cpu_ns.unwrap_or(0) });
        }
        Ok(threads)
    }

    /// CPU time of all threads: the scheduler's nanoseconds where the kernel keeps them, else ticks of 10 ms.
    fn cpu(&self, proc: &str) -> io::Result<Duration> {
        let nanos: u64 = self.threads()?.iter().map(|thread| thread.cpu_ns).sum();
        if nanos > 0 {
            return Ok(Duration::from_nanos(nanos));
        }
        let stat = fs::read_to_string(format!("{proc}/stat"))?;
        // The name in parentheses may hold anything; utime and stime are the 12th and 13th field behind it.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let ticks =
            fields.split_ascii_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
        Ok(Duration::from_millis(ticks.sum::<u64>() * 1_000 / TICKS_PER_SECOND))
    }

    fn join_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Adit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_reader();
        if std::thread::panicking() {
            eprintln!("what the process logged:\n{}", self.log_text());
        }
    }
}

/// Descriptors that a process of miners or pools asks for: more than one address has ports for.
pub const DESCRIPTORS_WANTED: u64 = 65_536;

/// Raises this process's own limit of descriptors as far as it may, up to `wanted`; how many it may have then.
///
/// Tests with thousands of sockets need more than the usual 1,024. Where the hard limit is lower than what they want, they
/// do with fewer and say so.
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let (soft, hard) = (current.unwrap_or(u64::MAX), maximum.unwrap_or(u64::MAX));
    if soft >= wanted {
        return soft;
    }
    let raised = wanted.min(hard);
    match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum }) {
        Ok(()) => raised,
        Err(error) => {
            log::warn!("the limit of descriptors stays at {soft}: {error}");
            soft
        }
    }
}

/// Copies a log to memory until the process ends.
fn keep_log(stderr: ChildStderr, log: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let mut log = log.lock();
        if log.len() < LOG_LINES_MAX {
            log.push(String::from_utf8_lossy(&line).into_owned());
        }
    }
}

/// The address in a line that says where it listens.
fn listening_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(LISTENING)?;
    let end = rest.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Result<Adit, StartError> {
        Adit::start(Path::new("/bin/sh"), ["-c", script])
    }

    #[test]
    fn the_address_is_read_from_the_log() {
        let address = |line| listening_address(line).map(|address| address.to_string());
        assert_eq!(address("INFO adit listening on 127.0.0.1:45123"), Some("127.0.0.1:45123".into()));
        assert_eq!(address("listening on [::1]:3333, 2 shards"), Some("[::1]:3333".into()));
        assert_eq!(address("listening on port"), None);
        assert_eq!(address("listens 127.0.0.1:1"), None);
    }

    #[test]
    fn a_process_is_measured_signalled_and_reaped() {
        let mut process = shell("echo 'listening on 127.0.0.1:1' >&2; exec sleep 100").unwrap();
        assert_eq!(process.address(), SocketAddr::from(([127, 0, 0, 1], 1)));
        let usage = process.usage().unwrap();
        assert!(usage.resident_kib > 0 && usage.descriptors >= 3 && usage.threads == 1, "{usage:?}");
        assert!(process.is_running());
        process.signal("TERM").unwrap();
        assert!(process.ends_within(START_TIMEOUT).is_some_and(|status| !status.success()));
    }

    #[test]
    fn the_limit_of_descriptors_is_read_and_raised_within_what_is_allowed() {
        let soft = raise_descriptor_limit(1);
        assert!(soft > 0);
        let raised = raise_descriptor_limit(soft + 1);
        assert!(raised == soft || raised == soft + 1);
        assert_eq!(getrlimit(Resource::Nofile).current, Some(raised));
    }

    #[test]
    fn a_process_that_does_not_listen_is_an_error_with_its_words() {
        match shell("echo 'no such pool' >&2; exit 1") {
            Err(StartError::NotListening(text)) => assert_eq!(text, "no such pool"),
            other => panic!("{other:?}"),
        }
    }
}
