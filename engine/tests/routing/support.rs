//! Two pools in two groups, Adit before them, and miners driven by hand: what every test of this folder begins with.

use adit_loadtest::peer::Peer;
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};

use crate::common::binary;

/// What the extranonce1 of the pool in group `default` begins with.
pub const DEFAULT: &str = "a0";
/// And that of the pool in group `eu`.
pub const EU: &str = "b0";

/// A subscribe with the id 1.
pub const SUBSCRIBE: &str = r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#;

/// Adit between miners and two pools: one of group `default`, one of group `eu`. It listens on 127.0.0.1 and 127.0.0.2.
pub struct TwoGroups {
    pub adit: Adit,
    pub default: ScriptedPool,
    pub eu: ScriptedPool,
}

/// A pool as one would wish it.
pub fn script(tag: &str) -> Script {
    Script { tag: tag.to_owned(), ..Script::default() }
}

impl TwoGroups {
    /// Starts Adit with these settings, `routes` among them.
    #[track_caller]
    pub fn new(settings: &[&str]) -> Self {
        Self::with(script(DEFAULT), script(EU), settings)
    }

    /// The same before pools that follow these scripts.
    #[track_caller]
    pub fn with(default: Script, eu: Script, settings: &[&str]) -> Self {
        let pool = |script| ScriptedPool::start(script).expect("a pool");
        let (default, eu) = (pool(default), pool(eu));
        let urls = [default.url(), eu.url()];
        let mut arguments =
            vec!["run", "--listen", "127.0.0.1:0", "--listen", "127.0.0.2:0", "--shards", "2"];
        arguments.extend(["--no-pin", "--admin", "off", "--log-level", "info,adit::shard=debug"]);
        arguments.extend(["--pool", &urls[0], "--pool", &urls[1], "--set", "pools.1.group=eu"]);
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        let adit = Adit::start_with(&binary(), arguments, 2).expect("adit starts");
        Self { adit, default, eu }
    }

    /// A miner that has connected and said nothing.
    #[track_caller]
    pub fn miner(&self) -> Peer {
        self.miner_at(0)
    }

    /// The same at this listener.
    #[track_caller]
    pub fn miner_at(&self, listener: usize) -> Peer {
        Peer::connect(self.adit.addresses()[listener]).expect("Adit accepts")
    }
}

/// An authorize with the id 2.
pub fn authorize(name: &str) -> String {
    format!(r#"{{"id":2,"method":"mining.authorize","params":["{name}","x"]}}"#)
}

/// The answer to [`authorize`], which is among the miner's next lines.
#[track_caller]
pub fn answer_to_authorize(miner: &mut Peer) -> String {
    loop {
        let line = miner.line();
        if line.contains(r#""id":2,"#) || line.contains(r#""id":2}"#) {
            return line;
        }
    }
}

/// Among the miner's next lines is a pool's yes to [`authorize`].
#[track_caller]
pub fn expect_authorised(miner: &mut Peer) {
    let answer = answer_to_authorize(miner);
    assert!(answer.contains(r#""result":true"#), "{answer}");
}

/// The miner's next line is the answer to [`SUBSCRIBE`], given by the pool whose tag this is.
#[track_caller]
pub fn expect_pool(miner: &mut Peer, tag: &str) {
    let answer = miner.line();
    let is_answer = answer.contains(r#""id":1"#) && answer.contains("mining.notify");
    assert!(is_answer && answer.contains(&format!("\"{tag}")), "not an answer of pool {tag}: {answer}");
}
