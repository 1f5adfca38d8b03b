//! What a simulated miner knows of its session: extranonce, job, and how to make a share of them.

use serde_json::Value;

use crate::share::{JobContent, ShareFields, ShareKey, seal};

/// The job a miner works on.
#[derive(Clone, Debug)]
struct Job {
    id: String,
    content: JobContent,
    ntime: String,
}

/// The miner's half of a session.
#[derive(Debug, Default)]
pub(super) struct Session {
    extranonce1: String,
    extranonce2_size: usize,
    /// Counts from the next job on.
    next_extranonce: Option<(String, usize)>,
    job: Option<Job>,
    rolls_version: bool,
    /// The worker name was accepted.
    pub(super) authorised: bool,
}

/// A share ready to be sent.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) key: ShareKey,
    /// The params of its submit, as written.
    pub(super) params: String,
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

    /// Reads the result of configure.
    pub(super) fn configured(&mut self, result: &Value) {
        self.rolls_version = result.get("version-rolling") == Some(&Value::Bool(true));
    }

    /// Takes a notification that changes the session; others are ignored.
    pub(super) fn notified(&mut self, method: &str, params: &Value) {
        match method {
            "mining.notify" => self.take_job(params),
            "mining.set_extranonce" => {
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
        self.job = Some(Job { id, content: JobContent { prevhash, coinb1, coinb2 }, ntime });
    }

    /// The share with this number, sealed; `None` without a job.
    pub(super) fn share(&self, name: &str, number: u64, rolling_style: bool) -> Option<Share> {
        let job = self.job.as_ref()?;
        let digits = self.extranonce2_size * 2;
        let wide = format!("{number:0digits$x}");
        let extranonce2 = wide.get(wide.len() - digits..)?;
        let nonce = format!("{:08x}", seal(&self.extranonce1, &job.content, extranonce2, &job.ntime));
        let version_bits = if rolling_style && self.rolls_version { "00c0e000" } else { "" };
        let fields = ShareFields { extranonce2, ntime: &job.ntime, nonce: &nonce, version_bits };
        let tail = if version_bits.is_empty() { String::new() } else { format!(",\"{version_bits}\"") };
        Some(Share {
            key: ShareKey::new(&self.extranonce1, &fields),
            params: format!(
                "[{},{},\"{extranonce2}\",\"{}\",\"{nonce}\"{tail}]",
                Value::from(name),
                Value::from(job.id.as_str()),
                job.ntime
            ),
        })
    }
}
