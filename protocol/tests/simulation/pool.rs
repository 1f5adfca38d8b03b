//! A simulated pool connection: checks that what it gets was made for it, and answers as well or as badly as it likes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::random::Random;

/// What a pool connection is like.
#[derive(Clone, Copy, Debug)]
pub struct Temper {
    pub silent_percent: u64,
    pub double_percent: u64,
    pub slow_percent: u64,
    pub configures: bool,
    pub unreachable: bool,
    pub lives_ms: u64,
}

impl Temper {
    pub fn new(random: &mut Random) -> Self {
        let bad = random.chance(60);
        Self {
            silent_percent: if bad { random.below(30) } else { 0 },
            double_percent: if bad { random.below(20) } else { 0 },
            slow_percent: if bad { random.below(30) } else { 0 },
            configures: random.chance(75),
            unreachable: random.chance(5),
            lives_ms: if random.chance(30) { random.below(40_000) } else { u64::MAX },
        }
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
type Shape = (&'static str, Option<(u32, bool)>);

#[derive(Debug)]
pub struct Pool {
    lane: usize,
    temper: Temper,
    jobs_count: u32,
    authorised: BTreeSet<String>,
    /// Nonce → verdict, as first answered. `None` while it stays silent.
    pub verdicts: BTreeMap<u32, Option<bool>>,
}

impl Pool {
    pub fn new(lane: usize, temper: Temper) -> Self {
        Self { lane, temper, jobs_count: 0, authorised: BTreeSet::new(), verdicts: BTreeMap::new() }
    }

    pub fn job(&mut self, random: &mut Random) -> String {
        self.jobs_count += 1;
        let padding = "00".repeat(random.below(2_000) as usize);
        format!(
            "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"lane{}-{}\",\"{}\",\"01{padding}\",\"02\",[],\"20000000\",\"1d00ffff\",\"66252f80\",{}]}}\n",
            self.lane,
            self.jobs_count,
            "ab".repeat(32),
            random.chance(20)
        )
    }

    /// Takes one line that the session wrote for the pool. `Err` if it should not have come here.
    pub fn hear(&mut self, line: &str, random: &mut Random) -> Result<Vec<Reply>, String> {
        let value: Value =
            serde_json::from_str(line).map_err(|error| format!("pool got no JSON: {error}: {line}"))?;
        let id = value.get("id").map_or_else(String::new, Value::to_string);
        let mut replies = Vec::new();
        let (shape, verdict) = match value["method"].as_str() {
            Some("mining.configure") if !self.temper.configures => return Ok(replies),
            Some("mining.configure") => {
                (r#""result":{"version-rolling":true,"version-rolling.mask":"1fffe000"}"#, None)
            }
            Some("mining.subscribe") => {
                (r#""result":[[["mining.notify","s"]],"f000000a",4],"error":null"#, None)
            }
            Some("mining.authorize") => {
                self.authorised.insert(value["params"][0].as_str().unwrap_or_default().to_owned());
                let refused = random.chance(3);
                (if refused { r#""result":false,"error":[24,"no",null]"# } else { r#""result":true"# }, None)
            }
            Some("mining.submit") => self.judge(&value, random)?,
            Some("mining.extranonce.subscribe" | "mining.foo") if random.chance(50) => {
                (r#""result":true"#, None)
            }
            _ => return Ok(replies),
        };
        if random.chance(self.temper.silent_percent) {
            return Ok(replies);
        }
        let after_ms =
            if random.chance(self.temper.slow_percent) { random.below(40_000) } else { random.below(1_500) };
        if let Some((nonce, accepted)) = verdict {
            self.verdicts.insert(nonce, Some(accepted));
        }
        let line = if random.chance(50) {
            format!("{{\"id\":{id},{shape}}}\n")
        } else {
            format!("{{{shape},\"id\": {id}}}\r\n")
        };
        replies.push(Reply { after_ms, line: line.clone(), verdict });
        if random.chance(self.temper.double_percent) {
            replies.push(Reply { after_ms: after_ms + 1 + random.below(500), line, verdict: None });
        }
        if value["method"] == "mining.subscribe" {
            let difficulty =
                "{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[0.5]}\n".to_owned();
            replies.push(Reply { after_ms, line: difficulty, verdict: None });
            replies.push(Reply { after_ms, line: self.job(random), verdict: None });
        }
        Ok(replies)
    }

    fn judge(&mut self, value: &Value, random: &mut Random) -> Result<Shape, String> {
        let text = |n: usize| value["params"][n].as_str().unwrap_or_default();
        let nonce = u32::from_str_radix(text(4), 16).map_err(|error| error.to_string())?;
        if nonce >> 16 != self.lane as u32 + 1 {
            return Err(format!("share {nonce:08x} came to the pool of lane {}", self.lane));
        }
        if text(1) != "unknown" && !text(1).starts_with(&format!("lane{}-", self.lane)) {
            return Err(format!("job {} came to the pool of lane {}", text(1), self.lane));
        }
        if !self.authorised.contains(text(0)) {
            return Err(format!("{} was never authorised at the pool of lane {}", text(0), self.lane));
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
        Ok((shape, Some((nonce, accepted))))
    }
}
