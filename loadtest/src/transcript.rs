//! Recorded sessions between real miners and real pools, read from text files.
//!
//! Two recorders wrote them. A relay numbered its connections: `[1]     0.001 C> {"id":…}`. A probe gave each of its
//! sessions a title: `=== empty line ===`, then `   0.004 C> …`. In both, `C>` is the miner, `S>` the pool, a `+` says that
//! the line came in the same read as the one before it, `<EOF>` is a close and `<…reset…>` a reset. The probe names an
//! unusual line end: `<'\r\n'>`. Bytes that are no UTF-8 stand as `\xNN` in lines that are no JSON.

use std::time::Duration;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum From {
    /// The hashing device.
    Miner,
    /// The pool.
    Pool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Bytes, with their line end if there was one.
    Bytes(Vec<u8>),
    /// An orderly close.
    End,
    /// A reset.
    Reset,
}

/// One step of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Who did it.
    pub from: From,
    /// When, since the connection opened.
    pub at: Duration,
    /// Whether it came in the same read as the step before it.
    pub together: bool,
    /// What it was.
    pub what: What,
}

/// One connection from its opening to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The probe's title, or the relay's number.
    pub title: String,
    /// Everything that happened, in order.
    pub steps: Vec<Step>,
}

/// Why a file is not a transcript.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct TranscriptError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

impl Step {
    /// The bytes without their line end; `None` for an end.
    pub fn line(&self) -> Option<&[u8]> {
        let What::Bytes(bytes) = &self.what else { return None };
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Reads all sessions of a file.
pub fn read(text: &[u8]) -> Result<Vec<Session>, TranscriptError> {
    let mut sessions: Vec<Session> = Vec::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let fail = |what| TranscriptError { line: index + 1, what };
        if let Some(title) = title(line) {
            sessions.push(Session { title, steps: Vec::new() });
            continue;
        }
        match step(line) {
            Some(steps) => {
                let session = sessions.last_mut().ok_or_else(|| fail("a step before any session"))?;
                session.steps.extend(steps);
            }
            None if line.is_empty() || line.starts_with(b"# ") => {}
            None => {
                let last = sessions.last_mut().and_then(|session| session.steps.last_mut());
                let Some(Step { what: What::Bytes(bytes), .. }) = last else {
                    return Err(fail("neither a step nor the rest of one"));
                };
                // A message of several lines, as an HTTP request is.
                bytes.extend_from_slice(line);
                bytes.push(b'\n');
            }
        }
    }
    Ok(sessions)
}

/// The title of a session that starts with this line.
fn title(line: &[u8]) -> Option<String> {
    let line = std::str::from_utf8(line).ok()?;
    if let Some(title) = line.strip_prefix("=== ") {
        return title.strip_suffix(" ===").map(String::from);
    }
    let (number, _) = line.strip_prefix('[')?.split_once("] --- connection from ")?;
    Some(number.into())
}

/// The steps in one line: two if the recorder wrote unread bytes beside the end that followed them.
fn step(line: &[u8]) -> Option<Vec<Step>> {
    let mut rest = line;
    if rest.first() == Some(&b'[') {
        let end = rest.iter().position(|&byte| byte == b']')?;
        rest = &rest[end + 1..];
    }
    rest = rest.trim_ascii_start();
    let digits = rest.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
    let seconds: f64 = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
    let (from, text) = match rest.get(digits..digits + 4)? {
        b" C> " => (From::Miner, &rest[digits + 4..]),
        b" S> " => (From::Pool, &rest[digits + 4..]),
        _ => return None,
    };
    let (together, text) = match text {
        [b'+', text @ ..] => (true, text),
        text => (false, text),
    };
    let step = |what| Step { from, at: Duration::from_secs_f64(seconds), together, what };
    if let Some(partial) = text.strip_prefix(b"<EOF> partial: b'") {
        let partial = unescape(partial.strip_suffix(b"'").unwrap_or(partial));
        return Some(vec![step(What::Bytes(partial)), step(What::End)]);
    }
    Some(vec![step(match text {
        b"<EOF>" => What::End,
        text if text.starts_with(b"<") && text.ends_with(b"reset by peer>") => What::Reset,
        text => What::Bytes(bytes(text)),
    })])
}

/// The bytes of a step and their line end.
fn bytes(text: &[u8]) -> Vec<u8> {
    if let Some(text) = text.strip_suffix(b" <''>") {
        return text.into();
    }
    let (text, end) = match text.strip_suffix(br" <'\r\n'>") {
        Some(text) => (text, &b"\r\n"[..]),
        None => (text, &b"\n"[..]),
    };
    let is_text = matches!(text.first(), None | Some(b'{' | b'['));
    let mut bytes = if is_text { text.into() } else { unescape(text) };
    bytes.extend_from_slice(end);
    bytes
}

/// Takes the escapes out that Python puts into bytes that are no text.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let (byte, length) = match rest {
            [b'\\', b'x', high, low, ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, 4),
                _ => (b'\\', 1),
            },
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', quoted @ (b'\\' | b'\''), ..] => (*quoted, 2),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = tail.get(length - 1..).unwrap_or_default();
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(from: From, ms: u64, together: bool, text: &str) -> Step {
        Step { from, at: Duration::from_millis(ms), together, what: What::Bytes(text.into()) }
    }

    #[test]
    fn the_relays_format_is_read() {
        let text = "[1] --- connection from ('127.0.0.1', 59376) ---\n\
                    [1]     0.001 C> {\"id\":1}\n\
                    [1]     0.001 C> +{\"id\":2}\n\
                    [1]     0.007 S> {\"id\":1,\"t\":\"\\u00fc\"}\n\
                    [1]    29.999 C> <ConnectionResetError [Errno 104] Connection reset by peer>\n\
                    [2] --- connection from ('127.0.0.1', 59377) ---\n\
                    [2]     0.000 C> \u{16}\\xfc'\n\
                    [2]     0.000 C> <EOF> partial: b'\\x08\\t\\'\\\\x'\n";
        let sessions = read(text.as_bytes()).unwrap();
        assert_eq!(sessions.iter().map(|session| &*session.title).collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(
            sessions[0].steps[..3],
            [
                line(From::Miner, 1, false, "{\"id\":1}\n"),
                line(From::Miner, 1, true, "{\"id\":2}\n"),
                line(From::Pool, 7, false, "{\"id\":1,\"t\":\"\\u00fc\"}\n"),
            ]
        );
        assert_eq!(sessions[0].steps[3].what, What::Reset);
        assert_eq!(sessions[1].steps[0].what, What::Bytes(b"\x16\xfc'\n".to_vec()));
        assert_eq!(sessions[1].steps[1].what, What::Bytes(b"\x08\t'\\x".to_vec()));
        assert_eq!(sessions[1].steps[2].what, What::End);
    }

    #[test]
    fn the_probes_format_is_read() {
        let text = "\n=== HTTP GET ===\n   0.000 C> GET / HTTP/1.1\r\nHost: x\r\n\r\n   0.002 S> <EOF>\n\
                    # done\n=== ends ===\n   1.5 C> {} <'\\r\\n'>\n   2.0 C> {\"a <''>\n   3 C> \n";
        let sessions = read(text.as_bytes()).unwrap();
        assert_eq!(sessions[0].title, "HTTP GET");
        assert_eq!(sessions[0].steps[0], line(From::Miner, 0, false, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(sessions[0].steps[1].what, What::End);
        let ends: Vec<_> = sessions[1].steps.iter().map(|step| step.line().unwrap()).collect();
        assert_eq!(ends, [&b"{}"[..], b"{\"a", b""]);
        assert_eq!(sessions[1].steps[1], line(From::Miner, 2_000, false, "{\"a"));
    }

    #[test]
    fn what_is_no_transcript_is_refused_by_line() {
        assert_eq!(read(b"\n   0.1 C> {}\n").unwrap_err().line, 2);
        assert_eq!(read(b"=== a ===\nhello\n").unwrap_err().line, 2);
    }
}
