//! Whether a ledger agrees with itself: its pages, its rollups with its shares up to the marker, its rollups with each
//! other, its gaps.
//!
//! Minute by minute, each in a moment of its own, so it can be done while a proxy writes. Everything is read: it takes a
//! while.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::reader::{ReadError, Reader, rollups_through};
use crate::rollups::{COLUMNS, SHARES, share_of, tally_from};
use crate::tally::{MINUTE_US, Tally};

/// Problems described; further ones are counted.
const PROBLEMS_MAX: usize = 100;
/// Sums of difficulties may be added up in another order.
const TOLERANCE: f64 = 1e-9;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Shares read.
    pub shares: u64,
    /// Minutes whose rollups were compared.
    pub minutes: u64,
    /// Gaps.
    pub gaps: u64,
    /// Shares in them.
    pub shares_in_gaps: u64,
    /// What does not agree, the first hundred.
    pub problems: Vec<String>,
    /// How many problems there are.
    pub problems_count: u64,
}

impl Verified {
    /// Whether all agrees.
    pub fn is_sound(&self) -> bool {
        self.problems_count == 0
    }

    fn problem(&mut self, words: impl FnOnce() -> String) {
        self.problems_count += 1;
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(words());
        }
    }
}

/// How far it is, by the time that the shares span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Minutes behind.
    pub minutes_done: u64,
    /// Minutes in all.
    pub minutes_total: u64,
}

type Tallies = BTreeMap<(u32, u32), Tally>;

const NEXT_MINUTE: &str = "SELECT min(next) FROM (
        SELECT (SELECT min(minute) FROM worker_minutes WHERE minute >= ?1) AS next
        UNION ALL SELECT (SELECT min(minute) FROM pool_minutes WHERE minute >= ?1)
        UNION ALL SELECT (SELECT min(id) FROM shares WHERE id >= ?1 * ?2) / ?2)";

impl Reader {
    /// Checks everything. The callback hears of the progress.
    pub fn verify(&self, mut progress: impl FnMut(Progress)) -> Result<Verified, ReadError> {
        let mut found = Verified::default();
        check_pages(&self.db, &mut found)?;
        check_counts(&self.db, &mut found)?;
        let ends = "SELECT max(pruned_through / ?1, minutes_pruned), (SELECT max(minute) FROM pool_minutes) FROM meta";
        let (pruned, newest): (u32, Option<u32>) =
            self.db.query_row(ends, [MINUTE_US as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // The minute that pruning stopped in has lost some of its rows.
        let first = if pruned == 0 { 0 } else { pruned + 1 };
        let (mut minute, mut oldest) = (first, None);
        while let Some(next) = self.next_minute(minute)? {
            let begin = *oldest.get_or_insert(next);
            check_minute(&self.db, next, &mut found)?;
            minute = next + 1;
            progress(Progress {
                minutes_done: u64::from(minute - begin),
                minutes_total: u64::from(newest.unwrap_or(next).max(next) + 1 - begin),
            });
        }
        Ok(found)
    }

    fn next_minute(&self, from: u32) -> Result<Option<u32>, ReadError> {
        Ok(self
            .db
            .prepare_cached(NEXT_MINUTE)?
            .query_row(params![from, MINUTE_US as i64], |row| row.get(0))?)
    }
}

fn check_pages(db: &Connection, found: &mut Verified) -> Result<(), ReadError> {
    let mut statement = db.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            found.problem(|| format!("damaged: {said}"));
        }
    }
    Ok(())
}

/// Counts that must agree over all tables, in one statement and so of one moment each.
fn check_counts(db: &Connection, found: &mut Verified) -> Result<(), ReadError> {
    let pair = |sql: &str| -> rusqlite::Result<(i64, i64)> {
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
    };
    let in_gaps = "ifnull(sum(accepted + rejected + refused_here + unanswered), 0)";
    let (gaps, shares_in_gaps) = pair(&format!("SELECT count(*), {in_gaps} FROM gaps"))?;
    (found.gaps, found.shares_in_gaps) = (gaps as u64, shares_in_gaps as u64);
    let (rows, said) =
        pair("SELECT (SELECT count(*) FROM shares), shares_written - shares_pruned FROM meta")?;
    if rows != said {
        found.problem(|| format!("there are {rows} shares, {said} were written and not pruned"));
    }
    let (newest, _) = pair("SELECT share_key, 0 FROM meta")?;
    let marker = rollups_through(db)?;
    if marker > newest as u64 {
        found.problem(|| {
            format!("the rollups are said to have shares up to {marker}, the last one is {newest}")
        });
    }
    let pruned = pair("SELECT minutes_pruned, 0 FROM meta")?.0;
    for table in ["worker_minutes", "pool_minutes"] {
        let (counted, gapped) = pair(&format!(
            "SELECT (SELECT ifnull(sum(gapped), 0) FROM {table}), (SELECT {in_gaps} FROM gaps)"
        ))?;
        // Rollups and gaps are pruned by their own times, and a gap may lie over the edge.
        if pruned == 0 && counted != gapped {
            found.problem(|| format!("{table} counts {counted} shares of gaps, the gaps have {gapped}"));
        }
        let key = if table == "worker_minutes" { "worker" } else { "pool" };
        let (strangers, _) = pair(&format!(
            "SELECT count(*), 0 FROM (SELECT DISTINCT {key} FROM {table}) WHERE {key} NOT IN (SELECT id FROM {key}s)"
        ))?;
        if strangers != 0 {
            found.problem(|| format!("{table} has {strangers} {key}s that are in no list"));
        }
    }
    Ok(())
}

/// The shares of a minute up to the marker, added up again, against both rollups.
fn check_minute(db: &Connection, minute: u32, found: &mut Verified) -> Result<(), ReadError> {
    let moment = db.unchecked_transaction()?;
    let rows = add_up(&moment, minute, found)?;
    let workers = read(
        &moment,
        &format!("SELECT worker, pool, {COLUMNS} FROM worker_minutes WHERE minute = ?1"),
        minute,
    )?;
    let pools =
        read(&moment, &format!("SELECT 0, pool, {COLUMNS} FROM pool_minutes WHERE minute = ?1"), minute)?;
    let mut of_pools = Tallies::new();
    for (&(_, pool), tally) in &workers {
        of_pools.entry((0, pool)).or_default().merge(tally);
    }
    for (&(worker, pool), tally) in &rows {
        if !workers.contains_key(&(worker, pool)) {
            let count = tally.outcomes().total();
            found.problem(|| {
                format!("minute {minute}, worker {worker}, pool {pool}: {count} shares, no rollup")
            });
        }
    }
    for (&(worker, pool), rollup) in &workers {
        let rows = rows.get(&(worker, pool)).copied().unwrap_or_default();
        if !agrees_with_rows(rollup, &rows) {
            found.problem(|| {
                format!(
                    "minute {minute}, worker {worker}, pool {pool}: the rollup has {:?}, {} of them in gaps, the shares are {:?}",
                    rollup.outcomes(), rollup.gapped, rows.outcomes()
                )
            });
        }
    }
    if of_pools.len() != pools.len()
        || of_pools.iter().any(|(key, sum)| pools.get(key).is_none_or(|pool| !same(sum, pool)))
    {
        found.problem(|| format!("minute {minute}: worker_minutes and pool_minutes differ"));
    }
    found.minutes += 1;
    Ok(())
}

fn add_up(db: &Connection, minute: u32, found: &mut Verified) -> Result<Tallies, ReadError> {
    let start_us = u64::from(minute) * MINUTE_US;
    let marker = rollups_through(db)?;
    let mut statement = db.prepare_cached(&format!("{SHARES} WHERE id >= ?1 AND id < ?2"))?;
    let mut rows = statement.query(params![start_us as i64, (start_us + MINUTE_US) as i64])?;
    let mut tallies = Tallies::new();
    while let Some(row) = rows.next()? {
        found.shares += 1;
        match share_of(row)? {
            _ if row.get::<_, i64>(0)? as u64 > marker => {}
            Some(share) => tallies.entry((row.get(1)?, row.get(2)?)).or_default().add(&share),
            None => found.problem(|| format!("minute {minute}: a share with an unknown outcome or class")),
        }
    }
    Ok(tallies)
}

fn read(db: &Connection, sql: &str, minute: u32) -> Result<Tallies, ReadError> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([minute], |row| Ok(((row.get(0)?, row.get(1)?), tally_from(row, 2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// With a gap in the minute only the total is known of both; without one everything is.
fn agrees_with_rows(rollup: &Tally, rows: &Tally) -> bool {
    if rollup.gapped == 0 {
        return same(rollup, rows);
    }
    let answered = |tally: &Tally| tally.outcomes().accepted + tally.outcomes().rejected;
    rollup.outcomes().total() == rows.outcomes().total() + rollup.gapped
        && rollup.latency.count() == answered(rollup)
        && answered(rollup) >= answered(rows)
}

fn same(one: &Tally, other: &Tally) -> bool {
    let sums =
        |tally: &Tally| [tally.difficulty_accepted, tally.difficulty_rejected, tally.difficulty_unanswered];
    let without_sums = |tally: &Tally| Tally {
        difficulty_accepted: 0.0,
        difficulty_rejected: 0.0,
        difficulty_unanswered: 0.0,
        ..*tally
    };
    without_sums(one) == without_sums(other)
        && sums(one)
            .into_iter()
            .zip(sums(other))
            .all(|(a, b)| (a - b).abs() <= TOLERANCE * a.abs().max(b.abs()))
}
