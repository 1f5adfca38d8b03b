//! Hashrates as decaying averages over seven windows, as pure code: time and difficulty in, averages out.
//!
//! An average is kept as difficulty per second; times 2³² it is hashes per second. Its update over `Δt` seconds in which
//! difficulty `Σ` was accepted, for a window of `T` seconds, is that of ckpool (`libckpool.c`, `decay_time`):
//! `p = 1 − e^(−Δt/T)`, `f ← (f + (Σ/Δt)·p) / (1 + p)`. It suits short steps: however long a silence, it only halves an
//! average. So in a step of a minute or more the first minute takes the exact form, `f ← f·(1 − p) + (Σ/Δt)·p`, and the
//! rest of it is silence, `f ← f·(1 − p)`. All of them rest at the same value.
//!
//! Only accepted shares count, with the difficulty that was assigned, not the one that was reached.

use crate::tally::MINUTE_US;

/// The windows, in seconds: 1 minute, 5 minutes, 15 minutes, 1 hour, 6 hours, 1 day, 7 days.
pub const WINDOWS_S: [u32; 7] = [60, 300, 900, 3_600, 21_600, 86_400, 604_800];
/// How many times each window is in the next one.
const RATIOS: [i32; WINDOWS_S.len() - 1] = {
    let mut ratios = [0; WINDOWS_S.len() - 1];
    let mut at = 0;
    while at < ratios.len() {
        assert!(WINDOWS_S[at + 1].is_multiple_of(WINDOWS_S[at]));
        ratios[at] = (WINDOWS_S[at + 1] / WINDOWS_S[at]) as i32;
        at += 1;
    }
    ratios
};
/// Names of the windows, for labels.
pub const WINDOW_NAMES: [&str; 7] = ["1m", "5m", "15m", "1h", "6h", "1d", "7d"];
/// Hashes that a share of difficulty 1 stands for.
pub const HASHES_PER_DIFFICULTY: f64 = 4_294_967_296.0;
/// Shares that come closer together than this are one step.
const STEP_US_MIN: u64 = 1_000_000;
/// Steps from here up take the exact form.
const STEP_US_EXACT: u64 = MINUTE_US;
/// `e^-36` is nothing to a double.
const EXPONENT_MAX: f64 = 36.0;

/// The averages of one worker, one pool, or all. 80 bytes, no heap.
///
/// Times are microseconds of any one clock; an earlier time than the last counts as the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hashrate {
    /// Difficulty per second, for each window.
    averages: [f64; WINDOWS_S.len()],
    /// Accepted since `updated_us`.
    pending: f64,
    updated_us: u64,
    born_us: u64,
}

impl Hashrate {
    /// Nothing accepted yet.
    pub fn new(now_us: u64) -> Self {
        Self { averages: [0.0; WINDOWS_S.len()], pending: 0.0, updated_us: now_us, born_us: now_us }
    }

    /// The averages that these minutes leave behind: start of the minute and accepted difficulty in it, oldest first, as
    /// the ledger's rollups have them. So a restart does not blank the figures.
    pub fn restored(minutes: impl IntoIterator<Item = (u64, f64)>, now_us: u64) -> Self {
        let mut restored: Option<Self> = None;
        for (start_us, difficulty) in minutes.into_iter().take_while(|&(start_us, _)| start_us < now_us) {
            restored.get_or_insert_with(|| Self::new(start_us)).restore_minute(start_us, difficulty, now_us);
        }
        restored.unwrap_or_else(|| Self::new(now_us))
    }

    /// Goes on by one minute of the rollups. The minute that `now_us` is in counts up to now.
    pub fn restore_minute(&mut self, start_us: u64, difficulty: f64, now_us: u64) {
        self.settle(start_us);
        self.pending += difficulty;
        self.settle((start_us + MINUTE_US).min(now_us));
    }

    /// Counts an accepted share.
    #[inline]
    pub fn credit(&mut self, difficulty: f64, now_us: u64) {
        if now_us.saturating_sub(self.updated_us) >= STEP_US_MIN {
            self.settle(now_us);
        }
        self.pending += difficulty;
    }

    /// Hashes per second over each window of [`WINDOWS_S`], as of now. A window longer than what is known is divided by
    /// the part of it that is, `1 − e^(−age/T)`, so that a young worker does not look slow.
    pub fn hashes_per_second(&self, now_us: u64) -> [f64; WINDOWS_S.len()] {
        let mut current = *self;
        if now_us.saturating_sub(self.updated_us) >= STEP_US_MIN {
            current.settle(now_us);
        }
        let known = parts(seconds(current.updated_us.saturating_sub(self.born_us)));
        let mut rates = current.averages;
        for (rate, known) in rates.iter_mut().zip(known) {
            *rate = if known > 0.0 { *rate / known * HASHES_PER_DIFFICULTY } else { 0.0 };
        }
        rates
    }

    /// Adds another's averages: a worker on two shards is one worker.
    pub fn merge(&mut self, other: &Self, now_us: u64) {
        let mut other = *other;
        self.settle(now_us);
        other.settle(now_us);
        for (mine, theirs) in self.averages.iter_mut().zip(other.averages) {
            *mine += theirs;
        }
        self.pending += other.pending;
        self.born_us = self.born_us.min(other.born_us);
    }

    /// Takes what is pending into the averages.
    fn settle(&mut self, now_us: u64) {
        let passed_us = now_us.saturating_sub(self.updated_us);
        if passed_us == 0 {
            return;
        }
        let step_s = seconds(passed_us.min(STEP_US_EXACT));
        let silent_s = seconds(passed_us.saturating_sub(STEP_US_EXACT));
        let rate = self.pending / step_s;
        let is_short = passed_us < STEP_US_EXACT;
        let silent = if is_short { [0.0; WINDOWS_S.len()] } else { parts(silent_s) };
        for ((average, p), silent) in self.averages.iter_mut().zip(parts(step_s)).zip(silent) {
            *average = if is_short {
                (*average + rate * p) / (1.0 + p)
            } else {
                (*average * (1.0 - p) + rate * p) * (1.0 - silent)
            };
        }
        self.pending = 0.0;
        self.updated_us = now_us;
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// How much of each window `step_s` seconds are: `1 − e^(−Δt/T)`.
///
/// Each window is a whole number of the one before it, so what is left of the shorter one is a power of what is left of the
/// longer one: one exponential instead of seven, in what a worker's every share costs. The error stays below 1e-9.
fn parts(step_s: f64) -> [f64; WINDOWS_S.len()] {
    let longest_s = f64::from(WINDOWS_S[WINDOWS_S.len() - 1]);
    let mut part = -(-(step_s / longest_s).min(EXPONENT_MAX)).exp_m1();
    let mut parts = [part; WINDOWS_S.len()];
    for (at, ratio) in RATIOS.into_iter().enumerate().rev() {
        part = 1.0 - (1.0 - part).powi(ratio);
        parts[at] = part;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const DAY: u64 = 86_400 * SECOND;
    /// 18 shares a minute at 65,536: the example of the protocol's fact sheet.
    const EXAMPLE_HASHRATE: f64 = 84.4e12;

    fn example(until_us: u64) -> Hashrate {
        let mut rate = Hashrate::new(0);
        let mut now = 0;
        while now + 60 * SECOND / 18 <= until_us {
            now += 60 * SECOND / 18;
            rate.credit(65_536.0, now);
        }
        rate
    }

    #[test]
    fn one_exponential_gives_the_parts_of_all_windows() {
        for step_s in [1e-6, 0.003, 1.0, 7.5, 59.0, 60.0, 3_600.0, 1e5, 1e6, 1e8, 1e12] {
            for (part, window_s) in parts(step_s).into_iter().zip(WINDOWS_S) {
                let exact = -(-step_s / f64::from(window_s)).exp_m1();
                assert!(
                    (part - exact).abs() <= 1e-9 * exact.max(1e-3),
                    "{step_s} of {window_s}: {part} {exact}"
                );
            }
        }
    }

    fn off_by(rate: f64, expected: f64) -> f64 {
        (rate / expected - 1.0).abs()
    }

    #[test]
    fn a_steady_worker_shows_its_hashrate_in_every_window() {
        let rates = example(9 * DAY).hashes_per_second(9 * DAY);
        for (rate, name) in rates.into_iter().zip(WINDOW_NAMES) {
            assert!(off_by(rate, EXAMPLE_HASHRATE) < 0.04, "{name}: {rate}");
        }
    }

    #[test]
    fn a_young_worker_does_not_look_slow() {
        let rates = example(600 * SECOND).hashes_per_second(600 * SECOND);
        for (rate, name) in rates.into_iter().zip(WINDOW_NAMES) {
            assert!(off_by(rate, EXAMPLE_HASHRATE) < 0.04, "{name}: {rate}");
        }
    }

    #[test]
    fn a_silent_worker_fades_window_by_window() {
        let rate = example(9 * DAY);
        let an_hour_later = rate.hashes_per_second(9 * DAY + 3_600 * SECOND);
        assert!(an_hour_later[0] < 1e-6 * EXAMPLE_HASHRATE, "{an_hour_later:?}");
        assert!(off_by(an_hour_later[3], EXAMPLE_HASHRATE / std::f64::consts::E) < 0.02, "{an_hour_later:?}");
        assert!(off_by(an_hour_later[6], EXAMPLE_HASHRATE) < 0.02, "{an_hour_later:?}");
        let much_later = rate.hashes_per_second(400 * DAY);
        assert!(much_later.iter().all(|&rate| rate < 1e9), "{much_later:?}");
    }

    #[test]
    fn a_step_follows_the_formula() {
        let mut rate = Hashrate::new(0);
        rate.credit(100.0, 0);
        rate.settle(10 * SECOND);
        let p = 1.0 - (-10.0_f64 / 60.0).exp();
        assert!((rate.averages[0] - 10.0 * p / (1.0 + p)).abs() < 1e-9);
        let before = rate.averages[0];
        rate.settle(20 * SECOND);
        assert!((rate.averages[0] - before / (1.0 + p)).abs() < 1e-9);
    }

    #[test]
    fn a_restart_does_not_blank_the_figures() {
        let until = 8 * DAY;
        let live = example(until).hashes_per_second(until);
        let minutes = (0..until / MINUTE_US).map(|minute| (minute * MINUTE_US, 18.0 * 65_536.0));
        let restored = Hashrate::restored(minutes, until);
        for ((live, restored), name) in
            live.into_iter().zip(restored.hashes_per_second(until)).zip(WINDOW_NAMES)
        {
            assert!(off_by(restored, live) < 0.04, "{name}: {restored} for {live}");
        }
        let silent = Hashrate::restored([(0, 18.0 * 65_536.0)], until);
        assert!(silent.hashes_per_second(until)[0] < 1.0);
        let blank = Hashrate::restored([], until);
        assert_eq!(blank, Hashrate::new(until));
    }

    #[test]
    fn the_unfinished_minute_counts_up_to_now() {
        let now = 10 * MINUTE_US + 20 * SECOND;
        let minutes = (0..11).map(|minute| (minute * MINUTE_US, if minute < 10 { 600.0 } else { 200.0 }));
        let rates = Hashrate::restored(minutes, now).hashes_per_second(now);
        assert!(off_by(rates[0], 10.0 * HASHES_PER_DIFFICULTY) < 0.01, "{rates:?}");
    }

    #[test]
    fn two_halves_make_a_whole() {
        let (mut one, mut other, mut whole) = (Hashrate::new(0), Hashrate::new(0), Hashrate::new(0));
        for n in 1..=3_600 {
            let half = if n % 2 == 0 { &mut one } else { &mut other };
            half.credit(10.0, n * SECOND);
            whole.credit(10.0, n * SECOND);
        }
        let now = 3_600 * SECOND;
        one.merge(&other, now);
        for (merged, whole) in one.hashes_per_second(now).into_iter().zip(whole.hashes_per_second(now)) {
            assert!(off_by(merged, whole) < 0.04, "{merged} for {whole}");
        }
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing() {
        let mut rate = example(600 * SECOND);
        let before = rate;
        rate.settle(300 * SECOND);
        assert_eq!(rate, before);
    }
}
