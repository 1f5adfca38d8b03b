//! A whole session driven by arbitrary bytes: what the fuzz target `session` checks, and `cargo test` on its corpus.

use adit_protocol::event::{CloseReason, Event, Gone, MoveReason, Side, Wire};
use adit_protocol::pool::PoolId;

use super::Rig;

/// Acts taken from one input, so that one takes no longer than another.
const ACTS_COUNT_MAX: usize = 2_000;

/// Reads `data` as a list of acts. The first byte of each says what:
///
/// | byte modulo 8 | act |
/// |---|---|
/// | 0 to 2 | the miner sends; the next byte is the length, then that many bytes |
/// | 3 to 5 | the pool sends; the same. On the second wire if the byte is 128 or more |
/// | 6 | time passes, as many tenths of a second as the next byte says |
/// | 7 | what the next byte says, see [`rare_act`] |
///
/// Whatever they do: no panic, one end, whole lines only, and one outcome at most for each share that went up.
pub fn session(data: &[u8]) {
    let mut rig = Rig::default();
    let mut rest = data;
    let (mut to_miner, mut to_pools) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..ACTS_COUNT_MAX {
        let Some((&[act, argument], tail)) = rest.split_first_chunk() else { break };
        rest = tail;
        match act % 8 {
            side @ 0..=5 => {
                let (bytes, tail) = rest.split_at(usize::from(argument).min(rest.len()));
                rest = tail;
                let wire = if act < 128 { Wire::A } else { Wire::B };
                rig.bytes(if side < 3 { Side::Miner } else { Side::Pool(wire) }, bytes);
            }
            6 => rig.pass_ms(u64::from(argument) * 100),
            _ => rare_act(&mut rig, argument),
        }
        to_miner.extend(rig.take_miner_bytes());
        for (all, new) in to_pools.iter_mut().zip(&mut rig.to_wires) {
            all.append(new);
        }
    }
    rig.call(|session, cx| session.end(CloseReason::Stopping, cx.now, cx));
    rig.pass_ms(1);
    to_miner.extend(rig.take_miner_bytes());
    assert!(rig.finished().is_some(), "it ends");
    let [first_pool, second_pool] = &to_pools;
    for (bytes, whose) in [(&to_miner, "miner"), (first_pool, "pool"), (second_pool, "second pool")] {
        assert!(bytes.is_empty() || bytes.ends_with(b"\n"), "half a line for the {whose}");
        assert!(
            !bytes.starts_with(b"\n") && !bytes.windows(2).any(|pair| pair == b"\n\n"),
            "an empty line for the {whose}"
        );
    }
    let dials = rig.events.iter().filter(|event| matches!(event, Event::Dial { .. })).count();
    assert!(dials <= 1, "{dials} dials");
    assert!(
        dials == 1 || first_pool.is_empty() && second_pool.is_empty(),
        "bytes for a pool that was never dialled"
    );
    assert_eq!(rig.shared.job_bytes_count(), 0);
}

/// 0 the connection stands, 1 the miner closes, 2 the pool closes, 3 the pool breaks, 5 the owner keeps a session without a
/// pool from now on, 6 and 7 it prepares another pool on the first or second wire, 8 the second connection stands, 9 it
/// breaks, 10 and 11 what is prepared on the first or second wire is taken off and given back, anything else: Adit stops.
fn rare_act(rig: &mut Rig, act: u8) {
    let wire = if act.is_multiple_of(2) { Wire::A } else { Wire::B };
    match act {
        0 => rig.connected(Wire::A),
        1 => rig.gone(Side::Miner, Gone::Closed),
        2 => rig.gone(Side::Pool(Wire::A), Gone::Closed),
        3 => rig.gone(Side::Pool(Wire::A), Gone::Broken),
        5 => rig.ends_without_pool = false,
        6 | 7 => rig.call(|session, cx| {
            session.prepare(wire, PoolId(2), MoveReason::Operator, cx);
        }),
        8 => rig.connected(Wire::B),
        9 => rig.gone(Side::Pool(Wire::B), Gone::Broken),
        10 | 11 => rig.call(|session, cx| {
            let Some(prepared) = session.detach(wire, cx) else { return };
            if let Err(prepared) = session.adopt(wire, prepared, MoveReason::Kept, cx) {
                prepared.discard(cx.shared);
            }
        }),
        _ => rig.call(|session, cx| session.end(CloseReason::Stopping, cx.now.plus_ms(3_000), cx)),
    }
}
