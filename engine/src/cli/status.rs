//! `adit status`: how a running Adit is, at a terminal and for scripts.

mod http;
mod page;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use adit_admin::health::Verdict;
use adit_admin::problem::Problem;
use adit_admin::view::{DrillReport, PoolList, Stats};
use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use thiserror::Error;

use super::tools;
use super::{EXIT_RUNTIME, fail, print};
use crate::config::TOKEN_VARIABLE;
use crate::settings::ADMIN_LISTEN_DEFAULT;
use http::Url;
use page::Page;

#[derive(Args, Debug)]
pub struct StatusFlags {
    /// Where its operators are answered [default: http://127.0.0.1:9090]
    #[arg(long, value_name = "URL")]
    url: Option<Url>,

    /// A token, where it wants one. Other users of this machine can see it in the list of processes; the variable
    /// ADIT_TOKEN keeps it
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Show it again and again, this often unless told otherwise
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "2s", value_parser = tools::duration)]
    watch: Option<Duration>,

    /// One JSON object instead: health, stats, pools, the last drill
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Error)]
enum StatusError {
    #[error("{0} does not answer: {1}")]
    Unreachable(Url, std::io::Error),
    #[error("{0}{1}: {2}")]
    Refused(Url, &'static str, String),
    #[error("{0}{1}: that is no answer of this version of Adit: {2}")]
    Strange(Url, &'static str, serde_json::Error),
}

/// What was answered.
struct Answers {
    verdict: Verdict,
    stats: Stats,
    pools: PoolList,
    /// The last drill, under way or over.
    drill: Option<DrillReport>,
    /// As it came.
    raw: Value,
}

/// Shows it. The exit code is 0 if Adit is well or degraded, 1 if it fails or does not answer.
pub fn execute(flags: &StatusFlags) -> ExitCode {
    let Some(every) = flags.watch else { return once(flags, "") };
    loop {
        let is_terminal = std::io::stdout().is_terminal();
        // Home, and what was below cleared.
        let shown = once(flags, if is_terminal && !flags.json { "\x1b[H\x1b[J" } else { "" });
        if std::io::stdout().flush().is_err() {
            return shown;
        }
        std::thread::sleep(every);
    }
}

fn once(flags: &StatusFlags, before: &str) -> ExitCode {
    let answers = match ask(flags) {
        Ok(answers) => answers,
        Err(error) => return fail(EXIT_RUNTIME, &error),
    };
    let text = if flags.json {
        format!("{}\n", answers.raw)
    } else {
        let Answers { verdict, stats, pools, drill, .. } = &answers;
        let drill = drill.as_ref().filter(|drill| drill.is_running());
        let has_colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        format!("{before}{}", Page { verdict, stats, pools: &pools.pools, drill, has_colours })
    };
    let printed = print(&text);
    if answers.verdict.works() { printed } else { ExitCode::from(EXIT_RUNTIME) }
}

fn ask(flags: &StatusFlags) -> Result<Answers, StatusError> {
    let by_variable = || std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
    let token = flags.token.clone().or_else(by_variable);
    let url = flags.url.clone().unwrap_or_else(|| Url::from(ADMIN_LISTEN_DEFAULT));
    let page = |path| page(&url, path, token.as_deref());
    let (health, stats, pools) = (page("/health")?, page("/stats")?, page("/stats/pools")?);
    let drill = page("/drill")?["drill"].take();
    Ok(Answers {
        verdict: understood(&url, "/health", &health)?,
        stats: understood(&url, "/stats", &stats)?,
        pools: understood(&url, "/stats/pools", &pools)?,
        drill: understood(&url, "/drill", &drill)?,
        raw: json!({ "health": health, "stats": stats, "pools": pools, "drill": drill }),
    })
}

/// A page as JSON. `/health` has one whatever its status.
fn page(url: &Url, path: &'static str, token: Option<&str>) -> Result<Value, StatusError> {
    let (status, body) =
        http::get(url, path, token).map_err(|error| StatusError::Unreachable(url.clone(), error))?;
    if status != 200 && !(status == 503 && path == "/health") {
        let problem = serde_json::from_slice::<Problem>(&body);
        let why = problem.map_or_else(|_| format!("status {status}"), |problem| problem.detail);
        return Err(StatusError::Refused(url.clone(), path, why));
    }
    serde_json::from_slice(&body).map_err(|error| StatusError::Strange(url.clone(), path, error))
}

fn understood<T: DeserializeOwned>(url: &Url, path: &'static str, value: &Value) -> Result<T, StatusError> {
    T::deserialize(value).map_err(|error| StatusError::Strange(url.clone(), path, error))
}
