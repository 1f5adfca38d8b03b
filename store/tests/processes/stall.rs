//! A disk that does not answer for ten seconds, at 20,000 rows per second: the shard goes on, memory stays bounded, and
//! what has no row is in the gap, exactly.

use std::time::{Duration, Instant};

use adit_store::limits::OUTBOX_ROWS_MAX;

use crate::child::HONEST;
use crate::full::{conserved, memory_growth_kib};
use crate::parent::Writer;

const ROWS_PER_SECOND: u32 = 20_000;
const STALL: Duration = Duration::from_secs(10);
/// The outbox full (2 MiB), a gap of 50 workers, and what SQLite's caches grow by when all of it is written.
const GROWTH_KIB_MAX: u64 = 48 * 1024;

pub fn a_writer_that_stalls_for_ten_seconds() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger.db");
    let mut writer = Writer::start(&path, 0, ROWS_PER_SECOND, HONEST);
    writer.wait_for("a durable row", |said| said.durable > 0);
    writer.order("stall");
    let stalled = Instant::now();
    let mut last = writer.said();
    while stalled.elapsed() < STALL {
        std::thread::sleep(Duration::from_millis(500));
        writer.wait_for("more rows of a shard that goes on", |said| said.pushed.last() > last.pushed.last());
        last = writer.said();
    }
    let growth_in_stall = memory_growth_kib(&last);
    writer.order("go");
    writer.wait_for("rows written again", |said| said.durable > last.durable + ROWS_PER_SECOND);
    let said = writer.stop();
    let (rows, in_gaps) = conserved(&path, &said);
    println!(
        "stalled for {STALL:?}: {rows} rows, {in_gaps} in gaps, memory grew by {growth_in_stall} KiB in the stall, \
         {} KiB in all",
        memory_growth_kib(&said)
    );
    let missed = i64::from(ROWS_PER_SECOND) * STALL.as_secs() as i64 - OUTBOX_ROWS_MAX as i64;
    assert!(in_gaps > missed / 2, "the outbox holds less than {missed}");
    assert!(growth_in_stall < GROWTH_KIB_MAX && memory_growth_kib(&said) < GROWTH_KIB_MAX);
}
