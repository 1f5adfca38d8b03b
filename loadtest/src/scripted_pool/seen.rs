//! What a scripted pool has seen: the pool's half of every audit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::json_line::Verdict;
use crate::share::ShareKey;

/// Submits kept with their details. Further ones are answered and counted, and the audit says that it is incomplete.
pub const SUBMITS_KEPT_MAX: usize = 2_000_000;

/// One submit as it arrived at the pool.
#[derive(Clone, Debug)]
pub struct SubmitSeen {
    /// Number of the connection at this pool, from 1.
    pub connection: u64,
    /// The id as it was written.
    pub id: Box<str>,
    /// The worker name it carried.
    pub name: Arc<str>,
    /// The job id it carried.
    pub job_id: Arc<str>,
    /// What names the share on both sides.
    pub key: ShareKey,
    /// Whether the pool could have given the work.
    pub fit: Fit,
    /// The verdict in the first answer that was written; `None` while there is none.
    pub verdict: Option<Verdict>,
}

/// What the pool finds when it looks at a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fit {
    /// Made for this pool, this connection and a job it was given.
    Fits,
    /// The same share came before.
    Duplicate,
    /// No such job was given on this connection.
    UnknownJob,
    /// The job exists, but the share was made for another extranonce1 or another job: it belongs elsewhere.
    WrongSeal,
    /// The name was never authorised on this connection.
    UnknownName,
    /// Not the parameters of a submit.
    Malformed,
}

/// Everything seen so far.
#[derive(Clone, Debug, Default)]
pub struct PoolLog {
    /// Submits in the order of their arrival.
    pub submits: Vec<SubmitSeen>,
    /// Submits beyond [`SUBMITS_KEPT_MAX`].
    pub submits_not_kept: u64,
    /// Requests by method.
    pub requests: BTreeMap<String, u64>,
    /// Names of all authorize requests, by how often they came.
    pub names: BTreeMap<String, u64>,
    /// Lines that were no JSON object.
    pub unreadable: Vec<Vec<u8>>,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections that are open.
    pub open: u64,
    /// Connections that this pool cut off, or that broke: TCP may have lost what was written last.
    pub cut: BTreeSet<u64>,
}

/// Unreadable lines kept.
const UNREADABLE_KEPT_MAX: usize = 100;
/// Different texts shared; past this they are simply copied.
const SHARED_MAX: usize = 100_000;

impl PoolLog {
    /// How many requests of this method came.
    pub fn requests_of(&self, method: &str) -> u64 {
        self.requests.get(method).copied().unwrap_or(0)
    }

    /// Submits whose first answer accepted them.
    pub fn accepted_submits(&self) -> usize {
        self.submits.iter().filter(|submit| submit.verdict == Some(Verdict::Accepted)).count()
    }

    /// Writes a submit down; its place for [`PoolLog::answered`], if it is kept.
    pub(super) fn submit(&mut self, submit: SubmitSeen) -> Option<usize> {
        if self.submits.len() >= SUBMITS_KEPT_MAX {
            self.submits_not_kept += 1;
            return None;
        }
        self.submits.push(submit);
        Some(self.submits.len() - 1)
    }

    /// Notes the first verdict sent.
    pub(super) fn answered(&mut self, place: usize, verdict: Verdict) {
        if let Some(submit) = self.submits.get_mut(place) {
            submit.verdict.get_or_insert(verdict);
        }
    }

    /// Counts a request.
    pub(super) fn request(&mut self, method: &str) {
        match self.requests.get_mut(method) {
            Some(count) => *count += 1,
            None => {
                self.requests.insert(method.into(), 1);
            }
        }
    }

    /// Keeps a line that could not be read.
    pub(super) fn unreadable(&mut self, line: &[u8]) {
        if self.unreadable.len() < UNREADABLE_KEPT_MAX {
            self.unreadable.push(line.into());
        }
    }
}

/// Copies shared by submits: few different names and jobs, many submits.
#[derive(Debug, Default)]
pub(super) struct Texts(HashMap<String, Arc<str>>);

impl Texts {
    /// The shared copy of a text.
    pub(super) fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(shared) = self.0.get(text) {
            return Arc::clone(shared);
        }
        let shared: Arc<str> = text.into();
        if self.0.len() < SHARED_MAX {
            self.0.insert(text.into(), Arc::clone(&shared));
        }
        shared
    }
}
