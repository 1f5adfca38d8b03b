//! Rollups are written when their minute is over, and are exact up to their marker at every moment, whatever happens.

mod common;

use adit_store::clock::now_us;
use adit_store::info::Info;
use adit_store::ledger::{Ledger, LedgerConfig};
use adit_store::limits::ROLLUP_TALLIES_MAX;
use adit_store::outbox::{Outbox, OutboxLimits};
use adit_store::reader::Reader;
use adit_store::record::{PoolKey, ShareRow};
use adit_store::retention::Retention;
use adit_store::tally::MINUTE_US;
use common::{Place, accepted, wait_for};

const MINUTE: u64 = 28_000_000;

/// Pushes a share of each of these workers at this time, one µs after the other, and waits for their rows.
fn push(ledger: &Ledger, outbox: &mut Outbox, workers: std::ops::Range<u32>, at_us: u64) {
    let rows = ledger.health().status().rows_written + workers.len() as u64;
    for n in workers {
        let worker = outbox.names().worker(&format!("a.{n}"));
        let verdict_us = at_us + u64::from(n);
        outbox.push(ShareRow { verdict_us, ..accepted(worker, PoolKey::NONE) });
    }
    wait_for("rows", || ledger.health().status().rows_written == rows);
}

fn info(place: &Place) -> Info {
    Reader::open(&place.path).and_then(|reader| reader.info()).expect("info")
}

#[track_caller]
fn assert_sound(place: &Place) {
    let verified = Reader::open(&place.path).and_then(|reader| reader.verify(|_| {})).expect("verified");
    assert!(verified.is_sound(), "{verified:?}");
}

/// Copies what a killed process would leave behind: the file and its log.
fn killed(place: &Place) -> Place {
    let copy = Place::new();
    for suffix in ["", "-wal"] {
        let name = format!("ledger.db{suffix}");
        std::fs::copy(place.directory.path().join(&name), copy.directory.path().join(&name)).expect("a copy");
    }
    copy
}

#[test]
fn a_minute_is_written_once_it_is_over_and_the_running_one_is_made_again_after_a_kill() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    push(&ledger, &mut outbox, 0..10, MINUTE * MINUTE_US);
    push(&ledger, &mut outbox, 0..10, MINUTE * MINUTE_US + 30_000_000);
    assert_eq!(place.number("SELECT count(*) FROM worker_minutes"), 0, "the minute is not over");
    assert_sound(&place);
    push(&ledger, &mut outbox, 0..3, (MINUTE + 1) * MINUTE_US);
    wait_for("rollups", || info(&place).rollups_through_us > 0);
    let first = format!("FROM worker_minutes WHERE minute = {MINUTE}");
    assert_eq!(place.number(&format!("SELECT count(*) {first} AND accepted = 2")), 10);
    push(&ledger, &mut outbox, 0..10, (MINUTE + 1) * MINUTE_US + 1_000_000);
    let through_us = info(&place).rollups_through_us;
    let behind = place.number(&format!("SELECT count(*) FROM shares WHERE id > {through_us}"));
    assert!(behind >= 10, "{behind}");
    assert_sound(&place);

    let killed = killed(&place);
    assert_eq!(killed.number("SELECT sum(accepted) FROM worker_minutes"), 33 - behind);
    assert_sound(&killed);
    let (second, outbox_of_second) = killed.start();
    assert_eq!(killed.number("SELECT sum(accepted) FROM worker_minutes"), 33, "before anything else");
    assert_eq!(killed.number("SELECT sum(accepted) FROM pool_minutes"), 33);
    assert_sound(&killed);
    Place::stop(second, outbox_of_second);

    Place::stop(ledger, outbox);
    for table in ["worker_minutes", "pool_minutes"] {
        assert_eq!(place.number(&format!("SELECT sum(accepted) FROM {table}")), 33, "{table}");
    }
    assert_sound(&place);
}

#[test]
fn more_workers_in_a_minute_than_fit_in_memory_stay_exact() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let workers = ROLLUP_TALLIES_MAX as u32 + 5_000;
    for (round, at) in [(1, 0), (2, 10_000_000)] {
        for first in (0..workers).step_by(10_000) {
            let at_us = MINUTE * MINUTE_US + at;
            push(&ledger, &mut outbox, first..workers.min(first + 10_000), at_us);
        }
        assert!(place.number("SELECT count(*) FROM worker_minutes") >= ROLLUP_TALLIES_MAX as i64, "{round}");
        assert_sound(&place);
    }
    Place::stop(ledger, outbox);
    assert_eq!(place.number("SELECT sum(accepted) FROM worker_minutes"), i64::from(2 * workers));
    assert_eq!(place.number("SELECT count(*) FROM worker_minutes WHERE accepted = 2"), i64::from(workers));
    assert_eq!(place.number("SELECT accepted FROM pool_minutes"), i64::from(2 * workers));
    assert_sound(&place);
}

/// A gap is in the tables with its own transaction, its minute's rows come later.
#[test]
fn a_gap_and_the_rows_of_its_minute_add_up() {
    let place = Place::new();
    let config = LedgerConfig {
        outbox: OutboxLimits { rows_max: 50, notes_max: 2, tallies_max: 2 },
        ..place.config()
    };
    let (ledger, mut outboxes) = Ledger::start(&config, 1).expect("a ledger");
    let mut outbox = outboxes.remove(0);
    let workers: Vec<_> = (0..3).map(|n| outbox.names().worker(&format!("a.{n}"))).collect();
    let mut pushed = 0;
    for round in 0..5 {
        for n in 0..200 {
            let verdict_us = MINUTE * MINUTE_US + round * 1_000_000 + n;
            outbox.push(ShareRow { verdict_us, ..accepted(workers[n as usize % 3], PoolKey::NONE) });
            pushed += 1;
        }
        wait_for("room", || ledger.health().status().rows_written > round * 50);
        outbox.tick();
        wait_for("the gap", || ledger.health().status().gaps_written > round);
    }
    let in_gaps = ledger.health().status().shares_in_gaps as i64;
    assert!(in_gaps > 0);
    assert_eq!(place.number("SELECT sum(accepted) FROM worker_minutes"), in_gaps, "rows come later");
    assert_sound(&place);
    Place::stop(ledger, outbox);
    assert_eq!(place.number("SELECT sum(accepted) FROM worker_minutes"), pushed);
    assert_eq!(place.number("SELECT accepted FROM pool_minutes"), pushed);
    assert_sound(&place);
}

/// Else the rollups of shares that were pruned first would lack them for ever.
#[test]
fn no_share_is_pruned_before_the_rollups_have_it() {
    let place = Place::new();
    let retention = Retention { shares_days: 1, rollups_days: 0, bytes_max: 1 };
    let (ledger, mut outboxes) =
        Ledger::start(&LedgerConfig { retention, ..place.config() }, 1).expect("a ledger");
    let mut outbox = outboxes.remove(0);
    let now_us = now_us() / MINUTE_US * MINUTE_US;
    push(&ledger, &mut outbox, 0..100, now_us);
    push(&ledger, &mut outbox, 0..100, now_us + MINUTE_US);
    wait_for("the first minute is pruned", || ledger.health().status().shares_pruned >= 100);
    let batches = ledger.health().status().durable_up_to_us;
    wait_for("more looks", || ledger.health().status().durable_up_to_us > batches + 500_000);
    let through_us = info(&place).rollups_through_us as i64;
    let behind = place.number(&format!("SELECT count(*) FROM shares WHERE id > {through_us}"));
    assert_eq!(place.number("SELECT rollups_through >= pruned_through FROM meta"), 1);
    assert_eq!(place.number("SELECT sum(accepted) FROM worker_minutes") + behind, 200);
    drop((ledger, outbox));
    assert_eq!(place.number("SELECT sum(accepted) FROM worker_minutes"), 200);
}
