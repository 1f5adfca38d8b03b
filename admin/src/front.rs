//! What stands between clients and tiny_http.
//!
//! tiny_http starts a thread for every connection that keeps it waiting, has no deadline, and reads requests loosely enough
//! that two readers can be made to disagree on where one ends (CVE-2026-66752). So no client reaches it: one thread of ours
//! owns every client's socket, reads each request whole under a deadline, refuses what is ambiguous ([`head`]), and only
//! then writes it anew, with the client's address in it, to tiny_http on a Unix socket of its own: one request per
//! connection, at most as many at once as there are threads to answer. The answer is read whole as well, so that a client
//! that reads slowly holds nothing but its own buffer.
//!
//! Invariant: at most [`CONNECTIONS_COUNT_MAX`] clients, [`IN_FLIGHT_COUNT_MAX`] requests handed over, and no request
//! handed over while unread answers take [`ANSWERS_BYTES_MAX`] or more.

mod client;
mod head;
mod reply;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream, UnixStream};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::backend::Backend;
use crate::limits::{
    ANSWERS_BYTES_MAX, COMMANDS_IN_FLIGHT_COUNT_MAX, CONNECTIONS_COUNT_MAX, IN_FLIGHT_COUNT_MAX,
    STOP_TIME_MAX,
};
use crate::problem::Problem;
use crate::streams::{Streams, Takeover};
use client::{Asking, Client, Phase, Step};
pub(crate) use head::SOURCE;
pub(crate) use reply::STREAM;

/// How long nothing is accepted after the process ran out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Tokens below it are those of listeners.
const WAKER: Token = Token(1 << 10);
/// The first token of the clients: two for each, its own socket and the way behind.
const CLIENTS: usize = WAKER.0 + 2;
const BOTH: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The sockets of all clients, and the loop that serves them.
pub(crate) struct Front {
    poll: Poll,
    listeners: Vec<TcpListener>,
    clients: Vec<Option<Client>>,
    /// Clients whose request waits to be handed over, in order of arrival; some may be gone.
    waiting: VecDeque<usize>,
    backend: Arc<Backend>,
    streams: Streams,
    stopping: Arc<AtomicBool>,
    accept_again: Option<Instant>,
    /// Ways behind on which an answer is still out that nobody waits for any more. They count as handed over.
    abandoned: Vec<UnixStream>,
}

/// Ends a [`Front`] from another thread.
#[derive(Debug)]
pub(crate) struct Stop {
    stopping: Arc<AtomicBool>,
    waker: Waker,
}

impl Stop {
    /// Tells the front to finish the answers under way and to return.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            log::error!("the admin front cannot be woken: {error}");
        }
    }
}

impl Front {
    /// A front for these listeners, which must not block.
    pub fn new(
        listeners: Vec<std::net::TcpListener>,
        backend: Arc<Backend>,
        streams: Streams,
    ) -> io::Result<(Self, Stop)> {
        let poll = Poll::new()?;
        let mut listeners: Vec<_> = listeners.into_iter().map(TcpListener::from_std).collect();
        for (n, listener) in listeners.iter_mut().enumerate() {
            poll.registry().register(listener, Token(n), Interest::READABLE)?;
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Stop { stopping: Arc::clone(&stopping), waker: Waker::new(poll.registry(), WAKER)? };
        let front = Self {
            poll,
            listeners,
            clients: Vec::new(),
            waiting: VecDeque::new(),
            backend,
            streams,
            stopping,
            accept_again: None,
            abandoned: Vec::new(),
        };
        Ok((front, stop))
    }

    /// Serves until it is stopped.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(CONNECTIONS_COUNT_MAX);
        let mut end = None;
        loop {
            let timeout = self.next_deadline(end).map(|at| at.saturating_duration_since(Instant::now()));
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!("the admin front cannot go on: {error}");
                return;
            }
            let now = Instant::now();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(n) if n < WAKER.0 => self.accept(n, now),
                    Token(n) => self.drive(n.saturating_sub(CLIENTS) / 2, now),
                }
            }
            if self.accept_again.is_some_and(|at| at <= now) {
                self.accept_again = None;
                (0..self.listeners.len()).for_each(|n| self.accept(n, now));
            }
            self.end_late_phases(now);
            self.hand_over(now);
            self.check();
            if self.stopping.load(Ordering::Acquire) {
                let end = *end.get_or_insert(now + STOP_TIME_MAX);
                if self.leave() || now >= end {
                    return;
                }
            }
        }
    }

    fn next_deadline(&self, end: Option<Instant>) -> Option<Instant> {
        self.clients.iter().flatten().map(|client| client.deadline).chain(self.accept_again).chain(end).min()
    }

    fn accept(&mut self, n: usize, now: Instant) {
        while let Some(listener) = self.listeners.get(n) {
            match listener.accept() {
                Ok((socket, source)) => self.admit(socket, source, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    log::warn!("the admin side cannot accept a connection: {error}");
                    self.make_room();
                    self.accept_again = Some(now + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn admit(&mut self, mut socket: TcpStream, source: SocketAddr, now: Instant) {
        let Some(slot) = self.free_slot().or_else(|| self.make_room()) else {
            log::debug!("{source} was not let in: every admin connection is busy");
            return;
        };
        if let Err(error) = self.poll.registry().register(&mut socket, Token(CLIENTS + 2 * slot), BOTH) {
            log::warn!("{source} cannot be served: {error}");
            return;
        }
        // Answers go out in one piece, so there is nothing to wait for; without it they are only slower.
        let _ = socket.set_nodelay(true);
        if let Some(place) = self.clients.get_mut(slot) {
            *place = Some(Client::new(socket, source, now));
        }
        self.drive(slot, now);
    }

    fn free_slot(&mut self) -> Option<usize> {
        if let Some(slot) = self.clients.iter().position(Option::is_none) {
            return Some(slot);
        }
        (self.clients.len() < CONNECTIONS_COUNT_MAX).then(|| {
            self.clients.push(None);
            self.clients.len() - 1
        })
    }

    /// Closes the idle connection that would time out first. Those of good clients wait longer, or are not idle.
    fn make_room(&mut self) -> Option<usize> {
        let idle = |client: &Client| client.is_idle().then_some(client.deadline);
        let slots = self.clients.iter().enumerate();
        let (_, slot) = slots.filter_map(|(slot, client)| Some((idle(client.as_ref()?)?, slot))).min()?;
        self.remove(slot);
        Some(slot)
    }

    /// Lets a client go on until it waits for something.
    fn drive(&mut self, slot: usize, now: Instant) {
        while let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) {
            match client.step(now) {
                Step::Again => {}
                Step::Blocked => {
                    if matches!(client.phase, Phase::Waiting(..)) && !self.waiting.contains(&slot) {
                        self.waiting.push_back(slot);
                    }
                    return;
                }
                Step::Broken => {
                    client.refuse(&Problem::new(503, "The answer was lost. Try again."), now);
                    self.backend.suspect();
                }
                Step::Gone => {
                    self.remove(slot);
                    return;
                }
                Step::Stream(plan) => {
                    self.begin_stream(slot, plan);
                    return;
                }
            }
        }
    }

    fn remove(&mut self, slot: usize) -> Option<Client> {
        let mut client = self.clients.get_mut(slot)?.take()?;
        // Fails for a socket that is broken already; closing it has the same effect.
        let _ = self.poll.registry().deregister(&mut client.socket);
        Some(client)
    }

    fn begin_stream(&mut self, slot: usize, plan: String) {
        if let Some(mut client) = self.remove(slot) {
            let input = client.take_input();
            self.streams.begin(Takeover { socket: client.socket, source: client.source, input, plan });
        }
    }

    fn end_late_phases(&mut self, now: Instant) {
        for slot in 0..self.clients.len() {
            let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else { continue };
            if client.deadline > now {
                continue;
            }
            let (step, abandoned) = client.time_out(now);
            self.abandoned.extend(abandoned);
            match step {
                Step::Gone => drop(self.remove(slot)),
                _ => self.drive(slot, now),
            }
        }
    }

    /// Hands waiting requests over as far as there are threads and memory for their answers.
    fn hand_over(&mut self, now: Instant) {
        self.abandoned.retain_mut(is_open);
        let mut postponed = VecDeque::new();
        while let Some(slot) = self.waiting.pop_front() {
            let (in_flight, commands, bytes) = self.load();
            if in_flight >= IN_FLIGHT_COUNT_MAX || bytes >= ANSWERS_BYTES_MAX {
                self.waiting.push_front(slot);
                break;
            }
            let Some(client) = self.clients.get_mut(slot).and_then(Option::as_mut) else { continue };
            let Phase::Waiting(head, body) = &client.phase else { continue };
            if head.is_command() && commands >= COMMANDS_IN_FLIGHT_COUNT_MAX {
                postponed.push_back(slot);
                continue;
            }
            let request = head.forwarded(client.source, body);
            let way = connect(&self.backend, self.poll.registry(), slot).or_else(|_| {
                // The reader behind may be dead; a new one takes this request as well.
                self.backend.suspect();
                connect(&self.backend, self.poll.registry(), slot)
            });
            match way {
                Ok(socket) => {
                    let asking = Asking {
                        socket,
                        request,
                        sent: 0,
                        answer: Vec::new(),
                        is_command: head.is_command(),
                        is_head: head.is_head(),
                        keep_alive: head.keep_alive,
                    };
                    client.ask(asking, now);
                }
                Err(error) => {
                    log::warn!("the admin side cannot hand a request over: {error}");
                    client.refuse(&Problem::new(503, "The request cannot be handed over. Try again."), now);
                }
            }
            self.drive(slot, now);
        }
        postponed.append(&mut self.waiting);
        self.waiting = postponed;
    }

    /// Requests handed over, commands among them, and bytes of answers held.
    fn load(&self) -> (usize, usize, usize) {
        let abandoned = self.abandoned.len();
        self.clients.iter().flatten().fold((abandoned, 0, 0), |(in_flight, commands, bytes), client| {
            let (asking, command) = match &client.phase {
                Phase::Asking(asking) => (1, usize::from(asking.is_command)),
                _ => (0, 0),
            };
            (in_flight + asking, commands + command, bytes.saturating_add(client.answer_bytes()))
        })
    }

    /// Stops listening and closes what is idle; true once nothing is left.
    fn leave(&mut self) -> bool {
        self.listeners.clear();
        for slot in 0..self.clients.len() {
            if self.clients.get(slot).and_then(Option::as_ref).is_some_and(Client::is_idle) {
                self.remove(slot);
            }
        }
        self.clients.iter().all(Option::is_none)
    }

    fn check(&self) {
        debug_assert!(self.clients.len() <= CONNECTIONS_COUNT_MAX);
        let (in_flight, commands, _) = self.load();
        debug_assert!(in_flight <= IN_FLIGHT_COUNT_MAX && commands <= COMMANDS_IN_FLIGHT_COUNT_MAX);
    }
}

/// A way to the reader behind.
fn connect(backend: &Backend, registry: &Registry, slot: usize) -> io::Result<UnixStream> {
    let mut socket = UnixStream::connect(backend.path())?;
    registry.register(&mut socket, Token(CLIENTS + 2 * slot + 1), BOTH)?;
    Ok(socket)
}

/// Whether an answer is still to come on a way behind; what came is thrown away.
fn is_open(socket: &mut UnixStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
