//! What a ledger is and has, without reading all of it.

use std::fs;

use crate::file::beside;
use crate::reader::{ReadError, Reader, rollups_through};
use crate::record::OutcomeCounts;
use crate::tally::MINUTE_US;

/// A ledger in figures. Times are µs since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Version of its schema.
    pub schema: u32,
    /// When it was made, and by which version of the program.
    pub created_us: u64,
    /// Version of the program that made it.
    pub created_by: String,
    /// Bytes of the file, of its write-ahead log, and of the file's pages that are free.
    pub file_bytes: u64,
    /// Bytes of the write-ahead log.
    pub log_bytes: u64,
    /// Bytes of free pages, which are used again.
    pub free_bytes: u64,
    /// Rows of shares.
    pub shares: u64,
    /// Key of the first and the last of them. What is later than the last was not durable when this was asked.
    pub span_us: Option<(u64, u64)>,
    /// Shares pruned so far.
    pub shares_pruned: u64,
    /// First minute of the rollups and the end of the last.
    pub rollups_us: Option<(u64, u64)>,
    /// The rollups have all shares up to this time, and all gaps.
    pub rollups_through_us: u64,
    /// Gaps.
    pub gaps: u64,
    /// Shares in them.
    pub shares_in_gaps: OutcomeCounts,
    /// Notes that found no room.
    pub notes_lost: u64,
    /// Workers ever seen.
    pub workers: u64,
    /// Pools ever seen.
    pub pools: u64,
    /// Sessions, and those of them that are open.
    pub sessions: u64,
    /// Sessions without an end.
    pub sessions_open: u64,
    /// Audit events.
    pub events: u64,
}

impl Reader {
    /// The ledger in figures: fast, however large it is.
    pub fn info(&self) -> Result<Info, ReadError> {
        let moment = self.db.unchecked_transaction()?;
        let number = |sql: &str| -> Result<u64, ReadError> {
            Ok(moment.query_row(sql, [], |row| row.get::<_, i64>(0))? as u64)
        };
        let ends = |sql: &str| -> Result<Option<(u64, u64)>, ReadError> {
            let (first, last): (Option<i64>, Option<i64>) =
                moment.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(first.zip(last).map(|(first, last)| (first as u64, last as u64)))
        };
        let page_bytes = number("PRAGMA page_size")?;
        let bytes = |path: &std::path::Path| fs::metadata(path).map_or(0, |found| found.len());
        let rollups =
            ends("SELECT (SELECT min(minute) FROM pool_minutes), (SELECT max(minute) FROM pool_minutes)")?;
        Ok(Info {
            schema: number("PRAGMA user_version")? as u32,
            created_us: number("SELECT created_us FROM meta")?,
            created_by: moment.query_row("SELECT created_by FROM meta", [], |row| row.get(0))?,
            file_bytes: bytes(self.path()),
            log_bytes: bytes(&beside(self.path(), "-wal")),
            free_bytes: number("PRAGMA freelist_count")? * page_bytes,
            shares: number("SELECT shares_written - shares_pruned FROM meta")?,
            span_us: ends("SELECT (SELECT min(id) FROM shares), (SELECT max(id) FROM shares)")?,
            shares_pruned: number("SELECT shares_pruned FROM meta")?,
            rollups_us: rollups.map(|(first, last)| (first * MINUTE_US, (last + 1) * MINUTE_US)),
            rollups_through_us: rollups_through(&moment)?,
            gaps: number("SELECT count(*) FROM gaps")?,
            shares_in_gaps: OutcomeCounts {
                accepted: number("SELECT ifnull(sum(accepted), 0) FROM gaps")?,
                rejected: number("SELECT ifnull(sum(rejected), 0) FROM gaps")?,
                refused_here: number("SELECT ifnull(sum(refused_here), 0) FROM gaps")?,
                unanswered: number("SELECT ifnull(sum(unanswered), 0) FROM gaps")?,
            },
            notes_lost: number("SELECT ifnull(sum(notes_lost), 0) FROM gaps")?,
            workers: number("SELECT count(*) FROM workers WHERE id <> 0")?,
            pools: number("SELECT count(*) FROM pools WHERE id <> 0")?,
            sessions: number("SELECT count(*) FROM sessions")?,
            sessions_open: number("SELECT count(*) FROM sessions WHERE closed_us IS NULL")?,
            events: number("SELECT count(*) FROM events")?,
        })
    }
}
