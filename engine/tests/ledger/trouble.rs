//! A ledger that cannot be written for a while: miners notice nothing, memory stays bounded, what could not be written is
//! counted exactly, and it heals by itself.
//!
//! How the relay's latency stands beside such a ledger is measured by `adit-loadtest ledger-trouble`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use adit_loadtest::audit::{Audit, CounterBook};
use adit_loadtest::disk::{Disk, run};
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace};
use adit_loadtest::wait;
use adit_store::limits::OUTBOX_ROWS_MAX;
use adit_store::reader::Reader;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::Connection;

use crate::common::PATIENCE;
use crate::common::ledger::{Books, adit_with, book};

const DISK_BYTES: u64 = 48 * 1024 * 1024;
/// Shares answered in the time of trouble: enough for the outbox to run over.
const SHARES_IN_TROUBLE: u64 = OUTBOX_ROWS_MAX as u64 + 20_000;
const OVERFLOW_PATIENCE: Duration = Duration::from_secs(120);
const BATCH_PATIENCE: Duration = Duration::from_secs(30);
/// The outbox, a gap of some workers, and what SQLite's caches grow by when all of it is written.
const GROWTH_KIB_MAX: u64 = 64 * 1024;
/// How long a disk stands still.
const STALL: Duration = Duration::from_secs(10);

/// One at a time: each takes all of the machine.
static ALONE: Mutex<()> = Mutex::new(());

/// Miners at work through an Adit whose ledger is about to get into trouble.
struct Siege {
    pool: ScriptedPool,
    adit: Adit,
    fleet: Fleet,
    file: PathBuf,
    resident_kib: u64,
    _alone: MutexGuard<'static, ()>,
}

impl Siege {
    #[track_caller]
    fn begin(file: &Path) -> Self {
        let alone = ALONE.lock();
        let pool = ScriptedPool::start(Script::default()).expect("a pool");
        let adit = adit_with(&pool.url(), file, &[]);
        let config = FleetConfig { pace: Pace::InFlight(8), ..FleetConfig::new(adit.address(), 20) };
        let fleet = Fleet::start(&config).expect("miners start");
        assert!(wait::until(PATIENCE, || fleet.progress().answered() >= 2_000));
        let resident_kib = adit.usage().expect("usage").resident_kib;
        Self { pool, adit, fleet, file: file.to_owned(), resident_kib, _alone: alone }
    }

    /// The ledger's thread says that it cannot write.
    #[track_caller]
    fn wait_until_told(&self) {
        assert!(self.adit.logs_within("the ledger cannot be written, retrying", BATCH_PATIENCE));
    }

    /// Miners go on until far more was answered than waits in memory; memory stays in its bound.
    #[track_caller]
    fn run_over(&self) {
        let answered = || self.fleet.progress().answered();
        let before = answered();
        let ran_over = wait::until(OVERFLOW_PATIENCE, || answered() >= before + SHARES_IN_TROUBLE);
        assert!(ran_over, "the relay goes on: {} answers since", answered() - before);
        self.check_memory();
    }

    #[track_caller]
    fn check_memory(&self) {
        let growth = self.adit.usage().expect("usage").resident_kib.saturating_sub(self.resident_kib);
        assert!(growth < GROWTH_KIB_MAX, "memory grew by {growth} KiB");
    }

    /// Rows are written again, and the gap before them.
    #[track_caller]
    fn wait_until_healed(&self) {
        let info = || Reader::open(&self.file).and_then(|reader| reader.info());
        assert!(wait::until(BATCH_PATIENCE, || info().is_ok_and(|info| info.gaps > 0)), "{:?}", info());
        self.check_memory();
    }

    /// All books agree, and some of it is in a gap.
    #[track_caller]
    fn end(self, what: &str) {
        let report = self.fleet.finish(PATIENCE);
        let books = Books::close(self.adit, &self.file);
        wait::until(PATIENCE, || self.pool.log().open == 0);
        let log = self.pool.stop();
        let findings = books.audit(Audit::new().miners(&report).pool("pool", &log)).run();
        findings.assert_clean();
        let totals = findings.totals;
        assert_eq!(
            (report.closes, totals.accepted),
            (0, totals.submits),
            "{findings} {:?}",
            report.rejected()
        );
        assert_eq!(totals.rows, totals.submits);
        assert!(books.ledger.in_gaps() > 0);
        println!("{what}: {} shares, {} of them in gaps", totals.rows, books.ledger.in_gaps());
    }
}

fn skipped(test: &str) {
    println!("SKIPPED {test}: a file system of its own takes root");
}

#[test]
fn a_full_disk_stops_no_miner_and_its_gap_is_exact() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(disk) = Disk::tmpfs(directory.path(), DISK_BYTES) else { return skipped("a_full_disk") };
    let siege = Siege::begin(&disk.file("ledger.db"));
    disk.fill().expect("a file");
    siege.wait_until_told();
    siege.run_over();
    disk.free().expect("a removal");
    siege.wait_until_healed();
    siege.end("full disk");
}

/// The write that is under way when it happens hangs in the kernel, and nothing tells the program so.
#[test]
fn a_disk_that_stands_still_for_ten_seconds_stops_no_miner_and_its_gap_is_exact() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mut disk) = Disk::ext4(directory.path(), DISK_BYTES) else {
        return skipped("a_disk_that_stands_still");
    };
    let siege = Siege::begin(&disk.file("ledger.db"));
    let started = Instant::now();
    if !disk.freeze() {
        return skipped("a_disk_that_stands_still");
    }
    siege.run_over();
    wait::until(STALL.saturating_sub(started.elapsed()), || false);
    siege.check_memory();
    assert!(disk.thaw());
    siege.wait_until_healed();
    siege.end("frozen disk");
}

#[test]
fn somebody_elses_lock_for_ten_seconds_stops_no_miner_and_its_gap_is_exact() {
    let directory = tempfile::tempdir().expect("a directory");
    let siege = Siege::begin(&directory.path().join("ledger.db"));
    let other = Connection::open(&siege.file).expect("a database");
    other.busy_timeout(PATIENCE).expect("a timeout");
    let started = Instant::now();
    other.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    siege.wait_until_told();
    siege.run_over();
    wait::until(STALL.saturating_sub(started.elapsed()), || false);
    other.execute_batch("ROLLBACK").expect("an end");
    siege.wait_until_healed();
    siege.end("locked");
}

#[test]
fn a_directory_that_is_gone_for_a_while_stops_no_miner_and_its_gap_is_exact() {
    let directory = tempfile::tempdir().expect("a directory");
    let (home, away) = (directory.path().join("home"), directory.path().join("away"));
    fs::create_dir(&home).expect("a directory");
    let siege = Siege::begin(&home.join("ledger.db"));
    fs::rename(&home, &away).expect("a move");
    siege.wait_until_told();
    siege.run_over();
    assert!(!home.exists(), "nothing is made in its place");
    fs::rename(&away, &home).expect("a move");
    siege.wait_until_healed();
    siege.end("directory gone");
}

/// What was in it is lost; what comes afterwards is not.
#[test]
fn a_directory_that_was_removed_and_made_anew_gets_all_that_comes_afterwards() {
    let directory = tempfile::tempdir().expect("a directory");
    let home = directory.path().join("home");
    fs::create_dir(&home).expect("a directory");
    let siege = Siege::begin(&home.join("ledger.db"));
    let Siege { pool, adit, fleet, file, .. } = siege;
    let before = fleet.finish(PATIENCE).submits.len() as u64;
    let admin = adit.admin_address().expect("it answers operators");
    let counted = CounterBook::settled(admin, PATIENCE).expect("its counters").shares.total();
    assert_eq!(counted, before);
    assert!(wait::until(BATCH_PATIENCE, || book(&file).sum().total() == before), "all of it is durable");
    fs::remove_dir_all(&home).expect("a removal");

    let config = FleetConfig { pace: Pace::InFlight(4), ..FleetConfig::new(adit.address(), 10) };
    let fleet = Fleet::start(&config).expect("miners start");
    assert!(adit.logs_within("the ledger cannot be written, retrying", BATCH_PATIENCE));
    let answered = fleet.progress().answered();
    assert!(wait::until(PATIENCE, || fleet.progress().answered() >= answered + 1_000));
    fs::create_dir(&home).expect("a directory");
    assert!(adit.logs_within("the ledger is written again", BATCH_PATIENCE));
    let report = fleet.finish(PATIENCE);
    let books = Books::close(adit, &file);
    drop(pool);
    assert_eq!(books.ledger.sum().total(), report.submits.len() as u64);
    assert_eq!(books.counters.shares.total(), before + report.submits.len() as u64);
}

#[test]
fn a_file_made_read_only_stops_no_miner_and_its_gap_is_exact() {
    let directory = tempfile::tempdir().expect("a directory");
    let siege = Siege::begin(&directory.path().join("ledger.db"));
    // Root may write it all the same: Adit looks at the permission itself.
    fs::set_permissions(&siege.file, Permissions::from_mode(0o444)).expect("its owner may");
    siege.wait_until_told();
    siege.run_over();
    fs::set_permissions(&siege.file, Permissions::from_mode(0o644)).expect("its owner may");
    siege.wait_until_healed();
    siege.end("read-only");
}

/// The way to keep even root from writing. Not the third file, `-shm`: that is memory shared by mapping it, and who takes
/// mapped memory from under a process ends it.
#[test]
fn files_made_immutable_stop_no_miner_and_their_gap_is_exact() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(disk) = Disk::ext4(directory.path(), DISK_BYTES) else { return skipped("files_made_immutable") };
    let siege = Siege::begin(&disk.file("ledger.db"));
    let files = ["ledger.db", "ledger.db-wal"].map(|name| disk.file(name));
    let chattr = |mode| {
        run("chattr", [mode].into_iter().chain(files.iter().map(|file| file.to_str().expect("UTF-8"))))
    };
    if !chattr("+i") {
        return skipped("files_made_immutable");
    }
    siege.wait_until_told();
    siege.run_over();
    assert!(chattr("-i"));
    siege.wait_until_healed();
    siege.end("immutable");
}
