//! What a session does, line by line, on a clock of the test's own.

mod rig;

use adit_protocol::event::{Event, Oddity, Outcome, Wire};
use adit_protocol::limits::{NAMES_COUNT_MAX, PENDING_COUNT_MAX};
use adit_protocol::moment::Moment;
use adit_protocol::pool::Terms;
use adit_protocol::session::SessionSettings;
use rig::{POOL, Rig, shared_with};

const SUBMIT: &str = "{\"id\":4,\"method\":\"mining.submit\",\"params\":[\"a.b\",\"j1\",\"00000001\",\"66252f80\",\"00534aa3\"]}\n";

fn submit(id: &str, name: &str) -> String {
    format!(
        "{{\"id\":{id},\"method\":\"mining.submit\",\"params\":[\"{name}\",\"j1\",\"00000001\",\"66252f80\",\"00534aa3\"]}}\n"
    )
}

#[test]
fn a_miner_mines_through_it() {
    let mut rig = Rig::default();
    rig.miner("{\"id\": 1, \"method\": \"mining.subscribe\", \"params\": [\"cpuminer/2.5.1\"]}\n");
    assert_eq!(rig.events, [Event::Dial { wire: Wire::A, pool: POOL }, Event::Subscribing]);
    rig.connected(Wire::A);
    assert_eq!(
        rig.take_pool(),
        "{\"id\": 1000, \"method\": \"mining.subscribe\", \"params\": [\"cpuminer/2.5.1\"]}\n"
    );
    let answer = "\"result\":[[[\"mining.notify\",\"6b\"]],\"6251016b\",8],\"error\":null}\n";
    let job = "{\"params\":[\"6b01\",\"a5\",\"01\",\"0a\",[],\"20000000\",\"1d00ffff\",\"6b015173\",true],\"id\":null,\"method\":\"mining.notify\"}\n";
    rig.pool(&format!(
        "{{\"id\":1000,{answer}{{\"params\":[0.002],\"id\":null,\"method\":\"mining.set_difficulty\"}}\n{job}"
    ));
    assert_eq!(
        rig.take_miner(),
        format!(
            "{{\"id\":1,{answer}{{\"params\":[0.002],\"id\":null,\"method\":\"mining.set_difficulty\"}}\n{job}"
        )
    );
    rig.miner("{\"id\": 2, \"method\": \"mining.authorize\", \"params\": [\"a.b\", \"x\"]}\n");
    assert_eq!(
        rig.take_pool(),
        "{\"id\": 1001, \"method\": \"mining.authorize\", \"params\": [\"a.b\", \"x\"]}\n"
    );
    rig.pool("{\"result\":true,\"error\":null,\"id\":1001}\n");
    assert_eq!(rig.take_miner(), "{\"result\":true,\"error\":null,\"id\":2}\n");
    rig.miner("{\"method\": \"mining.submit\", \"params\": [\"a.b\", \"6b01\", \"00\", \"6b015173\", \"aa590f00\"], \"id\":4}\n");
    assert_eq!(
        rig.take_pool(),
        "{\"method\": \"mining.submit\", \"params\": [\"a.b\", \"6b01\", \"00\", \"6b015173\", \"aa590f00\"], \"id\":1002}\n"
    );
    rig.now = Moment(1_000);
    rig.pool("{\"result\":true,\"error\":null,\"id\":1002}\n");
    assert_eq!(rig.take_miner(), "{\"result\":true,\"error\":null,\"id\":4}\n");
    let shares = rig.shares();
    assert_eq!(shares.len(), 1);
    assert_eq!(
        (shares[0].outcome, shares[0].submitted, shares[0].difficulty),
        (Outcome::Accepted, Moment(0), 0.002)
    );
    assert_eq!(rig.session.user_agent(), "cpuminer/2.5.1");
}

#[test]
fn ids_of_every_kind_survive_and_reused_ones_are_kept_apart() {
    let mut rig = Rig::mining("a.b");
    let huge = "9".repeat(400);
    let ids = [
        "4",
        "4",
        "\"auth\"",
        "null",
        "1.50",
        "12345678901234567890",
        "{\"a\": [1, null]}",
        &huge,
        "-0",
        "1e400",
        "[ ]",
    ];
    for id in ids {
        rig.miner(&submit(id, "a.b"));
    }
    let lines: Vec<String> = rig.take_pool().lines().map(str::to_owned).collect();
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(*line, submit(&(1002 + n).to_string(), "a.b").trim_end());
    }
    for n in (0..ids.len()).rev() {
        rig.pool(&format!("{{\"id\":{},\"result\":true}}\n", 1002 + n));
        assert_eq!(rig.take_miner(), format!("{{\"id\":{},\"result\":true}}\n", ids[n]));
    }
    assert_eq!(rig.shares().len(), ids.len());
}

#[test]
fn a_request_without_an_id_is_answered_without_one() {
    let mut rig = Rig::mining("a.b");
    rig.miner("{\"method\":\"mining.submit\",\"params\":[\"a.b\",\"j\",\"00\",\"00\",\"00\"]}\n");
    assert_eq!(
        rig.take_pool(),
        "{\"id\":1002,\"method\":\"mining.submit\",\"params\":[\"a.b\",\"j\",\"00\",\"00\",\"00\"]}\n"
    );
    rig.pool("{\"result\":false,\"error\":[23,\"Above target\",null],\"id\":1002}\n");
    assert_eq!(rig.take_miner(), "{\"result\":false,\"error\":[23,\"Above target\",null]}\n");
}

#[test]
fn a_pool_that_echoes_ids_as_strings_is_understood() {
    let mut rig = Rig::mining("a.b");
    rig.miner(SUBMIT);
    rig.pool("{\"id\":\"1002\",\"result\":true}\n");
    assert_eq!(rig.take_miner(), "{\"id\":4,\"result\":true}\n");
}

#[test]
fn answers_reach_the_miner_in_the_order_of_its_handshake() {
    let mut rig = Rig::default();
    rig.miner("{\"id\":1,\"method\":\"mining.configure\",\"params\":[[\"version-rolling\"],{}]}\n");
    rig.miner("{\"id\":2,\"method\":\"mining.subscribe\",\"params\":[]}\n{\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"a\",\"x\"]}\n");
    rig.connected(Wire::A);
    rig.pool("{\"id\":1001,\"result\":[[],\"ab\",4]}\n{\"method\":\"mining.set_difficulty\",\"params\":[1]}\n{\"id\":1002,\"result\":true}\n");
    assert_eq!(rig.take_miner(), "");
    rig.pool("{\"id\":1000,\"result\":{\"version-rolling\":true,\"version-rolling.mask\":\"1fffe000\"}}\n");
    assert_eq!(
        rig.take_miner(),
        "{\"id\":1,\"result\":{\"version-rolling\":true,\"version-rolling.mask\":\"1fffe000\"}}\n{\"id\":2,\"result\":[[],\"ab\",4]}\n\
         {\"method\":\"mining.set_difficulty\",\"params\":[1]}\n{\"id\":3,\"result\":true}\n"
    );
}

#[test]
fn a_pool_that_never_answers_configure_does_not_stop_the_handshake() {
    let mut rig = Rig::default();
    rig.miner("{\"id\":1,\"method\":\"mining.configure\",\"params\":[[\"version-rolling\",\"minimum-difficulty\"],{}]}\n");
    rig.miner("{\"id\":2,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.connected(Wire::A);
    rig.pool("{\"id\":1001,\"result\":[[],\"ab\",4]}\n");
    rig.pass_ms(9_999);
    assert_eq!(rig.take_miner(), "");
    rig.pass_ms(1);
    assert_eq!(
        rig.take_miner(),
        "{\"id\":1,\"result\":{\"version-rolling\":false,\"minimum-difficulty\":false},\"error\":null}\n{\"id\":2,\"result\":[[],\"ab\",4]}\n"
    );
    rig.pool("{\"id\":1000,\"result\":{\"version-rolling\":true}}\n");
    assert_eq!(rig.take_miner(), "");
    assert!(rig.oddities().contains(&Oddity::LateAnswer));
}

#[test]
fn a_hold_that_is_full_answers_for_the_pool_at_once() {
    let mut rig = Rig::default();
    rig.miner("{\"id\":1,\"method\":\"mining.configure\",\"params\":[[\"info\"],{}]}\n{\"id\":2,\"method\":\"mining.subscribe\",\"params\":[]}\n");
    rig.connected(Wire::A);
    rig.pool("{\"id\":1001,\"result\":[[],\"ab\",4]}\n");
    let line = format!("{{\"method\":\"mining.set_goal\",\"params\":[\"{}\"]}}\n", "x".repeat(4_000));
    for _ in 0..40 {
        rig.pool(&line);
    }
    let text = rig.take_miner();
    assert!(text.starts_with("{\"id\":1,\"result\":{\"info\":false},\"error\":null}\n{\"id\":2,"));
    assert_eq!(text.lines().count(), 42);
}

#[test]
fn every_silent_pool_gets_its_answer_written_for_it_and_late_verdicts_are_counted_only() {
    let mut rig = Rig::mining("a.b");
    rig.miner(SUBMIT);
    rig.miner(&submit("5", "a.b"));
    rig.miner("{\"id\":9,\"method\":\"mining.extranonce.subscribe\",\"params\":[]}\n{\"id\":10,\"method\":\"mining.authorize\",\"params\":[\"c\",\"x\"]}\n");
    rig.miner("{\"id\":11,\"method\":\"mining.foo\",\"params\":[]}\n{\"id\":12,\"method\":\"mining.suggest_difficulty\",\"params\":[1]}\n");
    rig.pass_ms(2_000);
    assert_eq!(rig.take_miner(), "{\"id\":9,\"result\":null,\"error\":[20,\"pool did not answer\",null]}\n");
    rig.pass_ms(8_000);
    assert_eq!(rig.take_miner(), "{\"id\":10,\"result\":null,\"error\":[20,\"pool did not answer\",null]}\n");
    rig.pass_ms(5_000);
    assert_eq!(
        rig.take_miner(),
        "{\"id\":4,\"result\":null,\"error\":[20,\"pool did not answer\",null]}\n{\"id\":5,\"result\":null,\"error\":[20,\"pool did not answer\",null]}\n"
    );
    assert_eq!(rig.shares().iter().map(|share| share.outcome).collect::<Vec<_>>(), [Outcome::Unanswered; 2]);
    rig.pool("{\"id\":1002,\"result\":true}\n{\"id\":1003,\"result\":null,\"error\":[21,\"stale\",null]}\n{\"id\":1002,\"result\":true}\n");
    assert_eq!(rig.take_miner(), "");
    let tail: Vec<Oddity> = rig.oddities().into_iter().rev().take(3).collect();
    assert_eq!(tail, [Oddity::StrayResponse, Oddity::LateReject, Oddity::LateAccept]);
    rig.pass_ms(60_000);
    assert_eq!(rig.take_miner(), "", "unknown methods are answered only by the pool");
}

#[test]
fn unknown_methods_are_answered_only_if_the_pool_answers() {
    let mut rig = Rig::mining("a.b");
    rig.miner("{\"id\":\"u\",\"method\":\"mining.foo\",\"params\":[]}\n{\"id\":null,\"method\":\"mining.suggest_target\",\"params\":[\"00\"]}\n{\"method\":\"x\"}\n");
    assert_eq!(
        rig.take_pool(),
        "{\"id\":1002,\"method\":\"mining.foo\",\"params\":[]}\n{\"id\":null,\"method\":\"mining.suggest_target\",\"params\":[\"00\"]}\n{\"method\":\"x\"}\n"
    );
    rig.pool("{\"id\":1002,\"error\":\"Invalid job_id\"}\n");
    assert_eq!(rig.take_miner(), "{\"id\":\"u\",\"error\":\"Invalid job_id\"}\n");
}

#[test]
fn pool_internal_methods_are_refused_here() {
    let mut rig = Rig::mining("a.b");
    for method in ["mining.term", "mining.node", "mining.remote", "mining.passthrough", "mining.update_block"]
    {
        rig.miner(&format!("{{\"id\":7,\"method\":\"{method}\",\"params\":[]}}\n"));
        assert_eq!(rig.take_miner(), "{\"id\":7,\"result\":null,\"error\":[20,\"Not supported.\",null]}\n");
        assert_eq!(rig.take_pool(), "");
    }
    assert_eq!(rig.finished(), None);
}

#[test]
fn the_pools_own_requests_are_answered_by_the_miner() {
    let mut rig = Rig::mining("a.b");
    let ping = "{\"id\":42,\"method\":\"mining.ping\",\"params\":[]}\n{\"id\":\"v\",\"method\":\"client.get_version\",\"params\":[]}\n";
    rig.pool(ping);
    assert_eq!(rig.take_miner(), ping);
    let answers = "{\"id\":42,\"result\":\"pong\",\"error\":null}\n{\"id\":\"v\",\"result\":\"rig/1.0\",\"error\":null}\n{\"id\":42,\"method\":\"pong\",\"params\":[]}\n";
    rig.miner(answers);
    assert_eq!(rig.take_pool(), answers);
}

#[test]
fn names_are_rewritten_in_authorize_and_submit() {
    let mut shared = shared_with(SessionSettings::default(), Some("ACCOUNT"), Some("{account}.{name}"));
    shared.terms.set(POOL, Terms { password: Some("secret".into()), ..Terms::default() });
    let mut rig = Rig::with(shared);
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n{\"params\": [\"john.test\"], \"id\":2, \"method\":\"mining.authorize\"}\n");
    rig.miner("{\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"john_test\",\"d=4096\"]}\n");
    rig.miner(&submit("\"s\"", "john.test"));
    let text = rig.take_pool();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[1],
        "{\"params\": [\"ACCOUNT.john_test\",\"secret\"], \"id\":1001, \"method\":\"mining.authorize\"}"
    );
    assert!(
        lines[2].starts_with("{\"id\":1002,\"method\":\"mining.authorize\",\"params\":[\"ACCOUNT.john_test_"),
        "{}",
        lines[2]
    );
    assert!(lines[2].ends_with("\",\"secret\"]}"));
    assert_eq!(lines[3], submit("1003", "ACCOUNT.john_test").trim_end());
}

#[test]
fn shares_are_refused_here_before_subscribe_and_under_unknown_names() {
    let mut rig = Rig::default();
    rig.miner(SUBMIT);
    assert_eq!(rig.take_miner(), "{\"id\":4,\"result\":null,\"error\":[25,\"Not subscribed\",null]}\n");
    let mut rig = Rig::mining("a.b");
    rig.miner(&submit("5", "someone.else"));
    assert_eq!(rig.take_miner(), "{\"id\":5,\"result\":null,\"error\":[24,\"Unauthorized worker\",null]}\n");
    for params in ["{}", "null", "[5,\"j\"]", "[]", "\"a.b\""] {
        rig.miner(&format!("{{\"id\":6,\"method\":\"mining.submit\",\"params\":{params}}}\n"));
        assert_eq!(rig.take_miner(), "{\"id\":6,\"result\":null,\"error\":[20,\"Invalid params\",null]}\n");
        rig.miner(
            &format!("{{\"id\":6,\"method\":\"mining.authorize\",\"params\":{params}}}\n")
                .replace("\"a.b\"", "5"),
        );
        assert_eq!(rig.take_miner(), "{\"id\":6,\"result\":null,\"error\":[20,\"Invalid params\",null]}\n");
    }
    assert_eq!(rig.take_pool(), "");
    assert_eq!(rig.shares().len(), 6);
    assert!(rig.shares().iter().all(|share| share.outcome == Outcome::RefusedHere));
    assert_eq!(rig.finished(), None);
}

#[test]
fn a_name_that_the_pool_refuses_is_forgotten() {
    let mut rig = Rig::mining("a.b");
    rig.miner("{\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"c.d\",\"x\"]}\n");
    rig.miner(&submit("5", "c.d"));
    assert_eq!(rig.take_pool().lines().count(), 2, "a share under a name on its way is forwarded");
    rig.pool("{\"id\":1002,\"result\":false,\"error\":[24,\"no\",null]}\n");
    rig.take_miner();
    rig.miner(&submit("6", "c.d"));
    assert!(rig.take_miner().contains("[24,"));
    rig.miner(&submit("7", "a.b"));
    assert_eq!(rig.take_pool().lines().count(), 1);
}

#[test]
fn sixteen_names_and_not_one_more() {
    let mut rig = Rig::mining("n0");
    for n in 1..NAMES_COUNT_MAX {
        rig.miner(&format!("{{\"id\":1,\"method\":\"mining.authorize\",\"params\":[\"n{n}\",\"x\"]}}\n"));
        rig.pool(&format!("{{\"id\":{},\"result\":null,\"error\":null}}\n", 1001 + n));
    }
    rig.take_miner();
    rig.miner("{\"id\":1,\"method\":\"mining.authorize\",\"params\":[\"n16\",\"x\"]}\n");
    assert_eq!(
        rig.take_miner(),
        "{\"id\":1,\"result\":null,\"error\":[24,\"Too many workers on one connection\",null]}\n"
    );
    rig.take_pool();
    rig.miner(&submit("2", "n15"));
    assert_eq!(rig.take_pool(), submit("1018", "n15"));
}

#[test]
fn too_many_open_requests_are_refused_and_none_is_lost() {
    let mut rig = Rig::mining("a.b");
    for _ in 0..=PENDING_COUNT_MAX {
        rig.miner(SUBMIT);
    }
    assert_eq!(
        rig.take_miner(),
        "{\"id\":4,\"result\":null,\"error\":[20,\"Too many unanswered requests\",null]}\n"
    );
    for id in 1002..1002 + PENDING_COUNT_MAX {
        rig.pool(&format!("{{\"id\":{id},\"result\":true}}\n"));
    }
    assert_eq!(rig.take_miner().lines().count(), PENDING_COUNT_MAX);
    rig.miner(SUBMIT);
    assert_eq!(rig.take_miner(), "");
    assert_eq!(rig.shares().len(), PENDING_COUNT_MAX + 1);
}

#[test]
fn a_request_that_the_pool_never_answers_does_not_stop_the_shares_behind_it() {
    let mut rig = Rig::mining("a.b");
    rig.miner("{\"id\":11,\"method\":\"mining.suggest_difficulty\",\"params\":[1]}\n");
    rig.take_pool();
    for id in 1003..6_000 {
        rig.miner(SUBMIT);
        assert_eq!(rig.take_pool(), SUBMIT.replace(":4,", &format!(":{id},")));
        rig.pool(&format!("{{\"id\":{id},\"result\":true}}\n"));
        assert_eq!(rig.take_miner(), "{\"id\":4,\"result\":true}\n");
        rig.pass_ms(5);
    }
}

#[test]
fn all_seven_shapes_of_failure_are_rejections() {
    let shapes = [
        ("\"result\":null,\"error\":[23,\"high-hash\",null]", 23, "high-hash"),
        ("\"result\":null,\"error\":[21,\"job not found\"]", 21, "job not found"),
        (
            "\"result\":false,\"error\":{\"code\":21,\"message\":\"job not found\",\"data\":null}",
            21,
            "job not found",
        ),
        ("\"reject-reason\":\"Stale\",\"result\":false,\"error\":null", 0, "Stale"),
        ("\"result\":false,\"error\":\"Worker mismatch\"", 0, "Worker mismatch"),
        ("\"result\":null,\"error\":[\"22\",\"Duplicate share\"]", 22, "Duplicate share"),
        ("\"result\":false,\"error\":null", 0, "unknown"),
        ("\"result\":null,\"error\":null", 0, "unknown"),
    ];
    let mut rig = Rig::mining("a.b");
    for (n, (shape, code, reason)) in shapes.into_iter().enumerate() {
        rig.miner(SUBMIT);
        rig.pool(&format!("{{{shape},\"id\":{}}}\n", 1002 + n));
        assert_eq!(rig.take_miner(), format!("{{{shape},\"id\":4}}\n"), "passed on as it came");
        let share = rig.shares()[n];
        assert_eq!((share.outcome, share.code), (Outcome::Rejected, code), "{shape}");
        assert_eq!(rig.shared.reasons.text(share.reason), reason);
    }
}

#[test]
fn a_share_is_judged_by_the_difficulty_of_its_job() {
    let mut rig = Rig::mining("a.b");
    let job = r#"["j1","ab","01","02",[],"20000000","1d00ffff","66252f80",true]"#;
    rig.pool("{\"method\":\"mining.set_difficulty\",\"params\":[8]}\n");
    rig.pool(&format!("{{\"method\":\"mining.notify\",\"params\":{job}}}\n"));
    rig.pool("{\"method\":\"mining.set_difficulty\",\"params\":[1024]}\n");
    rig.miner(SUBMIT);
    rig.miner(&SUBMIT.replace("j1", "unknown"));
    rig.pool("{\"id\":1002,\"result\":true}\n{\"id\":1003,\"result\":true}\n");
    let difficulties: Vec<f64> = rig.shares().iter().map(|share| share.difficulty).collect();
    assert_eq!(difficulties, [8.0, 1024.0]);
}

#[test]
fn the_share_check_notes_what_a_share_reached_and_leaves_the_verdict_to_the_pool() {
    // Vector B of docs/PROTOCOL.md section 9.
    let settings = SessionSettings { share_check: true, ..SessionSettings::default() };
    let mut rig = Rig::with(shared_with(settings, None, None));
    rig.miner("{\"id\":1,\"method\":\"mining.configure\",\"params\":[[\"version-rolling\"],{}]}\n");
    rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n");
    rig.connected(Wire::A);
    rig.pool("{\"id\":1000,\"result\":{\"version-rolling\":true,\"version-rolling.mask\":\"1fffe000\"}}\n");
    rig.pool("{\"id\":1001,\"result\":[[],\"f000000a\",8]}\n{\"id\":1002,\"result\":true}\n{\"method\":\"mining.set_difficulty\",\"params\":[0.001]}\n");
    rig.pool(
        "{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"6f3a\",\"fd33e5063986da1a346c3f1fd2b00432ecaad478aa200b1c0003ba2700000000\",\
         \"02000000010000000000000000000000000000000000000000000000000000000000000000ffffffff1d0340d10c0b2f6661637473686565742f0c\",\
         \"ffffffff02205fa0120000000016001411111111111111111111111111111111111111110000000000000000266a24aa21a9ed3cdc21321862fcd4d347a666f2a9508990d0efc5e4e7c717918baec523231aa400000000\",\
         [\"52549687c0dd22f85975a6fbc7e8e3666a404aac29c30832e068e9f23bf74246\",\"d2e68a0c33e70cdf7eebae944f42490661ab17e65e736ecd372ece33de570c91\",\
         \"537a3acae155957279149b889ca500ad56b4315710654bf518d24f66220ea61a\"],\"20000000\",\"17034219\",\"66252f80\",true]}\n",
    );
    for bits in ["00c0e000", "00000000"] {
        rig.miner(&format!(
            "{{\"id\":4,\"method\":\"mining.submit\",\"params\":[\"a.b\",\"6f3a\",\"0000000000000007\",\"66252f80\",\"00534aa3\",\"{bits}\"]}}\n"
        ));
    }
    rig.pool("{\"id\":1003,\"result\":true}\n{\"id\":1004,\"result\":true}\n");
    let shares = rig.shares();
    assert!((shares[0].share_difficulty - 0.014_929_991_566_859_658).abs() < 1e-12);
    assert!(shares[1].share_difficulty < 1e-9);
    assert!(shares.iter().all(|share| share.outcome == Outcome::Accepted && !share.block_candidate));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads the corpus")]
fn the_corpus_of_the_session_passes() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/session");
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).expect("a corpus") {
        let path = entry.expect("an entry").path();
        println!("{}", path.display());
        rig::fuzz::session(&std::fs::read(&path).expect("a file of the corpus"));
        count += 1;
    }
    assert!(count >= 10, "only {count} files");
}
