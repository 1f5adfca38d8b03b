//! A listening socket and the connections that it let in, in one poll: what the pools of this crate stand on. What is said
//! in there is their own affair.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use mio::net::{TcpListener as PolledListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::line_socket::LineSocket;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
const FIRST_GUEST: usize = 2;
/// Events taken from the kernel at a time.
pub(crate) const EVENTS_PER_TURN: usize = 1024;

/// Who has something to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knock {
    /// Somebody wants to come in.
    Door,
    /// Somebody inside the program: look at the orders.
    Waker,
    /// This connection.
    Guest(Token),
}

/// The listener and the connections, each a `G` to its owner.
#[derive(Debug)]
pub(crate) struct Hall<G> {
    poll: Poll,
    listener: Option<PolledListener>,
    pub(crate) guests: HashMap<Token, G>,
    let_in: usize,
}

impl<G> Hall<G> {
    /// Opens a door at a listener that does not block, and gives what ends a wait from another thread.
    pub(crate) fn open(listener: TcpListener) -> io::Result<(Self, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let mut listener = PolledListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok((Self { poll, listener: Some(listener), guests: HashMap::new(), let_in: 0 }, waker))
    }

    /// Waits until somebody knocks, so long at most.
    pub(crate) fn wait(&mut self, events: &mut Events, time: Duration) -> io::Result<()> {
        match self.poll.poll(events, Some(time)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Who an event is from.
    pub(crate) fn knock(token: Token) -> Knock {
        match token {
            LISTENER => Knock::Door,
            WAKER => Knock::Waker,
            guest => Knock::Guest(guest),
        }
    }

    /// The next one at the door; `None` if nobody is there, or the door is shut.
    pub(crate) fn next_at_door(&self) -> io::Result<Option<TcpStream>> {
        let Some(listener) = &self.listener else { return Ok(None) };
        loop {
            match listener.accept() {
                Ok((stream, _)) => return Ok(Some(stream)),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return Ok(None),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    /// Lets one in: `make` gets its socket and its number, from 1. `None` if the poll does not take it.
    pub(crate) fn let_in(
        &mut self,
        stream: TcpStream,
        make: impl FnOnce(LineSocket, u64) -> G,
    ) -> Option<Token> {
        let token = Token(FIRST_GUEST + self.let_in);
        self.let_in += 1;
        let socket = LineSocket::register(stream, self.poll.registry(), token).ok()?;
        self.guests.insert(token, make(socket, self.let_in as u64));
        Some(token)
    }

    /// Lets nobody in any more; the port is free.
    pub(crate) fn shut_door(&mut self) {
        self.listener = None;
    }

    /// To take sockets off the poll.
    pub(crate) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// All connections.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        self.guests.keys().copied().collect()
    }
}
