//! `adit-loadtest`: load for proxies, and what comes of it. See `--help`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
