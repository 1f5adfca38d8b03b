//! One connection of a scripted pool: its socket, what it was told, and the answers kept back.

use std::collections::HashMap;
use std::io;

use super::answers::Account;
use super::seen::{Book, Fit, Seen};
use crate::json_line::{JsonLine, Verdict};
use crate::line_socket::{Filled, Flushed, LineSocket};
use crate::shapes::fill;

/// A request while its acts are being done.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The id as written; empty if there was none.
    pub(super) id: String,
    pub(super) method: String,
    /// The shape of the good answer; `None` where real pools say nothing.
    pub(super) good_shape: Option<String>,
    /// Where a submit stands in the log.
    pub(super) place: Option<usize>,
    /// How a submit was judged.
    pub(super) fit: Option<Fit>,
}

/// What becomes of a connection after something was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    /// Open, and to be flushed again on the next turn.
    Busy,
    Closed,
}

/// What follows once everything queued is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OnceWritten {
    #[default]
    GoOn,
    CloseSending,
    Close,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) socket: LineSocket,
    pub(super) number: u64,
    pub(super) account: Account,
    /// Requests so far by method, for the rules.
    pub(super) counts: HashMap<String, u64>,
    /// Requests whose answers are kept back, oldest first.
    pub(super) held: Vec<Request>,
    /// Verdicts that are queued, and where their submit stands in the log.
    under_way: Vec<(usize, Verdict)>,
    /// Nothing is read any more.
    pub(super) deaf: bool,
    /// The miner has closed its direction; what is still to be answered goes out before ours is closed.
    pub(super) ended: bool,
    /// Lists of acts that wait for their time.
    pub(super) waiting: usize,
    pub(super) once_written: OnceWritten,
}

impl Connection {
    pub(super) fn new(socket: LineSocket, number: u64, extranonce1: String) -> Self {
        Self {
            socket,
            number,
            account: Account { extranonce1, ..Account::default() },
            counts: HashMap::new(),
            held: Vec::new(),
            under_way: Vec::new(),
            deaf: false,
            ended: false,
            waiting: 0,
            once_written: OnceWritten::GoOn,
        }
    }

    /// Reads what came, unless the connection is deaf.
    pub(super) fn fill(&mut self) -> io::Result<Filled> {
        if self.deaf { Ok(Filled::Open) } else { self.socket.fill() }
    }

    /// Queues the answer made of a shape.
    pub(super) fn answer(&mut self, request: &Request, shape: &str, extranonce2_size: usize) {
        let line = fill(shape, &request.id)
            .replace("$extranonce1", &self.account.extranonce1)
            .replace("$size", &extranonce2_size.to_string());
        self.socket.queue_line(&line);
        if let (Some(place), Some(answer)) = (request.place, JsonLine::read(line.as_bytes()))
            && answer.is_response()
        {
            self.under_way.push((place, answer.verdict()));
        }
    }

    /// Whether the miner's side ended first, and got everything that it was to get.
    pub(super) fn ended_in_order(&self) -> bool {
        self.ended && self.waiting == 0 && self.socket.queued_bytes() == 0
    }

    /// Writes what is queued and does what was to follow.
    ///
    /// A verdict counts as given before its line is written: a pool that is killed between the two has cut the connection,
    /// and a verdict may be lost with that. The other way round, a miner could have one that nobody gave.
    pub(super) fn flush(&mut self, book: &mut Book) -> Fate {
        for (place, verdict) in self.under_way.drain(..) {
            book.note(Seen::Verdict { place, verdict });
        }
        book.hand_over();
        match self.socket.flush() {
            Ok(Flushed::Whole) if self.ended && self.waiting == 0 => Fate::Closed,
            Ok(Flushed::Whole) => match std::mem::take(&mut self.once_written) {
                OnceWritten::CloseSending if self.socket.close_sending().is_ok() => Fate::Open,
                OnceWritten::GoOn => Fate::Open,
                OnceWritten::CloseSending | OnceWritten::Close => Fate::Closed,
            },
            Ok(Flushed::Blocked) => Fate::Open,
            Ok(Flushed::NextTurn) => Fate::Busy,
            Err(_) => Fate::Closed,
        }
    }
}
