//! A report as Sentry's servers read it: an envelope of one event (develop.sentry.dev, "Envelopes" and "Event Payloads").

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::logging::PANIC_PREFIX;

/// A record that is told.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) at: SystemTime,
    /// The module it comes from.
    pub(super) target: String,
    pub(super) text: String,
}

/// The bytes of an envelope. `lost` reports were not told since the last one that was.
pub(super) fn write(report: &Report, id: [u64; 2], lost: u64) -> Vec<u8> {
    let id = format!("{:016x}{:016x}", id[0], id[1]);
    let event = event(report, &id, lost).to_string();
    let sent_at = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let head = json!({ "event_id": id, "sent_at": sent_at });
    let item = json!({ "type": "event", "length": event.len() });
    format!("{head}\n{item}\n{event}\n").into_bytes()
}

fn event(report: &Report, id: &str, lost: u64) -> Value {
    let is_panic = report.text.starts_with(PANIC_PREFIX);
    let at = report.at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    let mut event = json!({
        "event_id": id,
        "timestamp": at,
        "platform": "other",
        "level": if is_panic { "fatal" } else { "error" },
        "logger": report.target,
        "release": concat!("adit@", env!("CARGO_PKG_VERSION")),
        "extra": { "not_told_since_the_last_report": lost },
    });
    let (name, value) = if is_panic {
        ("exception", json!({ "values": [{ "type": "panic", "value": report.text }] }))
    } else {
        ("logentry", json!({ "formatted": report.text }))
    };
    if let Some(members) = event.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_has_a_head_an_item_and_an_event_of_the_length_told() {
        let report = |text: &str| Report { at: UNIX_EPOCH, target: "adit::shard".into(), text: text.into() };
        let read = |text: &str| {
            let bytes = write(&report(text), [1, 2], 3);
            let lines: Vec<String> =
                String::from_utf8(bytes).expect("UTF-8").lines().map(str::to_owned).collect();
            let value = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
            assert_eq!(lines.len(), 3);
            assert_eq!(value(&lines[1])["length"], lines[2].len());
            assert_eq!(value(&lines[0])["event_id"], value(&lines[2])["event_id"]);
            value(&lines[2])
        };
        let event = read("line one\nline \"two\"");
        assert_eq!(
            (&event["level"], &event["event_id"]),
            (&json!("error"), &json!("00000000000000010000000000000002"))
        );
        assert_eq!(event["logentry"]["formatted"], "line one\nline \"two\"");
        assert_eq!(event["extra"]["not_told_since_the_last_report"], 3);
        let panic = read("panic in thread adit-1: oh");
        assert_eq!(
            (&panic["level"], &panic["exception"]["values"][0]["type"]),
            (&json!("fatal"), &json!("panic"))
        );
    }
}
