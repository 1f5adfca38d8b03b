//! The lean miners themselves: one thread, one poll, and a timer with a finer grain than a poll's timeout.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::link::{Link, READ_BYTES};
use super::miners::{LeanConfig, Pace, Quiet};
use super::wire::{self, Told};

const TIMER: Token = Token(usize::MAX);
const EVENTS_PER_TURN: usize = 1024;
const SUBSCRIBE_ID: u64 = 1;
const AUTHORIZE_ID: u64 = 2;
/// The first id of a submit; what is below belongs to the handshake.
const FIRST_SUBMIT_ID: u64 = 10;
/// Highest latency told apart: a minute.
const LATENCY_MAX_US: u64 = 60_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Subscribing,
    Authorizing,
    /// Logged in; the first job may still be missing.
    In,
}

#[derive(Debug)]
struct Miner {
    link: Link,
    phase: Phase,
    name: String,
    job: String,
    next_id: u64,
    /// Submits that wait for their answer, oldest first, each with the time it was due.
    waiting: VecDeque<(u64, Instant)>,
}

/// What is counted over all miners.
#[derive(Debug)]
struct Tally {
    round_trips: u64,
    latency_us: Histogram<u64>,
    logged_in: usize,
    /// Jobs heard, and those of them that every miner must have heard before the next begins.
    deliveries: u64,
    fan_out: Option<FanOut>,
    faults: u64,
    first_fault: Option<String>,
}

/// A job on its way to all miners.
#[derive(Debug, Default)]
struct FanOut {
    miners: usize,
    job: u64,
    heard: usize,
}

impl FanOut {
    /// A miner heard this job; true if it was the last of them. Jobs that some miner never hears count for nothing.
    fn is_last(&mut self, job: u64) -> bool {
        if job > self.job {
            *self = Self { miners: self.miners, job, heard: 0 };
        }
        self.heard += usize::from(job == self.job);
        job == self.job && self.heard == self.miners
    }
}

/// All miners of one measurement.
#[derive(Debug)]
pub(super) struct Crowd {
    config: LeanConfig,
    poll: Poll,
    timer: OwnedFd,
    miners: Vec<Option<Miner>>,
    tally: Tally,
    buffer: Vec<u8>,
    out: Vec<u8>,
    /// Whether answers are followed by submits.
    loaded: bool,
    /// Open loop: who is next, and when.
    next_miner: usize,
    next_due: Option<Instant>,
}

impl Crowd {
    pub(super) fn new(config: &LeanConfig) -> io::Result<Self> {
        let poll = Poll::new()?;
        let timer =
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        let latency_us = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3).map_err(io::Error::other)?;
        Ok(Self {
            config: config.clone(),
            poll,
            timer,
            miners: Vec::with_capacity(config.connections),
            tally: Tally {
                round_trips: 0,
                latency_us,
                logged_in: 0,
                deliveries: 0,
                fan_out: None,
                faults: 0,
                first_fault: None,
            },
            buffer: vec![0; READ_BYTES],
            out: Vec::new(),
            loaded: false,
            next_miner: 0,
            next_due: None,
        })
    }

    /// Connects everyone, so many at a time, until all have a job.
    pub(super) fn log_all_in(&mut self, deadline: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while self.tally.logged_in < self.config.connections {
            while self.miners.len() < self.config.connections
                && self.miners.len() - self.tally.logged_in < self.config.logins_max
            {
                self.connect()?;
            }
            self.turn(&mut events, deadline)?;
            if let Some(fault) = &self.tally.first_fault {
                return Err(io::Error::other(format!("a login failed: {fault}")));
            }
            if Instant::now() >= deadline {
                let text =
                    format!("{} of {} logged in in time", self.tally.logged_in, self.config.connections);
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
        Ok(())
    }

    /// Serves the sockets until then.
    pub(super) fn turn_until(&mut self, end: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while Instant::now() < end {
            self.turn(&mut events, end)?;
        }
        Ok(())
    }

    /// Submits from now on, or watches jobs.
    pub(super) fn start_load(&mut self) -> io::Result<()> {
        self.loaded = true;
        if self.config.quiet == Quiet::FanOut {
            self.tally.fan_out = Some(FanOut { miners: self.config.connections, ..FanOut::default() });
        }
        match self.config.pace {
            Pace::Closed => (0..self.submitters()).for_each(|place| self.submit(place, Instant::now())),
            Pace::PerSecond(_) => {
                self.next_due = Some(Instant::now());
                self.submit_due()?;
            }
        }
        Ok(())
    }

    /// Forgets the latencies so far; what was done so far.
    pub(super) fn start_measuring(&mut self) -> u64 {
        self.tally.latency_us.reset();
        self.round_trips()
    }

    pub(super) fn stop_load(&mut self) {
        self.loaded = false;
        self.next_due = None;
    }

    /// Waits until everything is answered; what is not by then is a fault.
    pub(super) fn settle_all(&mut self, deadline: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let open =
            |crowd: &Self| crowd.miners.iter().flatten().map(|miner| miner.waiting.len()).sum::<usize>();
        while open(self) > 0 && Instant::now() < deadline {
            self.turn(&mut events, deadline.min(Instant::now() + Duration::from_millis(10)))?;
        }
        for _ in 0..open(self) {
            self.tally.fault("a submit was not answered");
        }
        Ok(())
    }

    /// Round trips so far, or jobs delivered where that is what is measured.
    pub(super) fn round_trips(&self) -> u64 {
        if self.config.quiet == Quiet::FanOut { self.tally.deliveries } else { self.tally.round_trips }
    }

    /// Miners that submit; the others come after them.
    fn submitters(&self) -> usize {
        match self.config.quiet {
            Quiet::Nobody => self.miners.len(),
            Quiet::Reading(count) | Quiet::Deaf(count) => self.miners.len().saturating_sub(count),
            Quiet::FanOut => 0,
        }
    }

    /// Whether a miner has stopped to read.
    fn is_deaf(&self, place: usize) -> bool {
        self.loaded && matches!(self.config.quiet, Quiet::Deaf(_)) && place >= self.submitters()
    }

    pub(super) fn latency_us(&self) -> &Histogram<u64> {
        &self.tally.latency_us
    }

    pub(super) fn into_faults(self) -> (u64, Option<String>) {
        (self.tally.faults, self.tally.first_fault)
    }

    fn turn(&mut self, events: &mut Events, end: Instant) -> io::Result<()> {
        match self.poll.poll(events, Some(end.saturating_duration_since(Instant::now()))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in events.iter() {
            match event.token() {
                TIMER => self.submit_due()?,
                Token(place) => self.serve(place),
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> io::Result<()> {
        let place = self.miners.len();
        let mut stream = TcpStream::connect(self.config.address)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(place), interest)?;
        let link = Link::new(stream);
        link.reset_on_close();
        if let Quiet::Deaf(count) = self.config.quiet
            && place >= self.config.connections.saturating_sub(count)
        {
            link.receive_little();
        }
        self.miners.push(Some(Miner {
            link,
            phase: Phase::Connecting,
            name: format!("load.rig{place}"),
            job: String::new(),
            next_id: FIRST_SUBMIT_ID,
            waiting: VecDeque::new(),
        }));
        Ok(())
    }

    fn serve(&mut self, place: usize) {
        if self.is_deaf(place) {
            return;
        }
        let submits = place < self.submitters();
        let Some(miner) = self.miners.get_mut(place).and_then(Option::as_mut) else { return };
        self.out.clear();
        if miner.phase == Phase::Connecting && !miner.link.is_connecting() {
            // From here on only reading is waited for: an event for every acknowledgement would cost as much as the load.
            let _ = miner.link.stream.set_nodelay(true);
            let _ = self.poll.registry().reregister(&mut miner.link.stream, Token(place), Interest::READABLE);
            miner.phase = Phase::Subscribing;
            wire::push_subscribe(&mut self.out, SUBSCRIBE_ID);
        }
        let follow_up = submits && self.loaded && self.config.pace == Pace::Closed;
        if !miner.serve(&mut self.buffer, &mut self.out, follow_up, &mut self.tally) {
            self.miners[place] = None;
        }
    }

    /// Open loop: submits everything that is due, and sets the timer for the next.
    fn submit_due(&mut self) -> io::Result<()> {
        let (Some(mut due), Pace::PerSecond(rate)) = (self.next_due, self.config.pace) else { return Ok(()) };
        let submitters = self.submitters();
        if submitters == 0 {
            return Ok(());
        }
        while due <= Instant::now() {
            self.submit(self.next_miner, due);
            self.next_miner = (self.next_miner + 1) % submitters;
            due += Duration::from_secs_f64(1.0 / rate.max(1e-3));
        }
        self.next_due = Some(due);
        // Zero would disarm the timer.
        let wait = due.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
        let once = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval: never, it_value: once };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)?;
        Ok(())
    }

    fn submit(&mut self, place: usize, due: Instant) {
        let Some(miner) = self.miners.get_mut(place).and_then(Option::as_mut) else { return };
        self.out.clear();
        miner.push_submit(&mut self.out, due);
        if let Err(error) = miner.link.write(&self.out) {
            self.tally.fault(&format!("write: {error}"));
            self.miners[place] = None;
        }
    }
}

impl Miner {
    /// Takes what came and sends what follows from it; false once the connection is of no more use.
    fn serve(&mut self, buffer: &mut [u8], out: &mut Vec<u8>, follow_up: bool, tally: &mut Tally) -> bool {
        let Self { link, phase, name, job, waiting, .. } = self;
        let mut answers = 0;
        let was_in = *phase == Phase::In && !job.is_empty();
        let open = link.read_lines(buffer, |line| match Told::read(line) {
            Told::Job { id } => {
                job.clear();
                job.push_str(&String::from_utf8_lossy(id));
                tally.heard(line);
            }
            Told::Answer { accepted: false, .. } => {
                tally.fault(&format!("refused: {}", String::from_utf8_lossy(line)));
            }
            Told::Answer { id: SUBSCRIBE_ID, .. } if *phase == Phase::Subscribing => {
                *phase = Phase::Authorizing;
                wire::push_authorize(out, AUTHORIZE_ID, name);
            }
            Told::Answer { id: AUTHORIZE_ID, .. } if *phase == Phase::Authorizing => *phase = Phase::In,
            Told::Answer { id, .. } => match waiting.pop_front() {
                Some((expected, due)) if expected == id => {
                    tally.round_trips += 1;
                    tally.latency_us.saturating_record(due.elapsed().as_micros() as u64);
                    answers += 1;
                }
                _ => tally.fault(&format!("astray: {}", String::from_utf8_lossy(line))),
            },
            Told::Other => {}
        });
        tally.logged_in += usize::from(!was_in && *phase == Phase::In && !job.is_empty());
        if follow_up {
            (0..answers).for_each(|_| self.push_submit(out, Instant::now()));
        }
        let written = if out.is_empty() { Ok(()) } else { self.link.write(out) };
        match (open, written) {
            (Ok(true), Ok(())) => return true,
            (Ok(false), _) => tally.fault("closed by the other side"),
            (Err(error), _) | (_, Err(error)) => tally.fault(&error.to_string()),
        }
        false
    }

    fn push_submit(&mut self, out: &mut Vec<u8>, due: Instant) {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push_back((id, due));
        wire::push_submit(out, id, &self.name, &self.job);
    }
}

impl Tally {
    /// A job came to a miner. Once the last one has it, the time from the pool's first byte is what is told.
    fn heard(&mut self, line: &[u8]) {
        let Some(fan_out) = &mut self.fan_out else { return };
        self.deliveries += 1;
        if let Some((job, sent_ns)) = wire::stamp(line)
            && fan_out.is_last(job)
        {
            self.latency_us.saturating_record(wire::clock_ns().saturating_sub(sent_ns) / 1_000);
        }
    }

    fn fault(&mut self, text: &str) {
        self.faults += 1;
        self.first_fault.get_or_insert_with(|| text.to_owned());
    }
}
