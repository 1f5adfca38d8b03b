//! Notes and gaps → their tables.

use rusqlite::{Connection, params};

use crate::ids::{self, Ids};
use crate::names::cut;
use crate::outbox::Gap;
use crate::record::{Note, SessionClosed, SessionOpened};

/// The reason of closing of sessions whose end nobody wrote down, since the process ended before.
pub const CLOSED_UNKNOWN: &str = "process_ended";

/// Writes one note.
pub fn write(db: &Connection, ids: &mut Ids, note: &Note) -> rusqlite::Result<()> {
    match note {
        Note::WorkerSeen { worker, at_us, address, user_agent } => {
            let worker = ids.worker(db, *worker, *at_us)?;
            let user_agent = ids::text(db, user_agent)?;
            db.prepare_cached(
                "UPDATE workers SET user_agent = ?2, address = ?3,
                    first_seen_us = min(first_seen_us, ?4), last_seen_us = max(last_seen_us, ?4)
                 WHERE id = ?1 AND id <> 0",
            )?
            .execute(params![worker, user_agent, address.to_string(), *at_us as i64])?;
        }
        Note::PoolSeen { pool, at_us, url } => {
            let pool = ids.pool(db, *pool, *at_us)?;
            db.prepare_cached(
                "UPDATE pools SET url = ?2, last_seen_us = max(last_seen_us, ?3) WHERE id = ?1 AND id <> 0",
            )?
            .execute(params![pool, cut(url), *at_us as i64])?;
        }
        Note::SessionOpened(opened) => session_opened(db, ids, opened)?,
        Note::SessionClosed(closed) => session_closed(db, ids, closed)?,
        Note::Event { at_us, kind, actor, subject, detail } => {
            event(db, *at_us, kind, [actor, subject, detail])?;
        }
    }
    Ok(())
}

/// Writes an event: who, about what, and why.
pub fn event(
    db: &Connection,
    at_us: u64,
    kind: &str,
    [actor, subject, detail]: [&str; 3],
) -> rusqlite::Result<()> {
    let kind = ids::text(db, kind)?;
    db.prepare_cached(
        "INSERT INTO events (id, kind, actor, subject, detail)
         VALUES (max(?1, 1 + (SELECT ifnull(max(id), 0) FROM events)), ?2, ?3, ?4, ?5)",
    )?
    .execute(params![at_us as i64, kind, cut(actor), cut(subject), cut(detail)])?;
    Ok(())
}

fn session_opened(db: &Connection, ids: &mut Ids, opened: &SessionOpened) -> rusqlite::Result<()> {
    let pool = ids.pool(db, opened.pool, opened.opened_us)?;
    let session = ids.session(db, opened.session)?;
    // "OR IGNORE": its end may stand there already, if the shard's notes were lost and said again.
    db.prepare_cached(
        "INSERT OR IGNORE INTO sessions (id, shard, pool, address, opened_us) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        session as i64,
        opened.shard,
        pool,
        opened.address.to_string(),
        opened.opened_us as i64
    ])?;
    Ok(())
}

fn session_closed(db: &Connection, ids: &mut Ids, closed: &SessionClosed) -> rusqlite::Result<()> {
    let opened = &closed.opened;
    let pool = ids.pool(db, opened.pool, opened.opened_us)?;
    let worker = ids.worker(db, closed.worker, opened.opened_us)?;
    let session = ids.session(db, opened.session)?;
    let user_agent = ids::text(db, &closed.user_agent)?;
    let reason = ids::text(db, closed.reason)?;
    db.prepare_cached(
        "REPLACE INTO sessions (id, shard, worker, pool, address, user_agent, opened_us, closed_us, close_reason,
            from_miner, to_miner, from_pool, to_pool, accepted, rejected, refused_here, unanswered)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
    )?
    .execute(params![
        session as i64,
        opened.shard,
        worker,
        pool,
        opened.address.to_string(),
        user_agent,
        opened.opened_us as i64,
        closed.closed_us as i64,
        reason,
        closed.miner_bytes[0] as i64,
        closed.miner_bytes[1] as i64,
        closed.pool_bytes[0] as i64,
        closed.pool_bytes[1] as i64,
        closed.shares.accepted as i64,
        closed.shares.rejected as i64,
        closed.shares.refused_here as i64,
        closed.shares.unanswered as i64,
    ])?;
    db.prepare_cached("UPDATE workers SET last_seen_us = max(last_seen_us, ?2) WHERE id = ?1 AND id <> 0")?
        .execute(params![worker, closed.closed_us as i64])?;
    Ok(())
}

/// Writes the exact counts of a gap; its tallies go into the rollups.
pub fn gap(db: &Connection, gap: &Gap, written_us: u64) -> rusqlite::Result<()> {
    let has_shares = gap.shares.total() > 0;
    let (from_us, to_us) = if has_shares { gap.span_us } else { (written_us, written_us) };
    let unattributed = gap.unattributed.map_or(0, |(_, tally)| tally.outcomes().total());
    db.prepare_cached(
        "INSERT INTO gaps (from_us, to_us, written_us, accepted, rejected, refused_here, unanswered,
            block_candidates, unattributed, notes_lost)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        from_us as i64,
        to_us as i64,
        written_us as i64,
        gap.shares.accepted as i64,
        gap.shares.rejected as i64,
        gap.shares.refused_here as i64,
        gap.shares.unanswered as i64,
        gap.block_candidates as i64,
        unattributed as i64,
        gap.notes_lost as i64,
    ])?;
    Ok(())
}

/// Ends the sessions that an earlier run of the process left open, at `at_us` the latest.
pub fn close_abandoned(db: &Connection, at_us: u64) -> rusqlite::Result<usize> {
    let reason = ids::text(db, CLOSED_UNKNOWN)?;
    db.prepare_cached(
        "UPDATE sessions SET closed_us = max(opened_us, ?1), close_reason = ?2 WHERE closed_us IS NULL",
    )?
    .execute(params![at_us as i64, reason])
}
