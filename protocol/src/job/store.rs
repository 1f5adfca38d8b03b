//! Job contents of a shard: every distinct byte string once, with a count of the entries that use it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::JobContent;
use super::decode::{self, NotifyError};
use crate::limits::JOB_STORE_BYTES_MAX;
use crate::message::Message;

/// What each byte string costs beside its bytes: its record, its place in the index, the allocator's share.
const OVERHEAD_BYTES: usize = 96;

/// Where a job's content lies in the [`JobStore`] that gave it. Each is given back once with [`JobStore::release`].
#[derive(Debug, PartialEq, Eq)]
pub struct JobRef {
    work: Slot,
    coinbase: Slot,
}

/// Index into `JobStore::blobs`, plus one, so that an `Option` of it is free.
type Slot = NonZeroU32;

/// Contents of all jobs that sessions of one shard remember.
///
/// Nine thousand sessions of a pool that sends all of them the same job share one copy. Bounded by [`JOB_STORE_BYTES_MAX`]:
/// beyond it a new content is not kept, and its job is tracked without one.
///
/// Invariant: `bytes_count` is the cost of all blobs with users; `free` holds exactly the slots without.
#[derive(Debug)]
pub struct JobStore {
    blobs: Vec<Blob>,
    free: Vec<Slot>,
    /// Digest → the blob that has it. Of two different blobs with equal digests the later one is not listed, so not shared.
    index: BTreeMap<u64, Slot>,
    bytes_count: usize,
    bytes_max: usize,
    work: Vec<u8>,
    coinbase: Vec<u8>,
}

#[derive(Debug)]
struct Blob {
    bytes: Box<[u8]>,
    digest: u64,
    users_count: u32,
}

impl Default for JobStore {
    fn default() -> Self {
        Self::new(JOB_STORE_BYTES_MAX)
    }
}

impl JobStore {
    /// An empty store that keeps at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            blobs: Vec::new(),
            free: Vec::new(),
            index: BTreeMap::new(),
            bytes_count: 0,
            bytes_max,
            work: Vec::new(),
            coinbase: Vec::new(),
        }
    }

    /// Decodes a `mining.notify` and keeps its content, or counts one more user of the same one. `None`: the store is full.
    pub fn keep(&mut self, notify: &Message<'_>) -> Result<Option<JobRef>, NotifyError> {
        let (mut work, mut coinbase) = (std::mem::take(&mut self.work), std::mem::take(&mut self.coinbase));
        let kept =
            decode::decode(notify, &mut work, &mut coinbase).map(|()| self.keep_parts(&work, &coinbase));
        (self.work, self.coinbase) = (work, coinbase);
        kept
    }

    /// The job behind `job`.
    pub fn content(&self, job: &JobRef) -> Option<JobContent<'_>> {
        decode::view(&self.blob(job.work)?.bytes, &self.blob(job.coinbase)?.bytes)
    }

    /// One user less; the last one's leaving frees the content.
    #[expect(clippy::needless_pass_by_value, reason = "what is given back must not be used again")]
    pub fn release(&mut self, job: JobRef) {
        self.release_slot(job.work);
        self.release_slot(job.coinbase);
    }

    /// Bytes in use, overhead included.
    pub fn bytes_count(&self) -> usize {
        self.bytes_count
    }

    fn keep_parts(&mut self, work: &[u8], coinbase: &[u8]) -> Option<JobRef> {
        let work = self.keep_bytes(work)?;
        let Some(coinbase) = self.keep_bytes(coinbase) else {
            self.release_slot(work);
            return None;
        };
        Some(JobRef { work, coinbase })
    }

    fn keep_bytes(&mut self, bytes: &[u8]) -> Option<Slot> {
        let digest = digest_of(bytes);
        let twin = self.index.get(&digest).copied();
        if let Some(slot) = twin
            && let Some(blob) = self.blob_mut(slot)
            && *blob.bytes == *bytes
            && blob.users_count < u32::MAX
        {
            blob.users_count += 1;
            return Some(slot);
        }
        let bytes_count = self.bytes_count + bytes.len() + OVERHEAD_BYTES;
        if bytes_count > self.bytes_max {
            return None;
        }
        let slot = self.put(Blob { bytes: bytes.into(), digest, users_count: 1 })?;
        self.bytes_count = bytes_count;
        if twin.is_none() {
            self.index.insert(digest, slot);
        }
        self.check();
        Some(slot)
    }

    fn put(&mut self, blob: Blob) -> Option<Slot> {
        if let Some(slot) = self.free.pop() {
            *self.blob_mut(slot)? = blob;
            return Some(slot);
        }
        self.blobs.push(blob);
        u32::try_from(self.blobs.len()).ok().and_then(Slot::new)
    }

    fn release_slot(&mut self, slot: Slot) {
        let Some(blob) = self.blob_mut(slot).filter(|blob| blob.users_count > 0) else { return };
        blob.users_count -= 1;
        if blob.users_count > 0 {
            return;
        }
        let (bytes, digest) = (std::mem::take(&mut blob.bytes), blob.digest);
        self.bytes_count -= bytes.len() + OVERHEAD_BYTES;
        self.free.push(slot);
        if self.index.get(&digest) == Some(&slot) {
            self.index.remove(&digest);
        }
        self.check();
    }

    fn blob(&self, slot: Slot) -> Option<&Blob> {
        self.blobs.get(slot.get() as usize - 1)
    }

    fn blob_mut(&mut self, slot: Slot) -> Option<&mut Blob> {
        self.blobs.get_mut(slot.get() as usize - 1)
    }

    fn check(&self) {
        debug_assert!(self.bytes_count <= self.bytes_max);
        debug_assert!(self.index.len() <= self.blobs.len() - self.free.len());
        debug_assert_eq!(self.bytes_count == 0, self.free.len() == self.blobs.len());
    }
}

/// Not cryptographic and not random: who makes two blobs collide only keeps them from being shared.
fn digest_of(bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |digest: u64, word: u64| (digest.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
    let (words, tail) = bytes.as_chunks::<8>();
    let digest = words.iter().fold(bytes.len() as u64, |digest, word| mix(digest, u64::from_le_bytes(*word)));
    tail.iter().fold(digest, |digest, &byte| mix(digest, u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::super::decode::tests::{PARAMS, with_notify};
    use super::*;

    fn keep(store: &mut JobStore, params: &[&str]) -> Option<JobRef> {
        with_notify(params, |notify| store.keep(notify)).unwrap()
    }

    fn with(n: usize, value: &'static str) -> [&'static str; 9] {
        let mut params = PARAMS;
        params[n] = value;
        params
    }

    #[test]
    fn equal_jobs_are_kept_once_and_freed_with_their_last_user() {
        let mut store = JobStore::default();
        let first = keep(&mut store, &PARAMS).unwrap();
        let bytes_count = store.bytes_count();
        assert_eq!(bytes_count, 44 + 64 + 4 + 59 + 87 + 2 * OVERHEAD_BYTES);
        let others: Vec<_> =
            (0..9_000).map(|_| keep(&mut store, &with(0, "\"another id\"")).unwrap()).collect();
        assert_eq!(store.bytes_count(), bytes_count);
        assert!(others.iter().all(|other| *other == first));
        for job in others {
            store.release(job);
        }
        assert_eq!(store.content(&first).unwrap().branches.len(), 2);
        store.release(first);
        assert_eq!(store.bytes_count(), 0);
        assert!(store.index.is_empty());
    }

    #[test]
    fn jobs_that_pay_different_miners_share_all_but_the_coinbase() {
        let mut store = JobStore::default();
        let first = keep(&mut store, &PARAMS).unwrap();
        let second = keep(&mut store, &with(3, "\"ffffffff00\"")).unwrap();
        assert_eq!(first.work, second.work);
        assert_eq!(store.content(&second).unwrap().coinbase2, [0xff, 0xff, 0xff, 0xff, 0]);
        store.release(first);
        assert_eq!(store.bytes_count(), 44 + 64 + 4 + 59 + 5 + 2 * OVERHEAD_BYTES);
        assert_eq!(store.content(&second).unwrap().version, 0x2000_0000);
    }

    #[test]
    fn freed_slots_are_used_again() {
        let mut store = JobStore::default();
        for ntime in ["\"00000001\"", "\"00000002\"", "\"00000003\""] {
            let job = keep(&mut store, &with(7, ntime)).unwrap();
            store.release(job);
        }
        assert_eq!(store.blobs.len(), 2);
    }

    #[test]
    fn a_full_store_keeps_what_it_has_and_nothing_more() {
        let mut store = JobStore::new(500);
        let first = keep(&mut store, &PARAMS).unwrap();
        assert_eq!(keep(&mut store, &with(7, "\"00000001\"")), None, "new work");
        assert_eq!(keep(&mut store, &with(2, "\"00\"")), None, "new coinbase");
        assert!(keep(&mut store, &PARAMS).is_some(), "the same content costs nothing");
        store.release(first);
        assert!(store.bytes_count() > 0, "one user is left");
    }

    #[test]
    fn blobs_with_equal_digests_are_told_apart() {
        let mut store = JobStore::default();
        let a = store.keep_bytes(b"a").unwrap();
        // As if both had the same digest.
        store.index = BTreeMap::from([(digest_of(b"b"), a)]);
        store.blob_mut(a).unwrap().digest = digest_of(b"b");
        let b = store.keep_bytes(b"b").unwrap();
        assert_ne!(a, b);
        assert_eq!(*store.blob(b).unwrap().bytes, *b"b");
        store.release_slot(b);
        assert_eq!(*store.blob(a).unwrap().bytes, *b"a");
        assert_eq!(store.index.len(), 1);
        store.release_slot(a);
        assert!(store.index.is_empty());
    }

    #[test]
    fn an_unreadable_job_leaves_nothing_behind() {
        let mut store = JobStore::default();
        let kept = with_notify(&with(6, "\"\""), |notify| store.keep(notify));
        assert_eq!(kept, Err(NotifyError::Field("nbits")));
        assert_eq!(store.bytes_count(), 0);
    }
}
