//! Lets so many shares go up and their verdicts come down through a session, and nothing else: what
//! `scripts/session-gates` counts the instructions of, in `Way::up` and `Way::down`. `session-count SHARES`

use std::process::ExitCode;

use adit_benches::way::Way;

fn main() -> ExitCode {
    let shares = std::env::args().nth(1).and_then(|argument| argument.parse().ok());
    let Some(shares) = shares else {
        eprintln!("usage: session-count SHARES");
        return ExitCode::FAILURE;
    };
    if Way::new(false).exchange(shares) == shares { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
