//! Ids of every kind come back exactly as the miner wrote them, whatever shape the pool's answer has.

use adit_loadtest::shapes::{FAILURE_SHAPES, NULL_SUCCESS_SHAPE, SUCCESS_SHAPES, fill};

use crate::common::{Bench, id_of, submit_line};

/// Ids as miners write them, and as some should not.
const IDS: [&str; 16] = [
    "0",
    "4",
    "-1",
    "1.50",
    "1e3",
    "1E+400",
    "18446744073709551616",
    "1234567890123456789012345678901234567890",
    r#""auth""#,
    r#""""#,
    r#""a\"b\\c\u0041\n""#,
    r#""ünïcode""#,
    "true",
    r#"{"a": 1}"#,
    "[1, [null], {}]",
    "null",
];

#[test]
fn ids_of_every_kind_survive_the_round_trip() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let mut seen = Vec::new();
    for id in IDS {
        let request = pair.submit(id, "a.b");
        let upstream: u32 = id_of(&request).parse().expect("an integer of Adit's own upstream");
        assert_eq!(request, submit_line(&upstream.to_string(), "a.b"));
        assert!(!seen.contains(&upstream), "upstream id {upstream} a second time");
        seen.push(upstream);
        pair.pool.send_line(&fill(SUCCESS_SHAPES[0], &upstream.to_string())).unwrap();
        pair.miner.expect_line(&fill(SUCCESS_SHAPES[0], id));
    }
}

#[test]
fn a_huge_id_survives_the_round_trip() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let id = format!("\"{}\"", "x".repeat(10_000));
    let request = pair.submit(&id, "a.b");
    pair.pool.send_line(&fill(SUCCESS_SHAPES[0], &id_of(&request))).unwrap();
    pair.miner.expect_line(&fill(SUCCESS_SHAPES[0], &id));
}

#[test]
fn spaces_and_other_members_around_an_id_stay_where_they_are() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    pair.miner
        .send_line(r#" { "jsonrpc":"2.0", "params" : ["a.b","6f3a","00","66252f80","0053"] , "id" : "x" , "method":"mining.submit" } "#)
        .unwrap();
    let request = pair.pool.line();
    let id = id_of(&request);
    assert_eq!(
        request,
        format!(
            r#" {{ "jsonrpc":"2.0", "params" : ["a.b","6f3a","00","66252f80","0053"] , "id" : {id} , "method":"mining.submit" }} "#
        )
    );
    pair.pool.send_line(&format!(r#"{{ "jsonrpc":"2.0", "result" : true , "id" : {id} }}"#)).unwrap();
    pair.miner.expect_line(r#"{ "jsonrpc":"2.0", "result" : true , "id" : "x" }"#);
}

#[test]
fn one_id_used_again_and_again_gets_as_many_answers() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let upstream: Vec<String> = (0..5).map(|_| id_of(&pair.submit("4", "a.b"))).collect();
    // The pool takes its time and answers in an order of its own.
    for n in [3, 0, 4, 2, 1] {
        pair.pool
            .send_line(&format!(r#"{{"id":{},"result":null,"error":[23,"share {n}",null]}}"#, upstream[n]))
            .unwrap();
        pair.miner.expect_line(&format!(r#"{{"id":4,"result":null,"error":[23,"share {n}",null]}}"#));
    }
}

#[test]
fn the_five_methods_are_answered_with_null_or_without_an_id_as_they_were_asked() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let calls = [
        r#""method":"mining.configure","params":[["version-rolling"],{}]"#,
        r#""method":"mining.subscribe","params":["x"]"#,
        r#""method":"mining.authorize","params":["a.b","x"]"#,
        r#""method":"mining.extranonce.subscribe","params":[]"#,
        r#""method":"mining.submit","params":["a.b","6f3a","00","66252f80","0053"]"#,
    ];
    for call in calls {
        pair.miner.send_line(&format!(r#"{{"id":null,{call}}}"#)).unwrap();
        let id = id_of(&pair.pool.line());
        id.parse::<u32>().expect("an integer of Adit's own upstream");
        pair.pool.send_line(&format!(r#"{{"id":{id},"result":true,"error":null}}"#)).unwrap();
        pair.miner.expect_line(r#"{"id":null,"result":true,"error":null}"#);

        pair.miner.send_line(&format!("{{{call}}}")).unwrap();
        let request = pair.pool.line();
        let id = id_of(&request);
        assert!(request.contains(call), "{request}");
        pair.pool.send_line(&format!(r#"{{"result":true,"error":null,"id":{id}}}"#)).unwrap();
        pair.miner.expect_line(r#"{"result":true,"error":null}"#);
    }
}

#[test]
fn every_shape_of_an_answer_passes_unchanged_but_for_its_id() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let shapes = SUCCESS_SHAPES.iter().chain([&NULL_SUCCESS_SHAPE]).chain(&FAILURE_SHAPES);
    for (n, shape) in shapes.enumerate() {
        let id = format!("\"share {n}\"");
        let request = pair.submit(&id, "a.b");
        pair.pool.send_line(&fill(shape, &id_of(&request))).unwrap();
        pair.miner.expect_line(&fill(shape, &id));
    }
}

#[test]
fn an_answer_to_nothing_is_not_given_to_the_miner() {
    let bench = Bench::new(&[]);
    let mut pair = bench.mining("a.b");
    let id = id_of(&pair.submit("7", "a.b"));
    let number: u32 = id.parse().unwrap();
    let accept = |id: &str| fill(SUCCESS_SHAPES[0], id);
    for stray in [(number + 1).to_string(), "7".into(), format!("\"{id}\""), format!("{id}.5"), "-1".into()] {
        pair.pool.send_line(&accept(&stray)).unwrap();
    }
    pair.pool.send_line(&accept(&id)).unwrap();
    pair.pool.send_line(&accept(&id)).unwrap(); // a second time
    pair.miner.expect_line(&accept("7"));
    // node-stratum-pool answers get_transactions so: it is the answer to nothing in particular.
    pair.pool.send_line(r#"{"id":null,"result":[],"error":true}"#).unwrap();
    pair.pool.send_line(crate::common::NOTIFY).unwrap();
    pair.miner.expect_line(crate::common::NOTIFY);
}
