//! The audit trail read back: who or what changed the state of the proxy, oldest first.

use std::io::Write;

use rusqlite::params;

use crate::clock::rfc3339;
use crate::reader::{Lookup, ReadError, Reader, Span};
use crate::shares::{Format, write_field, write_string};

/// Rows read in one piece. Between two pieces nothing is held open.
const PIECE_ROWS: usize = 4 * 1024;

const SELECT: &str =
    "SELECT id, kind, actor, subject, detail FROM events WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent<'a> {
    /// When, µs since 1970; unique.
    pub time_us: u64,
    /// What kind, such as `switch`, `pool_state` or `command`.
    pub kind: &'a str,
    /// Who: an operator's token name and address, or `adit`.
    pub actor: &'a str,
    /// What it is about: a pool, a worker; may be empty.
    pub subject: &'a str,
    /// Why, or what exactly; may be empty.
    pub detail: &'a str,
}

/// Which events are wanted beside their time; nothing named means all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Of this kind.
    pub kind: Option<&'a str>,
    /// About this pool, worker or whatever it is.
    pub subject: Option<&'a str>,
}

impl Wanted<'_> {
    fn is_met(&self, event: &AuditEvent<'_>) -> bool {
        self.kind.is_none_or(|kind| kind == event.kind)
            && self.subject.is_none_or(|subject| subject == event.subject)
    }
}

impl Reader {
    /// Calls `each` for every event of the span that is wanted, oldest first. How many.
    pub fn for_each_event(
        &self,
        span: Span,
        wanted: Wanted<'_>,
        mut each: impl FnMut(&AuditEvent<'_>) -> Result<(), ReadError>,
    ) -> Result<u64, ReadError> {
        let mut kinds = Lookup::texts();
        let (mut from_us, mut count) = (span.from_us, 0);
        loop {
            let mut statement = self.db.prepare_cached(SELECT)?;
            let mut rows = statement.query(params![from_us as i64, span.to_us as i64, PIECE_ROWS as i64])?;
            let mut looked_at = 0;
            while let Some(row) = rows.next()? {
                looked_at += 1;
                let time_us = row.get::<_, i64>(0)? as u64;
                from_us = time_us + 1;
                let (actor, subject, detail): (String, String, String) =
                    (row.get(2)?, row.get(3)?, row.get(4)?);
                let kind = kinds.name(&self.db, row.get(1)?)?;
                let event = AuditEvent { time_us, kind, actor: &actor, subject: &subject, detail: &detail };
                if wanted.is_met(&event) {
                    each(&event)?;
                    count += 1;
                }
            }
            if looked_at < PIECE_ROWS {
                return Ok(count);
            }
        }
    }

    /// Writes the events of the span that are wanted, oldest first, one line each. How many.
    pub fn export_events(
        &self,
        span: Span,
        wanted: Wanted<'_>,
        format: Format,
        mut out: impl Write,
    ) -> Result<u64, ReadError> {
        if format == Format::Csv {
            writeln!(out, "time,kind,actor,subject,detail")?;
        }
        let count = self.for_each_event(span, wanted, |event| {
            write_event(&mut out, event, format).map_err(ReadError::Output)
        })?;
        out.flush()?;
        Ok(count)
    }
}

fn write_event(out: &mut impl Write, event: &AuditEvent<'_>, format: Format) -> std::io::Result<()> {
    let fields =
        [("kind", event.kind), ("actor", event.actor), ("subject", event.subject), ("detail", event.detail)];
    let time = rfc3339(event.time_us);
    match format {
        Format::Csv => {
            write!(out, "{time}")?;
            for (_, text) in fields {
                write!(out, ",")?;
                write_field(out, text)?;
            }
            writeln!(out)
        }
        Format::JsonLines => {
            write!(out, "{{\"time\":\"{time}\"")?;
            for (name, text) in fields {
                write!(out, ",\"{name}\":")?;
                write_string(out, text)?;
            }
            writeln!(out, "}}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ledger::{Ledger, LedgerConfig};

    #[test]
    fn events_are_read_back_by_time_kind_and_subject() {
        let directory = tempfile::tempdir().unwrap();
        let config = LedgerConfig::new(directory.path().join("ledger.db"));
        let (ledger, outboxes) = Ledger::start(&config, 1).unwrap();
        for n in 1..=5_u64 {
            let kind = if n.is_multiple_of(2) { "switch" } else { "pool_state" };
            assert!(ledger.events().enter(n * 1_000_000, kind, "adit", "main", "up, \"then\" down"));
        }
        assert!(ledger.events().enter(6_000_000, "switch", "adit", "farm.rig1", ""));
        drop(outboxes);
        assert!(ledger.stop(Duration::from_secs(20)).is_clean());
        let reader = Reader::open(&config.path).unwrap();
        let text = |span: Span, kind, subject, format| {
            let mut out = Vec::new();
            let count = reader.export_events(span, Wanted { kind, subject }, format, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.lines().filter(|line| !line.starts_with("time,")).count() as u64, count);
            text
        };
        assert_eq!(
            text(Span::ALL, Some("switch"), Some("main"), Format::Csv),
            "time,kind,actor,subject,detail\n\
             1970-01-01T00:00:02.000000Z,switch,adit,main,\"up, \"\"then\"\" down\"\n\
             1970-01-01T00:00:04.000000Z,switch,adit,main,\"up, \"\"then\"\" down\"\n"
        );
        let late = Span { from_us: 5_000_000, to_us: 6_000_000 };
        assert_eq!(
            text(late, None, None, Format::JsonLines),
            "{\"time\":\"1970-01-01T00:00:05.000000Z\",\"kind\":\"pool_state\",\"actor\":\"adit\",\"subject\":\"main\",\"detail\":\"up, \\\"then\\\" down\"}\n"
        );
        assert_eq!(text(Span::ALL, None, Some("farm.rig1"), Format::JsonLines).lines().count(), 1);
    }
}
