//! Event streams: one thread that numbers events, keeps the last ones, and tells them to every listener.
//!
//! A listener is a client whose request was answered with "events follow": the front hands its socket over. Each has a
//! bounded queue of its own; one that reads slowly misses events, is told how many, and holds up nobody.

mod listener;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events as Ready, Interest, Poll, Token, Waker};
use parking_lot::Mutex;

use crate::clock::unix_ms;
use crate::events::{Events, Inbox, Ring};
use crate::limits::STREAMS_COUNT_MAX;
use listener::Listener;
pub(crate) use listener::Plan;

/// While events come in, they are gathered for so long, so that many of them cost one wake-up.
const GATHER: Duration = Duration::from_millis(20);
/// Events taken from the queue in one turn.
const EVENTS_PER_TURN: usize = 1024;
/// The token of the waker: events, new listeners, or the end.
const WAKER: Token = Token(STREAMS_COUNT_MAX);

/// A client that is to hear events.
#[derive(Debug)]
pub(crate) struct Takeover {
    /// Its socket; the head of the answer went out already.
    pub socket: TcpStream,
    /// Where it comes from.
    pub source: SocketAddr,
    /// What it sent behind its request.
    pub input: Vec<u8>,
    /// What it is to hear, and how.
    pub plan: String,
}

/// The way to the streams thread.
#[derive(Clone, Debug)]
pub(crate) struct Streams {
    shared: Arc<Shared>,
    news: mpsc::Sender<Takeover>,
}

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    open: AtomicUsize,
    missed: AtomicU64,
    told: AtomicU64,
    lost: AtomicU64,
    stopping: AtomicBool,
    waker: Arc<Waker>,
}

/// Counters of the streams since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamCounts {
    /// Listeners now.
    pub open: u64,
    /// Events told, to all listeners together.
    pub told: u64,
    /// Events that slow listeners missed.
    pub missed: u64,
    /// Events lost before anybody could be told.
    pub lost: u64,
}

impl Streams {
    /// Hands a client over.
    pub fn begin(&self, takeover: Takeover) {
        // Without a receiver the thread is gone, and the connection is closed with the value.
        if self.news.send(takeover).is_ok() {
            self.wake();
        }
    }

    /// Whether one more listener may come.
    pub fn have_room(&self) -> bool {
        self.shared.open.load(Ordering::Relaxed) < STREAMS_COUNT_MAX
    }

    /// A look at the last events.
    pub fn with_ring<T>(&self, look: impl FnOnce(&Ring) -> T) -> T {
        look(&self.shared.ring.lock())
    }

    /// The counters.
    pub fn counts(&self) -> StreamCounts {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        StreamCounts {
            open: self.shared.open.load(Ordering::Relaxed) as u64,
            told: of(&self.shared.told),
            missed: of(&self.shared.missed),
            lost: of(&self.shared.lost),
        }
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        if let Err(error) = self.shared.waker.wake() {
            log::error!("the event streams cannot be woken: {error}");
        }
    }
}

/// The streams thread's own state.
pub(crate) struct Hub {
    poll: Poll,
    shared: Arc<Shared>,
    inbox: Option<Inbox>,
    news: mpsc::Receiver<Takeover>,
    listeners: Vec<Option<Listener>>,
}

impl Hub {
    /// A hub that takes from `events`. If another server takes from them already, this one hears nothing.
    pub fn new(events: &Events) -> io::Result<(Self, Streams)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let inbox = events.attach(Arc::clone(&waker));
        let shared = Arc::new(Shared {
            ring: Mutex::new(Ring::new(unix_ms())),
            open: AtomicUsize::new(0),
            missed: AtomicU64::new(0),
            told: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            waker,
        });
        let (sender, news) = mpsc::channel();
        let streams = Streams { shared: Arc::clone(&shared), news: sender };
        Ok((Self { poll, shared, inbox, news, listeners: Vec::new() }, streams))
    }

    /// Serves until it is stopped.
    pub fn run(mut self) {
        let mut ready = Ready::with_capacity(STREAMS_COUNT_MAX + 1);
        // Nobody wakes us before we said that we sleep.
        let mut is_busy = true;
        loop {
            if let Err(error) = self.poll.poll(&mut ready, self.timeout(is_busy))
                && error.kind() != io::ErrorKind::Interrupted
            {
                log::error!("the event streams cannot go on: {error}");
                return;
            }
            if self.shared.stopping.load(Ordering::Acquire) {
                self.listeners.iter_mut().flatten().for_each(Listener::say_goodbye);
                return;
            }
            let now = Instant::now();
            is_busy = self.take_events();
            while let Ok(takeover) = self.news.try_recv() {
                self.admit(takeover, now);
            }
            for slot in ready.iter().map(|event| event.token().0).filter(|&n| n < STREAMS_COUNT_MAX) {
                if let Some(listener) = self.listeners.get_mut(slot).and_then(Option::as_mut) {
                    listener.on_ready();
                }
            }
            self.serve(now);
            is_busy |= self.inbox.as_ref().is_some_and(|inbox| !is_busy && !inbox.fall_asleep());
        }
    }

    /// While events come in the queue is looked at every [`GATHER`], without anybody waking us.
    fn timeout(&self, is_busy: bool) -> Option<Duration> {
        let now = Instant::now();
        let next = self.listeners.iter().flatten().map(Listener::deadline).min();
        let next = next.map(|at| at.saturating_duration_since(now));
        if is_busy { Some(next.map_or(GATHER, |next| next.min(GATHER))) } else { next }
    }

    /// Numbers what was published and puts it into the queues; true if there was anything.
    fn take_events(&mut self) -> bool {
        let Some(inbox) = &self.inbox else { return false };
        let mut any = false;
        for (at_ms, event) in std::iter::from_fn(|| inbox.take()).take(EVENTS_PER_TURN) {
            any = true;
            let entry = self.shared.ring.lock().push(at_ms, event);
            self.listeners.iter_mut().flatten().for_each(|listener| listener.offer(&entry));
        }
        self.shared.lost.store(inbox.lost(), Ordering::Relaxed);
        any
    }

    fn admit(&mut self, takeover: Takeover, now: Instant) {
        let free = self.listeners.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.listeners.len());
        if slot >= STREAMS_COUNT_MAX {
            log::debug!("{} hears no events: there are too many listeners", takeover.source);
            return;
        }
        let source = takeover.source;
        let Some(mut listener) = Listener::new(takeover, now) else { return };
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(listener.socket(), Token(slot), both) {
            log::warn!("{source} cannot be told events: {error}");
            return;
        }
        listener.replay(&self.shared.ring.lock());
        if slot == self.listeners.len() {
            self.listeners.push(None);
        }
        if let Some(place) = self.listeners.get_mut(slot) {
            *place = Some(listener);
        }
    }

    /// Lets every listener read and write what it can, and lets those go that are done.
    fn serve(&mut self, now: Instant) {
        let (mut open, mut told, mut missed) = (0, 0, 0);
        for place in &mut self.listeners {
            let Some(listener) = place else { continue };
            let stays = listener.serve(now);
            let counts = listener.take_counts();
            told += counts.told;
            missed += counts.missed;
            if stays {
                open += 1;
            } else {
                *place = None;
            }
        }
        self.shared.open.store(open, Ordering::Relaxed);
        self.shared.told.fetch_add(told, Ordering::Relaxed);
        self.shared.missed.fetch_add(missed, Ordering::Relaxed);
    }
}
