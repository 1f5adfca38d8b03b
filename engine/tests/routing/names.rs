//! Names of another group than the one that a miner was given: none is ever told to a pool where it does not belong.

use adit_loadtest::peer::Peer;
use adit_loadtest::scripted_pool::{Rule, ScriptedPool};
use adit_loadtest::wait;

use crate::common::PATIENCE;
use crate::support::{
    DEFAULT, EU, SUBSCRIBE, TwoGroups, answer_to_authorize, authorize, expect_authorised, expect_pool, script,
};

const BY_NAME: [&str; 2] = ["routes.0.group=eu", "routes.0.worker=eu.*"];
const DECLARES: &str = r#"{"id":7,"method":"mining.extranonce.subscribe","params":[]}"#;

/// A miner that has the answer to its subscribe, and gives its name only then.
#[track_caller]
fn subscribed(two: &TwoGroups, tag: &str) -> Peer {
    let mut miner = two.miner();
    miner.send_line(SUBSCRIBE).expect("sent");
    expect_pool(&mut miner, tag);
    miner
}

/// What the miner is answered to an authorize before its connection ends.
#[track_caller]
fn sent_back(mut miner: Peer, name: &str) -> String {
    miner.send_line(&authorize(name)).expect("sent");
    let told = miner.lines_until_close();
    told.into_iter().find(|line| line.contains(r#""id":2"#)).expect("an answer")
}

#[track_caller]
fn mines_as(miner: &mut Peer, name: &str) {
    miner.send_line(&authorize(name)).expect("sent");
    expect_authorised(miner);
}

#[track_caller]
fn assert_told_only_to(name: &str, right: &ScriptedPool, wrong: &ScriptedPool) {
    assert!(right.log().names.contains_key(name), "{:?}", right.log().names);
    assert!(!wrong.log().names.contains_key(name), "{:?}", wrong.log().names);
}

#[test]
fn a_miner_that_takes_another_extranonce_is_switched_on_the_connection_that_it_has() {
    let two = TwoGroups::new(&BY_NAME);
    let mut miner = subscribed(&two, DEFAULT);
    miner.send_line(DECLARES).expect("sent");
    miner.send_line(&authorize("eu.rig")).expect("sent");
    expect_authorised(&mut miner);
    let mut line = miner.line();
    while !line.contains("mining.set_extranonce") {
        line = miner.line();
    }
    assert!(line.contains(&format!("\"{EU}")), "{line}");
    assert_told_only_to("eu.rig", &two.eu, &two.default);
}

#[test]
fn a_miner_that_has_no_answer_from_its_pool_yet_is_placed_without_noticing() {
    // The default group's pool is slow: its answer to subscribe comes behind the miner's name.
    let slow = script(DEFAULT).with(Rule::silent("mining.subscribe"));
    let two = TwoGroups::with(slow, script(EU), &BY_NAME);
    let mut miner = two.miner();
    miner.send_line(SUBSCRIBE).expect("sent");
    let is_asked = || two.default.log().requests_of("mining.subscribe") > 0;
    assert!(wait::until(PATIENCE, is_asked), "the first pool is asked before the name is known");
    miner.send_line(&authorize("eu.rig")).expect("sent");
    expect_pool(&mut miner, EU);
    expect_authorised(&mut miner);
    assert_told_only_to("eu.rig", &two.eu, &two.default);
}

#[test]
fn a_miner_that_cannot_be_switched_is_closed_and_its_next_connection_placed_at_once() {
    let two = TwoGroups::new(&BY_NAME);
    assert_eq!(
        sent_back(subscribed(&two, DEFAULT), "eu.rig"),
        r#"{"id":2,"result":null,"error":[20,"Worker belongs to another pool, connect again",null]}"#
    );
    let mut eu = subscribed(&two, EU);
    mines_as(&mut eu, "eu.rig");
    // The next one might be the same, gone without a word; it is not, and takes its own way.
    let answer = sent_back(subscribed(&two, EU), "home.rig");
    assert!(answer.contains("connect again"), "{answer}");
    let mut home = subscribed(&two, DEFAULT);
    mines_as(&mut home, "home.rig");
    assert_told_only_to("eu.rig", &two.eu, &two.default);
    assert_told_only_to("home.rig", &two.default, &two.eu);
    let are_closed = || two.adit.log_count("session ended: misplaced") == 2;
    assert!(wait::until(PATIENCE, are_closed), "{}", two.adit.log_text());
}

#[test]
fn of_miners_behind_one_address_the_one_that_is_away_is_the_one_that_comes() {
    let two = TwoGroups::new(&BY_NAME);
    let mut home = subscribed(&two, DEFAULT);
    mines_as(&mut home, "home.rig");
    sent_back(subscribed(&two, DEFAULT), "eu.rig");
    let mut eu = subscribed(&two, EU);
    mines_as(&mut eu, "eu.rig");
    for round in 1..=5 {
        let (leaves, name, tag) =
            if round % 2 == 0 { (&mut home, "home.rig", DEFAULT) } else { (&mut eu, "eu.rig", EU) };
        leaves.close_sending().expect("an open connection");
        let is_gone = || two.adit.log_count("session ended: miner_closed") == round;
        assert!(wait::until(PATIENCE, is_gone), "{}", two.adit.log_text());
        *leaves = subscribed(&two, tag);
        mines_as(leaves, name);
    }
    assert_eq!(two.adit.log_count("session ended: misplaced"), 1, "only the first time");
}

#[test]
fn a_miner_that_is_placed_wrong_each_time_is_refused_after_three_closes() {
    let two = TwoGroups::new(&BY_NAME);
    // Another one has left: whoever comes may be the one or the other.
    let mut home = subscribed(&two, DEFAULT);
    mines_as(&mut home, "home.rig");
    drop(home);
    for close in 1..=3 {
        let is_gone = || two.adit.log_count("session ended: miner_closed") == close;
        assert!(wait::until(PATIENCE, is_gone), "{}", two.adit.log_text());
        let answer = sent_back(subscribed(&two, DEFAULT), "eu.rig");
        assert!(answer.contains("connect again"), "{answer}");
        // Somebody else comes in its place, and says nothing.
        drop(subscribed(&two, EU));
    }
    let mut miner = subscribed(&two, DEFAULT);
    miner.send_line(&authorize("eu.rig")).expect("sent");
    let answer = answer_to_authorize(&mut miner);
    assert!(answer.contains(r#""error":[24,"Worker belongs to another pool""#), "{answer}");
    mines_as(&mut miner, "home.rig");
    assert!(two.eu.log().names.is_empty());
    assert_told_only_to("home.rig", &two.default, &two.eu);
}

#[test]
fn a_second_name_of_another_group_is_refused_and_the_first_goes_on() {
    let two = TwoGroups::new(&BY_NAME);
    let mut miner = subscribed(&two, DEFAULT);
    miner.send_line(DECLARES).expect("sent");
    mines_as(&mut miner, "home.rig");
    miner.send_line(&authorize("eu.rig")).expect("sent");
    let answer = answer_to_authorize(&mut miner);
    assert!(answer.contains(r#""error":[24,"#), "{answer}");
    mines_as(&mut miner, "home.two");
    assert!(two.eu.log().names.is_empty());
}

#[test]
fn a_name_whose_pools_are_gone_sends_its_miner_away() {
    let two = TwoGroups::new(&[&BY_NAME[..], &["pools.1.enabled=false"]].concat());
    let answer = sent_back(subscribed(&two, DEFAULT), "eu.rig");
    assert!(answer.contains("no pool available"), "{answer}");
    assert!(!two.default.log().names.contains_key("eu.rig"));
}
