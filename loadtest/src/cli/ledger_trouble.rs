//! `adit-loadtest ledger-trouble`: the relay beside a ledger that cannot be written.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use adit_loadtest::ledger_trouble::Plan;
use clap::Args;

use super::screen::Screen;
use super::{fail, print};

/// The relay's latency beside a ledger whose disk stands still or is full, and beside one that is well; takes root
#[derive(Args, Debug)]
pub(super) struct LedgerTrouble {
    /// The Adit to measure
    #[arg(long, value_name = "PATH", default_value = "target/release/adit")]
    adit: PathBuf,

    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,

    /// Miners
    #[arg(long, value_name = "N", default_value_t = 100)]
    connections: usize,

    /// Submits per second of all miners
    #[arg(long, value_name = "N", default_value_t = 20_000.0)]
    rate: f64,

    /// Time measured in each round
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    window_ms: u64,
}

pub(super) fn execute(arguments: &LedgerTrouble) -> ExitCode {
    let plan = Plan {
        adit: arguments.adit.clone(),
        rounds: arguments.rounds,
        connections: arguments.connections,
        rate: arguments.rate,
        window: Duration::from_millis(arguments.window_ms),
    };
    let mut screen = Screen::new();
    let outcome = plan.run(|what| screen.note(what));
    screen.end();
    match outcome {
        Ok(outcome) => print(&outcome),
        Err(error) => fail(&error),
    }
}
