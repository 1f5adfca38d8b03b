//! A whole session driven by arbitrary bytes: what the fuzz target `session` checks, and `cargo test` on its corpus.

use adit_protocol::event::{CloseReason, Event, Gone, Side, Wire};

use super::Rig;

/// Acts taken from one input, so that one takes no longer than another.
const ACTS_COUNT_MAX: usize = 2_000;

/// Reads `data` as a list of acts. The first byte of each says what:
///
/// | byte modulo 8 | act |
/// |---|---|
/// | 0 to 2 | the miner sends; the next byte is the length, then that many bytes |
/// | 3 to 5 | the pool sends; the same |
/// | 6 | time passes, as many tenths of a second as the next byte says |
/// | 7 | by the next byte: 0 the connection stands, 1 the miner closes, 2 the pool closes, 3 the pool breaks, 4 Adit stops |
///
/// Whatever they do: no panic, one end, whole lines only, and one outcome at most for each share that went up.
pub fn session(data: &[u8]) {
    let mut rig = Rig::default();
    let mut rest = data;
    let (mut to_miner, mut to_pool) = (Vec::new(), Vec::new());
    for _ in 0..ACTS_COUNT_MAX {
        let Some((&[act, argument], tail)) = rest.split_first_chunk() else { break };
        rest = tail;
        match act % 8 {
            side @ 0..=5 => {
                let (bytes, tail) = rest.split_at(usize::from(argument).min(rest.len()));
                rest = tail;
                rig.bytes(if side < 3 { Side::Miner } else { Side::Pool(Wire::A) }, bytes);
            }
            6 => rig.pass_ms(u64::from(argument) * 100),
            _ => match argument {
                0 => rig.connected(Wire::A),
                1 => rig.gone(Side::Miner, Gone::Closed),
                2 => rig.gone(Side::Pool(Wire::A), Gone::Closed),
                3 => rig.gone(Side::Pool(Wire::A), Gone::Broken),
                _ => rig.call(|session, cx| session.end(CloseReason::Stopping, cx.now.plus_ms(3_000), cx)),
            },
        }
        to_miner.extend(rig.take_miner_bytes());
        to_pool.extend(rig.take_pool_bytes());
    }
    rig.call(|session, cx| session.end(CloseReason::Stopping, cx.now, cx));
    rig.pass_ms(1);
    to_miner.extend(rig.take_miner_bytes());
    assert!(rig.finished().is_some(), "it ends");
    for (bytes, whose) in [(&to_miner, "miner"), (&to_pool, "pool")] {
        assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "half a line for the {whose}");
        assert!(
            !bytes.starts_with(b"\n") && !bytes.windows(2).any(|pair| pair == b"\n\n"),
            "an empty line for the {whose}"
        );
    }
    let dials = rig.events.iter().filter(|event| matches!(event, Event::Dial { .. })).count();
    assert!(dials <= 1, "{dials} dials");
    assert!(dials == 1 || to_pool.is_empty(), "bytes for a pool that was never dialled");
    assert_eq!(rig.shared.job_bytes_count(), 0);
}
