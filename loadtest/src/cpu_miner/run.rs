//! The miner's connection thread: connect, serve until it ends, pause, again.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use parking_lot::Mutex;

use super::crew::Crew;
use super::report::MinerReport;
use super::session::{After, Session};
use super::{CpuMinerConfig, Note};
use crate::line_socket::{Filled, Flushed, LineSocket};

pub(super) const WAKER: Token = Token(0);
const SOCKET: Token = Token(1);
/// Longest time for a connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The handshake is through by then, or the connection is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// A pool silent for so long is gone (cpuminer waits as long).
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// Everything the thread owns.
#[derive(Debug)]
pub(super) struct Loop {
    poll: Poll,
    config: CpuMinerConfig,
    inbox: Receiver<Note>,
    crew: Arc<Crew>,
    report: Arc<Mutex<MinerReport>>,
    connections_count: u64,
    stopping: bool,
}

/// One connection while it lasts.
struct Connection {
    socket: LineSocket,
    session: Session,
    handshake_deadline: Instant,
    heard: Instant,
    /// When to stop waiting for answers; set once the miner is stopping.
    settle_deadline: Option<Instant>,
}

/// Why a connection ended. `is_open`: it was our decision, the pool could still have answered.
struct End {
    reason: String,
    is_open: bool,
}

impl Loop {
    pub(super) fn new(
        poll: Poll,
        config: CpuMinerConfig,
        inbox: Receiver<Note>,
        crew: Arc<Crew>,
        report: Arc<Mutex<MinerReport>>,
    ) -> Self {
        Self { poll, config, inbox, crew, report, connections_count: 0, stopping: false }
    }

    pub(super) fn run(mut self) {
        let mut backoff = self.config.backoff_min;
        while !self.stopping {
            match self.connect() {
                Ok(connection) => {
                    if self.serve(connection) {
                        backoff = self.config.backoff_min;
                    }
                }
                Err(error) => self.fail(format!("cannot connect to {}: {error}", self.config.pool)),
            }
            self.pause(backoff);
            backoff = (backoff * 2).min(self.config.backoff_max);
        }
    }

    fn connect(&mut self) -> io::Result<Connection> {
        let pool = self.config.pool.strip_prefix("stratum+tcp://").unwrap_or(&self.config.pool);
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in pool.trim_end_matches('/').to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
                Ok(stream) => return self.greet(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn greet(&mut self, stream: TcpStream) -> io::Result<Connection> {
        stream.set_nonblocking(true)?;
        let stream = mio::net::TcpStream::from_std(stream);
        let mut socket = LineSocket::register(stream, self.poll.registry(), SOCKET)?;
        socket.queue(Session::greeting(&self.config).as_bytes());
        self.connections_count += 1;
        self.report.lock().connects += 1;
        let now = Instant::now();
        Ok(Connection {
            socket,
            session: Session::new(self.connections_count),
            handshake_deadline: now + HANDSHAKE_TIMEOUT,
            heard: now,
            settle_deadline: None,
        })
    }

    /// Serves a connection to its end; whether it was ever ready.
    fn serve(&mut self, mut connection: Connection) -> bool {
        let mut events = Events::with_capacity(8);
        let end = loop {
            if let Err(end) = self.turn(&mut connection, &mut events) {
                break end;
            }
        };
        self.crew.set_task(None);
        connection.socket.deregister(self.poll.registry());
        let mut report = self.report.lock();
        report.is_mining = false;
        connection.session.end(end.is_open, &mut report);
        drop(report);
        if !self.stopping {
            self.fail(end.reason);
        }
        connection.session.is_ready()
    }

    /// Does what there is to do, then waits for more.
    fn turn(&mut self, connection: &mut Connection, events: &mut Events) -> Result<(), End> {
        self.take_notes(connection);
        self.take_lines(connection)?;
        match connection.socket.flush() {
            Ok(Flushed::Whole | Flushed::Blocked) => {}
            Ok(Flushed::NextTurn) => return Ok(()),
            Err(error) => return Err(End { reason: format!("cannot send: {error}"), is_open: false }),
        }
        let now = Instant::now();
        let deadline = connection.deadline();
        if self.stopping && !connection.session.is_waiting() {
            return Err(End { reason: "stopped".into(), is_open: true });
        }
        if now >= deadline {
            let reason = if connection.session.is_ready() { "the pool is silent" } else { "no handshake" };
            return Err(End { reason: reason.into(), is_open: true });
        }
        match self.poll.poll(events, Some(deadline - now)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(End { reason: format!("poll: {error}"), is_open: false })
            }
            _ => Ok(()),
        }
    }

    /// Sends what the threads found.
    fn take_notes(&mut self, connection: &mut Connection) {
        let mut out = String::new();
        while let Ok(note) = self.inbox.try_recv() {
            match note {
                Note::Found(found) if !self.stopping => {
                    let now = Instant::now();
                    let mut report = self.report.lock();
                    connection.session.submit(&found, &self.config, now, &mut report, &mut out);
                }
                Note::Found(_) => self.report.lock().discarded += 1,
                Note::Stop => self.stop(connection),
            }
        }
        connection.socket.queue(out.as_bytes());
    }

    fn stop(&mut self, connection: &mut Connection) {
        self.stopping = true;
        self.crew.set_task(None);
        connection.settle_deadline = Some(Instant::now() + self.config.settle);
    }

    fn take_lines(&mut self, connection: &mut Connection) -> Result<(), End> {
        let filled = connection.socket.fill();
        let (mut line, mut out, mut is_new_task) = (Vec::new(), String::new(), false);
        let mut leave = None;
        while leave.is_none() && connection.socket.next_line(&mut line) {
            let now = Instant::now();
            connection.heard = now;
            let mut report = self.report.lock();
            match connection.session.take_line(&line, &self.config, now, &mut report, &mut out) {
                After::GoOn => {}
                After::NewTask => is_new_task = true,
                After::Leave(reason) => leave = Some(End { reason, is_open: true }),
            }
        }
        connection.socket.queue(out.as_bytes());
        if is_new_task && !self.stopping {
            let task = connection.session.task();
            self.report.lock().is_mining = task.is_some();
            self.crew.set_task(task);
        }
        let end = match filled {
            Ok(Filled::Open) => None,
            Ok(Filled::Ended) => {
                Some(End { reason: "the pool closed the connection".into(), is_open: false })
            }
            Err(error) => Some(End { reason: format!("the connection broke: {error}"), is_open: false }),
        };
        leave.or(end).map_or(Ok(()), Err)
    }

    /// Waits before the next connect, unless the miner is stopped meanwhile.
    fn pause(&mut self, backoff: Duration) {
        let end = Instant::now() + backoff;
        while !self.stopping {
            match self.inbox.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Note::Found(_)) => self.report.lock().discarded += 1,
                Ok(Note::Stop) | Err(RecvTimeoutError::Disconnected) => self.stopping = true,
                Err(RecvTimeoutError::Timeout) => return,
            }
        }
    }

    fn fail(&self, reason: String) {
        log::info!("miner {}: {reason}", self.config.user);
        self.report.lock().fail(reason);
    }
}

impl Connection {
    fn deadline(&self) -> Instant {
        let silence = self.heard + SILENCE_MAX;
        let deadline = if self.session.is_ready() { silence } else { silence.min(self.handshake_deadline) };
        self.settle_deadline.map_or(deadline, |settle| deadline.min(settle))
    }
}
