//! Changing one member of a line and leaving every other byte as it came.

use std::io::Write;

use crate::message::Span;

/// Bytes that take the place of a span.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// What is replaced; an empty span is a place where bytes are inserted.
    pub span: Span,
    /// What stands there instead.
    pub bytes: &'a [u8],
}

/// Appends `line` with `changes` made, and an LF. The spans must not overlap; their order is free.
#[inline]
pub fn splice<const N: usize>(out: &mut Vec<u8>, line: &[u8], mut changes: [Change<'_>; N]) {
    if N > 1 && !changes.is_sorted_by_key(|change| change.span.start) {
        changes.sort_unstable_by_key(|change| change.span.start);
    }
    let mut done = 0;
    for Change { span, bytes } in changes {
        let (start, end) = (span.start as usize, span.end as usize);
        debug_assert!(done <= start && start <= end && end <= line.len());
        out.extend_from_slice(line.get(done..start).unwrap_or_default());
        out.extend_from_slice(bytes);
        done = end;
    }
    out.extend_from_slice(line.get(done..).unwrap_or_default());
    out.push(b'\n');
}

/// Appends `line` as it is, and an LF.
#[inline]
pub fn forward(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// A number as decimal text, without the heap.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    bytes: [u8; 10],
    start: u8,
}

impl Decimal {
    /// The digits of `n`.
    #[inline]
    pub fn new(mut n: u32) -> Self {
        let mut bytes = [b'0'; 10];
        let mut start = bytes.len();
        loop {
            start -= 1;
            bytes[start] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                return Self { bytes, start: start as u8 };
            }
        }
    }

    /// The text.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(usize::from(self.start)..).unwrap_or_default()
    }
}

/// Where the line's object opens: behind its `{`. A member can be inserted there, followed by a comma.
pub fn behind_brace(line: &[u8]) -> Span {
    let at = line.iter().position(|&byte| byte == b'{').map_or(0, |at| at + 1) as u32;
    Span { start: at, end: at }
}

/// Appends the JSON text of an `id` member and a comma: what a request without an id gets inserted.
pub fn id_member(id: Decimal) -> Vec<u8> {
    let mut member = Vec::with_capacity(16);
    // Writing to a Vec cannot fail.
    let _ = write!(member, "\"id\":{},", String::from_utf8_lossy(id.as_bytes()));
    member
}

/// The span of the whole `id` member whose value is at `value`, with the comma that goes with it.
pub fn member_span(line: &[u8], value: Span) -> Span {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let before = line.get(..value.start as usize).unwrap_or_default();
    // Back over `:` and the key to its opening quote. The key may be escaped, but holds no quote inside.
    let colon = before.iter().rposition(|&byte| byte == b':').unwrap_or(0);
    let close = before.get(..colon).and_then(|text| text.iter().rposition(|&byte| byte == b'"')).unwrap_or(0);
    let open = before.get(..close).and_then(|text| text.iter().rposition(|&byte| byte == b'"')).unwrap_or(0);
    let after = line.get(value.end as usize..).unwrap_or_default();
    let space = after.iter().take_while(|byte| is_space(byte)).count();
    if after.get(space) == Some(&b',') {
        return Span { start: open as u32, end: value.end + space as u32 + 1 };
    }
    let comma = before.get(..open).and_then(|text| text.iter().rposition(|byte| !is_space(byte)));
    match comma {
        Some(at) if before[at] == b',' => Span { start: at as u32, end: value.end },
        _ => Span { start: open as u32, end: value.end },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span_of(line: &str, part: &str) -> Span {
        let start = line.find(part).expect("part of the line") as u32;
        Span { start, end: start + part.len() as u32 }
    }

    #[test]
    fn two_changes_in_either_order_leave_the_rest_alone() {
        let line = r#"{ "method": "mining.submit", "params": ["a.b", "j"], "id":4}"#;
        let (id, name) = (span_of(line, "4"), span_of(line, "\"a.b\""));
        for changes in [
            [Change { span: id, bytes: b"1007" }, Change { span: name, bytes: b"\"ACC.b\"" }],
            [Change { span: name, bytes: b"\"ACC.b\"" }, Change { span: id, bytes: b"1007" }],
        ] {
            let mut out = Vec::new();
            splice(&mut out, line.as_bytes(), changes);
            let wanted = "{ \"method\": \"mining.submit\", \"params\": [\"ACC.b\", \"j\"], \"id\":1007}\n";
            assert_eq!(String::from_utf8_lossy(&out), wanted);
        }
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        for n in [0, 7, 10, 999, 1_000, u32::MAX] {
            assert_eq!(Decimal::new(n).as_bytes(), n.to_string().as_bytes());
        }
    }

    #[test]
    fn an_id_can_be_inserted_and_taken_out() {
        let line = r#" {"method":"m","params":[]}"#;
        let mut out = Vec::new();
        splice(
            &mut out,
            line.as_bytes(),
            [Change { span: behind_brace(line.as_bytes()), bytes: &id_member(Decimal::new(12)) }],
        );
        assert_eq!(String::from_utf8_lossy(&out), " {\"id\":12,\"method\":\"m\",\"params\":[]}\n");
        for (with, without) in [
            (r#"{"id":12,"result":true}"#, "{\"result\":true}\n"),
            (r#"{"result":true, "id" : 12 }"#, "{\"result\":true }\n"),
            (r#"{"result":true,"id":12,"error":null}"#, "{\"result\":true,\"error\":null}\n"),
            (r#"{"result":true,"id":12 , "error":null}"#, "{\"result\":true, \"error\":null}\n"),
            (r#"{"id":12}"#, "{}\n"),
        ] {
            let span = member_span(with.as_bytes(), span_of(with, "12"));
            let mut out = Vec::new();
            splice(&mut out, with.as_bytes(), [Change { span, bytes: b"" }]);
            assert_eq!(String::from_utf8_lossy(&out), without);
        }
    }
}
