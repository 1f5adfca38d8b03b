//! The command line: what can be asked of `adit`, and the exit code it answers with.
//!
//! Each subcommand is one file; the `--help` texts stand with the flags they explain.

#![expect(clippy::doc_markdown, reason = "a flag's doc is its help text, shown as it stands")]

mod admin;
mod config;
mod demo;
mod ledger;
mod mine;
mod practice_pool;
mod run;
mod settings_flags;
mod status;
mod tools;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Something failed while Adit ran, or kept it from starting.
pub const EXIT_RUNTIME: u8 = 1;
/// The configuration or the command line is wrong. The same that clap uses.
pub const EXIT_CONFIGURATION: u8 = 2;

/// Adit: a Stratum V1 mining proxy for bare-metal Linux.
///
/// Miners connect to Adit, each gets an upstream connection of its own to the pool, and nobody can tell from the wire
/// that Adit is there, but for what it changes on purpose: request ids and worker names.
#[derive(Debug, Parser)]
#[command(
    version,
    max_term_width = 110,
    after_help = "Exit codes: 0 all well, 1 failed, 2 wrong configuration."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy
    Run(Box<settings_flags::SettingsFlags>),
    /// Show how a running Adit is: health, miners, hashrate, pools; exit code 1 if it fails or does not answer
    Status(status::StatusFlags),
    #[command(subcommand)]
    Config(config::ConfigCommand),
    #[command(subcommand)]
    Ledger(ledger::LedgerCommand),
    /// Serve work of a made-up chain, and check every share by hashing it: a pool to try things with
    PracticePool(practice_pool::PracticePoolFlags),
    /// Mine with this machine's CPU: a miner to try things with
    Mine(mine::MineFlags),
    /// Run practice pool, proxy and miners in one process, and tell whether all went well
    ///
    /// Ends with a line `accepted=N rejected=N unanswered=N p50_us=N p99_us=N`. The exit code is 0 only if shares were
    /// accepted, none went unanswered, and miners, proxy, pool and (if one is kept) ledger counted the same.
    Demo(demo::DemoFlags),
}

/// Does what the process's arguments say.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(flags) => run::execute(&flags),
        Command::Status(flags) => status::execute(&flags),
        Command::Config(command) => config::execute(&command),
        Command::Ledger(command) => ledger::execute(&command),
        Command::PracticePool(flags) => practice_pool::execute(&flags),
        Command::Mine(flags) => mine::execute(&flags),
        Command::Demo(flags) => demo::execute(&flags),
    }
}

/// Says on stderr what went wrong.
fn fail(code: u8, message: &dyn std::fmt::Display) -> ExitCode {
    // Where stderr is closed, the exit code has to do.
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::from(code)
}

/// Writes a command's result to stdout.
fn print(text: &str) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_RUNTIME, &format_args!("stdout: {error}")),
    }
}
