//! Wall time, as the ledger stores it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The system's clock may stray this far from the monotonic one between two looks before it counts as set: slewing and
/// the time between reading both stay far below.
const STEP_US_MIN: u64 = 500_000;

/// Microseconds since 1970, UTC; 0 before.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// Notices when somebody sets the system's clock. Times of shares go on as if nobody had, until the next start.
#[derive(Clone, Copy, Debug)]
pub struct StepWatch {
    started: (u64, Instant),
    /// Wall time and monotonic time of the last look.
    last: (u64, Instant),
}

impl StepWatch {
    /// Begins with this wall time, µs since 1970, at this moment.
    pub fn new(wall_us: u64, now: Instant) -> Self {
        Self { started: (wall_us, now), last: (wall_us, now) }
    }

    /// How many µs the clock was set forward (or back, below zero) since the last look, if it was.
    pub fn look(&mut self, wall_us: u64, now: Instant) -> Option<i64> {
        let (last_us, last) = std::mem::replace(&mut self.last, (wall_us, now));
        let passed_us = now.saturating_duration_since(last).as_micros() as i64;
        let step_us = wall_us as i64 - last_us as i64 - passed_us;
        (step_us.unsigned_abs() >= STEP_US_MIN).then_some(step_us)
    }

    /// Wall time as if the clock had never been set.
    pub fn steady_us(&self, now: Instant) -> u64 {
        let (started_us, started) = self.started;
        started_us + now.saturating_duration_since(started).as_micros() as u64
    }
}

/// `2026-01-31T12:34:56.000789Z`, for exports and messages.
pub fn rfc3339(time_us: u64) -> String {
    let (days, us_of_day) = (time_us / 86_400_000_000, time_us % 86_400_000_000);
    let (year, month, day) = civil(days);
    let seconds = us_of_day / 1_000_000;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        us_of_day % 1_000_000
    )
}

/// The date of a day counted from 1970. Years are taken to begin in March, so that a leap day is the last of its year;
/// 400 years have 146,097 days.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153; // 0 is March
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year_of_era + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_once_and_one_that_is_slewed_is_not() {
        const MINUTE: u64 = 60_000_000;
        let begin = Instant::now();
        let mut watch = StepWatch::new(100 * MINUTE, begin);
        let at = |minutes: u64| begin + Duration::from_secs(60 * minutes);
        assert_eq!(watch.look(101 * MINUTE, at(1)), None);
        assert_eq!(watch.look(102 * MINUTE + 30_000, at(2)), None, "slewed by 500 ppm");
        assert_eq!(watch.look(163 * MINUTE, at(3)), Some(60 * MINUTE as i64 - 30_000));
        assert_eq!(watch.look(164 * MINUTE, at(4)), None, "it is told once");
        assert_eq!(watch.look(105 * MINUTE, at(5)), Some(-60 * MINUTE as i64));
        assert_eq!(watch.steady_us(at(5)), 105 * MINUTE);
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (time_us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_800_000_001, "2000-03-01T00:00:00.000001Z"),
            (1_767_225_599_999_999, "2025-12-31T23:59:59.999999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
            (4_107_456_000_000_000, "2100-02-28T00:00:00.000000Z"),
        ] {
            assert_eq!(rfc3339(time_us), text);
        }
    }
}
