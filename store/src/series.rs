//! Figures over time from the minute rollups: of all, of a pool, of a worker; and what the shards' averages were.

use std::collections::BTreeMap;

use rusqlite::params;

use crate::hashrate::{HASHES_PER_DIFFICULTY, Hashrate, WINDOWS_S};
use crate::reader::{ReadError, Reader, Span};
use crate::rollups::{COLUMNS, tally_from};
use crate::tally::{MINUTE_US, Tally, minute_of};

/// Whose figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of<'a> {
    /// Everybody's.
    All,
    /// Those of a pool.
    Pool(&'a str),
    /// Those of a worker.
    Worker(&'a str),
}

/// What happened in one step of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Its beginning, µs since 1970.
    pub start_us: u64,
    /// Its length.
    pub minutes: u32,
    /// All shares of it, gaps included.
    pub tally: Tally,
}

impl Point {
    /// Hashes per second, by the accepted difficulty.
    pub fn hashes_per_second(&self) -> f64 {
        self.tally.difficulty_accepted * HASHES_PER_DIFFICULTY / (f64::from(self.minutes) * 60.0)
    }
}

/// The averages of before a restart.
#[derive(Debug, Default)]
pub struct Restored {
    /// By worker name.
    pub workers: Vec<(String, Hashrate)>,
    /// By pool name.
    pub pools: Vec<(String, Hashrate)>,
}

fn sql_of_all() -> String {
    format!("SELECT minute, {COLUMNS} FROM pool_minutes WHERE minute >= ?1 AND minute < ?2")
}

fn sql_of_pool() -> String {
    // Few pools: to walk over a minute's other ones costs less than a look-up per minute.
    format!("SELECT minute, {COLUMNS} FROM pool_minutes WHERE minute >= ?1 AND minute < ?2 AND pool = ?3")
}

/// The key begins with the minute, which keeps writing cheap, so a worker is looked up once per minute.
fn sql_of_worker() -> String {
    format!(
        "WITH RECURSIVE minutes (m) AS (SELECT ?1 UNION ALL SELECT m + 1 FROM minutes WHERE m + 1 < ?2)
         SELECT minute, {COLUMNS} FROM minutes CROSS JOIN worker_minutes ON minute = m AND worker = ?3"
    )
}

const RESTORE_WORKERS: &str = "SELECT worker, minute, difficulty_accepted FROM worker_minutes
     WHERE minute >= ?1 AND minute <= ?2 ORDER BY minute, worker";
const RESTORE_POOLS: &str = "SELECT pool, minute, difficulty_accepted FROM pool_minutes
     WHERE minute >= ?1 AND minute <= ?2 ORDER BY minute, pool";

impl Reader {
    /// The figures of a span in steps of so many minutes, oldest first. Steps without shares are left out.
    pub fn series(&self, of: Of<'_>, span: Span, step_minutes: u32) -> Result<Vec<Point>, ReadError> {
        let (first, after) = self.known_minutes(span)?;
        let step = step_minutes.max(1);
        let (sql, id) = match of {
            Of::All => (sql_of_all(), None),
            Of::Pool(name) => (sql_of_pool(), Some(self.pool_id(name)?)),
            Of::Worker(name) => (sql_of_worker(), Some(self.worker_id(name)?)),
        };
        if first >= after {
            return Ok(Vec::new());
        }
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows = match id {
            None => statement.query(params![first, after])?,
            Some(id) => statement.query(params![first, after, id])?,
        };
        let mut points: BTreeMap<u32, Tally> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let minute: u32 = row.get(0)?;
            points.entry(minute / step * step).or_default().merge(&tally_from(row, 1)?);
        }
        let point = |(minute, tally)| Point { start_us: u64::from(minute) * MINUTE_US, minutes: step, tally };
        Ok(points.into_iter().map(point).collect())
    }

    /// The averages that workers and pools had, as far as the longest window reaches back.
    pub fn restore_hashrates(&self, now_us: u64) -> Result<Restored, ReadError> {
        let longest_us = u64::from(WINDOWS_S[WINDOWS_S.len() - 1]) * 1_000_000;
        Ok(Restored {
            workers: self.restore(
                RESTORE_WORKERS,
                "SELECT name FROM workers WHERE id = ?1",
                longest_us,
                now_us,
            )?,
            pools: self.restore(RESTORE_POOLS, "SELECT name FROM pools WHERE id = ?1", longest_us, now_us)?,
        })
    }

    fn restore(
        &self,
        minutes_sql: &str,
        name_sql: &str,
        reach_us: u64,
        now_us: u64,
    ) -> Result<Vec<(String, Hashrate)>, ReadError> {
        let mut rates: BTreeMap<i64, Hashrate> = BTreeMap::new();
        let mut statement = self.db.prepare(minutes_sql)?;
        let mut rows =
            statement.query(params![minute_of(now_us.saturating_sub(reach_us)), minute_of(now_us)])?;
        // Rows of one minute and worker follow each other, one per pool: they are one step of the averages.
        let mut open: Option<(i64, u64, f64)> = None;
        let mut settle = |open: Option<(i64, u64, f64)>| {
            if let Some((id, start_us, difficulty)) = open {
                rates
                    .entry(id)
                    .or_insert_with(|| Hashrate::new(start_us))
                    .restore_minute(start_us, difficulty, now_us);
            }
        };
        while let Some(row) = rows.next()? {
            let (id, difficulty): (i64, f64) = (row.get(0)?, row.get(2)?);
            let start_us = row.get::<_, u32>(1).map(u64::from)? * MINUTE_US;
            match &mut open {
                Some((open_id, open_us, sum)) if *open_id == id && *open_us == start_us => *sum += difficulty,
                _ => settle(open.replace((id, start_us, difficulty))),
            }
        }
        settle(open);
        let mut name = self.db.prepare(name_sql)?;
        let mut named = Vec::with_capacity(rates.len());
        for (id, rate) in rates {
            named.push((name.query_row([id], |row| row.get(0))?, rate));
        }
        Ok(named)
    }

    /// The minutes of a span that rollups exist for, so that a span of all time is not walked minute by minute.
    fn known_minutes(&self, span: Span) -> Result<(u32, u32), ReadError> {
        let (first, after) = span.minutes();
        let ends = "SELECT (SELECT min(minute) FROM pool_minutes), (SELECT max(minute) FROM pool_minutes)";
        let (oldest, newest): (Option<u32>, Option<u32>) =
            self.db.query_row(ends, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok((
            first.max(oldest.unwrap_or(u32::MAX)),
            after.min(newest.map_or(0, |newest| newest.saturating_add(1))),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{empty, plan};

    #[test]
    fn series_read_only_their_minutes() {
        let (_directory, reader) = empty();
        for sql in [sql_of_all(), sql_of_pool()] {
            let plan = plan(&reader.db, &sql);
            assert_eq!(plan, "SEARCH pool_minutes USING PRIMARY KEY (minute>? AND minute<?)");
        }
        for sql in [RESTORE_WORKERS, RESTORE_POOLS] {
            let plan = plan(&reader.db, sql);
            assert!(plan.ends_with("USING PRIMARY KEY (minute>? AND minute<?)"), "{plan}");
        }
    }

    #[test]
    fn a_workers_series_looks_it_up_in_each_minute() {
        let (_directory, reader) = empty();
        let plan = plan(&reader.db, &sql_of_worker());
        assert!(plan.contains("SEARCH worker_minutes USING PRIMARY KEY (minute=? AND worker=?)"), "{plan}");
    }
}
