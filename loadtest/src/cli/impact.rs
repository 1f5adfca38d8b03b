//! `adit-loadtest impact`: what being watched costs the relay.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use adit_loadtest::compare::{Cores, Load, MeasureError, Plan, Watchers};
use adit_loadtest::lean::miners::{Pace, Quiet};
use clap::Args;

use super::screen::Screen;
use super::{fail, print};

/// Hardly a submit in a whole measurement.
const IDLE: Load = Load { connections: 500, pace: Pace::PerSecond(0.1), quiet: Quiet::Nobody };

/// Adit under the same load with and without operators who scrape and listen: CPU per round trip and latency
#[derive(Args, Debug)]
pub(super) struct Impact {
    /// The Adit to measure
    #[arg(long, value_name = "PATH", default_value = "target/release/adit")]
    adit: PathBuf,

    /// Scrapes of /metrics per second
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    scrapes: u32,

    /// Listeners to events
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=128))]
    listeners: u32,

    /// Rounds of each load
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rounds: u16,

    /// Time measured in each turn
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    window_ms: u64,

    /// Only the closed loops with these numbers of connections; 0 is the fixed rate
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_value = "100,1000,0")]
    only: Vec<usize>,

    /// Connections that submit nothing, too: how soon a shard takes its mail that was asleep
    #[arg(long)]
    idle: bool,

    /// Keep the whole proxy to the relay's core, instead of letting its other threads have those of its peers, too
    #[arg(long)]
    one_core: bool,
}

pub(super) fn execute(arguments: &Impact) -> ExitCode {
    let watchers = Watchers { scrapes_per_second: arguments.scrapes, listeners: arguments.listeners };
    let plan = match plan(arguments) {
        Ok(plan) => plan,
        Err(error) => return fail(&error),
    };
    let mut outcome = ExitCode::SUCCESS;
    // Each as it is done: it takes minutes, and what is measured is measured whatever comes after it.
    for &load in &plan.loads {
        let mut screen = Screen::new();
        let impact = plan.impact(load, watchers, |what| screen.note(what));
        screen.end();
        outcome = match impact {
            Ok(impact) => print(&impact),
            Err(error) => return fail(&error),
        };
    }
    outcome
}

fn plan(arguments: &Impact) -> Result<Plan, MeasureError> {
    let window = Duration::from_millis(arguments.window_ms);
    let is_wanted = |load: &Load| {
        // Other loads are there for other questions.
        match load.kind() {
            "closed" => arguments.only.contains(&load.connections),
            "open" => load.connections == 500 && arguments.only.contains(&0),
            _ => false,
        }
    };
    let found = Cores::of_this_machine()?;
    // The relay takes the first core of its mask, so that one has to be the proxy's.
    let cores = Cores { proxy: found.pool, pool: found.proxy, miners: found.proxy };
    let is_alone = arguments.one_core;
    Ok(Plan {
        proxies: Vec::new(),
        loads: Load::ALL.into_iter().filter(is_wanted).chain(arguments.idle.then_some(IDLE)).collect(),
        rounds: arguments.rounds.into(),
        settle: window / 4,
        warm_up: window / 4,
        window,
        cores,
        adit_mask: if is_alone {
            cores.proxy.to_string()
        } else {
            format!("{},{}", cores.proxy, cores.miners)
        },
        adit: arguments.adit.clone(),
        ledger: true,
        kernel: false,
        adit_arguments: Vec::new(),
        peers: std::env::current_exe()?,
    })
}
