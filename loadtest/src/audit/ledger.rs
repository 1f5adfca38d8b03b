//! The ledger's side of the audit: its rows held against what miners were told and what pools saw.
//!
//! A row does not say which share it stands for, so rows are counted by worker, outcome and code. Where every miner got
//! its answer, these counts are known exactly. A share whose connection closed before its answer may have become a row
//! of one kind or another, or none if it never arrived: there the counts have bounds.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use adit_protocol::event::Outcome;

use super::{Difference, Findings};
use crate::json_line::Verdict;
use crate::sim_miner::Answer;

/// Stands for all workers where gaps leave only totals.
const ALL_WORKERS: &str = "all workers";
/// Stands for them where the counters are meant.
const COUNTED: &str = "the proxy's counters";

/// Rows by what became of their shares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// A pool accepted them.
    pub accepted: u64,
    /// A pool rejected them, by code.
    pub rejected: BTreeMap<i32, u64>,
    /// They never went to a pool.
    pub refused_here: u64,
    /// No verdict came in time.
    pub unanswered: u64,
}

/// What a ledger says.
#[derive(Clone, Debug, Default)]
pub struct LedgerBook {
    workers: BTreeMap<String, Rows>,
    gaps: Rows,
}

impl LedgerBook {
    /// Adds a row.
    pub fn row(&mut self, worker: &str, outcome: Outcome, code: i32) {
        if !self.workers.contains_key(worker) {
            self.workers.insert(worker.to_owned(), Rows::default());
        }
        if let Some(rows) = self.workers.get_mut(worker) {
            rows.add(outcome, code, 1);
        }
    }

    /// Adds shares that are counted in a gap.
    pub fn gap(&mut self, outcome: Outcome, count: u64) {
        self.gaps.add(outcome, 0, count);
    }

    /// Rows by worker.
    pub fn workers(&self) -> &BTreeMap<String, Rows> {
        &self.workers
    }

    /// Shares counted in gaps.
    pub fn in_gaps(&self) -> u64 {
        self.gaps.total()
    }

    /// Rows and shares in gaps of all workers.
    pub fn sum(&self) -> Rows {
        self.workers.values().fold(self.gaps.clone(), Rows::plus)
    }
}

impl Rows {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.accepted + self.rejected_count() + self.refused_here + self.unanswered
    }

    /// Those that a pool rejected.
    pub fn rejected_count(&self) -> u64 {
        self.rejected.values().sum()
    }

    pub(super) fn add(&mut self, outcome: Outcome, code: i32, count: u64) {
        *match outcome {
            Outcome::Accepted => &mut self.accepted,
            Outcome::Rejected => self.rejected.entry(code).or_default(),
            Outcome::RefusedHere => &mut self.refused_here,
            Outcome::Unanswered => &mut self.unanswered,
        } += count;
    }

    fn plus(mut self, other: &Self) -> Self {
        self.accepted += other.accepted;
        self.refused_here += other.refused_here;
        self.unanswered += other.unanswered;
        for (&code, count) in &other.rejected {
            *self.rejected.entry(code).or_default() += count;
        }
        self
    }

    /// A gap knows no codes, and a counter neither.
    pub(super) fn without_codes(mut self) -> Self {
        self.rejected = BTreeMap::from([(0, self.rejected_count())]);
        self
    }
}

/// What miners and pools say about the shares of one worker.
#[derive(Clone, Debug, Default)]
struct Told {
    /// Told accepted.
    accepted: u64,
    /// Told refused as a pool had refused them, by code.
    rejected: BTreeMap<i32, u64>,
    /// Told refused, and a pool had seen them: it answered late or never.
    unanswered: u64,
    /// Told refused, and no pool had seen them.
    refused: u64,
    /// Closed before the answer, and accepted by a pool.
    closed_accepted: u64,
    /// Closed before the answer, and refused by a pool, by code.
    closed_rejected: BTreeMap<i32, u64>,
    /// Closed before the answer.
    closed: u64,
    /// Of those, shares that no pool had seen.
    closed_unseen: u64,
    /// Submits that pools saw.
    seen: u64,
    /// Submits that pools accepted.
    accepted_by_pools: u64,
}

/// What the pools have of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AtPools {
    /// None saw it.
    Unseen,
    /// One saw it and never answered.
    Silent,
    /// One gave this verdict, whether or not it arrived.
    Judged(Verdict),
}

/// Miners' and pools' counts by worker, filled while the audit looks at every share.
#[derive(Debug, Default)]
pub(super) struct Expected(BTreeMap<String, Told>);

impl Expected {
    /// A miner's share.
    pub(super) fn made(&mut self, worker: &str, answer: Answer, at_pools: AtPools) {
        let told = self.worker(worker);
        match (answer, at_pools) {
            (Answer::Given(Verdict::Accepted), _) => told.accepted += 1,
            (Answer::Given(Verdict::Rejected(code)), AtPools::Judged(Verdict::Rejected(said)))
                if code == said =>
            {
                *told.rejected.entry(code).or_default() += 1;
            }
            (Answer::Given(Verdict::Rejected(_)), AtPools::Unseen) => told.refused += 1,
            (Answer::Given(Verdict::Rejected(_)), _) => told.unanswered += 1,
            (Answer::ConnectionClosed | Answer::Missing, at_pools) => {
                told.closed += 1;
                match at_pools {
                    AtPools::Unseen => told.closed_unseen += 1,
                    AtPools::Judged(Verdict::Accepted) => told.closed_accepted += 1,
                    AtPools::Judged(Verdict::Rejected(code)) => {
                        *told.closed_rejected.entry(code).or_default() += 1;
                    }
                    AtPools::Silent => {}
                }
            }
        }
    }

    /// A submit that a pool saw.
    pub(super) fn seen(&mut self, worker: &str, verdict: Option<Verdict>) {
        let told = self.worker(worker);
        told.seen += 1;
        told.accepted_by_pools += u64::from(verdict == Some(Verdict::Accepted));
    }

    /// Holds a ledger against all of it.
    pub(super) fn compare(&self, ledger: &LedgerBook, findings: &mut Findings) {
        let nobody = Told::default();
        if ledger.in_gaps() > 0 {
            return self.all().compare(ALL_WORKERS, &ledger.sum().without_codes(), findings);
        }
        for (worker, rows) in &ledger.workers {
            self.0.get(worker).unwrap_or(&nobody).compare(worker, rows, findings);
        }
        for (worker, told) in &self.0 {
            if !ledger.workers.contains_key(worker) {
                told.compare(worker, &Rows::default(), findings);
            }
        }
    }

    /// Holds a proxy's counters against all of it, within the same bounds as a ledger's rows.
    pub(super) fn compare_counters(&self, shares: &Rows, findings: &mut Findings) {
        let mut found = Findings::default();
        self.all().compare(COUNTED, &shares.clone().without_codes(), &mut found);
        for (count, texts) in found.differences.into_values() {
            findings.add_many(Difference::Miscounted, count, texts.join("; "));
        }
    }

    /// Submits that pools accepted.
    pub(super) fn accepted_by_pools(&self) -> u64 {
        self.0.values().map(|told| told.accepted_by_pools).sum()
    }

    fn all(&self) -> Told {
        self.0.values().fold(Told::default(), Told::plus).without_codes()
    }

    fn worker(&mut self, worker: &str) -> &mut Told {
        self.0.entry(worker.to_owned()).or_default()
    }
}

impl Told {
    fn plus(mut self, other: &Self) -> Self {
        self.accepted += other.accepted;
        self.unanswered += other.unanswered;
        self.refused += other.refused;
        self.closed_accepted += other.closed_accepted;
        self.closed += other.closed;
        self.closed_unseen += other.closed_unseen;
        self.seen += other.seen;
        self.accepted_by_pools += other.accepted_by_pools;
        for (to, from) in
            [(&mut self.rejected, &other.rejected), (&mut self.closed_rejected, &other.closed_rejected)]
        {
            for (&code, count) in from {
                *to.entry(code).or_default() += count;
            }
        }
        self
    }

    fn without_codes(mut self) -> Self {
        for codes in [&mut self.rejected, &mut self.closed_rejected] {
            *codes = BTreeMap::from([(0, codes.values().sum())]);
        }
        self
    }

    fn compare(&self, worker: &str, rows: &Rows, findings: &mut Findings) {
        let mut check = |what: &str, found: u64, allowed: RangeInclusive<u64>| {
            let (least, most) = (*allowed.start(), *allowed.end());
            let difference = if found < least { Difference::RowMissing } else { Difference::RowInvented };
            if !allowed.contains(&found) {
                let text = format!("{worker}: {found} {what}, of {least} to {most}");
                findings.add_many(
                    difference,
                    least.saturating_sub(found).max(found.saturating_sub(most)),
                    text,
                );
            }
        };
        check("accepted rows", rows.accepted, self.accepted..=self.accepted + self.closed_accepted);
        let codes: std::collections::BTreeSet<i32> =
            rows.rejected.keys().chain(self.rejected.keys()).copied().collect();
        for code in codes {
            let of = |codes: &BTreeMap<i32, u64>| codes.get(&code).copied().unwrap_or(0);
            let told = of(&self.rejected);
            check(
                &format!("rows rejected with {code}"),
                of(&rows.rejected),
                told..=told + of(&self.closed_rejected),
            );
        }
        check("rows refused here", rows.refused_here, 0..=self.refused + self.closed_unseen);
        let not_judged = self.unanswered + self.refused;
        check(
            "rows refused here or unanswered",
            rows.refused_here + rows.unanswered,
            not_judged..=not_judged + self.closed,
        );
        // What a pool saw has left Adit, so it has a row; and its acceptances are accepted rows, or came too late.
        let sent = rows.total() - rows.refused_here;
        check("rows of shares that were sent", sent, self.seen..=u64::MAX);
        let late = self.accepted_by_pools.saturating_sub(rows.accepted);
        check("unanswered rows", rows.unanswered, late.max(self.unanswered)..=u64::MAX);
        findings.totals.accepted_late += late;
        findings.totals.rows += rows.total();
        findings.totals.rows_unanswered += rows.unanswered;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YES: Verdict = Verdict::Accepted;
    const NO: Verdict = Verdict::Rejected(21);
    const HERE: Verdict = Verdict::Rejected(20);

    /// One worker's shares: what its miner was told, and what the pools say.
    fn expected(shares: &[(Answer, AtPools)]) -> Expected {
        let mut expected = Expected::default();
        for &(answer, at_pools) in shares {
            expected.made("w", answer, at_pools);
            match at_pools {
                AtPools::Unseen => {}
                AtPools::Silent => expected.seen("w", None),
                AtPools::Judged(verdict) => expected.seen("w", Some(verdict)),
            }
        }
        expected
    }

    fn compared(expected: &Expected, rows: &[(Outcome, i32)]) -> Findings {
        let mut book = LedgerBook::default();
        for &(outcome, code) in rows {
            book.row("w", outcome, code);
        }
        let mut findings = Findings::default();
        expected.compare(&book, &mut findings);
        findings
    }

    #[test]
    fn one_row_per_share_is_clean_and_one_less_more_or_other_is_not() {
        let shares = [
            (Answer::Given(YES), AtPools::Judged(YES)),
            (Answer::Given(NO), AtPools::Judged(NO)),
            (Answer::Given(HERE), AtPools::Silent), // never answered
            (Answer::Given(HERE), AtPools::Judged(YES)), // answered too late
            (Answer::Given(NO), AtPools::Unseen),   // refused before any pool
        ];
        let expected = expected(&shares);
        let rows = [
            (Outcome::Accepted, 0),
            (Outcome::Rejected, 21),
            (Outcome::Unanswered, 20),
            (Outcome::Unanswered, 20),
            (Outcome::RefusedHere, 21),
        ];
        let findings = compared(&expected, &rows);
        findings.assert_clean();
        assert_eq!((findings.totals.rows, findings.totals.rows_unanswered), (5, 2));
        assert_eq!(findings.totals.accepted_late, 1);
        for at in 0..rows.len() {
            let mut less = rows.to_vec();
            let row = less.remove(at);
            assert!(compared(&expected, &less).count(Difference::RowMissing) > 0, "without {row:?}");
            let more = [&rows[..], &[row]].concat();
            assert!(compared(&expected, &more).count(Difference::RowInvented) > 0, "twice {row:?}");
        }
        for (at, other) in [
            (0, (Outcome::Unanswered, 20)),
            (1, (Outcome::Rejected, 23)),
            (2, (Outcome::RefusedHere, 20)),
            (3, (Outcome::Accepted, 0)),
        ] {
            let mut changed = rows;
            changed[at] = other;
            assert!(!compared(&expected, &changed).is_clean(), "{other:?} instead of {:?}", rows[at]);
        }
    }

    #[test]
    fn a_share_whose_connection_closed_may_be_any_row_that_fits_what_the_pool_saw() {
        let closed = |verdict| expected(&[(Answer::ConnectionClosed, verdict)]);
        for (verdict, row, is_clean) in [
            (AtPools::Judged(YES), Some((Outcome::Accepted, 0)), true),
            (AtPools::Judged(YES), Some((Outcome::Unanswered, 20)), true),
            (AtPools::Judged(YES), Some((Outcome::Rejected, 21)), false),
            (AtPools::Judged(YES), None, false),
            (AtPools::Judged(NO), Some((Outcome::Rejected, 21)), true),
            (AtPools::Judged(NO), Some((Outcome::Accepted, 0)), false),
            (AtPools::Silent, Some((Outcome::Unanswered, 20)), true),
            (AtPools::Silent, Some((Outcome::RefusedHere, 20)), false),
            (AtPools::Silent, None, false),
            (AtPools::Unseen, None, true),
            (AtPools::Unseen, Some((Outcome::Unanswered, 20)), true),
            (AtPools::Unseen, Some((Outcome::RefusedHere, 20)), true),
            (AtPools::Unseen, Some((Outcome::Accepted, 0)), false),
        ] {
            let findings = compared(&closed(verdict), row.as_slice());
            assert_eq!(findings.is_clean(), is_clean, "{verdict:?} {row:?}: {findings}");
        }
    }

    #[test]
    fn a_worker_that_nobody_knows_and_one_that_is_missing_are_found() {
        let mut expected = Expected::default();
        expected.made("w", Answer::Given(YES), AtPools::Judged(YES));
        let mut book = LedgerBook::default();
        book.row("x", Outcome::Accepted, 0);
        let mut findings = Findings::default();
        expected.compare(&book, &mut findings);
        assert!(findings.count(Difference::RowMissing) > 0 && findings.count(Difference::RowInvented) > 0);
    }

    #[test]
    fn shares_in_gaps_are_counted_without_names_and_codes() {
        let shares = [(Answer::Given(YES), AtPools::Judged(YES)), (Answer::Given(NO), AtPools::Judged(NO))];
        let expected = expected(&shares);
        let mut book = LedgerBook::default();
        book.row("w", Outcome::Accepted, 0);
        book.gap(Outcome::Rejected, 1);
        let mut findings = Findings::default();
        expected.compare(&book, &mut findings);
        findings.assert_clean();
        book.gap(Outcome::Rejected, 1);
        expected.compare(&book, &mut findings);
        assert_eq!(findings.count(Difference::RowInvented), 1);
    }
}
