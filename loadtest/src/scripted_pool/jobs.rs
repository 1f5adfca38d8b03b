//! The jobs of a scripted pool: of the size and shape of real ones, each with content of its own.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use crate::json_line::JsonLine;
use crate::proof::Work;
use crate::share::JobContent;

/// Jobs a pool still knows; shares for older ones are unknown to it.
const JOBS_KEPT_MAX: usize = 64;
/// Jobs between two changes of the previous block, where clean is true.
const JOBS_PER_BLOCK: u64 = 8;
/// What stands in a coinbase before the pool's tag, and behind the job's number that follows it.
const BEFORE_TAG: &str =
    "02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff23";
const BEHIND_NUMBER: &str = "0340d10c0b2f6661637473686565742f0c";
/// Digits of a job's number in its coinbase.
const NUMBER_DIGITS: usize = 16;

/// One job.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) content: JobContent,
    pub(super) work: Work,
    /// The whole `mining.notify`, without its LF.
    pub(super) line: Arc<str>,
}

/// The current job and the ones before it.
#[derive(Debug)]
pub(super) struct Jobs {
    tag: String,
    kept: VecDeque<Job>,
    made: u64,
}

impl Jobs {
    pub(super) fn new(tag: &str) -> Self {
        let mut jobs = Self { tag: tag.into(), kept: VecDeque::new(), made: 0 };
        jobs.advance();
        jobs
    }

    /// Makes the next job and returns it.
    pub(super) fn advance(&mut self) -> &Job {
        let number = self.made;
        self.made += 1;
        if self.kept.len() == JOBS_KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Job::new(&self.tag, number));
        self.current()
    }

    /// The newest job.
    pub(super) fn current(&self) -> &Job {
        self.kept.back().expect("one job is made at the start and one is always kept")
    }

    /// The job with this id, if it is still known.
    pub(super) fn find(&self, id: &str) -> Option<&Job> {
        let number = u64::from_str_radix(id, 16).ok().filter(|&number| job_id(number) == id)?;
        let first = self.kept.front()?.number;
        self.kept.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }
}

impl Job {
    fn new(tag: &str, number: u64) -> Self {
        let block = number / JOBS_PER_BLOCK;
        let clean = number.is_multiple_of(JOBS_PER_BLOCK);
        let prevhash = format!("{block:056x}00000000");
        let coinb1 = format!("{BEFORE_TAG}{tag}{number:0NUMBER_DIGITS$x}{BEHIND_NUMBER}");
        let coinb2 = "ffffffff02205fa0120000000016001411111111111111111111111111111111111111110000000000000000266a\
                      24aa21a9ed3cdc21321862fcd4d347a666f2a9508990d0efc5e4e7c717918baec523231aa400000000";
        let branches = format!("\"{:064x}\",\"{:064x}\",\"{:064x}\"", number + 1, number + 2, number + 3);
        let ntime = 0x6625_2f80_u64 + number;
        let line = format!(
            "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{}\",\"{prevhash}\",\"{coinb1}\",\"{coinb2}\",\
             [{branches}],\"20000000\",\"17034219\",\"{ntime:08x}\",{clean}]}}",
            job_id(number)
        );
        let content = JobContent { prevhash, coinb1, coinb2: coinb2.into() };
        let params = JsonLine::read(line.as_bytes()).map_or(Value::Null, |line| line.params());
        let work = Work::of_notify(&params).expect("a tag of whole bytes makes a whole job");
        Self { number, content, work, line: line.into() }
    }
}

/// The tag of the scripted pool that made a job, by the job's first half of the coinbase.
pub(crate) fn tag_of(coinb1: &str) -> Option<&str> {
    let rest = coinb1.strip_prefix(BEFORE_TAG)?.strip_suffix(BEHIND_NUMBER)?;
    rest.get(..rest.len().checked_sub(NUMBER_DIGITS)?)
}

fn job_id(number: u64) -> String {
    format!("{number:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_tells_whose_it_is() {
        for tag in ["a0", "b001"] {
            assert_eq!(tag_of(&Job::new(tag, 77).content.coinb1), Some(tag));
        }
        assert_eq!(tag_of("02000000"), None);
    }

    #[test]
    fn jobs_are_found_by_their_exact_id_while_they_are_kept() {
        let mut jobs = Jobs::new("a0");
        for _ in 0..JOBS_KEPT_MAX + 10 {
            jobs.advance();
        }
        assert_eq!(jobs.current().number, 74);
        assert_eq!(jobs.find("4a").map(|job| job.number), Some(74));
        assert_eq!(jobs.find("b").map(|job| job.number), Some(11));
        for id in ["a", "4b", "4A", "04a", "", "+1", "zz"] {
            assert!(jobs.find(id).is_none(), "{id}");
        }
    }
}
