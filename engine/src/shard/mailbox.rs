//! Messages into a shard from other threads: a bounded queue, a flag that the shard reads every turn, and a wake-up call
//! only where the shard may be asleep.
//!
//! The shard says where it is: *running* (it will see the flag), *waiting* in its ring (an eventfd that the ring reads
//! wakes it), or *parked* in glommio (the eventfd that the task sleeps on wakes it; signalling it through the ring's one
//! would nest two eventfds, and Linux 6.18 loses nested signals). Who saw it wait may come late, when it is parked already:
//! then both are signalled. A sender first raises the flag and then looks where the
//! shard is; the shard first says where it goes and then looks at the flag. So one of them sees the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::SeqCst};

use crossbeam::queue::ArrayQueue;

use crate::ring::eventfd::EventFd;

/// Messages that may wait. Senders are few and control only.
const WAITING_COUNT_MAX: usize = 256;

const RUNNING: u8 = 0;
const WAITING: u8 = 1;
const PARKED: u8 = 2;

/// The queue and the shard's whereabouts.
#[derive(Debug)]
pub struct Mailbox<T> {
    queue: ArrayQueue<T>,
    has_mail: AtomicBool,
    whereabouts: AtomicU8,
    ring: Arc<EventFd>,
    park: Arc<EventFd>,
}

impl<T> Mailbox<T> {
    /// An empty one. `ring` is watched by the shard's ring, `park` wakes its task.
    pub fn new(ring: Arc<EventFd>, park: Arc<EventFd>) -> Self {
        Self {
            queue: ArrayQueue::new(WAITING_COUNT_MAX),
            has_mail: AtomicBool::new(false),
            whereabouts: AtomicU8::new(RUNNING),
            ring,
            park,
        }
    }

    /// Puts a message in; it comes back when the mailbox is full.
    pub fn send(&self, message: T) -> Result<(), T> {
        self.queue.push(message)?;
        self.has_mail.store(true, SeqCst);
        match self.whereabouts.load(SeqCst) {
            WAITING => self.call_into_ring(),
            PARKED => self.park.signal(),
            _ => {}
        }
        Ok(())
    }

    /// Wakes a shard that was seen to wait in its ring, and may be parked by now.
    ///
    /// The second signal is for that case: the first one then leaves work in the ring that the kernel tells nobody of,
    /// and as it tells only of the first piece of work, of nothing that comes after it either. The shard would sleep for
    /// ever. A shard that does wait in its ring only fails to sleep the next time it parks.
    fn call_into_ring(&self) {
        self.ring.signal();
        self.park.signal();
    }

    /// What a sender does that was held up after it saw the shard wait.
    #[cfg(test)]
    pub(super) fn call_late(&self) {
        self.call_into_ring();
    }

    /// Whether the shard is parked.
    #[cfg(test)]
    pub(super) fn is_parked(&self) -> bool {
        self.whereabouts.load(SeqCst) == PARKED
    }

    /// The shard is about to wait in its ring. True if it must not, since there is mail.
    pub fn going_to_wait(&self) -> bool {
        self.going(WAITING)
    }

    /// The shard is about to park. True if it must not, since there is mail.
    pub fn going_to_park(&self) -> bool {
        self.going(PARKED)
    }

    /// The shard is awake.
    pub fn back(&self) {
        // Nobody loses anything by seeing this late: at worst a needless signal.
        self.whereabouts.store(RUNNING, std::sync::atomic::Ordering::Release);
    }

    /// Whether the shard neither waits nor is parked.
    pub fn is_awake(&self) -> bool {
        self.whereabouts.load(std::sync::atomic::Ordering::Relaxed) == RUNNING
    }

    /// Whether there is mail; a plain load.
    pub fn has_mail(&self) -> bool {
        self.has_mail.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The next message. Lowers the flag first, so that a message that comes meanwhile raises it again.
    pub fn take(&self) -> Option<T> {
        if self.has_mail() {
            self.has_mail.store(false, SeqCst);
        }
        let message = self.queue.pop();
        if message.is_some() && !self.queue.is_empty() {
            self.has_mail.store(true, SeqCst);
        }
        message
    }

    fn going(&self, place: u8) -> bool {
        self.whereabouts.store(place, SeqCst);
        self.has_mail.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::ring::{Ring, RingSize, completion::Completion};

    #[test]
    fn a_full_mailbox_gives_the_message_back() {
        let eventfd = Arc::new(EventFd::new().unwrap());
        let mailbox = Mailbox::new(eventfd.clone(), eventfd);
        for n in 0..WAITING_COUNT_MAX {
            mailbox.send(n).unwrap();
        }
        assert_eq!(mailbox.send(7), Err(7));
        assert_eq!(mailbox.take(), Some(0));
        mailbox.send(7).unwrap();
        let mut last = None;
        while mailbox.has_mail() {
            last = mailbox.take();
        }
        assert_eq!((last, mailbox.take()), (Some(7), None));
    }

    #[test]
    fn a_message_wakes_a_ring_that_waits_and_none_is_lost_in_any_order() {
        const COUNT: u32 = 2_000;
        /// Of a ring that nobody wakes. Twice what a machine that is busy with others keeps anybody waiting.
        const ASLEEP: Duration = Duration::from_secs(60);
        let ring_eventfd = Arc::new(EventFd::new().unwrap());
        let mailbox = Arc::new(Mailbox::new(ring_eventfd.clone(), Arc::new(EventFd::new().unwrap())));
        let sender = {
            let mailbox = mailbox.clone();
            std::thread::spawn(move || {
                for n in 0..COUNT {
                    while mailbox.send(n).is_err() {
                        std::thread::yield_now();
                    }
                    if n % 64 == 0 {
                        // Let the ring fall asleep now and then.
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            })
        };
        let size = RingSize { submissions: 8, completions: 16, buffers: 2 };
        let mut ring = Ring::new(size, ring_eventfd).unwrap();
        let mut expected = 0;
        while expected < COUNT {
            let wait = (!mailbox.going_to_wait()).then_some(ASLEEP);
            let entered = Instant::now();
            ring.enter(wait).unwrap();
            mailbox.back();
            assert!(entered.elapsed() < ASLEEP / 2, "a message did not wake the ring");
            let woken = ring.take_completions(Vec::new());
            assert!(woken.iter().all(|completion| matches!(completion, Completion::Woken)));
            while let Some(n) = mailbox.take() {
                assert_eq!(n, expected);
                expected += 1;
            }
        }
        sender.join().unwrap();
    }
}
