//! Hexadecimal text to bytes and back. Reads both cases, writes lower case. Strict: an odd digit or a stranger is no value.

use std::fmt::{self, Write};

const DIGITS: &[u8; 16] = b"0123456789abcdef";
/// Marks a byte that is no digit; above every value, and kept by `|`.
const STRANGER: u8 = 0x80;
/// Value of each digit.
const VALUES: [u8; 256] = values();

/// Fills `out` from exactly twice as many digits.
#[inline]
pub fn decode(text: &[u8], out: &mut [u8]) -> Option<()> {
    if text.len() != out.len().checked_mul(2)? {
        return None;
    }
    let mut seen = 0;
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        let (high, low) = (value(pair[0]), value(pair[1]));
        seen |= high | low;
        *byte = (high << 4) | low;
    }
    (seen < STRANGER).then_some(())
}

/// Appends the bytes of `text` to `out`; on `None`, `out` is as it was.
#[inline]
pub fn decode_append(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    out.resize(start + text.len() / 2, 0);
    let decoded = decode(text, out.get_mut(start..)?);
    if decoded.is_none() {
        out.truncate(start);
    }
    decoded
}

/// The bytes of exactly `N` pairs of digits.
#[inline]
pub fn decode_array<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    decode(text, &mut out).map(|()| out)
}

/// An integer as Stratum writes it: exactly eight digits, most significant first.
#[inline]
pub fn decode_u32(text: &[u8]) -> Option<u32> {
    decode_array(text).map(u32::from_be_bytes)
}

/// Appends two digits per byte.
pub fn encode_append(bytes: &[u8], out: &mut String) {
    out.reserve(bytes.len() * 2);
    out.extend(bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte)]));
}

/// Two digits per byte.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::new();
    encode_append(bytes, &mut out);
    out
}

/// Writes two digits per byte, for `Display`.
pub(crate) fn write<'a>(f: &mut fmt::Formatter<'_>, bytes: impl Iterator<Item = &'a u8>) -> fmt::Result {
    for &byte in bytes {
        f.write_char(digit(byte >> 4))?;
        f.write_char(digit(byte))?;
    }
    Ok(())
}

#[inline]
fn value(digit: u8) -> u8 {
    VALUES[usize::from(digit)]
}

#[inline]
fn digit(value: u8) -> char {
    char::from(DIGITS[usize::from(value & 15)])
}

const fn values() -> [u8; 256] {
    let mut values = [STRANGER; 256];
    let mut value = 0;
    while value < 16 {
        let digit = DIGITS[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_cases_are_read_and_anything_else_is_refused() {
        assert_eq!(decode_array(b"00ff7Fa9"), Some([0x00, 0xff, 0x7f, 0xa9]));
        for text in ["0g", "g0", " 0", "0x", "\u{e9}", "0", "000", ""] {
            assert_eq!(decode_array::<1>(text.as_bytes()), None, "{text:?}");
        }
        for byte in 0..=255u8 {
            assert_eq!(decode_array::<1>(&[b'0', byte]).is_some(), byte.is_ascii_hexdigit());
        }
    }

    #[test]
    fn integers_have_exactly_eight_digits() {
        assert_eq!(decode_u32(b"1fFfe000"), Some(0x1fff_e000));
        for text in ["1fffe00", "01fffe000", "", "1fffe00 ", "+1fffe00"] {
            assert_eq!(decode_u32(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_failed_append_leaves_nothing_behind() {
        let mut out = vec![1];
        assert_eq!(decode_append(b"02zz", &mut out), None);
        assert_eq!(decode_append(b"020", &mut out), None);
        assert_eq!(out, [1]);
        assert_eq!(decode_append(b"02", &mut out), Some(()));
        assert_eq!(out, [1, 2]);
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(bytes: Vec<u8>) {
            let mut read = Vec::new();
            prop_assert_eq!(decode_append(encode(&bytes).as_bytes(), &mut read), Some(()));
            prop_assert_eq!(read, bytes);
        }
    }
}
