//! Into the kernel and back: submitting, waiting, and reading completions.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::{EnterFlags, cqueue, opcode, squeue, types};

use super::completion::{Completion, Errno, FailedSend, Received, Token};
use super::{OPERATION_BITS, Operation, Owned, Ring};

/// How long a thread rests when the kernel has no memory for an operation.
const CONGESTION_REST: Duration = Duration::from_millis(1);
/// How long dropping a ring may take until the kernel has let go of everything; then memory is leaked instead.
const CANCEL_SECONDS_MAX: u64 = 5;

/// To wait as long as it takes. The kernel then arms no timer, which costs more than all else about a short sleep.
pub const UNLIMITED: Duration = Duration::MAX;

/// What the kernel said to an enter call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entered {
    Done,
    Congested,
}

impl Ring {
    /// One round trip: submits everything queued and planned, waits up to `wait` for a completion (`None` does not
    /// wait, [`UNLIMITED`] does until there is one, the timer's perhaps), and reads all completions. Then the arena is
    /// empty, and each planned send is done or in [`Ring::take_failed_sends`].
    ///
    /// An error means that completions were lost or that the ring is unusable: the shard cannot go on.
    pub fn enter(&mut self, wait: Option<Duration>) -> io::Result<()> {
        self.push_planned();
        // What is to be read already must not be waited for.
        let wait = if self.completions.is_empty() { wait } else { None };
        let entered = self.call(wait);
        self.harvest();
        if entered == Entered::Congested || !self.is_settled() {
            self.submit_all();
        }
        self.finish_planned();
        self.addresses.clear();
        self.timer_unsubmitted = false;
        self.broken.take().map_or(Ok(()), Err)
    }

    /// Whether the kernel has work for this ring that only the next [`Ring::enter`] does.
    pub fn has_work(&mut self) -> bool {
        !self.completions.is_empty() || self.uring.submission().taskrun() || !self.is_settled()
    }

    /// Queues an entry; where the queue is full, the kernel takes what is in it first.
    pub(super) fn push(&mut self, entry: &squeue::Entry) {
        while self.broken.is_none() {
            // Why unsafe: the kernel follows the pointers in the entry. Sound: every caller is in this module and
            // passes pointers into memory owned by `self` that stays as the module's page says.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return;
            }
            if self.call(None) == Entered::Congested {
                std::thread::sleep(CONGESTION_REST);
            }
            self.harvest();
        }
    }

    /// Lets the kernel take every entry, and reads the completions until none waits outside the queue.
    pub(super) fn submit_all(&mut self) {
        while self.broken.is_none() && !self.is_settled() {
            if self.call(None) == Entered::Congested {
                std::thread::sleep(CONGESTION_REST);
            }
            self.harvest();
        }
    }

    /// Whether the kernel took every entry and has no completion kept back for want of room.
    fn is_settled(&mut self) -> bool {
        let mut submissions = self.uring.submission();
        submissions.sync();
        submissions.is_empty() && !submissions.cq_overflow()
    }

    /// The enter call. Errors that do not pass are kept in `broken`.
    fn call(&mut self, wait: Option<Duration>) -> Entered {
        self.buffers.publish();
        let (submitter, mut submissions, _) = self.uring.split();
        submissions.sync();
        let queued = submissions.len() as u32;
        drop(submissions);
        // Why unsafe: the raw call takes any flags and argument. Sound: EXT_ARG is set exactly when the argument is a
        // `SubmitArgs`, and the time it points to outlives the call. Safe `submit_with_args` runs no deferred work
        // when it does not wait.
        let get_events = EnterFlags::GETEVENTS;
        let result = match wait.filter(|wait| !wait.is_zero()) {
            Some(UNLIMITED) => unsafe {
                submitter.enter::<libc::sigset_t>(queued, 1, get_events.bits(), None)
            },
            Some(wait) => {
                let time = types::Timespec::from(wait);
                let arguments = types::SubmitArgs::new().timespec(&time);
                let flags = get_events | EnterFlags::EXT_ARG;
                unsafe { submitter.enter(queued, 1, flags.bits(), Some(&arguments)) }
            }
            None => unsafe { submitter.enter::<libc::sigset_t>(queued, 0, get_events.bits(), None) },
        };
        match result.map_err(|error| (error.raw_os_error(), error)) {
            Ok(_) | Err((Some(libc::EINTR | libc::ETIME), _)) => Entered::Done,
            Err((Some(libc::EAGAIN | libc::EBUSY | libc::ENOMEM), _)) => Entered::Congested,
            Err((_, error)) => {
                self.broken = Some(error);
                Entered::Done
            }
        }
    }

    /// Reads the completion queue to its end.
    fn harvest(&mut self) {
        let mut watch = false;
        loop {
            let entry = self.uring.completion().next();
            let Some(entry) = entry else { break };
            watch |= self.take(&entry);
        }
        if watch {
            self.watch();
        }
    }

    /// Turns one entry of the kernel into a [`Completion`]. True if the watched eventfd must be read again.
    fn take(&mut self, entry: &cqueue::Entry) -> bool {
        const ACCEPT: u64 = Operation::Accept as u64;
        const CONNECT: u64 = Operation::Connect as u64;
        const RECEIVE: u64 = Operation::Receive as u64;
        const PLANNED_SEND: u64 = Operation::PlannedSend as u64;
        const OWNED_SEND: u64 = Operation::OwnedSend as u64;
        const WATCH: u64 = Operation::Watch as u64;
        const TIMER: u64 = Operation::Timer as u64;

        let bits = entry.user_data() >> OPERATION_BITS;
        let (result, flags) = (entry.result(), entry.flags());
        let armed = cqueue::more(flags);
        let token = Token::from_bits(bits);
        let completion = match entry.user_data() & ((1 << OPERATION_BITS) - 1) {
            RECEIVE => {
                let buffer = cqueue::buffer_select(flags)
                    .and_then(|id| self.buffers.take(id, usize::try_from(result).unwrap_or(0)));
                let received = match (buffer, errno(result)) {
                    (Some(buffer), Ok(_)) if !buffer.is_empty() => Received::Bytes(buffer),
                    (buffer, outcome) => {
                        if let Some(buffer) = buffer {
                            self.buffers.give_back(buffer);
                        }
                        if outcome == Err(Errno::NO_BUFFERS) {
                            self.shortages += usize::from(self.buffers.ran_out());
                        }
                        outcome.map_or_else(Received::Failed, |_| Received::EndOfStream)
                    }
                };
                Completion::Received { token, received, armed }
            }
            PLANNED_SEND => {
                self.short.push((bits as usize, result));
                return false;
            }
            OWNED_SEND => match self.end_owned(bits as usize, result) {
                Some(completion) => completion,
                None => return false,
            },
            ACCEPT => {
                // Why unsafe: a raw descriptor becomes an owned one. Sound: a result of accept that is not negative
                // is a fresh descriptor of this process, told once.
                let socket = errno(result).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) });
                Completion::Accepted { token, socket, armed }
            }
            CONNECT => Completion::Connected { token, result: errno(result).map(drop) },
            WATCH => {
                self.completions.push(Completion::Woken);
                return errno(result).is_ok();
            }
            TIMER => {
                self.timer_armed = false;
                Completion::TimerRang
            }
            _ => return false,
        };
        self.completions.push(completion);
        false
    }

    fn end_owned(&mut self, slot: usize, result: i32) -> Option<Completion> {
        let Owned { token, bytes } = self.owned.get_mut(slot)?.take()?;
        self.owned_free.push(slot);
        let result = match errno(result) {
            Ok(sent) if sent == bytes.len() => Ok(()),
            // It waits for room, so only a failing connection makes it stop half-way.
            Ok(_) => Err(Errno::BROKEN_PIPE),
            Err(error) => Err(error),
        };
        Some(Completion::Sent { token, bytes, result })
    }

    /// Makes entries of the turn's sends. Their bytes are final now, and stay until [`Ring::finish_planned`].
    fn push_planned(&mut self) {
        let planned = std::mem::take(&mut self.planned);
        for (index, send) in planned.iter().enumerate() {
            let Some(bytes) = self.arena.get(send.token.side).get(send.range.clone()) else {
                self.short.push((index, -libc::EINVAL));
                continue;
            };
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let entry = opcode::Send::new(types::Fd(send.socket), bytes.as_ptr(), len)
                .flags(libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
                .build()
                .flags(squeue::Flags::SKIP_SUCCESS);
            self.push(&entry.user_data(Operation::PlannedSend.user_data(index as u64)));
        }
        self.planned = planned;
    }

    /// The kernel took all planned sends: those it reported failed or came short, all others are out.
    fn finish_planned(&mut self) {
        if self.broken.is_some() {
            // Entries that point into the arena may still stand in the queue: nobody may write there again.
            std::mem::forget(std::mem::take(&mut self.arena));
            self.planned.clear();
            return;
        }
        for (index, result) in self.short.drain(..) {
            let Some(send) = self.planned.get(index) else { continue };
            let (taken, broken) = match errno(result) {
                Ok(count) => (count, None),
                Err(Errno(libc::EAGAIN)) => (0, None),
                Err(error) => (0, Some(error)),
            };
            let bytes = self.arena.get(send.token.side);
            let unsent =
                bytes.get(send.range.start.saturating_add(taken)..send.range.end).unwrap_or_default();
            self.failed_sends.push(FailedSend { token: send.token, unsent: unsent.to_vec(), broken });
        }
        self.planned.clear();
        self.arena.clear();
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let limit = types::Timespec::new().sec(CANCEL_SECONDS_MAX);
        let cancelled = self.uring.submitter().register_sync_cancel(Some(limit), types::CancelBuilder::any());
        let let_go =
            cancelled.is_ok() || cancelled.is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let unregistered = self.uring.submitter().unregister_buf_ring(super::BUFFER_GROUP).is_ok();
        if let_go && unregistered {
            // Connections that were accepted and never seen are closed with their completions.
            self.harvest();
            return;
        }
        log::error!(
            "io_uring: operations could not be cancelled; their memory is kept until the process ends"
        );
        std::mem::forget(std::mem::take(&mut self.owned));
        std::mem::forget(std::mem::take(&mut self.arena));
        std::mem::forget(std::mem::take(&mut self.watched_value));
        self.buffers.leak();
    }
}

/// A result of the kernel: a count, or an error number.
fn errno(result: i32) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| Errno(result.saturating_neg()))
}
