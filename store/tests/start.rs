//! What a ledger refuses to start with, and that it leaves it as it was.

mod common;

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use adit_store::clock::now_us;
use adit_store::file::{Lock, OpenError};
use adit_store::ledger::{Ledger, LedgerConfig, StartError};
use adit_store::reader::Reader;
use adit_store::record::{Note, PoolKey, SessionOpened, ShareRow, WorkerKey};
use adit_store::schema::LATEST;
use common::{Place, accepted, connection, rejected};

/// The refusal of a ledger at `path`; whatever is there must be the same afterwards.
fn refusal(path: &Path) -> OpenError {
    let before = fs::read(path).ok();
    let started = Ledger::start(&LedgerConfig::new(path), 1);
    assert_eq!(fs::read(path).ok(), before, "touched");
    match started {
        Err(StartError::Open(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A ledger with `rows` rows, closed in order.
fn made(rows: usize) -> Place {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    for _ in 0..rows {
        outbox.push(accepted(WorkerKey::UNKNOWN, PoolKey::NONE));
    }
    Place::stop(ledger, outbox);
    place
}

#[test]
fn a_missing_directory_is_named() {
    let place = Place::new();
    let path = place.directory.path().join("nowhere/ledger.db");
    let error = refusal(&path);
    assert!(matches!(error, OpenError::DirectoryMissing(_)), "{error:?}");
    assert!(error.to_string().contains("nowhere/ledger.db"), "{error}");
}

#[test]
fn a_read_only_file_is_refused_even_to_root() {
    let place = made(1);
    fs::set_permissions(&place.path, Permissions::from_mode(0o444)).expect("chmod");
    let error = refusal(&place.path);
    assert!(matches!(error, OpenError::ReadOnly(_)), "{error:?}");
    fs::set_permissions(&place.path, Permissions::from_mode(0o644)).expect("chmod");
    let (ledger, outbox) = place.start();
    Place::stop(ledger, outbox);
}

#[test]
fn other_files_are_not_ledgers() {
    let place = Place::new();
    let foreign = place.directory.path().join("foreign.db");
    connection(&foreign).execute_batch("CREATE TABLE theirs (id INTEGER)").expect("a database");
    for (name, content) in
        [("text", &b"no database at all, but long enough to have the header of one. "[..]), ("short", b"x")]
    {
        let path = place.directory.path().join(name);
        fs::write(&path, content.repeat(3)).expect("a file");
        assert!(matches!(refusal(&path), OpenError::NotALedger(_)), "{name}");
    }
    assert!(matches!(refusal(&foreign), OpenError::NotALedger(_)));
    assert!(matches!(refusal(place.directory.path()), OpenError::NotAFile(_)));
}

#[test]
fn an_empty_file_becomes_a_ledger() {
    let place = Place::new();
    fs::write(&place.path, "").expect("a file");
    let (ledger, outbox) = place.start();
    Place::stop(ledger, outbox);
    assert_eq!(place.number("PRAGMA user_version"), i64::from(LATEST));
}

#[test]
fn a_ledger_cut_short_is_damaged() {
    let place = made(5_000);
    let whole = fs::read(&place.path).expect("a file");
    fs::write(&place.path, &whole[..whole.len() / 2]).expect("a file");
    let error = refusal(&place.path);
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[test]
fn a_ledger_with_overwritten_pages_is_damaged() {
    let place = made(5_000);
    let mut bytes = fs::read(&place.path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8_192].fill(0xA5);
    fs::write(&place.path, &bytes).expect("a file");
    let error = refusal(&place.path);
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error:?}");
}

#[test]
fn a_newer_schema_is_refused_with_both_numbers() {
    let place = made(1);
    connection(&place.path).pragma_update(None, "user_version", 99).expect("a pragma");
    let error = refusal(&place.path);
    assert!(matches!(error, OpenError::Newer { found: 99, known: LATEST, .. }), "{error:?}");
    assert!(error.to_string().contains("schema 99"), "{error}");
}

#[test]
fn a_second_writer_is_refused_also_by_another_name() {
    let place = Place::new();
    let (ledger, outbox) = place.start();
    let link = place.directory.path().join("link.db");
    symlink(&place.path, &link).expect("a link");
    for path in [&place.path, &link] {
        match Ledger::start(&LedgerConfig::new(path), 1) {
            Err(StartError::Open(error @ OpenError::InUse { pid, .. })) => {
                assert_eq!(pid, Some(std::process::id()), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    Place::stop(ledger, outbox);
    let free = Lock::take(&place.path).expect("free again");
    assert!(free.is_current());
}

#[test]
fn what_a_broken_creation_left_behind_is_no_hindrance() {
    let place = Place::new();
    fs::write(place.directory.path().join("ledger.db.new"), "half of something").expect("a file");
    let (ledger, outbox) = place.start();
    Place::stop(ledger, outbox);
    assert!(!place.directory.path().join("ledger.db.new").exists());
}

/// A file of each released schema, as its program left it.
#[test]
fn ledgers_of_all_released_schemas_open_with_all_they_had() {
    for version in 1..=LATEST {
        let place = Place::new();
        fs::copy(data(version), &place.path).expect("a file of each released schema");
        assert_eq!(place.number("PRAGMA user_version"), i64::from(version));
        let verified = Reader::open(&place.path).and_then(|reader| reader.verify(|_| {})).expect("verified");
        assert!(verified.is_sound() && verified.shares == 3, "read as it is: {verified:?}");
        let (ledger, mut outbox) = place.start();
        let worker = outbox.names().worker("account.rig1");
        outbox.push(accepted(worker, PoolKey::NONE));
        Place::stop(ledger, outbox);
        assert_eq!(place.number("PRAGMA user_version"), i64::from(LATEST));
        assert_eq!(place.number("SELECT count(*) FROM shares"), 4, "three of before and one new");
        assert_eq!(place.number("SELECT sum(submitted) FROM worker_minutes"), 4);
        assert_eq!(place.number("SELECT count(*) FROM workers WHERE name = 'account.rig1'"), 1);
        assert_eq!(place.number("SELECT count(*) FROM sessions WHERE closed_us IS NULL"), 0);
        assert_eq!(place.number("SELECT count(*) FROM events"), 1);
    }
}

/// Run once when a schema is released: `cargo test -p adit-store --test start -- --ignored`.
#[test]
#[ignore = "writes into tests/data"]
fn keep_a_file_of_the_newest_schema() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let (worker, pool) = (outbox.names().worker("account.rig1"), outbox.names().pool("main"));
    let stale = outbox.names().reason("stale");
    let session = SessionOpened {
        session: outbox.names().next_session(),
        opened_us: now_us(),
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        pool,
        shard: 0,
    };
    let [kind, actor, subject, detail] = ["start", "adit", "", "made for the tests"].map(Into::into);
    let seen =
        Note::WorkerSeen { worker, at_us: now_us(), address: session.address, user_agent: "cgminer".into() };
    for note in
        [Note::SessionOpened(session), seen, Note::Event { at_us: now_us(), kind, actor, subject, detail }]
    {
        assert!(outbox.note(note));
    }
    outbox.push(accepted(worker, pool));
    outbox.push(ShareRow { share_difficulty: 4_321.5, ..accepted(worker, pool) });
    outbox.push(rejected(worker, pool, stale));
    Place::stop(ledger, outbox);
    place
        .db()
        .execute_batch("PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM")
        .expect("a small file");
    place.db().execute_batch("PRAGMA journal_mode = WAL").expect("a log");
    fs::copy(&place.path, data(LATEST)).expect("a copy");
}

/// The file that is kept of a released schema.
fn data(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/ledger-v{version}.db"))
}

/// A released schema is never edited: its text and the file made from it say the same.
#[test]
fn the_schema_of_a_new_ledger_is_that_of_the_released_files() {
    let schema = |path: &Path| -> Vec<String> {
        let db = connection(path);
        let mut statement =
            db.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").expect("sql");
        statement.query_map([], |row| row.get(0)).expect("rows").map(|sql| sql.expect("text")).collect()
    };
    let place = made(0);
    let copy = place.directory.path().join("released.db");
    fs::copy(data(LATEST), &copy).expect("a file of each released schema");
    assert_eq!(schema(&place.path), schema(&copy));
}
