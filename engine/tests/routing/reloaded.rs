//! Routes that change while miners mine: those that belong elsewhere now go there, the others stay.

use std::fs;

use adit_loadtest::peer::{Heard, Peer};
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::ScriptedPool;

use crate::common::{PATIENCE, binary};
use crate::support::{DEFAULT, EU, SUBSCRIBE, authorize, expect_authorised, expect_pool, script};

const DECLARES: &str = r#"{"id":7,"method":"mining.extranonce.subscribe","params":[]}"#;

#[track_caller]
fn mining(adit: &Adit, name: &str) -> Peer {
    let mut miner = Peer::connect(adit.address()).expect("Adit accepts");
    miner.send_line(SUBSCRIBE).expect("sent");
    expect_pool(&mut miner, DEFAULT);
    miner.send_line(&authorize(name)).expect("sent");
    expect_authorised(&mut miner);
    miner
}

#[test]
fn miners_follow_a_route_that_is_new_and_nobody_else_is_moved() {
    let [main, eu] = [DEFAULT, EU].map(|tag| ScriptedPool::start(script(tag)).expect("a pool"));
    let pools = format!(
        "[[pools]]\nurl = \"{}\"\n[[pools]]\nurl = \"{}\"\ngroup = \"eu\"\n[failover]\nhold_ms = 0\n\
         failback_spread_ms = 0\nclose_jitter_ms = 0\n",
        main.url(),
        eu.url()
    );
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("adit.toml");
    fs::write(&path, &pools).expect("written");
    let file = path.to_string_lossy();
    let arguments =
        ["run", "--config", &file, "--listen", "127.0.0.1:0", "--no-pin", "--shards", "1", "--admin", "off"];
    let adit = Adit::start(&binary(), arguments).expect("adit starts");
    let mut follows = mining(&adit, "eu.one");
    follows.send_line(DECLARES).expect("sent");
    let mut comes_back = mining(&adit, "eu.two");
    let mut stays = mining(&adit, "home.rig");

    fs::write(&path, format!("{pools}[[routes]]\ngroup = \"eu\"\nworker = \"eu.*\"\n")).expect("written");
    adit.signal("HUP").expect("signalled");
    let mut line = follows.line();
    while !line.contains("mining.set_extranonce") {
        line = follows.line();
    }
    assert!(line.contains(&format!("\"{EU}")), "{line}");
    let told = comes_back.lines_until_close();
    assert!(!told.iter().any(|line| line.contains("mining.set_extranonce")), "{told:?}");
    let mut back = Peer::connect(adit.address()).expect("Adit accepts");
    back.send_line(SUBSCRIBE).expect("sent");
    expect_pool(&mut back, EU);

    main.new_job();
    let mut heard = stays.hear(PATIENCE);
    while !matches!(&heard, Heard::Line(line) if line.starts_with(br#"{"id":null,"method":"mining.notify""#))
    {
        assert!(matches!(heard, Heard::Line(_)), "{heard:?}");
        heard = stays.hear(PATIENCE);
    }
    assert!(!eu.log().names.contains_key("home.rig"));
}
