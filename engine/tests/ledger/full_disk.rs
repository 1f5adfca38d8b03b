//! A disk that runs full: miners notice nothing, what could not be written is counted exactly, and it heals by itself.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use adit_loadtest::audit::Audit;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace};
use adit_loadtest::wait;
use adit_store::limits::OUTBOX_ROWS_MAX;
use adit_store::reader::Reader;

use crate::common::PATIENCE;
use crate::common::ledger::{Books, adit_with};

const TMPFS_BYTES: usize = 48 * 1024 * 1024;
/// Shares answered while the disk is full: enough for the outbox to run over.
const SHARES_WHILE_FULL: u64 = OUTBOX_ROWS_MAX as u64 + 20_000;
const OVERFLOW_PATIENCE: Duration = Duration::from_secs(120);
const BATCH_PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_full_disk_stops_no_miner_and_its_gap_is_exact() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mount) = Mount::tmpfs(directory.path()) else {
        println!("SKIPPED a_full_disk_stops_no_miner_and_its_gap_is_exact: mounting a tmpfs takes root");
        return;
    };
    let (file, ballast) = (mount.0.join("ledger.db"), mount.0.join("ballast"));
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let adit = adit_with(&pool.url(), &file, &[]);
    let fleet =
        Fleet::start(&FleetConfig { pace: Pace::InFlight(8), ..FleetConfig::new(adit.address(), 20) })
            .expect("miners start");
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 2_000));

    fill(&ballast);
    assert!(adit.logs_within("the ledger cannot be written, retrying", BATCH_PATIENCE));
    let answered = fleet.progress().answered();
    assert!(
        wait::until(OVERFLOW_PATIENCE, || fleet.progress().answered() >= answered + SHARES_WHILE_FULL),
        "the relay goes on: {} since the disk is full",
        fleet.progress().answered() - answered
    );
    fs::remove_file(&ballast).expect("a removal");
    assert!(adit.logs_within("the ledger is written again", BATCH_PATIENCE));
    let gaps = || Reader::open(&file).and_then(|reader| reader.info()).expect("its figures").gaps;
    assert!(wait::until(BATCH_PATIENCE, || gaps() > 0));

    let report = fleet.finish(PATIENCE);
    let books = Books::close(adit, &file);
    wait::until(PATIENCE, || pool.log().open == 0);
    let log = pool.stop();
    let findings = books.audit(Audit::new().miners(&report).pool("pool", &log)).run();
    findings.assert_clean();
    assert_eq!(
        (report.closes, findings.totals.accepted),
        (0, findings.totals.submits),
        "{findings} {:?}",
        report.rejected()
    );
    assert_eq!(findings.totals.rows, findings.totals.submits);
    println!(
        "{} shares, {} of them in gaps, slowest answer {} us",
        findings.totals.rows,
        books.ledger.in_gaps(),
        report.latency_us.max()
    );
    assert!(books.ledger.in_gaps() > 0);
}

/// Writes until there is no room.
fn fill(ballast: &Path) {
    let mut file = File::create(ballast).expect("a file");
    for bytes in [64 * 1024, 4 * 1024] {
        while file.write_all(&vec![1; bytes]).is_ok() {}
    }
}

/// A mounted file system, unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let options = format!("size={TMPFS_BYTES}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(at.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: it also goes if a failing test left a file open.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
