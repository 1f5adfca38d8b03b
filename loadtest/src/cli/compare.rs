//! `adit-loadtest compare`: Adit beside other proxies under the same load.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use adit_loadtest::compare::{Comparison, Cores, Load, MeasureError, Plan, Proxy};
use clap::Args;

use super::screen::Screen;
use super::{EXIT_FAILED, EXIT_NO_CONCLUSION, fail, print};

/// Rounds of each load, and time that is measured in each.
const FULL: (usize, Duration) = (7, Duration::from_secs(2));
const QUICK: (usize, Duration) = (3, Duration::from_millis(700));

/// What asks for two shards beside one, which is no comparison of proxies.
const SHARDS: &str = "shards";
/// All that can be asked for.
const LOADS: [&str; 10] =
    ["1", "100", "1000", "5000", "0", "fan-out", "half-idle", "half-deaf", "many", SHARDS];

/// Adit, haproxy, nginx and no proxy at all under the same load, round by round: CPU, latency and memory
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Compare {
    /// The Adit to measure
    #[arg(long, value_name = "PATH", default_value = "target/release/adit")]
    adit: PathBuf,

    /// Let Adit keep no ledger
    #[arg(long)]
    no_ledger: bool,

    /// A further argument of `adit run`, as in --adit-arg=--share-check
    #[arg(long = "adit-arg", value_name = "ARGUMENT", allow_hyphen_values = true)]
    adit_arguments: Vec<String>,

    /// A look in less than three minutes, with fewer and shorter rounds
    #[arg(long)]
    quick: bool,

    /// Rounds of each load [default: 7, quick 3]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,

    /// Time measured in each round [default: 2000, quick 700]
    #[arg(long, value_name = "MS")]
    window_ms: Option<u64>,

    /// Only these loads: closed loops by their number of connections, or 0 (a low fixed rate), fan-out, half-idle,
    /// half-deaf, many; or, by itself, shards: two of Adit's beside one [default: the closed loops and 0]
    #[arg(long, value_name = "LOAD,LOAD,…", value_delimiter = ',', value_parser = LOADS)]
    only: Vec<String>,

    /// Only these proxies, and haproxy where Adit is held against it
    #[arg(long, value_name = "NAME,NAME,…", value_delimiter = ',', value_parser = Proxy::ALL.map(Proxy::name))]
    proxies: Vec<String>,

    /// Count system calls, context switches and interrupts to other cores, where perf works
    #[arg(long)]
    kernel: bool,

    /// Measure two shards even where they have to share cores with their peers; nothing is concluded then
    #[arg(long)]
    crowded: bool,

    /// Write the medians to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(super) fn execute(arguments: &Compare) -> ExitCode {
    if arguments.only.iter().any(|name| name == SHARDS) {
        return shards(arguments);
    }
    let outcome = plan(arguments).and_then(|plan| {
        let mut screen = Screen::new();
        let comparison = plan.run(|nth, of, what| screen.step(nth, of, what));
        screen.end();
        let comparison = comparison?;
        if let Some(file) = &arguments.json {
            fs::write(file, format!("{:#}\n", comparison.json()))?;
        }
        Ok(comparison)
    });
    match outcome {
        Ok(comparison) => conclude(&comparison),
        Err(error) => fail(&error),
    }
}

fn plan(arguments: &Compare) -> Result<Plan, MeasureError> {
    let (rounds, window) = if arguments.quick { QUICK } else { FULL };
    let window = arguments.window_ms.map_or(window, Duration::from_millis);
    let is_wanted = |load: &Load| {
        let name = match load.kind() {
            "closed" => load.connections.to_string(),
            "open" => "0".into(),
            kind => kind.to_owned(),
        };
        let is_usual = matches!(load.kind(), "closed" | "open");
        if arguments.only.is_empty() { is_usual } else { arguments.only.contains(&name) }
    };
    let is_named = |proxy: &Proxy| {
        arguments.proxies.is_empty() || arguments.proxies.iter().any(|name| name == proxy.name())
    };
    let cores = Cores::of_this_machine()?;
    Ok(Plan {
        proxies: Proxy::ALL.into_iter().filter(is_named).collect(),
        loads: Load::ALL.into_iter().filter(is_wanted).collect(),
        rounds: arguments.rounds.unwrap_or(rounds).max(1),
        settle: window / 4,
        warm_up: window / 4,
        window,
        cores,
        adit_mask: cores.proxy.to_string(),
        adit: arguments.adit.clone(),
        ledger: !arguments.no_ledger,
        kernel: arguments.kernel,
        adit_arguments: arguments.adit_arguments.clone(),
        peers: std::env::current_exe()?,
    })
}

fn conclude(comparison: &Comparison) -> ExitCode {
    let printed = print(comparison);
    if !comparison.too_noisy().is_empty() {
        ExitCode::from(EXIT_NO_CONCLUSION)
    } else if comparison.has_failed() {
        ExitCode::from(EXIT_FAILED)
    } else {
        printed
    }
}

fn shards(arguments: &Compare) -> ExitCode {
    let mut screen = Screen::new();
    let outcome = plan(arguments)
        .and_then(|plan| plan.shards(arguments.crowded, |nth, of, what| screen.step(nth, of, what)));
    screen.end();
    match outcome {
        Ok(shards) => {
            let printed = print(&shards);
            shards.holds().map_or(ExitCode::from(EXIT_NO_CONCLUSION), |holds| {
                if holds { printed } else { ExitCode::from(EXIT_FAILED) }
            })
        }
        Err(error @ MeasureError::TooFewCores { .. }) => {
            fail(&error);
            ExitCode::from(EXIT_NO_CONCLUSION)
        }
        Err(error) => fail(&error),
    }
}
