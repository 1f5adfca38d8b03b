//! What a ledger answers: queries, export, info, verify and backup, also while it is being written.

mod common;

use std::fs;

use adit_protocol::event::Outcome;
use adit_protocol::verdict::RejectClass;
use adit_store::backup::{BackupError, backup};
use adit_store::hashrate::{HASHES_PER_DIFFICULTY, WINDOW_NAMES};
use adit_store::ledger::Ledger;
use adit_store::outbox::OutboxLimits;
use adit_store::reader::{ReadError, Reader, Span};
use adit_store::record::{Note, OutcomeCounts, ShareRow};
use adit_store::series::Of;
use adit_store::shares::Format;
use adit_store::tally::MINUTE_US;
use common::{Place, accepted, connection, rejected, wait_for};

/// 2023-03-27T21:20:00Z
const START_US: u64 = 27_999_200 * MINUTE_US;
const MINUTES: u64 = 30;

/// Thirty minutes of two workers at two pools: "a.fast" has six shares of difficulty 100 a minute at "main", each fifth
/// minute one stale share more; "a.slow" one of 10 a minute at "spare" in the first ten minutes, and one refused in the
/// twenty-sixth.
fn filled() -> Place {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let names = std::sync::Arc::clone(outbox.names());
    let (fast, slow) = (names.worker("a.fast"), names.worker("a.slow, the \"old\" one"));
    let (main, spare) = (names.pool("main"), names.pool("spare"));
    let (stale, too_low) = (names.reason("Job not found"), names.reason("Above target"));
    for minute in 0..MINUTES {
        let at = |second: u64| START_US + minute * MINUTE_US + second * 1_000_000;
        for n in 0..6 {
            let row = ShareRow { verdict_us: at(n * 10), difficulty: 100.0, ..accepted(fast, main) };
            outbox.push(row);
        }
        if minute % 5 == 0 {
            outbox.push(ShareRow { verdict_us: at(55), difficulty: 100.0, ..rejected(fast, main, stale) });
        }
        if minute == 25 {
            let row = ShareRow { verdict_us: at(55), ..rejected(slow, spare, too_low) };
            let class = Some(RejectClass::LowDifficulty);
            outbox.push(ShareRow { class, outcome: Outcome::RefusedHere, ..row });
        }
        if minute < 10 {
            let row = ShareRow {
                verdict_us: at(58),
                difficulty: 10.0,
                share_difficulty: 12.5,
                ..accepted(slow, spare)
            };
            outbox.push(row);
        }
    }
    Place::stop(ledger, outbox);
    place
}

fn span(first: u64, after: u64) -> Span {
    Span { from_us: START_US + first * MINUTE_US, to_us: START_US + after * MINUTE_US }
}

#[test]
fn shares_of_a_worker_in_a_span() {
    let place = filled();
    let reader = Reader::open(&place.path).expect("a reader");
    let mut times = Vec::new();
    let count = reader
        .for_each_share(span(8, 26), Some("a.slow, the \"old\" one"), |share| {
            times.push((share.time_us - START_US) / MINUTE_US);
            assert_eq!(share.pool, "spare");
            Ok(())
        })
        .expect("shares");
    assert_eq!((count, times), (3, vec![8, 9, 25]));
    let all = reader.for_each_share(Span::ALL, None, |_| Ok(())).expect("shares");
    assert_eq!(all, 6 * MINUTES + 6 + 10 + 1);
    assert!(matches!(reader.for_each_share(Span::ALL, Some("a.b"), |_| Ok(())), Err(ReadError::NoWorker(_))));
}

#[test]
fn outcomes_of_a_span_are_counted() {
    let place = filled();
    let reader = Reader::open(&place.path).expect("a reader");
    let kept = reader.count_outcomes(span(25, 26)).expect("counts");
    assert_eq!(kept.rows, OutcomeCounts { accepted: 6, rejected: 1, refused_here: 1, unanswered: 0 });
    assert_eq!(kept.gaps, OutcomeCounts::default());
}

#[test]
fn rejects_by_reason_and_pool() {
    let place = filled();
    let reader = Reader::open(&place.path).expect("a reader");
    let found: Vec<_> = reader
        .rejects(Span::ALL)
        .expect("rejects")
        .into_iter()
        .map(|found| {
            format!("{} {} {} {:?} {}", found.pool, found.outcome, found.class, found.reason, found.count)
        })
        .collect();
    assert_eq!(
        found,
        ["main rejected stale \"Job not found\" 6", "spare refused_here low_difficulty \"Above target\" 1"]
    );
    assert_eq!(reader.rejects(span(0, 10)).expect("rejects")[0].count, 2);
}

#[test]
fn top_rejecters_are_counted_by_the_rollups() {
    let place = filled();
    let reader = Reader::open(&place.path).expect("a reader");
    let found: Vec<_> = reader
        .top_rejecters(span(0, MINUTES), 10)
        .expect("rejecters")
        .into_iter()
        .map(|found| (found.worker, found.submitted, found.rejected, found.difficulty_rejected as u64))
        .collect();
    let slow = "a.slow, the \"old\" one".to_owned();
    assert_eq!(found, [("a.fast".into(), 186, 6, 600), (slow, 11, 1, 1024)]);
    assert_eq!(reader.top_rejecters(span(0, MINUTES), 1).expect("rejecters").len(), 1);
    assert!(reader.top_rejecters(span(26, 30), 10).expect("rejecters").is_empty());
}

#[test]
fn workers_not_seen_are_the_ones_that_are_gone() {
    let place = filled();
    let reader = Reader::open(&place.path).expect("a reader");
    let not_seen = |minute| -> Vec<String> {
        let found = reader.workers_not_seen_since(START_US + minute * MINUTE_US).expect("workers");
        found.into_iter().map(|worker| worker.name).collect()
    };
    assert!(not_seen(25).is_empty());
    assert_eq!(not_seen(27), ["a.slow, the \"old\" one"]);
    assert_eq!(not_seen(100).len(), 2);
}

#[test]
fn a_hashrate_series_of_a_worker_a_pool_and_all() {
    let place = filled();
    let reader = Reader::open(&place.path).expect("a reader");
    let series = |of, step| reader.series(of, span(0, MINUTES), step).expect("a series");
    let fast = series(Of::Worker("a.fast"), 1);
    assert_eq!(fast.len() as u64, MINUTES);
    assert_eq!(fast[7].start_us, START_US + 7 * MINUTE_US);
    assert!((fast[7].hashes_per_second() - 10.0 * HASHES_PER_DIFFICULTY).abs() < 1.0);
    assert_eq!(
        fast[5].tally.outcomes(),
        OutcomeCounts { accepted: 6, rejected: 1, ..OutcomeCounts::default() }
    );
    assert_eq!(fast[5].tally.latency.quantile_us(0.5), Some(49_152), "40 ms");
    assert_eq!(
        series(Of::Worker("a.slow, the \"old\" one"), 1).len(),
        11,
        "steps without shares are left out"
    );
    let tens = series(Of::Pool("main"), 10);
    assert_eq!(tens.iter().map(|point| point.tally.accepted).collect::<Vec<_>>(), [60, 60, 60]);
    let all: f64 = series(Of::All, 10).iter().map(|point| point.tally.difficulty_accepted).sum();
    assert!((all - (100.0 * 6.0 * MINUTES as f64 + 100.0)).abs() < 1e-6);
    assert_eq!(reader.series(Of::All, Span::ALL, 60).expect("a series").len(), 1, "all time is no walk");
    assert!(matches!(reader.series(Of::Pool("none"), Span::ALL, 1), Err(ReadError::NoPool(_))));
}

#[test]
fn averages_are_restored_from_the_rollups() {
    let place = filled();
    let reader = Reader::open(&place.path).expect("a reader");
    let now = START_US + MINUTES * MINUTE_US;
    let restored = reader.restore_hashrates(now).expect("averages");
    let names: Vec<_> = restored.workers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a.fast", "a.slow, the \"old\" one"]);
    let rates = restored.workers[0].1.hashes_per_second(now);
    for (rate, name) in rates.into_iter().zip(WINDOW_NAMES) {
        assert!((rate / (10.0 * HASHES_PER_DIFFICULTY) - 1.0).abs() < 0.01, "{name}: {rate}");
    }
    assert!(restored.workers[1].1.hashes_per_second(now)[0] < 0.01 * rates[0], "silent for long");
    assert_eq!(restored.pools.len(), 2);
    let much_later = reader.restore_hashrates(now + 30 * 1_440 * MINUTE_US).expect("averages");
    assert!(much_later.workers.is_empty());
}

#[test]
fn an_export_has_every_share_of_the_span() {
    let place = filled();
    let reader = Reader::open(&place.path).expect("a reader");
    let export = |format| {
        let mut out = Vec::new();
        let count = reader.export(span(25, 26), None, format, &mut out).expect("an export");
        assert_eq!(count, 8);
        String::from_utf8(out).expect("text")
    };
    let csv = export(Format::Csv);
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines.len(), 9);
    assert_eq!(
        lines[0],
        "time,worker,pool,session,job,difficulty,share_difficulty,latency_us,outcome,class,code,reason,block_candidate"
    );
    assert_eq!(lines[1], "2023-03-27T21:45:00.000000Z,a.fast,main,1,7,100,,40000,accepted,,0,,0");
    assert_eq!(
        lines[8],
        "2023-03-27T21:45:55.000001Z,\"a.slow, the \"\"old\"\" one\",spare,1,7,1024,,40000,refused_here,low_difficulty,21,Above target,0"
    );
    let json = export(Format::JsonLines);
    assert_eq!(
        json.lines().last(),
        Some(
            r#"{"time":"2023-03-27T21:45:55.000001Z","worker":"a.slow, the \"old\" one","pool":"spare","session":1,"job":7,"difficulty":1024,"share_difficulty":null,"latency_us":40000,"outcome":"refused_here","class":"low_difficulty","code":21,"reason":"Above target","block_candidate":false}"#
        )
    );
}

#[test]
fn info_is_what_there_is() {
    let place = filled();
    let info = Reader::open(&place.path).and_then(|reader| reader.info()).expect("info");
    assert_eq!(info.shares, 6 * MINUTES + 17);
    assert_eq!(info.span_us, Some((START_US, START_US + 29 * MINUTE_US + 50_000_000)));
    assert_eq!(info.rollups_us, Some((START_US, START_US + 30 * MINUTE_US)));
    assert_eq!((info.workers, info.pools, info.gaps), (2, 2, 0));
    assert_eq!(info.file_bytes, fs::metadata(&place.path).expect("a file").len());
}

#[test]
fn a_reader_needs_a_ledger() {
    let place = Place::new();
    assert!(matches!(Reader::open(&place.path), Err(ReadError::Open(_))));
    assert!(!place.path.exists(), "it makes none");
}

#[test]
fn readers_and_backups_work_while_the_ledger_is_written() {
    let place = Place::new();
    let (ledger, outbox) = place.start();
    let worker = outbox.names().worker("a.b");
    let pool = outbox.names().pool("main");
    let done = std::sync::atomic::AtomicBool::new(false);
    let copy = place.directory.path().join("copy.db");
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut outbox = outbox;
            while !done.load(std::sync::atomic::Ordering::Acquire) {
                for _ in 0..200 {
                    outbox.push(accepted(worker, pool));
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            outbox
        });
        wait_for("some rows", || ledger.health().status().rows_written > 5_000);
        let reader = Reader::open(&place.path).expect("a reader");
        let mut steps = 0;
        backup(&place.path, &copy, |progress| {
            steps += 1;
            assert!(progress.pages_done <= progress.pages_total);
            true
        })
        .expect("a backup");
        assert!(steps > 0);
        let verified = reader.verify(|_| {}).expect("verified");
        assert!(verified.is_sound() && verified.shares > 5_000, "{verified:?}");
        let before = reader.info().expect("info").shares;
        wait_for("more rows", || reader.info().expect("info").shares > before);
        assert!(ledger.health().is_ok());
        done.store(true, std::sync::atomic::Ordering::Release);
        drop(writing.join().expect("no panic"));
    });
    assert!(ledger.stop(common::PATIENCE).is_clean());
    let copied = Reader::open(&copy).and_then(|reader| reader.verify(|_| {})).expect("a sound copy");
    assert!(copied.is_sound() && copied.shares > 5_000, "{copied:?}");
    assert!(matches!(backup(&place.path, &copy, |_| true), Err(BackupError::Exists(_))));
}

#[test]
fn a_stopped_backup_leaves_nothing() {
    let place = filled();
    let copy = place.directory.path().join("copy.db");
    assert!(matches!(backup(&place.path, &copy, |_| false), Err(BackupError::Stopped)));
    let left: Vec<_> = fs::read_dir(place.directory.path())
        .expect("a directory")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("copy"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_ledger_with_gaps_agrees_with_itself() {
    let place = Place::new();
    let mut config = place.config();
    config.outbox = OutboxLimits { rows_max: 50, notes_max: 1, tallies_max: 3 };
    let (ledger, mut outboxes) = Ledger::start(&config, 1).expect("a ledger");
    let mut outbox = outboxes.remove(0);
    let workers: Vec<_> = (0..9).map(|n| outbox.names().worker(&format!("a.{n}"))).collect();
    let event = |n: u64| Note::Event {
        at_us: START_US + n,
        kind: "test".into(),
        actor: "".into(),
        subject: "".into(),
        detail: "".into(),
    };
    for n in 0..2_000 {
        let row = ShareRow {
            verdict_us: START_US + n * 100_000,
            ..accepted(workers[n as usize % 9], outbox.names().pool("main"))
        };
        outbox.push(row);
        outbox.note(event(n));
    }
    Place::stop(ledger, outbox);
    let reader = Reader::open(&place.path).expect("a reader");
    let verified = reader.verify(|_| {}).expect("verified");
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(verified.shares + verified.shares_in_gaps, 2_000);
    let kept = reader.count_outcomes(Span::ALL).expect("counts");
    assert_eq!((kept.rows.accepted, kept.gaps.accepted), (verified.shares, verified.shares_in_gaps));
    let info = reader.info().expect("info");
    assert!(info.notes_lost > 0 && info.events + info.notes_lost == 2_000, "{info:?}");
    assert_eq!(info.shares_in_gaps.total(), verified.shares_in_gaps);
}

/// Each of these is found; a sound ledger is not blamed.
#[test]
fn verify_finds_what_does_not_agree() {
    let sound = filled();
    let verified = Reader::open(&sound.path).and_then(|reader| reader.verify(|_| {})).expect("verified");
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!((verified.shares, verified.minutes), (6 * MINUTES + 17, MINUTES));
    for (damage, said) in [
        ("DELETE FROM shares WHERE id = (SELECT min(id) FROM shares)", "the rollup has"),
        ("UPDATE worker_minutes SET accepted = accepted + 1 WHERE minute % 7 = 0", "the rollup has"),
        ("UPDATE worker_minutes SET difficulty_accepted = difficulty_accepted * 1.001", "the rollup has"),
        ("DELETE FROM worker_minutes WHERE minute % 9 = 0", "no rollup"),
        ("UPDATE pool_minutes SET stale = stale + 1 WHERE minute % 7 = 0", "differ"),
        ("UPDATE worker_minutes SET latency = x'0102' WHERE minute % 7 = 0", "differ"),
        ("UPDATE shares SET outcome = 9 WHERE id % 7 = 0", "unknown outcome"),
        ("DELETE FROM workers WHERE name = 'a.fast'", "in no list"),
        ("INSERT INTO gaps VALUES (1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0)", "shares of gaps"),
        ("UPDATE meta SET shares_written = shares_written + 1", "were written"),
    ] {
        let place = Place::new();
        fs::copy(&sound.path, &place.path).expect("a copy");
        connection(&place.path).execute_batch(damage).expect(damage);
        let verified = Reader::open(&place.path).and_then(|reader| reader.verify(|_| {})).expect("verified");
        assert!(
            verified.problems.iter().any(|problem| problem.contains(said)),
            "{damage}: {:?}",
            verified.problems
        );
    }
}
