//! The pool's thread: one poll over all connections, a timer for the next job, orders from outside.

use std::collections::HashSet;
use std::io;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_protocol::difficulty::Target;
use mio::{Events, Token, Waker};

use super::Order;
use super::client::Client;
use super::desk::{After, Desk};
use crate::hall::{EVENTS_PER_TURN, Hall, Knock};
use crate::line_socket::{Filled, Flushed, LineSocket};
use crate::timers::Timers;

/// Longest sleep; nothing depends on it.
const IDLE_WAIT: Duration = Duration::from_secs(1);
/// A miner that lets so much pile up does not read any more.
const QUEUED_BYTES_MAX: usize = 1024 * 1024;
/// Bytes taken from one connection before the others get their turn.
const READ_BYTES_PER_TURN: usize = 64 * 1024;
/// Pause after the kernel had no descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
enum Later {
    Job,
    MustHaveSubscribed(Token),
    Accept,
}

#[derive(Debug)]
struct Connection {
    socket: LineSocket,
    client: Client,
    /// The miner has closed its direction; what is queued still goes out.
    ended: bool,
}

/// Everything the thread owns.
#[derive(Debug)]
pub(super) struct Loop {
    hall: Hall<Connection>,
    inbox: Receiver<Order>,
    desk: Desk,
    timers: Timers<Later>,
    /// Connections with more to read: no event will tell.
    busy: HashSet<Token>,
    /// For the lines of one turn.
    out: String,
    stopping: bool,
}

/// Seconds since 1970, as headers have them.
pub(super) fn unix_time() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

impl Loop {
    pub(super) fn new(
        listener: TcpListener,
        desk: Desk,
        inbox: Receiver<Order>,
    ) -> io::Result<(Self, Waker)> {
        let (hall, waker) = Hall::open(listener)?;
        let mut timers = Timers::new();
        timers.push(Instant::now() + desk.config.job_interval, Later::Job);
        let this =
            Self { hall, inbox, desk, timers, busy: HashSet::new(), out: String::new(), stopping: false };
        Ok((this, waker))
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.stopping {
            if let Err(error) = self.hall.wait(&mut events, self.wait()) {
                log::error!("practice pool: poll: {error}");
                return;
            }
            self.take_orders();
            for token in std::mem::take(&mut self.busy) {
                self.serve(token);
            }
            for event in &events {
                match Hall::<Connection>::knock(event.token()) {
                    Knock::Door => self.accept(),
                    Knock::Waker => {}
                    Knock::Guest(token) => self.serve(token),
                }
            }
            self.run_timers();
        }
        self.hall.tokens().into_iter().for_each(|token| self.close(token, false));
    }

    fn wait(&self) -> Duration {
        if !self.busy.is_empty() {
            return Duration::ZERO;
        }
        self.timers.wait(Instant::now()).unwrap_or(IDLE_WAIT).min(IDLE_WAIT)
    }

    fn take_orders(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(Order::Job) => self.job_for_all(Desk::next_job),
                Ok(Order::Block) => self.job_for_all(Desk::next_block),
                Ok(Order::Difficulty(difficulty)) => self.set_difficulty(difficulty),
                Ok(Order::Disconnect) => {
                    self.hall.tokens().into_iter().for_each(|token| self.close(token, false));
                }
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => {
                    self.stopping = true;
                    return;
                }
                Err(TryRecvError::Empty) => return,
            }
        }
    }

    fn accept(&mut self) {
        loop {
            let stream = match self.hall.next_at_door() {
                Ok(Some(stream)) => stream,
                Ok(None) => return,
                Err(error) => {
                    log::warn!("practice pool: accept: {error}");
                    self.timers.push(Instant::now() + ACCEPT_PAUSE, Later::Accept);
                    return;
                }
            };
            let mut book = self.desk.book.lock();
            book.stats.connections_accepted += 1;
            book.log.accepted += 1;
            if self.hall.guests.len() >= self.desk.config.connections_max {
                book.stats.connections_refused += 1;
                continue;
            }
            let config = &self.desk.config;
            let token = self.hall.let_in(stream, |socket, number| {
                let client = Client::new(number, config.tag, config.difficulty);
                Connection { socket, client, ended: false }
            });
            let Some(token) = token else { continue };
            book.stats.connections += 1;
            book.log.open += 1;
            drop(book);
            let deadline = Instant::now() + self.desk.config.subscribe_deadline;
            self.timers.push(deadline, Later::MustHaveSubscribed(token));
        }
    }

    /// Reads what came and answers it.
    fn serve(&mut self, token: Token) {
        let Some(Connection { socket, client, ended }) = self.hall.guests.get_mut(&token) else { return };
        let filled = socket.fill_some(READ_BYTES_PER_TURN);
        let (mut line, now, mut is_new_block) = (Vec::new(), unix_time(), false);
        while socket.next_line(&mut line) {
            self.out.clear();
            let after = self.desk.take_line(client, &line, now, &mut self.out);
            socket.queue(self.out.as_bytes());
            match after {
                After::GoOn => {}
                After::NewBlock => is_new_block = true,
                After::Close => return self.close(token, true),
            }
        }
        match filled {
            Ok(Some(Filled::Open)) => {}
            Ok(Some(Filled::Ended)) => *ended = true,
            Ok(None) => {
                self.busy.insert(token);
            }
            Err(_) => return self.close(token, false),
        }
        self.flush(token);
        if is_new_block {
            self.job_for_all(|_, _| ());
        }
    }

    /// Makes a job and gives it to everybody who works.
    fn job_for_all(&mut self, make: impl FnOnce(&mut Desk, u32)) {
        make(&mut self.desk, unix_time());
        for token in self.hall.tokens() {
            if let Some(connection) = self.hall.guests.get_mut(&token) {
                self.out.clear();
                self.desk.give_job(&mut connection.client, &mut self.out);
                connection.socket.queue(self.out.as_bytes());
                self.flush(token);
            }
        }
    }

    fn set_difficulty(&mut self, difficulty: f64) {
        if Target::from_difficulty(difficulty).is_some() {
            self.desk.config.difficulty = difficulty;
            for connection in self.hall.guests.values_mut() {
                connection.client.wanted_difficulty = difficulty;
            }
        }
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        while let Some(later) = self.timers.pop_due(now) {
            match later {
                Later::Job => {
                    self.job_for_all(Desk::next_job);
                    self.timers.push(now + self.desk.config.job_interval, Later::Job);
                }
                Later::MustHaveSubscribed(token) => {
                    if self.hall.guests.get(&token).is_some_and(|connection| !connection.client.is_subscribed)
                    {
                        self.close(token, true);
                    }
                }
                Later::Accept => self.accept(),
            }
        }
    }

    fn flush(&mut self, token: Token) {
        let Some(connection) = self.hall.guests.get_mut(&token) else { return };
        match connection.socket.flush() {
            Ok(Flushed::Whole) if connection.ended => self.close(token, false),
            Ok(Flushed::Whole) => {}
            Ok(Flushed::Blocked | Flushed::NextTurn) => {
                if connection.socket.queued_bytes() > QUEUED_BYTES_MAX {
                    self.close(token, true);
                }
            }
            Err(_) => self.close(token, false),
        }
    }

    fn close(&mut self, token: Token, is_refused: bool) {
        if let Some(mut connection) = self.hall.guests.remove(&token) {
            connection.socket.deregister(self.hall.registry());
            let mut book = self.desk.book.lock();
            book.log.open -= 1;
            book.stats.connections -= 1;
            book.stats.connections_refused += u64::from(is_refused);
        }
    }
}
