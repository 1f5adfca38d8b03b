//! One client's connection: where it stands, and one step further. Never blocks.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::{TcpStream, UnixStream};

use super::head::{Head, Refused};
use super::reply;
use crate::limits::{
    ANSWER_BYTES_MAX, ANSWER_TIME_MAX, BODY_BYTES_MAX, HEAD_BYTES_MAX, IDLE_TIME_MAX, LINGER_BYTES_MAX,
    LINGER_TIME_MAX, REQUEST_TIME_MAX, REQUESTS_PER_CONNECTION_MAX, WRITE_TIME_MAX,
};
use crate::problem::Problem;

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// A connection of a client.
#[derive(Debug)]
pub struct Client {
    /// Its socket.
    pub socket: TcpStream,
    /// Where it comes from.
    pub source: SocketAddr,
    /// When its present phase has taken too long.
    pub deadline: Instant,
    /// Where it stands.
    pub phase: Phase,
    /// What it sent and nobody read yet; the next request may be in it.
    input: Vec<u8>,
    /// Requests taken.
    requests: u32,
}

/// Where a connection stands.
#[derive(Debug)]
pub enum Phase {
    /// A request is awaited, or its rest.
    Reading,
    /// A request is whole and waits until it may be handed over.
    Waiting(Box<Head>, Vec<u8>),
    /// It was handed over; its answer comes.
    Asking(Asking),
    /// The answer goes out.
    Writing {
        /// The answer.
        bytes: Vec<u8>,
        /// How much of it went.
        written: usize,
        /// What comes then.
        then: Then,
    },
    /// It ended with an error that the client shall still be able to read.
    Lingering {
        /// Bytes thrown away.
        dropped: usize,
    },
}

/// What follows an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Then {
    /// The next request.
    Read,
    /// The end.
    #[default]
    Close,
    /// The end, once the client has read the answer.
    Linger,
    /// Events, as the text says.
    Stream(String),
}

/// A request that was handed over.
#[derive(Debug)]
pub struct Asking {
    /// The way to the reader behind.
    pub socket: UnixStream,
    /// The request.
    pub request: Vec<u8>,
    /// How much of it went.
    pub sent: usize,
    /// What came of the answer.
    pub answer: Vec<u8>,
    /// Whether it is a command.
    pub is_command: bool,
    /// Whether it is a HEAD request.
    pub is_head: bool,
    /// Whether the client takes further answers.
    pub keep_alive: bool,
}

/// How a step went.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// There may be more to do at once.
    Again,
    /// Nothing more to do until the socket or the front has news.
    Blocked,
    /// The reader behind does not work.
    Broken,
    /// The connection is over.
    Gone,
    /// The answer is out; events follow, as the text says.
    Stream(String),
}

impl Client {
    /// A connection just made.
    pub fn new(socket: TcpStream, source: SocketAddr, now: Instant) -> Self {
        let deadline = now + REQUEST_TIME_MAX;
        Self { socket, source, deadline, phase: Phase::Reading, input: Vec::new(), requests: 0 }
    }

    /// Whether nothing of it is under way, so that it may be closed for another one.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Reading | Phase::Lingering { .. })
    }

    /// Bytes of answers that it holds.
    pub fn answer_bytes(&self) -> usize {
        match &self.phase {
            Phase::Asking(asking) => asking.answer.capacity(),
            Phase::Writing { bytes, .. } => bytes.capacity(),
            _ => 0,
        }
    }

    /// What the client sent behind its last request.
    pub fn take_input(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.input)
    }

    /// One step further.
    pub fn step(&mut self, now: Instant) -> Step {
        match &mut self.phase {
            Phase::Reading => self.read_request(now),
            Phase::Waiting(..) => Step::Blocked,
            Phase::Asking(asking) => match asking.exchange() {
                Ok(true) => self.take_answer(now),
                Ok(false) => Step::Blocked,
                Err(_) => Step::Broken,
            },
            Phase::Writing { bytes, written, then } => match write_from(&mut self.socket, bytes, written) {
                Ok(true) => {
                    let then = std::mem::take(then);
                    self.written(then, now)
                }
                Ok(false) => Step::Blocked,
                Err(_) => Step::Gone,
            },
            Phase::Lingering { dropped } => {
                if discard(&mut self.socket, dropped) {
                    Step::Gone
                } else {
                    Step::Blocked
                }
            }
        }
    }

    /// The phase took too long. What is left of a request that was handed over is the way on which its answer may still come.
    pub fn time_out(&mut self, now: Instant) -> (Step, Option<UnixStream>) {
        let why = match &self.phase {
            Phase::Reading if !self.input.is_empty() => (408, "The request did not come whole in time."),
            Phase::Waiting(..) | Phase::Asking(_) => (503, "The answer took too long."),
            Phase::Reading | Phase::Writing { .. } | Phase::Lingering { .. } => return (Step::Gone, None),
        };
        let abandoned = match std::mem::replace(&mut self.phase, Phase::Reading) {
            Phase::Asking(asking) => Some(asking.socket),
            _ => None,
        };
        (self.refuse(&Problem::new(why.0, why.1), now), abandoned)
    }

    /// Ends the connection with a problem.
    pub fn refuse(&mut self, problem: &Problem, now: Instant) -> Step {
        self.write(reply::problem(problem), Then::Linger, now)
    }

    /// Hands a request over.
    pub fn ask(&mut self, asking: Asking, now: Instant) {
        self.deadline = now + ANSWER_TIME_MAX;
        self.phase = Phase::Asking(asking);
    }

    fn read_request(&mut self, now: Instant) -> Step {
        match self.next_request(now) {
            Ok(true) => return Step::Blocked,
            Ok(false) => {}
            Err(refused) => return self.write(reply::refusal(refused), Then::Linger, now),
        }
        let was_empty = self.input.is_empty();
        match read_some(&mut self.socket, &mut self.input, HEAD_BYTES_MAX + BODY_BYTES_MAX) {
            Ok(Some(0)) | Err(_) => Step::Gone,
            Ok(Some(_)) => {
                if was_empty {
                    self.deadline = now + REQUEST_TIME_MAX;
                }
                Step::Again
            }
            Ok(None) => Step::Blocked,
        }
    }

    /// Takes a whole request out of the input, if there is one.
    fn next_request(&mut self, now: Instant) -> Result<bool, Refused> {
        if self.input.is_empty() {
            return Ok(false);
        }
        let Some(mut head) = Head::parse(&self.input)? else { return Ok(false) };
        let length = head.length + head.body_length;
        if self.input.len() < length {
            return Ok(false);
        }
        let rest = self.input.split_off(length);
        let body = std::mem::replace(&mut self.input, rest).split_off(head.length);
        self.requests += 1;
        head.keep_alive &= self.requests < REQUESTS_PER_CONNECTION_MAX;
        self.deadline = now + ANSWER_TIME_MAX;
        self.phase = Phase::Waiting(Box::new(head), body);
        Ok(true)
    }

    fn take_answer(&mut self, now: Instant) -> Step {
        let Phase::Asking(asking) = &mut self.phase else { return Step::Blocked };
        let answer = std::mem::take(&mut asking.answer);
        let keep_alive = asking.keep_alive;
        let Some(reply) = reply::framed(answer, asking.is_head, keep_alive) else { return Step::Broken };
        let then = match reply.stream {
            Some(plan) => Then::Stream(plan),
            None if keep_alive => Then::Read,
            None => Then::Close,
        };
        self.write(reply.bytes, then, now)
    }

    fn write(&mut self, bytes: Vec<u8>, then: Then, now: Instant) -> Step {
        self.deadline = now + WRITE_TIME_MAX;
        self.phase = Phase::Writing { bytes, written: 0, then };
        Step::Again
    }

    fn written(&mut self, then: Then, now: Instant) -> Step {
        match then {
            Then::Read => {
                let wait = if self.input.is_empty() { IDLE_TIME_MAX } else { REQUEST_TIME_MAX };
                self.deadline = now + wait;
                self.phase = Phase::Reading;
                Step::Again
            }
            Then::Close => Step::Gone,
            Then::Linger => {
                // The client may be gone already; then there is nobody to tell.
                let _ = self.socket.shutdown(std::net::Shutdown::Write);
                self.input = Vec::new();
                self.deadline = now + LINGER_TIME_MAX;
                self.phase = Phase::Lingering { dropped: 0 };
                Step::Again
            }
            Then::Stream(plan) => Step::Stream(plan),
        }
    }
}

impl Asking {
    /// Sends and receives what it can; true once the answer is whole.
    fn exchange(&mut self) -> io::Result<bool> {
        if !write_from(&mut self.socket, &self.request, &mut self.sent)? {
            return Ok(false);
        }
        loop {
            if self.answer.len() >= ANSWER_BYTES_MAX {
                return Err(ErrorKind::FileTooLarge.into());
            }
            match read_some(&mut self.socket, &mut self.answer, ANSWER_BYTES_MAX)? {
                Some(0) => return Ok(true),
                Some(_) => {}
                None => return Ok(false),
            }
        }
    }
}

/// Reads once, up to `max` bytes in the buffer; `None` when there is nothing to read now.
fn read_some(socket: &mut impl Read, buffer: &mut Vec<u8>, max: usize) -> io::Result<Option<usize>> {
    let length = buffer.len();
    let room = max.saturating_sub(length).min(READ_BYTES.max(length));
    buffer.resize(length + room, 0);
    let result = socket.read(buffer.get_mut(length..).unwrap_or_default());
    buffer.truncate(length + result.as_ref().copied().unwrap_or_default());
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if is_pause(&error) => {
            if buffer.is_empty() {
                *buffer = Vec::new();
            }
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Writes on from `written`; true once all is written.
fn write_from(socket: &mut impl Write, bytes: &[u8], written: &mut usize) -> io::Result<bool> {
    while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
        match socket.write(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if is_pause(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Throws away what comes; true once nothing more comes or it is too much.
fn discard(socket: &mut impl Read, dropped: &mut usize) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => *dropped += count,
            Err(error) => return !is_pause(&error),
        }
        if *dropped > LINGER_BYTES_MAX {
            return true;
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock
}
