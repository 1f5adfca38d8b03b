//! What being watched costs the relay: the same load through Adit with and without operators who scrape and listen, in
//! turns, round by round, with a second run without them in each round to see what this machine can resolve.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use super::measure::{MeasureError, measure};
use super::proxy::{Proxy, free_address};
use super::{Load, Plan, WorkDirectory};
use crate::lean::miners::LeanReport;

/// How often listeners are read.
const READ_EVERY: Duration = Duration::from_millis(10);
/// How long the operators' side may take to listen, and to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who watches.
#[derive(Clone, Copy, Debug)]
pub struct Watchers {
    /// Scrapes of `/metrics` per second.
    pub scrapes_per_second: u32,
    /// Listeners to events, half of them by WebSocket.
    pub listeners: u32,
}

/// What was measured of one load: without watchers, with them, and without them once more.
#[derive(Clone, Debug)]
pub struct Impact {
    /// The load.
    pub load: Load,
    /// The rounds.
    pub rounds: Vec<[LeanReport; 3]>,
    /// What the watchers saw, over all rounds.
    pub watched: Watched,
}

/// What watchers saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    /// Scrapes answered.
    pub scrapes: u64,
    /// Bytes of events read.
    pub event_bytes: u64,
    /// How soon shards took messages from other threads, the scrapes' own among them.
    pub mailbox: Prompt,
    /// How soon shards looked at deadlines.
    pub timers: Prompt,
}

/// How often something was done, and how often within [`PROMPT_S`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// In all.
    pub count: u64,
    /// In time.
    pub in_time: u64,
}

/// What is prompt: a bound of the buckets that Adit publishes, in seconds as it spells them.
const PROMPT_S: &str = "0.01";

impl Prompt {
    /// Reads it out of a scrape, over all shards.
    fn read(body: &str, metric: &str) -> Self {
        let within = format!("le=\"{PROMPT_S}\"");
        let mut prompt = Self::default();
        for line in body.lines() {
            let Some(rest) = line.strip_prefix(metric) else { continue };
            let value = rest.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).unwrap_or(0);
            if rest.starts_with("_count") {
                prompt.count += value;
            } else if rest.starts_with("_bucket") && rest.contains(&within) {
                prompt.in_time += value;
            }
        }
        prompt
    }

    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.in_time += other.in_time;
    }
}

impl Watched {
    fn add(&mut self, other: &Self) {
        self.scrapes += other.scrapes;
        self.event_bytes += other.event_bytes;
        self.mailbox.add(other.mailbox);
        self.timers.add(other.timers);
    }

    /// Takes in what a scrape says; all that it says counts from Adit's start.
    fn scraped(&mut self, body: &str) {
        self.scrapes += 1;
        self.mailbox = Prompt::read(body, "adit_mailbox_wait_seconds");
        self.timers = Prompt::read(body, "adit_timer_lateness_seconds");
    }
}

impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = self.in_time as f64 / self.count.max(1) as f64;
        write!(f, "{:.2} % of {} within {PROMPT_S} s", share * 100.0, self.count)
    }
}

impl Plan {
    /// Measures one load with and without watchers. `tell` hears what comes.
    pub fn impact(
        &self,
        load: Load,
        watchers: Watchers,
        mut tell: impl FnMut(&str),
    ) -> Result<Impact, MeasureError> {
        let directory = WorkDirectory::make()?;
        let mut impact = Impact { load, rounds: Vec::new(), watched: Watched::default() };
        for round in 0..self.rounds {
            let mut reports: [LeanReport; 3] = Default::default();
            for turn in 0..reports.len() {
                // Which of them comes first turns with the round.
                let place = (turn + round) % reports.len();
                let about = ["quiet", "watched", "quiet again"][place];
                let (connections, kind) = (load.connections, load.kind());
                tell(&format!("{connections} {kind}, round {} of {}: {about}", round + 1, self.rounds));
                let admin = free_address()?;
                let mut plan = self.clone();
                plan.adit_arguments.extend(["--admin".to_owned(), admin.to_string()]);
                let crowd = (place == 1).then(|| Crowd::start(admin, watchers, self.cores.miners));
                reports[place] = measure(&plan, load, Proxy::Adit, &directory.0)?;
                if let Some(watched) = crowd.map(Crowd::stop).transpose()? {
                    impact.watched.add(&watched);
                }
            }
            impact.rounds.push(reports);
        }
        Ok(impact)
    }
}

/// Watchers on a thread of their own.
struct Crowd {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<Watched>>,
}

impl Crowd {
    /// Watches as soon as somebody answers at `admin`. The thread keeps to `core`, so that it takes nothing from the proxy.
    fn start(admin: SocketAddr, watchers: Watchers, core: usize) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = stopping.clone();
        let thread = thread::spawn(move || {
            let mut mask = CpuSet::new();
            mask.set(core);
            sched_setaffinity(None, &mask)?;
            watch(admin, watchers, &stop)
        });
        Self { stopping, thread }
    }

    /// What it saw.
    fn stop(self) -> io::Result<Watched> {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("a watcher panicked")))
    }
}

fn watch(admin: SocketAddr, watchers: Watchers, stop: &AtomicBool) -> io::Result<Watched> {
    let begun = Instant::now();
    let mut asking = loop {
        match TcpStream::connect(admin) {
            Ok(stream) => break stream,
            Err(_) if begun.elapsed() < PATIENCE => thread::sleep(READ_EVERY),
            Err(error) => return Err(error),
        }
    };
    asking.set_read_timeout(Some(PATIENCE))?;
    let mut listeners = (0..watchers.listeners).map(|n| listen(admin, n)).collect::<io::Result<Vec<_>>>()?;
    let pause = Duration::from_secs(1) / watchers.scrapes_per_second.max(1);
    let (mut watched, mut due) = (Watched::default(), Instant::now());
    while !stop.load(Ordering::Relaxed) {
        if Instant::now() >= due {
            due += pause;
            match scrape(&mut asking, admin) {
                Ok(body) => watched.scraped(&body),
                // The proxy ends when its measurement does, which may be now.
                Err(_) => break,
            }
        }
        for listener in &mut listeners {
            watched.event_bytes += read_away(listener)?;
        }
        thread::sleep(READ_EVERY.min(due.saturating_duration_since(Instant::now())));
    }
    Ok(watched)
}

fn listen(admin: SocketAddr, number: u32) -> io::Result<TcpStream> {
    let how = if number.is_multiple_of(2) {
        "Accept: text/event-stream\r\n"
    } else {
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    };
    let mut stream = TcpStream::connect(admin)?;
    stream.write_all(format!("GET /events HTTP/1.1\r\nHost: {admin}\r\n{how}\r\n").as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// The answer to one scrape, its head included.
fn scrape(stream: &mut TcpStream, admin: SocketAddr) -> io::Result<String> {
    stream.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\n\r\n").as_bytes())?;
    let (mut read, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        read.extend_from_slice(buffer.get(..count).unwrap_or_default());
        if let Some(length) = answer_length(&read)
            && read.len() >= length
        {
            return Ok(String::from_utf8_lossy(&read).into_owned());
        }
    }
}

/// The length of the answer with its head, once the head is there.
fn answer_length(read: &[u8]) -> Option<usize> {
    let end = read.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(read.get(..end)?).ok()?.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    Some(end + length.trim().parse::<usize>().ok()?)
}

fn read_away(stream: &mut TcpStream) -> io::Result<u64> {
    let (mut bytes, mut buffer) = (0, [0; 16 * 1024]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(bytes),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(bytes),
            Err(error) => return Err(error),
        }
    }
}

/// A figure that may change by being watched.
type Figure = fn(&LeanReport) -> f64;

const FIGURES: [(&str, Figure); 4] = [
    ("relay's CPU per round trip", |report| report.cpu_us_of(|thread| thread.starts_with("adit-shard"))),
    ("CPU of all threads per round trip", LeanReport::cpu_us_per_round_trip),
    ("p50", |report| report.p50_us as f64),
    ("p99", |report| report.p99_us as f64),
];

impl fmt::Display for Impact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Watched { scrapes, event_bytes, mailbox, timers } = self.watched;
        writeln!(
            f,
            "{} connections, {}: {} rounds, {scrapes} scrapes answered, {} KiB of events read\n  \
             messages to shards: {mailbox}; their deadlines: {timers}",
            self.load.connections,
            self.load.kind(),
            self.rounds.len(),
            event_bytes / 1024
        )?;
        for (name, figure) in FIGURES {
            let median_of = |place: usize| median(self.rounds.iter().map(|round| figure(&round[place])));
            let ratio = |place: usize| {
                median(self.rounds.iter().map(|round| figure(&round[place]) / figure(&round[0]).max(1e-9)))
            };
            writeln!(
                f,
                "  {name:<34} {:>10.2} µs quiet {:>10.2} µs watched   ratio {:.3}   quiet to quiet {:.3}",
                median_of(0),
                median_of(1),
                ratio(1),
                ratio(2)
            )?;
        }
        Ok(())
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_says() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(answer_length(head.as_bytes()), Some(head.len() + 5));
        assert_eq!(answer_length(&head.as_bytes()[..20]), None);
    }

    #[test]
    fn what_was_prompt_is_added_up_over_shards() {
        let body = "# TYPE a_seconds histogram\n\
            a_seconds_bucket{shard=\"0\",le=\"0.01\"} 5\na_seconds_bucket{shard=\"0\",le=\"0.025\"} 7\n\
            a_seconds_sum{shard=\"0\"} 0.5\na_seconds_count{shard=\"0\"} 7\n\
            a_seconds_bucket{shard=\"1\",le=\"0.01\"} 2\na_seconds_count{shard=\"1\"} 2\n\
            b_seconds_count{shard=\"0\"} 9\n";
        assert_eq!(Prompt::read(body, "a_seconds"), Prompt { count: 9, in_time: 7 });
    }

    #[test]
    fn an_impact_tells_the_median_of_the_ratios_within_rounds() {
        let report = |ns: u64, p99_us| {
            let cpu_ns = [("adit-shard-0".to_owned(), ns)].into();
            LeanReport { round_trips: 1_000, cpu_ns, p99_us, ..LeanReport::default() }
        };
        let round = |quiet: u64, watched: u64| [report(quiet, 100), report(watched, 105), report(quiet, 100)];
        let rounds = vec![round(1_000, 1_100), round(2_000, 2_400), round(4_000, 4_800)];
        let watched = Watched { scrapes: 3, event_bytes: 2_048, ..Watched::default() };
        let impact = Impact { load: Load::ALL[0], rounds, watched };
        let told = impact.to_string();
        assert!(told.contains("ratio 1.200   quiet to quiet 1.000"), "{told}");
        assert!(told.contains("ratio 1.050"), "{told}");
    }
}
