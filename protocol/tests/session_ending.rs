//! How a session ends, and what its peers are told before it does.

mod rig;

use adit_protocol::event::{CloseReason, Event, Gone, Outcome, Side, Wire};
use adit_protocol::limits::{HELD_BYTES_MAX, MINER_LINE_BYTES_MAX, POOL_LINE_BYTES_MAX};
use adit_protocol::moment::Moment;
use adit_protocol::session::{Session, SessionSettings};
use rig::{POOL, Rig, shared_with};

const SUBMIT: &str = "{\"id\":4,\"method\":\"mining.submit\",\"params\":[\"a.b\",\"j1\",\"00000001\",\"66252f80\",\"00534aa3\"]}\n";
const JOB: &str = "{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"j1\",\"ab\",\"01\",\"02\",[],\"20000000\",\"1d00ffff\",\"66252f80\",true]}\n";

fn submit(id: &str, name: &str) -> String {
    format!(
        "{{\"id\":{id},\"method\":\"mining.submit\",\"params\":[\"{name}\",\"j1\",\"00000001\",\"66252f80\",\"00534aa3\"]}}\n"
    )
}

#[test]
fn other_protocols_end_at_once() {
    for (bytes, reason, answered) in [
        (&b"\x16\x03\x01\x02\x00\x01"[..], CloseReason::TlsOnPlainPort, false),
        (b"GET / HTTP/1.1\r\n", CloseReason::HttpOnPlainPort, true),
        (b"\x00\x9d\xff", CloseReason::NotStratum, false),
        (b"[[[[", CloseReason::NotStratum, true),
        (b"HELLO\n", CloseReason::NotStratum, true),
        (b"hello\n", CloseReason::NotStratum, true),
        (b"{\"id\":1,\"id\":2,\"method\":\"x\"}\n", CloseReason::MinerBadLine, true),
        (b"{\"id\":1,\n", CloseReason::MinerBadLine, true),
        (b"{\"id\":1,\"method\":\"eth_submitLogin\",\"params\":[]}\n", CloseReason::ForeignCoin, true),
        (
            b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"m\",\"EthereumStratum/1.0.0\"]}\n",
            CloseReason::ForeignCoin,
            true,
        ),
    ] {
        let mut rig = Rig::default();
        for byte in bytes {
            rig.bytes(Side::Miner, &[*byte]);
        }
        assert_eq!(rig.finished(), Some(reason), "{:?}", String::from_utf8_lossy(bytes));
        assert_eq!(!rig.take_miner().is_empty(), answered);
        assert!(!rig.events.iter().any(|event| matches!(event, Event::Dial { .. })), "scanners cost nothing");
    }
}

#[test]
fn lines_up_to_the_limit_pass_and_one_byte_more_ends_the_session() {
    let line = |bytes: usize| {
        let head = "{\"id\":1,\"method\":\"x\",\"params\":[\"";
        format!("{head}{}\"]}}\n", "y".repeat(bytes - head.len() - 3))
    };
    let mut rig = Rig::mining("a.b");
    rig.miner(&line(MINER_LINE_BYTES_MAX));
    assert_eq!(rig.take_pool().len(), MINER_LINE_BYTES_MAX + 4);
    rig.miner(&line(MINER_LINE_BYTES_MAX + 1));
    assert_eq!(rig.finished(), Some(CloseReason::MinerLineTooLong));
    let mut rig = Rig::mining("a.b");
    rig.pool(&line(POOL_LINE_BYTES_MAX));
    assert_eq!(rig.take_miner().len(), POOL_LINE_BYTES_MAX + 1);
    rig.pool(&line(POOL_LINE_BYTES_MAX + 1));
    assert_eq!(rig.finished(), Some(CloseReason::PoolLineTooLong));
}

#[test]
fn a_lost_pool_leaves_no_request_open() {
    for why in [Gone::Closed, Gone::Broken, Gone::DialFailed, Gone::DialTimeout] {
        let mut rig = Rig::mining("a.b");
        rig.miner(SUBMIT);
        rig.miner(&submit("5", "a.b"));
        rig.pool("{\"id\":1003,\"result\":true}\n");
        rig.gone(Side::Pool(Wire::A), why);
        assert_eq!(
            rig.take_miner(),
            "{\"id\":5,\"result\":true}\n{\"id\":4,\"result\":null,\"error\":[20,\"pool connection lost\",null]}\n"
        );
        let outcomes: Vec<Outcome> = rig.shares().iter().map(|share| share.outcome).collect();
        assert_eq!(outcomes, [Outcome::Accepted, Outcome::Unanswered]);
        assert!(rig.finished().is_some());
    }
}

#[test]
fn a_miner_that_closes_its_half_still_gets_its_verdicts() {
    let mut rig = Rig::mining("a.b");
    rig.miner(SUBMIT);
    rig.gone(Side::Miner, Gone::Closed);
    assert_eq!(rig.finished(), None);
    rig.pool("{\"id\":1002,\"result\":true}\n");
    assert_eq!(rig.take_miner(), "{\"id\":4,\"result\":true}\n");
    assert_eq!(rig.finished(), Some(CloseReason::MinerClosed));
    let mut rig = Rig::mining("a.b");
    rig.miner(SUBMIT);
    rig.gone(Side::Miner, Gone::Broken);
    rig.pass_ms(5_000);
    assert_eq!(rig.finished(), Some(CloseReason::MinerBroken));
    assert_eq!(rig.shares()[0].outcome, Outcome::Unanswered);
    let mut rig = Rig::mining("a.b");
    rig.gone(Side::Miner, Gone::Closed);
    assert_eq!(rig.finished(), Some(CloseReason::MinerClosed));
}

#[test]
fn a_miner_that_leaves_a_silent_pool_ends_its_session_by_its_own_reason() {
    let settings = SessionSettings { settle_ms: 20_000, ..SessionSettings::default() };
    let mut rig = Rig::with(shared_with(settings, None, None));
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.connected(Wire::A);
    rig.gone(Side::Miner, Gone::Closed);
    rig.pass_ms(10_000);
    assert_eq!(rig.finished(), Some(CloseReason::MinerClosed));
}

#[test]
fn stopping_waits_for_verdicts_up_to_its_limit() {
    let mut rig = Rig::mining("a.b");
    rig.miner(SUBMIT);
    rig.call(|session, cx| session.end(CloseReason::Stopping, Moment(0).plus_ms(3_000), cx));
    assert_eq!(rig.finished(), None);
    rig.pass_ms(2_999);
    assert_eq!(rig.finished(), None);
    rig.pool("{\"id\":1002,\"result\":true}\n");
    assert_eq!(rig.finished(), Some(CloseReason::Stopping));
    assert_eq!(rig.take_miner(), "{\"id\":4,\"result\":true}\n");
}

#[test]
fn shares_sent_while_settling_do_not_put_off_the_end() {
    let mut rig = Rig::mining("a.b");
    rig.miner(SUBMIT);
    rig.call(|session, cx| session.end(CloseReason::Stopping, Moment(0).plus_ms(3_000), cx));
    rig.pass_ms(2_000);
    rig.miner(&submit("5", "a.b"));
    rig.pass_ms(1_000);
    assert_eq!(rig.finished(), Some(CloseReason::Stopping));
    assert_eq!(rig.take_miner().lines().count(), 2);
    assert_eq!(rig.shares().len(), 2);
}

#[test]
fn each_deadline_of_the_miner_has_its_own_reason() {
    let mut rig = Rig::default();
    rig.pass_ms(15_000);
    assert_eq!(rig.finished(), Some(CloseReason::FirstRequestTimeout));
    let mut rig = Rig::default();
    rig.miner("{\"id\":1,\"method\":\"mining.configure\",\"params\":[[],{}]}\n");
    rig.pass_ms(20_000);
    assert_eq!(rig.finished(), Some(CloseReason::SubscribeTimeout));
    let mut rig = Rig::default();
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.connected(Wire::A);
    rig.pool("{\"id\":1000,\"result\":[[],\"ab\",4]}\n");
    rig.pass_ms(60_000);
    assert_eq!(rig.finished(), Some(CloseReason::AuthorizeTimeout));
    let mut rig = Rig::mining("a.b");
    rig.pool(JOB);
    for _ in 0..60 {
        rig.pool("{\"method\":\"client.show_message\",\"params\":[]}\n");
        rig.pass_ms(60_000);
    }
    assert_eq!(rig.finished(), Some(CloseReason::MinerIdle));
    let mut rig = Rig::mining("a.b");
    rig.pool(JOB);
    rig.pass_ms(120_000);
    assert_eq!(rig.finished(), Some(CloseReason::PoolSilent));
}

#[test]
fn a_subscribe_that_is_never_answered_ends_the_session_with_an_answer() {
    let mut rig = Rig::default();
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.connected(Wire::A);
    rig.pass_ms(10_000);
    assert_eq!(rig.take_miner(), "{\"id\":1,\"result\":null,\"error\":[20,\"pool did not answer\",null]}\n");
    assert_eq!(rig.finished(), Some(CloseReason::PoolSilent));
    let mut rig = Rig::mining("a.b");
    rig.miner("{\"id\":8,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.pass_ms(10_000);
    assert_eq!(rig.take_miner(), "{\"id\":8,\"result\":[[],\"f000000a\",4],\"error\":null}\n");
    assert_eq!(rig.finished(), None);
}

#[test]
fn nothing_is_said_after_the_end() {
    let mut rig = Rig::mining("a.b");
    rig.gone(Side::Pool(Wire::A), Gone::Closed);
    rig.take_miner();
    rig.events.clear();
    rig.miner(SUBMIT);
    rig.pool("{\"id\":1002,\"result\":true}\n");
    rig.gone(Side::Miner, Gone::Closed);
    rig.call(Session::timeout);
    rig.call(|session, cx| session.end(CloseReason::Stopping, Moment(0), cx));
    assert_eq!((rig.take_miner(), rig.take_pool(), rig.events.len()), (String::new(), String::new(), 0));
    assert_eq!(rig.session.deadline(&rig.shared.settings), Moment::NEVER);
}

#[test]
fn a_verdict_that_finds_no_room_among_what_waits_is_told_all_the_same() {
    let mut rig = Rig::default();
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"m\"]}\n");
    rig.connected(Wire::A);
    rig.miner("{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n");
    rig.miner(&submit("4", "a.b"));
    rig.miner(&submit("5", "a.b"));
    // All of it waits for the answer to subscribe, which never comes.
    rig.pool("{\"id\":1001,\"result\":true,\"error\":null}\n{\"id\":1002,\"result\":true,\"error\":null}\n");
    let words = "y".repeat(HELD_BYTES_MAX - 200);
    rig.pool(&format!("{{\"id\":null,\"method\":\"client.show_message\",\"params\":[\"{words}\"]}}\n"));
    assert_eq!((rig.take_miner(), rig.finished()), (String::new(), None));
    rig.pool(&format!("{{\"id\":1003,\"result\":true,\"error\":null,\"words\":\"{}\"}}\n", "y".repeat(200)));
    assert_eq!(rig.finished(), Some(CloseReason::NoPool));
    let told = rig.take_miner();
    for id in ["1", "2", "4", "5"] {
        assert_eq!(told.matches(&format!("{{\"id\":{id},")).count(), 1, "{told}");
    }
    let accepted = rig.shares().iter().filter(|share| share.outcome == Outcome::Accepted).count();
    assert_eq!((accepted, told.matches("\"result\":true").count()), (2, 3), "both shares, and the name");
}

/// A miner whose pool answered subscribe, and gave no job.
fn subscribed() -> Rig {
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.connected(Wire::A);
    rig.pool("{\"id\":1000,\"result\":[[],\"ab\",4]}\n");
    rig
}

/// The miner tells its name, and the pool accepts it.
fn authorize(rig: &mut Rig) {
    rig.miner("{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n");
    rig.pool("{\"id\":1001,\"result\":true}\n");
}

/// Passes so many seconds in which the pool says things that are no job.
fn chatter(rig: &mut Rig, seconds: u32) {
    for _ in 0..seconds {
        rig.pass_ms(1_000);
        rig.pool("{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[8]}\n");
    }
}

fn losses(rig: &Rig) -> Vec<Event> {
    rig.events.iter().filter(|event| matches!(event, Event::PoolLost { .. })).copied().collect()
}

#[test]
fn a_pool_that_accepts_a_name_and_gives_no_job_is_lost_however_much_it_says() {
    let mut rig = subscribed();
    chatter(&mut rig, 20);
    authorize(&mut rig);
    chatter(&mut rig, 29);
    assert_eq!(losses(&rig), [], "its time counts from the name on");
    chatter(&mut rig, 2);
    assert_eq!(
        losses(&rig),
        [Event::PoolLost { wire: Wire::A, pool: POOL, why: CloseReason::PoolGaveNoJob }]
    );
    assert_eq!(rig.finished(), None, "another pool may have one");
}

#[test]
fn a_pool_owes_one_job_to_a_miner_that_is_subscribed_and_has_a_name() {
    for early in [true, false] {
        let mut rig = subscribed();
        if early {
            rig.pool(JOB);
        }
        authorize(&mut rig);
        chatter(&mut rig, 29);
        if !early {
            rig.pool(JOB);
        }
        chatter(&mut rig, 50);
        assert_eq!((losses(&rig), rig.finished()), (vec![], None), "early: {early}");
    }
    let mut rig = subscribed();
    rig.miner("{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n");
    rig.pool("{\"id\":1001,\"result\":false}\n");
    chatter(&mut rig, 50);
    assert_eq!((losses(&rig), rig.finished()), (vec![], None), "no name was accepted");
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.miner("{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n");
    rig.connected(Wire::A);
    rig.pool("{\"id\":1000,\"result\":true}\n");
    chatter(&mut rig, 19);
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.pool("{\"id\":1001,\"result\":[[],\"ab\",4]}\n");
    chatter(&mut rig, 29);
    assert_eq!(losses(&rig), [], "it was not subscribed before");
    chatter(&mut rig, 2);
    assert_eq!(losses(&rig).len(), 1);
}
