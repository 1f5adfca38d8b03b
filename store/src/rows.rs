//! Share rows → the table `shares`.
//!
//! Most of what a row costs is not the row: its statement is started and ended, and opens the table anew. So runs of
//! ordinary rows (accepted, with nothing said about them) go in by one statement for many, in which what they have in
//! common is no parameter. All others go in one by one.

use std::sync::LazyLock;

use adit_protocol::event::Outcome;
use rusqlite::types::Null;
use rusqlite::{CachedStatement, Connection};

use crate::codes;
use crate::ids::Ids;
use crate::record::{ReasonKey, ShareRow};
use crate::rollups::{self, Rollups};
use crate::tally::credited;

/// Rows of one statement, where they are ordinary.
const RUN_ROWS: usize = 32;
/// Parameters of each of them; what follows is the same for all.
const RUN_COLUMNS: usize = 8;
const INSERT: &str =
    "INSERT INTO shares (id, worker, pool, session, job, difficulty, share_difficulty, latency_us,
        outcome, class, code, reason, block_candidate) VALUES ";
/// Share difficulties from here up are stored whole: off by less than one in two thousand, and some bytes shorter.
const WHOLE_FROM: f64 = 1_000.0;

/// The way into the table.
pub(crate) struct RowWriter<'a> {
    db: &'a Connection,
    ids: &'a mut Ids,
    rollups: &'a mut Rollups,
    run: CachedStatement<'a>,
    one: CachedStatement<'a>,
}

impl<'a> RowWriter<'a> {
    pub(crate) fn new(
        db: &'a Connection,
        ids: &'a mut Ids,
        rollups: &'a mut Rollups,
    ) -> rusqlite::Result<Self> {
        let (run, one) = (db.prepare_cached(&RUN)?, db.prepare_cached(&ONE)?);
        Ok(Self { db, ids, rollups, run, one })
    }

    /// Adds rows with their keys, which only grow, in the order in which they are.
    pub(crate) fn add(&mut self, rows: &[(u64, ShareRow)]) -> rusqlite::Result<()> {
        for alike in rows.chunk_by(|(_, one), (_, next)| is_ordinary(one) == is_ordinary(next)) {
            let mut rest = alike;
            if alike.first().is_some_and(|(_, row)| is_ordinary(row)) {
                while let Some((run, others)) = rest.split_first_chunk::<RUN_ROWS>() {
                    self.run(run)?;
                    rest = others;
                }
            }
            for (key, row) in rest {
                self.one(*key, row)?;
            }
        }
        Ok(())
    }

    fn run(&mut self, rows: &[(u64, ShareRow); RUN_ROWS]) -> rusqlite::Result<()> {
        for (at, (key, row)) in rows.iter().enumerate() {
            Self::bind(&mut self.run, at * RUN_COLUMNS, self.db, self.ids, self.rollups, *key, row)?;
        }
        self.run.raw_execute()?;
        Ok(())
    }

    fn one(&mut self, key: u64, row: &ShareRow) -> rusqlite::Result<()> {
        let reason = self.ids.reason(self.db, row.reason)?;
        Self::bind(&mut self.one, 0, self.db, self.ids, self.rollups, key, row)?;
        let others = [codes::outcome(row.outcome), codes::class(row.class), row.code.into(), reason];
        for (at, number) in others.into_iter().enumerate() {
            self.one.raw_bind_parameter(1 + RUN_COLUMNS + at, number)?;
        }
        self.one.raw_bind_parameter(1 + RUN_COLUMNS + others.len(), row.block_candidate)?;
        self.one.raw_execute()?;
        Ok(())
    }

    /// Binds the columns that no two rows share, after `before` others, and counts the row in the rollups.
    #[inline]
    fn bind(
        insert: &mut CachedStatement<'_>,
        before: usize,
        db: &Connection,
        ids: &mut Ids,
        rollups: &mut Rollups,
        key: u64,
        row: &ShareRow,
    ) -> rusqlite::Result<()> {
        let worker = ids.worker(db, row.worker, key)?;
        let pool = ids.pool(db, row.pool, key)?;
        let session = ids.session(db, row.session)?;
        insert.raw_bind_parameter(before + 1, key as i64)?;
        insert.raw_bind_parameter(before + 2, worker)?;
        insert.raw_bind_parameter(before + 3, pool)?;
        insert.raw_bind_parameter(before + 4, session as i64)?;
        insert.raw_bind_parameter(before + 5, row.job)?;
        rollups::bind_difficulty(insert, before + 6, credited(row.difficulty))?;
        match stored_share_difficulty(row.share_difficulty) {
            Some(difficulty) => rollups::bind_difficulty(insert, before + 7, difficulty)?,
            None => insert.raw_bind_parameter(before + 7, Null)?,
        }
        insert.raw_bind_parameter(before + 8, row.latency_us)?;
        rollups.add(db, key, (worker, pool), row)
    }
}

/// Whether all of a row that is worth a parameter is in the first columns.
#[inline]
fn is_ordinary(row: &ShareRow) -> bool {
    row.outcome == Outcome::Accepted
        && row.class.is_none()
        && row.code == 0
        && row.reason == ReasonKey::NONE
        && !row.block_candidate
}

static RUN: LazyLock<String> = LazyLock::new(|| {
    let accepted = codes::outcome(Outcome::Accepted);
    let row = |at: usize| format!("({}, {accepted}, 0, 0, 0, 0)", parameters(at * RUN_COLUMNS, RUN_COLUMNS));
    INSERT.to_owned() + &(0..RUN_ROWS).map(row).collect::<Vec<_>>().join(", ")
});
static ONE: LazyLock<String> = LazyLock::new(|| format!("{INSERT}({})", parameters(0, RUN_COLUMNS + 5)));

fn parameters(before: usize, count: usize) -> String {
    (before + 1..=before + count).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ")
}

/// `None` where it was not checked.
fn stored_share_difficulty(difficulty: f64) -> Option<f64> {
    difficulty.is_finite().then(|| if difficulty >= WHOLE_FROM { difficulty.round() } else { difficulty })
}
