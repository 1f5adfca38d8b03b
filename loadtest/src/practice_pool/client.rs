//! What the practice pool knows of one connection.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

use adit_protocol::hex;

use super::chain::{EXTRANONCE1_BYTES, Job};

/// Jobs remembered per connection, stale ones included; an older one is unknown.
const SENT_MAX: usize = 128;

/// A job as it was sent to this connection.
#[derive(Debug)]
pub(super) struct Sent {
    id: String,
    /// The chain's number of the job.
    pub(super) number: u64,
    /// Difficulty in force when it was sent.
    pub(super) difficulty: f64,
}

#[derive(Debug)]
pub(super) struct Client {
    /// Counts the connections of this pool, from 1.
    pub(super) number: u64,
    pub(super) extranonce1: [u8; EXTRANONCE1_BYTES],
    pub(super) is_subscribed: bool,
    /// Names authorised here.
    pub(super) names: BTreeSet<String>,
    /// The difficulty told last; 0 before the first.
    pub(super) difficulty: f64,
    /// The difficulty for the next job.
    pub(super) wanted_difficulty: f64,
    /// The version bits granted, 0 before configure.
    pub(super) version_mask: u32,
    sent: VecDeque<Sent>,
}

impl Client {
    pub(super) fn new(number: u64, tag: u8, difficulty: f64) -> Self {
        let [.., a, b, c] = number.to_be_bytes();
        Self {
            number,
            extranonce1: [tag, a, b, c],
            is_subscribed: false,
            names: BTreeSet::new(),
            difficulty: 0.0,
            wanted_difficulty: difficulty,
            version_mask: 0,
            sent: VecDeque::new(),
        }
    }

    /// The extranonce1 as the wire has it.
    pub(super) fn extranonce1_text(&self) -> String {
        hex::encode(&self.extranonce1)
    }

    /// Whether it can be given jobs: subscribed and authorised, in whichever order.
    pub(super) fn can_work(&self) -> bool {
        self.is_subscribed && !self.names.is_empty()
    }

    /// Whether it has been given a job.
    pub(super) fn has_work(&self) -> bool {
        !self.sent.is_empty()
    }

    /// The job that this connection knows by `id`.
    pub(super) fn sent(&self, id: &str) -> Option<&Sent> {
        self.sent.iter().rev().find(|sent| sent.id == id)
    }

    /// Appends the lines that give it a job: a changed difficulty goes first, so that it counts for this job.
    pub(super) fn give_job(&mut self, job: &Job, out: &mut String) {
        if self.difficulty.to_bits() != self.wanted_difficulty.to_bits() {
            self.difficulty = self.wanted_difficulty;
            // Writing into a String cannot fail.
            let _ = writeln!(
                out,
                r#"{{"id":null,"method":"mining.set_difficulty","params":[{}]}}"#,
                self.difficulty
            );
        }
        // Miners drop a job whose id they have, so the same job at another difficulty gets another id.
        let times = self.sent.iter().filter(|sent| sent.number == job.number).count();
        let id = match times {
            0 => format!("{:x}", job.number),
            _ => format!("{:x}-{times}", job.number),
        };
        let is_clean = job.is_clean || self.sent.is_empty();
        let _ = writeln!(out, "{}", job.work.notify_line(&id, is_clean));
        if self.sent.len() >= SENT_MAX {
            self.sent.pop_front();
        }
        self.sent.push_back(Sent { id, number: job.number, difficulty: self.difficulty });
    }
}
