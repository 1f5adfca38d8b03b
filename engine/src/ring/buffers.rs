//! The provided buffers of a ring: memory that the kernel picks from when bytes arrive, so that an idle socket owns none.
//!
//! The kernel takes them in the order in which they stand in the shared ring. If all of them stood there, each receive would
//! go to the one that was used longest ago: to memory that no cache has any more. So only a few are offered at a time,
//! those used last first, and more as soon as many are taken between two calls into the kernel.
//!
//! Invariant: a buffer is either the kernel's (its entry stands in the shared ring) or ours, never both. `ours` is the
//! record of it, and no reference to a buffer is made unless it is ours.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use adit_protocol::limits::LINE_PADDING;
use io_uring::{IoUring, types::BufRingEntry};

/// Bytes that one receive can bring.
pub const BUFFER_BYTES: usize = 4096;
/// From one buffer to the next. The odd cache line keeps the first lines of all buffers from sharing few cache sets.
const STRIDE: usize = BUFFER_BYTES + LINE_PADDING;
const PAGE_BYTES: usize = 4096;
/// Buffers that are offered at least, where there are as many.
pub(super) const OFFERED_COUNT_MIN: u16 = 64;
/// How many times as many are offered as were taken between two calls into the kernel.
const OFFERED_PER_TAKEN: u16 = 4;

const _: () = assert!(STRIDE.is_multiple_of(64) && (STRIDE / 64) % 2 == 1);

/// Bytes that were received. Goes back by [`super::Ring::give_back`].
#[derive(Debug)]
pub struct Buffer {
    id: u16,
    len: u16,
}

impl Buffer {
    /// How many bytes were received.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether nothing was received.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// The buffers, and the ring in which the free ones stand.
pub(super) struct BufferRing {
    entries: NonNull<BufRingEntry>,
    entries_layout: Layout,
    memory: NonNull<u8>,
    memory_layout: Layout,
    count: u16,
    tail: u16,
    ours: Box<[bool]>,
    /// Those of ours that nobody looks at, the one used last on top.
    free: Vec<u16>,
    /// Buffers that are the kernel's.
    offered_count: u16,
    /// Buffers that it took since the last [`BufferRing::publish`].
    taken_count: u16,
    leaked: bool,
}

impl BufferRing {
    /// Allocates `count` buffers (a power of two) and registers them with `uring` as group `group`.
    pub(super) fn register(uring: &IoUring, count: u16, group: u16) -> io::Result<Self> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        if !count.is_power_of_two() {
            return Err(invalid());
        }
        let slots = usize::from(count);
        let entries_bytes = (slots * size_of::<BufRingEntry>()).max(PAGE_BYTES);
        let entries_layout = Layout::from_size_align(entries_bytes, PAGE_BYTES).map_err(|_| invalid())?;
        let memory_layout = Layout::from_size_align(slots * STRIDE, PAGE_BYTES).map_err(|_| invalid())?;
        // Why unsafe: the kernel shares this memory and wants it page-aligned; no safe container promises that while
        // somebody else writes to it. Sound: both layouts have a size above zero, and null is handled.
        let (entries, memory) = unsafe {
            (
                NonNull::new(alloc_zeroed(entries_layout))
                    .unwrap_or_else(|| handle_alloc_error(entries_layout)),
                NonNull::new(alloc_zeroed(memory_layout))
                    .unwrap_or_else(|| handle_alloc_error(memory_layout)),
            )
        };
        let mut ring = Self {
            entries: entries.cast(),
            entries_layout,
            memory,
            memory_layout,
            count,
            tail: 0,
            ours: vec![true; slots].into_boxed_slice(),
            free: (0..count).rev().collect(),
            offered_count: 0,
            taken_count: 0,
            leaked: false,
        };
        // Why unsafe: the kernel keeps the address. Sound: the memory is zeroed, large enough, and lives until
        // `Ring` has unregistered the group or closed the ring (see its `Drop`).
        let address = ring.entries.as_ptr() as u64;
        unsafe { uring.submitter().register_buf_ring_with_flags(address, count, group, 0) }?;
        ring.publish();
        Ok(ring)
    }

    /// Takes over a buffer that a completion named. `None` if the kernel named one that it does not have.
    pub(super) fn take(&mut self, id: u16, len: usize) -> Option<Buffer> {
        let ours = self.ours.get_mut(usize::from(id))?;
        if *ours || len > BUFFER_BYTES {
            return None;
        }
        *ours = true;
        self.offered_count -= 1;
        self.taken_count += 1;
        Some(Buffer { id, len: len as u16 })
    }

    /// The received bytes with [`LINE_PADDING`] more behind them. Empty for a buffer that is not ours.
    pub(super) fn bytes(&mut self, buffer: &Buffer) -> &mut [u8] {
        if self.ours.get(usize::from(buffer.id)) != Some(&true) {
            return &mut [];
        }
        let len = usize::from(buffer.len) + LINE_PADDING;
        // Why unsafe: the memory is shared with the kernel, so no slice of the whole may exist. Sound: the buffer is
        // ours, so the kernel does not touch it; `len` is at most STRIDE by `take`; the memory was zeroed at the start;
        // the borrow of `self` keeps any second reference away.
        unsafe {
            let start = self.memory.as_ptr().add(usize::from(buffer.id) * STRIDE);
            std::slice::from_raw_parts_mut(start, len)
        }
    }

    /// Gives a buffer back.
    #[expect(clippy::needless_pass_by_value, reason = "nobody can give back what he no longer has")]
    pub(super) fn give_back(&mut self, buffer: Buffer) {
        debug_assert!(!self.free.contains(&buffer.id));
        self.free.push(buffer.id);
    }

    /// Buffers that nobody looks at: the kernel may fill them, or may as of the next [`BufferRing::publish`].
    pub(super) fn free_count(&self) -> usize {
        self.free.len() + usize::from(self.offered_count)
    }

    /// A receive found no buffer: from the next [`BufferRing::publish`] on there are all that are free. Whether none is.
    pub(super) fn ran_out(&mut self) -> bool {
        self.taken_count = self.count;
        self.free.is_empty()
    }

    /// Shows the kernel as many buffers as it may want.
    pub(super) fn publish(&mut self) {
        let wanted = self.taken_count.saturating_mul(OFFERED_PER_TAKEN).max(OFFERED_COUNT_MIN);
        self.taken_count = 0;
        while self.offered_count < wanted
            && let Some(id) = self.free.pop()
        {
            self.offer(id);
        }
        // Why unsafe: the tail lies in the memory shared with the kernel. Sound: the address is that of the first
        // entry of a registered ring, aligned for u16, and the kernel only reads it; Release orders the entries before.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }

    /// Keeps the memory until the process ends, since the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        self.leaked = true;
    }

    /// Writes the entry of a buffer that is ours; from then on it is the kernel's.
    fn offer(&mut self, id: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        // Why unsafe: entries lie in the memory shared with the kernel. Sound: `slot < count`; the kernel reads no
        // entry at or behind the published tail, and at most `count` buffers exist, so this slot is not in use.
        // The fields are written one by one: the first entry's last field is the tail.
        unsafe {
            let entry = &mut *self.entries.as_ptr().add(slot);
            entry.set_addr(self.memory.as_ptr().add(usize::from(id) * STRIDE) as u64);
            entry.set_len(BUFFER_BYTES as u32);
            entry.set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        self.ours[usize::from(id)] = false;
        self.offered_count += 1;
    }
}

impl Drop for BufferRing {
    fn drop(&mut self) {
        if self.leaked {
            return;
        }
        // Why unsafe: raw allocations. Sound: allocated in `register` with these layouts; `Ring` drops this only after
        // the kernel let go of the group.
        unsafe {
            dealloc(self.entries.as_ptr().cast(), self.entries_layout);
            dealloc(self.memory.as_ptr(), self.memory_layout);
        }
    }
}
