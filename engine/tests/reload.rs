//! A running Adit whose configuration changes: what applies, what waits, and that nobody is dropped for it.

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use adit_loadtest::peer::{Peer, PeerListener};
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};
use adit_loadtest::sim_miner::{Fleet, FleetConfig, Style};
use adit_loadtest::wait;
use common::{NOTIFY, PATIENCE, Pair};

/// How long a pool waits for a miner that may have been sent to another one.
const GLANCE: Duration = Duration::from_millis(200);

/// Adit with a configuration file.
struct Configured {
    adit: Adit,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Configured {
    #[track_caller]
    fn start(text: &str) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("adit.toml");
        fs::write(&path, text).expect("written");
        let file = path.to_string_lossy();
        let flags = [
            "run",
            "--config",
            &file,
            "--listen",
            "127.0.0.1:0",
            "--no-pin",
            "--shards",
            "1",
            "--admin",
            "off",
        ];
        let adit = Adit::start(&common::binary(), flags).expect("adit starts");
        Self { adit, path, _directory: directory }
    }

    /// Changes the file, has it read, and waits until that is in the log.
    #[track_caller]
    fn reload(&self, text: &str, logged: &str) {
        fs::write(&self.path, text).expect("written");
        self.adit.signal("HUP").expect("signalled");
        self.logs(logged);
    }

    #[track_caller]
    fn logs(&self, text: &str) {
        assert!(self.adit.logs_within(text, PATIENCE), "{text:?} in\n{}", self.adit.log_text());
    }

    /// A miner that subscribed, at whichever pool.
    #[track_caller]
    fn miner(&self) -> Peer {
        let mut miner = Peer::connect(self.adit.address()).expect("Adit accepts");
        miner.send_line(r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#).expect("sent");
        miner
    }

    /// A miner that mines at this pool.
    #[track_caller]
    fn mining(&self, pool: &PeerListener) -> Pair {
        let mut pair = Pair { miner: self.miner(), pool: pool.accept() };
        pair.answer_next(r#""result":[[["mining.notify","s1"]],"f000000a",8],"error":null"#);
        pair.miner.send_line(r#"{"id":2,"method":"mining.authorize","params":["rig","x"]}"#).expect("sent");
        pair.answer_next(r#""result":true,"error":null"#);
        pair.pool.send_line(NOTIFY).expect("sent");
        pair.miner.expect_line(NOTIFY);
        pair
    }
}

fn pool() -> PeerListener {
    PeerListener::bind().expect("a loopback listener")
}

fn file(pool: &PeerListener, more: &str) -> String {
    format!("[[pools]]\nurl = \"{}\"\n{more}\n", common::url(pool))
}

/// The miner's next submit still gets to the pool, and its verdict back.
#[track_caller]
fn is_mining(pair: &mut Pair) {
    let request = pair.submit("7", "rig");
    let id = common::id_of(&request);
    pair.pool.send_line(&format!("{{\"id\":{id},\"result\":true,\"error\":null}}")).expect("sent");
    pair.miner.expect_line(r#"{"id":7,"result":true,"error":null}"#);
}

#[test]
fn what_can_change_does_and_the_miners_mine_on() {
    let pool = pool();
    let adit = Configured::start(&file(&pool, ""));
    let mut pair = adit.mining(&pool);
    adit.reload(&file(&pool, "[failover]\nhold_ms = 5"), "failover is changed: hold_ms");
    is_mining(&mut pair);
    adit.reload(
        &file(&pool, "[limits]\nconnections_max = 7"),
        "limits.connections_max waits for a restart: room",
    );
    adit.logs("failover is changed: hold_ms");
    is_mining(&mut pair);
}

#[test]
fn a_broken_file_changes_nothing() {
    let pool = pool();
    let adit = Configured::start(&file(&pool, ""));
    let mut pair = adit.mining(&pool);
    adit.reload("[[pools]]\nurl = 5\n", "line 2, column 7: pools.0.url = 5: it is a number");
    is_mining(&mut pair);
    adit.mining(&pool);
}

#[test]
fn a_file_that_changes_is_read_without_being_told() {
    let pool = pool();
    let adit = Configured::start(&file(&pool, ""));
    fs::write(&adit.path, file(&pool, "[failover]\nlinger_ms = 5")).expect("written");
    adit.logs("failover is changed: linger_ms");
    assert!(adit.adit.log_text().contains("the file changed: the configuration is reloaded"));
}

#[test]
fn new_miners_get_the_new_pool() {
    let (old, new) = (pool(), pool());
    let adit = Configured::start(&file(&old, ""));
    adit.mining(&old);
    adit.reload(&file(&new, ""), "is new");
    let mut asked = Vec::new();
    let came = wait::for_some(PATIENCE, || {
        asked.push(adit.miner());
        new.accept_within(GLANCE)
    });
    assert!(came.is_some(), "nobody came to the new pool:\n{}", adit.adit.log_text());
}

#[test]
fn a_miner_whose_pool_stays_is_left_alone_when_another_is_added_or_taken_away() {
    let (first, second) = (pool(), pool());
    let adit = Configured::start(&file(&first, "name = \"a\""));
    let mut pair = adit.mining(&first);
    let both = file(&first, "name = \"a\"") + &file(&second, "name = \"b\"\npriority = 9");
    adit.reload(&both, "pool b is new");
    is_mining(&mut pair);
    adit.reload(&file(&first, "name = \"a\"\nweight = 2"), "pool b is removed");
    adit.logs("pool a is changed: weight");
    is_mining(&mut pair);
}

#[test]
fn miners_of_a_pool_that_is_taken_away_move_to_another() {
    let (first, second) = (pool(), pool());
    let (a, b) = (file(&first, "name = \"a\""), file(&second, "name = \"b\""));
    let adit = Configured::start(&(a + &b));
    let mut pair = adit.mining(&first);
    adit.reload(&b, "pool a is removed");
    // Adit logs in for the miner, whose old pool is still there.
    let mut prepared = second.accept();
    let request = prepared.line();
    assert!(request.contains("mining.subscribe"), "{request}");
    is_mining(&mut pair);
}

#[test]
fn logins_kept_for_miners_go_with_a_pool_that_is_taken_away() {
    const MINERS: u64 = 5;
    let start =
        |tag: &str| ScriptedPool::start(Script { tag: tag.into(), ..Script::default() }).expect("a pool");
    let (main, standby) = (start("a0"), start("b0"));
    let only = format!("[[pools]]\nname = \"a\"\nurl = \"{}\"\n", main.url());
    let failover = "[failover]\nreserve_ms = 600000\n";
    let both = format!("{only}[[pools]]\nname = \"b\"\nurl = \"{}\"\n{failover}", standby.url());
    let adit = Configured::start(&both);
    let styles = vec![Style::Cgminer];
    let config = FleetConfig { styles, ..FleetConfig::new(adit.adit.address(), MINERS as usize) };
    let fleet = Fleet::start(&config).expect("miners");
    assert!(fleet.all_mining_within(PATIENCE), "not all mine");
    main.kill();
    assert!(wait::until(PATIENCE, || fleet.progress().closes() == MINERS), "they are not closed");
    assert!(standby.log().open >= MINERS, "nothing is kept for them");
    adit.reload(&format!("{only}{failover}"), "pool b is removed");
    assert!(wait::until(PATIENCE, || standby.log().open == 0), "it is kept for ever");
}
