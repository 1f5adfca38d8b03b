//! A simulated miner: what it will send, when, and what it was answered and told.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::random::Random;

/// Jobs that a miner submits for as a rule: the newest and some before it.
const JOBS_RECENT: usize = 5;
/// Jobs that it remembers. Firmware that hangs for a while submits for any of them.
const JOBS_KEPT: usize = 100;

/// A job as the miner works on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// The id by which it submits.
    id: String,
    /// Which connection's job it truly is, as its content tells.
    pub tag: String,
    /// The extranonce1 that goes into its shares.
    pub extranonce1: String,
}

/// What a line of the miner asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// configure, subscribe, authorize, extranonce.subscribe: one answer, in order.
    Handshake,
    /// One answer; the nonce tells shares apart.
    Submit { nonce: u32 },
    /// Refused here.
    Internal,
    /// Answered if the pool answers.
    Other,
    /// Never answered.
    Silent,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub id: String,
    pub kind: Kind,
    /// Whether its last byte reached the session before the session ended.
    pub heard: bool,
}

/// How a miner ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    Stay,
    HalfClose,
    Reset,
    MidLine,
}

#[derive(Debug)]
pub struct Miner {
    pub name: String,
    pub requests: Vec<Request>,
    pub answers: Vec<String>,
    pub leave: Leave,
    /// What each share was truly made for, by its nonce; nothing where no job was told before.
    pub shares: BTreeMap<u32, Option<Work>>,
    /// Tags and clean flags of the jobs told, until the world looked at them.
    pub told: Vec<(String, bool)>,
    /// What no miner must hear.
    pub complaints: Vec<String>,
    work: Vec<Work>,
    extranonce1: String,
    declares_extranonce: bool,
    subscribe_id: String,
    unique_ids: bool,
    /// How many of its shares are for any job that it ever had.
    very_late_percent: u64,
    next_id: u32,
    next_nonce: u32,
}

/// How a pool calls a session with this extranonce1.
pub fn session_id(pool: usize, extranonce1: &str) -> String {
    format!("s{pool}-{extranonce1}")
}

impl Miner {
    pub fn new(lane: usize, random: &mut Random) -> Self {
        Self {
            name: format!("acc.rig{lane}"),
            requests: Vec::new(),
            answers: Vec::new(),
            leave: *random.pick(&[Leave::Stay, Leave::Stay, Leave::HalfClose, Leave::Reset, Leave::MidLine]),
            shares: BTreeMap::new(),
            told: Vec::new(),
            complaints: Vec::new(),
            work: Vec::new(),
            extranonce1: String::new(),
            declares_extranonce: false,
            subscribe_id: String::new(),
            unique_ids: random.chance(70),
            very_late_percent: *random.pick(&[5, 5, 60]),
            next_id: 1,
            next_nonce: (lane as u32 + 1) << 16,
        }
    }

    /// Lines and the milliseconds to wait before each.
    pub fn plan(&mut self, random: &mut Random) -> Vec<(u64, String)> {
        let mut lines = Vec::new();
        let pause = if random.chance(50) { 0 } else { 200 };
        let mut calls = vec!["mining.subscribe", "mining.authorize"];
        if random.chance(70) {
            calls.insert(0, "mining.configure");
        }
        if random.chance(40) {
            calls.insert(random.below(calls.len() as u64 + 1) as usize, "mining.extranonce.subscribe");
            self.declares_extranonce = true;
        }
        if random.chance(10) {
            calls.swap(0, 1);
        }
        if random.chance(10) {
            lines.push((0, self.submit(random)));
        }
        for call in calls {
            // Some give their name only once they have the answer to subscribe.
            let waits = call == "mining.authorize" && random.chance(30);
            let pause = if waits { 4_000 } else { pause };
            lines.push((random.below(pause + 1), self.handshake(call, random)));
        }
        let submits = if random.chance(5) { 1_000 } else { random.below(30) };
        let gap = *random.pick(&[0, 10, 500, 2_000]);
        for _ in 0..submits {
            let wait = random.below(gap + 1);
            lines.push((wait, self.submit(random)));
            if random.chance(5) {
                lines.push((0, self.oddity(random)));
            }
        }
        lines
    }

    fn handshake(&mut self, method: &str, random: &mut Random) -> String {
        let params = match method {
            "mining.configure" => r#"[["version-rolling"],{"version-rolling.mask":"ffffffff"}]"#.to_owned(),
            "mining.authorize" => format!(r#"["{}","x"]"#, self.name),
            "mining.subscribe" if random.chance(60) => r#"["sim/1.0"]"#.to_owned(),
            // From an earlier life, at any of the pools.
            "mining.subscribe" => {
                format!(r#"["sim/1.0","{}"]"#, session_id(random.below(3) as usize, "0a0b0c0d"))
            }
            _ => "[]".to_owned(),
        };
        let line = self.request(Kind::Handshake, method, &params, random);
        if method == "mining.subscribe" {
            self.subscribe_id = self.requests.last().map(|request| request.id.clone()).unwrap_or_default();
        }
        line
    }

    fn submit(&mut self, random: &mut Random) -> String {
        let nonce = self.next_nonce;
        self.next_nonce += 1;
        let name = if random.chance(3) { "somebody.else" } else { &self.name };
        // The job is put in when the line is sent: see `fill_in`.
        let params = format!(r#"["{name}","@JOB@","00000001","66252f80","{nonce:08x}"]"#);
        self.request(Kind::Submit { nonce }, "mining.submit", &params, random)
    }

    fn oddity(&mut self, random: &mut Random) -> String {
        match random.below(4) {
            0 => self.request(Kind::Internal, "mining.term", "[]", random),
            1 => self.request(Kind::Other, "mining.foo", "[]", random),
            2 => "{\"id\":42,\"method\":\"pong\",\"params\":[]}\n".to_owned(),
            _ => self.silent(),
        }
    }

    fn silent(&mut self) -> String {
        self.requests.push(Request { id: "none".to_owned(), kind: Kind::Silent, heard: false });
        "{\"id\":null,\"method\":\"mining.capabilities\",\"params\":[]}\n".to_owned()
    }

    fn request(&mut self, kind: Kind, method: &str, params: &str, random: &mut Random) -> String {
        let n = self.next_id;
        self.next_id += 1;
        let reusable = matches!(kind, Kind::Submit { .. }) && !self.unique_ids;
        let id = if reusable {
            (*random.pick(&["4000000", "null", "\"s\"", ""])).to_owned()
        } else {
            match random.below(4) {
                0 => format!("\"id {n}\""),
                1 => format!("{n}.50"),
                2 => format!("{{\"n\":{n}}}"),
                _ => n.to_string(),
            }
        };
        self.requests.push(Request { id: id.clone(), kind, heard: false });
        let member = if id.is_empty() { String::new() } else { format!("\"id\": {id}, ") };
        match random.below(3) {
            0 => format!("{{{member}\"method\":\"{method}\",\"params\":{params}}}\n"),
            1 => format!("{{\"params\":{params},{member}\"method\":\"{method}\"}}\n"),
            _ => format!("{{\"method\":\"{method}\",{member}\"params\":{params}}}\r\n"),
        }
    }

    /// Puts a job that the miner has seen into a line about to be sent: the newest as a rule.
    pub fn fill_in(&mut self, line: &str, random: &mut Random) -> String {
        if !line.contains("@JOB@") {
            return line.to_owned();
        }
        let late = match random.below(100) {
            0..15 => random.below(JOBS_RECENT as u64) as usize,
            late if late < 15 + self.very_late_percent => random.below(1 + self.work.len() as u64) as usize,
            _ => 0,
        };
        let work = self.work.len().checked_sub(1 + late).and_then(|at| self.work.get(at)).cloned();
        let line = line.replace("@JOB@", work.as_ref().map_or("unknown", |work| &work.id));
        let value: Value = serde_json::from_str(&line).unwrap_or_default();
        let nonce = u32::from_str_radix(value["params"][4].as_str().unwrap_or_default(), 16);
        self.shares.insert(nonce.unwrap_or_default(), work);
        line
    }

    /// Takes one line that the session wrote for the miner.
    pub fn hear(&mut self, line: &str) {
        let value: Value = match serde_json::from_str(line) {
            Ok(value) => value,
            Err(_) => return,
        };
        let text = |n: usize| value["params"][n].as_str().unwrap_or_default().to_owned();
        match value["method"].as_str() {
            Some("mining.notify") => {
                // The tag is what the coinbase pays to: no miner reads it, every share's hash depends on it.
                let (id, tag) = (text(0), text(3));
                self.told.push((tag.clone(), value["params"][8] == true));
                self.work.push(Work { id, tag, extranonce1: self.extranonce1.clone() });
                if self.work.len() > JOBS_KEPT {
                    self.work.remove(0);
                }
            }
            Some("mining.set_extranonce") if self.declares_extranonce => self.extranonce1 = text(0),
            Some("mining.set_extranonce" | "client.reconnect") => self.complaints.push(line.to_owned()),
            Some(_) => {}
            None => {
                if crate::check::raw_id(line) == self.subscribe_id
                    && let Some(extranonce1) = value["result"][1].as_str()
                {
                    extranonce1.clone_into(&mut self.extranonce1);
                }
                self.answers.push(line.to_owned());
            }
        }
    }
}
