//! `adit-loadtest run`: a scenario against a real Adit.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use adit_loadtest::pool_process::Launcher;
use adit_loadtest::scenario::{self, Means, RunError, Scenario};
use clap::Args;

use super::screen::Screen;
use super::{EXIT_FAILED, fail, print};

/// Run a scenario against a real Adit; exit code 1 if an objective was missed
#[derive(Args, Debug)]
pub(super) struct Run {
    /// closed, failover, fanout, hostile, idle, mixed, soak, steady, storm, or a TOML file
    scenario: String,

    /// The Adit to run
    #[arg(long, value_name = "PATH", default_value = "target/release/adit")]
    adit: PathBuf,

    /// A further argument of `adit run`
    #[arg(long = "adit-arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    adit_arguments: Vec<String>,

    /// Run so long instead of what the scenario says
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<u64>,

    /// Write figures and timeline to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write a page with plots to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

fn means(arguments: &Run) -> Result<Means, RunError> {
    let pools = Launcher { program: std::env::current_exe()?, arguments: vec!["scripted-pool".into()] };
    let (adit, adit_arguments) = (arguments.adit.clone(), arguments.adit_arguments.clone());
    Ok(Means { adit, adit_arguments, pools })
}

pub(super) fn execute(arguments: &Run) -> ExitCode {
    let mut scenario = match Scenario::read(&arguments.scenario) {
        Ok(scenario) => scenario,
        Err(error) => return fail(&error),
    };
    if let Some(seconds) = arguments.seconds {
        scenario.run_ms = seconds.saturating_mul(1_000);
    }
    let mut screen = Screen::new();
    let outcome =
        means(arguments).and_then(|means| scenario::run(&scenario, &means, |live| screen.live(live)));
    screen.end();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return fail(&error),
    };
    let written = [
        (&arguments.json, format!("{:#}\n", outcome.json())),
        (&arguments.html, outcome.html(&arguments.scenario, &scenario)),
    ];
    for (file, text) in written {
        if let Some(file) = file
            && let Err(error) = fs::write(file, text)
        {
            return fail(&format_args!("{}: {error}", file.display()));
        }
    }
    let printed = print(&outcome);
    if outcome.is_good() { printed } else { ExitCode::from(EXIT_FAILED) }
}
