//! What operators ask: why shares were rejected, who has most of them, who is gone.

use rusqlite::{Row, params};

use crate::codes;
use crate::reader::{ReadError, Reader, Span};
use crate::record::OutcomeCounts;

/// By the index of the few rows that were not accepted; one row per pool, outcome, class and reason.
const REJECTS: &str = "SELECT pools.name, outcome, class, texts.text, count(*)
     FROM shares INDEXED BY shares_not_accepted
     JOIN pools ON pools.id = pool JOIN texts ON texts.id = reason
     WHERE shares.id >= ?1 AND shares.id < ?2 AND outcome <> 0 AND outcome <> 3
     GROUP BY pool, outcome, class, reason ORDER BY count(*) DESC";

const OUTCOMES_OF_ROWS: &str =
    "SELECT count(*) FILTER (WHERE outcome = 0), count(*) FILTER (WHERE outcome = 1),
        count(*) FILTER (WHERE outcome = 2), count(*) FILTER (WHERE outcome = 3)
     FROM shares WHERE id >= ?1 AND id < ?2";
const OUTCOMES_OF_GAPS: &str = "SELECT ifnull(sum(accepted), 0), ifnull(sum(rejected), 0),
        ifnull(sum(refused_here), 0), ifnull(sum(unanswered), 0)
     FROM gaps WHERE to_us >= ?1 AND from_us < ?2";

const TOP_REJECTERS: &str = "SELECT workers.name, submitted, refused, difficulty
     FROM (SELECT worker, sum(submitted) AS submitted, sum(rejected + refused_here) AS refused,
                  total(difficulty_rejected) AS difficulty
           FROM worker_minutes WHERE minute >= ?1 AND minute < ?2
           GROUP BY worker HAVING refused > 0 ORDER BY refused DESC, worker LIMIT ?3)
     JOIN workers ON workers.id = worker ORDER BY refused DESC, worker";

const NOT_SEEN: &str = "SELECT name, first_seen_us, last_seen_us, address,
        (SELECT text FROM texts WHERE texts.id = user_agent)
     FROM workers WHERE last_seen_us > 0 AND last_seen_us < ?1 ORDER BY last_seen_us DESC";

/// How often a pool rejected, or we refused, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejects {
    /// The pool.
    pub pool: String,
    /// `rejected` or `refused_here`
    pub outcome: &'static str,
    /// What it comes down to.
    pub class: &'static str,
    /// The words.
    pub reason: String,
    /// How often.
    pub count: u64,
}

/// The shares of a span, by how they are kept. What a proxy counted is the sum of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Those with a row.
    pub rows: OutcomeCounts,
    /// Those in gaps that lie in the span, at least in part.
    pub gaps: OutcomeCounts,
}

/// A worker with rejected shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejecter {
    /// Its name.
    pub worker: String,
    /// All its shares.
    pub submitted: u64,
    /// Of them, rejected or refused here.
    pub rejected: u64,
    /// Sum of the assigned difficulty of those.
    pub difficulty_rejected: f64,
}

/// A worker of the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownWorker {
    /// Its name.
    pub name: String,
    /// First and last time it was seen, µs since 1970. The last one is exact to the minute.
    pub seen_us: (u64, u64),
    /// Its address, the last one; empty if it was never told.
    pub address: String,
    /// What it calls itself.
    pub user_agent: String,
}

impl Reader {
    /// Counts the shares of a span, row by row: for audits, which compare them with what others counted.
    pub fn count_outcomes(&self, span: Span) -> Result<Kept, ReadError> {
        let (from_us, to_us) = (span.from_us as i64, span.to_us as i64);
        let moment = self.db.unchecked_transaction()?;
        let number = |row: &Row<'_>, at: usize| row.get::<_, i64>(at).map(|number| number as u64);
        let counts = |row: &Row<'_>| {
            Ok(OutcomeCounts {
                accepted: number(row, 0)?,
                rejected: number(row, 1)?,
                refused_here: number(row, 2)?,
                unanswered: number(row, 3)?,
            })
        };
        Ok(Kept {
            rows: moment.query_row(OUTCOMES_OF_ROWS, [from_us, to_us], counts)?,
            gaps: moment.query_row(OUTCOMES_OF_GAPS, [from_us, to_us], counts)?,
        })
    }

    /// Rejects and refusals of a span by pool and reason, most frequent first. Those in gaps have no reason and are not
    /// among them.
    pub fn rejects(&self, span: Span) -> Result<Vec<Rejects>, ReadError> {
        let mut statement = self.db.prepare_cached(REJECTS)?;
        let rows = statement.query_map(params![span.from_us as i64, span.to_us as i64], |row| {
            Ok(Rejects {
                pool: row.get(0)?,
                outcome: codes::outcome_name(row.get(1)?),
                class: codes::class_name(row.get(2)?),
                reason: row.get(3)?,
                count: row.get::<_, i64>(4)? as u64,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The workers with the most rejects and refusals of a span, gaps included.
    pub fn top_rejecters(&self, span: Span, count_max: u32) -> Result<Vec<Rejecter>, ReadError> {
        let (first, after) = span.minutes();
        let mut statement = self.db.prepare_cached(TOP_REJECTERS)?;
        let rows = statement.query_map(params![first, after, count_max], |row| {
            Ok(Rejecter {
                worker: row.get(0)?,
                submitted: row.get::<_, i64>(1)? as u64,
                rejected: row.get::<_, i64>(2)? as u64,
                difficulty_rejected: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Workers last seen before this time, µs since 1970, the latest first.
    pub fn workers_not_seen_since(&self, time_us: u64) -> Result<Vec<KnownWorker>, ReadError> {
        let mut statement = self.db.prepare_cached(NOT_SEEN)?;
        let rows = statement.query_map([time_us as i64], |row| {
            Ok(KnownWorker {
                name: row.get(0)?,
                seen_us: (row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64),
                address: row.get(3)?,
                user_agent: row.get(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{empty, plan};

    #[test]
    fn rejects_read_only_rows_that_were_not_accepted() {
        let (_directory, reader) = empty();
        let plan = plan(&reader.db, REJECTS);
        assert!(
            plan.contains("SEARCH shares USING COVERING INDEX shares_not_accepted (id>? AND id<?)"),
            "{plan}"
        );
        assert!(plan.contains("SEARCH pools USING INTEGER PRIMARY KEY"), "{plan}");
    }

    #[test]
    fn outcomes_are_counted_in_their_span_only() {
        let (_directory, reader) = empty();
        let plan = plan(&reader.db, OUTCOMES_OF_ROWS);
        assert_eq!(plan, "SEARCH shares USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
    }

    #[test]
    fn top_rejecters_read_only_their_minutes() {
        let (_directory, reader) = empty();
        let plan = plan(&reader.db, TOP_REJECTERS);
        assert!(plan.contains("SEARCH worker_minutes USING PRIMARY KEY (minute>? AND minute<?)"), "{plan}");
        assert!(plan.contains("SEARCH workers USING INTEGER PRIMARY KEY"), "{plan}");
    }

    #[test]
    fn workers_not_seen_are_found_by_an_index() {
        let (_directory, reader) = empty();
        let plan = plan(&reader.db, NOT_SEEN);
        assert!(
            plan.contains(
                "SEARCH workers USING INDEX workers_by_last_seen (last_seen_us>? AND last_seen_us<?)"
            ),
            "{plan}"
        );
    }
}
