//! A pool that says yes to everything, in one thread.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::TcpListener as PolledListener;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::link::{Link, READ_BYTES};
use super::wire::{self, Request};

const LISTENER: Token = Token(usize::MAX);
const EVENTS_PER_TURN: usize = 1024;

/// A pool that is bound and not yet running.
#[derive(Debug)]
pub struct LeanPool {
    listener: PolledListener,
    poll: Poll,
    seats: Vec<Option<Seat>>,
    free: Vec<usize>,
    job_every: Duration,
    job: Vec<u8>,
    jobs_made: u64,
    accepted: u32,
}

#[derive(Debug)]
struct Seat {
    link: Link,
    number: u32,
    /// Whether it gets new jobs.
    authorized: bool,
    /// What the socket did not take. While there is any, no job is added: the miner has enough of them.
    waiting: Vec<u8>,
}

impl LeanPool {
    /// Binds an address; every miner gets a new job each `job_every`. Where the port is shared, others may bind it, too.
    pub fn bind(address: SocketAddr, job_every: Duration, shares_port: bool) -> io::Result<Self> {
        let listener = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        listener.set_reuse_address(true)?;
        listener.set_reuse_port(shares_port)?;
        listener.bind(&address.into())?;
        // A storm needs a queue as long as the system allows.
        listener.listen(i32::from(u16::MAX))?;
        listener.set_nonblocking(true)?;
        let mut listener = PolledListener::from_std(listener.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            listener,
            poll,
            seats: Vec::new(),
            free: Vec::new(),
            job_every,
            job: wire::job(1, wire::clock_ns()),
            jobs_made: 1,
            accepted: 0,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process is killed, or `keep_on` says no.
    pub fn run(mut self, mut keep_on: impl FnMut() -> bool) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut buffer = vec![0; READ_BYTES];
        let mut out = Vec::new();
        let mut next_job = Instant::now() + self.job_every;
        while keep_on() {
            let wait = next_job.saturating_duration_since(Instant::now());
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept_all(),
                    Token(place) => self.serve(place, &mut buffer, &mut out),
                }
            }
            if Instant::now() >= next_job {
                next_job += self.job_every;
                self.send_new_job();
            }
        }
        Ok(())
    }

    fn accept_all(&mut self) {
        // Ends at WouldBlock; without descriptors the next connection makes it try again.
        while let Ok((mut stream, _)) = self.listener.accept() {
            let _ = stream.set_nodelay(true);
            let place = self.free.pop().unwrap_or(self.seats.len());
            // Edge-triggered: a writable event comes when a full socket has room again, and at the start.
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(place), interest).is_err() {
                continue;
            }
            self.accepted += 1;
            let seat = Seat {
                link: Link::new(stream),
                number: self.accepted,
                authorized: false,
                waiting: Vec::new(),
            };
            seat.link.reset_on_close();
            if place == self.seats.len() {
                self.seats.push(None);
            }
            self.seats[place] = Some(seat);
        }
    }

    fn serve(&mut self, place: usize, buffer: &mut [u8], out: &mut Vec<u8>) {
        let Some(seat) = self.seats.get_mut(place).and_then(Option::as_mut) else { return };
        out.clear();
        let (job, number, authorized) = (&self.job, seat.number, &mut seat.authorized);
        let open = seat.link.read_lines(buffer, |line| {
            let id = wire::raw_id(line).unwrap_or(b"null");
            match Request::read(line) {
                Request::Submit => wire::push_accepted(out, id),
                Request::Subscribe => wire::push_subscribed(out, id, number),
                Request::Authorize => {
                    wire::push_accepted(out, id);
                    wire::push_difficulty(out);
                    out.extend_from_slice(job);
                    *authorized = true;
                }
                Request::Other => wire::push_unknown_method(out, id),
            }
        });
        let written = seat.write(out);
        if !written || !matches!(open, Ok(true)) {
            self.close(place);
        }
    }

    fn send_new_job(&mut self) {
        self.jobs_made += 1;
        self.job = wire::job(self.jobs_made, wire::clock_ns());
        for place in 0..self.seats.len() {
            if let Some(seat) = self.seats[place].as_mut().filter(|seat| seat.authorized)
                && seat.waiting.is_empty()
                && !seat.write(&self.job)
            {
                self.close(place);
            }
        }
    }

    fn close(&mut self, place: usize) {
        if self.seats[place].take().is_some() {
            self.free.push(place);
        }
    }
}

impl Seat {
    /// Writes what waited and then this; what the socket does not take waits. False if the connection is of no more use.
    fn write(&mut self, bytes: &[u8]) -> bool {
        if self.waiting.is_empty() {
            let Ok(count) = self.link.write_some(bytes) else { return false };
            self.waiting.extend_from_slice(&bytes[count..]);
        } else {
            self.waiting.extend_from_slice(bytes);
            let Ok(count) = self.link.write_some(&self.waiting) else { return false };
            self.waiting.drain(..count);
        }
        true
    }
}
