//! What a simulated miner knows of its session: extranonce, job, and how to make a share of them.

use serde_json::Value;

use crate::proof::{Work, is_work};
use crate::scripted_pool::jobs::tag_of;
use crate::share::{JobContent, ShareFields, ShareKey, seal};

/// The version bits of a miner that rolls them, where the pool allows all of them.
const ROLLED_BITS: u32 = 0x00c0_e000;
/// Shares tried for one that does the difficulty. Pools of simulated miners ask for far less.
const TRIES_MAX: u64 = 100_000;

/// The job a miner works on.
#[derive(Clone, Debug)]
struct Job {
    id: String,
    content: JobContent,
    ntime: String,
    /// What its shares must reach, and the work that shows whether they do; nothing where every hash does.
    asked: Option<(f64, Work)>,
}

/// The miner's half of a session.
#[derive(Debug, Default)]
pub(super) struct Session {
    extranonce1: String,
    extranonce2_size: usize,
    /// Counts from the next job on.
    next_extranonce: Option<(String, usize)>,
    job: Option<Job>,
    version_mask: u32,
    difficulty: f64,
    /// The worker name was accepted.
    pub(super) authorised: bool,
}

/// A share ready to be sent.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) key: ShareKey,
    /// The params of its submit, as written.
    pub(super) params: String,
    /// Shares with lower numbers are used up.
    pub(super) next_number: u64,
}

impl Session {
    /// Whether there is something to work on.
    pub(super) fn has_job(&self) -> bool {
        self.job.is_some() && self.extranonce2_size > 0
    }

    /// Reads the result of subscribe; false if it is not one.
    pub(super) fn subscribed(&mut self, result: &Value) -> bool {
        let (Some(extranonce1), Some(size)) =
            (result.get(1).and_then(Value::as_str), result.get(2).and_then(Value::as_u64))
        else {
            return false;
        };
        self.extranonce1 = extranonce1.into();
        self.extranonce2_size = usize::try_from(size).unwrap_or(0).min(16);
        true
    }

    /// The scripted pool whose work it has, by that pool's tag.
    pub(super) fn source(&self) -> Option<&str> {
        tag_of(&self.job.as_ref()?.content.coinb1)
    }

    /// Reads the result of configure.
    pub(super) fn configured(&mut self, result: &Value) {
        let is_granted = result.get("version-rolling") == Some(&Value::Bool(true));
        self.version_mask = if is_granted { mask_of(result.get("version-rolling.mask")) } else { 0 };
    }

    /// Takes a notification that changes the session; others are ignored.
    pub(super) fn notified(&mut self, method: &str, params: &Value, takes_extranonce: bool) {
        match method {
            "mining.notify" => self.take_job(params),
            "mining.set_difficulty" => {
                self.difficulty = params.get(0).and_then(Value::as_f64).unwrap_or_default();
            }
            "mining.set_version_mask" => self.version_mask = mask_of(params.get(0)),
            "mining.set_extranonce" if takes_extranonce => {
                if let (Some(extranonce1), Some(size)) =
                    (params.get(0).and_then(Value::as_str), params.get(1).and_then(Value::as_u64))
                {
                    self.next_extranonce =
                        Some((extranonce1.into(), usize::try_from(size).unwrap_or(0).min(16)));
                }
            }
            _ => {}
        }
    }

    fn take_job(&mut self, params: &Value) {
        let text = |n: usize| params.get(n).and_then(Value::as_str).map(String::from);
        let (Some(id), Some(prevhash), Some(coinb1), Some(coinb2), Some(ntime)) =
            (text(0), text(1), text(2), text(3), text(7))
        else {
            return;
        };
        if let Some((extranonce1, size)) = self.next_extranonce.take() {
            self.extranonce1 = extranonce1;
            self.extranonce2_size = size;
        }
        let work = is_work(self.difficulty).then(|| Work::of_notify(params)).flatten();
        let asked = work.map(|work| (self.difficulty, work));
        self.job = Some(Job { id, content: JobContent { prevhash, coinb1, coinb2 }, ntime, asked });
    }

    /// The first share from this number on that does the difficulty, sealed; `None` without a job.
    pub(super) fn share(&self, name: &str, number: u64, rolling_style: bool) -> Option<Share> {
        let job = self.job.as_ref()?;
        (number..number + TRIES_MAX).find_map(|number| self.try_share(job, name, number, rolling_style))
    }

    fn try_share(&self, job: &Job, name: &str, number: u64, rolling_style: bool) -> Option<Share> {
        let digits = self.extranonce2_size * 2;
        let wide = format!("{number:0digits$x}");
        let extranonce2 = wide.get(wide.len() - digits..)?;
        let nonce = format!("{:08x}", seal(&self.extranonce1, &job.content, extranonce2, &job.ntime));
        let rolls = rolling_style && self.version_mask != 0;
        let bits = if rolls { format!("{:08x}", ROLLED_BITS & self.version_mask) } else { String::new() };
        let version_bits = bits.as_str();
        let fields = ShareFields { extranonce2, ntime: &job.ntime, nonce: &nonce, version_bits };
        if let Some((difficulty, work)) = &job.asked
            && work.difficulty_of(&self.extranonce1, &fields).is_some_and(|reached| reached < *difficulty)
        {
            return None;
        }
        let tail = if version_bits.is_empty() { String::new() } else { format!(",\"{version_bits}\"") };
        Some(Share {
            key: ShareKey::new(&self.extranonce1, &fields),
            params: format!(
                "[{},{},\"{extranonce2}\",\"{}\",\"{nonce}\"{tail}]",
                Value::from(name),
                Value::from(job.id.as_str()),
                job.ntime
            ),
            next_number: number + 1,
        })
    }
}

fn mask_of(value: Option<&Value>) -> u32 {
    value.and_then(Value::as_str).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or_default()
}
