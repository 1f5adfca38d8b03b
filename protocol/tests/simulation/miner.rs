//! A simulated miner: what it will send, when, and what it was answered.

use crate::random::Random;

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
    job: String,
    unique_ids: bool,
    next_id: u32,
    next_nonce: u32,
}

impl Miner {
    pub fn new(lane: usize, random: &mut Random) -> Self {
        Self {
            name: format!("acc.rig{lane}"),
            requests: Vec::new(),
            answers: Vec::new(),
            leave: *random.pick(&[Leave::Stay, Leave::Stay, Leave::HalfClose, Leave::Reset, Leave::MidLine]),
            job: "unknown".to_owned(),
            unique_ids: random.chance(70),
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
        }
        if random.chance(10) {
            calls.swap(0, 1);
        }
        if random.chance(10) {
            lines.push((0, self.submit(random)));
        }
        for call in calls {
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
            "mining.subscribe" => r#"["sim/1.0"]"#.to_owned(),
            _ => "[]".to_owned(),
        };
        self.request(Kind::Handshake, method, &params, random)
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

    /// Puts the newest job that the miner has seen into a line about to be sent.
    pub fn fill_in(&self, line: &str) -> String {
        line.replace("@JOB@", &self.job)
    }

    /// Takes one line that the session wrote for the miner.
    pub fn hear(&mut self, line: &str) {
        let value: serde_json::Value = match serde_json::from_str(line) {
            Ok(value) => value,
            Err(_) => return,
        };
        if value["method"] == "mining.notify" {
            value["params"][0].as_str().unwrap_or("unknown").clone_into(&mut self.job);
        }
        if value.get("method").is_none() {
            self.answers.push(line.to_owned());
        }
    }
}
