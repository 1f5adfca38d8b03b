//! The outbox never loses count: rows + gaps = pushes, whatever the order of pushing, taking and giving back.

use std::sync::Arc;

use adit_protocol::event::{Outcome, ReasonKey as ShardReason};
use adit_protocol::verdict::RejectClass;
use adit_store::names::Names;
use adit_store::outbox::{Gap, Inbox, Outbox, OutboxLimits, outbox};
use adit_store::record::{Note, OutcomeCounts, PoolKey, ReasonKey, SessionKey, ShareRow, WorkerKey};
use adit_store::tally::{MINUTE_US, Tally};
use proptest::collection::vec;
use proptest::prelude::*;

const START_US: u64 = 1_700_000_000_000_000;

fn small(rows_max: usize, notes_max: usize, tallies_max: usize) -> (Outbox, Inbox) {
    outbox(Arc::new(Names::default()), OutboxLimits { rows_max, notes_max, tallies_max })
}

/// The n-th row of a test: outcomes, workers, pools and minutes vary with n.
fn row(n: u64) -> ShareRow {
    let outcome = match n % 7 {
        0 => Outcome::Rejected,
        1 => Outcome::Unanswered,
        2 => Outcome::RefusedHere,
        _ => Outcome::Accepted,
    };
    ShareRow {
        verdict_us: START_US + n * MINUTE_US / 50,
        session: SessionKey(n % 5),
        difficulty: 2.0,
        share_difficulty: f64::NAN,
        latency_us: 1_000 + n as u32,
        worker: WorkerKey(n as u32 % 11),
        job: n as u32,
        pool: PoolKey(n as u16 % 3),
        reason: ReasonKey::NONE,
        code: 0,
        outcome,
        class: (outcome == Outcome::Rejected).then_some(RejectClass::Stale),
        block_candidate: n.is_multiple_of(13),
    }
}

fn note() -> Note {
    Note::Event {
        at_us: START_US,
        kind: "test".into(),
        actor: "test".into(),
        subject: "".into(),
        detail: "".into(),
    }
}

/// What came out so far, rows and gaps alike.
#[derive(Default)]
struct Out {
    rows: Vec<ShareRow>,
    shares: OutcomeCounts,
    total: Tally,
    notes: u64,
    notes_lost: u64,
    block_candidates: u64,
}

impl Out {
    fn row(&mut self, row: ShareRow) {
        self.rows.push(row);
        self.shares.add(row.outcome);
        self.total.add(&row);
        self.block_candidates += u64::from(row.block_candidate);
    }

    fn gap(&mut self, gap: &Gap) {
        let mut inside = Tally::default();
        for (_, tally) in gap.tallies.entries().iter().chain(&gap.unattributed) {
            inside.merge(tally);
        }
        assert_eq!(inside.outcomes(), gap.shares, "a gap's tallies add up to its counts");
        assert_eq!(inside.gapped, gap.shares.total());
        self.total.merge(&inside);
        self.shares.accepted += gap.shares.accepted;
        self.shares.rejected += gap.shares.rejected;
        self.shares.refused_here += gap.shares.refused_here;
        self.shares.unanswered += gap.shares.unanswered;
        self.notes_lost += gap.notes_lost;
        self.block_candidates += gap.block_candidates;
    }

    fn take_all(&mut self, inbox: &Inbox) {
        inbox.take_rows(usize::MAX, |row| self.row(row));
        while inbox.take_note().is_some() {
            self.notes += 1;
        }
        while let Some(gap) = inbox.take_gap() {
            self.gap(&gap);
            inbox.give_back(gap);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Note(u8),
    Take(u8),
    TakeNotes(u8),
    TakeGap,
    GiveBack,
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..60_u8).prop_map(Step::Push),
        1 => (1..9_u8).prop_map(Step::Note),
        2 => (1..60_u8).prop_map(Step::Take),
        1 => (1..9_u8).prop_map(Step::TakeNotes),
        1 => Just(Step::TakeGap),
        1 => Just(Step::GiveBack),
        1 => Just(Step::Tick),
    ]
}

proptest! {
    #[test]
    fn rows_and_gaps_equal_pushes(steps in vec(step(), 1..200), rows_max in 1..40_usize, tallies_max in 1..20_usize) {
        let (mut outbox, inbox) = small(rows_max, 4, tallies_max);
        let (mut pushed, mut notes) = (Out::default(), 0);
        let (mut out, mut held) = (Out::default(), Vec::new());
        for step in steps {
            match step {
                Step::Push(count) => for _ in 0..count {
                    let row = row(pushed.rows.len() as u64);
                    pushed.row(row);
                    outbox.push(row);
                },
                Step::Note(count) => for _ in 0..count {
                    notes += 1;
                    outbox.note(note());
                },
                Step::Take(count) => { inbox.take_rows(count.into(), |row| out.row(row)); }
                Step::TakeNotes(count) => for _ in 0..count {
                    out.notes += u64::from(inbox.take_note().is_some());
                },
                Step::TakeGap => held.extend(inbox.take_gap()),
                Step::GiveBack => if let Some(gap) = held.pop() {
                    out.gap(&gap);
                    inbox.give_back(gap);
                },
                Step::Tick => outbox.tick(),
            }
        }
        for gap in held.drain(..) {
            out.gap(&gap);
            inbox.give_back(gap);
        }
        drop(outbox);
        prop_assert!(inbox.is_closed());
        out.take_all(&inbox);
        prop_assert_eq!(out.shares, pushed.shares);
        prop_assert_eq!(out.total.outcomes(), pushed.total.outcomes());
        prop_assert_eq!(out.total.latency, pushed.total.latency);
        prop_assert!((out.total.difficulty_accepted - pushed.total.difficulty_accepted).abs() < 1e-6);
        prop_assert_eq!(out.block_candidates, pushed.block_candidates);
        prop_assert_eq!(out.notes + out.notes_lost, notes);
        prop_assert!(out.rows.windows(2).all(|pair| pair[0].verdict_us < pair[1].verdict_us), "order is kept");
    }
}

#[test]
fn a_gap_is_exact_and_handed_over_once_there_is_room() {
    let (mut outbox, inbox) = small(8, 4, 1_000);
    (0..100).for_each(|n| outbox.push(row(n)));
    outbox.tick();
    assert!(inbox.take_gap().is_none(), "no room yet");
    assert_eq!(inbox.take_rows(100, |_| {}), 8);
    // The shard looks at the queue for some rows only.
    let mut last = 99;
    let gap = loop {
        last += 1;
        outbox.push(row(last));
        if let Some(gap) = inbox.take_gap() {
            break gap;
        }
        assert!(last < 200, "room again");
    };
    assert_eq!(gap.shares.total(), last - 8);
    assert_eq!(gap.span_us, (row(8).verdict_us, row(last - 1).verdict_us));
    assert_eq!(gap.unattributed, None);
    assert_eq!(inbox.take_rows(100, |row| assert_eq!(u64::from(row.job), last)), 1, "rows flow again");
}

#[test]
fn a_quiet_shard_hands_its_gap_over_by_the_tick() {
    let (mut outbox, inbox) = small(2, 4, 10);
    (0..5).for_each(|n| outbox.push(row(n)));
    inbox.take_rows(2, |_| {});
    outbox.tick();
    assert_eq!(inbox.take_gap().expect("handed over").shares.total(), 3);
}

#[test]
fn shares_beyond_the_tallies_are_counted_without_a_name() {
    let (mut outbox, inbox) = small(1, 4, 3);
    (0..50).for_each(|n| outbox.push(row(n)));
    drop(outbox);
    let gap = inbox.take_gap().expect("dropping hands it over");
    assert_eq!(gap.tallies.entries().len(), 3);
    let (key, tally) = gap.unattributed.expect("more than three tallies");
    assert_eq!((key.worker, key.pool), (WorkerKey::UNKNOWN.0, u32::from(PoolKey::NONE.0)));
    let named: u64 = gap.tallies.entries().iter().map(|(_, tally)| tally.outcomes().total()).sum();
    assert_eq!(named + tally.outcomes().total(), 49);
}

#[test]
fn notes_beyond_the_bound_are_counted_as_lost() {
    let (mut outbox, inbox) = small(8, 4, 10);
    let kept = (0..10).filter(|_| outbox.note(note())).count();
    assert_eq!(kept, 4);
    let mut out = Out::default();
    out.take_all(&inbox);
    outbox.tick();
    out.take_all(&inbox);
    assert_eq!((out.notes, out.notes_lost), (4, 6));
}

#[test]
fn the_outbox_of_a_stalled_ledger_takes_bounded_memory_and_loses_no_count() {
    let (mut outbox, inbox) = outbox(Arc::new(Names::default()), OutboxLimits::default());
    let mut pushed = Out::default();
    for n in 0..200_000 {
        outbox.push(row(n));
        pushed.shares.add(row(n).outcome);
    }
    let mut out = Out::default();
    out.take_all(&inbox);
    outbox.tick();
    out.take_all(&inbox);
    assert_eq!(out.shares, pushed.shares);
    assert_eq!(out.rows.len(), OutboxLimits::default().rows_max);
}

#[test]
fn two_shards_get_one_key_for_one_reason() {
    let names = Arc::new(Names::default());
    let (mut one, _inbox) = outbox(Arc::clone(&names), OutboxLimits::default());
    let (mut other, _inbox) = outbox(Arc::clone(&names), OutboxLimits::default());
    let stale = one.reason(ShardReason(4), "stale");
    assert_eq!(other.reason(ShardReason(9), "stale"), stale);
    assert_eq!(one.reason(ShardReason(4), "not looked at again"), stale);
    assert_eq!(one.reason(ShardReason(0), ""), ReasonKey::NONE);
    assert_eq!(names.reason_text(stale).as_deref(), Some("stale"));
}
