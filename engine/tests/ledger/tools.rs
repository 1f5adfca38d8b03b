//! `adit ledger info | export | backup | verify | prune`, and `adit demo --ledger`.

use std::fs;
use std::process::Command;

use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Pace};
use adit_loadtest::wait;

use crate::common::ledger::{Kept, ask, assert_sound, book, stop, text, told};
use crate::common::{PATIENCE, binary};

/// Lines that a command wrote to stdout.
#[track_caller]
fn lines(arguments: &[&str]) -> Vec<String> {
    let output = ask(arguments);
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[test]
fn every_question_is_answered_while_the_proxy_writes() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let kept = Kept::new();
    let file = text(kept.file());
    let adit = kept.adit(&pool.url(), &[]);
    let config = FleetConfig { pace: Pace::PerSecond(500.0), ..FleetConfig::new(adit.address(), 4) };
    let fleet = Fleet::start(&config).expect("miners start");
    let in_export = || lines(&["export", "--ledger", file, "--format", "jsonl"]).len();
    assert!(wait::until(PATIENCE, || in_export() >= 200));

    let info = lines(&["info", "--ledger", file]).join("\n");
    for label in ["rows ", "span ", "durable up to ", "size ", "per row ", "gaps          none"] {
        assert!(info.contains(label), "{label}: {info}");
    }
    let copy = kept.file().with_extension("copy");
    let copied = lines(&["backup", "--ledger", file, text(&copy)]).join("\n");
    assert!(copied.starts_with("copied ") && copied.ends_with(text(&copy)), "{copied}");
    assert!(lines(&["verify", "--ledger", file]).join("\n").starts_with("sound: "));
    let pruned = ask(&["prune", "--ledger", file]);
    assert_eq!(pruned.status.code(), Some(1));
    assert!(told(&pruned).contains("which prunes by itself"), "{}", told(&pruned));

    let report = fleet.finish(PATIENCE);
    stop(adit);
    assert_eq!(report.accepted() as u64, book(kept.file()).sum().accepted, "nobody was in the way");
    assert_eq!(in_export(), report.submits.len());
    let in_copy = book(&copy).sum().total();
    assert!(in_copy >= 200 && in_copy <= report.submits.len() as u64, "{in_copy}");
    assert_sound(&copy);
    let again = ask(&["backup", "--ledger", file, text(&copy)]);
    assert_eq!(again.status.code(), Some(1));
    assert!(told(&again).contains("exists already; give another name"), "{}", told(&again));
}

#[test]
fn a_demo_keeps_its_ledger_which_is_exported_by_time_and_worker_and_pruned() {
    let kept = Kept::new();
    let file = text(kept.file());
    let demo = Command::new(binary())
        .args(["demo", "--for", "3s", "--miners", "2", "--shards", "1", "--admin", "off", "--ledger", file])
        .output()
        .expect("adit runs");
    assert!(demo.status.success(), "{}", told(&demo));
    let accepted = told(&demo).lines().last().and_then(|line| line.split(['=', ' ']).nth(1)?.parse().ok());
    let rows = book(kept.file()).sum();
    assert_eq!(Some(rows.accepted), accepted, "{}", told(&demo));

    let csv = lines(&["export", "--ledger", file]);
    assert!(csv[0].starts_with("time,worker,pool,"), "{}", csv[0]);
    assert_eq!(csv.len() as u64, rows.total() + 1);
    let json = lines(&["export", "--ledger", file, "--format", "jsonl"]);
    assert_eq!(json.len() as u64, rows.total());
    let field = |line: &str, name: &str| -> String {
        let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
        object[name].as_str().expect("a string").to_owned()
    };
    let of_one = lines(&["export", "--ledger", file, "--worker", "demo.rig1", "--format", "jsonl"]);
    assert!(!of_one.is_empty() && of_one.iter().all(|line| field(line, "worker") == "demo.rig1"));
    assert!(of_one.len() < json.len());
    let middle = field(&json[json.len() / 2], "time");
    let until = lines(&["export", "--ledger", file, "--to", &middle, "--format", "jsonl"]);
    let from = lines(&["export", "--ledger", file, "--from", &middle, "--format", "jsonl"]);
    assert_eq!(until.len(), json.len() / 2);
    assert_eq!([until, from].concat(), json);
    assert!(lines(&["export", "--ledger", file, "--to", "1h", "--format", "jsonl"]).is_empty());

    assert!(lines(&["prune", "--ledger", file]).join("\n").starts_with("pruned 0 shares"));
    assert_eq!(book(kept.file()).sum(), rows);
    let pruned = lines(&["prune", "--ledger", file, "--bytes-max", "1k"]).join("\n");
    assert!(pruned.starts_with(&format!("pruned {} shares", rows.total())), "{pruned}");
    assert_eq!(book(kept.file()).sum().total(), 0);
    assert_sound(kept.file());
}

#[test]
fn starts_and_stops_are_in_the_audit_trail() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let kept = Kept::new();
    for _ in 0..2 {
        stop(kept.adit(&pool.url(), &[]));
    }
    let db = rusqlite::Connection::open(kept.file()).expect("a database");
    let sql = "SELECT text, actor FROM events JOIN texts ON texts.id = kind
               WHERE text IN ('start', 'stop') ORDER BY events.id";
    let mut events = db.prepare(sql).expect("a query");
    let events = events.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let events: Vec<(String, String)> = events.map(|event| event.expect("a row")).collect();
    let expected = ["start", "stop", "start", "stop"].map(|kind| (kind.to_owned(), "adit".to_owned()));
    assert_eq!(events, expected);
}

#[test]
fn what_cannot_be_answered_is_said_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("none.db");
    let missing = text(&missing);
    for command in ["info", "export", "verify", "prune"] {
        let output = ask(&[command, "--ledger", missing]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let said = told(&output);
        assert!(
            said.contains("there is no ledger") && said.contains("; --ledger takes"),
            "{command}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{command}: {said}");
    }
    assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0, "no file was made");
    for (arguments, part) in [
        (&["info"][..], "--ledger <FILE>"),
        (&["export", "--ledger", missing, "--from", "soon"], "as in 2026-01-31"),
        (&["export", "--ledger", missing, "--format", "xml"], "csv"),
        (&["prune", "--ledger", missing, "--bytes-max", "much"], "500k"),
    ] {
        let output = ask(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(told(&output).contains(part), "{arguments:?}: {}", told(&output));
    }
}

#[test]
fn a_worker_that_is_not_known_and_pages_that_are_damaged_are_told() {
    let pool = ScriptedPool::start(Script::default()).expect("a pool");
    let kept = Kept::new();
    stop(kept.adit(&pool.url(), &[]));
    let file = text(kept.file());
    let stranger = ask(&["export", "--ledger", file, "--worker", "nobody"]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(
        told(&stranger).contains("\"nobody\"; a worker goes by the name that the pool sees"),
        "{}",
        told(&stranger)
    );

    let db = rusqlite::Connection::open(kept.file()).expect("a database");
    db.execute("UPDATE meta SET shares_written = 7", []).expect("an update");
    drop(db);
    let output = ask(&["verify", "--ledger", file]);
    assert_eq!(output.status.code(), Some(1));
    let said = told(&output);
    assert!(
        said.contains("there are 0 shares, 7 were written") && said.contains("is not sound: 1 problems"),
        "{said}"
    );
}
