//! The command line of `adit-loadtest`.

mod compare;
mod impact;
mod lean;
mod ledger_trouble;
mod run;
mod screen;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use adit_loadtest::process::{DESCRIPTORS_WANTED, raise_descriptor_limit};
use clap::{Parser, Subcommand};

/// An objective was missed, or something failed.
const EXIT_FAILED: u8 = 1;
/// The machine was too noisy for a conclusion.
const EXIT_NO_CONCLUSION: u8 = 3;

/// Load for Adit and other Stratum proxies.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 all well, 1 failed, 2 wrong arguments, 3 too noisy for a conclusion."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Compare(compare::Compare),
    Impact(impact::Impact),
    LedgerTrouble(ledger_trouble::LedgerTrouble),
    Pool(lean::Pool),
    Miners(lean::Miners),
    ScriptedPool(lean::ScriptedPool),
}

/// Does what the process's arguments say.
pub(crate) fn main() -> ExitCode {
    let arguments = Cli::parse();
    raise_descriptor_limit(DESCRIPTORS_WANTED);
    match arguments.command {
        Command::Run(arguments) => run::execute(&arguments),
        Command::Compare(arguments) => compare::execute(&arguments),
        Command::Impact(arguments) => impact::execute(&arguments),
        Command::LedgerTrouble(arguments) => ledger_trouble::execute(&arguments),
        Command::Pool(arguments) => lean::pool(&arguments),
        Command::Miners(arguments) => lean::miners(&arguments),
        Command::ScriptedPool(arguments) => lean::scripted_pool(&arguments),
    }
}

/// Says on stderr what went wrong.
fn fail(message: &dyn Display) -> ExitCode {
    // Where stderr is closed, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::from(EXIT_FAILED)
}

/// Writes a result to stdout.
fn print(text: &dyn Display) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format_args!("stdout: {error}")),
    }
}
