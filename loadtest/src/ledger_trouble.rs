//! What miners notice of a ledger that cannot be written: the relay's latency beside a stalled and a full disk against its
//! latency beside a ledger that is well, round by round in turn.
//!
//! Each measurement has an Adit and a ledger of its own. The trouble begins before the load and ends after it; then the
//! ledger heals by itself, and what it has must be what Adit counted: rows and shares in gaps, to the share.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::audit::CounterBook;
use crate::compare::{Cores, MeasureError};
use crate::disk::Disk;
use crate::lean::miners::{LeanConfig, LeanReport, Pace, Quiet, measure};
use crate::lean::pool::LeanPool;
use crate::process::Adit;

const DISK_BYTES: u64 = 256 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(30);
const JOB_EVERY: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_secs(1);

/// What is the matter with a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trouble {
    /// Nothing.
    None,
    /// Its disk stands still: writes hang in the kernel.
    Stalled,
    /// Its disk is full.
    Full,
}

impl Trouble {
    const ALL: [Self; 3] = [Self::None, Self::Stalled, Self::Full];

    fn name(self) -> &'static str {
        match self {
            Self::None => "well",
            Self::Stalled => "stalled disk",
            Self::Full => "full disk",
        }
    }
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The Adit.
    pub adit: PathBuf,
    /// How often each trouble is measured.
    pub rounds: usize,
    /// Miners.
    pub connections: usize,
    /// Submits per second of all of them.
    pub rate: f64,
    /// How long the load is measured.
    pub window: Duration,
}

/// One measurement.
#[derive(Clone, Debug)]
struct Sample {
    report: LeanReport,
    growth_kib: u64,
    rows: u64,
    in_gaps: u64,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    samples: BTreeMap<Trouble, Vec<Sample>>,
    skipped: Vec<Trouble>,
}

impl Plan {
    /// Measures; `tell` hears of every measurement.
    pub fn run(&self, mut tell: impl FnMut(&str)) -> Result<Outcome, MeasureError> {
        let cores = Cores::of_this_machine()?;
        keep_off(cores.proxy)?;
        let mut outcome = Outcome::default();
        for round in 0..self.rounds.max(1) {
            // Each in another place of the turn each time.
            for at in 0..Trouble::ALL.len() {
                let trouble = Trouble::ALL[(at + round) % Trouble::ALL.len()];
                match self.sample(trouble, cores)? {
                    Some(sample) => {
                        tell(&format!("round {}: {}: {sample}", round + 1, trouble.name()));
                        outcome.samples.entry(trouble).or_default().push(sample);
                    }
                    None if round == 0 => outcome.skipped.push(trouble),
                    None => {}
                }
            }
        }
        Ok(outcome)
    }

    /// One measurement; `None` where its trouble cannot be made.
    fn sample(&self, trouble: Trouble, cores: Cores) -> Result<Option<Sample>, MeasureError> {
        let place = Place::new()?;
        let disk = match trouble {
            Trouble::None => None,
            Trouble::Stalled => Disk::ext4(&place.0, DISK_BYTES),
            Trouble::Full => Disk::tmpfs(&place.0, DISK_BYTES),
        };
        if disk.is_none() && trouble != Trouble::None {
            return Ok(None);
        }
        let ledger = disk.as_ref().map_or(place.0.join("ledger.db"), |disk| disk.file("ledger.db"));
        let pool = Pool::start()?;
        let mut adit = self.start(&pool, &ledger, cores)?;
        let resident_kib = adit.usage()?.resident_kib;
        let Some(mut made) = Made::make(trouble, disk)? else { return Ok(None) };
        let report = measure(&LeanConfig {
            address: adit.address(),
            connections: self.connections,
            pace: Pace::PerSecond(self.rate),
            logins_max: 64,
            quiet: Quiet::Nobody,
            login_timeout: PATIENCE,
            settle: Duration::ZERO,
            warm_up: WARM_UP,
            window: self.window,
            proxy: Some(adit.pid()),
            kernel: false,
        })?;
        let growth_kib = adit.usage()?.resident_kib.saturating_sub(resident_kib);
        if report.faults > 0 {
            let first = report.first_fault.clone().unwrap_or_default();
            return Err(MeasureError::Faults("adit", report.faults, first));
        }
        made.end()?;
        let (rows, in_gaps) = self.books(&mut adit, &ledger)?;
        Ok(Some(Sample { report, growth_kib, rows, in_gaps }))
    }

    fn start(&self, pool: &Pool, ledger: &Path, cores: Cores) -> Result<Adit, MeasureError> {
        let (core, program) = (cores.proxy.to_string(), self.adit.display().to_string());
        let (ledger, pool) = (ledger.display().to_string(), &pool.url);
        let arguments =
            ["-c", &core, &program, "run", "--listen", "127.0.0.1:0", "--shards", "1", "--pool", pool];
        let more = ["--ledger", &ledger, "--admin", "127.0.0.1:0"];
        Ok(Adit::start(Path::new("taskset"), arguments.into_iter().chain(more))?)
    }

    /// Stops Adit, lets it verify its ledger, and holds that against what it counted: rows, and shares in gaps.
    fn books(&self, adit: &mut Adit, ledger: &Path) -> Result<(u64, u64), MeasureError> {
        let admin = adit.admin_address().ok_or_else(|| io::Error::other("it answers no operators"))?;
        let counted = CounterBook::settled(admin, PATIENCE)?.shares.total();
        adit.signal("TERM")?;
        if !adit.ends_within(PATIENCE).is_some_and(|status| status.success()) {
            return Err(io::Error::other(format!("it did not stop in order:\n{}", adit.log_text())).into());
        }
        self.ask("verify", ledger)?;
        let info = self.ask("info", ledger)?;
        let rows = number(&info, "rows", 0).unwrap_or(0);
        let in_gaps = number(&info, "gaps", 2).unwrap_or(0);
        if rows + in_gaps != counted {
            let text = format!("{counted} shares counted, {rows} rows and {in_gaps} in gaps");
            return Err(io::Error::other(text).into());
        }
        Ok((rows, in_gaps))
    }

    fn ask(&self, question: &str, ledger: &Path) -> io::Result<String> {
        let output = Command::new(&self.adit).args(["ledger", question, "--ledger"]).arg(ledger).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(said) } else { Err(io::Error::other(format!("{question}: {said}"))) }
    }
}

/// The word at this place behind a label of `adit ledger info`.
fn number(info: &str, label: &str, at: usize) -> Option<u64> {
    let line = info.lines().find(|line| line.split_whitespace().next() == Some(label))?;
    line.split_whitespace().nth(1 + at)?.parse().ok()
}

/// The peers stay off the proxy's core, unless there is no other.
fn keep_off(core: usize) -> io::Result<()> {
    let mut mask = rustix::thread::sched_getaffinity(None)?;
    mask.unset(core);
    if (0..CpuSet::MAX_CPU).any(|other| mask.is_set(other)) {
        sched_setaffinity(None, &mask)?;
    }
    Ok(())
}

/// A trouble that is there until it is ended.
enum Made {
    None,
    Stalled(Disk),
    Full(Disk),
}

impl Made {
    /// `None` where it cannot be made.
    fn make(trouble: Trouble, disk: Option<Disk>) -> io::Result<Option<Self>> {
        Ok(match (trouble, disk) {
            (Trouble::Stalled, Some(mut disk)) => disk.freeze().then_some(Self::Stalled(disk)),
            (Trouble::Full, Some(disk)) => {
                disk.fill()?;
                Some(Self::Full(disk))
            }
            _ => Some(Self::None),
        })
    }

    /// Lets the ledger heal. The disk stays.
    fn end(&mut self) -> io::Result<()> {
        match self {
            Self::None => Ok(()),
            Self::Stalled(disk) => {
                if disk.thaw() {
                    Ok(())
                } else {
                    Err(io::Error::other("the disk thawed too early"))
                }
            }
            Self::Full(disk) => disk.free(),
        }
    }
}

/// A pool in a thread.
struct Pool {
    url: String,
    running: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Pool {
    fn start() -> io::Result<Self> {
        let pool = LeanPool::bind(([127, 0, 0, 1], 0).into(), JOB_EVERY, false)?;
        let url = format!("stratum+tcp://{}", pool.address()?);
        let running = Arc::new(AtomicBool::new(true));
        let keep_on = Arc::clone(&running);
        let thread = std::thread::spawn(move || pool.run(|| keep_on.load(Ordering::Relaxed)));
        Ok(Self { url, running, thread: Some(thread) })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.running.store(false, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends at its next job; how is of no interest any more.
            let _ = thread.join();
        }
    }
}

/// A directory that goes when this does.
struct Place(PathBuf);

impl Place {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("adit-ledger-trouble-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("{} stays: {error}", self.0.display());
        }
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LeanReport { p50_us, p99_us, p999_us, .. } = self.report;
        write!(
            out,
            "p50 {p50_us} µs, p99 {p99_us} µs, p99.9 {p999_us} µs, {:.0}/s, memory +{} KiB, {} rows, {} in gaps",
            self.report.round_trips_per_second(),
            self.growth_kib,
            self.rows,
            self.in_gaps
        )
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<14}{:>26}{:>26}{:>14}{:>12}",
            "ledger", "p50 µs", "p99 µs", "memory KiB", "in gaps"
        )?;
        for (trouble, samples) in &self.samples {
            let figures = |figure: fn(&Sample) -> u64| {
                let mut figures: Vec<u64> = samples.iter().map(figure).collect();
                figures.sort_unstable();
                figures
            };
            let spread = |figure| {
                let figures = figures(figure);
                let (least, most) = (figures.first().copied(), figures.last().copied());
                let median = figures.get(figures.len() / 2).copied().unwrap_or(0);
                format!("{median} ({} to {})", least.unwrap_or(0), most.unwrap_or(0))
            };
            writeln!(
                out,
                "{:<14}{:>26}{:>26}{:>14}{:>12}",
                trouble.name(),
                spread(|sample| sample.report.p50_us),
                spread(|sample| sample.report.p99_us),
                figures(|sample| sample.growth_kib).last().copied().unwrap_or(0),
                figures(|sample| sample.in_gaps).last().copied().unwrap_or(0),
            )?;
        }
        write!(
            out,
            "Medians of {} rounds, least and most; ",
            self.samples.values().map(Vec::len).max().unwrap_or(0)
        )?;
        write!(out, "memory and gaps are the most. Every ledger was sound and had every share counted.")?;
        for trouble in &self.skipped {
            write!(out, "\nNot measured: {}; a file system of its own takes root.", trouble.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_what_adit_says_of_a_ledger() {
        let info = "file          /l\nrows          1234 shares (0 older ones pruned)\ngaps          2 with 7 shares (3 accepted)\n";
        assert_eq!((number(info, "rows", 0), number(info, "gaps", 2)), (Some(1_234), Some(7)));
        assert_eq!(number("gaps          none\n", "gaps", 2), None);
    }
}
