//! Keeps lines that a peer can cause again and again from filling the log.

use std::collections::BTreeMap;
use std::net::IpAddr;

use adit_protocol::moment::Moment;

/// Addresses and reasons counted apart; further ones share one count.
pub const KEYS_COUNT_MAX: usize = 1_024;

/// Lets through a few lines per address and reason in each window of time, and counts the others.
///
/// One shard owns one. Memory is bounded: at [`KEYS_COUNT_MAX`] keys those whose window has passed are forgotten, and
/// if all are in use, what is new shares one count.
///
/// ```
/// # use adit::logging::rate::RateLimited;
/// # use adit_protocol::moment::Moment;
/// # let (address, now) = ("192.0.2.1".parse().unwrap(), Moment(0));
/// let mut refused = RateLimited::new(3, 60_000);
/// if let Some(suppressed) = refused.pass(address, "tls", now) {
///     log::info!("{address} speaks TLS to a plain listener ({suppressed} such lines left out)");
/// }
/// ```
#[derive(Debug)]
pub struct RateLimited {
    lines_max: u32,
    window_ms: u64,
    windows: BTreeMap<(IpAddr, &'static str), Window>,
    others: Window,
    /// No window that was there at the last clearing ends before.
    next_end: Moment,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    started: Moment,
    passed_count: u32,
    suppressed_count: u64,
}

impl RateLimited {
    /// At most `lines_max` lines per key in `window_ms` milliseconds.
    pub fn new(lines_max: u32, window_ms: u64) -> Self {
        Self {
            lines_max,
            window_ms,
            windows: BTreeMap::new(),
            others: Window::default(),
            next_end: Moment::default(),
        }
    }

    /// Whether to write a line now; if so, how many of its kind were left out since the last one.
    pub fn pass(&mut self, address: IpAddr, reason: &'static str, now: Moment) -> Option<u64> {
        let (lines_max, window_ms) = (self.lines_max, self.window_ms);
        let key = (address, reason);
        if self.windows.len() >= KEYS_COUNT_MAX && now >= self.next_end {
            self.windows.retain(|_, window| now < window.started.plus_ms(window_ms));
            // Before the first of the others ends, another look would find nothing.
            let ends = self.windows.values().map(|window| window.started.plus_ms(window_ms));
            self.next_end = ends.min().unwrap_or_default();
        }
        let window = if self.windows.len() < KEYS_COUNT_MAX || self.windows.contains_key(&key) {
            self.windows.entry(key).or_insert(Window { started: now, ..Window::default() })
        } else {
            &mut self.others
        };
        if now >= window.started.plus_ms(window_ms) {
            (window.started, window.passed_count) = (now, 0);
        }
        if window.passed_count < lines_max {
            window.passed_count += 1;
            return Some(std::mem::take(&mut window.suppressed_count));
        }
        window.suppressed_count = window.suppressed_count.saturating_add(1);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(index: usize) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(index as u32))
    }

    #[test]
    fn lines_beyond_the_rate_are_left_out_and_counted() {
        let mut limited = RateLimited::new(2, 1_000);
        let mut pass =
            |address_index, reason, ms: u64| limited.pass(address(address_index), reason, Moment(ms * 1_000));
        assert_eq!(pass(1, "tls", 0), Some(0));
        assert_eq!(pass(1, "tls", 1), Some(0));
        assert_eq!(pass(1, "tls", 2), None);
        assert_eq!(pass(1, "tls", 999), None);
        // Another reason and another address have counts of their own.
        assert_eq!(pass(1, "noise", 999), Some(0));
        assert_eq!(pass(2, "tls", 999), Some(0));
        assert_eq!(pass(1, "tls", 1_000), Some(2));
        assert_eq!(pass(1, "tls", 1_001), Some(0));
        assert_eq!(pass(1, "tls", 1_002), None);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_bounded_lines() {
        let mut limited = RateLimited::new(1, 1_000);
        let passed =
            (0..100_000).filter(|&index| limited.pass(address(index), "tls", Moment(5)).is_some()).count();
        assert_eq!(passed, KEYS_COUNT_MAX + 1);
        assert_eq!(limited.windows.len(), KEYS_COUNT_MAX);
        // Once their time has passed, the old ones make room.
        assert_eq!(limited.pass(address(200_000), "tls", Moment(2_000_000)), Some(0));
        assert_eq!(limited.windows.len(), 1);
    }
}
