//! One thread of simulated miners: a poll over their sockets, and timers for connects and submits.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::miner::{Event, Miner, Phase, Waiting};
use super::pace::Turn;
use super::report::{ARRIVALS_KEPT_MAX, Answer, Arrival, FleetReport, Progress, TEXTS_KEPT_MAX};
use super::style::CLIENT_HELLO;
use super::{FleetConfig, Order, Pace};
use crate::json_line::Verdict;
use crate::line_socket::{Filled, Flushed, LineSocket};
use crate::timers::Timers;

const WAKER: Token = Token(usize::MAX);
const EVENTS_PER_TURN: usize = 1024;
/// Longest sleep; nothing depends on it.
const IDLE_WAIT: Duration = Duration::from_secs(1);
/// The poll counts in milliseconds. What is due sooner is waited for in naps, so that pacing stays finer than that.
const POLL_GRAIN: Duration = Duration::from_millis(1);
const NAP: Duration = Duration::from_micros(50);

/// How often a slow reader reads.
const SLOW_READ_EVERY: Duration = Duration::from_millis(100);

/// What a timer is for; miners by their place in the crew.
#[derive(Debug)]
pub(super) enum Later {
    Connect(usize),
    HandshakeOver(usize, u32),
    Silence(usize, u32, usize),
    /// The next miner in turn submits.
    Submit,
    /// The slow reader at this place reads a little.
    Read(usize, u32),
    /// The miner at this place leaves, and the next one is planned.
    Leave(usize),
}

/// Everything the thread owns.
#[derive(Debug)]
pub(super) struct Loop {
    pub(super) config: FleetConfig,
    poll: Poll,
    inbox: Receiver<Order>,
    pub(super) progress: Arc<Progress>,
    pub(super) miners: Vec<Miner>,
    pub(super) timers: Timers<(Instant, Later)>,
    pub(super) report: FleetReport,
    /// Chunked sockets that have more to write.
    busy: HashSet<usize>,
    /// At a rate: whose turn it is to submit.
    pub(super) turn: Turn,
    /// Submitting is over; the end comes then, or when all are answered.
    pub(super) finish_at: Option<Instant>,
}

impl Loop {
    /// The `nth` of `threads` equal parts of the fleet.
    pub(super) fn new(
        config: &FleetConfig,
        nth: usize,
        threads: usize,
        inbox: Receiver<Order>,
        progress: Arc<Progress>,
    ) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut timers = Timers::new();
        let now = Instant::now();
        let mut miners = Vec::new();
        for number in (nth..config.miners).step_by(threads) {
            let name = config.name_of(number);
            let style = config.styles[number % config.styles.len().max(1)];
            let at = now + Duration::from_secs_f64(number as f64 / config.connects_per_second.max(0.001));
            timers.push(at, (at, Later::Connect(miners.len())));
            let mut miner = Miner::new(number as u32, name, style);
            miner.is_slow = number + config.slow_readers >= config.miners;
            miners.push(miner);
        }
        if matches!(config.pace, Pace::PerSecond(_)) {
            timers.push(now, (now, Later::Submit));
        }
        if config.leaves_per_second > 0.0 {
            let at = now + Duration::from_secs_f64(1.0 / config.leaves_per_second);
            timers.push(at, (at, Later::Leave(0)));
        }
        let crew = Self {
            config: config.clone(),
            poll,
            inbox,
            progress,
            miners,
            timers,
            report: FleetReport::default(),
            busy: HashSet::new(),
            turn: Turn::default(),
            finish_at: None,
        };
        Ok((crew, waker))
    }

    pub(super) fn run(mut self) -> FleetReport {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.is_over() {
            if let Err(error) = self.wait(&mut events)
                && error.kind() != io::ErrorKind::Interrupted
            {
                self.report.fail(format!("poll: {error}"));
                break;
            }
            self.take_orders();
            for event in &events {
                if event.token() != WAKER {
                    self.serve(event.token().0);
                }
            }
            self.run_timers();
            for place in std::mem::take(&mut self.busy) {
                self.flush(place);
            }
        }
        for place in 0..self.miners.len() {
            self.settle(place, Answer::Missing);
        }
        self.report.names = self.miners.iter().map(|miner| (miner.number, miner.name().to_owned())).collect();
        self.report
    }

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let mut wait = self.timers.wait(Instant::now()).unwrap_or(IDLE_WAIT).min(IDLE_WAIT);
        if let Some(at) = self.finish_at {
            wait = wait.min(at.saturating_duration_since(Instant::now())).min(POLL_GRAIN);
        }
        if !self.busy.is_empty() {
            wait = Duration::ZERO;
        }
        if wait < POLL_GRAIN {
            self.poll.poll(events, Some(Duration::ZERO))?;
            if events.is_empty() && !wait.is_zero() {
                std::thread::sleep(wait.min(NAP));
            }
            return Ok(());
        }
        self.poll.poll(events, Some(Duration::from_millis(wait.as_millis() as u64)))
    }

    fn is_over(&self) -> bool {
        self.finish_at.is_some_and(|at| {
            Instant::now() >= at || self.miners.iter().all(|miner| miner.open_submits().next().is_none())
        })
    }

    fn take_orders(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(Order::Finish { grace }) => {
                    self.finish_at = Some(Instant::now() + grace);
                    self.read_up();
                }
                Ok(Order::Storm { part }) => self.storm(part),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.finish_at.get_or_insert_with(Instant::now);
                    return;
                }
            }
        }
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        while let Some((due, later)) = self.timers.pop_due(now) {
            match later {
                Later::Connect(place) => self.connect(place),
                Later::Submit => self.submit_in_turn(due),
                Later::Read(place, generation) => self.read_slowly(place, generation),
                Later::Leave(place) => self.leave(place, due),
                Later::HandshakeOver(place, generation) => self.check_handshake(place, generation),
                Later::Silence(place, generation, step) => {
                    if self.miners[place].generation == generation {
                        let event = self.miners[place].heard_silence(step);
                        self.take_event(place, event, &[]);
                        self.flush(place);
                    }
                }
            }
        }
    }

    fn connect(&mut self, place: usize) {
        if self.finish_at.is_some() {
            return;
        }
        let miner = &mut self.miners[place];
        miner.forget();
        miner.connect_at = Instant::now();
        miner.generation += 1;
        let generation = miner.generation;
        match LineSocket::connect(self.config.address, self.poll.registry(), Token(place)) {
            Ok(mut socket) => {
                socket.set_chunk_bytes(self.config.chunk_bytes);
                if miner.is_slow {
                    socket.receive_little();
                }
                miner.socket = Some(socket);
                miner.phase = Phase::Connecting;
            }
            Err(error) => {
                self.report.fail(format!("connect: {error}"));
                return self.closed(place);
            }
        }
        let at = Instant::now() + self.config.handshake_timeout;
        self.timers.push(at, (at, Later::HandshakeOver(place, generation)));
    }

    /// Lets the next miner that mines leave. Each thread has its part of them, and leaves that much less often.
    fn leave(&mut self, place: usize, due: Instant) {
        let place = place % self.miners.len().max(1);
        if self.finish_at.is_none() && self.miners.get(place).is_some_and(|miner| miner.counted) {
            self.part(place);
        }
        let part = self.config.miners as f64 / self.miners.len().max(1) as f64;
        let next = due + Duration::from_secs_f64(part / self.config.leaves_per_second);
        self.timers.push(next, (next, Later::Leave(place + 1)));
    }

    /// At the end slow readers read what waits for them: an answer that nobody read is no answer that was not given.
    fn read_up(&mut self) {
        for place in 0..self.miners.len() {
            if self.miners[place].reads_slowly() {
                self.miners[place].is_slow = false;
                self.serve(place);
            }
        }
    }

    /// Lets this part of the miners that mine lose their connections, evenly over all of them.
    fn storm(&mut self, part: f64) {
        let mut owed = 0.0;
        for place in 0..self.miners.len() {
            owed += part.clamp(0.0, 1.0);
            if owed >= 1.0 {
                owed -= 1.0;
                if self.miners[place].counted {
                    self.part(place);
                }
            }
        }
    }

    fn check_handshake(&mut self, place: usize, generation: u32) {
        let miner = &self.miners[place];
        if miner.generation == generation
            && matches!(miner.phase, Phase::Connecting | Phase::Probing | Phase::Handshaking)
        {
            self.report.fail(format!("miner {}: still {:?} at its deadline", miner.number, miner.phase));
        }
    }

    /// Something happened on a miner's socket.
    fn serve(&mut self, place: usize) {
        if self.miners[place].phase == Phase::Connecting && !self.check_connect(place) {
            return;
        }
        if self.miners[place].reads_slowly() {
            return self.flush(place);
        }
        let Some(socket) = &mut self.miners[place].socket else { return };
        let filled = socket.fill();
        self.take_lines(place, filled.is_ok_and(|filled| filled == Filled::Open));
    }

    /// A slow reader takes what its pace allows, and comes back for more.
    fn read_slowly(&mut self, place: usize, generation: u32) {
        let miner = &mut self.miners[place];
        let Some(socket) = miner.socket.as_mut().filter(|_| miner.generation == generation) else { return };
        let bytes = f64::from(self.config.slow_bytes_per_second) * SLOW_READ_EVERY.as_secs_f64();
        let filled = socket.fill_some((bytes as usize).max(1));
        let at = Instant::now() + SLOW_READ_EVERY;
        self.timers.push(at, (at, Later::Read(place, generation)));
        self.take_lines(place, filled.is_ok_and(|filled| filled != Some(Filled::Ended)));
    }

    /// Takes all lines that were read, and the end of the connection where it does not go on.
    fn take_lines(&mut self, place: usize, goes_on: bool) {
        let mut line = Vec::new();
        while let Some(socket) = &mut self.miners[place].socket {
            if !socket.next_line(&mut line) {
                break;
            }
            match self.miners[place].take_line(&line) {
                Some(event) => self.take_event(place, event, &line),
                None => self.report.fail(format!("not JSON: {}", String::from_utf8_lossy(&line))),
            }
        }
        self.recount(place);
        if goes_on { self.flush(place) } else { self.closed(place) }
    }

    /// Whether the connect is through; starts what comes first then.
    fn check_connect(&mut self, place: usize) -> bool {
        let miner = &mut self.miners[place];
        let Some(socket) = &mut miner.socket else { return false };
        match socket.connected() {
            Ok(true) => {}
            Ok(false) => return false,
            Err(error) => {
                self.report.fail(format!("connect: {error}"));
                self.closed(place);
                return false;
            }
        }
        self.report.connects += 1;
        if miner.probed {
            miner.phase = Phase::Handshaking;
            let event = miner.advance();
            self.take_event(place, event, &[]);
        } else {
            socket.queue(&CLIENT_HELLO);
            miner.phase = Phase::Probing;
        }
        true
    }

    fn take_event(&mut self, place: usize, event: Event, line: &[u8]) {
        match event {
            Event::Answered(waiting, verdict) => self.answered(place, waiting, verdict),
            Event::Refused(method) => *self.report.refused.entry(method.into()).or_default() += 1,
            Event::Called(method) => {
                if method == "mining.notify" {
                    self.progress.jobs_heard.fetch_add(1, Relaxed);
                }
                *self.report.notifications.entry(method).or_default() += 1;
            }
            Event::Stray => {
                self.report.strays += 1;
                if self.report.stray_lines.len() < TEXTS_KEPT_MAX {
                    self.report.stray_lines.push(String::from_utf8_lossy(line).into_owned());
                }
            }
            Event::AwaitSilence(step, time) => {
                let at = Instant::now() + time;
                self.timers.push(at, (at, Later::Silence(place, self.miners[place].generation, step)));
            }
            Event::Nothing => {}
        }
    }

    fn answered(&mut self, place: usize, waiting: Waiting, verdict: Verdict) {
        let now = Instant::now();
        let micros = |from: Instant| now.saturating_duration_since(from).as_micros() as u64;
        // How late a slow reader reads its answers says nothing of anybody else.
        if !self.miners[place].is_slow {
            self.report.latency_us.saturating_record(micros(waiting.due));
            self.progress.lately_us.lock().saturating_record(micros(waiting.due));
            self.report.service_us.saturating_record(micros(waiting.sent));
        }
        self.report.submits[waiting.place].answer = Answer::Given(verdict);
        self.progress.answered.fetch_add(1, Relaxed);
        if verdict == Verdict::Accepted {
            self.progress.accepted.fetch_add(1, Relaxed);
        }
        if matches!(self.config.pace, Pace::InFlight(_)) {
            self.submit(place, now);
        }
    }

    /// Notes a miner that has come to mine, or to other work, and starts its pace.
    fn recount(&mut self, place: usize) {
        self.note_arrival(place);
        let miner = &mut self.miners[place];
        let mining = miner.can_submit();
        if mining && !miner.counted {
            miner.counted = true;
            self.report.first_job_us.saturating_record(miner.connect_at.elapsed().as_micros() as u64);
            self.progress.mining.fetch_add(1, Relaxed);
            if miner.is_slow {
                let at = Instant::now() + SLOW_READ_EVERY;
                self.timers.push(at, (at, Later::Read(place, miner.generation)));
            }
            self.fill_loop(place);
        }
    }

    fn note_arrival(&mut self, place: usize) {
        let miner = &mut self.miners[place];
        let Some(to) = miner.new_source().map(String::from) else { return };
        let before = miner.at_work.replace((to.clone(), miner.generation));
        let is_live = before.as_ref().is_some_and(|(_, on)| *on == miner.generation);
        let worked_for = before.as_ref().filter(|_| miner.counted).map(|(from, _)| from.as_str());
        self.progress.move_worker(worked_for, Some(&to));
        let count = match before {
            None => &self.progress.arrived,
            Some(_) if is_live => &self.progress.switches,
            Some(_) => &self.progress.returns,
        };
        count.fetch_add(1, Relaxed);
        if self.report.arrivals.len() < ARRIVALS_KEPT_MAX {
            let (from, to) = (before.map(|(from, _)| from.into()), to.into());
            let arrival = Arrival { at: Instant::now(), miner: miner.number, from, to, is_live };
            self.report.arrivals.push(arrival);
        }
    }

    pub(super) fn flush(&mut self, place: usize) {
        match self.miners[place].socket.as_mut().map(LineSocket::flush) {
            Some(Ok(Flushed::NextTurn)) => {
                self.busy.insert(place);
            }
            Some(Err(_)) => self.closed(place),
            Some(Ok(_)) | None => {}
        }
    }

    /// The connection is gone, by the other side or by an error.
    fn closed(&mut self, place: usize) {
        if self.miners[place].phase != Phase::Probing {
            self.report.closes += 1;
            self.progress.closes.fetch_add(1, Relaxed);
        }
        self.part(place);
    }

    /// Lets go of a connection, and plans the next.
    fn part(&mut self, place: usize) {
        self.settle(place, Answer::ConnectionClosed);
        let miner = &mut self.miners[place];
        if let Some(mut socket) = miner.socket.take() {
            socket.deregister(self.poll.registry());
        }
        if miner.phase == Phase::Probing {
            miner.probed = true;
            miner.phase = Phase::Offline;
            return self.connect(place);
        }
        if std::mem::take(&mut miner.counted) {
            self.progress.mining.fetch_sub(1, Relaxed);
            self.progress.move_worker(miner.at_work.as_ref().map(|(from, _)| from.as_str()), None);
        }
        match self.config.reconnect_after {
            Some(time) => {
                miner.phase = Phase::Offline;
                let jitter = self.config.reconnect_jitter.mul_f64(miner.chance());
                let at = Instant::now() + time + jitter;
                self.timers.push(at, (at, Later::Connect(place)));
            }
            None => miner.phase = Phase::Over,
        }
    }

    /// Writes down what became of the submits that are still open.
    fn settle(&mut self, place: usize, answer: Answer) {
        let miner = &mut self.miners[place];
        for waiting in miner.open_submits() {
            self.report.submits[waiting.place].answer = answer;
        }
        miner.forget();
    }
}
