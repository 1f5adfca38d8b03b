//! What a scripted pool does, as data: how it greets, when it gives jobs, and what it does about each method.

use std::sync::Arc;
use std::time::Duration;

/// Everything about a pool's behaviour. [`Script::default`] is a pool as one would wish it.
#[derive(Clone, Debug)]
pub struct Script {
    /// Two hex digits in front of every extranonce1 and in every coinbase: they tell pools apart.
    pub tag: String,
    /// `extranonce2_size` of the subscribe answer, bytes.
    pub extranonce2_size: usize,
    /// The value of `mining.set_difficulty` before the first job, as written; none is sent if empty.
    pub difficulty: String,
    /// Values instead of that one, dealt out to connections in turn: miners of different sizes.
    pub difficulties: Vec<String>,
    /// The mask granted in configure; empty for a pool that refuses version rolling.
    pub version_mask: String,
    /// When a connection gets its first job.
    pub first_job: FirstJob,
    /// Time between two jobs.
    pub job_every: Option<Duration>,
    /// Bytes per write; zero for as many as the kernel takes.
    pub chunk_bytes: usize,
    /// Done on every new connection, before anything was read.
    pub greeting: Vec<Act>,
    /// Looked through in order for every request; the first that fits counts. Without one the pool behaves.
    pub rules: Vec<Rule>,
}

/// When a connection gets its first difficulty and job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstJob {
    /// Right behind the subscribe answer (ckpool, DATUM).
    AfterSubscribe,
    /// Behind the authorize answer (public-pool).
    AfterAuthorize,
    /// Not of its own.
    Never,
}

/// One thing a pool does. A list of them is done in order.
#[derive(Clone, Debug)]
pub enum Act {
    /// What a well-behaved pool does about this request.
    Behave,
    /// A line made of a shape: `$id`, `$extranonce1`, `$size` are filled in. See [`crate::shapes`].
    Answer(String),
    /// Like [`Act::Behave`], but kept back until so many answers are kept; then they go out newest first.
    BehaveReversed(usize),
    /// Bytes as they are.
    Send(Vec<u8>),
    /// The acts behind this one come so much later.
    Wait(Duration),
    /// A new job, for this connection only.
    Job,
    /// Closes the pool's direction and goes on reading.
    CloseSending,
    /// An orderly close, once what was queued is written.
    Close,
    /// A reset; what was queued and not yet written is lost.
    Reset,
    /// Never reads from this connection again.
    StopReading,
}

/// What to do about certain requests.
#[derive(Clone, Debug)]
pub struct Rule {
    method: String,
    from: u64,
    to: u64,
    every: u64,
    pub(super) acts: Arc<[Act]>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            tag: "a0".into(),
            extranonce2_size: 8,
            difficulty: "0.0000000001".into(),
            difficulties: Vec::new(),
            version_mask: "1fffe000".into(),
            first_job: FirstJob::AfterSubscribe,
            job_every: Some(Duration::from_secs(10)),
            chunk_bytes: 0,
            greeting: Vec::new(),
            rules: Vec::new(),
        }
    }
}

impl Script {
    /// The difficulty of this connection, as written.
    pub(super) fn difficulty_of(&self, connection: u64) -> &str {
        let turns = self.difficulties.len().max(1) as u64;
        self.difficulties.get((connection % turns) as usize).unwrap_or(&self.difficulty)
    }

    /// This script and one rule more.
    #[must_use]
    pub fn with(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }
}

impl Rule {
    /// For every request of this method; `*` for every request at all. Counted per connection.
    pub fn on(method: &str, acts: impl Into<Vec<Act>>) -> Self {
        Self { method: method.into(), from: 1, to: u64::MAX, every: 1, acts: acts.into().into() }
    }

    /// Answers of one shape.
    pub fn answer(method: &str, shape: &str) -> Self {
        Self::on(method, [Act::Answer(shape.into())])
    }

    /// No answer at all.
    pub fn silent(method: &str) -> Self {
        Self::on(method, [])
    }

    /// The right answer, later.
    pub fn late(method: &str, by: Duration) -> Self {
        Self::on(method, [Act::Wait(by), Act::Behave])
    }

    /// The right answer, twice.
    pub fn twice(method: &str) -> Self {
        Self::on(method, [Act::Behave, Act::Behave])
    }

    /// The right answers, so many at a time and the newest first.
    pub fn reversed(method: &str, count: usize) -> Self {
        Self::on(method, [Act::BehaveReversed(count)])
    }

    /// Only from the n-th request of this method on (the first is 1).
    #[must_use]
    pub fn from(mut self, nth: u64) -> Self {
        self.from = nth;
        self
    }

    /// Only up to and with the n-th request of this method.
    #[must_use]
    pub fn to(mut self, nth: u64) -> Self {
        self.to = nth;
        self
    }

    /// Only every n-th of those it fits.
    #[must_use]
    pub fn every(mut self, nth: u64) -> Self {
        self.every = nth.max(1);
        self
    }

    /// Whether it is for the n-th request of `method` on a connection.
    pub(super) fn fits(&self, method: &str, nth: u64) -> bool {
        (self.method == "*" || self.method == method)
            && (self.from..=self.to).contains(&nth)
            && (nth - self.from).is_multiple_of(self.every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn difficulties_are_dealt_out_in_turn_where_there_are_some() {
        let mut script = Script { difficulty: "1".into(), ..Script::default() };
        assert_eq!([0, 1, 2].map(|nth| script.difficulty_of(nth)), ["1", "1", "1"]);
        script.difficulties = vec!["2".into(), "3".into()];
        assert_eq!([0, 1, 2].map(|nth| script.difficulty_of(nth)), ["2", "3", "2"]);
    }

    #[test]
    fn a_rule_fits_its_method_and_its_numbers() {
        let fits = |rule: &Rule| (1..=8).filter(|&nth| rule.fits("m", nth)).collect::<Vec<u64>>();
        assert_eq!(fits(&Rule::silent("m")), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(fits(&Rule::silent("*").from(3).to(4)), [3, 4]);
        assert_eq!(fits(&Rule::silent("m").from(2).every(3)), [2, 5, 8]);
        assert!(fits(&Rule::silent("other")).is_empty());
    }
}
