//! Reconciles what miners were told with what pools saw: nothing lost, nothing twice, nothing invented.
//!
//! The two sides know each share by the same key ([`crate::share::ShareKey`]). A ledger's rows, which have no such key,
//! are held against both by worker, outcome and code ([`LedgerBook`]); the proxy's counters against all three
//! ([`CounterBook`]).

mod counters;
mod ledger;

use std::collections::HashMap;
use std::fmt;

use crate::json_line::Verdict;
use crate::scripted_pool::{Fit, PoolLog, SubmitSeen};
use crate::share::ShareKey;
use crate::sim_miner::{Answer, FleetReport};

pub use counters::{CounterBook, admin_page};
use ledger::{AtPools, Expected};
pub use ledger::{LedgerBook, Rows};

/// Differences kept as text, of each kind.
const EXAMPLES_MAX: usize = 5;

/// The books to compare. Add all of them, then [`Audit::run`].
#[derive(Debug, Default)]
pub struct Audit<'a> {
    fleets: Vec<&'a FleetReport>,
    pools: Vec<(&'a str, &'a PoolLog)>,
    ledger: Option<&'a LedgerBook>,
    counters: Option<&'a CounterBook>,
}

/// One submit as a pool saw it.
#[derive(Clone, Copy, Debug)]
struct AtPool<'a> {
    pool: &'a str,
    submit: &'a SubmitSeen,
    /// The pool cut the connection: what it wrote last may never have arrived.
    cut: bool,
}

/// What must never be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Difference {
    /// A submit has no answer although its connection stayed open.
    Unanswered,
    /// An answer came that nothing had asked for, or a second time.
    StrayAnswer,
    /// A miner was told accepted, but no pool accepted that share.
    AcceptedByNobody,
    /// A pool accepted a share and its miner was told something else, although the pool did not cut the connection.
    /// Where there is a ledger this may be: it must have the share as unanswered, and [`Totals::accepted_late`] counts it.
    AcceptanceWithheld,
    /// A pool refused a share and its miner was told another code.
    CodeChanged,
    /// A share reached a pool more often than it was made.
    SentTwice,
    /// A pool saw a share that no miner made.
    Invented,
    /// A share reached a pool, or a connection, whose work it was not made from.
    WrongPool,
    /// A submit carried a name that was never authorised on its connection.
    WrongName,
    /// The ledger has fewer rows of a kind than there were such shares.
    RowMissing,
    /// The ledger has more rows of a kind than there were such shares.
    RowInvented,
    /// The proxy's counters say something else than the ledger, or than what miners and pools saw.
    Miscounted,
    /// A side did not keep everything, so that this audit proves nothing.
    Incomplete,
}

/// How many shares took which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Submits made by miners.
    pub submits: u64,
    /// Told accepted.
    pub accepted: u64,
    /// Told refused, by a pool.
    pub rejected: u64,
    /// Told refused, without any pool having refused it: the proxy did, before or instead of a pool.
    pub refused_here: u64,
    /// Connections closed before an answer came.
    pub closed_before_answer: u64,
    /// Of those, shares that a pool had accepted.
    pub accepted_but_closed: u64,
    /// Of those refused here, shares whose acceptance was lost with a connection that the pool cut.
    pub accepted_but_cut: u64,
    /// Submits that pools saw.
    pub seen_by_pools: u64,
    /// Shares that the ledger has, each in a row or counted in a gap; zero without a ledger, as the next two.
    pub rows: u64,
    /// Of those, unanswered ones.
    pub rows_unanswered: u64,
    /// Of those, shares that a pool accepted after all: too late, or its answer was lost.
    pub accepted_late: u64,
    /// Verdicts that the proxy counted as late; zero without its counters.
    pub counted_late: u64,
}

/// Every pool's submits by their key.
type Seen<'a> = HashMap<ShareKey, Vec<AtPool<'a>>>;

/// The outcome of an audit.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How many shares took which way.
    pub totals: Totals,
    /// Every difference that was found, how often, and a few of them in words.
    pub differences: HashMap<Difference, (u64, Vec<String>)>,
}

impl<'a> Audit<'a> {
    /// An audit of nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a fleet saw.
    #[must_use]
    pub fn miners(mut self, report: &'a FleetReport) -> Self {
        self.fleets.push(report);
        self
    }

    /// Adds what a pool saw.
    #[must_use]
    pub fn pool(mut self, name: &'a str, log: &'a PoolLog) -> Self {
        self.pools.push((name, log));
        self
    }

    /// Adds what the ledger says, once all of it is written.
    #[must_use]
    pub fn ledger(mut self, book: &'a LedgerBook) -> Self {
        self.ledger = Some(book);
        self
    }

    /// Adds what the proxy counted, once nothing moves any more.
    #[must_use]
    pub fn counters(mut self, book: &'a CounterBook) -> Self {
        self.counters = Some(book);
        self
    }

    /// Compares.
    pub fn run(&self) -> Findings {
        let mut findings = Findings::default();
        let seen = self.index_pools(&mut findings);
        let mut made: HashMap<ShareKey, u64> = HashMap::new();
        for report in &self.fleets {
            for submit in &report.submits {
                *made.entry(submit.key).or_default() += 1;
                let at_pools = seen.get(&submit.key).map_or(&[][..], Vec::as_slice);
                let who = format!("miner {} share {:016x}", submit.miner, submit.key.0);
                findings.compare(&who, submit.answer, at_pools, self.ledger.is_some());
            }
            if report.strays > 0 {
                let text = report.stray_lines.first().cloned().unwrap_or_default();
                findings.add_many(Difference::StrayAnswer, report.strays, text);
            }
        }
        for (key, at_pools) in &seen {
            let made = made.get(key).copied().unwrap_or(0);
            let AtPool { pool, submit, .. } = at_pools[0];
            let text = format!("{pool} connection {} share {:016x}", submit.connection, key.0);
            if made == 0 {
                findings.add(Difference::Invented, text);
            } else if at_pools.len() as u64 > made {
                findings.add(Difference::SentTwice, text);
            }
        }
        let expected = || self.expected(&seen);
        if let Some(ledger) = self.ledger {
            expected().compare(ledger, &mut findings);
        }
        if let Some(counters) = self.counters {
            expected().compare_counters(&counters.shares, &mut findings);
            counters.compare_late(expected().accepted_by_pools(), &mut findings);
            if let Some(ledger) = self.ledger {
                counters.compare_ledger(ledger, &mut findings);
            }
        }
        findings
    }

    /// What miners and pools say, by the name that the pools know a worker by.
    fn expected(&self, seen: &Seen<'_>) -> Expected {
        let mut expected = Expected::default();
        for submit in self.pools.iter().flat_map(|(_, log)| &log.submits) {
            expected.seen(&submit.name, submit.verdict);
        }
        for report in &self.fleets {
            let at_pools = |key| seen.get(&key).and_then(|at_pools| at_pools.first());
            // Pools never saw the name with a share that they never saw, but mostly with others of the same miner. Where they
            // did not, it is the one that the miner gave, if Adit has no template for names.
            let names: HashMap<u32, &str> = report
                .submits
                .iter()
                .filter_map(|submit| Some((submit.miner, &*at_pools(submit.key)?.submit.name)))
                .collect();
            for submit in &report.submits {
                let at_pools = match at_pools(submit.key).map(|seen| seen.submit.verdict) {
                    None => AtPools::Unseen,
                    Some(None) => AtPools::Silent,
                    Some(Some(verdict)) => AtPools::Judged(verdict),
                };
                let own = || report.names.get(&submit.miner).map(String::as_str);
                let worker =
                    names.get(&submit.miner).copied().or_else(own).unwrap_or("(a name that nobody knows)");
                expected.made(worker, submit.answer, at_pools);
            }
        }
        expected
    }

    /// Every pool's submits by their key; notes what is wrong with a submit by itself.
    fn index_pools(&self, findings: &mut Findings) -> Seen<'a> {
        let mut seen = Seen::new();
        for &(pool, log) in &self.pools {
            if log.submits_not_kept > 0 {
                findings.add_many(Difference::Incomplete, log.submits_not_kept, pool.into());
            }
            for submit in &log.submits {
                findings.totals.seen_by_pools += 1;
                let cut = log.cut.contains(&submit.connection);
                seen.entry(submit.key).or_default().push(AtPool { pool, submit, cut });
                let difference = match submit.fit {
                    Fit::WrongSeal | Fit::TooEasy | Fit::WrongVersion | Fit::UnknownJob => {
                        Difference::WrongPool
                    }
                    Fit::UnknownName => Difference::WrongName,
                    Fit::Fits | Fit::Duplicate | Fit::Malformed => continue,
                };
                findings.add(difference, format!("{pool}: {submit:?}"));
            }
        }
        seen
    }
}

impl Findings {
    /// How often this was found.
    pub fn count(&self, difference: Difference) -> u64 {
        self.differences.get(&difference).map_or(0, |(count, _)| *count)
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty()
    }

    /// Nothing was found.
    ///
    /// # Panics
    /// If something was, with all of it in the message.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }

    /// Holds what a miner was told about one share against what the pools say. A pool's verdict that the miner was not told
    /// was late or lost: only a ledger can show that.
    fn compare(&mut self, who: &str, answer: Answer, at_pools: &[AtPool<'_>], has_ledger: bool) {
        let verdicts = || at_pools.iter().filter_map(|seen| seen.submit.verdict);
        let accepted_there = verdicts().any(|verdict| verdict == Verdict::Accepted);
        self.totals.submits += 1;
        match answer {
            Answer::Missing => self.add(Difference::Unanswered, who.into()),
            Answer::ConnectionClosed => {
                self.totals.closed_before_answer += 1;
                self.totals.accepted_but_closed += u64::from(accepted_there);
            }
            Answer::Given(Verdict::Accepted) => {
                self.totals.accepted += 1;
                if !accepted_there {
                    self.add(Difference::AcceptedByNobody, who.into());
                }
            }
            Answer::Given(Verdict::Rejected(code)) => {
                let refused_there = verdicts().any(|verdict| verdict == Verdict::Rejected(code));
                if refused_there {
                    self.totals.rejected += 1;
                    return;
                }
                self.totals.refused_here += 1;
                if accepted_there && at_pools.iter().all(|seen| seen.cut) {
                    self.totals.accepted_but_cut += 1;
                } else if accepted_there && !has_ledger {
                    self.add(Difference::AcceptanceWithheld, format!("{who}, told {code}"));
                } else if let Some(verdict) = verdicts().next().filter(|_| !accepted_there && !has_ledger) {
                    self.add(Difference::CodeChanged, format!("{who}, told {code}, pool said {verdict:?}"));
                }
            }
        }
    }

    fn add(&mut self, difference: Difference, text: String) {
        self.add_many(difference, 1, text);
    }

    fn add_many(&mut self, difference: Difference, times: u64, text: String) {
        let (count, examples) = self.differences.entry(difference).or_default();
        *count += times;
        if examples.len() < EXAMPLES_MAX {
            examples.push(text);
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:?}", self.totals)?;
        let mut kinds: Vec<_> = self.differences.iter().collect();
        kinds.sort_by_key(|(difference, _)| **difference);
        for (difference, (count, examples)) in kinds {
            writeln!(out, "{difference:?}: {count}, such as")?;
            for example in examples {
                writeln!(out, "    {example}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim_miner::SubmitMade;

    fn made(key: u64, answer: Answer) -> SubmitMade {
        SubmitMade { key: ShareKey(key), miner: 0, answer }
    }

    fn seen(key: u64, fit: Fit, verdict: Option<Verdict>) -> SubmitSeen {
        SubmitSeen {
            connection: 1,
            id: "1".into(),
            name: "n".into(),
            job_id: "1".into(),
            key: ShareKey(key),
            fit,
            verdict,
        }
    }

    fn audit(made: Vec<SubmitMade>, seen: Vec<SubmitSeen>) -> Findings {
        let report = FleetReport { submits: made, ..FleetReport::default() };
        let log = PoolLog { submits: seen, ..PoolLog::default() };
        Audit::new().miners(&report).pool("pool", &log).run()
    }

    const YES: Answer = Answer::Given(Verdict::Accepted);
    const NO: Answer = Answer::Given(Verdict::Rejected(21));

    #[test]
    fn equal_books_are_clean_and_counted() {
        let accepted = Some(Verdict::Accepted);
        let findings = audit(
            vec![made(1, YES), made(2, NO), made(3, NO), made(4, Answer::ConnectionClosed)],
            vec![
                seen(1, Fit::Fits, accepted),
                seen(2, Fit::Fits, Some(Verdict::Rejected(21))),
                seen(4, Fit::Fits, accepted),
            ],
        );
        findings.assert_clean();
        let totals = Totals {
            submits: 4,
            accepted: 1,
            rejected: 1,
            refused_here: 1,
            closed_before_answer: 1,
            accepted_but_closed: 1,
            accepted_but_cut: 0,
            seen_by_pools: 3,
            ..Totals::default()
        };
        assert_eq!(findings.totals, totals);
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let accepted = Some(Verdict::Accepted);
        let fits = |key, verdict| seen(key, Fit::Fits, verdict);
        let cases = [
            (vec![made(1, Answer::Missing)], vec![], Difference::Unanswered),
            (vec![made(1, YES)], vec![], Difference::AcceptedByNobody),
            (vec![made(1, YES)], vec![fits(1, Some(Verdict::Rejected(23)))], Difference::AcceptedByNobody),
            (vec![made(1, YES)], vec![fits(1, None)], Difference::AcceptedByNobody),
            (vec![made(1, NO)], vec![fits(1, accepted)], Difference::AcceptanceWithheld),
            (vec![made(1, NO)], vec![fits(1, Some(Verdict::Rejected(23)))], Difference::CodeChanged),
            (vec![made(1, YES)], vec![fits(1, accepted), fits(1, accepted)], Difference::SentTwice),
            (vec![], vec![fits(1, accepted)], Difference::Invented),
            (vec![made(1, YES)], vec![seen(1, Fit::WrongSeal, accepted)], Difference::WrongPool),
            (vec![made(1, YES)], vec![seen(1, Fit::UnknownName, accepted)], Difference::WrongName),
        ];
        for (made, seen, difference) in cases {
            let findings = audit(made, seen);
            assert_eq!(findings.count(difference), 1, "{difference:?}: {findings}");
            assert_eq!(findings.differences.len(), 1, "{difference:?}: {findings}");
        }
    }

    #[test]
    fn an_acceptance_may_be_lost_with_a_connection_that_the_pool_cut() {
        let accepted = Some(Verdict::Accepted);
        let report = FleetReport { submits: vec![made(1, NO), made(2, NO)], ..FleetReport::default() };
        let other = SubmitSeen { connection: 2, ..seen(2, Fit::Fits, accepted) };
        let submits = vec![seen(1, Fit::Fits, accepted), other];
        let log = PoolLog { submits, cut: [1].into(), ..PoolLog::default() };
        let findings = Audit::new().miners(&report).pool("pool", &log).run();
        assert_eq!(findings.totals.accepted_but_cut, 1);
        assert_eq!(findings.count(Difference::AcceptanceWithheld), 1);
    }

    #[test]
    fn strays_and_incomplete_books_are_not_clean() {
        let report = FleetReport { strays: 2, ..FleetReport::default() };
        let log = PoolLog { submits_not_kept: 3, ..PoolLog::default() };
        let findings = Audit::new().miners(&report).pool("pool", &log).run();
        assert_eq!(findings.count(Difference::StrayAnswer), 2);
        assert_eq!(findings.count(Difference::Incomplete), 3);
        assert!(findings.to_string().contains("StrayAnswer: 2"));
    }
}
