//! One simulated miner: its connection, its handshake, and the requests that wait for an answer.

use std::collections::VecDeque;
use std::time::Instant;

use super::session::Session;
use super::style::{Step, Style, Wait, request_line};
use crate::json_line::{JsonLine, Verdict};
use crate::line_socket::LineSocket;
use crate::share::ShareKey;

/// Submits of one miner that wait for an answer; at this many it holds the next ones back.
const PENDING_MAX: usize = 10_000;

/// Where a miner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// No connection.
    Offline,
    /// A connect is under way.
    Connecting,
    /// A TLS `ClientHello` is out; the other side should close.
    Probing,
    /// The handshake goes on.
    Handshaking,
    /// Through the handshake.
    Ready,
    /// Nothing more will be done.
    Over,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Pending {
    id: String,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Step(usize),
    Submit(Waiting),
}

/// A submit that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Where it stands in the report.
    pub(super) place: usize,
    pub(super) due: Instant,
    pub(super) sent: Instant,
}

/// What a line from the pool's side meant.
#[derive(Debug)]
pub(super) enum Event {
    /// A submit got its answer.
    Answered(Waiting, Verdict),
    /// A handshake request was refused.
    Refused(&'static str),
    /// A call of the pool.
    Called(String),
    /// A response to nothing that is open.
    Stray,
    /// The handshake waits for silence after this step.
    AwaitSilence(usize, std::time::Duration),
    /// An answer in order, or nothing of note.
    Nothing,
}

#[derive(Debug)]
pub(super) struct Miner {
    pub(super) number: u32,
    name: String,
    style: Style,
    pub(super) phase: Phase,
    pub(super) socket: Option<LineSocket>,
    /// When its present connection was begun.
    pub(super) connect_at: Instant,
    /// Counts connections, so that timers of an earlier one are known.
    pub(super) generation: u32,
    pub(super) probed: bool,
    steps: Vec<Step>,
    next_step: usize,
    waiting_for: Option<usize>,
    session: Session,
    pending: VecDeque<Pending>,
    /// Submits so far.
    submits: u64,
    /// Numbers of shares that are used up.
    shares: u64,
    /// Whose work it had when it was last able to submit, and on which of its connections.
    pub(super) at_work: Option<(String, u32)>,
    /// Counted in the fleet's progress as mining.
    pub(super) counted: bool,
    /// It reads slowly as soon as it mines.
    pub(super) is_slow: bool,
}

impl Miner {
    pub(super) fn new(number: u32, name: String, style: Style) -> Self {
        Self {
            number,
            steps: style.handshake(&name),
            name,
            style,
            phase: Phase::Offline,
            socket: None,
            connect_at: Instant::now(),
            generation: 0,
            probed: !style.probes_tls(),
            next_step: 0,
            waiting_for: None,
            session: Session::default(),
            pending: VecDeque::new(),
            submits: 0,
            shares: 0,
            at_work: None,
            counted: false,
            is_slow: false,
        }
    }

    /// The name that it gives.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A new connection starts with nothing known of the one before.
    pub(super) fn forget(&mut self) {
        self.next_step = 0;
        self.waiting_for = None;
        self.session = Session::default();
        self.pending.clear();
    }

    /// Whether it can make shares.
    pub(super) fn can_submit(&self) -> bool {
        self.phase == Phase::Ready
            && self.session.authorised
            && self.session.has_job()
            && self.pending.len() < PENDING_MAX
    }

    /// Whether it reads by its own slow pace now, and not what there is.
    pub(super) fn reads_slowly(&self) -> bool {
        self.is_slow && self.counted
    }

    /// A number from 0 to 1 that differs from miner to miner and from connection to connection, the same in every run.
    pub(super) fn chance(&self) -> f64 {
        let mixed =
            (u64::from(self.number) << 32 | u64::from(self.generation)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The scripted pool whose work it can submit for, if that or its connection is another than the last time.
    pub(super) fn new_source(&self) -> Option<&str> {
        let source = self.can_submit().then(|| self.session.source())??;
        let is_known =
            self.at_work.as_ref().is_some_and(|(known, on)| known == source && *on == self.generation);
        (!is_known).then_some(source)
    }

    /// Submits that wait for an answer.
    pub(super) fn open_submits(&self) -> impl Iterator<Item = Waiting> {
        self.pending.iter().filter_map(|pending| match pending.what {
            What::Submit(waiting) => Some(waiting),
            What::Step(_) => None,
        })
    }

    /// Queues requests of the handshake up to one that waits.
    pub(super) fn advance(&mut self) -> Event {
        let Some(socket) = &mut self.socket else { return Event::Nothing };
        while let Some(step) = self.steps.get(self.next_step) {
            socket.queue_line(&step.line());
            if step.id != "null" {
                self.pending.push_back(Pending { id: step.id.clone(), what: What::Step(self.next_step) });
            }
            let place = self.next_step;
            self.next_step += 1;
            match step.wait {
                Wait::Nothing => {}
                Wait::Answer => {
                    self.waiting_for = Some(place);
                    return Event::Nothing;
                }
                Wait::AnswerOr(time) => {
                    self.waiting_for = Some(place);
                    return Event::AwaitSilence(place, time);
                }
            }
        }
        self.phase = Phase::Ready;
        Event::Nothing
    }

    /// Goes on if the handshake still waits for this step.
    pub(super) fn heard_silence(&mut self, step: usize) -> Event {
        if self.waiting_for != Some(step) {
            return Event::Nothing;
        }
        self.waiting_for = None;
        self.advance()
    }

    /// Queues a submit; its key, or `None` without a job.
    pub(super) fn submit(&mut self, due: Instant, place: usize) -> Option<ShareKey> {
        let share = self.session.share(&self.name, self.shares, self.style.rolls_version())?;
        let id = self.style.submit_id(self.submits);
        self.submits += 1;
        self.shares = share.next_number;
        self.socket.as_mut()?.queue_line(&request_line(&id, "mining.submit", &share.params));
        let waiting = Waiting { place, due, sent: Instant::now() };
        self.pending.push_back(Pending { id, what: What::Submit(waiting) });
        Some(share.key)
    }

    /// Reads a line of the pool's side. `None` if it is not JSON.
    pub(super) fn take_line(&mut self, line: &[u8]) -> Option<Event> {
        let message = JsonLine::read(line)?;
        if let Some(method) = message.method() {
            self.session.notified(method, &message.params(), self.style.takes_extranonce());
            self.reply(method, message.id());
            return Some(Event::Called(method.into()));
        }
        let id = message.id().unwrap_or_default();
        let Some(place) = self.pending.iter().position(|pending| pending.id == id) else {
            return Some(Event::Stray);
        };
        let what = self.pending.remove(place)?.what;
        Some(match what {
            What::Submit(waiting) => Event::Answered(waiting, message.verdict()),
            What::Step(step) => self.step_answered(step, &message),
        })
    }

    fn step_answered(&mut self, place: usize, message: &JsonLine<'_>) -> Event {
        let method = self.steps[place].method;
        let good = match method {
            "mining.configure" => {
                self.session.configured(&message.result());
                message.result().is_object()
            }
            "mining.subscribe" => self.session.subscribed(&message.result()),
            "mining.authorize" => {
                self.session.authorised = message.verdict() == Verdict::Accepted;
                self.session.authorised
            }
            _ => message.error().is_null(),
        };
        let next = if self.waiting_for == Some(place) {
            self.waiting_for = None;
            self.advance()
        } else {
            Event::Nothing
        };
        if good { next } else { Event::Refused(method) }
    }

    /// Answers what pools ask miners, as this style of miner does.
    fn reply(&mut self, method: &str, id: Option<&str>) {
        let (Some(socket), Some(id)) = (&mut self.socket, id.filter(|&id| id != "null")) else { return };
        match method {
            "mining.ping" if self.style == Style::EspMiner => {
                socket.queue_line(&request_line(id, "pong", "[]"));
            }
            "mining.ping" => socket.queue_line(&format!(r#"{{"id":{id},"result":"pong","error":null}}"#)),
            "client.get_version" => {
                socket.queue_line(&format!(r#"{{"id":{id},"result":"sim/1.0","error":null}}"#));
            }
            _ => {}
        }
    }
}
