//! The way from whoever sees something happen to the thread that tells it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use mio::Waker;
use parking_lot::Mutex;

use super::Event;
use crate::clock::unix_ms;
use crate::limits::EVENTS_QUEUED_COUNT_MAX;

/// Where events are published. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: ArrayQueue<(u64, Event)>,
    lost: AtomicU64,
    /// Whether somebody takes events out.
    attached: AtomicBool,
    /// Whether that one must be woken.
    asleep: AtomicBool,
    waker: Mutex<Option<Arc<Waker>>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            queue: ArrayQueue::new(EVENTS_QUEUED_COUNT_MAX),
            lost: AtomicU64::new(0),
            attached: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            waker: Mutex::new(None),
        }
    }
}

impl Events {
    /// Whether anybody takes events. A caller may look first where making one costs something.
    pub fn are_taken(&self) -> bool {
        self.0.attached.load(Ordering::Relaxed)
    }

    /// Tells of an event, stamped with the present time. Never blocks; when the queue is full the event is lost and counted.
    pub fn publish(&self, event: Event) {
        self.publish_at(unix_ms(), event);
    }

    /// The same for one that happened at `at_ms`, Unix time in milliseconds.
    pub fn publish_at(&self, at_ms: u64, event: Event) {
        if !self.are_taken() {
            return;
        }
        if self.0.queue.push((at_ms, event)).is_err() {
            self.count_lost(1);
        }
        if self.0.asleep.swap(false, Ordering::SeqCst)
            && let Some(Err(error)) = self.0.waker.lock().as_deref().map(Waker::wake)
        {
            log::error!("the event streams cannot be woken: {error}");
        }
    }

    /// Counts events that were lost on their way here.
    pub fn count_lost(&self, count: u64) {
        if count > 0 {
            self.0.lost.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Takes the other end, to be looked into now and then where no server runs. `None` if somebody has it already.
    pub fn take_all(&self) -> Option<Inbox> {
        if self.0.attached.swap(true, Ordering::AcqRel) { None } else { Some(Inbox(self.clone())) }
    }

    /// The same with something to be woken by.
    pub(crate) fn attach(&self, waker: Arc<Waker>) -> Option<Inbox> {
        let inbox = self.take_all()?;
        *self.0.waker.lock() = Some(waker);
        Some(inbox)
    }
}

/// The other end of [`Events`]. Dropping it lets them pass unheard again.
#[derive(Debug)]
pub struct Inbox(Events);

impl Inbox {
    /// The next event and when it happened, Unix time in milliseconds.
    pub fn take(&self) -> Option<(u64, Event)> {
        self.0.0.queue.pop()
    }

    /// Says that whoever publishes next must wake the taker. False if there is something to take already.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.0.0.asleep.store(true, Ordering::SeqCst);
        let is_empty = self.0.0.queue.is_empty();
        if !is_empty {
            self.0.0.asleep.store(false, Ordering::SeqCst);
        }
        is_empty
    }

    /// Events lost because the queue was full.
    pub fn lost(&self) -> u64 {
        self.0.0.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        *self.0.0.waker.lock() = None;
        while self.take().is_some() {}
        self.0.0.attached.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};

    use super::*;

    fn event() -> Event {
        Event::LimitHit { limit: "connections".into(), address: None }
    }

    #[test]
    fn nothing_is_kept_while_nobody_takes() {
        let events = Events::default();
        events.publish(event());
        assert!(events.0.queue.is_empty());
    }

    #[test]
    fn a_full_queue_loses_and_counts() {
        let poll = Poll::new().unwrap();
        let waker = Arc::new(Waker::new(poll.registry(), Token(0)).unwrap());
        let events = Events::default();
        let inbox = events.attach(Arc::clone(&waker)).unwrap();
        assert!(events.attach(waker).is_none(), "only one may take");
        (0..EVENTS_QUEUED_COUNT_MAX + 5).for_each(|_| events.publish(event()));
        assert_eq!(inbox.lost(), 5);
        assert_eq!(std::iter::from_fn(|| inbox.take()).count(), EVENTS_QUEUED_COUNT_MAX);
        drop(inbox);
        assert!(!events.are_taken());
    }

    #[test]
    fn a_sleeper_is_woken_once() {
        let mut poll = Poll::new().unwrap();
        let events = Events::default();
        let inbox = events.attach(Arc::new(Waker::new(poll.registry(), Token(3)).unwrap())).unwrap();
        assert!(inbox.fall_asleep());
        events.publish(event());
        let mut woken = mio::Events::with_capacity(4);
        poll.poll(&mut woken, Some(std::time::Duration::from_secs(5))).unwrap();
        assert_eq!(woken.iter().map(|event| event.token().0).collect::<Vec<_>>(), [3]);
        assert!(!inbox.fall_asleep(), "there is something to take");
    }
}
