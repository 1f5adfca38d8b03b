//! Times on the command line.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::tools;

/// Reads a day, a time (both UTC) or how long ago; microseconds since 1970.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let time = humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&format!("{text}T00:00:00Z")))
        .ok()
        .or_else(|| SystemTime::now().checked_sub(tools::duration(text).ok()?))
        .ok_or_else(|| {
            "it is no time; allowed: a day as in 2026-01-31, a time in UTC as in 2026-01-31T12:00:00Z, or how long ago \
             as in 2h or 30m"
                .to_owned()
        })?;
    // Before 1970 there are no shares either.
    Ok(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64))
}

#[cfg(test)]
mod tests {
    use adit_store::clock::now_us;

    use super::*;

    #[test]
    fn days_times_and_how_long_ago_are_read() {
        assert_eq!(parse("1970-01-02"), Ok(86_400_000_000));
        assert_eq!(parse("1970-01-02T00:00:00Z"), Ok(86_400_000_000));
        assert_eq!(parse("1970-01-02 00:00:01.5"), Ok(86_401_500_000));
        let ago = now_us() - parse("2h").expect("a time");
        assert!((7_199_000_000..7_260_000_000).contains(&ago), "{ago}");
        for text in ["", "soon", "2026-13-01", "2026", "12:00", "-2h"] {
            assert!(parse(text).is_err_and(|error| error.contains("2026-01-31")), "{text}");
        }
    }
}
