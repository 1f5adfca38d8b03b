//! A ledger's figures in words.

use std::fmt::Write;
use std::path::Path;

use adit_store::clock::rfc3339;
use adit_store::info::Info;

/// Width of what stands before the figures.
const LABEL_WIDTH: usize = 14;

/// One line per figure.
pub(super) fn words(file: &Path, info: &Info) -> String {
    let mut text = String::new();
    let mut line = |label: &str, words: String| {
        // A string takes everything.
        let _ = writeln!(text, "{label:<LABEL_WIDTH$}{words}");
    };
    line("file", format!("{}", file.display()));
    line("schema", format!("{}, made {} by adit {}", info.schema, rfc3339(info.created_us), info.created_by));
    line("rows", format!("{} shares ({} older ones pruned)", info.shares, info.shares_pruned));
    match info.span_us {
        Some((first, last)) => {
            line("span", format!("{} to {}", rfc3339(first), rfc3339(last)));
            line("durable up to", rfc3339(last));
        }
        None => line("span", "no rows".into()),
    }
    line(
        "size",
        format!(
            "{} (and a log of {}), {} of it free",
            size(info.file_bytes),
            size(info.log_bytes),
            size(info.free_bytes)
        ),
    );
    if info.shares > 0 {
        let used = info.file_bytes.saturating_sub(info.free_bytes);
        line(
            "per row",
            format!("{:.1} bytes, rollups and all else included", used as f64 / info.shares as f64),
        );
    }
    line("gaps", gaps(info));
    if let Some((first, end)) = info.rollups_us {
        let through = rfc3339(info.rollups_through_us);
        line("rollups", format!("{} to {}, of all shares up to {through}", rfc3339(first), rfc3339(end)));
    }
    line("known", format!("{} workers, {} pools", info.workers, info.pools));
    line("sessions", format!("{}, {} of them without an end", info.sessions, info.sessions_open));
    line("events", info.events.to_string());
    text
}

fn gaps(info: &Info) -> String {
    if info.gaps == 0 {
        return "none".into();
    }
    let lost = &info.shares_in_gaps;
    format!(
        "{} with {} shares ({} accepted, {} rejected, {} refused here, {} unanswered) and {} other records",
        info.gaps,
        lost.total(),
        lost.accepted,
        lost.rejected,
        lost.refused_here,
        lost.unanswered,
        info.notes_lost
    )
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    let mut number = bytes as f64;
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    for unit in ["KiB", "MiB", "GiB"] {
        number /= 1024.0;
        if number < 1024.0 {
            return format!("{number:.1} {unit}");
        }
    }
    format!("{:.1} TiB", number / 1024.0)
}

#[cfg(test)]
mod tests {
    use adit_store::record::OutcomeCounts;

    use super::*;

    #[test]
    fn a_ledger_is_told_in_lines() {
        let info = Info {
            shares: 100,
            file_bytes: 8_192,
            free_bytes: 4_096,
            span_us: Some((0, 1_000_000)),
            gaps: 2,
            shares_in_gaps: OutcomeCounts { accepted: 3, unanswered: 4, ..OutcomeCounts::default() },
            ..Info::default()
        };
        let text = words(Path::new("l.db"), &info);
        for part in [
            "rows          100 shares (0 older ones pruned)\n",
            "span          1970-01-01T00:00:00.000000Z to 1970-01-01T00:00:01.000000Z\n",
            "durable up to 1970-01-01T00:00:01.000000Z\n",
            "size          8.0 KiB (and a log of 0 bytes), 4.0 KiB of it free\n",
            "per row       41.0 bytes",
            "gaps          2 with 7 shares (3 accepted, 0 rejected, 0 refused here, 4 unanswered)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let empty = words(Path::new("l.db"), &Info::default());
        assert!(
            empty.contains("span          no rows\n") && empty.contains("gaps          none\n"),
            "{empty}"
        );
        assert!(!empty.contains("per row") && !empty.contains("durable"), "{empty}");
    }

    #[test]
    fn sizes_have_the_unit_that_suits_them() {
        for (bytes, text) in [(0, "0 bytes"), (1_023, "1023 bytes"), (1_536, "1.5 KiB"), (5 << 40, "5.0 TiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
