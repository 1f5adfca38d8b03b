//! One log record as one line, whatever a peer put into it.

use std::fmt;
use std::time::SystemTime;

use log::Level;
use serde::Serialize;

use crate::settings::LogFormat;

/// Longest message of one record, bytes; what follows is cut off.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// Stands at the end of a message that was cut.
const CUT: &str = " …";

/// Writes a record as a line without its LF.
pub fn line(
    format: LogFormat,
    now: SystemTime,
    level: Level,
    target: &str,
    message: &fmt::Arguments<'_>,
) -> String {
    let time = humantime::format_rfc3339_millis(now);
    let message = clean(&message.to_string());
    match format {
        LogFormat::Text => format!("{time} {level:<5} {target}: {message}"),
        LogFormat::Json => {
            let line = JsonLine { ts: time.to_string(), level: level.as_str(), target, message: &message };
            // Strings alone cannot fail to serialize; should they ever, the record still shows.
            serde_json::to_string(&line).unwrap_or(message)
        }
    }
}

#[derive(Serialize)]
struct JsonLine<'a> {
    ts: String,
    level: &'a str,
    target: &'a str,
    message: &'a str,
}

/// The message with control characters and direction marks written out (`\n`, `\u{1b}`), so that nobody can forge a
/// line or steer a terminal, and cut to its bound.
fn clean(message: &str) -> String {
    let mut cleaned = String::with_capacity(message.len().min(MESSAGE_BYTES_MAX));
    for c in message.chars() {
        if cleaned.len() + c.len_utf8() > MESSAGE_BYTES_MAX {
            cleaned.push_str(CUT);
            break;
        }
        if c.is_control() || is_direction_mark(c) {
            cleaned.extend(c.escape_default());
        } else {
            cleaned.push(c);
        }
    }
    cleaned
}

/// Characters that change the order or the breaking of what is shown around them.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn made(format: LogFormat, message: &str) -> String {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_042);
        line(format, now, Level::Warn, "adit::shard", &format_args!("{message}"))
    }

    #[test]
    fn a_text_line_has_utc_time_with_milliseconds_level_target_and_message() {
        assert_eq!(made(LogFormat::Text, "hello"), "2023-11-14T22:13:20.042Z WARN  adit::shard: hello");
    }

    #[test]
    fn a_json_line_is_an_object_that_gives_the_message_back() {
        for message in ["plain", "\"quoted\" \\ back", "ünïcode 🙂", ""] {
            let value: serde_json::Value =
                serde_json::from_str(&made(LogFormat::Json, message)).expect("valid JSON");
            assert_eq!(value["ts"], "2023-11-14T22:13:20.042Z");
            assert_eq!(value["level"], "WARN");
            assert_eq!(value["target"], "adit::shard");
            assert_eq!(value["message"], message);
        }
    }

    #[test]
    fn control_characters_of_a_peer_are_written_out() {
        let message = "a\nERROR forged\r\u{1b}[2J\u{7f}\u{9b}1m\u{202e}\0";
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = made(format, message);
            assert!(!line.chars().any(|c| c.is_control() || is_direction_mark(c)), "{line:?}");
            assert!(line.contains("forged"), "{line}");
        }
        assert!(
            made(LogFormat::Text, message)
                .ends_with("a\\nERROR forged\\r\\u{1b}[2J\\u{7f}\\u{9b}1m\\u{202e}\\u{0}")
        );
    }

    #[test]
    fn a_long_message_is_cut_at_its_bound() {
        let line = made(LogFormat::Text, &"é".repeat(MESSAGE_BYTES_MAX));
        assert!(line.len() < MESSAGE_BYTES_MAX + 64, "{}", line.len());
        assert!(line.ends_with("é …"));
    }
}
