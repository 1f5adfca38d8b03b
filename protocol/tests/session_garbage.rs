//! What a pool says that is no Stratum: none of it reaches a miner, all of it is counted, and too much of it is no pool.

mod rig;

use adit_protocol::event::{CloseReason, Event, Oddity, Outcome, Side, Wire};
use adit_protocol::limits::POOL_LINE_BYTES_MAX;
use rig::Rig;

const SUBMIT: &str = "{\"id\":4,\"method\":\"mining.submit\",\"params\":[\"a.b\",\"j1\",\"00000001\",\"66252f80\",\"00534aa3\"]}\n";

/// A good job, its id and its other params put in.
fn notify(params: &str) -> String {
    format!("{{\"id\":null,\"method\":\"mining.notify\",\"params\":{params}}}\n")
}

fn job() -> String {
    notify(r#"["j1","ab","01","02",[],"20000000","1d00ffff","66252f80",true]"#)
}

/// A call of the pool with these params.
fn call(method: &str, params: &str) -> String {
    format!("{{\"id\":null,\"method\":\"{method}\",\"params\":{params}}}\n")
}

/// What the miner hears of one line, and what it is counted as.
#[track_caller]
fn hears(line: &[u8]) -> (String, Vec<Oddity>) {
    let mut rig = Rig::mining("a.b");
    rig.bytes(Side::Pool(Wire::A), line);
    assert_eq!((rig.finished(), rig.take_pool().as_str()), (None, ""));
    (rig.take_miner(), rig.oddities())
}

#[track_caller]
fn is_held_back(line: &[u8], oddity: Oddity) {
    assert_eq!(hears(line), (String::new(), vec![oddity]), "{}", String::from_utf8_lossy(line));
}

#[test]
fn what_is_no_message_is_held_back() {
    let lines: [&[u8]; 14] = [
        b"Invalid JSON, disconnecting\n",
        b"HTTP/1.1 502 Bad Gateway\n",
        b"\x16\x03\x01\x02\x00\n",
        b"\x00\x01\xff noise\n",
        b"[]\n",
        b"null\n",
        b"17\n",
        b"\"mining.notify\"\n",
        b"{\"id\":null,\"method\":\"mining.notify\"\n",
        b"{\"id\":1,\"id\":2,\"result\":true}\n",
        b"{\"id\":null,\"method\":\"client.show_message\",\"method\":\"client.reconnect\",\"params\":[]}\n",
        b"{\"id\":null,\"method\":\"client.show_message\",\"params\":[\"\xff\"]}\n",
        b"{}\n",
        // Firmware that does not look at the case of a key reads a method here.
        b"{\"id\":null,\"Method\":\"client.reconnect\",\"params\":[]}\n",
    ];
    for line in lines {
        is_held_back(line, Oddity::PoolText);
    }
    is_held_back(
        format!("{{\"params\":{}1{}}}\n", "[".repeat(100), "]".repeat(100)).as_bytes(),
        Oddity::PoolText,
    );
}

#[test]
fn a_response_to_nothing_is_held_back() {
    for line in [
        "{\"id\":null,\"result\":[],\"error\":true}\n",
        "{\"id\":77,\"result\":true}\n",
        "{\"id\":\"x\",\"result\":true}\n",
        "{\"result\":true}\n",
        "{\"id\":{},\"error\":\"what?\"}\n",
        "{\"id\":[1000],\"reject-reason\":\"what?\"}\n",
    ] {
        is_held_back(line.as_bytes(), Oddity::StrayResponse);
    }
}

#[test]
fn jobs_that_are_none_are_held_back() {
    let branch = format!("\"{}\"", "ab".repeat(32));
    let branches = vec![branch; 1_000].join(",");
    let lines = [
        notify("[]"),
        notify("null"),
        notify("{}"),
        notify("\"j1\""),
        "{\"id\":null,\"method\":\"mining.notify\"}\n".to_owned(),
        notify(r#"["j1","ab","01","02",[],"20000000","1d00ffff"]"#),
        notify(r#"[17,"ab","01","02",[],"20000000","1d00ffff","66252f80",true]"#),
        notify(r#"[null,"ab","01","02",[],"20000000","1d00ffff","66252f80",true]"#),
        notify(r#"["j1",null,"01","02",[],"20000000","1d00ffff","66252f80",true]"#),
        notify(r#"["j1","ab",{},"02",[],"20000000","1d00ffff","66252f80",true]"#),
        notify(r#"["j1","ab","01",false,[],"20000000","1d00ffff","66252f80",true]"#),
        notify(r#"["j1","ab","01","02","[]","20000000","1d00ffff","66252f80",true]"#),
        notify(r#"["j1","ab","01","02",[],536870912,"1d00ffff","66252f80",true]"#),
        notify(r#"["j1","ab","01","02",[],"20000000",["1d00ffff"],"66252f80",true]"#),
        notify(r#"["j1","ab","01","02",[],"20000000","1d00ffff",1713713024,true]"#),
        notify(&format!(r#"["j1","ab","01","02",[{branches}],"20000000","1d00ffff","66252f80",true]"#)),
    ];
    for line in lines {
        is_held_back(line.as_bytes(), Oddity::PoolMalformed);
    }
}

#[test]
fn terms_that_are_none_are_held_back_and_change_nothing() {
    let wrong: [(&str, &[&str]); 3] = [
        (
            "mining.set_difficulty",
            &["[]", "null", "[0]", "[-1]", "[1e999]", "[\"8\"]", "[null]", "[[8]]", "{\"difficulty\":8}"],
        ),
        (
            "mining.set_extranonce",
            &[
                "[]",
                "[\"zz\",4]",
                "[\"f00\",4]",
                "[\"f0\",0]",
                "[\"f0\",65000]",
                "[\"f0\",-1]",
                "[\"f0\",\"4\"]",
                "[4,\"f0\"]",
                "null",
            ],
        ),
        (
            "mining.set_version_mask",
            &["[]", "[8]", "[\"+1\"]", "[\"1fffe000ff\"]", "[\"mask\"]", "null", "{}"],
        ),
    ];
    for (method, all) in wrong {
        for params in all {
            is_held_back(call(method, params).as_bytes(), Oddity::PoolMalformed);
        }
    }
    let mut rig = Rig::mining("a.b");
    rig.pool(&call("mining.set_difficulty", "[16]"));
    rig.pool(&call("mining.set_difficulty", "[-3]"));
    rig.pool(&job());
    rig.miner(SUBMIT);
    rig.pool("{\"id\":1002,\"result\":true}\n");
    assert!((rig.shares()[0].difficulty - 16.0).abs() < f64::EPSILON, "the last one that was one");
}

#[test]
fn methods_that_firmware_takes_for_others_are_held_back() {
    for method in ["Client.Reconnect", "client.reconnect.now", "MINING.NOTIFY", "mining.set_difficulty2"] {
        is_held_back(call(method, "[]").as_bytes(), Oddity::PoolMalformed);
    }
    is_held_back(
        call("client\\u002ereconnect", "[\"evil.example\",1]").as_bytes(),
        Oddity::ReconnectHeldBack,
    );
}

#[test]
fn what_nobody_knows_but_is_well_formed_passes_as_it_is() {
    for line in [
        call("client.show_message", "[\"hello\"]"),
        call("mining.set_goal", "[\"main\",{}]"),
        call("some.thing", "null"),
        "{\"method\":\"mining.multi_version\",\"params\":[4]}\n".to_owned(),
        "{\"id\":42,\"method\":\"mining.ping\",\"params\":[]}\n".to_owned(),
        call("mining.set_difficulty", "[0.002]"),
        "{\"id\":7,\"jsonrpc\":\"2.0\",\"method\":\"mining.set_version_mask\",\"params\":\"1fffe000\"}\n"
            .to_owned(),
        notify(r#"["j1","ab","01","02",[],"20000000","1d00ffff","66252f80"]"#),
        notify(r#"["j1","ab","01","02",[],"20000000","1d00ffff","66252f80",false,"more"]"#),
    ] {
        assert_eq!(hears(line.as_bytes()), (line, vec![]));
    }
}

#[test]
fn a_pool_that_speaks_garbage_is_given_up() {
    let noise = "\u{0}\u{1} noise\n".to_owned();
    for garbage in [noise, "{}\n".to_owned(), notify("[]"), call("mining.set_difficulty", "[0]")] {
        let mut rig = Rig::mining("a.b");
        rig.pool(&job());
        rig.take_miner();
        rig.miner(SUBMIT);
        rig.pool(&garbage.repeat(8));
        assert_eq!((rig.take_miner().as_str(), rig.finished()), ("", None));
        rig.pool(&garbage);
        assert_eq!(
            rig.take_miner(),
            "{\"id\":4,\"result\":null,\"error\":[20,\"pool connection lost\",null]}\n",
            "its miner hears of none of it"
        );
        assert_eq!(rig.finished(), Some(CloseReason::PoolGarbage));
        assert_eq!(rig.shares()[0].outcome, Outcome::Unanswered);
    }
}

#[test]
fn a_good_job_is_a_fresh_start() {
    let mut rig = Rig::mining("a.b");
    for _ in 0..10 {
        rig.pool(&"what?\n".repeat(8));
        rig.pool(&job());
    }
    assert_eq!((rig.take_miner(), rig.finished()), (job().repeat(10), None));
    assert_eq!(rig.oddities().len(), 80);
}

#[test]
fn a_line_without_end_is_the_end_of_the_connection() {
    let mut rig = Rig::mining("a.b");
    rig.bytes(Side::Pool(Wire::A), &vec![b' '; POOL_LINE_BYTES_MAX + 1]);
    assert_eq!((rig.take_miner().as_str(), rig.finished()), ("", Some(CloseReason::PoolLineTooLong)));
}

#[test]
fn a_subscription_that_cannot_be_read_is_asked_of_another_pool() {
    for result in ["null", "true", "[]", "[[],\"zz\",4]", "[[],\"f0\",65000]", "[[],\"f0\",0]", "{\"a\":1}"] {
        let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
        rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
        rig.connected(Wire::A);
        rig.pool(&format!("{{\"id\":1000,\"result\":{result},\"error\":null}}\n"));
        assert_eq!(rig.take_miner(), "", "{result}");
        assert_eq!(rig.oddities(), [Oddity::PoolMalformed]);
        let why = CloseReason::PoolGarbage;
        assert!(rig.events.contains(&Event::PoolLost { wire: Wire::A, pool: rig::POOL, why }));
        rig.pass_ms(30_000);
        assert!(
            rig.take_miner().starts_with("{\"id\":1,\"result\":null,\"error\":["),
            "it is owed an answer"
        );
    }
    // ckpool's words for params that it does not like.
    for no in [
        "\"result\":null,\"error\":[20,\"go away\",null]",
        "\"result\":\"params not an array\",\"error\":null",
        "\"result\":false",
    ] {
        let mut rig = Rig::default();
        rig.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\n");
        rig.connected(Wire::A);
        rig.pool(&format!("{{\"id\":1000,{no}}}\n"));
        assert_eq!(rig.take_miner(), format!("{{\"id\":1,{no}}}\n"), "the pool's own no");
    }
}

#[test]
fn garbage_in_a_login_is_no_job() {
    let mut rig = Rig { ends_without_pool: false, ..Rig::default() };
    rig.log_in("a.b");
    rig.prepare(Wire::B, adit_protocol::pool::PoolId(2), adit_protocol::event::MoveReason::FailBack);
    rig.connected(Wire::B);
    rig.on(Wire::B, "{\"id\":1002,\"result\":[[],\"f000000a\",4]}\n{\"id\":1003,\"result\":true}\n");
    rig.on(Wire::B, &notify("[]"));
    rig.pass_ms(1_000);
    assert_eq!((rig.take_miner().as_str(), rig.oddities()), ("", vec![Oddity::PoolMalformed]));
    rig.on(Wire::B, &job());
    rig.pass_ms(1_000);
    assert!(rig.take_miner().contains("\"j1\""));
}
