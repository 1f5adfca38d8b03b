//! The proxy's own counters, read where operators read them, and their side of the audit: held against the ledger's rows
//! to the share, and against what miners were told and pools saw.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use adit_protocol::event::Outcome;
use serde_json::Value;

use super::{Difference, Findings, LedgerBook, Rows};
use crate::wait;

/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The counters' names for the outcomes.
const OUTCOMES: [(&str, Outcome); 4] = [
    ("accepted", Outcome::Accepted),
    ("rejected", Outcome::Rejected),
    ("refused_here", Outcome::RefusedHere),
    ("unanswered", Outcome::Unanswered),
];

/// A page in JSON that operators are answered at `admin`.
pub fn admin_page(admin: SocketAddr, path: &str) -> io::Result<Value> {
    admin_page_by(None, admin, path)
}

/// The same, by somebody with a token where one is wanted.
fn admin_page_by(token: Option<&str>, admin: SocketAddr, path: &str) -> io::Result<Value> {
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let mut stream = TcpStream::connect_timeout(&admin, ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n{token}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).map_err(io::Error::other)
}

/// What a proxy counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CounterBook {
    /// Shares by outcome. Counters know no codes of pools: all rejects are under 0.
    pub shares: Rows,
    /// Verdicts that came after our deadline and accepted.
    pub late_accepts: u64,
    /// The same, and rejected.
    pub late_rejects: u64,
    /// Miners that are connected.
    pub connections: u64,
}

impl CounterBook {
    /// Reads `/metrics/json` of the proxy that answers operators at `admin`.
    pub fn read(admin: SocketAddr) -> io::Result<Self> {
        Self::read_by(None, admin)
    }

    fn read_by(token: Option<&str>, admin: SocketAddr) -> io::Result<Self> {
        let page = admin_page_by(token, admin, "/metrics/json")?;
        Self::of(&page).ok_or_else(|| io::Error::other(format!("not the metrics of an Adit: {page:.200}")))
    }

    /// What it counted once no miner is connected any more and nothing moves.
    pub fn settled(admin: SocketAddr, patience: Duration) -> io::Result<Self> {
        Self::settled_by(None, admin, patience)
    }

    /// The same, by somebody with a token where one is wanted.
    pub fn settled_by(token: Option<&str>, admin: SocketAddr, patience: Duration) -> io::Result<Self> {
        let mut last = Err(io::Error::other("not read yet"));
        let settled = wait::until(patience, || {
            // Copies are shared for some time, and counters may be read a little before connections.
            std::thread::sleep(Duration::from_millis(300));
            let now = Self::read_by(token, admin);
            let is_settled =
                matches!((&last, &now), (Ok(last), Ok(now)) if last == now && now.connections == 0);
            last = now;
            is_settled
        });
        match last {
            Ok(book) if !settled => Err(io::Error::other(format!("it does not come to rest: {book:?}"))),
            last => last,
        }
    }

    fn of(page: &Value) -> Option<Self> {
        let samples = |name: &str| {
            let metrics = page["metrics"].as_array().into_iter().flatten();
            let found = metrics.filter(|metric| metric["name"] == name).collect::<Vec<_>>();
            let samples = found.into_iter().filter_map(|metric| metric["samples"].as_array()).flatten();
            samples
                .map(|sample| (&sample["labels"], sample["value"].as_f64().unwrap_or(0.0) as u64))
                .collect()
        };
        let shares: Vec<(&Value, u64)> = samples("adit_shares_total");
        let oddities: Vec<(&Value, u64)> = samples("adit_oddities_total");
        let odd = |name: &str| {
            oddities.iter().filter(|(labels, _)| labels["oddity"] == name).map(|&(_, count)| count).sum()
        };
        let connections: Vec<(&Value, u64)> = samples("adit_connections");
        if shares.is_empty() || connections.is_empty() {
            return None;
        }
        let mut book = Self {
            late_accepts: odd("late_accept"),
            late_rejects: odd("late_reject"),
            connections: connections.iter().map(|&(_, count)| count).sum(),
            ..Self::default()
        };
        for (labels, count) in shares.into_iter().filter(|&(_, count)| count > 0) {
            let &(_, outcome) = OUTCOMES.iter().find(|(name, _)| labels["outcome"] == *name)?;
            book.shares.add(outcome, 0, count);
        }
        Some(book)
    }

    /// To the share: every one that was counted is a row or in a gap, with the same outcome.
    pub(super) fn compare_ledger(&self, ledger: &LedgerBook, findings: &mut Findings) {
        let (counted, kept) = (self.shares.clone().without_codes(), ledger.sum().without_codes());
        for (what, counted, kept) in [
            ("accepted", counted.accepted, kept.accepted),
            ("rejected", counted.rejected_count(), kept.rejected_count()),
            ("refused here", counted.refused_here, kept.refused_here),
            ("unanswered", counted.unanswered, kept.unanswered),
        ] {
            if counted != kept {
                let text = format!("{counted} counted as {what}, {kept} in the ledger");
                findings.add_many(Difference::Miscounted, counted.abs_diff(kept), text);
            }
        }
    }

    /// A verdict that came late belongs to an unanswered share, and what a pool accepted and no share has is all there is
    /// to accept late.
    pub(super) fn compare_late(&self, accepted_by_pools: u64, findings: &mut Findings) {
        let late = self.late_accepts + self.late_rejects;
        findings.totals.counted_late = late;
        for (what, counted, most) in [
            ("late verdicts", late, self.shares.unanswered),
            ("late accepts", self.late_accepts, accepted_by_pools.saturating_sub(self.shares.accepted)),
        ] {
            if counted > most {
                let text = format!("{counted} {what} counted, there are {most} at most");
                findings.add_many(Difference::Miscounted, counted - most, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(accepted: u64, late: u64) -> Value {
        serde_json::json!({"metrics": [
            {"name": "adit_shares_total", "samples": [
                {"labels": {"outcome": "accepted", "class": ""}, "value": accepted},
                {"labels": {"outcome": "rejected", "class": "stale"}, "value": 2},
                {"labels": {"outcome": "rejected", "class": "other"}, "value": 1},
                {"labels": {"outcome": "unanswered", "class": ""}, "value": 4},
            ]},
            {"name": "adit_oddities_total", "samples": [
                {"labels": {"shard": "0", "oddity": "late_accept"}, "value": late},
                {"labels": {"shard": "1", "oddity": "late_accept"}, "value": 1},
                {"labels": {"shard": "1", "oddity": "late_reject"}, "value": 1},
            ]},
            {"name": "adit_connections", "samples": [{"labels": {"shard": "0"}, "value": 3}]},
        ]})
    }

    fn ledger(accepted: u64) -> LedgerBook {
        let mut ledger = LedgerBook::default();
        (0..accepted).for_each(|_| ledger.row("w", Outcome::Accepted, 0));
        (0..3).for_each(|code| ledger.row("w", Outcome::Rejected, code));
        (0..4).for_each(|_| ledger.row("w", Outcome::Unanswered, 20));
        ledger
    }

    #[test]
    fn counters_are_read_from_the_page_and_equal_the_ledger_or_are_told() {
        let book = CounterBook::of(&page(7, 2)).unwrap();
        assert_eq!((book.late_accepts, book.late_rejects, book.connections), (3, 1, 3));
        assert_eq!((book.shares.accepted, book.shares.rejected_count(), book.shares.total()), (7, 3, 14));
        for (accepted, wrong_by) in [(7, 0), (6, 1), (9, 2)] {
            let mut findings = Findings::default();
            book.compare_ledger(&ledger(accepted), &mut findings);
            assert_eq!(findings.count(Difference::Miscounted), wrong_by, "{accepted}");
        }
        assert_eq!(CounterBook::of(&serde_json::json!({"metrics": []})), None);
    }

    #[test]
    fn more_late_verdicts_than_there_can_be_are_told() {
        for (late, accepted_by_pools, wrong_by) in [(2, 10, 0), (3, 11, 1), (2, 9, 1)] {
            let mut findings = Findings::default();
            CounterBook::of(&page(7, late)).unwrap().compare_late(accepted_by_pools, &mut findings);
            assert_eq!(findings.count(Difference::Miscounted), wrong_by, "{late} {accepted_by_pools}");
        }
    }
}
