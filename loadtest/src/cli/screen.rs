//! What is shown on a terminal while something runs: a table that grows, and below it the present and a bar. Where
//! stderr is no terminal, nothing.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use adit_loadtest::scenario::{Live, Phase};

/// Characters of a whole bar.
const BAR_WIDTH: usize = 30;
/// Rows that stay of one phase, about.
const ROWS_KEPT: u32 = 40;

/// The part of the terminal that is written over, and what stands above it.
#[derive(Debug)]
pub(super) struct Screen {
    is_shown: bool,
    /// Lines that the next look writes over.
    lines: usize,
    started: Instant,
    phase: Option<(Phase, Instant)>,
    next_row: Instant,
}

impl Screen {
    pub(super) fn new() -> Self {
        let (now, is_shown) = (Instant::now(), std::io::stderr().is_terminal());
        Self { is_shown, lines: 0, started: now, phase: None, next_row: now }
    }

    /// Part `nth` of `of` parts begins; what it is.
    pub(super) fn step(&mut self, nth: usize, of: usize, what: &str) {
        let done = nth as f64 / of.max(1) as f64;
        let left = left(self.started.elapsed(), done);
        self.draw("", &[format!("{} {nth} of {of}{left}  {what}", bar(done))]);
    }

    /// What goes on, in a line that the next one replaces.
    pub(super) fn note(&mut self, what: &str) {
        self.draw("", &[what.to_owned()]);
    }

    /// A scenario goes on.
    pub(super) fn live(&mut self, live: &Live) {
        let now = Instant::now();
        let mut above = String::new();
        if self.phase.is_none_or(|(phase, _)| phase != live.phase) {
            if self.phase.is_none() {
                above.push_str(HEADS);
                above.push('\n');
            }
            (self.phase, self.next_row) = (Some((live.phase, now)), now);
        }
        for event in &live.happened {
            above.push_str(event);
            above.push('\n');
        }
        let row = row(live);
        if now >= self.next_row {
            self.next_row += (live.takes / ROWS_KEPT).max(Duration::from_secs(1));
            above.push_str(&row);
            above.push('\n');
        }
        let since = self.phase.map_or(Duration::ZERO, |(_, since)| now - since);
        let below = match live.phase {
            Phase::Gathering => format!("{}  miners come", bar(live.done)),
            Phase::Running => {
                let (seconds, all) = (since.as_secs(), live.takes.as_secs());
                format!("{}  {seconds} of {all} s{}", bar(live.done), left(since, live.done))
            }
            Phase::Settling => "the last answers, and the books".into(),
        };
        self.draw(&above, &[row, below]);
    }

    /// Nothing more is written over.
    pub(super) fn end(&mut self) {
        self.draw("", &[]);
    }

    /// Replaces the lines below by `above`, which stays, and by new ones.
    fn draw(&mut self, above: &str, lines: &[String]) {
        if !self.is_shown {
            return;
        }
        // From the start of the first of those lines, everything to the end of the screen.
        let mut text = "\x1b[A".repeat(self.lines) + "\r\x1b[J" + above;
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        self.lines = lines.len();
        let mut stderr = std::io::stderr().lock();
        // Where stderr is closed nobody wants to know.
        let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
    }
}

const HEADS: &str =
    "   time  miners  submits/s  accepted    p50 ms    p99 ms  CPU %   memory  descriptors  ledger";

fn row(live: &Live) -> String {
    let [_, now] = &live.moments;
    let mib = |bytes: f64| bytes / 1_048_576.0;
    let accepted = live.accepted_percent().map_or("-".into(), |percent| format!("{percent:.1} %"));
    format!(
        "{:5.0} s  {:>6}  {:>9.0}  {accepted:>8}  {:>8.2}  {:>8.2}  {:>5.1}  {:>3.1} MiB  {:>11}  {:.1} MiB",
        now.at_s,
        now.mining,
        live.per_second(|moment| moment.submitted as f64),
        now.p50_ms,
        now.p99_ms,
        live.per_second(|moment| moment.cpu_s) * 100.0,
        mib(now.resident_kib as f64 * 1_024.0),
        now.descriptors,
        mib(now.ledger_bytes as f64),
    )
}

fn bar(done: f64) -> String {
    let done = done.clamp(0.0, 1.0);
    let full = (done * BAR_WIDTH as f64).round() as usize;
    format!("[{}{}] {:3.0} %", "#".repeat(full), "-".repeat(BAR_WIDTH - full), done * 100.0)
}

/// How long the rest takes if it goes on like this; empty while that cannot be said.
fn left(since: Duration, done: f64) -> String {
    if done < 0.02 {
        return String::new();
    }
    let seconds = (since.as_secs_f64() * (1.0 / done.min(1.0) - 1.0)).round() as u64;
    format!(", {}:{:02} left", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_up_and_the_rest_is_estimated() {
        assert_eq!(bar(0.5), format!("[{}{}]  50 %", "#".repeat(15), "-".repeat(15)));
        assert_eq!(bar(7.0).matches('#').count(), BAR_WIDTH);
        assert_eq!(left(Duration::from_secs(30), 0.25), ", 1:30 left");
        assert_eq!(left(Duration::from_secs(30), 0.0), "");
    }
}
