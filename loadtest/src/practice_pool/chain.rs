//! The made-up chain: blocks with real headers, and the jobs that build on its tip. Pure: time is an argument.

use std::collections::{HashSet, VecDeque};

use adit_protocol::hash::{Hash256, sha256d};
use adit_protocol::template::{Coinbase, Output, TemplateError, Work};

use super::PracticePoolConfig;

/// Height of the first block.
const FIRST_HEIGHT: u32 = 840_000;
/// Reward of each block, satoshi.
const REWARD: u64 = 312_500_000;
/// Block version. No bit of any usual mask is set: pools and firmware combine such bits in different ways.
const VERSION: u32 = 0x2000_0000;
/// Jobs of the tip that are kept; an older one counts as stale.
const JOBS_KEPT_MAX: usize = 64;
/// Hashes remembered to find duplicates; at so many a new block starts.
const SEEN_MAX: usize = 1_000_000;
/// Bytes of extranonce1.
pub(super) const EXTRANONCE1_BYTES: usize = 4;

/// One job, the same for all miners.
#[derive(Debug)]
pub(super) struct Job {
    /// Counts all jobs of the chain.
    pub(super) number: u64,
    /// Whether it was the first on its tip.
    pub(super) is_clean: bool,
    pub(super) work: Work,
}

/// What became of a job that was sent.
#[derive(Debug)]
pub(super) enum Standing<'a> {
    /// It builds on the tip.
    Current(&'a Job),
    /// A block came after it, or too many other jobs.
    Stale,
}

#[derive(Debug)]
pub(super) struct Chain {
    height: u32,
    tip: Hash256,
    coinbase: Coinbase,
    txids: Vec<Hash256>,
    transactions_count: u32,
    nbits: u32,
    /// Jobs on the tip, oldest first, never empty.
    jobs: VecDeque<Job>,
    jobs_count: u64,
    jobs_on_tip: u32,
    seen: HashSet<Hash256>,
}

impl Chain {
    /// A chain with its first job. Fails only for a configuration that no coinbase fits.
    pub(super) fn new(config: &PracticePoolConfig, now: u32) -> Result<Self, TemplateError> {
        let pay = Output { value: REWARD, script: [&[0x00, 0x14][..], &[config.tag; 20]].concat() };
        let mut chain = Self {
            height: FIRST_HEIGHT,
            tip: made_up_hash(FIRST_HEIGHT, config.tag),
            coinbase: Coinbase {
                height: FIRST_HEIGHT,
                tag: b"/practice/".to_vec(),
                extranonces_bytes: EXTRANONCE1_BYTES + config.extranonce2_size,
                outputs: vec![pay, Output::witness_commitment(&Hash256::default())],
            },
            txids: Vec::new(),
            transactions_count: config.transactions_count,
            nbits: config.nbits,
            jobs: VecDeque::new(),
            jobs_count: 0,
            jobs_on_tip: 0,
            seen: HashSet::new(),
        };
        chain.new_block(chain.tip, now)?;
        Ok(chain)
    }

    /// The newest job.
    pub(super) fn newest(&self) -> Option<&Job> {
        self.jobs.back()
    }

    /// How the job of this number stands.
    pub(super) fn find(&self, number: u64) -> Standing<'_> {
        self.jobs.iter().rev().find(|job| job.number == number).map_or(Standing::Stale, Standing::Current)
    }

    /// Jobs made on the present tip.
    pub(super) fn jobs_on_tip(&self) -> u32 {
        self.jobs_on_tip
    }

    /// Jobs made in all.
    pub(super) fn jobs_count(&self) -> u64 {
        self.jobs_count
    }

    /// Height that miners work on.
    pub(super) fn height(&self) -> u32 {
        self.height
    }

    /// Whether this hash came before on the same tip. Remembers it; false also once the memory is full.
    pub(super) fn is_duplicate(&mut self, hash: Hash256) -> bool {
        !self.seen.insert(hash)
    }

    /// Whether a new block should start so that memory stays bounded.
    pub(super) fn is_full(&self) -> bool {
        self.seen.len() >= SEEN_MAX
    }

    /// One more job on the tip: a transaction came in, and time passed.
    pub(super) fn new_job(&mut self, now: u32) -> Result<(), TemplateError> {
        let n = self.txids.len();
        self.txids.push(sha256d(&[&self.tip.0[..], &n.to_le_bytes()].concat()));
        self.push_job(now)
    }

    /// A new tip: the hash of a block that a miner found, or one that somebody else did.
    pub(super) fn new_block(&mut self, hash: Hash256, now: u32) -> Result<(), TemplateError> {
        self.tip = hash;
        self.height = self.height.saturating_add(1);
        self.coinbase.height = self.height;
        let tip = self.tip.0;
        self.txids =
            (0..self.transactions_count).map(|n| sha256d(&[&tip[..], &n.to_be_bytes()].concat())).collect();
        self.seen.clear();
        self.jobs.clear();
        self.jobs_on_tip = 0;
        self.push_job(now)
    }

    /// The hash of a block that nobody here found.
    pub(super) fn foreign_hash(&self) -> Hash256 {
        made_up_hash(self.height, self.tip.0[0])
    }

    fn push_job(&mut self, now: u32) -> Result<(), TemplateError> {
        let work = Work::new(self.tip, &self.coinbase, &self.txids, VERSION, self.nbits, now)?;
        if self.jobs.len() >= JOBS_KEPT_MAX {
            self.jobs.pop_front();
        }
        self.jobs_count += 1;
        self.jobs_on_tip += 1;
        self.jobs.push_back(Job { number: self.jobs_count, is_clean: self.jobs_on_tip == 1, work });
        Ok(())
    }
}

/// A hash that looks like a block's.
fn made_up_hash(height: u32, salt: u8) -> Hash256 {
    let mut hash = sha256d(&[&height.to_le_bytes()[..], &[salt]].concat());
    hash.0[23..].fill(0);
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain() -> Chain {
        Chain::new(&PracticePoolConfig { transactions_count: 3, ..PracticePoolConfig::default() }, 7).unwrap()
    }

    #[test]
    fn jobs_build_on_the_tip_until_a_block_makes_them_stale() {
        let mut chain = chain();
        chain.new_job(8).unwrap();
        let (first, second) = (&chain.jobs[0], &chain.jobs[1]);
        assert!(first.is_clean && !second.is_clean);
        assert_eq!(first.work.previous, second.work.previous);
        assert_ne!(first.work.branches, second.work.branches);
        assert_eq!((first.work.ntime, second.work.ntime), (7, 8));
        assert!(matches!(chain.find(1), Standing::Current(job) if job.number == 1));

        let found = sha256d(b"found");
        chain.new_block(found, 9).unwrap();
        assert!(matches!(chain.find(1), Standing::Stale) && matches!(chain.find(2), Standing::Stale));
        let newest = chain.newest().unwrap();
        assert!(newest.is_clean && newest.number == 3 && newest.work.previous == found);
    }

    #[test]
    fn the_oldest_jobs_go_at_the_bound() {
        let mut chain = chain();
        for _ in 0..JOBS_KEPT_MAX {
            chain.new_job(8).unwrap();
        }
        assert_eq!(chain.jobs.len(), JOBS_KEPT_MAX);
        assert!(matches!(chain.find(1), Standing::Stale));
        assert!(matches!(chain.find(2), Standing::Current(_)));
    }

    #[test]
    fn a_hash_is_a_duplicate_on_its_own_tip_only() {
        let mut chain = chain();
        let hash = sha256d(b"share");
        assert!(!chain.is_duplicate(hash));
        assert!(chain.is_duplicate(hash));
        chain.new_block(chain.foreign_hash(), 9).unwrap();
        assert!(!chain.is_duplicate(hash));
    }
}
