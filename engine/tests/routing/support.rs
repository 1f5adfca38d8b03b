//! Two pools in two groups, Adit before them, and miners driven by hand: what every test of this folder begins with.

use adit_loadtest::peer::Peer;
use adit_loadtest::process::Adit;
use adit_loadtest::scripted_pool::{Script, ScriptedPool};

use crate::common;

/// What the extranonce1 of the pool in group `default` begins with.
pub const DEFAULT: &str = "a0";
/// And that of the pool in group `eu`.
pub const EU: &str = "b0";

/// A subscribe with the id 1.
pub const SUBSCRIBE: &str = r#"{"id":1,"method":"mining.subscribe","params":["test/1"]}"#;

/// Adit between miners and two pools: one of group `default`, one of group `eu`.
pub struct TwoGroups {
    pub adit: Adit,
    pub default: ScriptedPool,
    pub eu: ScriptedPool,
}

impl TwoGroups {
    /// Starts Adit with these settings, `routes` among them.
    #[track_caller]
    pub fn new(settings: &[&str]) -> Self {
        let pool = |tag: &str| {
            ScriptedPool::start(Script { tag: tag.to_owned(), ..Script::default() }).expect("a pool")
        };
        let (default, eu) = (pool(DEFAULT), pool(EU));
        let second = eu.url();
        let mut arguments = vec!["--pool", &second, "--set", "pools.1.group=eu"];
        for setting in settings {
            arguments.extend(["--set", setting]);
        }
        Self { adit: common::adit(&default.url(), &arguments), default, eu }
    }

    /// A miner that has connected and said nothing.
    #[track_caller]
    pub fn miner(&self) -> Peer {
        Peer::connect(self.adit.address()).expect("Adit accepts")
    }
}

/// An authorize with the id 2.
pub fn authorize(name: &str) -> String {
    format!(r#"{{"id":2,"method":"mining.authorize","params":["{name}","x"]}}"#)
}

/// Among the miner's next lines is a pool's yes to [`authorize`].
#[track_caller]
pub fn expect_authorised(miner: &mut Peer) {
    let mut line = miner.line();
    while !line.contains(r#""id":2"#) {
        line = miner.line();
    }
    assert!(line.contains(r#""result":true"#), "{line}");
}

/// The miner's next line is the answer to [`SUBSCRIBE`], given by the pool whose tag this is.
#[track_caller]
pub fn expect_pool(miner: &mut Peer, tag: &str) {
    let answer = miner.line();
    let is_answer = answer.contains(r#""id":1"#) && answer.contains("mining.notify");
    assert!(is_answer && answer.contains(&format!("\"{tag}")), "not an answer of pool {tag}: {answer}");
}
