//! Parses all lines of one kind so many times, and nothing else: what `scripts/parse-gates` counts the instructions of.
//! `parse-count idle|parse|frame|frame-and-parse KIND ROUNDS`

use std::process::ExitCode;

use adit_benches::lines::{LINES_COUNT, LineKind, Lines};
use adit_benches::passes;
use adit_protocol::framer::{BufferPool, PoolFramer};
use adit_protocol::parse::Parser;

/// A receive, as the engine's buffers have it.
const RECEIVE_BYTES: usize = 4096;

const PASSES: [&str; 4] = ["idle", "parse", "frame", "frame-and-parse"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((pass, kind, rounds)) = understood(&arguments) else {
        eprintln!("usage: parse-count idle|parse|frame|frame-and-parse KIND ROUNDS");
        return ExitCode::FAILURE;
    };
    let mut lines = Lines::of(kind);
    let (mut parser, mut framer, mut spare) = (Parser::new(), PoolFramer::default(), BufferPool::default());
    if passes::parse(&mut lines, &mut parser) != lines.expected() {
        eprintln!("{}: parsed wrongly", kind.name());
        return ExitCode::FAILURE;
    }
    for _ in 0..rounds {
        let (sum, expected) = match pass {
            "idle" => (passes::idle(&mut lines), LINES_COUNT as u64),
            "parse" => (passes::parse_only(&mut lines, &mut parser), LINES_COUNT as u64),
            "frame" => {
                let sum = passes::frame(&mut lines, RECEIVE_BYTES, &mut framer, &mut spare);
                (sum, (lines.bytes_count() - LINES_COUNT) as u64)
            }
            _ => {
                let sum =
                    passes::frame_and_parse(&mut lines, RECEIVE_BYTES, &mut framer, &mut spare, &mut parser);
                (sum, lines.expected())
            }
        };
        if sum != expected {
            eprintln!("{pass} {}: saw {sum} instead of {expected}", kind.name());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn understood(arguments: &[String]) -> Option<(&'static str, LineKind, u32)> {
    let [pass, kind, rounds] = arguments else { return None };
    let pass = PASSES.into_iter().find(|known| known == pass)?;
    let kind = LineKind::ALL.into_iter().find(|known| known.name() == kind)?;
    Some((pass, kind, rounds.parse().ok()?))
}
