//! Miners that begin with an HTTP request: a path that a route names leads to its group, and any other is a web client's.

use std::time::Duration;

use adit_loadtest::peer::Peer;
use adit_loadtest::scripted_pool::ScriptedPool;

use crate::support::{DEFAULT, EU, SUBSCRIBE, TwoGroups, authorize, expect_authorised, expect_pool};

const GET: &str = "GET /order-1 HTTP/1.1\r\nHost: adit.example:3333\r\nUser-Agent: {miner}\r\n\r\n";
const CONNECT: &str = "CONNECT eu.example:3333 HTTP/1.1\r\n\r\n";
const PAUSE: Duration = Duration::from_micros(200);

fn by_path() -> TwoGroups {
    TwoGroups::new(&[
        "routes.0.group=eu",
        "routes.0.path=/order-1",
        "routes.1.group=eu",
        "routes.1.path=eu.example:3333",
    ])
}

#[track_caller]
fn expect_welcome(miner: &mut Peer) {
    miner.expect_line("HTTP/1.1 200 OK\r");
    miner.expect_line("\r");
}

#[test]
fn a_path_by_get_and_a_place_by_connect_lead_to_their_group_and_stratum_follows() {
    let two = by_path();
    for head in [GET, CONNECT] {
        let mut waits = two.miner();
        waits.send(head.as_bytes()).expect("sent");
        expect_welcome(&mut waits);
        waits.send_line(SUBSCRIBE).expect("sent");
        expect_pool(&mut waits, EU);

        let mut pipelines = two.miner();
        pipelines.send(format!("{head}{SUBSCRIBE}\n").as_bytes()).expect("sent");
        expect_welcome(&mut pipelines);
        expect_pool(&mut pipelines, EU);

        let mut dribbles = two.miner();
        dribbles.send_in_pieces(format!("{head}{SUBSCRIBE}\n").as_bytes(), 1, PAUSE).expect("sent");
        expect_welcome(&mut dribbles);
        expect_pool(&mut dribbles, EU);
    }
}

#[test]
fn without_a_known_path_it_is_a_web_client_and_without_any_a_miner() {
    let two = by_path();
    let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(256));
    for head in [
        "GET / HTTP/1.1\r\n",
        "GET /order-10 HTTP/1.1\r\n",
        "POST /order-1 HTTP/1.1\r\n",
        "CONNECT eu.example:3334 HTTP/1.1\r\n",
        "CONNECT other.example:3333 HTTP/1.1\r\n",
        "GET /order-1\r\n",
        &long,
    ] {
        let mut client = two.miner();
        client.send(head.as_bytes()).expect("sent");
        let told = client.lines_until_close();
        assert_eq!(told.first().map(String::as_str), Some("HTTP/1.1 400 Bad Request\r"), "{head}");
        assert!(told.last().is_some_and(|line| line.contains("speaks Stratum")), "{told:?}");
    }
    let mut endless = two.miner();
    let _ = endless.send(format!("GET /{}", "a".repeat(20_000)).as_bytes()); // Adit may close before it has read it all
    let told = endless.lines_until_close();
    assert_eq!(told, [r#"{"id":null,"result":null,"error":[20,"Line too long",null]}"#]);
    let mut miner = two.miner();
    miner.send_line(SUBSCRIBE).expect("sent");
    expect_pool(&mut miner, DEFAULT);
}

#[test]
fn of_routes_by_path_and_by_name_the_first_that_holds_counts() {
    let two = TwoGroups::new(&[
        "routes.0.group=default",
        "routes.0.worker=home.*",
        "routes.1.group=eu",
        "routes.1.path=/order-1",
    ]);
    let head = "GET /order-1?rent=7 HTTP/1.1\r\n\r\n";
    for (head, name, tag) in [(head, "home.rig", DEFAULT), (head, "farm.rig", EU), ("", "farm.rig", DEFAULT)]
    {
        let mut miner = two.miner();
        miner.send(format!("{head}{SUBSCRIBE}\n{}\n", authorize(name)).as_bytes()).expect("sent");
        if !head.is_empty() {
            expect_welcome(&mut miner);
        }
        expect_pool(&mut miner, tag);
        expect_authorised(&mut miner);
    }
    let names = |pool: &ScriptedPool| pool.log().names.keys().cloned().collect::<Vec<_>>();
    assert_eq!(
        (names(&two.default), names(&two.eu)),
        (vec!["farm.rig".into(), "home.rig".into()], vec!["farm.rig".into()])
    );
}
