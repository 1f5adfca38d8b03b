//! What a session does when its pool goes away or another one is better, line by line.

mod rig;

use adit_protocol::event::{CloseReason, Event, Gone, LoginFailure, MoveReason, Oddity, Outcome, Side, Wire};
use adit_protocol::limits::PENDING_COUNT_MAX;
use adit_protocol::pool::{PoolId, Terms};
use adit_protocol::session_ids::SessionIds;
use rig::{POOL, Rig};

const SPARE: PoolId = PoolId(2);
const CONFIGURE: &str = "[[\"version-rolling\"],{\"version-rolling.mask\":\"1fffe000\"}]";
const XNSUB: &str = "{\"id\":9,\"method\":\"mining.extranonce.subscribe\",\"params\":[]}\n";

fn notify(id: &str, clean: bool) -> String {
    format!(
        "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{id}\",\"ab\",\"01\",\"02\",[],\"20000000\",\"1d00ffff\",\"66252f80\",{clean}]}}\n"
    )
}

fn submit(id: u32, job: &str) -> String {
    submit_as(id, "a.b", job)
}

fn submit_as(id: u32, name: &str, job: &str) -> String {
    format!(
        "{{\"id\":{id},\"method\":\"mining.submit\",\"params\":[\"{name}\",\"{job}\",\"00000001\",\"66252f80\",\"00534aa3\"]}}\n"
    )
}

/// A miner that mines at the first pool, configured, with a job; ids 1000 to 1002 are used.
fn mining() -> Rig {
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.miner(&format!("{{\"id\":0,\"method\":\"mining.configure\",\"params\":{CONFIGURE}}}\n"));
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"rig/1.0\",\"5e5510\"]}\n");
    rig.miner("{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"pw\"]}\n");
    rig.connected(Wire::A);
    rig.on(
        Wire::A,
        "{\"id\":1000,\"result\":{\"version-rolling\":true,\"version-rolling.mask\":\"1fffe000\"}}\n",
    );
    rig.on(Wire::A, "{\"id\":1001,\"result\":[[[\"mining.notify\",\"a\"]],\"f000000a\",4],\"error\":null}\n");
    rig.on(Wire::A, "{\"id\":1002,\"result\":true,\"error\":null}\n");
    rig.on(Wire::A, "{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[16]}\n");
    rig.on(Wire::A, &notify("j1", true));
    rig.take_miner();
    rig.take_pool();
    rig.events.clear();
    rig
}

/// The second pool answers a login whose first request has this id: configure, subscribe, authorize.
fn answers(first_id: u32, extranonce1: &str) -> String {
    let (second, third) = (first_id + 1, first_id + 2);
    format!(
        "{{\"id\":{first_id},\"result\":{{\"version-rolling\":true,\"version-rolling.mask\":\"1fffe000\"}}}}\n\
         {{\"id\":{second},\"result\":[[],\"{extranonce1}\",4],\"error\":null}}\n\
         {{\"id\":{third},\"result\":true,\"error\":null}}\n\
         {{\"method\":\"mining.set_difficulty\",\"params\":[8]}}\n"
    )
}

fn without_shares(rig: &Rig) -> Vec<Event> {
    let told = |event: &&Event| {
        !matches!(event, Event::Share(_) | Event::Job { .. } | Event::Subscribed { .. } | Event::Odd(_))
    };
    rig.events.iter().filter(told).copied().collect()
}

#[test]
fn a_login_asks_what_the_miner_asked_in_the_words_of_the_pool() {
    let mut rig = mining();
    rig.prepare(Wire::B, SPARE, MoveReason::FailBack);
    assert_eq!(rig.take_wire(Wire::B), "", "nothing before the connection stands");
    rig.connected(Wire::B);
    assert_eq!(
        rig.take_wire(Wire::B),
        format!(
            "{{\"id\":1003,\"method\":\"mining.configure\",\"params\":{CONFIGURE}}}\n\
             {{\"id\":1004,\"method\":\"mining.subscribe\",\"params\":[\"rig/1.0\"]}}\n\
             {{\"id\":1005,\"method\":\"mining.authorize\",\"params\":[\"P2.a.b\",\"pw\"]}}\n"
        ),
        "without the session id, which another pool issued"
    );
    rig.on(Wire::B, &answers(1003, "beef"));
    assert_eq!(rig.take_miner(), "", "the miner hears nothing of it");
}

#[test]
fn a_miner_that_takes_extranonces_is_switched_in_one_write() {
    let mut rig = mining();
    rig.miner(XNSUB);
    rig.on(Wire::A, "{\"id\":1003,\"result\":true}\n");
    rig.take_miner();
    rig.gone(Side::Pool(Wire::A), Gone::Closed);
    assert_eq!(
        without_shares(&rig),
        [Event::PoolLost { wire: Wire::A, pool: POOL, why: CloseReason::PoolClosed }]
    );
    rig.events.clear();
    rig.prepare(Wire::B, SPARE, MoveReason::PoolLost);
    rig.connected(Wire::B);
    assert!(rig.take_wire(Wire::B).contains("\"id\":1006,\"method\":\"mining.extranonce.subscribe\""));
    rig.on(Wire::B, &answers(1004, "beef").replace("\"id\":1006", "\"id\":1007"));
    assert_eq!(rig.take_miner(), "");
    rig.on(Wire::B, &notify("k1", false));
    assert_eq!(
        rig.take_miner(),
        format!(
            "{{\"id\":null,\"method\":\"mining.set_extranonce\",\"params\":[\"beef\",4]}}\n\
             {{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[8]}}\n{}",
            notify("z1", true)
        ),
        "jobs have ids of ours from now on"
    );
    assert_eq!(
        without_shares(&rig),
        [
            Event::Prepared { wire: Wire::B, pool: SPARE, can_switch: true, has_job: true },
            Event::Switched {
                from: POOL,
                to: SPARE,
                wire: Wire::B,
                reason: MoveReason::PoolLost,
                began: rig.now
            }
        ]
    );
    rig.miner(&submit(7, "z1"));
    assert_eq!(rig.take_wire(Wire::B), submit_as(1008, "P2.a.b", "k1"));
    rig.on(Wire::B, "{\"id\":1008,\"result\":true}\n");
    assert_eq!(rig.take_miner(), "{\"id\":7,\"result\":true}\n");
    assert_eq!(
        rig.shares().last().map(|share| (share.outcome, share.pool)),
        Some((Outcome::Accepted, SPARE))
    );
}

#[test]
fn a_miner_that_takes_none_is_switched_only_where_nothing_changes() {
    for (extranonce1, can_switch) in [("f000000a", true), ("f000000b", false)] {
        let mut rig = mining();
        rig.prepare(Wire::B, SPARE, MoveReason::FailBack);
        rig.connected(Wire::B);
        rig.on(Wire::B, &(answers(1003, extranonce1) + &notify("k1", true)));
        let heard = rig.take_miner();
        assert_eq!(heard.contains("z1"), can_switch);
        assert!(!heard.contains("set_extranonce"), "{heard}");
        assert!(rig.events.contains(&Event::Prepared {
            wire: Wire::B,
            pool: SPARE,
            can_switch,
            has_job: true
        }));
        rig.miner(&submit(7, "j1"));
        assert_eq!(rig.take_wire(Wire::A), submit(1006, "j1"), "the old job's shares go to the old pool");
        assert_eq!(rig.take_wire(Wire::B).lines().count(), 3);
    }
}

#[test]
fn an_extranonce_subscribe_that_comes_later_lets_a_prepared_wire_be_switched_to() {
    let mut rig = mining();
    rig.prepare(Wire::B, SPARE, MoveReason::FailBack);
    rig.connected(Wire::B);
    rig.on(Wire::B, &(answers(1003, "beef") + &notify("k1", true)));
    assert_eq!(rig.take_miner(), "");
    rig.miner(XNSUB);
    let heard = rig.take_miner();
    assert!(
        heard.contains("\"id\":9,") && heard.contains("set_extranonce") && heard.contains("z1"),
        "{heard}"
    );
}

#[test]
fn the_old_wire_lingers_for_its_verdicts_and_for_shares_of_its_jobs() {
    let mut rig = mining();
    rig.miner(XNSUB);
    rig.on(Wire::A, "{\"id\":1003,\"result\":true}\n");
    rig.miner(&submit(7, "j1"));
    rig.prepare(Wire::B, SPARE, MoveReason::FailBack);
    rig.connected(Wire::B);
    rig.on(Wire::B, &(answers(1005, "beef").replace("1007", "1008") + &notify("j1", true)));
    let heard = rig.take_miner();
    let ours = heard.rsplit_once("\"params\":[\"").and_then(|(_, id)| id.split_once('"')).expect("a job").0;
    assert_ne!(ours, "j1", "the new pool's job must not be taken for the old one's");
    rig.take_pool();
    rig.take_wire(Wire::B);

    rig.miner(&submit(8, "j1"));
    rig.miner(&submit(9, ours));
    rig.miner(&submit(10, "never-given"));
    assert_eq!(rig.take_wire(Wire::A), submit(1009, "j1"));
    assert_eq!(rig.take_wire(Wire::B), submit_as(1010, "P2.a.b", "j1"), "translated back");
    assert_eq!(
        rig.take_miner(),
        "{\"id\":10,\"result\":null,\"error\":[21,\"pool connection lost\",null]}\n"
    );

    rig.on(Wire::A, &(notify("j2", true) + "{\"id\":1004,\"result\":true}\n"));
    assert_eq!(rig.take_miner(), "{\"id\":7,\"result\":true}\n", "its verdicts, not its jobs");
    rig.on(Wire::B, "{\"id\":1009,\"result\":true}\n{\"id\":1010,\"result\":true}\n");
    assert_eq!(rig.take_miner(), "{\"id\":9,\"result\":true}\n", "nobody answers for another pool");

    rig.events.clear();
    rig.pass_ms(30_000);
    assert!(rig.events.contains(&Event::WireDone { wire: Wire::A }));
    let pools: Vec<_> = rig.shares().iter().map(|share| (share.outcome, share.pool)).collect();
    assert_eq!(pools, [(Outcome::Unanswered, POOL)]);
    rig.take_miner();
    rig.miner(&submit(11, "j1"));
    assert!(rig.take_miner().contains("[21,"));
    assert_eq!(rig.take_wire(Wire::A), "");
}

#[test]
fn a_pool_that_dies_in_the_handshake_is_invisible_to_the_miner() {
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"rig/1.0\"]}\n");
    rig.miner("{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n");
    rig.gone(Side::Pool(Wire::A), Gone::DialFailed);
    rig.miner("{\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"c.d\"]}\n");
    rig.prepare(Wire::A, SPARE, MoveReason::PoolLost);
    rig.take_pool();
    rig.connected(Wire::A);
    assert_eq!(
        rig.take_wire(Wire::A),
        "{\"id\":1003,\"method\":\"mining.subscribe\",\"params\":[\"rig/1.0\"]}\n\
         {\"id\":1004,\"method\":\"mining.authorize\",\"params\":[\"P2.a.b\",\"x\"]}\n\
         {\"id\":1005,\"method\":\"mining.authorize\",\"params\":[\"P2.c.d\",\"x\"]}\n"
    );
    let subscribed = "\"result\":[[],\"beef\",8],\"error\":null}\n";
    rig.on(Wire::A, &format!("{{\"id\":1003,{subscribed}{{\"id\":1004,\"result\":true}}\n"));
    rig.on(Wire::A, &("{\"id\":1005,\"result\":false}\n".to_owned() + &notify("k1", false)));
    assert_eq!(rig.take_miner(), "", "a difficulty may follow");
    rig.pass_ms(500);
    assert_eq!(
        rig.take_miner(),
        format!(
            "{{\"id\":1,{subscribed}{{\"id\":2,\"result\":true}}\n{{\"id\":3,\"result\":false}}\n\
             {{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[1]}}\n{}",
            notify("k1", true)
        )
    );
    rig.miner(&submit(7, "k1"));
    assert_eq!(rig.take_wire(Wire::A), submit_as(1006, "P2.a.b", "k1"));
    rig.miner(&submit_as(8, "c.d", "k1"));
    assert!(rig.take_miner().contains("[24,"), "refused by the pool");
}

#[test]
fn a_pool_that_never_answers_subscribe_is_lost_and_the_request_waits_for_another() {
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.connected(Wire::A);
    rig.pass_ms(10_000);
    assert!(rig.events.contains(&Event::PoolLost {
        wire: Wire::A,
        pool: POOL,
        why: CloseReason::PoolSilent
    }));
    assert_eq!((rig.take_miner().as_str(), rig.finished()), ("", None));
    rig.prepare(Wire::B, SPARE, MoveReason::PoolLost);
    rig.connected(Wire::B);
    rig.on(Wire::B, "{\"id\":1001,\"result\":[[],\"beef\",8]}\n");
    assert_eq!(
        rig.take_miner(),
        "{\"id\":1,\"result\":[[],\"beef\",8]}\n{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[1]}\n"
    );
    rig.on(Wire::B, &notify("k1", false));
    assert_eq!(rig.take_miner(), notify("k1", true), "the first job of a pool is a clean one");
}

#[test]
fn without_a_pool_shares_are_stale_and_waiting_ends() {
    let mut rig = mining();
    rig.miner(&submit(6, "j1"));
    rig.gone(Side::Pool(Wire::A), Gone::Broken);
    let until = rig.now.plus_ms(20_000);
    rig.call(|session, _| session.wait_for_pool(until));
    rig.miner(&submit(7, "j1"));
    assert_eq!(
        rig.take_miner(),
        "{\"id\":6,\"result\":null,\"error\":[20,\"pool connection lost\",null]}\n\
         {\"id\":7,\"result\":null,\"error\":[21,\"pool connection lost\",null]}\n"
    );
    let outcomes: Vec<_> = rig.shares().iter().map(|share| (share.outcome, share.pool)).collect();
    assert_eq!(outcomes, [(Outcome::Unanswered, POOL), (Outcome::RefusedHere, POOL)]);
    rig.miner("{\"id\":8,\"method\":\"mining.foo\",\"params\":[]}\n");
    rig.pass_ms(19_999);
    assert_eq!(rig.finished(), None);
    rig.pass_ms(1);
    assert_eq!(rig.finished(), Some(CloseReason::NoPool));
}

#[test]
fn a_login_fails_for_each_reason_and_leaves_the_place_free() {
    let failures: [(&str, u64, LoginFailure); 5] = [
        ("", 10_000, LoginFailure::Unanswered),
        ("{\"id\":1004,\"result\":null,\"error\":[20,\"no\",null]}\n", 0, LoginFailure::SubscribeRefused),
        ("{\"id\":1005,\"result\":false}\n", 0, LoginFailure::NamesRefused),
        (&answers(1003, "beef"), 30_000, LoginFailure::NoJob),
        (&"noise\n".repeat(9), 0, LoginFailure::Lost(CloseReason::PoolGarbage)),
    ];
    for (text, pass_ms, why) in failures {
        let mut rig = mining();
        rig.prepare(Wire::B, SPARE, MoveReason::Drill);
        rig.connected(Wire::B);
        rig.on(Wire::B, text);
        rig.pass_ms(pass_ms);
        let failed = Event::LoginFailed { wire: Wire::B, pool: SPARE, reason: MoveReason::Drill, why };
        assert!(rig.events.contains(&failed), "{why:?}: {:?}", rig.events);
        assert_eq!((rig.take_miner().as_str(), rig.finished()), ("", None), "the miner hears nothing of it");
        rig.prepare(Wire::B, SPARE, MoveReason::Drill);
    }
}

#[test]
fn a_pools_questions_are_answered_for_a_miner_that_does_not_know_it() {
    let mut rig = mining();
    rig.prepare(Wire::B, SPARE, MoveReason::FailBack);
    rig.connected(Wire::B);
    rig.take_wire(Wire::B);
    rig.on(Wire::B, "{\"id\":42,\"method\":\"mining.ping\",\"params\":[]}\n{\"id\":\"v\",\"method\":\"client.get_version\",\"params\":[]}\n");
    let said = rig.take_wire(Wire::B);
    assert!(
        said.starts_with("{\"id\":42,\"result\":\"pong\",\"error\":null}\n{\"id\":\"v\",\"result\":\"adit/"),
        "{said}"
    );
    assert_eq!(rig.take_miner(), "");
}

#[test]
fn a_lingering_wire_makes_room_for_a_new_one() {
    let mut rig = mining();
    rig.prepare(Wire::B, SPARE, MoveReason::FailBack);
    rig.connected(Wire::B);
    rig.on(Wire::B, &(answers(1003, "f000000a") + &notify("k1", true)));
    assert_eq!(rig.session.spare_wire(), Some(Wire::A));
    rig.prepare(Wire::A, POOL, MoveReason::FailBack);
    assert!(rig.events.contains(&Event::WireDone { wire: Wire::A }));
    assert_eq!(rig.session.spare_wire(), None);
    rig.call(|session, cx| assert!(!session.prepare(Wire::A, POOL, MoveReason::FailBack, cx)));
    rig.call(|session, cx| assert!(!session.prepare(Wire::B, POOL, MoveReason::FailBack, cx)));
}

#[test]
fn a_reconnect_inside_the_pools_domain_is_told_to_the_owner_and_never_to_the_miner() {
    let mut rig = mining();
    rig.shared.terms.set(POOL, Terms { host: Some("pool.example.com".into()), ..Terms::default() });
    let reconnect = |host: &str| {
        format!("{{\"id\":null,\"method\":\"client.reconnect\",\"params\":[\"{host}\",3334,1]}}\n")
    };
    rig.on(Wire::A, &reconnect("evil.org"));
    assert_eq!(rig.oddities(), [Oddity::ReconnectHeldBack]);
    assert!(rig.events.contains(&Event::ReconnectRefused { pool: POOL }));
    rig.call(|session, _| {
        let refused = session.take_refused_reconnect().and_then(|target| target.host);
        assert_eq!(refused.as_deref(), Some("evil.org"), "told, and not followed");
    });
    rig.on(Wire::A, &reconnect("no host"));
    assert_eq!(rig.oddities().len(), 2);
    rig.call(|session, _| assert_eq!(session.take_reconnect(), None));
    rig.on(Wire::A, &reconnect("eu.example.com"));
    assert!(rig.events.contains(&Event::Reconnect { wire: Wire::A, pool: POOL }));
    rig.call(|session, _| {
        let target = session.take_reconnect().expect("told");
        assert_eq!((target.host.as_deref(), target.port), (Some("eu.example.com"), Some(3334)));
        assert_eq!(session.take_reconnect(), None);
    });
    assert_eq!(rig.take_miner(), "");
}

#[test]
fn of_two_reconnects_in_one_segment_only_the_one_inside_the_domain_is_ever_told_as_such() {
    let inside = "{\"id\":null,\"method\":\"client.reconnect\",\"params\":[]}\n";
    let outside = "{\"id\":null,\"method\":\"client.reconnect\",\"params\":[\"evil.org\",3333,0]}\n";
    for lines in [[inside, outside], [outside, inside]] {
        let mut rig = mining();
        rig.shared.terms.set(POOL, Terms { host: Some("pool.example.com".into()), ..Terms::default() });
        rig.on(Wire::A, &lines.concat());
        assert!(rig.events.contains(&Event::Reconnect { wire: Wire::A, pool: POOL }));
        assert!(rig.events.contains(&Event::ReconnectRefused { pool: POOL }));
        rig.call(|session, _| {
            assert_eq!(session.take_reconnect().expect("told").host, None, "the pool's own address");
            let refused = session.take_refused_reconnect().and_then(|target| target.host);
            assert_eq!(refused.as_deref(), Some("evil.org"));
        });
    }
}

#[test]
fn a_job_that_comes_before_the_answers_is_waited_with() {
    let mut rig = mining();
    rig.prepare(Wire::B, SPARE, MoveReason::FailBack);
    rig.connected(Wire::B);
    rig.on(Wire::B, &notify("k1", true));
    rig.pass_ms(1_000);
    rig.on(Wire::B, "{\"id\":1003,\"result\":false}\n{\"id\":1004,\"result\":[[],\"f000000a\",4]}\n");
    assert_eq!(rig.take_miner(), "");
    rig.on(Wire::B, "{\"id\":1005,\"result\":true}\n");
    let heard = rig.take_miner();
    assert!(heard.contains("\"mining.set_version_mask\",\"params\":[\"00000000\"]"), "{heard}");
    assert!(heard.ends_with(&notify("z1", true)), "{heard}");
}

#[test]
fn a_session_is_prepared_for_only_when_its_miner_asked_for_something() {
    let mut rig = Rig::default();
    rig.call(|session, cx| assert!(!session.prepare(Wire::A, SPARE, MoveReason::PoolLost, cx)));
    rig.miner("{\"id\":1,\"method\":\"mining.configure\",\"params\":[[],{}]}\n");
    rig.call(|session, cx| assert!(!session.prepare(Wire::B, SPARE, MoveReason::Stock, cx)));
    rig.prepare(Wire::B, SPARE, MoveReason::Operator);
}

#[test]
fn what_a_lost_pool_told_and_nobody_heard_yet_is_told_to_nobody() {
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.miner("{\"id\":0,\"method\":\"mining.configure\",\"params\":[[\"info\"],{}]}\n{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.connected(Wire::A);
    rig.on(Wire::A, &("{\"id\":1001,\"result\":[[],\"beef\",4]}\n".to_owned() + &notify("j1", true)));
    rig.gone(Side::Pool(Wire::A), Gone::Broken);
    rig.pass_ms(20_000);
    let heard = rig.take_miner();
    assert!(
        heard.contains("\"info\":false") && heard.contains("\"beef\"") && !heard.contains("notify"),
        "{heard}"
    );
}

#[test]
fn a_job_at_the_last_moment_is_waited_with_for_its_difficulty() {
    let mut rig = mining();
    rig.prepare(Wire::B, SPARE, MoveReason::FailBack);
    rig.connected(Wire::B);
    let told = answers(1003, "f000000a").lines().take(3).fold(String::new(), |text, line| text + line + "\n");
    rig.on(Wire::B, &told);
    rig.pass_ms(29_900);
    rig.on(Wire::B, &notify("k1", true));
    rig.pass_ms(499);
    assert_eq!(rig.take_miner(), "");
    rig.pass_ms(1);
    assert!(rig.take_miner().ends_with(&notify("z1", true)));
}

#[test]
fn a_share_for_a_job_that_is_long_forgotten_never_reaches_another_pool_that_has_its_id() {
    let mut rig = mining();
    rig.miner(XNSUB);
    rig.on(Wire::A, "{\"id\":1003,\"result\":true}\n");
    for id in 1..=100 {
        rig.on(Wire::A, &notify(&id.to_string(), false));
    }
    rig.prepare(Wire::B, SPARE, MoveReason::FailBack);
    rig.connected(Wire::B);
    rig.on(Wire::B, &(answers(1004, "beef").replace("1006", "1007") + &notify("1", true)));
    for id in 2..=100 {
        rig.on(Wire::B, &notify(&id.to_string(), false));
    }
    rig.take_miner();
    rig.take_pool();
    rig.take_wire(Wire::B);
    for id in 1..=100_u32 {
        rig.miner(&submit(id, &id.to_string()));
    }
    assert_eq!(rig.take_wire(Wire::B), "", "the same ids, other jobs");
    let known = rig.take_pool().lines().count();
    assert_eq!((known, rig.take_miner().matches("[21,").count()), (16, 84));
    // Of the new pool's own jobs the newest are known; whoever mines an older one is late.
    for number in 1..=101_u32 {
        rig.miner(&submit(1_000 + number, &format!("z{number:x}")));
    }
    let said = rig.take_wire(Wire::B);
    let jobs: Vec<&str> = said.lines().filter_map(|line| line.split('"').nth(11)).collect();
    let newest: Vec<String> = (85..=100).map(|id| id.to_string()).collect();
    assert_eq!(jobs, newest);
}

#[test]
fn a_pools_id_that_looks_like_ours_is_told_as_one_of_ours_from_the_start() {
    let mut rig = mining();
    for theirs in ["z1", "\\u007a2"] {
        rig.on(Wire::A, &notify(theirs, false));
    }
    assert_eq!(rig.take_miner(), notify("z1", false) + &notify("z2", false));
    rig.miner(&submit(7, "z2"));
    assert_eq!(rig.take_wire(Wire::A), submit(1003, "\\u007a2"));
    rig.miner(&submit(8, "z9"));
    assert!(rig.take_miner().contains("[21,"), "an id of ours that was never given");
    assert_eq!(rig.take_wire(Wire::A), "");
}

#[test]
fn a_miner_that_was_told_no_job_yet_is_told_the_ids_of_the_pool_it_comes_to() {
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.gone(Side::Pool(Wire::A), Gone::DialFailed);
    rig.prepare(Wire::B, SPARE, MoveReason::PoolLost);
    rig.connected(Wire::B);
    rig.on(Wire::B, &("{\"id\":1001,\"result\":[[],\"beef\",8]}\n".to_owned() + &notify("k1", false)));
    rig.pass_ms(500);
    rig.take_miner();
    rig.on(Wire::B, &notify("k2", false));
    assert_eq!(rig.take_miner(), notify("k2", false));
}

/// The first pool answers a subscribe with this session id, and is lost then.
fn left_behind(pool_gives: &str) -> Rig {
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"rig/1.0\"]}\n");
    rig.miner("{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n");
    rig.connected(Wire::A);
    rig.pool(&format!(
        "{{\"id\":1000,\"result\":[{pool_gives},\"f000000a\",4]}}\n{{\"id\":1001,\"result\":true}}\n"
    ));
    rig.on(Wire::A, &notify("j1", true));
    rig.gone(Side::Pool(Wire::A), Gone::Broken);
    rig.take_miner();
    rig.take_pool();
    rig
}

#[test]
fn a_pool_that_comes_back_is_shown_the_session_id_that_it_gave_and_no_other_pool_is() {
    for (pool, subscribe) in
        [(POOL, "\"params\":[\"rig/1.0\",\"5e5510\"]"), (SPARE, "\"params\":[\"rig/1.0\"]")]
    {
        let mut rig = left_behind("[[\"mining.set_difficulty\",\"d\"],[\"mining.notify\",\"5e5510\"]]");
        rig.prepare(Wire::B, pool, MoveReason::PoolLost);
        rig.connected(Wire::B);
        let asked = rig.take_wire(Wire::B);
        assert!(asked.contains(subscribe), "{asked}");
    }
    let mut rig = left_behind("[[\"mining.notify\",\"5e5510\"]]");
    rig.prepare(Wire::B, POOL, MoveReason::PoolLost);
    rig.connected(Wire::B);
    rig.on(Wire::B, "{\"id\":1002,\"result\":[[],\"f000000a\",4]}\n{\"id\":1003,\"result\":true}\n");
    rig.on(Wire::B, &notify("j1", true));
    rig.pass_ms(500);
    assert!(
        rig.take_miner().contains("mining.notify"),
        "the same extranonce1: the miner keeps its connection"
    );
}

/// Knows of one id, and whose it is.
struct OneId(PoolId);

impl SessionIds for OneId {
    fn issued(&mut self, id: &[u8], _: PoolId) {
        assert_eq!(id, b"\"a\"");
    }

    fn may_resume(&mut self, id: &[u8], pool: PoolId) -> bool {
        id == b"\"5e5510\"" && pool == self.0
    }
}

#[test]
fn a_miners_session_id_reaches_only_the_pool_that_issued_it() {
    for (issuer, id, passes) in [(POOL, "5e5510", true), (SPARE, "5e5510", false), (POOL, "unknown", false)] {
        let mut rig = Rig::default();
        rig.shared.session_ids = Box::new(OneId(issuer));
        let subscribe = |id: u32, params: &str| {
            format!("{{\"id\":{id},\"method\":\"mining.subscribe\",\"params\":[\"rig/1.0\"{params}]}}\n")
        };
        rig.miner(&subscribe(1, &format!(",\"{id}\"")));
        let expected = if passes { format!(",\"{id}\"") } else { String::new() };
        assert_eq!(rig.take_pool(), subscribe(1000, &expected));
        rig.connected(Wire::A);
        rig.pool("{\"id\":1000,\"result\":[[[\"mining.notify\",\"a\"]],\"f000000a\",4],\"error\":null}\n");
    }
}

#[test]
fn a_miner_with_all_its_requests_open_at_a_mute_pool_is_still_logged_in_elsewhere() {
    let mut rig = mining();
    rig.miner(XNSUB);
    rig.on(Wire::A, "{\"id\":1003,\"result\":true}\n");
    (0..300).for_each(|id| rig.miner(&submit(id, "j1")));
    assert!(rig.oddities().contains(&Oddity::PendingFull));
    rig.take_miner();
    rig.prepare(Wire::B, SPARE, MoveReason::PoolLost);
    rig.connected(Wire::B);
    let first_id = 1_004 + PENDING_COUNT_MAX as u32;
    rig.on(Wire::B, &(answers(first_id, "beef") + &notify("k1", true)));
    rig.on(Wire::B, &format!("{{\"id\":{},\"result\":true}}\n", first_id + 3));
    assert!(rig.take_miner().contains("\"beef\""));
}
