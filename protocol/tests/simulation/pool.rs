//! Simulated pools, and their connections: each checks that what it gets was made for it, and answers as well or as badly
//! as it likes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::miner::{Work, session_id};
use crate::random::Random;

/// What a pool is like.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent traits, in any combination")]
pub struct Nature {
    pub silent_percent: u64,
    pub double_percent: u64,
    pub slow_percent: u64,
    pub configures: bool,
    pub unreachable_percent: u64,
    /// How long each of its connections lives.
    pub lives_ms: u64,
    /// When the process is gone, from and to: at the first of these all its connections break, and until the other new ones
    /// fail. Once, or one time after the other: then it flaps.
    pub outages_ms: Vec<(u64, u64)>,
    /// When a reset cuts a line of all its connections in two.
    pub torn_ms: Option<u64>,
    /// Whether it takes connections and never says a word.
    pub is_mute: bool,
    /// When it stops saying anything although its connections stand.
    pub frozen_ms: Option<u64>,
    /// When it sends noise.
    pub garbage_ms: Option<u64>,
    /// When it refuses every name.
    pub refuses_ms: Option<u64>,
    /// When it wants its clients elsewhere.
    pub reconnect_ms: Option<u64>,
    /// Whether all its connections have the extranonce1 that most pools of the world have.
    pub same_extranonce: bool,
    /// Whether its job ids are small numbers, as other pools' are, too.
    pub small_ids: bool,
    /// Whether it gives an extranonce1 again to whoever names its session id.
    pub resumes: bool,
    pub tells_difficulty: bool,
}

/// How long a pool stays away at most.
const AWAY_MS_MAX: u64 = 20_000;
/// How often a flapping pool goes.
const FLAPS_COUNT: u64 = 10;

/// One outage, or many short ones.
fn outages_ms(random: &mut Random) -> Vec<(u64, u64)> {
    let starts_ms = 1_000 + random.below(60_000);
    match random.below(100) {
        0..15 => vec![(starts_ms, starts_ms + AWAY_MS_MAX)],
        15..25 => vec![(starts_ms, starts_ms + 200 + random.below(3_000))],
        25..35 => {
            let (up_ms, away_ms) = (500 + random.below(5_000), 200 + random.below(5_000));
            let outage = |n| starts_ms + n * (up_ms + away_ms);
            (0..FLAPS_COUNT).map(|n| (outage(n), outage(n) + away_ms)).collect()
        }
        _ => Vec::new(),
    }
}

impl Nature {
    pub fn new(random: &mut Random) -> Self {
        let bad = random.chance(60);
        let mut at = |percent| random.chance(percent).then(|| 1_000 + random.below(60_000));
        let (frozen_ms, garbage_ms, torn_ms) = (at(10), at(10), at(10));
        let (refuses_ms, reconnect_ms) = (at(10), at(15));
        Self {
            silent_percent: if bad { random.below(30) } else { 0 },
            double_percent: if bad { random.below(20) } else { 0 },
            slow_percent: if bad { random.below(30) } else { 0 },
            configures: random.chance(75),
            unreachable_percent: if random.chance(20) { 60 } else { 3 },
            lives_ms: if random.chance(30) { 500 + random.below(40_000) } else { u64::MAX },
            outages_ms: outages_ms(random),
            torn_ms,
            is_mute: random.chance(5),
            frozen_ms,
            garbage_ms,
            refuses_ms,
            reconnect_ms,
            same_extranonce: random.chance(50),
            small_ids: random.chance(70),
            resumes: random.chance(50),
            tells_difficulty: random.chance(85),
        }
    }

    pub fn is_away(&self, now_ms: u64) -> bool {
        self.outages_ms.iter().any(|&(from_ms, to_ms)| (from_ms..to_ms).contains(&now_ms))
    }

    fn is_over(at: Option<u64>, now_ms: u64) -> bool {
        at.is_some_and(|at| at <= now_ms)
    }

    pub fn is_frozen(&self, now_ms: u64) -> bool {
        Self::is_over(self.frozen_ms, now_ms)
    }
}

/// A line for the session, to be written after a delay.
#[derive(Debug)]
pub struct Reply {
    pub after_ms: u64,
    pub line: String,
    /// The nonce and verdict, if it is the first answer to a share.
    pub verdict: Option<(u32, bool)>,
}

/// The members of an answer beside its id; for a share, its nonce and whether it is accepted.
type Shape = (String, Option<(u32, bool)>);

/// One connection to a pool.
#[derive(Debug)]
pub struct Connection {
    pub number: usize,
    /// Index of the pool.
    pub pool: usize,
    /// Whose session it serves; nobody's while it is kept.
    pub lane: Option<usize>,
    pub stands: bool,
    pub gone: bool,
    /// What was said while it was kept.
    pub backlog: Vec<String>,
    /// Until when each direction is busy: bytes of one direction never overtake each other.
    pub busy_us: u64,
    /// Bytes of the session that wait for the connection to stand.
    pub waiting: Vec<u8>,
    /// Whether it is the first that its lane had: only there a job may be unknown.
    pub is_first: bool,
    nature: Nature,
    /// The extranonce1 of the session that was taken up again.
    resumed: Option<String>,
    jobs: BTreeMap<String, String>,
    asked: BTreeSet<String>,
    ids: BTreeSet<String>,
    /// Nonce → verdict, as first answered. `None` while it stays silent.
    pub verdicts: BTreeMap<u32, Option<bool>>,
}

impl Connection {
    pub fn new(number: usize, pool: usize, lane: usize, is_first: bool, nature: Nature) -> Self {
        Self {
            number,
            pool,
            lane: Some(lane),
            stands: false,
            gone: false,
            backlog: Vec::new(),
            busy_us: 0,
            waiting: Vec::new(),
            is_first,
            nature,
            resumed: None,
            jobs: BTreeMap::new(),
            asked: BTreeSet::new(),
            ids: BTreeSet::new(),
            verdicts: BTreeMap::new(),
        }
    }

    pub fn extranonce1(&self) -> String {
        if let Some(resumed) = &self.resumed {
            resumed.clone()
        } else if self.nature.same_extranonce {
            "f000000a".to_owned()
        } else {
            format!("{:08x}", self.number + 1)
        }
    }

    pub fn job(&mut self, random: &mut Random) -> String {
        let n = self.jobs.len() + 1;
        let id = if self.nature.small_ids { n.to_string() } else { format!("c{}-{n}", self.number) };
        // In the second half of the coinbase, so that a share's hash depends on it.
        let tag = format!("{:08x}{n:08x}", self.number);
        let padding = "00".repeat(random.below(2_000) as usize);
        let line = format!(
            "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"{id}\",\"{}\",\"01{padding}\",\"{tag}\",[],\"20000000\",\"1d00ffff\",\"66252f80\",{}]}}\n",
            "ab".repeat(32),
            random.chance(20)
        );
        self.jobs.insert(id, tag);
        line
    }

    /// A job's line with the id that this connection gave it, if it is one of this connection.
    pub fn own_id(&self, line: String) -> String {
        let Some((id, _)) = self.jobs.iter().find(|(_, tag)| line.contains(&format!("\"{tag}\""))) else {
            return line;
        };
        match (line.find("\"params\":[\""), line.contains("mining.notify")) {
            (Some(at), true) => {
                let (head, rest) = line.split_at(at + 11);
                let behind = rest.find('"').map_or("", |end| &rest[end..]);
                format!("{head}{id}{behind}")
            }
            _ => line,
        }
    }

    /// Takes one line that the session wrote for the pool. `Err` if it should not have come here. `shares` is what each
    /// share of the miner was truly made for.
    pub fn hear(
        &mut self,
        line: &str,
        shares: &BTreeMap<u32, Option<Work>>,
        now_ms: u64,
        random: &mut Random,
    ) -> Result<Vec<Reply>, String> {
        let value: Value =
            serde_json::from_str(line).map_err(|error| format!("pool got no JSON: {error}: {line}"))?;
        let mut replies = Vec::new();
        let id = value.get("id").map_or_else(String::new, Value::to_string);
        let is_request = value["method"].is_string() && value["id"].is_number() && value["method"] != "pong";
        if is_request && !self.ids.insert(id.clone()) {
            return Err(format!("id {id} came twice on connection {}", self.number));
        }
        let (shape, verdict) = match value["method"].as_str() {
            Some("mining.configure") if !self.nature.configures => return Ok(replies),
            Some("mining.configure") => {
                (r#""result":{"version-rolling":true,"version-rolling.mask":"1fffe000"}"#.to_owned(), None)
            }
            Some("mining.subscribe") => (self.subscription(&value)?, None),
            Some("mining.authorize") => {
                let refused = Nature::is_over(self.nature.refuses_ms, now_ms) || random.chance(3);
                // Miners pipeline: shares under a name on its way are in order.
                self.asked.insert(value["params"][0].as_str().unwrap_or_default().to_owned());
                let said =
                    if refused { r#""result":false,"error":[24,"no",null]"# } else { r#""result":true"# };
                (said.to_owned(), None)
            }
            Some("mining.submit") => self.judge(&value, shares, random)?,
            Some("mining.extranonce.subscribe" | "mining.foo") if random.chance(50) => {
                (r#""result":true"#.to_owned(), None)
            }
            _ => return Ok(replies),
        };
        if random.chance(self.nature.silent_percent) || self.nature.is_frozen(now_ms) || self.nature.is_mute {
            return Ok(replies);
        }
        let after_ms =
            if random.chance(self.nature.slow_percent) { random.below(40_000) } else { random.below(1_500) };
        if let Some((nonce, accepted)) = verdict {
            self.verdicts.insert(nonce, Some(accepted));
        }
        let line = if random.chance(50) {
            format!("{{\"id\":{id},{shape}}}\n")
        } else {
            format!("{{{shape},\"id\": {id}}}\r\n")
        };
        replies.push(Reply { after_ms, line: line.clone(), verdict });
        if random.chance(self.nature.double_percent) {
            replies.push(Reply { after_ms: after_ms + 1 + random.below(500), line, verdict: None });
        }
        if value["method"] == "mining.subscribe" {
            let difficulty =
                "{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[0.5]}\n".to_owned();
            if self.nature.tells_difficulty {
                replies.push(Reply { after_ms, line: difficulty, verdict: None });
            }
            replies.push(Reply { after_ms, line: self.job(random), verdict: None });
        }
        Ok(replies)
    }

    /// The answer to a subscribe. `Err` if it names a session id that another pool issued.
    fn subscription(&mut self, value: &Value) -> Result<String, String> {
        if let Some(id) = value["params"][1].as_str() {
            let extranonce1 = id.strip_prefix(&session_id(self.pool, ""));
            let extranonce1 = extranonce1.ok_or(format!("the session id {id} came to pool {}", self.pool))?;
            if self.nature.resumes {
                self.resumed = Some(extranonce1.to_owned());
            }
        }
        let extranonce1 = self.extranonce1();
        let id = session_id(self.pool, &extranonce1);
        Ok(format!(r#""result":[[["mining.notify","{id}"]],"{extranonce1}",4],"error":null"#))
    }

    fn judge(
        &mut self,
        value: &Value,
        shares: &BTreeMap<u32, Option<Work>>,
        random: &mut Random,
    ) -> Result<Shape, String> {
        let text = |n: usize| value["params"][n].as_str().unwrap_or_default();
        let here = format!("connection {} of pool {}", self.number, self.pool);
        let nonce = u32::from_str_radix(text(4), 16).map_err(|error| error.to_string())?;
        if self.lane.is_none_or(|lane| nonce >> 16 != lane as u32 + 1) {
            return Err(format!("share {nonce:08x} of another miner came to {here}"));
        }
        match shares.get(&nonce) {
            Some(Some(work)) => {
                // What the pool finds when it hashes the share with its own job and its own extranonce1.
                if self.jobs.get(text(1)) != Some(&work.tag) {
                    return Err(format!("share for job {:?} came to {here} as {:?}", work.tag, text(1)));
                }
                // A pool may tell jobs before it answers subscribe, or never answer it; no miner could mine those.
                let unanswered = work.extranonce1.is_empty();
                if work.extranonce1 != self.extranonce1() && !unanswered {
                    return Err(format!("share made with {:?} came to {here}", work.extranonce1));
                }
            }
            _ if self.is_first => {}
            _ => return Err(format!("share for a job never told came to {here}")),
        }
        let prefix = if self.pool == 0 { String::new() } else { format!("P{}.", self.pool + 1) };
        if !self.asked.contains(text(0)) || !text(0).starts_with(&format!("{prefix}POOLACCOUNT.")) {
            return Err(format!("{} was never authorised at {here}", text(0)));
        }
        if self.verdicts.insert(nonce, None).is_some() {
            return Err(format!("share {nonce:08x} came twice"));
        }
        let no = [
            r#""result":null,"error":[23,"high-hash",null]"#,
            r#""result":null,"error":[21,"job not found"]"#,
            r#""result":false,"error":{"code":21,"message":"job not found","data":null}"#,
            r#""reject-reason":"Stale","result":false,"error":null"#,
            r#""result":false,"error":"Worker mismatch""#,
            r#""result":null,"error":["22","Duplicate share"]"#,
            r#""result":false,"error":null"#,
        ];
        let accepted = random.chance(70);
        let shape = if accepted { r#""result":true,"error":null"# } else { random.pick(&no) };
        Ok((shape.to_owned(), Some((nonce, accepted))))
    }
}
