//! What a miner that changes pools is told of extranonce and version mask, where its pools change them at a bad moment.

mod rig;

use adit_protocol::event::{Event, LoginFailure, MoveReason, Wire};
use adit_protocol::pool::PoolId;
use rig::Rig;

const SPARE: PoolId = PoolId(2);
const SET_EXTRANONCE: &str = "{\"id\":null,\"method\":\"mining.set_extranonce\",\"params\":[\"bbbb\",4]}\n";

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

/// The second pool's answers to all that it was asked.
fn answers(rig: &mut Rig, extranonce1: &str) -> String {
    let asked = rig.take_wire(Wire::B);
    let answer = |line: &str| {
        let is_subscribe = line.contains("mining.subscribe");
        let result = if is_subscribe { format!("[[],\"{extranonce1}\",4]") } else { "true".to_owned() };
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
    let answers = answers(&mut rig, "aaaa");
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
        let answers = answers(&mut rig, "aaaa");
        rig.on(Wire::B, &(answers + &notify("k1")));
        assert!(rig.events.contains(&Event::Prepared { wire: Wire::B, pool: SPARE, can_switch: false }));
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
    let answers = answers(&mut rig, "bbbb");
    let (subscribed, rest) = answers.split_once('\n').expect("two answers");
    rig.on(Wire::B, &format!("{subscribed}\n{}{SET_EXTRANONCE}{rest}", notify("k1")));
    assert!(rig.take_miner().contains("mining.notify"));
}
