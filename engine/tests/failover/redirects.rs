//! A pool sends its clients elsewhere (`client.reconnect`). The pools here are driven by hand: each place is a listener.

use adit_loadtest::peer::{Peer, PeerListener};
use adit_loadtest::process::Adit;

use crate::common::ledger::{Kept, events, stop};
use crate::common::{NOTIFY, Pair, adit, id_of, submit_line, url};

/// One pool, whose first failure takes it down, and moves that are not spread.
const SETTINGS: [&str; 5] = [
    "failover.failures_count=1",
    "failover.grace_ms=30000",
    "failover.failback_spread_ms=0",
    "failover.hold_ms=600000",
    "failover.close_jitter_ms=0",
];

struct Scene {
    kept: Kept,
    adit: Adit,
    pool: PeerListener,
    elsewhere: PeerListener,
}

impl Scene {
    fn new() -> Self {
        let [pool, elsewhere] = [(), ()].map(|()| PeerListener::bind().expect("a loopback listener"));
        let kept = Kept::new();
        let file = kept.file().to_str().expect("a path").to_owned();
        let mut arguments = vec!["--admin", "off", "--ledger", &file];
        let pool_url = url(&pool);
        // Twice the same: then nothing is set for tests with one pool.
        arguments.extend([
            "--pool",
            &pool_url,
            "--set",
            "pools.1.enabled=false",
            "--set",
            "pools.1.name=unused",
        ]);
        for setting in &SETTINGS {
            arguments.extend(["--set", setting]);
        }
        let adit = adit(&pool_url, &arguments);
        Self { kept, adit, pool, elsewhere }
    }

    /// A miner that mines at the pool, and may know `mining.set_extranonce`.
    fn mining(&self, takes_extranonce: bool) -> Pair {
        let mut miner = Peer::connect(self.adit.address()).expect("Adit accepts");
        miner.send_line(r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#).expect("sent");
        let mut pair = Pair { miner, pool: self.pool.accept() };
        pair.answer_next(r#""result":[[["mining.notify","s1"]],"f000000a",8],"error":null"#);
        if takes_extranonce {
            pair.miner
                .send_line(r#"{"id":3,"method":"mining.extranonce.subscribe","params":[]}"#)
                .expect("sent");
            pair.answer_next(r#""result":true,"error":null"#);
        }
        pair.miner.send_line(r#"{"id":2,"method":"mining.authorize","params":["a.b","x"]}"#).expect("sent");
        pair.answer_next(r#""result":true,"error":null"#);
        pair.pool.send_line(NOTIFY).expect("sent");
        pair.miner.expect_line(NOTIFY);
        pair
    }

    fn reconnect(&self) -> String {
        let port = self.elsewhere.address().expect("bound").port();
        format!(r#"{{"id":null,"method":"client.reconnect","params":["127.0.0.1",{port},0]}}"#)
    }

    /// The login that Adit makes at the place that the pool named, answered.
    fn log_in_elsewhere(&self) -> Peer {
        let mut there = self.elsewhere.accept();
        loop {
            let request = there.line();
            let id = id_of(&request);
            let result = if request.contains("mining.subscribe") {
                r#"[[["mining.notify","s2"]],"0000beef",6]"#
            } else {
                "true"
            };
            there.send_line(&format!(r#"{{"id":{id},"result":{result},"error":null}}"#)).expect("sent");
            if request.contains("mining.authorize") {
                break;
            }
        }
        there.send_line(r#"{"id":null,"method":"mining.set_difficulty","params":[8]}"#).expect("sent");
        there.send_line(NOTIFY).expect("sent");
        there
    }

    /// Stops Adit, and gives the details of the events of a kind.
    fn events(self, kind: &str) -> Vec<String> {
        stop(self.adit);
        events(self.kept.file(), kind).into_iter().map(|event| event.detail).collect()
    }
}

/// The miner is told of the new place in one write, and submits there.
fn assert_mines_there(miner: &mut Peer, there: &mut Peer) {
    assert!(miner.line().contains(r#""mining.set_extranonce","params":["0000beef",6]"#));
    assert!(miner.line().contains("mining.set_difficulty"));
    let job = miner.line();
    let id = job.split('"').nth(9).expect("a job's id").to_owned();
    assert!(job.contains("mining.notify") && id.starts_with('z'), "{job}");
    miner.send_line(&submit_line("9", "a.b").replace("6f3a", &id)).expect("sent");
    let share = there.line();
    assert!(share.contains("mining.submit") && share.contains(r#""6f3a""#), "{share}");
    there.send_line(&format!(r#"{{"id":{},"result":true,"error":null}}"#, id_of(&share))).expect("sent");
    miner.expect_line(r#"{"id":9,"result":true,"error":null}"#);
}

#[test]
fn a_reconnect_is_followed_upstream_and_never_passed_down() {
    let scene = Scene::new();
    let mut pair = scene.mining(true);
    pair.pool.send_line(&scene.reconnect()).expect("sent");
    let mut there = scene.log_in_elsewhere();
    assert_mines_there(&mut pair.miner, &mut there);
    // It wants everybody back, again and again: nobody moves within the hold time.
    let back = format!(
        r#"{{"id":null,"method":"client.reconnect","params":["127.0.0.1",{},0]}}"#,
        scene.pool.address().expect("bound").port()
    );
    for _ in 0..20 {
        there.send_line(&back).expect("sent");
    }
    there.send_line(r#"{"id":null,"method":"mining.set_difficulty","params":[16]}"#).expect("sent");
    assert!(pair.miner.line().contains("[16]"), "the next that the miner hears");
    drop((pair, there));
    let place = scene.elsewhere.address().expect("bound");
    let told = scene.events("redirect");
    assert_eq!(told, [format!("to {place}: followed")]);
}

#[test]
fn a_pool_that_closes_behind_its_reconnect_has_not_failed() {
    let scene = Scene::new();
    let mut pair = scene.mining(true);
    pair.pool.send_line(&scene.reconnect()).expect("sent");
    drop(pair.pool);
    let mut there = scene.log_in_elsewhere();
    assert_mines_there(&mut pair.miner, &mut there);
    // One failure would have taken it down.
    let another = scene.mining(false);
    let states = scene.events("pool_state");
    // Not before: a pool that goes first has failed.
    drop((pair.miner, there, another));
    assert_eq!(states, [""; 0]);
}

#[test]
fn a_miner_that_cannot_be_switched_comes_back_to_the_place_that_the_pool_named() {
    let scene = Scene::new();
    let mut pair = scene.mining(false);
    pair.pool.send_line(&scene.reconnect()).expect("sent");
    drop(pair.pool);
    let mut there = scene.log_in_elsewhere();
    pair.miner.expect_close();
    let mut miner = Peer::connect(scene.adit.address()).expect("Adit accepts");
    miner.send_line(r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#).expect("sent");
    assert!(miner.line().contains("0000beef"), "the connection was kept for it");
    miner.send_line(r#"{"id":2,"method":"mining.authorize","params":["a.b","x"]}"#).expect("sent");
    let heard: Vec<String> = (0..3).map(|_| miner.line()).collect();
    assert!(heard.iter().any(|line| line.contains("mining.notify")), "{heard:?}");
    assert!(heard.iter().any(|line| line.starts_with(r#"{"id":2,"result":true"#)), "{heard:?}");
    miner.send_line(&submit_line("9", "a.b")).expect("sent");
    assert!(there.line().contains("mining.submit"));
    drop((miner, there));
    let moves = scene.events("switch");
    assert!(matches!(&moves[..], [one] if one.contains(", reconnect, closed to come back, ")), "{moves:?}");
}

#[test]
fn a_reconnect_to_another_domain_is_refused_and_told() {
    let scene = Scene::new();
    let mut pair = scene.mining(true);
    for line in [
        r#"{"id":null,"method":"client.reconnect","params":["evil.example",3333,0]}"#,
        r#"{"id":null,"method":"client.reconnect","params":["127.0.0.2",3333,0]}"#,
        r#"{"id":null,"method":"client.reconnect","params":["not a host",3333,0]}"#,
    ] {
        pair.pool.send_line(line).expect("sent");
        pair.pool.send_line(NOTIFY).expect("sent");
        pair.miner.expect_line(NOTIFY);
    }
    drop(pair);
    assert_eq!(
        scene.events("redirect"),
        ["to evil.example:3333: refused, another domain", "to 127.0.0.2:3333: refused, another domain"]
    );
}

#[test]
fn a_pool_that_asks_for_it_endlessly_fills_no_log() {
    const ASKED: usize = 10;
    let scene = Scene::new();
    let mut pair = scene.mining(true);
    let hosts: Vec<String> = (0..ASKED).map(|n| format!("evil{n}.example")).collect();
    for host in &hosts {
        let line = format!(r#"{{"id":null,"method":"client.reconnect","params":["{host}",3333,0]}}"#);
        pair.pool.send_line(&line).expect("sent");
        // Each by itself: of those in one segment only the last is told anyway.
        pair.pool.send_line(NOTIFY).expect("sent");
        pair.miner.expect_line(NOTIFY);
    }
    drop(pair);
    let told = hosts.iter().take(4).map(|host| format!("to {host}:3333: refused, another domain"));
    assert_eq!(scene.events("redirect"), told.collect::<Vec<_>>(), "the first four of {ASKED}");
}
