//! The framer hands out the lines that a plain split of all bytes gives, however they are cut into receives.

use adit_protocol::framer::{BufferPool, Framer, LineTooLong, PoolFramer, Received};
use adit_protocol::limits::{LINE_PADDING, POOL_LINE_BYTES_MAX};
use proptest::prelude::*;

/// Small, so that lines around the limit are common.
const LIMIT: usize = 40;

/// The lines that `framer` makes of `pieces`, one receive each, and the error that ended it.
fn framed<const MAX: usize>(
    framer: &mut Framer<MAX>,
    pieces: &[&[u8]],
) -> (Vec<Vec<u8>>, Option<LineTooLong>) {
    let (mut lines, mut spare) = (Vec::new(), BufferPool::default());
    for piece in pieces {
        let mut bytes = [piece, &[b'\n'; LINE_PADDING][..]].concat();
        let mut received = Received::new(&mut bytes, piece.len()).expect("padded");
        loop {
            match framer.next_line(&mut received, &mut spare) {
                Ok(Some(line)) => {
                    lines.push(line.as_bytes().to_vec());
                    // Whoever gets the line may read on behind it.
                    let (bytes, len) = line.into_parts();
                    assert!(bytes.len() >= len + LINE_PADDING);
                }
                Ok(None) => break,
                Err(error) => return (lines, Some(error)),
            }
        }
    }
    (lines, None)
}

/// The same by a plain split.
fn split(bytes: &[u8]) -> (Vec<Vec<u8>>, Option<LineTooLong>) {
    let (mut lines, mut parts) = (Vec::new(), bytes.split(|&byte| byte == b'\n').peekable());
    while let Some(part) = parts.next() {
        if part.len() > LIMIT {
            return (lines, Some(LineTooLong { limit: LIMIT }));
        }
        let text = part.strip_suffix(b"\r").unwrap_or(part);
        if parts.peek().is_some() && !text.is_empty() {
            lines.push(text.to_vec());
        }
    }
    (lines, None)
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        8 => prop::collection::vec(prop::sample::select(&b"{}\"a\r\0\xff "[..]), 0..LIMIT),
        1 => (LIMIT - 2..LIMIT + 3).prop_map(|len| vec![b'x'; len]),
        1 => Just(b"\r".to_vec()),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.join(&b'\n'))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_into_receives_gives_the_same_lines(
        bytes in bytes(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let mut framer = Framer::<LIMIT>::default();
        let (lines, error) = framed(&mut framer, &pieces);
        prop_assert_eq!((lines, error), split(&bytes));
        if error.is_none() {
            let rest = bytes.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
            prop_assert_eq!(framer.partial(), rest);
        }
    }
}

#[test]
fn a_mebibyte_in_single_bytes_takes_no_second_look_at_any() {
    // A framer that searched its buffer again with each receive would be at it for hours.
    let bytes = [vec![b'x'; POOL_LINE_BYTES_MAX], b"\n".to_vec()].concat();
    let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
    let (lines, error) = framed(&mut PoolFramer::default(), &pieces);
    assert_eq!((lines.len(), error), (1, None));
    assert_eq!(lines[0].len(), POOL_LINE_BYTES_MAX);
}
