//! One connection of the miner as a value: lines in, lines and tasks out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

use adit_protocol::difficulty::Target;
use adit_protocol::hash::Hash256;
use adit_protocol::hex;
use adit_protocol::limits::EXTRANONCE2_SIZE_MAX;
use adit_protocol::template::Work;
use serde_json::{Value, json};

use super::CpuMinerConfig;
use super::crew::{Found, Task};
use super::report::{MinerReport, Place};
use crate::json_line::JsonLine;
use crate::share::{ShareFields, ShareKey};

/// Shares that may wait for their answer; further ones are dropped.
const PENDING_MAX: usize = 1_000;
/// The version bits asked for, as ESP-Miner does: all.
const MASK_ASKED: &str = "ffffffff";
const CONFIGURE: u64 = 1;
const SUBSCRIBE: u64 = 2;
const AUTHORIZE: u64 = 3;
/// Answers to these two are welcome and mean nothing.
const SUGGEST: u64 = 4;
const EXTRANONCE_SUBSCRIBE: u64 = 5;
const FIRST_SUBMIT: u64 = 10;

/// What follows a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    GoOn,
    /// Ask for the [`Session::task`]: it is another one now.
    NewTask,
    /// End this connection, and why.
    Leave(String),
}

#[derive(Clone, Debug)]
struct Extranonce {
    first: Vec<u8>,
    second_size: usize,
}

#[derive(Debug)]
struct Job {
    number: u64,
    id: Arc<str>,
    work: Arc<Work>,
    /// The difficulty in force when it came.
    target: Target,
}

#[derive(Debug)]
pub(super) struct Session {
    connection: u64,
    extranonce: Option<Extranonce>,
    /// Told by `mining.set_extranonce`; in force from the next job on.
    next_extranonce: Option<Extranonce>,
    is_authorised: bool,
    version_mask: u32,
    difficulty: f64,
    job: Option<Job>,
    jobs_count: u64,
    /// Jobs before this one are over.
    clean_since: u64,
    next_id: u64,
    pending: BTreeMap<u64, (Instant, Place)>,
}

impl Session {
    pub(super) fn new(connection: u64) -> Self {
        Self {
            connection,
            extranonce: None,
            next_extranonce: None,
            is_authorised: false,
            version_mask: 0,
            difficulty: 1.0, // until told, as miners do
            job: None,
            jobs_count: 0,
            clean_since: 0,
            next_id: FIRST_SUBMIT,
            pending: BTreeMap::new(),
        }
    }

    /// The first three requests, to be sent in one piece.
    pub(super) fn greeting(config: &CpuMinerConfig) -> String {
        let mut out = String::new();
        let options = json!({ "version-rolling.mask": MASK_ASKED });
        push_request(&mut out, CONFIGURE, "mining.configure", &json!([["version-rolling"], options]));
        push_request(&mut out, SUBSCRIBE, "mining.subscribe", &json!([config.user_agent]));
        push_request(&mut out, AUTHORIZE, "mining.authorize", &json!([config.user, config.password]));
        out
    }

    /// Takes a line of the pool; what goes back is appended to `out`.
    pub(super) fn take_line(
        &mut self,
        line: &[u8],
        config: &CpuMinerConfig,
        now: Instant,
        report: &mut MinerReport,
        out: &mut String,
    ) -> After {
        if line.trim_ascii().is_empty() {
            return After::GoOn;
        }
        let Some(message) = JsonLine::read(line) else {
            return After::Leave(format!("not JSON: {}", String::from_utf8_lossy(line)));
        };
        match message.method() {
            Some(method) => self.take_call(method, &message, report, out),
            None => self.take_answer(&message, config, now, report, out),
        }
    }

    /// What to hash; `None` before the handshake is through and a job has come.
    pub(super) fn task(&self) -> Option<Task> {
        let (job, extranonce) = self.job.as_ref().zip(self.extranonce.as_ref())?;
        self.is_authorised.then(|| Task {
            connection: self.connection,
            job_number: job.number,
            job_id: Arc::clone(&job.id),
            work: Arc::clone(&job.work),
            extranonce1: extranonce.first.clone(),
            extranonce2_size: extranonce.second_size,
            version_mask: self.version_mask,
            target: job.target,
        })
    }

    /// Whether it is through its handshake.
    pub(super) fn is_ready(&self) -> bool {
        self.is_authorised && self.extranonce.is_some()
    }

    /// Whether a share waits for its answer.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Appends the submit of a share, unless its job or connection is over.
    pub(super) fn submit(
        &mut self,
        found: &Found,
        config: &CpuMinerConfig,
        now: Instant,
        report: &mut MinerReport,
        out: &mut String,
    ) {
        let is_over = found.connection != self.connection || found.job_number < self.clean_since;
        if is_over || self.pending.len() >= PENDING_MAX {
            report.discarded += 1;
            return;
        }
        let (ntime, nonce) = (format!("{:08x}", found.ntime), format!("{:08x}", found.nonce));
        let bits = found.version_bits.map(|bits| format!("{bits:08x}"));
        let mut params = vec![&config.user, &*found.job_id, &found.extranonce2, &ntime, &nonce];
        params.extend(bits.as_deref());
        push_request(out, self.next_id, "mining.submit", &json!(params));
        let key = ShareKey::new(
            &found.extranonce1,
            &ShareFields {
                extranonce2: &found.extranonce2,
                ntime: &ntime,
                nonce: &nonce,
                version_bits: bits.as_deref().unwrap_or_default(),
            },
        );
        self.pending.insert(self.next_id, (now, report.submit(key)));
        self.next_id += 1;
    }

    /// Gives up on all answers. `is_open`: the pool could still have answered.
    pub(super) fn end(&mut self, is_open: bool, report: &mut MinerReport) {
        for (_, place) in std::mem::take(&mut self.pending).into_values() {
            report.unanswered(place, is_open);
        }
    }

    fn take_answer(
        &mut self,
        message: &JsonLine<'_>,
        config: &CpuMinerConfig,
        now: Instant,
        report: &mut MinerReport,
        out: &mut String,
    ) -> After {
        let id = message.id().and_then(|id| id.parse().ok());
        let result = message.result();
        match id {
            Some(CONFIGURE) => {
                if result.get("version-rolling") == Some(&Value::Bool(true)) {
                    self.version_mask = result.get("version-rolling.mask").and_then(mask_of).unwrap_or(0);
                }
                return After::NewTask;
            }
            Some(SUBSCRIBE) => match extranonce_of(result.get(1), result.get(2)) {
                Some(extranonce) => {
                    self.extranonce = Some(extranonce);
                    return After::NewTask;
                }
                None => {
                    return After::Leave(format!("subscribe was answered with {result} {}", message.error()));
                }
            },
            Some(AUTHORIZE) => {
                // null and no error is p2pool's way to say yes.
                let is_yes = matches!(result, Value::Bool(true) | Value::Null) && message.error().is_null();
                if !is_yes {
                    return After::Leave(format!("authorize was refused: {}", message.error()));
                }
                self.is_authorised = true;
                if let Some(difficulty) = config.suggest_difficulty {
                    push_request(out, SUGGEST, "mining.suggest_difficulty", &json!([difficulty]));
                }
                push_request(out, EXTRANONCE_SUBSCRIBE, "mining.extranonce.subscribe", &json!([]));
                return After::NewTask;
            }
            Some(SUGGEST | EXTRANONCE_SUBSCRIBE) => {}
            _ => match id.and_then(|id| self.pending.remove(&id)) {
                Some((sent, place)) => {
                    let latency_us = now.saturating_duration_since(sent).as_micros();
                    let latency_us = u64::try_from(latency_us).unwrap_or(u64::MAX);
                    report.answered(place, message.verdict(), latency_us);
                }
                None => report.strays += 1,
            },
        }
        After::GoOn
    }

    fn take_call(
        &mut self,
        method: &str,
        message: &JsonLine<'_>,
        report: &mut MinerReport,
        out: &mut String,
    ) -> After {
        let params = message.params();
        match method {
            "mining.notify" => return self.take_job(&params, report),
            "mining.set_difficulty" => {
                let difficulty = params.get(0).and_then(Value::as_f64).filter(|difficulty| *difficulty > 0.0);
                self.difficulty = difficulty.unwrap_or(self.difficulty);
            }
            "mining.set_extranonce" => match extranonce_of(params.get(0), params.get(1)) {
                Some(extranonce) => self.next_extranonce = Some(extranonce),
                None => return After::Leave(format!("set_extranonce with {params}")),
            },
            "mining.set_version_mask" => {
                // Some pools send the bare string.
                if let Some(mask) = params.get(0).unwrap_or(&params).as_str().and_then(parse_mask) {
                    self.version_mask = mask;
                    return After::NewTask;
                }
            }
            "client.reconnect" => return After::Leave("the pool asked to reconnect".into()),
            "client.show_message" => log::info!("pool says {params}"),
            "mining.ping" => push_result(out, message.id(), "pong"),
            "client.get_version" => push_result(out, message.id(), super::USER_AGENT),
            _ => {}
        }
        After::GoOn
    }

    fn take_job(&mut self, params: &Value, report: &mut MinerReport) -> After {
        let (Some((id, work)), Some(target)) = (read_job(params), Target::from_difficulty(self.difficulty))
        else {
            return After::Leave(format!("a job that cannot be read: {params}"));
        };
        if let Some(extranonce) = self.next_extranonce.take() {
            self.extranonce = Some(extranonce);
        }
        report.jobs += 1;
        report.difficulty = self.difficulty;
        self.jobs_count += 1;
        let number = self.jobs_count;
        if params.get(8) == Some(&Value::Bool(true)) {
            self.clean_since = number;
        }
        self.job = Some(Job { number, id: id.into(), work: Arc::new(work), target });
        After::NewTask
    }
}

/// The id and content of a job. Reads the wire by itself: the miner is there to try the proxy's reading.
fn read_job(params: &Value) -> Option<(&str, Work)> {
    let text = |n: usize| params.get(n).and_then(Value::as_str);
    let number = |n| text(n).and_then(|text| hex::decode_u32(text.as_bytes()));
    let mut previous: [u8; 32] = hex::decode_array(text(1)?.as_bytes())?;
    for word in previous.as_chunks_mut::<4>().0 {
        word.reverse();
    }
    let branches = params.get(4)?.as_array()?.iter();
    let work = Work {
        previous: Hash256(previous),
        coinbase1: bytes_of(text(2)?)?,
        coinbase2: bytes_of(text(3)?)?,
        branches: branches
            .map(|branch| hex::decode_array(branch.as_str()?.as_bytes()))
            .collect::<Option<_>>()?,
        version: number(5)?,
        nbits: number(6)?,
        ntime: number(7)?,
    };
    Some((text(0)?, work))
}

fn extranonce_of(first: Option<&Value>, size: Option<&Value>) -> Option<Extranonce> {
    let second_size = usize::try_from(size?.as_u64()?).ok()?;
    let first = bytes_of(first?.as_str()?)?;
    (1..=EXTRANONCE2_SIZE_MAX).contains(&second_size).then_some(Extranonce { first, second_size })
}

fn mask_of(value: &Value) -> Option<u32> {
    value.as_str().and_then(parse_mask)
}

fn parse_mask(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    hex::decode_append(text.as_bytes(), &mut bytes).map(|()| bytes)
}

// Writing into a String cannot fail.
fn push_request(out: &mut String, id: u64, method: &str, params: &Value) {
    let _ = writeln!(out, r#"{{"id":{id},"method":"{method}","params":{params}}}"#);
}

fn push_result(out: &mut String, id: Option<&str>, result: &str) {
    if let Some(id) = id.filter(|&id| id != "null") {
        let _ = writeln!(out, r#"{{"id":{id},"result":{},"error":null}}"#, json!(result));
    }
}

#[cfg(test)]
mod tests;
