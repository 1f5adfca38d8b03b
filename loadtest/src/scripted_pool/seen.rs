//! What a scripted pool has seen: the pool's half of every audit.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::json_line::Verdict;
use crate::share::ShareKey;

/// Submits kept with their details. Further ones are answered and counted, and the audit says that it is incomplete.
pub const SUBMITS_KEPT_MAX: usize = 2_000_000;

/// One submit as it arrived at the pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// The verdict in the first answer that was to be written; `None` while there is none.
    pub verdict: Option<Verdict>,
}

/// What the pool finds when it looks at a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Fit {
    /// Made for this pool, this connection and a job it was given.
    Fits,
    /// The same share came before.
    Duplicate,
    /// No such job was given on this connection.
    UnknownJob,
    /// The job exists, but the share was made for another extranonce1 or another job: it belongs elsewhere.
    WrongSeal,
    /// Its hash does not reach the difficulty that this connection was given.
    TooEasy,
    /// It has version bits that this connection was never granted.
    WrongVersion,
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

    /// Takes in one more thing.
    pub(super) fn note(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Opened(_) => {
                self.accepted += 1;
                self.open += 1;
            }
            Seen::Closed { connection, is_cut } => {
                self.open -= 1;
                if is_cut {
                    self.cut.insert(connection);
                }
            }
            Seen::Request(method) => count(&mut self.requests, &method),
            Seen::Name(name) => count(&mut self.names, &name),
            Seen::Submit(_) if self.is_full() => self.submits_not_kept += 1,
            Seen::Submit(submit) => self.submits.push(submit),
            Seen::Verdict { place, verdict } => {
                if let Some(submit) = self.submits.get_mut(place) {
                    submit.verdict.get_or_insert(verdict);
                }
            }
            Seen::Unreadable(line) => {
                if self.unreadable.len() < UNREADABLE_KEPT_MAX {
                    self.unreadable.push(line.into_owned());
                }
            }
        }
    }

    fn is_full(&self) -> bool {
        self.submits.len() >= SUBMITS_KEPT_MAX
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => {
            counts.insert(name.into(), 1);
        }
    }
}

/// One thing that a pool sees, as it is noted in its log, and as a pool in a process of its own tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Seen<'a> {
    Opened(u64),
    Closed {
        connection: u64,
        is_cut: bool,
    },
    Request(Cow<'a, str>),
    Name(Cow<'a, str>),
    Submit(SubmitSeen),
    /// The first verdict for the submit at this place.
    Verdict {
        place: usize,
        verdict: Verdict,
    },
    Unreadable(Cow<'a, [u8]>),
}

/// Where a pool's thread writes down what it sees: its log, and a journal for another process if there is one.
pub(super) struct Book {
    log: Arc<Mutex<PoolLog>>,
    journal: Option<Box<dyn Write + Send>>,
}

impl Book {
    pub(super) fn new(log: Arc<Mutex<PoolLog>>, journal: Option<Box<dyn Write + Send>>) -> Self {
        Self { log, journal }
    }

    pub(super) fn note(&mut self, seen: Seen<'_>) {
        if let Some(journal) = &mut self.journal {
            // A reader that is gone wants to know nothing; the pool ends with its orders.
            let _ = serde_json::to_writer(&mut *journal, &seen).map(|()| journal.write_all(b"\n"));
        }
        self.log.lock().note(seen);
    }

    /// Notes a submit; its place for the verdict, if it is kept.
    pub(super) fn submit(&mut self, submit: SubmitSeen) -> Option<usize> {
        let place = {
            let log = self.log.lock();
            (!log.is_full()).then_some(log.submits.len())
        };
        self.note(Seen::Submit(submit));
        place
    }

    /// Lets the journal's reader have everything so far: before anybody else can learn of it.
    pub(super) fn hand_over(&mut self) {
        if let Some(journal) = &mut self.journal {
            let _ = journal.flush();
        }
    }
}

impl fmt::Debug for Book {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Book").field("has_journal", &self.journal.is_some()).finish_non_exhaustive()
    }
}

/// Keeps the log of a pool in another process by what it tells.
#[derive(Debug)]
pub(crate) struct LogKeeper {
    log: Arc<Mutex<PoolLog>>,
    open: BTreeSet<u64>,
    texts: Texts,
}

impl LogKeeper {
    pub(crate) fn new(log: Arc<Mutex<PoolLog>>) -> Self {
        Self { log, open: BTreeSet::new(), texts: Texts::default() }
    }

    /// Takes in a line of the journal; others are somebody else's.
    pub(crate) fn take(&mut self, line: &[u8]) {
        let Ok(mut seen) = serde_json::from_slice(line) else { return };
        match &mut seen {
            Seen::Opened(connection) => drop(self.open.insert(*connection)),
            Seen::Closed { connection, .. } => drop(self.open.remove(connection)),
            Seen::Submit(submit) => {
                submit.name = self.texts.shared(&submit.name);
                submit.job_id = self.texts.shared(&submit.job_id);
            }
            _ => {}
        }
        self.log.lock().note(seen);
    }

    /// The other process has ended, and its connections with it.
    pub(crate) fn end(&mut self) {
        let mut log = self.log.lock();
        for connection in std::mem::take(&mut self.open) {
            log.note(Seen::Closed { connection, is_cut: true });
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
