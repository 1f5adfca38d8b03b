//! Replays a recorded session through a proxy: the recorded miner on one side, the recorded pool on the other.
//!
//! Every line has to arrive on the other side byte for byte, but for the id of a request upstream. Whatever else a proxy
//! does on purpose has to be said beforehand, line by line, as a [`Departure`].

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;

use crate::json_line::JsonLine;
use crate::peer::{Heard, PATIENCE, Peer, PeerListener};
use crate::transcript::{From, Session, Step, What};

/// A line that does not simply arrive on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Title of the session; `*` for any.
    pub session: &'static str,
    /// A part of the line, enough to know it. Each departure counts for one line.
    pub line: &'static str,
    /// What happens to it.
    pub fate: Fate,
}

/// What happens to a line that does not simply arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The miner gets this answer from the proxy; the pool sees nothing of it, and its recorded answer is left out.
    AnsweredHere(&'static str),
    /// The same, and the connection ends. This is all that the miner still gets, line ends included.
    ClosedHere(&'static str),
    /// The proxy drops it.
    Dropped,
    /// It arrives, but the pool says nothing to it, so that the miner gets this from the proxy at some later time.
    AnsweredForPool(&'static str),
    /// The pool's recorded answer to this line is left out: the proxy had answered already.
    LeftOut,
}

/// Replays sessions through the proxy at one address, which has to connect to the pool.
#[derive(Debug)]
pub struct Replay<'a> {
    proxy: SocketAddr,
    pool: &'a PeerListener,
    departures: &'a [Departure],
    used: Vec<bool>,
}

/// A request that the pool has not answered.
#[derive(Debug)]
struct Open {
    miner_id: Option<String>,
    upstream_id: Option<String>,
}

/// One session while it is replayed.
#[derive(Debug)]
struct Run {
    /// Gone once it was reset.
    miner: Option<Peer>,
    pool: Option<Peer>,
    open: Vec<Open>,
    /// Ids of requests that the proxy answered, as the miner wrote them.
    answered_here: Vec<Option<String>>,
    /// Lines that the miner has to see next.
    due: Vec<Vec<u8>>,
    /// Lines that the miner has to see sooner or later.
    due_some_time: Vec<Vec<u8>>,
    miner_ended: bool,
    pool_ended: bool,
}

impl<'a> Replay<'a> {
    /// Through the proxy at `proxy`, with the pool at `pool`.
    pub fn new(proxy: SocketAddr, pool: &'a PeerListener, departures: &'a [Departure]) -> Self {
        Self { proxy, pool, departures, used: vec![false; departures.len()] }
    }

    /// Replays one session; an error says at which line it went another way.
    pub fn session(&mut self, session: &Session) -> Result<(), String> {
        let miner = Peer::connect(self.proxy).map_err(|error| format!("connect: {error}"))?;
        let mut run = Run {
            miner: Some(miner),
            pool: None,
            open: Vec::new(),
            answered_here: Vec::new(),
            due: Vec::new(),
            due_some_time: Vec::new(),
            miner_ended: false,
            pool_ended: false,
        };
        let mut steps = session.steps.as_slice();
        while let Some((step, rest)) = steps.split_first() {
            let together = rest.iter().take_while(|next| next.together && next.from == step.from).count();
            let (group, rest) = steps.split_at(1 + together);
            self.group(&mut run, &session.title, group).map_err(|error| {
                format!(
                    "session {:?}, {:?}: {error}",
                    session.title,
                    String::from_utf8_lossy(first_line(group))
                )
            })?;
            steps = rest;
            if run.miner_ended && run.pool_ended {
                break; // what a recorder still saw of a closed connection cannot be replayed
            }
        }
        run.finish().map_err(|error| format!("session {:?}, at its end: {error}", session.title))
    }

    /// Departures that no line called for: the list says more than is true.
    pub fn unused(&self) -> Vec<&Departure> {
        self.departures
            .iter()
            .zip(&self.used)
            .filter(|(_, used)| !**used)
            .map(|(departure, _)| departure)
            .collect()
    }

    /// Steps that came in one read: sent in one write.
    fn group(&mut self, run: &mut Run, title: &str, group: &[Step]) -> Result<(), String> {
        match group[0].from {
            From::Miner if run.miner_ended => return Ok(()),
            From::Pool if run.pool_ended => return Ok(()),
            From::Miner => run.settle()?,
            From::Pool => {}
        }
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for step in group {
            match (&step.what, step.from) {
                (What::Bytes(text), From::Miner) => {
                    let fate = self.fate(title, text);
                    bytes.extend_from_slice(text);
                    expected.push((step, fate));
                }
                (What::Bytes(text), From::Pool) => {
                    let fate = self.fate(title, text);
                    run.pool_says(step, fate)?;
                }
                (What::End | What::Reset, From::Miner) => return run.miner_ends(&step.what),
                (What::End | What::Reset, From::Pool) => return run.pool_ends(),
            }
        }
        if !bytes.is_empty() {
            let _ = run.miner()?.send(&bytes); // a proxy that has closed already is told by what it says
        }
        for (step, fate) in expected {
            if run.miner_ended {
                break; // the rest of what was written before the proxy closed
            }
            run.miner_said(step, fate, self.pool)?;
        }
        Ok(())
    }

    fn fate(&mut self, title: &str, line: &[u8]) -> Option<Fate> {
        let text = String::from_utf8_lossy(line);
        let place = self.departures.iter().enumerate().position(|(place, departure)| {
            !self.used[place]
                && (departure.session == "*" || departure.session == title)
                && text.contains(departure.line)
        })?;
        self.used[place] = true;
        Some(self.departures[place].fate)
    }
}

impl Run {
    fn miner(&mut self) -> Result<&mut Peer, String> {
        self.miner.as_mut().ok_or_else(|| "the miner has reset its connection".into())
    }

    /// The miner has sent a line: it arrives at the pool, or the proxy does with it what was said.
    fn miner_said(&mut self, step: &Step, fate: Option<Fate>, listener: &PeerListener) -> Result<(), String> {
        let line = step.line().unwrap_or_default();
        let miner_id = JsonLine::read(line).and_then(|message| message.id().map(String::from));
        match fate {
            None | Some(Fate::AnsweredForPool(_)) => {}
            Some(Fate::AnsweredHere(answer)) => {
                self.answered_here.push(miner_id);
                self.due.push(answer.into());
                return self.settle();
            }
            Some(Fate::ClosedHere(answer)) => {
                self.due_some_time.extend(answer.split_terminator('\n').map(|line| line.as_bytes().to_vec()));
                self.miner_ended = true;
                self.pool_ended = true;
                self.miner_hears_the_end()?;
                return self.pool.as_mut().map_or(Ok(()), pool_hears_the_end);
            }
            Some(Fate::Dropped | Fate::LeftOut) => return Ok(()),
        }
        let Some(pool) = &mut self.pool else {
            self.pool =
                Some(listener.accept_within(PATIENCE).ok_or("the proxy did not connect to the pool")?);
            return self.miner_said(step, fate, listener);
        };
        let received = line_of(pool, "the pool")?;
        let upstream_id = JsonLine::read(&received).and_then(|message| message.id().map(String::from));
        if !is_same_request(line, &received) {
            return Err(differ("the pool", line, &received));
        }
        let is_request = JsonLine::read(line).is_some_and(|message| message.method().is_some());
        if is_request {
            self.open.push(Open { miner_id, upstream_id });
        }
        if let Some(Fate::AnsweredForPool(answer)) = fate {
            self.open.pop();
            self.due_some_time.push(answer.into());
        }
        Ok(())
    }

    /// The pool says a line, under the id that the proxy used.
    fn pool_says(&mut self, step: &Step, fate: Option<Fate>) -> Result<(), String> {
        let line = step.line().unwrap_or_default();
        if fate == Some(Fate::LeftOut) || self.is_answered_here(line) {
            return Ok(());
        }
        let open = self.take_open(line);
        let (told, due) = match &open {
            Some(open) => {
                (with_id(line, open.upstream_id.as_deref()), with_id(line, open.miner_id.as_deref()))
            }
            None => (line.to_vec(), line.to_vec()),
        };
        let pool = self.pool.as_mut().ok_or("the pool speaks, but the proxy never connected")?;
        let mut bytes = told;
        bytes.push(b'\n');
        pool.send(&bytes).map_err(|error| format!("the pool cannot send: {error}"))?;
        if fate != Some(Fate::Dropped) {
            self.due.push(due);
        }
        Ok(())
    }

    /// Whether a pool's line answers a request that it never saw.
    fn is_answered_here(&mut self, line: &[u8]) -> bool {
        let Some(message) = JsonLine::read(line).filter(JsonLine::is_response) else { return false };
        let id = message.id();
        let place = self.answered_here.iter().position(|answered| is_same_id(answered.as_deref(), id));
        place.map(|place| self.answered_here.remove(place)).is_some()
    }

    /// The request that a pool's line answers.
    fn take_open(&mut self, line: &[u8]) -> Option<Open> {
        let message = JsonLine::read(line).filter(JsonLine::is_response)?;
        let place = self.open.iter().position(|open| is_same_id(open.miner_id.as_deref(), message.id()))?;
        Some(self.open.remove(place))
    }

    /// The miner has seen everything that is due.
    fn settle(&mut self) -> Result<(), String> {
        for due in std::mem::take(&mut self.due) {
            loop {
                let received = line_of(self.miner()?, "the miner")?;
                if received == due {
                    break;
                }
                if !self.is_due_some_time(&received) {
                    return Err(differ("the miner", &due, &received));
                }
            }
        }
        Ok(())
    }

    /// Whether this was to come at a time of the proxy's choice.
    fn is_due_some_time(&mut self, received: &[u8]) -> bool {
        let place = self.due_some_time.iter().position(|due| due == received);
        place.map(|place| self.due_some_time.remove(place)).is_some()
    }

    /// What was to come some time comes now, and then the miner's connection ends.
    fn miner_hears_the_end(&mut self) -> Result<(), String> {
        loop {
            match self.miner()?.hear(PATIENCE) {
                Heard::Line(line) if self.is_due_some_time(&line) => {}
                Heard::End(rest) if rest.is_empty() => break,
                Heard::Reset => break,
                other => return Err(format!("an end was due at the miner, but: {other:?}")),
            }
        }
        match self.due_some_time.first() {
            Some(due) => Err(format!("the miner never saw {}", String::from_utf8_lossy(due))),
            None => Ok(()),
        }
    }

    fn miner_ends(&mut self, what: &What) -> Result<(), String> {
        self.settle()?;
        self.miner_ended = true;
        if *what == What::Reset {
            self.miner.take().map_or(Ok(()), Peer::reset).map_err(|error| error.to_string())?;
        } else {
            self.miner()?.close_sending().map_err(|error| error.to_string())?;
        }
        match &mut self.pool {
            Some(pool) if !self.pool_ended => pool_hears_the_end(pool),
            _ => Ok(()),
        }
    }

    fn pool_ends(&mut self) -> Result<(), String> {
        self.settle()?;
        self.pool_ended = true;
        let Some(pool) = self.pool.take() else { return Ok(()) };
        drop(pool);
        self.miner_ended = true;
        if self.miner.is_some() { self.miner_hears_the_end() } else { Ok(()) }
    }

    /// Ends whatever the recording left open; nothing more may have come on either side.
    fn finish(mut self) -> Result<(), String> {
        if !self.miner_ended {
            self.miner_ends(&What::End)?;
        }
        if !self.pool_ended {
            drop(self.pool.take());
            if self.miner.is_some() {
                self.miner_hears_the_end()?;
            }
        }
        Ok(())
    }
}

fn first_line(group: &[Step]) -> &[u8] {
    group.first().and_then(Step::line).unwrap_or_default()
}

fn line_of(peer: &mut Peer, whom: &str) -> Result<Vec<u8>, String> {
    match peer.hear(PATIENCE) {
        Heard::Line(line) => Ok(line),
        other => Err(format!("a line was due at {whom}, but: {other:?}")),
    }
}

fn pool_hears_the_end(pool: &mut Peer) -> Result<(), String> {
    match pool.hear(PATIENCE) {
        Heard::End(rest) if rest.is_empty() => Ok(()),
        Heard::Reset => Ok(()),
        other => Err(format!("an end was due at the pool, but: {other:?}")),
    }
}

fn differ(whom: &str, wanted: &[u8], received: &[u8]) -> String {
    let mut text = String::new();
    let _ = write!(
        text,
        "{whom} should have received\n    {}\nand received\n    {}",
        String::from_utf8_lossy(wanted),
        String::from_utf8_lossy(received)
    );
    text
}

/// Whether a request arrived unchanged but for its id. One without an id may have got one, as its first member.
fn is_same_request(sent: &[u8], received: &[u8]) -> bool {
    if sent == received {
        return true;
    }
    let (Some(sent_message), Some(message)) = (JsonLine::read(sent), JsonLine::read(received)) else {
        return false;
    };
    let Some(upstream_id) = message.id() else { return false };
    match sent_message.id() {
        Some(_) => with_id(sent, Some(upstream_id)) == received,
        None => [format!("{{\"id\":{upstream_id},").as_bytes(), &sent[1..]].concat() == received,
    }
}

/// The line with this id in it; `None` takes the id member out.
fn with_id(line: &[u8], id: Option<&str>) -> Vec<u8> {
    let Some(message) = JsonLine::read(line) else { return line.to_vec() };
    let Some(old) = message.id() else {
        let Some(id) = id else { return line.to_vec() };
        let end = line.len() - usize::from(line.ends_with(b"}"));
        return [&line[..end], format!(",\"id\":{id}}}").as_bytes()].concat();
    };
    let start = old.as_ptr() as usize - line.as_ptr() as usize;
    let end = start + old.len();
    if let Some(id) = id {
        return [&line[..start], id.as_bytes(), &line[end..]].concat();
    }
    // The member goes with the comma that stood before it, or else behind it.
    let key = line[..start].windows(4).rposition(|window| window == b"\"id\"").unwrap_or(start);
    let head = line[..key].trim_ascii_end();
    match head.strip_suffix(b",") {
        Some(head) => [head, &line[end..]].concat(),
        None => [
            head,
            line[end..].trim_ascii_start().strip_prefix(b",").unwrap_or(&line[end..]).trim_ascii_start(),
        ]
        .concat(),
    }
}

/// Whether a pool echoed this id: as JSON values, since pools write them anew and JavaScript rounds them.
fn is_same_id(of_miner: Option<&str>, of_pool: Option<&str>) -> bool {
    let value =
        |id: Option<&str>| id.map_or(Value::Null, |id| serde_json::from_str(id).unwrap_or(Value::Null));
    let (of_miner, of_pool) = (value(of_miner), value(of_pool));
    of_miner == of_pool || of_miner.as_f64().is_some_and(|number| of_pool.as_f64() == Some(number))
}

#[cfg(test)]
mod tests;
