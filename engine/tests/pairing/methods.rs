//! Every method of the field has a defined behaviour, in both directions, and none of them ends the session.

use adit_loadtest::shapes::{SUCCESS_SHAPES, fill};

use crate::common::{Bench, NOTIFY, Pair, id_of};

/// The session still works: a share goes up and its verdict comes back, and nothing else stands before it.
#[track_caller]
fn still_mines(pair: &mut Pair) {
    let request = pair.submit("\"after\"", "a.b");
    assert!(request.contains("mining.submit"), "{request}");
    pair.pool.send_line(&fill(SUCCESS_SHAPES[0], &id_of(&request))).unwrap();
    pair.miner.expect_line(&fill(SUCCESS_SHAPES[0], "\"after\""));
}

#[test]
fn requests_of_miners_go_up_under_our_id_and_are_answered_by_the_pool() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let calls = [
        r#""method":"mining.configure","params":[["minimum-difficulty"],{"minimum-difficulty.value":2048}]"#,
        r#""method":"mining.subscribe","params":["again","f000000a"]"#,
        r#""method":"mining.authorize","params":["a.b","d=1024"]"#,
        r#""method":"mining.extranonce.subscribe","params":[]"#,
        r#""method":"mining.suggest_difficulty","params":[0.00015]"#,
        r#""method":"mining.suggest_target","params":["00000000ffff"]"#,
        r#""method":"mining.multi_version","params":[1]"#,
        r#""method":"mining.get_transactions","params":["6f3a"]"#,
        r#""method":"mining.get_txnhashes","params":["6f3a"]"#,
        r#""method":"mining.capabilities","params":[{}]"#,
        r#""method":"mining.ping","params":[]"#,
        r#""method":"agent.get_capabilities","params":[]"#,
        r#""method":"server.get_source","params":[]"#,
        r#""method":"mining.no_such_method","params":{"a":[]}"#,
        r#""method":"no dots","params":null"#,
        r#""method":"""#,
    ];
    for call in calls {
        pair.miner.send_line(&format!(r#"{{"id":"q",{call}}}"#)).unwrap();
        let request = pair.pool.line();
        let id = id_of(&request);
        assert_eq!(request, format!(r#"{{"id":{id},{call}}}"#));
        pair.pool.send_line(&format!(r#"{{"id":{id},"result":"here","error":null}}"#)).unwrap();
        pair.miner.expect_line(r#"{"id":"q","result":"here","error":null}"#);
    }
    still_mines(&mut pair);
}

#[test]
fn requests_that_only_the_pool_may_answer_stay_unanswered_with_it() {
    let bench = Bench::new(&["--set", "timeouts.handshake_reply_ms=2000"]);
    let mut pair = bench.mining("a.b");
    for method in ["mining.suggest_difficulty", "mining.no_such_method"] {
        pair.miner.send_line(&format!(r#"{{"id":8,"method":"{method}","params":[1]}}"#)).unwrap();
        assert!(pair.pool.line().contains(method));
    }
    // One that Adit answers at the deadline, asked behind them: theirs is over by then.
    pair.miner.send_line(r#"{"id":9,"method":"mining.extranonce.subscribe","params":[]}"#).unwrap();
    assert!(pair.pool.line().contains("extranonce"));
    pair.miner.expect_line(r#"{"id":9,"result":null,"error":[20,"pool did not answer",null]}"#);
    still_mines(&mut pair);
}

#[test]
fn notifications_of_miners_go_up_unchanged() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let lines = [
        r#"{"id":null,"method":"mining.suggest_target","params":["00000000ffff"]}"#,
        r#"{"id": null, "method": "mining.capabilities", "params": [{}]}"#,
        r#"{"method":"mining.suggest_difficulty","params":[1024]}"#,
        r#"{"id":42,"method":"pong","params":[]}"#,
    ];
    for line in lines {
        pair.miner.send_line(line).unwrap();
        pair.pool.expect_line(line);
    }
    still_mines(&mut pair);
}

#[test]
fn methods_that_pools_use_among_themselves_are_refused_here() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    for method in ["mining.term", "mining.node", "mining.remote", "mining.passthrough", "mining.update_block"]
    {
        pair.miner.send_line(&format!(r#"{{"id":[1],"method":"{method}","params":[]}}"#)).unwrap();
        pair.miner.expect_line(r#"{"id":[1],"result":null,"error":[20,"Not supported.",null]}"#);
        pair.miner.send_line(&format!(r#"{{"id":null,"method":"{method}","params":[]}}"#)).unwrap();
    }
    still_mines(&mut pair);
}

#[test]
fn what_a_pool_tells_goes_down_unchanged() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let lines = [
        NOTIFY,
        r#"{"params":[0.0040000000000000001],"id":null,"method":"mining.set_difficulty"}"#,
        r#"{"id":null,"method":"mining.set_target","params":["00ff"]}"#,
        r#"{"id":null,"method":"mining.set_extranonce","params":["08000002",4]}"#,
        r#"{"id":null,"method":"mining.set_version_mask","params":["1fffe000"]}"#,
        r#"{"id":null,"method":"mining.set_version_mask","params":"1fffe000"}"#,
        r#"{"id":null,"method":"mining.set_version","params":["1fffe000"]}"#,
        r#"{"id":null,"method":"client.show_message","params":["h\u00e9llo"]}"#,
        r#"{"id":null,"method":"mining.set_goal","params":["bitcoin"]}"#,
        r#"{"id":null,"method":"mining.multi_version","params":["20000000"]}"#,
        // p2pool sends jobs as requests.
        r#"{"jsonrpc":"2.0","id":11,"method":"mining.notify","params":["1","00","00","00",[],"20000000","17034219","66252f80",true]}"#,
        r#"{"method":"mining.set_difficulty","params":[2]}"#,
        r#"{"id":null,"method":"mining.no_such_method","params":[]}"#,
    ];
    for line in lines {
        pair.pool.send_line(line).unwrap();
        pair.miner.expect_line(line);
    }
    // What is no message does not go down: ckpool's goodbye is plain text, and firmware takes any line for an answer.
    pair.pool.send_line(r#"{"neither":"method","nor":"result"}"#).unwrap();
    pair.pool.send_line("Invalid JSON, disconnecting").unwrap();
    still_mines(&mut pair);
}

#[test]
fn a_pools_own_requests_are_answered_by_the_miner() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let exchanges = [
        (r#"{"id":42,"method":"mining.ping","params":[]}"#, r#"{"id":42,"result":"pong","error":null}"#),
        (r#"{"id":42,"method":"mining.ping","params":[]}"#, r#"{"id":42,"method":"pong","params":[]}"#),
        (
            r#"{"id":"v","method":"client.get_version","params":[]}"#,
            r#"{"id":"v","result":"cgminer/4.11.1","error":null}"#,
        ),
    ];
    for (request, answer) in exchanges {
        pair.pool.send_line(request).unwrap();
        pair.miner.expect_line(request);
        pair.miner.send_line(answer).unwrap();
        pair.pool.expect_line(answer);
    }
    still_mines(&mut pair);
}

#[test]
fn a_pool_cannot_send_the_miner_away() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    for params in ["[]", r#"["other.example",3334,5]"#, r#"["other.example","3334"]"#] {
        pair.pool
            .send_line(&format!(r#"{{"id":null,"method":"client.reconnect","params":{params}}}"#))
            .unwrap();
    }
    pair.pool.send_line(NOTIFY).unwrap();
    pair.miner.expect_line(NOTIFY);
    still_mines(&mut pair);
}

#[test]
fn a_submit_before_subscribe_or_by_an_unknown_name_is_refused_here() {
    let bench = Bench::new(&[]);
    let mut miner = bench.miner();
    let submit = crate::common::submit_line("3", "a.b");
    miner.send_line(&submit).unwrap();
    miner.expect_line(r#"{"id":3,"result":null,"error":[25,"Not subscribed",null]}"#);
    let mut pair = bench.mining("a.b");
    pair.miner.send_line(&crate::common::submit_line("null", "some.one")).unwrap();
    pair.miner.expect_line(r#"{"id":null,"result":null,"error":[24,"Unauthorized worker",null]}"#);
    still_mines(&mut pair);
}

#[test]
fn malformed_submits_are_refused_here_or_by_the_pool_and_the_session_goes_on() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    for params in ["[]", "{}", "null", "[1,2,3]", "\"a.b\"", "[null]", "[[\"a.b\"]]"] {
        pair.miner.send_line(&format!(r#"{{"id":5,"method":"mining.submit","params":{params}}}"#)).unwrap();
        let answer = pair.miner.line();
        assert!(answer.starts_with(r#"{"id":5,"result":null,"error":[20,"#), "{params}: {answer}");
    }
    // A name that is authorised and nothing behind it is the pool's to judge.
    pair.miner.send_line(r#"{"id":5,"method":"mining.submit","params":["a.b"]}"#).unwrap();
    pair.answer_next(r#""result":false,"error":[20,"Invalid array size",null]"#);
    still_mines(&mut pair);
}

#[test]
fn pipelined_requests_are_answered_in_their_order_whatever_the_pools() {
    let bench = Bench::new(&[]);
    let mut miner = bench.miner();
    miner
        .send(
            b"{\"id\":1,\"method\":\"mining.configure\",\"params\":[[\"version-rolling\"],{}]}\n\
              {\"id\":2,\"method\":\"mining.subscribe\",\"params\":[\"x\"]}\n\
              {\"id\":3,\"method\":\"mining.authorize\",\"params\":[\"a.b\",\"x\"]}\n",
        )
        .unwrap();
    let mut pool = bench.pool.accept();
    let ids: Vec<String> = (0..3).map(|_| id_of(&pool.line())).collect();
    let answer = |id: &str, n: usize| {
        let result = ["1", r#"[[],"f000000a",4]"#, "3"][n - 1];
        format!(r#"{{"id":{id},"result":{result},"error":null}}"#)
    };
    pool.send_line(&answer(&ids[2], 3)).unwrap();
    pool.send_line(NOTIFY).unwrap();
    pool.send_line(&answer(&ids[1], 2)).unwrap();
    miner.expect_silence(std::time::Duration::from_millis(100));
    pool.send_line(&answer(&ids[0], 1)).unwrap();
    for n in 1..=3 {
        miner.expect_line(&answer(&n.to_string(), n));
    }
    miner.expect_line(NOTIFY);
}

#[test]
fn a_connection_that_says_nothing_valid_costs_the_pool_nothing() {
    let bench = Bench::new(&[]);
    let _silent = bench.miner();
    let mut empty = bench.miner();
    empty.send(b"\n\r\n\n").unwrap();
    let mut refused = bench.miner();
    refused.send_line(r#"{"id":1,"method":"mining.term","params":[]}"#).unwrap();
    refused.expect_line(r#"{"id":1,"result":null,"error":[20,"Not supported.",null]}"#);
    assert!(bench.pool.accept_within(std::time::Duration::from_millis(200)).is_none());
    // The same connection becomes a miner as soon as it speaks; a CR at the end of its line is not part of it.
    empty.send(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[]}\r\n").unwrap();
    let request = bench.pool.accept().line();
    assert_eq!(request, format!(r#"{{"id":{},"method":"mining.subscribe","params":[]}}"#, id_of(&request)));
}
