//! A ledger from start to stop: what is pushed is in the tables, soon, and once.

mod common;

use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use adit_protocol::event::Outcome;
use adit_protocol::verdict::RejectClass;
use adit_store::clock::now_us;
use adit_store::ledger::Ledger;
use adit_store::limits::{BATCH_ROWS_MAX, DURABLE_MS_MAX, SESSIONS_RESERVED, TEXTS_COUNT_MAX};
use adit_store::outbox::OutboxLimits;
use adit_store::record::{
    Note, OutcomeCounts, PoolKey, SessionClosed, SessionKey, SessionOpened, ShareRow, WorkerKey,
};
use adit_store::tally::MINUTE_US;
use common::{PATIENCE, Place, accepted, rejected, wait_for};

const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

#[test]
fn a_clean_stop_loses_nothing() {
    let place = Place::new();
    let (ledger, outboxes) = Ledger::start(&place.config(), 3).expect("a ledger");
    let rows_per_shard = 20_000;
    let shards: Vec<_> = outboxes
        .into_iter()
        .map(|mut outbox| {
            std::thread::spawn(move || {
                let worker = outbox.names().worker("account.rig");
                let pool = outbox.names().pool("main");
                for _ in 0..rows_per_shard {
                    outbox.push(accepted(worker, pool));
                }
            })
        })
        .collect();
    for shard in shards {
        shard.join().expect("no panic");
    }
    let stopped = ledger.stop(PATIENCE);
    assert!(stopped.is_clean(), "{stopped:?}");
    let all = 3 * rows_per_shard;
    assert_eq!(place.number("SELECT count(*) FROM shares"), all);
    assert_eq!(place.number("SELECT sum(accepted) FROM worker_minutes"), all);
    assert_eq!(place.number("SELECT sum(submitted) FROM pool_minutes"), all);
    assert_eq!(place.number("SELECT shares_written FROM meta"), all);
    assert_eq!(place.number("SELECT count(*) FROM workers WHERE name = 'account.rig'"), 1, "one worker");
    assert_eq!(place.number("SELECT count(*) FROM gaps"), 0);
    assert!(!place.directory.path().join("ledger.db-wal").exists(), "nothing is left to recover");
}

#[test]
fn a_row_says_everything_about_its_share() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let row = ShareRow {
        verdict_us: 1_700_000_000_000_123,
        session: SessionKey(4),
        difficulty: 0.125,
        share_difficulty: 123_456.789,
        latency_us: 1_234_567,
        worker: outbox.names().worker("a.b"),
        job: u32::MAX,
        pool: outbox.names().pool("main"),
        reason: outbox.names().reason("Stale share"),
        code: -3,
        outcome: Outcome::Rejected,
        class: Some(RejectClass::Duplicate),
        block_candidate: true,
    };
    outbox.push(row);
    outbox.push(ShareRow { share_difficulty: 999.25, difficulty: f64::NAN, ..row });
    Place::stop(ledger, outbox);
    let db = place.db();
    let read = |sql: &str| -> String { db.query_row(sql, [], |row| row.get(0)).expect(sql) };
    assert_eq!(
        read(
            "SELECT concat_ws('|', shares.id, workers.name, pools.name, session, job, difficulty, share_difficulty,
                latency_us, outcome, class, code, text, block_candidate) FROM shares
             JOIN workers ON worker = workers.id JOIN pools ON pool = pools.id JOIN texts ON reason = texts.id LIMIT 1"
        ),
        "1700000000000123|a.b|main|4|4294967295|0.125|123457|1234567|1|2|-3|Stale share|1"
    );
    assert_eq!(
        read("SELECT concat_ws('|', id, difficulty, share_difficulty) FROM shares ORDER BY id DESC LIMIT 1"),
        "1700000000000124|0|999.25",
        "the same time gets the next key"
    );
    assert_eq!(
        read("SELECT concat_ws('|', time, worker, outcome, reason) FROM shares_readable LIMIT 1"),
        "2023-11-14T22:13:20.000123Z|a.b|rejected|Stale share"
    );
}

#[test]
fn rollups_count_every_outcome_and_class() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let (worker, pool) = (outbox.names().worker("a.b"), outbox.names().pool("main"));
    let minute = 28_000_000;
    let at = |n: u64, row: ShareRow| ShareRow { verdict_us: minute * MINUTE_US + n, difficulty: 2.0, ..row };
    let classes = [
        RejectClass::Stale,
        RejectClass::Duplicate,
        RejectClass::LowDifficulty,
        RejectClass::Unauthorized,
        RejectClass::NotSubscribed,
        RejectClass::Time,
        RejectClass::Version,
        RejectClass::Other,
    ];
    let stale = outbox.names().reason("stale");
    for (n, class) in (0..).zip(classes) {
        for _ in 0..=n {
            outbox.push(at(n, ShareRow { class: Some(class), ..rejected(worker, pool, stale) }));
        }
    }
    outbox.push(at(100, accepted(worker, pool)));
    outbox.push(at(101, ShareRow { outcome: Outcome::RefusedHere, ..rejected(worker, pool, stale) }));
    outbox.push(at(102, ShareRow { outcome: Outcome::Unanswered, ..accepted(worker, pool) }));
    // The next minute is another row.
    outbox.push(at(MINUTE_US, accepted(worker, pool)));
    Place::stop(ledger, outbox);
    for table in ["worker_minutes", "pool_minutes"] {
        let found: String = place
            .db()
            .query_row(
                &format!(
                    "SELECT concat_ws(' ', minute, accepted, stale, duplicate, low_difficulty, unauthorized,
                        not_subscribed, bad_time, bad_version, other, refused_here, unanswered, gapped, rejected,
                        submitted, difficulty_accepted, difficulty_rejected, difficulty_unanswered) FROM {table}"
                ),
                [],
                |row| row.get(0),
            )
            .expect(table);
        assert_eq!(found, "28000000 1 1 2 3 4 5 6 7 8 1 1 0 36 39 2 74 2", "{table}");
        assert_eq!(place.number(&format!("SELECT count(*) FROM {table}")), 2);
    }
}

#[test]
fn totals_of_a_minute_go_on_after_a_restart() {
    let place = Place::new();
    let verdict_us = 28_000_000 * MINUTE_US;
    for round in 1..=3 {
        let (ledger, mut outbox) = place.start();
        let (worker, pool) = (outbox.names().worker("a.b"), outbox.names().pool("main"));
        for _ in 0..10 {
            outbox.push(ShareRow { verdict_us, ..accepted(worker, pool) });
        }
        Place::stop(ledger, outbox);
        assert_eq!(place.number("SELECT accepted FROM worker_minutes"), round * 10);
        assert_eq!(place.number("SELECT accepted FROM pool_minutes"), round * 10);
        assert_eq!(place.number("SELECT max(id) FROM shares"), verdict_us as i64 + round * 10 - 1);
    }
}

#[test]
fn a_row_is_durable_within_the_promise() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let (worker, pool) = (outbox.names().worker("a.b"), outbox.names().pool("main"));
    let mut pushed = 0;
    // The machine of a test may do other things for a while; the promise is about the ledger. So the middle one of a round
    // counts, and there are more rounds where the machine was busy for longer.
    let in_time = (0..10).any(|_| {
        let mut delays_ms: Vec<_> = (0..15)
            .map(|_| {
                let started = std::time::Instant::now();
                outbox.push(accepted(worker, pool));
                pushed += 1;
                wait_for("durable", || ledger.health().status().rows_written == pushed);
                assert!(ledger.health().is_ok());
                started.elapsed().as_millis() as u64
            })
            .collect();
        delays_ms.sort_unstable();
        println!("durable after {delays_ms:?} ms");
        delays_ms[delays_ms.len() / 2] <= DURABLE_MS_MAX
    });
    assert!(in_time, "in no round were most rows durable after {DURABLE_MS_MAX} ms");
    let status = ledger.health().status();
    wait_for("a later statement", || ledger.health().status().durable_up_to_us > status.durable_up_to_us);
    Place::stop(ledger, outbox);
}

#[test]
fn rows_that_fit_in_no_outbox_are_exact_in_gaps_and_rollups() {
    let place = Place::new();
    let mut config = place.config();
    config.outbox = OutboxLimits { rows_max: 64, notes_max: 2, tallies_max: 100 };
    let (ledger, mut outboxes) = Ledger::start(&config, 1).expect("a ledger");
    let mut outbox = outboxes.remove(0);
    let (worker, pool) = (outbox.names().worker("a.b"), outbox.names().pool("main"));
    let stale = outbox.names().reason("stale");
    let pushed = 30_000;
    for n in 0..pushed {
        outbox.push(if n % 10 == 0 { rejected(worker, pool, stale) } else { accepted(worker, pool) });
    }
    Place::stop(ledger, outbox);
    let in_gaps = place.number("SELECT sum(accepted + rejected + refused_here + unanswered) FROM gaps");
    assert!(in_gaps > 0);
    assert_eq!(place.number("SELECT count(*) FROM shares") + in_gaps, pushed);
    for table in ["worker_minutes", "pool_minutes"] {
        assert_eq!(place.number(&format!("SELECT sum(submitted) FROM {table}")), pushed);
        assert_eq!(place.number(&format!("SELECT sum(stale) FROM {table}")), pushed / 10);
        assert_eq!(place.number(&format!("SELECT sum(gapped) FROM {table}")), in_gaps);
    }
}

#[test]
fn a_batch_larger_than_one_transaction_takes_several() {
    let place = Place::new();
    let mut config = place.config();
    config.outbox.rows_max = 3 * BATCH_ROWS_MAX;
    let (ledger, mut outboxes) = Ledger::start(&config, 1).expect("a ledger");
    let mut outbox = outboxes.remove(0);
    let (worker, pool) = (outbox.names().worker("a.b"), outbox.names().pool("main"));
    for _ in 0..3 * BATCH_ROWS_MAX {
        outbox.push(accepted(worker, pool));
    }
    let health = std::sync::Arc::clone(ledger.health());
    Place::stop(ledger, outbox);
    assert!(health.status().batches_written >= 3);
    assert_eq!(place.number("SELECT count(*) FROM shares"), 3 * BATCH_ROWS_MAX as i64);
}

fn opened(session: SessionKey, pool: PoolKey) -> SessionOpened {
    SessionOpened { session, opened_us: now_us(), address: ADDRESS, pool, shard: 1 }
}

fn closed(opened: SessionOpened, worker: WorkerKey) -> Note {
    Note::SessionClosed(Box::new(SessionClosed {
        opened,
        closed_us: opened.opened_us + 5_000_000,
        worker,
        user_agent: "cgminer/4.12".into(),
        reason: "miner_closed",
        miner_bytes: [100, 200],
        pool_bytes: [300, 400],
        shares: OutcomeCounts { accepted: 5, rejected: 1, refused_here: 0, unanswered: 2 },
    }))
}

#[test]
fn notes_become_inventory_sessions_and_events() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let names = std::sync::Arc::clone(outbox.names());
    let (worker, pool) = (names.worker("a.b"), names.pool("main"));
    let seen = |address: &str, agent: &str, at_us| Note::WorkerSeen {
        worker,
        at_us,
        address: address.parse().expect("an address"),
        user_agent: agent.into(),
    };
    assert!(outbox.note(Note::PoolSeen { pool, at_us: 5, url: "stratum+tcp://pool.example:3333".into() }));
    assert!(outbox.note(seen("192.0.2.1", "old", 10)));
    assert!(outbox.note(seen("2001:db8::1", "bitaxe/1", 20)));
    let (whole, abandoned) = (opened(names.next_session(), pool), opened(names.next_session(), pool));
    assert!(outbox.note(Note::SessionOpened(whole)));
    assert!(outbox.note(closed(whole, worker)));
    assert!(outbox.note(Note::SessionOpened(abandoned)));
    for detail in ["first", "second"] {
        let (kind, actor, subject) = ("pool_down".into(), "adit".into(), "main".into());
        assert!(outbox.note(Note::Event { at_us: 77, kind, actor, subject, detail: detail.into() }));
    }
    Place::stop(ledger, outbox);
    let text = |sql: &str| -> String { place.db().query_row(sql, [], |row| row.get(0)).expect(sql) };
    assert_eq!(text("SELECT url FROM pools WHERE name = 'main'"), "stratum+tcp://pool.example:3333");
    assert_eq!(
        text(
            "SELECT concat_ws(' ', first_seen_us, address, text) FROM workers JOIN texts ON user_agent = texts.id WHERE name = 'a.b'"
        ),
        "10 2001:db8::1 bitaxe/1"
    );
    assert_eq!(
        text("SELECT concat_ws(' ', closed_us - opened_us, text, from_miner, to_miner, from_pool, to_pool, accepted, rejected, refused_here, unanswered)
              FROM sessions JOIN texts ON close_reason = texts.id"),
        "5000000 miner_closed 100 200 300 400 5 1 0 2"
    );
    assert_eq!(place.number("SELECT count(*) FROM sessions WHERE closed_us IS NULL"), 1);
    assert_eq!(text("SELECT group_concat(id || detail) FROM events"), "77first,78second");

    // The next run ends what nobody ended, and its sessions get numbers of their own.
    let (ledger, mut outbox) = place.start();
    let next = opened(outbox.names().next_session(), PoolKey::NONE);
    assert!(outbox.note(Note::SessionOpened(next)));
    Place::stop(ledger, outbox);
    assert_eq!(place.number("SELECT count(*) FROM sessions"), 3);
    assert_eq!(
        text("SELECT text FROM sessions JOIN texts ON close_reason = texts.id WHERE sessions.id = 2"),
        "process_ended"
    );
}

#[test]
fn sessions_of_two_runs_never_share_a_number() {
    let place = Place::new();
    for run in 1..=2 {
        let (ledger, mut outbox) = place.start();
        // More than are reserved at a time, and without a note of any of them.
        for _ in 0..2 * SESSIONS_RESERVED {
            let session = outbox.names().next_session();
            outbox.push(ShareRow { session, ..accepted(WorkerKey::UNKNOWN, PoolKey::NONE) });
        }
        Place::stop(ledger, outbox);
        let all = run * 2 * SESSIONS_RESERVED as i64;
        assert_eq!(place.number("SELECT count(DISTINCT session) FROM shares"), all);
    }
}

#[test]
fn the_write_ahead_log_stays_bounded_under_load() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let worker = outbox.names().worker("a.b");
    let mut log_bytes = 0;
    for turn in 1..=24 {
        for _ in 0..BATCH_ROWS_MAX {
            outbox.push(accepted(worker, PoolKey::NONE));
        }
        wait_for("written", || ledger.health().status().rows_written == turn * BATCH_ROWS_MAX as u64);
        log_bytes = fs::metadata(place.directory.path().join("ledger.db-wal")).expect("a log").len();
    }
    Place::stop(ledger, outbox);
    let all_bytes = fs::metadata(&place.path).expect("a file").len();
    assert!(log_bytes < all_bytes * 3 / 4, "{log_bytes} of {all_bytes}: no checkpoint was made");
}

#[test]
fn texts_beyond_the_bound_are_other() {
    let place = Place::new();
    let (ledger, outbox) = place.start();
    Place::stop(ledger, outbox);
    place
        .db()
        .execute("INSERT INTO texts (id, text) VALUES (?1, 'known')", [TEXTS_COUNT_MAX])
        .expect("the last text");
    let (ledger, mut outbox) = place.start();
    for (name, user_agent) in [("a.known", "known"), ("a.late", "one too many")] {
        let worker = outbox.names().worker(name);
        let user_agent = user_agent.into();
        assert!(outbox.note(Note::WorkerSeen { worker, at_us: 1, address: ADDRESS, user_agent }));
    }
    Place::stop(ledger, outbox);
    let agents =
        "SELECT group_concat(text) FROM (SELECT text FROM workers JOIN texts ON user_agent = texts.id
                  WHERE workers.id > 0 ORDER BY name)";
    let found: String = place.db().query_row(agents, [], |row| row.get(0)).expect("agents");
    assert_eq!(found, "known,(other)");
}

#[test]
fn a_close_stands_without_its_opening() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let session = opened(outbox.names().next_session(), PoolKey::NONE);
    assert!(outbox.note(closed(session, WorkerKey::UNKNOWN)));
    assert!(outbox.note(Note::SessionOpened(session)));
    Place::stop(ledger, outbox);
    assert_eq!(place.number("SELECT count(*) FROM sessions WHERE closed_us IS NOT NULL"), 1);
}

#[test]
fn workers_of_shares_are_seen_to_the_minute() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    let worker = outbox.names().worker("a.b");
    for minute in [100, 250, 200] {
        outbox.push(ShareRow { verdict_us: minute * MINUTE_US + 30, ..accepted(worker, PoolKey::NONE) });
    }
    Place::stop(ledger, outbox);
    assert_eq!(
        place.number("SELECT first_seen_us FROM workers WHERE name = 'a.b'"),
        100 * MINUTE_US as i64 + 30
    );
    assert_eq!(place.number("SELECT last_seen_us FROM workers WHERE name = 'a.b'"), 250 * MINUTE_US as i64);
    assert_eq!(place.number("SELECT last_seen_us FROM workers WHERE id = 0"), 0);
}

#[test]
fn keys_that_nobody_gave_out_are_filed_under_the_unknown() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    outbox.push(accepted(WorkerKey(12_345), PoolKey(99)));
    Place::stop(ledger, outbox);
    assert_eq!(place.number("SELECT worker + pool FROM shares"), 0);
}

#[test]
fn a_stop_with_an_open_outbox_says_so_and_still_writes_what_was_pushed() {
    let place = Place::new();
    let (ledger, mut outbox) = place.start();
    outbox.push(accepted(WorkerKey::UNKNOWN, PoolKey::NONE));
    let stopped = ledger.stop(Duration::from_millis(300));
    assert_eq!((stopped.outboxes_open, stopped.shares_unwritten), (1, 0));
    assert_eq!(place.number("SELECT count(*) FROM shares"), 1);
}
