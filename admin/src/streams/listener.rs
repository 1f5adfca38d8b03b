//! One listener: its queue, and how events are written for it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Instant;

use mio::net::TcpStream;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

use super::Takeover;
use crate::events::{Entry, Filter, Ring};
use crate::limits::{
    EVENTS_WAITING_COUNT_MAX, STREAM_BYTES_MAX, STREAM_HEARTBEAT, STREAM_MESSAGE_BYTES_MAX,
    STREAM_STALL_TIME_MAX,
};
use crate::query::{Query, QueryError};

/// What a listener asked for. Travels as text in a header of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Whether it speaks WebSocket; otherwise Server-Sent Events.
    pub is_web_socket: bool,
    /// Which events.
    pub filter: Filter,
    /// After which number; `None` is from now on.
    pub after: Option<u64>,
}

impl Plan {
    /// Parameters of the query.
    const PARAMETERS: [&'static str; 5] = ["kinds", "worker", "pool", "after", "limit"];

    /// Reads a query; `last_id` is the number that a returning `EventSource` sends.
    pub fn parse(is_web_socket: bool, query: &str, last_id: Option<&str>) -> Result<Self, QueryError> {
        let query = Query::parse(query, &Self::PARAMETERS)?;
        let after = query.number("after", 0..=u64::MAX)?;
        let last_id = last_id.and_then(|id| id.parse().ok());
        Ok(Self { is_web_socket, filter: Filter::parse(&query)?, after: last_id.or(after) })
    }

    /// The text from which [`Plan::from_header`] makes it again.
    pub fn header(is_web_socket: bool, query: &str, last_id: Option<&str>) -> String {
        let last_id =
            last_id.and_then(|id| id.parse::<u64>().ok()).map_or_else(String::new, |id| id.to_string());
        format!("{};{last_id};{query}", if is_web_socket { "ws" } else { "sse" })
    }

    fn from_header(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ';');
        let (kind, last_id, query) = (parts.next()?, parts.next()?, parts.next()?);
        Self::parse(kind == "ws", query, (!last_id.is_empty()).then_some(last_id)).ok()
    }
}

/// What a listener was told since it was last asked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub told: u64,
    pub missed: u64,
}

/// A client that hears events.
pub(super) struct Listener {
    wire: Wire,
    plan: Plan,
    waiting: VecDeque<Arc<Entry>>,
    /// Events that it missed since it was last told so.
    missed: u64,
    counts: Told,
    /// When it last had taken everything, or sent something.
    alive: Instant,
    /// When something was last written for it.
    spoken: Instant,
    is_ready: bool,
}

enum Wire {
    Sse { socket: TcpStream, out: Vec<u8>, written: usize },
    WebSocket(Box<WebSocket<TcpStream>>),
}

impl Listener {
    /// `None` if its plan cannot be read, which would be a mistake of ours.
    pub fn new(takeover: Takeover, now: Instant) -> Option<Self> {
        let Takeover { socket, input, plan, source } = takeover;
        let Some(plan) = Plan::from_header(&plan) else {
            log::error!("{source} asked for events by {plan:?}, which cannot be read");
            return None;
        };
        let wire = if plan.is_web_socket {
            let config = WebSocketConfig::default()
                .read_buffer_size(STREAM_MESSAGE_BYTES_MAX)
                .write_buffer_size(STREAM_BYTES_MAX)
                .max_write_buffer_size(4 * STREAM_BYTES_MAX)
                .max_message_size(Some(STREAM_MESSAGE_BYTES_MAX))
                .max_frame_size(Some(STREAM_MESSAGE_BYTES_MAX));
            Wire::WebSocket(Box::new(WebSocket::from_partially_read(
                socket,
                input,
                Role::Server,
                Some(config),
            )))
        } else {
            Wire::Sse { socket, out: b"retry: 2000\n\n".to_vec(), written: 0 }
        };
        let waiting = VecDeque::new();
        Some(Self {
            wire,
            plan,
            waiting,
            missed: 0,
            counts: Told::default(),
            alive: now,
            spoken: now,
            is_ready: true,
        })
    }

    /// Its socket, to be watched.
    pub fn socket(&mut self) -> &mut TcpStream {
        match &mut self.wire {
            Wire::Sse { socket, .. } => socket,
            Wire::WebSocket(socket) => socket.get_mut(),
        }
    }

    /// Puts the kept events it asked for into its queue.
    pub fn replay(&mut self, ring: &Ring) {
        if self.plan.after.is_some() {
            let (entries, missed) = ring.since(self.plan.after, &self.plan.filter);
            self.missed = self.missed.saturating_add(missed);
            for entry in &entries {
                self.enqueue(entry);
            }
        }
    }

    /// Puts an event into its queue if it wants it.
    pub fn offer(&mut self, entry: &Arc<Entry>) {
        if self.plan.filter.wants(&entry.event) {
            self.enqueue(entry);
        }
    }

    fn enqueue(&mut self, entry: &Arc<Entry>) {
        // The oldest goes: a listener that fell behind wants to know how things are, not how they were.
        if self.waiting.len() >= EVENTS_WAITING_COUNT_MAX {
            self.waiting.pop_front();
            self.missed = self.missed.saturating_add(1);
        }
        self.waiting.push_back(Arc::clone(entry));
    }

    /// Its socket has news.
    pub fn on_ready(&mut self) {
        self.is_ready = true;
    }

    /// When it must be looked at even if nothing happens.
    pub fn deadline(&self) -> Instant {
        (self.spoken + STREAM_HEARTBEAT).min(self.alive + STREAM_STALL_TIME_MAX)
    }

    /// What it was told since the last call.
    pub fn take_counts(&mut self) -> Told {
        std::mem::take(&mut self.counts)
    }

    /// Reads and writes what it can; false once it is over.
    pub fn serve(&mut self, now: Instant) -> bool {
        if now >= self.alive + STREAM_STALL_TIME_MAX {
            return false;
        }
        if std::mem::take(&mut self.is_ready) && !self.read(now) {
            return false;
        }
        self.write(now).is_ok()
    }

    /// Tells it that no more events come, if it takes that at once.
    pub fn say_goodbye(&mut self) {
        if let Wire::WebSocket(socket) = &mut self.wire {
            // It is told by the end of the connection otherwise.
            let _ = socket.close(None).and_then(|()| socket.flush());
        }
    }

    /// Takes what it says, which matters only as a sign of life; false if it left.
    fn read(&mut self, now: Instant) -> bool {
        match &mut self.wire {
            Wire::Sse { socket, .. } => {
                let mut buffer = [0; 512];
                loop {
                    match socket.read(&mut buffer) {
                        Ok(0) => return false,
                        Ok(_) => {}
                        Err(error) => return error.kind() == ErrorKind::WouldBlock,
                    }
                }
            }
            Wire::WebSocket(socket) => loop {
                match socket.read() {
                    Ok(_) => self.alive = now,
                    Err(Error::Io(error)) => return error.kind() == ErrorKind::WouldBlock,
                    Err(_) => {
                        // Whatever it did wrong, the answer to it is still in the buffer.
                        let _ = socket.flush();
                        return false;
                    }
                }
            },
        }
    }

    fn write(&mut self, now: Instant) -> io::Result<()> {
        loop {
            if !self.flush(now)? {
                return Ok(());
            }
            if self.waiting.is_empty() && self.missed == 0 {
                if now < self.spoken + STREAM_HEARTBEAT {
                    return Ok(());
                }
                self.heartbeat()?;
            } else {
                self.tell()?;
            }
            self.spoken = now;
        }
    }

    /// Writes out what is prepared; true if nothing is left.
    fn flush(&mut self, now: Instant) -> io::Result<bool> {
        match &mut self.wire {
            Wire::Sse { socket, out, written } => {
                while let Some(rest) = out.get(*written..).filter(|rest| !rest.is_empty()) {
                    match socket.write(rest) {
                        Ok(0) => return Err(ErrorKind::WriteZero.into()),
                        Ok(count) => {
                            *written += count;
                            self.alive = now;
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                        Err(error) => return Err(error),
                    }
                }
                out.clear();
                *written = 0;
                // Somebody who has taken everything is not stalled.
                self.alive = now;
                Ok(true)
            }
            Wire::WebSocket(socket) => {
                let is_empty = no_pause(socket.flush())?;
                if is_empty {
                    self.alive = now;
                }
                Ok(is_empty)
            }
        }
    }

    /// Prepares as many events as one write may hold. What was missed lies before what waits.
    fn tell(&mut self) -> io::Result<()> {
        let missed = std::mem::take(&mut self.missed);
        self.counts.missed += missed;
        let note = format!(r#"{{"kind":"missed","missed":{missed}}}"#);
        match &mut self.wire {
            Wire::Sse { out, .. } => {
                let mut text = String::new();
                if missed > 0 {
                    text = format!("event: missed\ndata: {note}\n\n");
                }
                while text.len() < STREAM_BYTES_MAX
                    && let Some(entry) = self.waiting.pop_front()
                {
                    let (id, kind, json) = (entry.id, entry.event.kind().label(), &entry.json);
                    // Writing to a string cannot fail.
                    let _ = write!(text, "id: {id}\nevent: {kind}\ndata: {json}\n\n");
                    self.counts.told += 1;
                }
                out.extend_from_slice(text.as_bytes());
            }
            Wire::WebSocket(socket) => {
                if missed > 0 {
                    no_pause(socket.write(Message::text(note)))?;
                }
                let mut bytes = 0;
                while bytes < STREAM_BYTES_MAX
                    && let Some(entry) = self.waiting.pop_front()
                {
                    bytes += entry.json.len();
                    self.counts.told += 1;
                    if !no_pause(socket.write(Message::text(entry.json.as_str())))? {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    fn heartbeat(&mut self) -> io::Result<()> {
        match &mut self.wire {
            Wire::Sse { out, .. } => out.extend_from_slice(b": alive\n\n"),
            Wire::WebSocket(socket) => {
                no_pause(socket.write(Message::Ping(Bytes::new())))?;
            }
        }
        Ok(())
    }
}

/// True if all was written, false if the socket takes no more now. What was not written stays in the buffer.
fn no_pause(result: tungstenite::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(Error::Io(error)) => Err(error),
        Err(other) => Err(io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_its_header() {
        let query = "kinds=share,job&worker=a%3Bb&after=7";
        let plan = Plan::parse(true, query, None).unwrap();
        assert_eq!(Plan::from_header(&Plan::header(true, query, None)), Some(plan));
        let plan = Plan::from_header(&Plan::header(false, query, Some("12"))).unwrap();
        assert_eq!((plan.is_web_socket, plan.after), (false, Some(12)), "where it left off counts");
        let plan = Plan::from_header(&Plan::header(false, query, Some("no number"))).unwrap();
        assert_eq!(plan.after, Some(7));
    }
}
