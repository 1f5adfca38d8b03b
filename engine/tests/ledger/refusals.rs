//! A ledger that cannot be kept keeps Adit from starting, with a sentence that says what to do, and no file touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use adit_loadtest::process::{Adit, StartError};
use adit_loadtest::scripted_pool::{Script, ScriptedPool};

use crate::common::binary;
use crate::common::ledger::{Kept, assert_sound, stop, text};

/// What Adit says that does not start on this ledger.
#[track_caller]
fn refusal(pool_url: &str, ledger: &Path) -> String {
    let arguments = [
        "run",
        "--listen",
        "127.0.0.1:0",
        "--pool",
        pool_url,
        "--no-pin",
        "--admin",
        "off",
        "--shards",
        "1",
        "--ledger",
    ];
    match Adit::start(&binary(), arguments.into_iter().chain([text(ledger)])) {
        Err(StartError::NotListening(said)) => said,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_process_on_the_same_file_is_refused_and_the_first_goes_on() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let kept = Kept::new();
    let mut first = kept.adit(&pool.url(), &[]);
    let said = refusal(&pool.url(), kept.file());
    let holder =
        format!("in use by another process (pid {}); stop that one, or name another file", first.pid());
    assert!(said.contains(&holder), "{said}");
    assert!(first.is_running());
    stop(first);
    assert_sound(kept.file());
}

#[test]
fn a_file_that_is_read_only_is_left_as_it_is() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let kept = Kept::new();
    stop(kept.adit(&pool.url(), &[]));
    let before = fs::read(kept.file()).expect("a file");
    fs::set_permissions(kept.file(), fs::Permissions::from_mode(0o444)).expect("its owner may");
    let said = refusal(&pool.url(), kept.file());
    assert!(said.contains("is read-only; let this user write it"), "{said}");
    assert!(fs::read(kept.file()).expect("a file") == before);
}

#[test]
fn a_directory_that_is_missing_and_a_file_that_is_no_ledger_are_told() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let directory = tempfile::tempdir().expect("a directory");
    let said = refusal(&pool.url(), &directory.path().join("missing/ledger.db"));
    assert!(said.contains("ledger.db does not exist; make it, or name another file"), "{said}");
    let letter = directory.path().join("letter");
    fs::write(&letter, "dear pool").expect("a file");
    let said = refusal(&pool.url(), &letter);
    assert!(said.contains("letter is not a ledger; name another file"), "{said}");
    assert_eq!(fs::read(&letter).expect("a file"), b"dear pool");
}
