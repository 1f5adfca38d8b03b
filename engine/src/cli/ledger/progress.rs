//! A bar on stderr for what takes a while. Where stderr is no terminal, nothing is shown.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Cells of the bar.
const CELLS: u64 = 40;
/// Time between two pictures.
const SHOWN_EVERY: Duration = Duration::from_millis(100);

/// Shows how far something is.
pub(super) struct Bar {
    verb: &'static str,
    is_terminal: bool,
    next: Instant,
    is_begun: bool,
}

impl Bar {
    /// A bar for what is said to be, for example, "copied".
    pub(super) fn new(verb: &'static str) -> Self {
        Self { verb, is_terminal: io::stderr().is_terminal(), next: Instant::now(), is_begun: false }
    }

    /// So much of so much.
    pub(super) fn show(&mut self, done: u64, total: u64) {
        self.draw(|verb| picture(verb, done, total));
    }

    /// So much, of nobody knows how much.
    pub(super) fn count(&mut self, done: u64) {
        self.draw(|verb| format!("{done} {verb}"));
    }

    /// Clears the line: what follows says the result.
    pub(super) fn end(self) {
        if self.is_begun {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn draw(&mut self, picture: impl FnOnce(&str) -> String) {
        let now = Instant::now();
        if !self.is_terminal || now < self.next {
            return;
        }
        self.next = now + SHOWN_EVERY;
        self.is_begun = true;
        // A stderr that takes nothing keeps nothing from going on.
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "\r{}\x1b[K", picture(self.verb));
        let _ = stderr.flush();
    }
}

fn picture(verb: &str, done: u64, total: u64) -> String {
    let total = total.max(1);
    let done = done.min(total);
    let part = |of: u64| (u128::from(done) * u128::from(of) / u128::from(total)) as u64;
    let filled = part(CELLS) as usize;
    format!("{}{} {:>3} % {verb}", "█".repeat(filled), "░".repeat(CELLS as usize - filled), part(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_full_as_the_work_is_done() {
        for (done, total, filled, percent) in [
            (0, 10, 0, "  0 %"),
            (5, 10, 20, " 50 %"),
            (10, 10, 40, "100 %"),
            (11, 10, 40, "100 %"),
            (0, 0, 0, "  0 %"),
        ] {
            let picture = picture("copied", done, total);
            assert_eq!(picture.matches('█').count(), filled, "{picture}");
            assert_eq!(picture.matches('░').count(), 40 - filled, "{picture}");
            assert!(picture.contains(percent), "{picture}");
        }
        assert!(picture("copied", u64::MAX, u64::MAX).contains("100 %"));
    }
}
