//! What `practice-pool`, `mine` and `demo` have in common: a quiet log, a live line, an end by time or signal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crossbeam::channel::Receiver;

use crate::config;
use crate::logging::{self, LogError, LogHandle};
use crate::settings::LogSettings;
use crate::signals::{self, Stop};

/// How often a live line changes on a terminal.
const LIVE_EVERY: Duration = Duration::from_secs(1);
/// How often it is written where lines stay, as in a file.
const LINES_EVERY: Duration = Duration::from_secs(5);

/// The log of a tool: warnings and worse to stderr, so that its own lines can be read.
pub fn start_log() -> Result<LogHandle, LogError> {
    logging::start(
        &LogSettings { levels: "warn".parse().unwrap_or_default(), ..LogSettings::default() },
        None,
    )
}

/// Watches for the end of a tool, which comes by time or by signal.
pub struct Until {
    stop: Receiver<Stop>,
    started: Instant,
    end: Option<Instant>,
    is_terminal: bool,
    next_line: Instant,
}

impl Until {
    /// Ends after `time`, if there is one, or on SIGINT or SIGTERM.
    pub fn start(time: Option<Duration>, log: LogHandle) -> io::Result<Self> {
        let started = Instant::now();
        Ok(Self {
            stop: signals::watch(log)?.stop,
            started,
            end: time.and_then(|time| started.checked_add(time)),
            is_terminal: io::stdout().is_terminal(),
            next_line: started + LINES_EVERY,
        })
    }

    /// Waits a moment and shows `line`, with the seconds so far before it. False once the end has come.
    pub fn show(&mut self, line: impl FnOnce() -> String) -> bool {
        let now = Instant::now();
        let wait = self.end.map_or(LIVE_EVERY, |end| LIVE_EVERY.min(end.saturating_duration_since(now)));
        let is_stopped = self.stop.recv_timeout(wait).is_ok();
        let now = Instant::now();
        let is_over = is_stopped || self.end.is_some_and(|end| now >= end);
        let seconds = now.duration_since(self.started).as_secs();
        // A closed stdout keeps nothing from going on.
        let mut stdout = io::stdout().lock();
        if self.is_terminal {
            // Back to the start of the line, and what is left of the old one cleared.
            let _ = write!(stdout, "\r{seconds:>4} s  {}\x1b[K{}", line(), if is_over { "\n" } else { "" });
        } else if is_over || now >= self.next_line {
            self.next_line = now + LINES_EVERY;
            let _ = writeln!(stdout, "{seconds:>4} s  {}", line());
        }
        let _ = stdout.flush();
        !is_over
    }
}

/// Reads `20s`, `5m`, `1h 30m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) => Err("it is no time at all; allowed: more than 0, as in 20s or 5m".to_owned()),
        Err(error) => Err(format!("{error}; allowed: a number and a unit, as in 20s, 5m or 1h")),
    }
}

/// Reads a pool's URL, and gives it back as text.
pub fn pool_url(text: &str) -> Result<String, String> {
    config::pool_url(text).map(|address| address.to_string())
}

/// Reads a number above zero, with k, M, G, T or P behind it for its thousands.
pub fn quantity(text: &str) -> Result<f64, String> {
    let allowed = || format!("{text:?} is not a number above 0 such as 0.001, 500k or 1.5M");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let thousands = match text.get(digits.len()..) {
        Some("") => 0,
        Some("k" | "K") => 1,
        Some("M") => 2,
        Some("G") => 3,
        Some("T") => 4,
        Some("P") => 5,
        _ => return Err(allowed()),
    };
    match digits.trim().parse::<f64>().map(|number| number * 1_000_f64.powi(thousands)) {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err(allowed()),
    }
}

/// A number with at most three digits before the point, and the letter for its thousands.
pub fn shown_quantity(number: f64) -> String {
    let mut number = number;
    for unit in ["", " k", " M", " G", " T"] {
        if number < 1_000.0 {
            return format!("{number:.1}{unit}");
        }
        number /= 1_000.0;
    }
    format!("{number:.1} P")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_with_their_thousands() {
        for (text, number) in [
            ("1", 1.0),
            ("0.001", 0.001),
            ("500k", 5e5),
            ("1.5M", 1.5e6),
            ("2 G", 2e9),
            ("1T", 1e12),
            ("3P", 3e15),
        ] {
            let read = quantity(text).unwrap_or_else(|error| panic!("{error}"));
            assert!((read - number).abs() <= number * 1e-12, "{text}: {read}");
        }
        for text in ["", "k", "0", "-1", "1x", "1kk", "nan", "inf", "1e400", "one"] {
            assert!(quantity(text).is_err(), "{text}");
        }
        assert_eq!(shown_quantity(0.0), "0.0");
        assert_eq!(shown_quantity(1_234_567.0), "1.2 M");
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5_400)));
        for text in ["20", "0s", "", "-1s", "soon"] {
            assert!(duration(text).is_err_and(|error| error.contains("20s")), "{text}");
        }
    }

    #[test]
    fn pool_urls_are_read_as_in_the_configuration() {
        assert_eq!(pool_url("stratum+tcp://Pool:1/").as_deref(), Ok("stratum+tcp://pool:1"));
        let error = pool_url("pool:1").expect_err("no scheme");
        assert_eq!(error, "it has no scheme; allowed: stratum+tcp://HOST:PORT");
    }
}
