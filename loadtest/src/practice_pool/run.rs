//! The pool's thread: one poll over all connections, a timer for the next job, orders from outside.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_protocol::difficulty::Target;
use mio::net::TcpListener as MioListener;
use mio::{Events, Interest, Poll, Token, Waker};

use super::Order;
use super::client::Client;
use super::desk::{After, Desk};
use crate::line_socket::{Filled, Flushed, LineSocket};
use crate::timers::Timers;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_CONNECTION: usize = 2;
const EVENTS_PER_TURN: usize = 1024;
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
    poll: Poll,
    listener: MioListener,
    inbox: Receiver<Order>,
    desk: Desk,
    connections: HashMap<Token, Connection>,
    accepted: usize,
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
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut listener = MioListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let mut timers = Timers::new();
        timers.push(Instant::now() + desk.config.job_interval, Later::Job);
        let this = Self {
            poll,
            listener,
            inbox,
            desk,
            connections: HashMap::new(),
            accepted: 0,
            timers,
            busy: HashSet::new(),
            out: String::new(),
            stopping: false,
        };
        Ok((this, waker))
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.stopping {
            if let Err(error) = self.poll.poll(&mut events, Some(self.wait()))
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!("practice pool: poll: {error}");
                return;
            }
            self.take_orders();
            for token in std::mem::take(&mut self.busy) {
                self.serve(token);
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => {}
                    token => self.serve(token),
                }
            }
            self.run_timers();
        }
        self.tokens().into_iter().for_each(|token| self.close(token, false));
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
                Ok(Order::Disconnect) => self.tokens().into_iter().for_each(|token| self.close(token, false)),
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
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => continue,
                    _ => {
                        log::warn!("practice pool: accept: {error}");
                        self.timers.push(Instant::now() + ACCEPT_PAUSE, Later::Accept);
                        return;
                    }
                },
            };
            let mut book = self.desk.book.lock();
            book.stats.connections_accepted += 1;
            book.log.accepted += 1;
            if self.connections.len() >= self.desk.config.connections_max {
                book.stats.connections_refused += 1;
                continue;
            }
            let token = Token(FIRST_CONNECTION + self.accepted);
            self.accepted += 1;
            let Ok(socket) = LineSocket::register(stream, self.poll.registry(), token) else { continue };
            book.stats.connections += 1;
            book.log.open += 1;
            drop(book);
            let config = &self.desk.config;
            let client = Client::new(self.accepted as u64, config.tag, config.difficulty);
            self.connections.insert(token, Connection { socket, client, ended: false });
            let deadline = Instant::now() + self.desk.config.subscribe_deadline;
            self.timers.push(deadline, Later::MustHaveSubscribed(token));
        }
    }

    /// Reads what came and answers it.
    fn serve(&mut self, token: Token) {
        let Some(Connection { socket, client, ended }) = self.connections.get_mut(&token) else { return };
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
        for token in self.tokens() {
            if let Some(connection) = self.connections.get_mut(&token) {
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
            for connection in self.connections.values_mut() {
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
                    if self.connections.get(&token).is_some_and(|connection| !connection.client.is_subscribed)
                    {
                        self.close(token, true);
                    }
                }
                Later::Accept => self.accept(),
            }
        }
    }

    fn flush(&mut self, token: Token) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
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
        if let Some(mut connection) = self.connections.remove(&token) {
            connection.socket.deregister(self.poll.registry());
            let mut book = self.desk.book.lock();
            book.log.open -= 1;
            book.stats.connections -= 1;
            book.stats.connections_refused += u64::from(is_refused);
        }
    }

    fn tokens(&self) -> Vec<Token> {
        self.connections.keys().copied().collect()
    }
}
