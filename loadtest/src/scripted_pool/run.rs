//! The pool's thread: one poll over all connections, timers for what comes later, orders from outside.

use std::collections::HashSet;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use mio::{Events, Token, Waker};
use serde_json::Value;

use super::Order;
use super::answers::{self, Judge, Submit};
use super::connection::{Connection, Fate, OnceWritten, Request};
use super::jobs::Jobs;
use super::script::{Act, FirstJob, Script};
use super::seen::{Book, Fit, Seen, SubmitSeen};
use crate::hall::{EVENTS_PER_TURN, Hall, Knock};
use crate::json_line::JsonLine;
use crate::line_socket::Filled;
use crate::share::ShareKey;
use crate::timers::Timers;

/// Longest sleep; nothing depends on it.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// What a timer is for.
#[derive(Debug)]
enum Later {
    /// The next job for everybody.
    Job,
    /// The rest of a list of acts.
    Acts { token: Token, request: Option<Request>, acts: Arc<[Act]>, next: usize },
}

/// Everything the thread owns.
#[derive(Debug)]
pub(super) struct Loop {
    hall: Hall<Connection>,
    script: Script,
    inbox: Receiver<Order>,
    book: Book,
    jobs: Jobs,
    judge: Judge,
    timers: Timers<Later>,
    /// Chunked connections that have more to write.
    busy: HashSet<Token>,
    frozen: bool,
    stopping: bool,
    /// A timer for the next job is set.
    job_planned: bool,
}

impl Loop {
    pub(super) fn new(
        listener: TcpListener,
        script: Script,
        inbox: Receiver<Order>,
        book: Book,
    ) -> io::Result<(Self, Waker)> {
        let (hall, waker) = Hall::open(listener)?;
        let mut this = Self {
            hall,
            jobs: Jobs::new(&script.tag),
            script,
            inbox,
            book,
            judge: Judge::default(),
            timers: Timers::new(),
            busy: HashSet::new(),
            frozen: false,
            stopping: false,
            job_planned: false,
        };
        this.plan_job();
        Ok((this, waker))
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        while !self.stopping {
            if let Err(error) = self.hall.wait(&mut events, self.wait()) {
                log::error!("scripted pool: poll: {error}");
                return;
            }
            self.take_orders();
            if self.frozen {
                continue; // edges missed here are made up for when it thaws
            }
            for event in &events {
                match Hall::<Connection>::knock(event.token()) {
                    Knock::Door => self.accept(),
                    Knock::Waker => {}
                    Knock::Guest(token) => self.serve(token),
                }
            }
            self.run_timers();
            for token in std::mem::take(&mut self.busy) {
                self.flush(token);
            }
        }
    }

    fn wait(&self) -> Duration {
        if self.frozen {
            return IDLE_WAIT;
        }
        if !self.busy.is_empty() {
            return Duration::ZERO;
        }
        self.timers.wait(Instant::now()).unwrap_or(IDLE_WAIT).min(IDLE_WAIT)
    }

    fn take_orders(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(Order::Job) => self.job_for_all(),
                Ok(Order::Acts(acts)) => self.on_all(&Arc::from(acts)),
                Ok(Order::Script(script)) => self.follow(*script),
                Ok(Order::Freeze(true)) => self.frozen = true,
                Ok(Order::Freeze(false)) => self.thaw(),
                Ok(Order::Stop { reset }) => {
                    self.stop(reset);
                    return;
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.stop(false);
                    return;
                }
            }
        }
    }

    fn follow(&mut self, script: Script) {
        self.script = script;
        for connection in self.hall.guests.values_mut() {
            connection.socket.set_chunk_bytes(self.script.chunk_bytes);
        }
        if !self.job_planned {
            self.plan_job();
        }
    }

    fn thaw(&mut self) {
        self.frozen = false;
        self.accept();
        for token in self.hall.tokens() {
            self.serve(token);
        }
    }

    fn stop(&mut self, reset: bool) {
        self.stopping = true;
        self.hall.shut_door();
        if reset {
            self.hall.guests.values().for_each(|connection| connection.socket.reset_on_close());
        }
        for token in self.hall.tokens() {
            self.close(token);
        }
    }

    fn accept(&mut self) {
        loop {
            let stream = match self.hall.next_at_door() {
                Ok(Some(stream)) => stream,
                Ok(None) => return,
                Err(error) => {
                    log::error!("scripted pool: accept: {error}");
                    return;
                }
            };
            let Script { tag, chunk_bytes, .. } = &self.script;
            let mut number = 0;
            let token = self.hall.let_in(stream, |mut socket, nth| {
                number = nth;
                socket.set_chunk_bytes(*chunk_bytes);
                Connection::new(socket, nth, format!("{tag}{nth:06x}"))
            });
            let Some(token) = token else { continue };
            self.book.note(Seen::Opened(number));
            let greeting: Arc<[Act]> = self.script.greeting.clone().into();
            self.act(token, None, &greeting, 0);
            self.flush(token);
        }
    }

    /// Reads what came and answers it.
    fn serve(&mut self, token: Token) {
        let Some(connection) = self.hall.guests.get_mut(&token) else { return };
        let filled = connection.fill();
        let mut line = Vec::new();
        while let Some(connection) = self.hall.guests.get_mut(&token) {
            if connection.deaf
                || connection.once_written == OnceWritten::Close
                || !connection.socket.next_line(&mut line)
            {
                break;
            }
            self.take_line(token, &line);
        }
        match filled {
            Ok(Filled::Open) => self.flush(token),
            Ok(Filled::Ended) => {
                if let Some(connection) = self.hall.guests.get_mut(&token) {
                    connection.ended = true;
                }
                self.flush(token);
            }
            Err(_) => self.close(token),
        }
    }

    fn take_line(&mut self, token: Token, line: &[u8]) {
        let Some(connection) = self.hall.guests.get_mut(&token) else { return };
        let Some(message) = JsonLine::read(line) else {
            return self.book.note(Seen::Unreadable(line.into()));
        };
        let Some(method) = message.method() else {
            return self.book.note(Seen::Request("(response)".into()));
        };
        self.book.note(Seen::Request(method.into()));
        let params = message.params();
        let mut request = Request {
            id: message.id().unwrap_or_default().into(),
            method: method.into(),
            good_shape: None,
            place: None,
            fit: None,
        };
        match method {
            "mining.submit" => {
                note_submit(&mut request, &params, connection, &self.jobs, &mut self.judge, &mut self.book);
            }
            _ => request.good_shape = answers::shape(&self.script, method, &params),
        }
        if method == "mining.authorize"
            && let Some(name) = params.get(0).and_then(Value::as_str)
        {
            connection.account.names.insert(name.into());
            self.book.note(Seen::Name(name.into()));
        }
        let nth = connection.counts.entry(method.into()).and_modify(|count| *count += 1).or_insert(1);
        let acts = match self.script.rules.iter().find(|rule| rule.fits(method, *nth)) {
            Some(rule) => Arc::clone(&rule.acts),
            None => Arc::from([Act::Behave]),
        };
        self.act(token, Some(request), &acts, 0);
    }

    /// Does the acts from `next` on, up to one that waits.
    fn act(&mut self, token: Token, request: Option<Request>, acts: &Arc<[Act]>, next: usize) {
        for (place, act) in acts.iter().enumerate().skip(next) {
            if let Act::Wait(time) = act {
                let Some(connection) = self.hall.guests.get_mut(&token) else { return };
                connection.waiting += 1;
                let rest = Later::Acts { token, request, acts: Arc::clone(acts), next: place + 1 };
                self.timers.push(Instant::now() + *time, rest);
                return;
            }
            self.act_once(token, request.as_ref(), act);
        }
    }

    fn act_once(&mut self, token: Token, request: Option<&Request>, act: &Act) {
        let Some(connection) = self.hall.guests.get_mut(&token) else { return };
        let size = self.script.extranonce2_size;
        match (act, request) {
            (Act::Behave, Some(request)) => self.behave(token, request),
            (Act::Answer(shape), Some(request)) => {
                connection.answer(request, shape, size);
            }
            (Act::BehaveReversed(count), Some(request)) => {
                connection.held.push(request.clone());
                if connection.held.len() >= *count {
                    for request in std::mem::take(&mut connection.held).iter().rev() {
                        self.behave(token, request);
                    }
                }
            }
            (Act::Send(bytes), _) => connection.socket.queue(bytes),
            (Act::Job, _) => {
                self.jobs.advance();
                self.give_job(token);
            }
            (Act::CloseSending, _) => connection.once_written = OnceWritten::CloseSending,
            (Act::Close, _) => connection.once_written = OnceWritten::Close,
            (Act::Reset, _) => {
                connection.socket.reset_on_close();
                self.close(token);
            }
            (Act::StopReading, _) => connection.deaf = true,
            (Act::Wait(_), _) | (Act::Behave | Act::Answer(_) | Act::BehaveReversed(_), None) => {}
        }
    }

    /// The right answer, and the first job where it is time for it.
    fn behave(&mut self, token: Token, request: &Request) {
        let Some(connection) = self.hall.guests.get_mut(&token) else { return };
        let shape = request.fit.map(answers::verdict_shape).or(request.good_shape.as_deref());
        if let Some(shape) = shape {
            connection.answer(request, shape, self.script.extranonce2_size);
        }
        if request.method == "mining.configure" {
            connection.account.version_mask =
                u32::from_str_radix(&self.script.version_mask, 16).unwrap_or_default();
        }
        let due = match self.script.first_job {
            FirstJob::AfterSubscribe => request.method == "mining.subscribe",
            FirstJob::AfterAuthorize => request.method == "mining.authorize",
            FirstJob::Never => false,
        };
        if due && connection.account.first_job.is_none() {
            let difficulty = self.script.difficulty_of(connection.number);
            if !difficulty.is_empty() {
                connection.account.difficulty = difficulty.parse().unwrap_or_default();
                connection.socket.queue_line(&format!(
                    r#"{{"id":null,"method":"mining.set_difficulty","params":[{difficulty}]}}"#
                ));
            }
            self.give_job(token);
        }
    }

    /// Sends the current job to one connection.
    fn give_job(&mut self, token: Token) {
        let job = self.jobs.current();
        if let Some(connection) = self.hall.guests.get_mut(&token) {
            connection.account.first_job.get_or_insert(job.number);
            connection.socket.queue_line(&job.line);
        }
    }

    /// A new job for every connection that has had one.
    fn job_for_all(&mut self) {
        self.jobs.advance();
        for token in self.hall.tokens() {
            if self.hall.guests.get(&token).is_some_and(|connection| connection.account.first_job.is_some()) {
                self.give_job(token);
                self.flush(token);
            }
        }
    }

    fn on_all(&mut self, acts: &Arc<[Act]>) {
        for token in self.hall.tokens() {
            self.act(token, None, acts, 0);
            self.flush(token);
        }
    }

    fn run_timers(&mut self) {
        let now = Instant::now();
        while let Some(later) = self.timers.pop_due(now) {
            match later {
                Later::Job => {
                    self.job_planned = false;
                    if self.script.job_every.is_some() {
                        self.job_for_all();
                    }
                    self.plan_job();
                }
                Later::Acts { token, request, acts, next } => {
                    let Some(connection) = self.hall.guests.get_mut(&token) else { continue };
                    connection.waiting -= 1;
                    self.act(token, request, &acts, next);
                    self.flush(token);
                }
            }
        }
    }

    fn plan_job(&mut self) {
        if let Some(time) = self.script.job_every {
            self.timers.push(Instant::now() + time, Later::Job);
            self.job_planned = true;
        }
    }

    fn flush(&mut self, token: Token) {
        match self.hall.guests.get_mut(&token).map(|connection| connection.flush(&mut self.book)) {
            Some(Fate::Busy) => {
                self.busy.insert(token);
            }
            Some(Fate::Closed) => self.close(token),
            Some(Fate::Open) | None => {}
        }
    }

    fn close(&mut self, token: Token) {
        if let Some(mut connection) = self.hall.guests.remove(&token) {
            connection.socket.deregister(self.hall.registry());
            let is_cut = !connection.ended_in_order();
            self.book.note(Seen::Closed { connection: connection.number, is_cut });
        }
    }
}

/// Judges a submit and writes it down.
fn note_submit(
    request: &mut Request,
    params: &Value,
    connection: &Connection,
    jobs: &Jobs,
    judge: &mut Judge,
    book: &mut Book,
) {
    let Some(submit) = Submit::read(params) else {
        request.fit = Some(Fit::Malformed);
        return;
    };
    let key = ShareKey::new(&connection.account.extranonce1, &submit.fields);
    let fit = judge.look(&submit, key, &connection.account, jobs);
    request.fit = Some(fit);
    let entry = SubmitSeen {
        connection: connection.number,
        id: request.id.as_str().into(),
        name: judge.texts.shared(submit.name),
        job_id: judge.texts.shared(submit.job_id),
        key,
        fit,
        verdict: None,
    };
    request.place = book.submit(entry);
}
