//! What a miner that changes pools is told of extranonce and version mask, where its pools change them at a bad moment.

mod rig;

use adit_protocol::event::{Event, Gone, LoginFailure, MoveReason, Side, Wire};
use adit_protocol::pool::PoolId;
use rig::Rig;

const SPARE: PoolId = PoolId(2);
const SET_EXTRANONCE: &str = "{\"id\":null,\"method\":\"mining.set_extranonce\",\"params\":[\"bbbb\",4]}\n";
const CONFIGURE: &str = "{\"id\":0,\"method\":\"mining.configure\",\"params\":[[\"version-rolling\"],{\"version-rolling.mask\":\"1fffe000\"}]}\n";

fn notify(id: &str) -> String {
    format!(
        "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{id}\",\"ab\",\"01\",\"02\",[],\"20000000\",\"1d00ffff\",\"66252f80\",true]}}\n"
    )
}

/// A miner that mines at the first pool, and understands `mining.set_extranonce` if it `follows`.
fn mining(follows: bool) -> Rig {
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.log_in("a.b");
    if follows {
        rig.miner("{\"id\":9,\"method\":\"mining.extranonce.subscribe\",\"params\":[]}\n");
        rig.pool("{\"id\":1002,\"result\":true}\n");
    }
    rig.pool(&notify("j1"));
    rig.take_miner();
    rig.take_pool();
    rig
}

/// A pool's answers to all that it was asked.
fn answers(rig: &mut Rig, wire: Wire, extranonce1: &str) -> String {
    let asked = rig.take_wire(wire);
    let answer = |line: &str| {
        let result = if line.contains("mining.subscribe") {
            format!("[[],\"{extranonce1}\",4],\"error\":null")
        } else if line.contains("mining.configure") {
            "{\"version-rolling\":true,\"version-rolling.mask\":\"1fffe000\"}".to_owned()
        } else {
            "true".to_owned()
        };
        format!("{{\"id\":{},\"result\":{result}}}\n", &line[6..10])
    };
    let difficulty = "{\"method\":\"mining.set_difficulty\",\"params\":[8]}\n";
    asked.lines().map(answer).collect::<String>() + difficulty
}

fn prepare(rig: &mut Rig) {
    rig.prepare(Wire::B, SPARE, MoveReason::PoolLost);
    rig.connected(Wire::B);
}

/// The second pool changes its extranonce behind a job, before it accepted the name.
fn changed_behind_a_job() -> Rig {
    let mut rig = mining(true);
    prepare(&mut rig);
    let answers = answers(&mut rig, Wire::B, "aaaa");
    let (subscribed, rest) = answers.split_once('\n').expect("two answers");
    rig.on(Wire::B, &format!("{subscribed}\n{}{SET_EXTRANONCE}{rest}", notify("k1")));
    assert_eq!(rig.take_miner(), "", "that job is of the extranonce before");
    rig
}

#[test]
fn a_job_of_an_earlier_extranonce_is_not_told_behind_the_new_one() {
    let mut rig = changed_behind_a_job();
    rig.on(Wire::B, &notify("k2"));
    let heard = rig.take_miner();
    assert!(heard.starts_with(SET_EXTRANONCE), "{heard}");
    assert_eq!(heard.matches("mining.notify").count(), 1, "{heard}");
}

#[test]
fn a_pool_that_gives_no_job_behind_a_new_extranonce_is_given_up_like_one_without_jobs() {
    let mut rig = changed_behind_a_job();
    rig.pass_ms(30_000);
    assert!(rig.events.contains(&Event::LoginFailed {
        wire: Wire::B,
        pool: SPARE,
        reason: MoveReason::PoolLost,
        why: LoginFailure::NoJob
    }));
}

#[test]
fn what_was_prepared_is_given_up_too_if_no_job_follows_a_new_extranonce() {
    for job_follows in [true, false] {
        let mut rig = mining(false);
        prepare(&mut rig);
        let answers = answers(&mut rig, Wire::B, "aaaa");
        rig.on(Wire::B, &(answers + &notify("k1")));
        assert!(rig.events.contains(&Event::Prepared {
            wire: Wire::B,
            pool: SPARE,
            can_switch: false,
            has_job: true
        }));
        rig.on(Wire::B, SET_EXTRANONCE);
        rig.call(|session, cx| assert!(session.detach(Wire::B, cx).is_none(), "not as it is"));
        if job_follows {
            rig.on(Wire::B, &notify("k2"));
        }
        rig.pass_ms(30_000);
        assert_eq!(rig.session.is_free(Wire::B), !job_follows);
    }
}

#[test]
fn an_extranonce_that_is_told_twice_takes_no_job_away() {
    let mut rig = mining(true);
    prepare(&mut rig);
    let answers = answers(&mut rig, Wire::B, "bbbb");
    let (subscribed, rest) = answers.split_once('\n').expect("two answers");
    rig.on(Wire::B, &format!("{subscribed}\n{}{SET_EXTRANONCE}{rest}", notify("k1")));
    assert!(rig.take_miner().contains("mining.notify"));
}

#[test]
fn an_extranonce_that_was_held_back_when_its_pool_was_lost_is_told_at_the_next_one() {
    for follows in [true, false] {
        let mut rig = mining(follows);
        rig.miner("{\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"c.d\",\"x\"]}\n");
        rig.miner("{\"id\":4,\"method\":\"mining.authorize\",\"params\":[\"e.f\",\"x\"]}\n");
        let asked = rig.take_pool();
        let last = asked.lines().last().expect("asked");
        // The later answer waits for the earlier one, and all else behind it.
        rig.pool(&format!("{{\"id\":{},\"result\":true}}\n{SET_EXTRANONCE}{}", &last[6..10], notify("j2")));
        assert_eq!(rig.take_miner(), "");
        rig.gone(Side::Pool(Wire::A), Gone::Closed);
        prepare(&mut rig);
        let answers = answers(&mut rig, Wire::B, "bbbb");
        rig.on(Wire::B, &(answers + &notify("k1")));
        assert!(rig.events.contains(&Event::Prepared {
            wire: Wire::B,
            pool: SPARE,
            can_switch: follows,
            has_job: true
        }));
        let heard = rig.take_miner();
        assert_eq!(heard.contains(SET_EXTRANONCE), follows, "{heard}");
        assert_eq!(heard.contains("mining.notify"), follows, "{heard}");
    }
}

#[test]
fn a_miner_that_waited_for_its_answers_is_told_what_the_pool_changed_behind_them() {
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.miner(CONFIGURE);
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.miner("{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n");
    rig.gone(Side::Pool(Wire::A), Gone::DialFailed);
    rig.take_pool();
    rig.prepare(Wire::A, SPARE, MoveReason::PoolLost);
    rig.connected(Wire::A);
    let answers = answers(&mut rig, Wire::A, "aaaa");
    rig.on(Wire::A, &answers);
    rig.on(Wire::A, "{\"method\":\"mining.set_extranonce\",\"params\":[\"bbbb\",6]}\n");
    rig.on(Wire::A, "{\"method\":\"mining.set_version_mask\",\"params\":[\"00ffe000\"]}\n");
    rig.on(Wire::A, &notify("k1"));
    let heard = rig.take_miner();
    assert!(heard.contains("{\"id\":1,\"result\":[[],\"bbbb\",6],\"error\":null}\n"), "{heard}");
    assert!(heard.contains("\"mining.set_version_mask\",\"params\":[\"00ffe000\"]"), "{heard}");
    assert!(!heard.contains("aaaa") && !heard.contains("set_extranonce"), "{heard}");
}
