//! What the practice pool does with each line: pure, lines in and lines out. Sockets and timers are in `run`.

use std::fmt::Write;
use std::sync::Arc;

use adit_protocol::hash::Hash256;
use adit_protocol::template::TemplateError;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::PracticePoolConfig;
use super::book::{Book, Entry};
use super::chain::Chain;
use super::client::Client;
use super::judge::{Refusal, Submit, judge};
use crate::json_line::JsonLine;
use crate::scripted_pool::Fit;
use crate::share::ShareKey;

/// Longest line of a miner.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Names authorised on one connection.
const NAMES_MAX: usize = 16;
/// Longest name.
const NAME_BYTES_MAX: usize = 256;
/// Extensions answered in one configure.
const EXTENSIONS_MAX: usize = 16;

/// What follows a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Nothing but what was appended.
    GoOn,
    /// The connection is closed: this is not Stratum.
    Close,
    /// There is a new block: everybody needs its job.
    NewBlock,
}

/// A result, or the code and text of an error.
type Answer = Result<Value, (i32, &'static str)>;

#[derive(Debug)]
pub(super) struct Desk {
    pub(super) config: PracticePoolConfig,
    pub(super) chain: Chain,
    pub(super) book: Arc<Mutex<Book>>,
}

impl Desk {
    pub(super) fn new(
        config: PracticePoolConfig,
        book: Arc<Mutex<Book>>,
        now: u32,
    ) -> Result<Self, TemplateError> {
        let chain = Chain::new(&config, now)?;
        let desk = Self { config, chain, book };
        desk.note_chain();
        Ok(desk)
    }

    /// Does what a line asks for; what goes back is appended to `out`.
    pub(super) fn take_line(
        &mut self,
        client: &mut Client,
        line: &[u8],
        now: u32,
        out: &mut String,
    ) -> After {
        let line = line.trim_ascii();
        if line.is_empty() {
            return After::GoOn;
        }
        let Some(message) = JsonLine::read(line).filter(|_| line.len() <= LINE_BYTES_MAX) else {
            return After::Close;
        };
        // A response to a ping of some other pool, or an ESP-Miner's "pong": nothing to do.
        let Some(method) = message.method().filter(|&method| method != "pong") else { return After::GoOn };
        self.book.lock().request(method);
        let params = message.params();
        let id = message.id().filter(|&id| id != "null");
        let mut after = After::GoOn;
        let answer = match method {
            "mining.configure" => self.configure(client, &params),
            "mining.subscribe" => {
                client.is_subscribed = true;
                let extranonce1 = client.extranonce1_text();
                let subscriptions =
                    ["mining.set_difficulty", "mining.notify"].map(|m| json!([m, extranonce1]));
                Ok(json!([subscriptions, extranonce1, self.config.extranonce2_size]))
            }
            "mining.authorize" => self.authorize(client, &params),
            "mining.submit" => {
                let (answer, block) = self.submit(client, id.unwrap_or_default(), &params, now);
                if let Some(hash) = block.or_else(|| self.chain.is_full().then(|| self.chain.foreign_hash()))
                {
                    self.new_block(hash, now);
                    after = After::NewBlock;
                }
                answer
            }
            "mining.extranonce.subscribe" => Ok(json!(true)),
            "mining.ping" => Ok(json!("pong")),
            "mining.suggest_difficulty" => {
                self.suggest(client, &params);
                self.move_on(client, out);
                return After::GoOn; // no answer: some miners would count it as one to a share
            }
            "mining.suggest_target" | "mining.capabilities" => return After::GoOn,
            "mining.get_transactions" => Err((20, "Not supported.")),
            _ => Err((-3, "Method not found")),
        };
        if let Some(id) = id {
            push_answer(out, id, &answer);
        }
        self.move_on(client, out);
        after
    }

    /// Another job on the same tip, or a new tip when it is time for one.
    pub(super) fn next_job(&mut self, now: u32) {
        if self.chain.jobs_on_tip() >= self.config.jobs_per_block {
            self.next_block(now);
        } else {
            let made = self.chain.new_job(now);
            self.report(made);
        }
    }

    /// A new tip that nobody here found.
    pub(super) fn next_block(&mut self, now: u32) {
        self.new_block(self.chain.foreign_hash(), now);
    }

    fn new_block(&mut self, hash: Hash256, now: u32) {
        let made = self.chain.new_block(hash, now);
        self.report(made);
    }

    /// Gives a client the newest job, if it can work.
    pub(super) fn give_job(&self, client: &mut Client, out: &mut String) {
        if let Some(job) = self.chain.newest().filter(|_| client.can_work()) {
            client.give_job(job, out);
        }
    }

    /// Gives a client its first job, or one at its new difficulty.
    fn move_on(&self, client: &mut Client, out: &mut String) {
        if !client.has_work() || client.difficulty.to_bits() != client.wanted_difficulty.to_bits() {
            self.give_job(client, out);
        }
    }

    fn configure(&self, client: &mut Client, params: &Value) -> Answer {
        let extensions = params.get(0).and_then(Value::as_array).ok_or((20, "Invalid params"))?;
        let mut result = Map::new();
        for extension in extensions.iter().filter_map(Value::as_str).take(EXTENSIONS_MAX) {
            let granted = match extension {
                "version-rolling" => {
                    let asked = match params.get(1).and_then(|options| options.get("version-rolling.mask")) {
                        Some(mask) => mask.as_str().and_then(|mask| u32::from_str_radix(mask, 16).ok()),
                        None => Some(u32::MAX),
                    };
                    client.version_mask = asked.unwrap_or(0) & self.config.version_mask;
                    result
                        .insert("version-rolling.mask".into(), json!(format!("{:08x}", client.version_mask)));
                    client.version_mask != 0
                }
                "subscribe-extranonce" => true,
                _ => false,
            };
            result.insert(extension.into(), json!(granted));
        }
        Ok(Value::Object(result))
    }

    fn authorize(&self, client: &mut Client, params: &Value) -> Answer {
        let name = params.get(0).and_then(Value::as_str).ok_or((20, "Invalid params"))?;
        self.book.lock().name(name);
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err((24, "Invalid worker name"));
        }
        if client.names.len() >= NAMES_MAX && !client.names.contains(name) {
            return Err((20, "Too many workers"));
        }
        client.names.insert(name.into());
        Ok(json!(true))
    }

    fn suggest(&self, client: &mut Client, params: &Value) {
        let suggested = params.get(0).and_then(Value::as_f64).filter(|difficulty| *difficulty > 0.0);
        if let Some(difficulty) = suggested {
            client.wanted_difficulty =
                difficulty.clamp(self.config.difficulty_min, self.config.difficulty_max);
        }
    }

    /// The answer, and the hash if the share is a block.
    fn submit(&mut self, client: &Client, id: &str, params: &Value, now: u32) -> (Answer, Option<Hash256>) {
        let Some(submit) = Submit::read(params) else {
            let (code, text) = Refusal::Params.code_and_text();
            self.book.lock().malformed(code);
            return (Err((code, text)), None);
        };
        let judged = judge(&submit, client, &mut self.chain, self.config.extranonce2_size, now);
        let (fit, outcome, answer) = match judged {
            Ok(accepted) => (Fit::Fits, Ok(accepted.difficulty), Ok(json!(true))),
            Err(refusal) => {
                let (code, text) = refusal.code_and_text();
                (refusal.fit(), Err(code), Err((code, text)))
            }
        };
        let mut book = self.book.lock();
        book.submit(&Entry {
            connection: client.number,
            id,
            name: submit.name,
            job_id: submit.job_id,
            key: ShareKey::new(&client.extranonce1_text(), &submit.fields),
            fit,
            outcome,
        });
        let block = judged.ok().filter(|accepted| accepted.is_block);
        if let Some(accepted) = block {
            book.stats.blocks += 1;
            log::info!("practice pool: {} found block {}", submit.name, accepted.hash);
        }
        (answer, block.map(|accepted| accepted.hash))
    }

    /// A template error cannot come up once the first job was made; if it does, miners keep the job they have.
    fn report(&self, made: Result<(), TemplateError>) {
        if let Err(error) = made {
            log::error!("practice pool: no new job: {error}");
        }
        self.note_chain();
    }

    fn note_chain(&self) {
        let mut book = self.book.lock();
        book.stats.jobs = self.chain.jobs_count();
        book.stats.height = self.chain.height();
    }
}

fn push_answer(out: &mut String, id: &str, answer: &Answer) {
    // Writing into a String cannot fail.
    let _ = match answer {
        Ok(result) => writeln!(out, r#"{{"id":{id},"result":{result},"error":null}}"#),
        Err((code, text)) => writeln!(out, r#"{{"id":{id},"result":null,"error":[{code},"{text}",null]}}"#),
    };
}

#[cfg(test)]
mod tests;
