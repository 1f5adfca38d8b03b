//! A session's memory of its jobs.

use super::{JobKey, JobRef, JobStore};
use crate::event::Wire;
use crate::limits::{JOB_CONTENTS_COUNT_MAX, JOBS_COUNT_MAX};
use crate::moment::Moment;

/// One job as sent to one miner.
#[derive(Debug, PartialEq)]
pub struct JobEntry {
    /// The id as the miner knows it.
    pub key: JobKey,
    /// Which extranonce it goes with: a number that changes with the extranonce or the pool.
    pub generation: u8,
    /// The wire of the pool that gave it; `None` when that is gone.
    pub wire: Option<Wire>,
    /// Whether the miner knows it by an id of ours instead of the pool's.
    pub renamed: bool,
    /// Whether a clean job came after it. The pool will most likely refuse its shares.
    pub is_stale: bool,
    /// What the share check needs; `None` if it could not be read or kept, or the job is not among the newest few.
    pub content: Option<JobRef>,
    /// Difficulty in force when the job was sent; 0 before any was told.
    pub difficulty: f64,
    /// When it came from the pool.
    pub received: Moment,
}

const _: () = assert!(size_of::<JobEntry>() <= 32, "times JOBS_COUNT_MAX in every session");

/// The newest jobs of a session, [`JOBS_COUNT_MAX`] at most. Costs no heap before the first job, 512 bytes when full.
/// After a switch as many of earlier pools stay known beside them: their ids must not be taken for the present pool's.
///
/// A clean job makes the earlier ones stale, but they stay known: a late share for one of them is stale, not unknown.
/// Contents are kept for the newest [`JOB_CONTENTS_COUNT_MAX`] only, since a pool that pays each miner's own address sends
/// each session different ones. What [`JobStore`] lent goes back to it: [`JobTable::clear`] before the table is dropped.
#[derive(Debug, Default)]
pub struct JobTable {
    /// Oldest first.
    entries: Vec<JobEntry>,
}

impl JobTable {
    /// Adds the newest job. One with the same key is forgotten; beyond the bound the oldest is.
    pub fn push(&mut self, job: JobEntry, is_clean: bool, store: &mut JobStore) {
        if is_clean {
            self.entries.iter_mut().for_each(|entry| entry.is_stale = true);
        }
        let is_same_pools = |entry: &JobEntry| entry.wire == job.wire;
        if let Some(index) = self.entries.iter().position(|entry| entry.key == job.key) {
            self.remove(index, store);
        } else if self.entries.iter().filter(|entry| is_same_pools(entry)).count() >= JOBS_COUNT_MAX
            && let Some(index) = self.entries.iter().position(is_same_pools)
        {
            self.remove(index, store);
        } else if self.entries.len() >= 2 * JOBS_COUNT_MAX {
            self.remove(0, store);
        }
        self.entries.push(job);
        for entry in self.entries.iter_mut().rev().skip(JOB_CONTENTS_COUNT_MAX) {
            if let Some(content) = entry.content.take() {
                store.release(content);
            }
        }
        debug_assert!(self.entries.len() <= 2 * JOBS_COUNT_MAX);
    }

    /// The job with this key; `None` if it is unknown here.
    #[inline]
    pub fn find(&self, key: JobKey) -> Option<&JobEntry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// The job sent last.
    pub fn newest(&self) -> Option<&JobEntry> {
        self.entries.last()
    }

    /// Marks every job as stale: the miner has another pool.
    pub fn expire(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.is_stale = true);
    }

    /// The pool on this wire is gone: its jobs stay known, and lead nowhere.
    pub fn orphan(&mut self, wire: Wire) {
        for entry in self.entries.iter_mut().filter(|entry| entry.wire == Some(wire)) {
            (entry.wire, entry.is_stale) = (None, true);
        }
    }

    /// Forgets all jobs and gives their contents back.
    pub fn clear(&mut self, store: &mut JobStore) {
        self.entries.drain(..).filter_map(|entry| entry.content).for_each(|content| store.release(content));
    }

    /// Jobs remembered.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    fn remove(&mut self, index: usize, store: &mut JobStore) {
        if let Some(content) = self.entries.remove(index).content {
            store.release(content);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::decode::tests::{PARAMS, with_notify};
    use super::*;

    /// Pushes a job whose ntime makes its content unique.
    fn push(table: &mut JobTable, store: &mut JobStore, id: u32, is_clean: bool) {
        let ntime = format!("\"{id:08x}\"");
        let mut params = PARAMS;
        params[7] = &ntime;
        let content = with_notify(&params, |notify| store.keep(notify)).unwrap();
        table.push(
            JobEntry {
                key: JobKey(id),
                generation: 0,
                wire: Some(Wire::A),
                renamed: false,
                is_stale: false,
                content,
                difficulty: f64::from(id),
                received: Moment(u64::from(id)),
            },
            is_clean,
            store,
        );
    }

    #[test]
    fn a_clean_job_makes_earlier_ones_stale_but_not_unknown() {
        let (mut table, mut store) = (JobTable::default(), JobStore::default());
        push(&mut table, &mut store, 1, true);
        push(&mut table, &mut store, 2, false);
        assert!(!table.find(JobKey(1)).unwrap().is_stale);
        push(&mut table, &mut store, 3, true);
        let stale = |id| table.find(JobKey(id)).map(|entry| entry.is_stale);
        assert_eq!([stale(1), stale(2), stale(3), stale(4)], [Some(true), Some(true), Some(false), None]);
    }

    #[test]
    fn each_job_keeps_the_difficulty_it_was_sent_with() {
        let (mut table, mut store) = (JobTable::default(), JobStore::default());
        for id in 1..4 {
            push(&mut table, &mut store, id, false);
        }
        assert_eq!(table.find(JobKey(2)).unwrap().difficulty.to_bits(), 2f64.to_bits());
        assert_eq!(table.newest().unwrap().key, JobKey(3));
    }

    #[test]
    fn the_newest_jobs_are_known_and_the_newest_few_have_contents() {
        let (mut table, mut store) = (JobTable::default(), JobStore::default());
        let last = JOBS_COUNT_MAX as u32 + 5;
        for id in 1..=last {
            push(&mut table, &mut store, id, false);
        }
        assert_eq!(table.count(), JOBS_COUNT_MAX);
        assert_eq!(table.find(JobKey(5)), None);
        for id in 6..=last {
            let kept = table.find(JobKey(id)).unwrap().content.as_ref();
            assert_eq!(kept.is_some(), id > last - JOB_CONTENTS_COUNT_MAX as u32, "{id}");
            assert!(kept.is_none_or(|job| store.content(job).unwrap().ntime == id));
        }
        table.clear(&mut store);
        assert_eq!((table.count(), store.bytes_count()), (0, 0));
    }

    #[test]
    fn an_id_used_again_means_the_newer_job() {
        let (mut table, mut store) = (JobTable::default(), JobStore::default());
        push(&mut table, &mut store, 7, false);
        push(&mut table, &mut store, 8, false);
        push(&mut table, &mut store, 7, true);
        assert_eq!(table.count(), 2);
        assert!(!table.find(JobKey(7)).unwrap().is_stale);
        assert!(table.find(JobKey(8)).unwrap().is_stale);
        table.expire();
        assert!(table.find(JobKey(7)).unwrap().is_stale);
        table.clear(&mut store);
        assert_eq!(store.bytes_count(), 0);
    }
}
