//! A disk that is full, then has space: the failure is reported, memory stays bounded, and nothing is lost or counted
//! twice when it heals.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;

use crate::child::{HONEST, LIMITED};
use crate::parent::{Said, Writer};

const ROWS_PER_SECOND: u32 = 20_000;
/// The outbox, both gaps and the caches of SQLite are in it.
const GROWTH_KIB_MAX: u64 = 48 * 1024;
const TMPFS_BYTES: u64 = 3 * 1024 * 1024;

/// Needs no rights: a limit on the size of files stands for the full disk.
pub fn a_file_size_limit_and_then_none() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("ledger.db");
    let mut writer = Writer::start(&path, 0, ROWS_PER_SECOND, LIMITED);
    wait_until_full(&writer);
    writer.order("nolimit");
    heal_and_check(writer, &path);
}

/// A small tmpfs that runs full. Mounting takes root.
pub fn a_full_disk_and_then_space() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mount) = Mount::tmpfs(directory.path()) else {
        println!(
            "SKIPPED a_full_disk_and_then_space: mounting a tmpfs takes root; the file size limit was tested"
        );
        return;
    };
    let (path, ballast) = (mount.0.join("ledger.db"), mount.0.join("ballast"));
    fs::write(&ballast, vec![1; 2 * TMPFS_BYTES as usize / 3]).expect("a file");
    let writer = Writer::start(&path, 0, ROWS_PER_SECOND / 10, HONEST);
    wait_until_full(&writer);
    let state = writer.said().states.pop().expect("waited for");
    assert!(state.starts_with("failing DiskFull"), "{state}");
    // Some space now, and all of it later: the log of so many rows alone would not fit.
    fs::remove_file(&ballast).expect("a removal");
    heal_and_check(writer, &path);
}

fn wait_until_full(writer: &Writer) {
    writer
        .wait_for("the failure", |said| said.states.last().is_some_and(|state| state.starts_with("failing")));
    let reports = writer.said().memory_kib.len();
    // Long enough for the outbox to overflow at this rate, and to see what that costs.
    writer.wait_for("two more seconds", |said| said.memory_kib.len() > reports + 20);
}

fn heal_and_check(writer: Writer, path: &Path) {
    writer.wait_for("healed", |said| said.states.last().is_some_and(|state| state == "Writing"));
    std::thread::sleep(Duration::from_millis(300));
    let said = writer.stop();
    let (rows, in_gaps) = conserved(path, &said);
    let growth = memory_growth_kib(&said);
    println!("full, then healed: {rows} rows, {in_gaps} in gaps, memory grew by {growth} KiB");
    assert!(growth < GROWTH_KIB_MAX, "{growth} KiB");
}

/// Rows + gaps = pushed, in the tables and in the rollups.
pub fn conserved(path: &Path, said: &Said) -> (i64, i64) {
    let db = Connection::open(path).expect("a database");
    let number = |sql: &str| -> i64 { db.query_row(sql, [], |row| row.get(0)).expect(sql) };
    let rows = number("SELECT count(*) FROM shares");
    let in_gaps = number("SELECT ifnull(sum(accepted + rejected + refused_here + unanswered), 0) FROM gaps");
    let pushed = i64::from(said.total.expect("an end in order"));
    assert_eq!(rows + in_gaps, pushed, "{rows} rows and {in_gaps} in gaps");
    assert_eq!(number("SELECT count(DISTINCT job) FROM shares"), rows, "none twice");
    let unanswered = pushed / 10;
    assert_eq!(
        number("SELECT count(*) FROM shares WHERE outcome = 3")
            + number("SELECT ifnull(sum(unanswered), 0) FROM gaps"),
        unanswered,
        "each outcome is exact"
    );
    for table in ["worker_minutes", "pool_minutes"] {
        assert_eq!(number(&format!("SELECT sum(submitted) FROM {table}")), pushed, "{table}");
        assert_eq!(number(&format!("SELECT sum(unanswered) FROM {table}")), unanswered, "{table}");
        assert_eq!(number(&format!("SELECT sum(gapped) FROM {table}")), in_gaps, "{table}");
    }
    let integrity: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(integrity, "ok");
    (rows, in_gaps)
}

/// From the first report to the greatest.
pub fn memory_growth_kib(said: &Said) -> u64 {
    let first = said.memory_kib.first().copied().expect("a report");
    said.memory_kib.iter().max().map_or(0, |&most| most.saturating_sub(first))
}

/// A mounted file system, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={TMPFS_BYTES}"), "tmpfs"])
            .arg(at)
            .status()
            .is_ok_and(|status| status.success());
        mounted.then(|| Self(at.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: it also goes if a failing test left a file open.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
