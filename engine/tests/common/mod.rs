//! What the end-to-end tests share: the built binary between a pool and miners, and sessions opened by hand.
#![allow(dead_code)] // every test file uses a part of it

pub mod ledger;
pub mod operator;

use std::path::PathBuf;
use std::time::Duration;

use adit_loadtest::json_line::JsonLine;
use adit_loadtest::peer::{Peer, PeerListener};
use adit_loadtest::process::{Adit, raise_descriptor_limit};

/// How long what should come at once may take on a busy machine.
pub const PATIENCE: Duration = adit_loadtest::peer::PATIENCE;

/// A job as pools send it.
pub const NOTIFY: &str = r#"{"id":null,"method":"mining.notify","params":["6f3a","fd33e5063986da1a346c3f1fd2b00432ecaad478aa200b1c0003ba2700000000","0200000001","ffffffff02",[],"20000000","17034219","66252f80",true]}"#;

/// The binary under test; another build of it by `BINARY_UNDER_TEST`.
pub fn binary() -> PathBuf {
    std::env::var_os("BINARY_UNDER_TEST").map_or_else(|| env!("CARGO_BIN_EXE_adit").into(), PathBuf::from)
}

/// What a test with one pool wants, which is not about failover: a pool that it breaks on purpose stays in use, and a miner
/// whose pool is lost is let go at once. A pool driven by hand may take its time.
pub const ONE_POOL: [&str; 6] = [
    "--set",
    "failover.failures_count=1000000",
    "--set",
    "failover.grace_ms=0",
    "--set",
    "timeouts.first_job_ms=600000",
];

/// `adit run` toward a pool, with one shard and no admin address unless `more` says otherwise.
#[track_caller]
pub fn adit(pool_url: &str, more: &[&str]) -> Adit {
    let mut arguments = vec!["run", "--listen", "127.0.0.1:0", "--pool", pool_url, "--no-pin"];
    if !more.contains(&"--admin") {
        arguments.extend(["--admin", "off"]);
    }
    if !more.contains(&"--shards") {
        arguments.extend(["--shards", "1"]);
    }
    if !more.contains(&"--pool") {
        arguments.extend(ONE_POOL);
    }
    arguments.extend(more);
    Adit::start(&binary(), &arguments).expect("adit starts")
}

/// Whether this process, and whatever it starts, may have so many descriptors; says so if a test is skipped for it.
pub fn may_have_descriptors(wanted: u64) -> bool {
    let descriptors = raise_descriptor_limit(wanted);
    if descriptors < wanted {
        println!("SKIPPED: {wanted} descriptors are needed, and this process may have {descriptors}");
    }
    descriptors >= wanted
}

/// The URL of a pool driven by hand.
pub fn url(pool: &PeerListener) -> String {
    format!("stratum+tcp://{}", pool.address().expect("a bound listener has an address"))
}

/// Both ends of one session through Adit, each driven by hand.
pub struct Pair {
    /// Toward Adit.
    pub miner: Peer,
    /// The connection that Adit made for this miner.
    pub pool: Peer,
}

/// Adit and one pool driven by hand.
pub struct Bench {
    pub adit: Adit,
    pub pool: PeerListener,
}

impl Bench {
    /// Starts Adit toward a new pool.
    #[track_caller]
    pub fn new(more: &[&str]) -> Self {
        let pool = PeerListener::bind().expect("a loopback listener");
        Self { adit: adit(&url(&pool), more), pool }
    }

    /// A miner that has connected and said nothing.
    #[track_caller]
    pub fn miner(&self) -> Peer {
        Peer::connect(self.adit.address()).expect("Adit accepts")
    }

    /// A session whose subscribe is answered.
    #[track_caller]
    pub fn subscribed(&self) -> Pair {
        let mut miner = self.miner();
        miner.send_line(r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#).expect("sent");
        let pool = self.pool.accept();
        let mut pair = Pair { miner, pool };
        pair.answer_next(r#""result":[[["mining.notify","s1"]],"f000000a",8],"error":null"#);
        pair
    }

    /// A session that is subscribed and authorised under this name, with a job.
    #[track_caller]
    pub fn mining(&self, name: &str) -> Pair {
        let mut pair = self.subscribed();
        pair.miner
            .send_line(&format!(r#"{{"id":2,"method":"mining.authorize","params":["{name}","x"]}}"#))
            .expect("sent");
        pair.answer_next(r#""result":true,"error":null"#);
        pair.pool.send_line(NOTIFY).expect("sent");
        pair.miner.expect_line(NOTIFY);
        pair
    }
}

impl Pair {
    /// Reads one request at the pool, answers it with these members, and reads the answer at the miner. Returns the
    /// request as the pool saw it.
    #[track_caller]
    pub fn answer_next(&mut self, members: &str) -> String {
        let request = self.pool.line();
        self.pool.send_line(&format!("{{\"id\":{},{members}}}", id_of(&request))).expect("sent");
        let answer = self.miner.line();
        assert!(answer.contains(members), "{answer}");
        request
    }

    /// Sends a submit under this name and with this id, as written; returns what the pool saw.
    #[track_caller]
    pub fn submit(&mut self, id: &str, name: &str) -> String {
        self.miner.send_line(&submit_line(id, name)).expect("sent");
        self.pool.line()
    }
}

/// A submit with this id, as written.
pub fn submit_line(id: &str, name: &str) -> String {
    format!(
        r#"{{"id":{id},"method":"mining.submit","params":["{name}","6f3a","0000000000000007","66252f80","00534aa3"]}}"#
    )
}

/// The id of a line, as written.
#[track_caller]
pub fn id_of(line: &str) -> String {
    let message = JsonLine::read(line.as_bytes()).unwrap_or_else(|| panic!("not a message: {line}"));
    message.id().unwrap_or_else(|| panic!("no id: {line}")).into()
}
