//! How a pool that behaves answers a request, and how it judges a share.

use std::collections::HashSet;

use serde_json::Value;

use super::jobs::Jobs;
use super::script::Script;
use super::seen::{Fit, Texts};
use crate::proof::is_work;
use crate::shapes::{FAILURE_SHAPES, SUCCESS_SHAPES};
use crate::share::{ShareFields, ShareKey, is_sealed_for};

/// Shares remembered to tell duplicates; then it forgets them all and starts again.
const SHARES_REMEMBERED_MAX: usize = 2_000_000;

/// What the pool knows about one connection.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) extranonce1: String,
    pub(super) names: HashSet<String>,
    /// Number of the first job it was given.
    pub(super) first_job: Option<u64>,
    /// What it was told that a share must reach; zero if nothing.
    pub(super) difficulty: f64,
    /// The version bits it may roll.
    pub(super) version_mask: u32,
}

/// A submit with its params told apart.
#[derive(Debug)]
pub(super) struct Submit<'a> {
    pub(super) name: &'a str,
    pub(super) job_id: &'a str,
    pub(super) fields: ShareFields<'a>,
}

impl<'a> Submit<'a> {
    /// `None` if these are not five or six strings.
    pub(super) fn read(params: &'a Value) -> Option<Self> {
        let items: Vec<&str> = params.as_array()?.iter().map(Value::as_str).collect::<Option<_>>()?;
        let (&[name, job_id, extranonce2, ntime, nonce], rest) = items.split_first_chunk::<5>()?;
        let version_bits = match rest {
            [] => "",
            [bits] => bits,
            _ => return None,
        };
        Some(Self { name, job_id, fields: ShareFields { extranonce2, ntime, nonce, version_bits } })
    }
}

/// Looks at shares, and remembers those that fit.
#[derive(Debug, Default)]
pub(super) struct Judge {
    seen: HashSet<ShareKey>,
    pub(super) texts: Texts,
}

impl Judge {
    pub(super) fn look(&mut self, submit: &Submit<'_>, key: ShareKey, account: &Account, jobs: &Jobs) -> Fit {
        if !account.names.contains(submit.name) {
            return Fit::UnknownName;
        }
        let given = |number: u64| account.first_job.is_some_and(|first| number >= first);
        let Some(job) = jobs.find(submit.job_id).filter(|job| given(job.number)) else {
            return Fit::UnknownJob;
        };
        if !is_sealed_for(&account.extranonce1, &job.content, &submit.fields) {
            return Fit::WrongSeal;
        }
        let bits = u32::from_str_radix(submit.fields.version_bits, 16);
        if !submit.fields.version_bits.is_empty() && bits.is_ok_and(|bits| bits & !account.version_mask != 0)
        {
            return Fit::WrongVersion;
        }
        let proven = || job.work.difficulty_of(&account.extranonce1, &submit.fields);
        if is_work(account.difficulty) && proven().is_none_or(|proven| proven < account.difficulty) {
            return Fit::TooEasy;
        }
        if self.seen.len() >= SHARES_REMEMBERED_MAX {
            self.seen.clear();
        }
        if self.seen.insert(key) { Fit::Fits } else { Fit::Duplicate }
    }
}

/// The shape of the answer to a judged share.
pub(super) fn verdict_shape(fit: Fit) -> &'static str {
    match fit {
        Fit::Fits => SUCCESS_SHAPES[0],
        Fit::Duplicate => r#"{"id":$id,"result":null,"error":[22,"Duplicate share",null]}"#,
        Fit::UnknownJob => r#"{"id":$id,"result":null,"error":[21,"Job not found",null]}"#,
        Fit::WrongSeal | Fit::TooEasy => FAILURE_SHAPES[0],
        Fit::WrongVersion => r#"{"id":$id,"result":null,"error":[20,"Version bits outside the mask",null]}"#,
        Fit::UnknownName => r#"{"id":$id,"result":null,"error":[24,"Unauthorized worker",null]}"#,
        Fit::Malformed => r#"{"id":$id,"result":null,"error":[20,"Malformed share",null]}"#,
    }
}

/// The shape of the answer to anything else; `None` where real pools say nothing.
pub(super) fn shape(script: &Script, method: &str, params: &Value) -> Option<String> {
    let shape = match method {
        "mining.configure" => return Some(configure_shape(script, params)),
        "mining.subscribe" => {
            r#"{"id":$id,"result":[[["mining.set_difficulty","$extranonce1"],["mining.notify","$extranonce1"]],"$extranonce1",$size],"error":null}"#
        }
        "mining.authorize" | "mining.extranonce.subscribe" => SUCCESS_SHAPES[0],
        "mining.suggest_difficulty" | "mining.suggest_target" | "mining.capabilities" | "pong" => {
            return None;
        }
        _ => r#"{"id":$id,"result":null,"error":[-3,"Method not found",null]}"#,
    };
    Some(shape.into())
}

/// A result for every code that was asked for: version rolling by the script, everything else refused.
fn configure_shape(script: &Script, params: &Value) -> String {
    let codes = params.get(0).and_then(Value::as_array).cloned().unwrap_or_default();
    let members: Vec<String> = codes
        .iter()
        .filter_map(Value::as_str)
        .map(|code| {
            if code == "version-rolling" && !script.version_mask.is_empty() {
                format!(r#""version-rolling":true,"version-rolling.mask":"{}""#, script.version_mask)
            } else {
                format!("{}:false", Value::from(code))
            }
        })
        .collect();
    format!(r#"{{"id":$id,"result":{{{}}},"error":null}}"#, members.join(","))
}
