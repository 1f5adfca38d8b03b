//! Prepared connections that outlive their session: a miner that comes back, and connections in stock.

mod rig;

use adit_protocol::event::{CloseReason, Event, Gone, MoveReason, Oddity, Side, Wire};
use adit_protocol::pool::{Asks, PoolId, Router};
use adit_protocol::session::{Prepared, Session};
use rig::{ORIGIN, Rig};

const SPARE: PoolId = PoolId(2);
const SUBSCRIBE: &str = "{\"id\":\"s\",\"method\":\"mining.subscribe\",\"params\":[\"rig/1.0\"]}\n";
const JOB: &str = "{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"k1\",\"ab\",\"01\",\"02\",[],\"20000000\",\"1d00ffff\",\"66252f80\",true]}\n";

fn authorize(id: u32, name: &str) -> String {
    format!("{{\"id\":{id},\"method\":\"mining.authorize\",\"params\":[\"{name}\",\"x\"]}}\n")
}

/// A connection that was prepared for a miner that cannot be switched live; its last id is 1003.
fn kept(rig: &mut Rig) -> Box<Prepared> {
    rig.ends_without_pool = false;
    rig.log_in("a.b");
    rig.prepare(Wire::B, SPARE, MoveReason::PoolLost);
    rig.connected(Wire::B);
    rig.on(
        Wire::B,
        "{\"id\":1002,\"result\":[[],\"beef\",8]}\n{\"id\":1003,\"result\":true,\"error\":null}\n",
    );
    rig.on(Wire::B, &format!("{{\"method\":\"mining.set_difficulty\",\"params\":[8]}}\n{JOB}"));
    assert!(rig.events.contains(&Event::Prepared {
        wire: Wire::B,
        pool: SPARE,
        can_switch: false,
        has_job: true
    }));
    let mut kept = None;
    rig.call(|session, cx| {
        assert!(session.detach(Wire::A, cx).is_none(), "the current one stays");
        kept = session.detach(Wire::B, cx);
        assert!(session.detach(Wire::B, cx).is_none(), "once");
        session.end(CloseReason::PoolClosed, cx.now, cx);
    });
    rig.take_pool();
    rig.take_wire(Wire::B);
    rig.events.clear();
    kept.expect("prepared")
}

/// The miner connects again.
fn back(rig: &mut Rig) {
    rig.session = Session::new(rig.now, ORIGIN);
}

fn adopt(rig: &mut Rig, kept: Box<Prepared>) {
    rig.call(|session, cx| session.adopt(Wire::B, kept, MoveReason::Kept, cx).expect("wanted"));
}

#[test]
fn a_miner_that_comes_back_finds_its_new_pool_logged_in() {
    let mut rig = Rig::default();
    let kept = kept(&mut rig);
    assert_eq!((kept.pool(), kept.names().collect::<Vec<_>>()), (SPARE, vec![&b"a.b"[..]]));
    back(&mut rig);
    rig.miner(SUBSCRIBE);
    assert_eq!(rig.events.last(), Some(&Event::Subscribing));
    adopt(&mut rig, kept);
    assert_eq!(rig.take_wire(Wire::B), "", "the pool knows all of it");
    assert_eq!(
        rig.take_miner(),
        format!(
            "{{\"id\":\"s\",\"result\":[[],\"beef\",8]}}\n{{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[8]}}\n{JOB}"
        )
    );
    assert!(
        rig.events.contains(&Event::WireDone { wire: Wire::A }),
        "the pool dialled meanwhile is not wanted"
    );
    rig.miner(&authorize(5, "a.b"));
    assert_eq!(rig.take_miner(), "{\"id\":5,\"result\":true,\"error\":null}\n", "the pool said so before");
    rig.miner(&authorize(6, "c.d"));
    assert_eq!(rig.take_wire(Wire::B), authorize(1005, "P2.c.d"));
    rig.on(Wire::B, "{\"id\":1003,\"result\":false}\n");
    assert_eq!(rig.take_miner(), "", "an answer to the earlier session is nobody's");
    assert!(rig.oddities().contains(&Oddity::StrayResponse));
    rig.miner("{\"id\":7,\"method\":\"mining.submit\",\"params\":[\"a.b\",\"k1\",\"00\",\"00\",\"00\"]}\n");
    assert_eq!(
        rig.take_wire(Wire::B),
        "{\"id\":1006,\"method\":\"mining.submit\",\"params\":[\"P2.a.b\",\"k1\",\"00\",\"00\",\"00\"]}\n"
    );
    rig.on(Wire::B, "{\"id\":1006,\"result\":true}\n{\"id\":1005,\"result\":true}\n");
    assert_eq!(rig.take_miner(), "{\"id\":6,\"result\":true}\n{\"id\":7,\"result\":true}\n");
}

#[test]
fn ids_are_never_used_twice_on_one_connection() {
    let mut rig = Rig::default();
    let kept = kept(&mut rig);
    back(&mut rig);
    rig.miner(&format!("{SUBSCRIBE}{}", authorize(5, "other")));
    adopt(&mut rig, kept);
    // The name is asked for, and what was open at the first pool is answered by this one.
    assert_eq!(rig.take_wire(Wire::B), authorize(1004, "P2.other"));
    rig.on(Wire::B, "{\"id\":1004,\"result\":true}\n");
    let heard = rig.take_miner();
    assert!(heard.contains("\"beef\"") && heard.contains("{\"id\":5,\"result\":true}"), "{heard}");
}

#[test]
fn a_connection_is_given_back_where_it_is_not_wanted() {
    let mut rig = Rig::default();
    let kept = kept(&mut rig);
    back(&mut rig);
    let mut left = None;
    rig.call(|session, cx| left = session.adopt(Wire::B, kept, MoveReason::Kept, cx).err());
    let kept = left.take().expect("before its first request");
    rig.miner(SUBSCRIBE);
    rig.call(|session, cx| left = session.adopt(Wire::A, kept, MoveReason::Kept, cx).err());
    left.expect("the place is taken").discard(&mut rig.shared);
}

#[test]
fn a_session_without_a_miner_fills_the_stock() {
    let mut rig = Rig::default();
    rig.prepare(Wire::A, SPARE, MoveReason::Stock);
    rig.connected(Wire::A);
    let asked = rig.take_wire(Wire::A);
    assert!(asked.starts_with("{\"id\":1000,\"method\":\"mining.subscribe\",\"params\":[\"adit/"), "{asked}");
    rig.on(Wire::A, "{\"id\":1000,\"result\":[[],\"beef\",8]}\n");
    assert!(rig.events.contains(&Event::Prepared {
        wire: Wire::A,
        pool: SPARE,
        can_switch: true,
        has_job: false
    }));
    let mut stock = None;
    rig.call(|session, cx| stock = session.detach(Wire::A, cx));
    let stock = stock.expect("prepared, and not switched to");
    back(&mut rig);
    rig.miner(SUBSCRIBE);
    rig.take_pool();
    adopt(&mut rig, stock);
    assert!(rig.take_miner().starts_with("{\"id\":\"s\",\"result\":[[],\"beef\",8]}\n"));
    rig.miner(&authorize(5, "a.b"));
    assert_eq!(rig.take_wire(Wire::B), authorize(1001, "P2.a.b"), "it costs one authorize");
}

/// Has something for everybody.
struct Keeper;

impl Router for Keeper {
    fn choose(&mut self, _: &Asks<'_>) -> Option<PoolId> {
        Some(rig::POOL)
    }

    fn keeps(&mut self, _: &Asks<'_>, _: PoolId) -> bool {
        true
    }
}

const CONFIGURE: &str = "{\"id\":\"c\",\"method\":\"mining.configure\",\"params\":[[\"version-rolling\"],{\"version-rolling.mask\":\"00c00000\"}]}\n";

#[test]
fn a_miner_for_whom_something_is_kept_costs_no_other_connection() {
    let mut rig = Rig::default();
    let kept = kept(&mut rig);
    rig.shared.router = Box::new(Keeper);
    back(&mut rig);
    rig.miner(&format!("{SUBSCRIBE}{}", authorize(5, "a.b")));
    assert_eq!(rig.events, [Event::Arrived { pool: rig::POOL }, Event::Subscribing], "nothing is dialled");
    assert_eq!((rig.take_wire(Wire::A), rig.take_miner()), (String::new(), String::new()));
    adopt(&mut rig, kept);
    assert_eq!(rig.take_wire(Wire::B), "", "the pool knows all of it");
    let heard = rig.take_miner();
    assert!(
        heard.starts_with("{\"id\":\"s\",\"result\":[[],\"beef\",8]}\n{\"id\":5,\"result\":true"),
        "{heard}"
    );
    assert!(heard.ends_with(JOB), "{heard}");
}

#[test]
fn a_miner_that_waits_for_the_answer_to_configure_has_it_before_it_subscribes() {
    let mut rig = Rig::default();
    let kept = kept(&mut rig);
    rig.shared.router = Box::new(Keeper);
    back(&mut rig);
    rig.miner(CONFIGURE);
    adopt(&mut rig, kept);
    let asked = rig.take_wire(Wire::B);
    assert!(
        asked.starts_with("{\"id\":1004,\"method\":\"mining.configure\""),
        "it never asked that: {asked}"
    );
    let granted = "\"result\":{\"version-rolling\":true,\"version-rolling.mask\":\"00c00000\"}}\n";
    rig.on(Wire::B, &format!("{{\"id\":1004,{granted}"));
    assert_eq!(rig.take_miner(), format!("{{\"id\":\"c\",{granted}"), "and nothing else yet");
    rig.miner(SUBSCRIBE);
    let heard = rig.take_miner();
    assert!(heard.starts_with("{\"id\":\"s\",\"result\":[[],\"beef\",8]}\n"), "{heard}");
    assert!(!heard.contains("set_version_mask"), "it knows: {heard}");
    assert_eq!(rig.take_wire(Wire::B), "");
}

#[test]
fn a_kept_connection_that_dies_before_the_miner_subscribes_leaves_it_to_another_pool() {
    let mut rig = Rig::default();
    let kept = kept(&mut rig);
    rig.shared.router = Box::new(Keeper);
    back(&mut rig);
    rig.miner(CONFIGURE);
    adopt(&mut rig, kept);
    rig.on(
        Wire::B,
        "{\"id\":1004,\"result\":{\"version-rolling\":true,\"version-rolling.mask\":\"00c00000\"}}\n",
    );
    rig.take_miner();
    rig.call(|session, cx| session.gone(Side::Pool(Wire::B), Gone::Closed, cx));
    rig.take_wire(Wire::B);
    rig.prepare(Wire::A, rig::POOL, MoveReason::PoolLost);
    rig.connected(Wire::A);
    rig.miner(SUBSCRIBE);
    let asked = rig.take_wire(Wire::A);
    assert!(asked.contains("mining.configure") && asked.contains("mining.subscribe"), "{asked}");
    let id_of = |method: &str| {
        let line = asked.lines().find(|line| line.contains(method)).expect("asked");
        line[6..10].to_owned()
    };
    let mask = "{\"version-rolling\":true,\"version-rolling.mask\":\"00800000\"}";
    let configured = format!("{{\"id\":{},\"result\":{mask}}}\n", id_of("mining.configure"));
    rig.on(
        Wire::A,
        &format!("{configured}{{\"id\":{},\"result\":[[],\"f00d\",8]}}\n", id_of("mining.subscribe")),
    );
    let heard = rig.take_miner();
    assert!(
        heard.contains("\"id\":\"s\"") && heard.contains("[\"00800000\"]"),
        "another mask is told: {heard}"
    );
}

const SET_MASK: &str = "{\"method\":\"mining.set_version_mask\",\"params\":[\"00800000\"]}\n";

/// A connection whose pool granted a mask to the miner that it was prepared for, and told `behind` later on.
fn kept_with_mask(rig: &mut Rig, behind: &str) -> Box<Prepared> {
    rig.ends_without_pool = false;
    rig.log_in("a.b");
    rig.miner(CONFIGURE);
    let granted = "\"result\":{\"version-rolling\":true,\"version-rolling.mask\":\"00c00000\"}}\n";
    rig.pool(&format!("{{\"id\":1002,{granted}"));
    rig.prepare(Wire::B, SPARE, MoveReason::PoolLost);
    rig.connected(Wire::B);
    let answers = "{\"id\":1004,\"result\":[[],\"beef\",8]}\n{\"id\":1005,\"result\":true}\n";
    let difficulty = "{\"method\":\"mining.set_difficulty\",\"params\":[8]}\n";
    rig.on(Wire::B, &format!("{{\"id\":1003,{granted}{answers}{difficulty}{JOB}{behind}"));
    let mut kept = None;
    rig.call(|session, cx| {
        kept = session.detach(Wire::B, cx);
        session.end(CloseReason::PoolClosed, cx.now, cx);
    });
    rig.take_pool();
    rig.take_wire(Wire::B);
    rig.take_miner();
    rig.events.clear();
    kept.expect("prepared")
}

#[test]
fn a_mask_that_another_miner_was_granted_does_not_bind_the_one_that_takes_its_connection() {
    let mut rig = Rig::default();
    let kept = kept_with_mask(&mut rig, "");
    back(&mut rig);
    rig.miner(&format!("{SUBSCRIBE}{}", authorize(5, "a.b")));
    adopt(&mut rig, kept);
    assert!(rig.take_miner().ends_with(JOB));
    rig.call(|session, cx| session.gone(Side::Pool(Wire::B), Gone::Closed, cx));
    rig.take_wire(Wire::A);
    rig.events.clear();
    rig.prepare(Wire::A, rig::POOL, MoveReason::PoolLost);
    rig.connected(Wire::A);
    let asked = rig.take_wire(Wire::A);
    let answer = |line: &str| {
        let result = if line.contains("subscribe") { "[[],\"beef\",8]" } else { "true" };
        format!("{{\"id\":{},\"result\":{result}}}\n", &line[6..10])
    };
    let answers: String = asked.lines().map(answer).collect();
    rig.on(Wire::A, &format!("{answers}{JOB}"));
    rig.pass_ms(500);
    let prepared = Event::Prepared { wire: Wire::A, pool: rig::POOL, can_switch: true, has_job: true };
    assert!(rig.events.contains(&prepared), "nothing changes for it: {:?}", rig.events);
}

#[test]
fn a_miner_that_comes_back_is_told_the_mask_that_the_pool_changed_meanwhile() {
    let mut rig = Rig::default();
    let kept = kept_with_mask(&mut rig, SET_MASK);
    rig.shared.router = Box::new(Keeper);
    back(&mut rig);
    rig.miner(CONFIGURE);
    adopt(&mut rig, kept);
    let heard = rig.take_miner();
    assert!(
        heard.starts_with("{\"id\":\"c\"") && heard.contains("\"00c00000\""),
        "as it was granted: {heard}"
    );
    rig.miner(SUBSCRIBE);
    let heard = rig.take_miner();
    assert!(heard.contains("\"mining.set_version_mask\",\"params\":[\"00800000\"]"), "{heard}");
}
