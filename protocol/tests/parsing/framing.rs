//! The framer hands out the lines that a plain split of all bytes gives, however they are cut into receives.

use adit_protocol::framer::{Framer, PoolFramer};
use adit_protocol::limits::POOL_LINE_BYTES_MAX;
use proptest::prelude::*;

use crate::reference::{LIMIT, by_framer, by_split};

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
        let (lines, error) = by_framer(&mut framer, &pieces);
        prop_assert_eq!((lines, error), by_split(&bytes));
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
    let (lines, error) = by_framer(&mut PoolFramer::default(), &pieces);
    assert_eq!((lines.len(), error), (1, None));
    assert_eq!(lines[0].len(), POOL_LINE_BYTES_MAX);
}
