//! Worker names upstream: rewritten by the template, kept apart, and the same in authorize and submit.

use adit_loadtest::json_line::JsonLine;

use crate::common::{Bench, id_of, submit_line};

/// Names that the pool hears from one miner: in authorize, and in submit.
#[track_caller]
fn heard(bench: &Bench, name: &str) -> (String, String) {
    let mut pair = bench.subscribed();
    pair.miner
        .send_line(&format!(r#"{{"id":2,"method":"mining.authorize","params":["{name}","x"]}}"#))
        .unwrap();
    let authorize = pair.answer_next(r#""result":true,"error":null"#);
    let submit = pair.submit("3", name);
    let first = |line: &str| {
        let params = JsonLine::read(line.as_bytes()).expect("JSON").params();
        params[0].as_str().expect("a name").to_owned()
    };
    assert_eq!(submit, submit_line(&id_of(&submit), &first(&submit)));
    (first(&authorize), first(&submit))
}

#[track_caller]
fn expect_name(bench: &Bench, name: &str, upstream: &str) {
    assert_eq!(heard(bench, name), (upstream.to_owned(), upstream.to_owned()), "{name}");
}

#[test]
fn without_an_account_names_are_the_miners_own() {
    let bench = Bench::new(&[]);
    for name in ["john.test", "bc1qexample", "a/b_c-d.e.f", "ü ñ"] {
        expect_name(&bench, name, name);
    }
}

#[test]
fn with_an_account_the_worker_part_is_put_behind_it() {
    let bench = Bench::new(&["--user", "ACCOUNT"]);
    expect_name(&bench, "john.test", "ACCOUNT.test");
    expect_name(&bench, "nodot", "ACCOUNT.nodot");
    expect_name(&bench, "a.b.c", "ACCOUNT.b_c");
}

#[test]
fn the_whole_name_is_cleaned_by_the_template_that_asks_for_it() {
    let bench = Bench::new(&["--user", "ACCOUNT", "--worker-name", "{account}.{name}"]);
    expect_name(&bench, "john.test", "ACCOUNT.john_test");
}

#[test]
fn of_names_that_come_out_equal_the_later_one_is_told_apart() {
    let bench = Bench::new(&["--user", "ACCOUNT", "--worker-name", "{account}.{name}"]);
    expect_name(&bench, "john.test", "ACCOUNT.john_test");
    let (authorize, submit) = heard(&bench, "john_test");
    assert_eq!(authorize, submit);
    let digits = authorize.strip_prefix("ACCOUNT.john_test_").expect("a suffix");
    assert!(digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{authorize}");
    // Both keep their names when they come again.
    expect_name(&bench, "john.test", "ACCOUNT.john_test");
    expect_name(&bench, "john_test", &authorize);
}

#[test]
fn each_name_on_a_connection_keeps_its_own_upstream_name() {
    let bench = Bench::new(&["--user", "ACCOUNT"]);
    let mut pair = bench.mining("x.one");
    pair.miner.send_line(r#"{"id":3,"method":"mining.authorize","params":["x.two"]}"#).unwrap();
    let authorize = pair.answer_next(r#""result":true,"error":null"#);
    assert!(authorize.contains(r#""params":["ACCOUNT.two"]"#), "{authorize}");
    for (name, upstream) in [("x.one", "ACCOUNT.one"), ("x.two", "ACCOUNT.two"), ("x.one", "ACCOUNT.one")] {
        let submit = pair.submit("4", name);
        assert_eq!(submit, submit_line(&id_of(&submit), upstream));
    }
    pair.miner.send_line(&submit_line("5", "ACCOUNT.one")).unwrap();
    pair.miner.expect_line(r#"{"id":5,"result":null,"error":[24,"Unauthorized worker",null]}"#);
}

#[test]
fn a_name_that_the_pool_refused_cannot_submit() {
    let bench = Bench::new(&["--user", "ACCOUNT"]);
    let mut pair = bench.subscribed();
    pair.miner.send_line(r#"{"id":2,"method":"mining.authorize","params":["a.b","x"]}"#).unwrap();
    pair.answer_next(r#""result":false,"error":[24,"no such account",null]"#);
    pair.miner.send_line(&submit_line("5", "a.b")).unwrap();
    pair.miner.expect_line(r#"{"id":5,"result":null,"error":[24,"Unauthorized worker",null]}"#);
}

#[test]
fn a_submit_right_behind_its_authorize_goes_up_with_it() {
    let bench = Bench::new(&["--user", "ACCOUNT"]);
    let mut pair = bench.subscribed();
    let authorize = r#"{"id":2,"method":"mining.authorize","params":["a.b","x"]}"#;
    pair.miner.send(format!("{authorize}\n{}\n", submit_line("3", "a.b")).as_bytes()).unwrap();
    assert!(pair.pool.line().contains("ACCOUNT.b"));
    assert!(pair.pool.line().contains("ACCOUNT.b"));
}

#[test]
fn the_operators_password_takes_the_place_of_the_miners() {
    let bench = Bench::new(&["--user", "ACCOUNT", "--password", "d=\"1\""]);
    let mut pair = bench.subscribed();
    for params in [r#"["a.b","secret"]"#, r#"["a.b"]"#] {
        pair.miner
            .send_line(&format!(r#"{{"id":2,"method":"mining.authorize","params":{params}}}"#))
            .unwrap();
        let request = pair.answer_next(r#""result":true,"error":null"#);
        assert!(request.contains(r#""params":["ACCOUNT.b","d=\"1\""]"#), "{request}");
    }
}

#[test]
fn more_names_on_one_connection_than_the_limit_are_refused() {
    let bench = Bench::new(&[]);
    let mut pair = bench.subscribed();
    for n in 0..16 {
        pair.miner
            .send_line(&format!(r#"{{"id":{n},"method":"mining.authorize","params":["a.{n}","x"]}}"#))
            .unwrap();
        pair.answer_next(r#""result":true,"error":null"#);
    }
    pair.miner.send_line(r#"{"id":16,"method":"mining.authorize","params":["a.16","x"]}"#).unwrap();
    let answer = pair.miner.line();
    assert!(answer.starts_with(r#"{"id":16,"result":null,"error":[24,"#), "{answer}");
}
