//! Single shares of a span of time, of all workers or of one, streamed; and as CSV or JSON lines.

use std::io::Write;

use rusqlite::{Row, params};

use crate::clock::rfc3339;
use crate::codes;
use crate::reader::{Lookup, ReadError, Reader, Span};

/// Rows looked at in one piece. Between two pieces nothing is held open.
const PIECE_ROWS: usize = 16 * 1024;

const SELECT: &str =
    "SELECT id, worker, pool, session, job, difficulty, share_difficulty, latency_us, outcome, class, code,
        reason, block_candidate
     FROM shares WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";

/// One row of the ledger, numbers resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Share<'a> {
    /// When the verdict was known, µs since 1970; unique.
    pub time_us: u64,
    /// The worker's name.
    pub worker: &'a str,
    /// The pool's name.
    pub pool: &'a str,
    /// The session's number in the ledger; 0 for none.
    pub session: u64,
    /// The job's number.
    pub job: u32,
    /// Assigned.
    pub difficulty: f64,
    /// Reached, if it was checked.
    pub share_difficulty: Option<f64>,
    /// From the submit to the verdict.
    pub latency_us: u32,
    /// `accepted`, `rejected`, `refused_here`, `unanswered`
    pub outcome: &'static str,
    /// Class of a rejection or refusal; empty otherwise.
    pub class: &'static str,
    /// Code on the wire; 0 for none.
    pub code: i16,
    /// The pool's words, or ours; empty for none.
    pub reason: &'a str,
    /// Whether it was good enough for a block.
    pub block_candidate: bool,
}

/// How shares are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header, RFC 4180.
    Csv,
    /// One JSON object per line.
    JsonLines,
}

impl Reader {
    /// Calls `each` for every share of the span, oldest first; only those of `worker` if one is named. How many.
    pub fn for_each_share(
        &self,
        span: Span,
        worker: Option<&str>,
        mut each: impl FnMut(&Share<'_>) -> Result<(), ReadError>,
    ) -> Result<u64, ReadError> {
        let wanted = worker.map(|name| self.worker_id(name)).transpose()?;
        let (mut workers, mut pools, mut texts) = (Lookup::workers(), Lookup::pools(), Lookup::texts());
        let (mut from_us, mut count) = (span.from_us, 0);
        loop {
            let mut statement = self.db.prepare_cached(SELECT)?;
            let mut rows = statement.query(params![from_us as i64, span.to_us as i64, PIECE_ROWS as i64])?;
            let mut looked_at = 0;
            while let Some(row) = rows.next()? {
                looked_at += 1;
                from_us = row.get::<_, i64>(0)? as u64 + 1;
                let worker: i64 = row.get(1)?;
                if wanted.is_none_or(|wanted| wanted == worker) {
                    let worker = workers.name(&self.db, worker)?;
                    let pool = pools.name(&self.db, row.get(2)?)?;
                    let reason = texts.name(&self.db, row.get(11)?)?;
                    each(&share_of(row, worker, pool, reason)?)?;
                    count += 1;
                }
            }
            if looked_at < PIECE_ROWS {
                return Ok(count);
            }
        }
    }

    /// Writes the shares of a span, oldest first, as they are read. How many.
    pub fn export(
        &self,
        span: Span,
        worker: Option<&str>,
        format: Format,
        mut out: impl Write,
    ) -> Result<u64, ReadError> {
        if format == Format::Csv {
            writeln!(
                out,
                "time,worker,pool,session,job,difficulty,share_difficulty,latency_us,outcome,class,code,reason,block_candidate"
            )?;
        }
        let count = self.for_each_share(span, worker, |share| {
            match format {
                Format::Csv => write_csv(&mut out, share),
                Format::JsonLines => write_json(&mut out, share),
            }
            .map_err(ReadError::Output)
        })?;
        out.flush()?;
        Ok(count)
    }
}

fn share_of<'a>(
    row: &Row<'_>,
    worker: &'a str,
    pool: &'a str,
    reason: &'a str,
) -> rusqlite::Result<Share<'a>> {
    Ok(Share {
        time_us: row.get::<_, i64>(0)? as u64,
        worker,
        pool,
        session: row.get::<_, i64>(3)? as u64,
        job: row.get(4)?,
        difficulty: row.get(5)?,
        share_difficulty: row.get(6)?,
        latency_us: row.get(7)?,
        outcome: codes::outcome_name(row.get(8)?),
        class: codes::class_name(row.get(9)?),
        code: row.get(10)?,
        reason,
        block_candidate: row.get(12)?,
    })
}

fn write_csv(out: &mut impl Write, share: &Share<'_>) -> std::io::Result<()> {
    let checked = share.share_difficulty.map(|difficulty| difficulty.to_string()).unwrap_or_default();
    write!(out, "{},", rfc3339(share.time_us))?;
    write_field(out, share.worker)?;
    write!(out, ",")?;
    write_field(out, share.pool)?;
    write!(
        out,
        ",{},{},{},{checked},{},{},{},{},",
        share.session, share.job, share.difficulty, share.latency_us, share.outcome, share.class, share.code
    )?;
    write_field(out, share.reason)?;
    writeln!(out, ",{}", u8::from(share.block_candidate))
}

/// A field of CSV, quoted if it has to be.
pub(crate) fn write_field(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    if text.contains([',', '"', '\n', '\r']) {
        write!(out, "\"{}\"", text.replace('"', "\"\""))
    } else {
        write!(out, "{text}")
    }
}

fn write_json(out: &mut impl Write, share: &Share<'_>) -> std::io::Result<()> {
    write!(out, "{{\"time\":\"{}\",\"worker\":", rfc3339(share.time_us))?;
    write_string(out, share.worker)?;
    write!(out, ",\"pool\":")?;
    write_string(out, share.pool)?;
    write!(out, ",\"session\":{},\"job\":{},\"difficulty\":{}", share.session, share.job, share.difficulty)?;
    match share.share_difficulty {
        Some(difficulty) => write!(out, ",\"share_difficulty\":{difficulty}")?,
        None => write!(out, ",\"share_difficulty\":null")?,
    }
    write!(
        out,
        ",\"latency_us\":{},\"outcome\":\"{}\",\"class\":\"{}\",\"code\":{},\"reason\":",
        share.latency_us, share.outcome, share.class, share.code
    )?;
    write_string(out, share.reason)?;
    writeln!(out, ",\"block_candidate\":{}}}", share.block_candidate)
}

/// A JSON string.
pub(crate) fn write_string(out: &mut impl Write, text: &str) -> std::io::Result<()> {
    write!(out, "\"")?;
    for letter in text.chars() {
        match letter {
            '"' | '\\' => write!(out, "\\{letter}")?,
            letter if letter.is_control() => write!(out, "\\u{:04x}", u32::from(letter))?,
            letter => write!(out, "{letter}")?,
        }
    }
    write!(out, "\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{empty, plan};

    #[test]
    fn shares_are_found_by_their_key() {
        let (_directory, reader) = empty();
        assert_eq!(plan(&reader.db, SELECT), "SEARCH shares USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
    }

    #[test]
    fn texts_of_strangers_stay_in_their_fields() {
        let (mut csv, mut json) = (Vec::new(), Vec::new());
        let text = "a,\"b\"\n\\é\u{1}";
        write_field(&mut csv, text).unwrap();
        write_string(&mut json, text).unwrap();
        assert_eq!(String::from_utf8(csv).unwrap(), "\"a,\"\"b\"\"\n\\é\u{1}\"");
        assert_eq!(String::from_utf8(json).unwrap(), "\"a,\\\"b\\\"\\u000a\\\\é\\u0001\"");
    }
}
