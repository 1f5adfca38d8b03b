//! Pruning: by age, by size, in small steps beside the writer, and by hand.

mod common;

use adit_store::clock::now_us;
use adit_store::file::OpenError;
use adit_store::ledger::{Ledger, LedgerConfig};
use adit_store::limits::MAINTENANCE_STEP_ROWS_MAX;
use adit_store::outbox::Outbox;
use adit_store::reader::Reader;
use adit_store::record::{Note, PoolKey, ShareRow};
use adit_store::retention::{PruneError, Retention, prune};
use common::{PATIENCE, Place, accepted, wait_for};

const DAY_US: u64 = 24 * 3_600 * 1_000_000;
const WORKERS: u64 = 20;

/// So many shares, one a second up to now, written through a ledger that keeps everything.
fn fill(place: &Place, count: u64) {
    let (ledger, mut outbox) = place.start();
    push(&ledger, &mut outbox, now_us() - count * 1_000_000, count);
    Place::stop(ledger, outbox);
}

fn push(ledger: &Ledger, outbox: &mut Outbox, from_us: u64, count: u64) {
    let workers: Vec<_> = (0..WORKERS).map(|n| outbox.names().worker(&format!("a.{n}"))).collect();
    for n in 0..count {
        let worker = workers[(n % WORKERS) as usize];
        outbox.push(ShareRow { verdict_us: from_us + n * 1_000_000, ..accepted(worker, PoolKey::NONE) });
        if n % 20_000 == 19_999 {
            wait_for("the ledger keeps up", || ledger.health().status().rows_written == n + 1);
        }
    }
}

#[test]
fn what_is_too_old_goes_and_the_rest_stays_sound() {
    let place = Place::new();
    fill(&place, 3 * 86_400);
    let retention = Retention { shares_days: 1, rollups_days: 2, bytes_max: 0 };
    let (mut steps, mut before) = (Vec::new(), 0);
    let pruned = prune(&place.path, retention, |so_far| {
        let all = so_far.shares_pruned + so_far.others_pruned;
        steps.push(all - before);
        before = all;
    })
    .expect("pruned");
    // How long a step takes is measured by the bench; here, that none takes more than it may.
    assert!(
        steps.len() > 2 && steps.iter().all(|&rows| rows <= MAINTENANCE_STEP_ROWS_MAX.into()),
        "{steps:?}"
    );
    let info = Reader::open(&place.path).and_then(|reader| reader.info()).expect("info");
    assert!(pruned.shares_pruned.abs_diff(2 * 86_400) < 60, "{pruned:?}");
    assert_eq!(info.shares_pruned, pruned.shares_pruned);
    assert_eq!(info.shares + info.shares_pruned, 3 * 86_400);
    let (oldest_share, newest_share) = info.span_us.expect("shares");
    assert!(oldest_share > now_us() - DAY_US - 60_000_000 && newest_share > now_us() - 60_000_000);
    assert!(info.rollups_us.expect("rollups").0 > now_us() - 2 * DAY_US - 120_000_000);
    let verified = Reader::open(&place.path).and_then(|reader| reader.verify(|_| {})).expect("verified");
    assert!(verified.is_sound() && verified.minutes > 1_400, "{verified:?}");
    assert_eq!(pruned.pages_freed, 0, "free pages so few are kept for the next rows");
}

#[test]
fn a_size_cap_takes_the_oldest_shares_whatever_their_age() {
    let place = Place::new();
    fill(&place, 100_000);
    let bytes_max = 3 * 1024 * 1024;
    let before = Reader::open(&place.path).and_then(|reader| reader.info()).expect("info");
    assert!(before.file_bytes > bytes_max);
    prune(&place.path, Retention { shares_days: 0, rollups_days: 0, bytes_max }, |_| {}).expect("pruned");
    let after = Reader::open(&place.path).and_then(|reader| reader.info()).expect("info");
    assert!(after.file_bytes <= bytes_max, "{after:?}");
    assert!(after.shares > 10_000, "no more than needed: {after:?}");
    assert_eq!(after.span_us.map(|(_, last)| last), before.span_us.map(|(_, last)| last), "the newest stay");
    assert_eq!(after.rollups_us, before.rollups_us, "rollups of a day stay");
    let verified = Reader::open(&place.path).and_then(|reader| reader.verify(|_| {})).expect("verified");
    assert!(verified.is_sound(), "{verified:?}");
}

#[test]
fn old_sessions_events_and_gaps_go_too() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    for (kind, age_days) in [("old", 400), ("new", 100)] {
        let (actor, subject, detail) = ("adit".into(), "".into(), "".into());
        assert!(outbox.note(Note::Event {
            at_us: now_us() - age_days * DAY_US,
            kind: kind.into(),
            actor,
            subject,
            detail
        }));
    }
    Place::stop(ledger, outbox);
    let old_us = now_us() - 400 * DAY_US;
    for (id, us) in [(1, old_us), (2, now_us())] {
        place
            .db()
            .execute_batch(&format!(
                "INSERT INTO gaps VALUES ({id}, {us}, {us}, {us}, 0, 0, 0, 0, 0, 0, 1);
                 INSERT INTO sessions (id, shard, address, opened_us, closed_us) VALUES ({id}, 0, '', {us}, {us});"
            ))
            .expect("rows");
    }
    prune(&place.path, Retention { shares_days: 14, rollups_days: 365, bytes_max: 0 }, |_| {})
        .expect("pruned");
    for table in ["events", "gaps", "sessions"] {
        assert_eq!(place.number(&format!("SELECT count(*) FROM {table}")), 1, "{table}");
    }
}

#[test]
fn nothing_is_pruned_when_all_is_kept() {
    let place = Place::new();
    fill(&place, 1_000);
    let forever = Retention { shares_days: 0, rollups_days: 0, bytes_max: 0 };
    let pruned = prune(&place.path, forever, |_| {}).expect("pruned");
    assert_eq!(pruned, adit_store::sink::Maintained::default());
}

/// Rows keep coming while a backlog is pruned: they wait for no step.
#[test]
fn pruning_does_not_hold_the_writer_up() {
    let place = Place::new();
    fill(&place, 200_000);
    let retention = Retention { shares_days: 1, rollups_days: 1, bytes_max: 0 };
    let config = LedgerConfig { retention, ..LedgerConfig::new(&place.path) };
    let (ledger, mut outboxes) = Ledger::start(&config, 1).expect("a ledger");
    let mut outbox = outboxes.remove(0);
    let worker = outbox.names().worker("a.0");
    let mut pushed = 0;
    while ledger.health().status().shares_pruned < 100_000 {
        outbox.push(accepted(worker, PoolKey::NONE));
        pushed += 1;
        wait_for("durable", || ledger.health().status().rows_written == pushed);
    }
    assert!(pushed > 1, "rows came in between");
    assert_eq!(ledger.health().status().maintenance_error, None);
    Place::stop(ledger, outbox);
}

#[test]
fn a_ledger_in_use_is_not_pruned_by_another() {
    let place = Place::new();
    let (ledger, outbox) = place.start();
    let refused = prune(&place.path, Retention::default(), |_| {});
    assert!(matches!(refused, Err(PruneError::Open(OpenError::InUse { .. }))), "{refused:?}");
    drop(outbox);
    assert!(ledger.stop(PATIENCE).is_clean());
}
