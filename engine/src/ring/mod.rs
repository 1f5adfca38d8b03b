//! A shard's own `io_uring`: the only place in Adit with `unsafe`, wrapped so that nothing outside can misuse it.
//!
//! What the kernel holds a pointer to is owned here, and given up only when the kernel is done with it:
//! - *received bytes* lie in provided buffers ([`buffers`]); a buffer is either the kernel's or ours;
//! - *bytes to send* of one turn lie in the [`Arena`]; [`Ring::plan_send`] takes ranges, and [`Ring::enter`] turns them
//!   into pointers, submits them, and does not return before the kernel has taken the last one. Such a send never waits
//!   (`MSG_DONTWAIT`: the kernel does not retry it later), so nobody has a pointer into the arena when `enter` returns;
//! - *what a slow peer did not take* moves as an owned `Vec` into [`Ring::send_owned`], and comes back with the completion;
//! - addresses and the timer's time are copied by the kernel while it takes the entry (`IORING_FEAT_SUBMIT_STABLE`), and
//!   stay untouched until then.
//!
//! It does not know what a session is, and makes no decision about a connection.

// The one exception to the workspace's rule; every block says why.
#![allow(unsafe_code)]

pub mod buffers;
pub mod completion;
pub mod eventfd;
mod submit;

pub use submit::UNLIMITED;

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use adit_protocol::event::Side;
use io_uring::{IoUring, opcode, squeue, types};
use socket2::SockAddr;

use buffers::{Buffer, BufferRing};
use completion::{Completion, FailedSend, Token};
use eventfd::EventFd;

/// How large a ring is made.
#[derive(Clone, Copy, Debug)]
pub struct RingSize {
    /// Operations that can be queued until the kernel has to be called. Both queues are gone through from end to end again
    /// and again: the shorter, the likelier in a cache. A turn is some 40 of each.
    pub submissions: u32,
    /// Completions that can wait. Must not run over, or every call gets slow: far more than one call completes.
    pub completions: u32,
    /// Provided buffers, a power of two. 64 were too few for a burst of 4,000 pairs; none was lost, but all waited.
    pub buffers: u16,
}

impl Default for RingSize {
    fn default() -> Self {
        Self { submissions: 256, completions: 4_096, buffers: 1_024 }
    }
}

/// The group of provided buffers; there is one per ring.
const BUFFER_GROUP: u16 = 0;
/// Arena memory kept from turn to turn, per direction. A turn that needed more gives the rest back.
const ARENA_KEPT_BYTES: usize = 1024 * 1024;

/// What an entry in the kernel's hands is, in the low bits of its user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Operation {
    Accept = 0,
    Connect = 1,
    Receive = 2,
    PlannedSend = 3,
    OwnedSend = 4,
    Watch = 5,
    Timer = 6,
    Silent = 7,
}

const OPERATION_BITS: u32 = 4;

impl Operation {
    fn user_data(self, bits: u64) -> u64 {
        bits << OPERATION_BITS | self as u64
    }
}

/// Bytes that are to be sent at the end of this turn, one buffer for each side.
///
/// Sessions append to it; nobody but [`Ring`] may empty it.
#[derive(Debug, Default)]
pub struct Arena {
    /// Bytes for miners.
    pub to_miner: Vec<u8>,
    /// Bytes for pools, by wire.
    pub to_wires: [Vec<u8>; 2],
}

impl Arena {
    /// The buffer for one side.
    pub fn toward(&mut self, side: Side) -> &mut Vec<u8> {
        match side {
            Side::Miner => &mut self.to_miner,
            Side::Pool(wire) => &mut self.to_wires[wire.index()],
        }
    }

    /// How many bytes there are for each side, in the order of [`Side::ALL`].
    #[inline]
    pub fn lens(&self) -> [usize; 3] {
        let [a, b] = &self.to_wires;
        [self.to_miner.len(), a.len(), b.len()]
    }

    /// What a side is to be sent.
    fn get(&self, side: Side) -> &[u8] {
        match side {
            Side::Miner => &self.to_miner,
            Side::Pool(wire) => &self.to_wires[wire.index()],
        }
    }

    fn clear(&mut self) {
        let [a, b] = &mut self.to_wires;
        for bytes in [&mut self.to_miner, a, b] {
            bytes.clear();
            if bytes.capacity() > ARENA_KEPT_BYTES {
                bytes.shrink_to(ARENA_KEPT_BYTES);
            }
        }
    }
}

/// A send of this turn: a range of the arena.
#[derive(Debug)]
struct Planned {
    socket: RawFd,
    token: Token,
    range: Range<usize>,
}

/// A send whose bytes the ring owns until it ends.
#[derive(Debug)]
struct Owned {
    token: Token,
    bytes: Vec<u8>,
}

/// The ring. Made and used on one thread; dropping it ends everything that is in flight.
///
/// Invariant between calls: no entry that is not yet submitted points into `arena`. `timer_time` and `addresses` are
/// untouched while an entry that points to them is not yet submitted.
pub struct Ring {
    uring: IoUring,
    buffers: BufferRing,
    arena: Arena,
    planned: Vec<Planned>,
    /// Index into `planned` and the kernel's result, of those that did not go out whole.
    short: Vec<(usize, i32)>,
    owned: Vec<Option<Owned>>,
    owned_free: Vec<usize>,
    #[expect(
        clippy::vec_box,
        reason = "the kernel has pointers to them, so they must not move when the Vec grows"
    )]
    addresses: Vec<Box<SockAddr>>,
    timer_time: Box<types::Timespec>,
    timer_unsubmitted: bool,
    timer_armed: bool,
    watched: Arc<EventFd>,
    watched_value: Box<[u8; 8]>,
    completions: Vec<Completion>,
    /// Receives that found no buffer where there was none.
    shortages: usize,
    failed_sends: Vec<FailedSend>,
    /// An error after which the kernel's state is unknown; reported by [`Ring::enter`].
    broken: Option<io::Error>,
}

impl Ring {
    /// Makes a ring that reports signals of `watched` as [`Completion::Woken`].
    pub fn new(size: RingSize, watched: Arc<EventFd>) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_cqsize(size.completions)
            .setup_single_issuer()
            .setup_submit_all()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .build(size.submissions)?;
        let buffers = BufferRing::register(&uring, size.buffers, BUFFER_GROUP)?;
        let mut ring = Self {
            uring,
            buffers,
            arena: Arena::default(),
            planned: Vec::new(),
            short: Vec::new(),
            owned: Vec::new(),
            owned_free: Vec::new(),
            addresses: Vec::new(),
            timer_time: Box::default(),
            timer_unsubmitted: false,
            timer_armed: false,
            watched,
            watched_value: Box::default(),
            completions: Vec::new(),
            shortages: 0,
            failed_sends: Vec::new(),
            broken: None,
        };
        ring.watch();
        Ok(ring)
    }

    /// The eventfd that is signalled when a completion comes while nobody is in [`Ring::enter`].
    pub fn register_eventfd(&self, eventfd: &EventFd) -> io::Result<()> {
        self.uring.submitter().register_eventfd(eventfd.as_raw_fd())
    }

    /// Switches the signals of the registered eventfd off and on.
    pub fn mute_eventfd(&mut self, mute: bool) {
        let completions = self.uring.completion();
        if mute {
            completions.disable_eventfd();
        } else {
            completions.enable_eventfd();
        }
    }

    /// Takes connections from `listener` until it fails or is cancelled.
    pub fn accept(&mut self, listener: BorrowedFd<'_>, token: Token) {
        let entry =
            opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).flags(libc::SOCK_CLOEXEC).build();
        self.push(&entry.user_data(Operation::Accept.user_data(token.to_bits())));
    }

    /// Connects `socket`.
    pub fn connect(&mut self, socket: BorrowedFd<'_>, address: SocketAddr, token: Token) {
        let address = Box::new(SockAddr::from(address));
        let entry =
            opcode::Connect::new(types::Fd(socket.as_raw_fd()), address.as_ptr().cast(), address.len())
                .build();
        self.addresses.push(address);
        self.push(&entry.user_data(Operation::Connect.user_data(token.to_bits())));
    }

    /// Receives from `socket` until it ends, fails, is cancelled, or no buffer is free.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, token: Token) {
        let entry = opcode::RecvMulti::new(types::Fd(socket.as_raw_fd()), BUFFER_GROUP).build();
        self.push(&entry.user_data(Operation::Receive.user_data(token.to_bits())));
    }

    /// Ends the [`Ring::accept`] with this token; its last completion says so.
    pub fn cancel_accept(&mut self, token: Token) {
        self.cancel(Operation::Accept, token);
    }

    /// Ends the [`Ring::connect`] with this token; its completion says so.
    pub fn cancel_connect(&mut self, token: Token) {
        self.cancel(Operation::Connect, token);
    }

    /// Ends the [`Ring::receive`] with this token; its last completion says so.
    pub fn cancel_receive(&mut self, token: Token) {
        self.cancel(Operation::Receive, token);
    }

    /// Sends `bytes` whole, however long the peer takes. They come back with [`Completion::Sent`].
    pub fn send_owned(&mut self, socket: BorrowedFd<'_>, bytes: Vec<u8>, token: Token) {
        let slot = self.owned_free.pop().unwrap_or_else(|| {
            self.owned.push(None);
            self.owned.len() - 1
        });
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // The heap block of a Vec stays where it is while the Vec lies in `owned`, where nobody else can reach it.
        let entry = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), len)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        self.owned[slot] = Some(Owned { token, bytes });
        self.push(&entry.user_data(Operation::OwnedSend.user_data(slot as u64)));
    }

    /// The bytes to send of this turn; sessions append to them.
    pub fn arena(&mut self) -> &mut Arena {
        &mut self.arena
    }

    /// Received bytes, [`LINE_PADDING`](adit_protocol::limits::LINE_PADDING) more behind them, and the arena.
    pub fn lend(&mut self, buffer: &Buffer) -> (&mut [u8], &mut Arena) {
        (self.buffers.bytes(buffer), &mut self.arena)
    }

    /// How many receives ended since the last question for want of a buffer, all of them being in use. Where there were
    /// others, only not offered yet, that is no want.
    pub fn take_shortages(&mut self) -> usize {
        std::mem::take(&mut self.shortages)
    }

    /// Gives received bytes back to the kernel.
    pub fn give_back(&mut self, buffer: Buffer) {
        self.buffers.give_back(buffer);
    }

    /// Buffers that are free to be received into.
    pub fn free_buffers(&self) -> usize {
        self.buffers.free_count()
    }

    /// Sends a range of the arena (of the token's side) with the next [`Ring::enter`], as far as it goes without waiting.
    ///
    /// At most one per socket and turn, and none beside an owned one: the order of two is not kept. What did not go out
    /// is found in [`Ring::take_failed_sends`]. The descriptor must stay open until then.
    pub fn plan_send(&mut self, socket: BorrowedFd<'_>, range: Range<usize>, token: Token) {
        self.planned.push(Planned { socket: socket.as_raw_fd(), token, range });
    }

    /// What the last [`Ring::enter`] could not send.
    pub fn take_failed_sends(&mut self) -> Vec<FailedSend> {
        std::mem::take(&mut self.failed_sends)
    }

    /// Swaps the completions of the last [`Ring::enter`] for an empty `scratch`, whose memory is used again.
    pub fn take_completions(&mut self, scratch: Vec<Completion>) -> Vec<Completion> {
        std::mem::replace(&mut self.completions, scratch)
    }

    /// Lets [`Completion::TimerRang`] come after `delay`. There is one timer; a new time replaces the old one.
    pub fn ring_after(&mut self, delay: Duration) {
        if self.timer_unsubmitted {
            self.submit_all();
        }
        *self.timer_time = types::Timespec::from(delay);
        self.timer_unsubmitted = true;
        let timer = Operation::Timer.user_data(0);
        let time: *const types::Timespec = &raw const *self.timer_time;
        if self.timer_armed {
            let entry = opcode::TimeoutUpdate::new(timer, time).build().flags(squeue::Flags::SKIP_SUCCESS);
            // Where the old one rings at this very moment there is nothing to update; its completion is on its way.
            self.push(&entry.user_data(Operation::Silent.user_data(0)));
        } else {
            self.timer_armed = true;
            self.push(&opcode::Timeout::new(time).build().user_data(timer));
        }
    }

    /// Waits for the next signal of the watched eventfd.
    fn watch(&mut self) {
        let fd = types::Fd(self.watched.as_raw_fd());
        let entry =
            opcode::Read::new(fd, self.watched_value.as_mut_ptr(), self.watched_value.len() as u32).build();
        self.push(&entry.user_data(Operation::Watch.user_data(0)));
    }

    fn cancel(&mut self, operation: Operation, token: Token) {
        let entry = opcode::AsyncCancel::new(operation.user_data(token.to_bits()))
            .build()
            .flags(squeue::Flags::SKIP_SUCCESS);
        self.push(&entry.user_data(Operation::Silent.user_data(0)));
    }
}

#[cfg(test)]
mod tests;
