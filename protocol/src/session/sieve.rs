//! What a pool may say to a miner: which of its lines are passed down, and what becomes of the others.
//!
//! | a pool's line | goes down | counted as |
//! |---|---|---|
//! | not JSON, no object, a key twice, nested too deep | no | [`Oddity::PoolText`] |
//! | an object without method, result or error | no | [`Oddity::PoolText`] |
//! | a response to nothing that waits for one | no | [`Oddity::StrayResponse`] |
//! | a response to subscribe that is no error and gives no extranonce | no: another pool may answer | [`Oddity::PoolMalformed`] |
//! | a job, difficulty, extranonce or mask whose params are none | no | [`Oddity::PoolMalformed`] |
//! | a method that firmware takes for one of these although it is called otherwise | no | [`Oddity::PoolMalformed`] |
//! | `client.reconnect` | never | [`Oddity::ReconnectHeldBack`], if it is not followed |
//! | any other request or notification, methods nobody knows among them | as it is | |
//!
//! Firmware has little to set against a line that it does not expect: cgminer takes the first line after configure for its
//! answer, whatever it is, and small devices restart over a job that lacks a member. A connection that goes on so is given
//! up, since a pool that speaks Stratum does not do it; a good job is a fresh start.

use crate::event::{CloseReason, Oddity, Wire};
use crate::job;
use crate::message::{Message, Method};
use crate::session::{Context, Session};
use crate::value;

/// Lines in a row that are not Stratum after which a pool's connection is given up.
const GARBAGE_COUNT_MAX: u16 = 8;
/// What firmware finds at the beginning of a method's name, whatever its case and whatever follows (cgminer compares so).
const TAKEN_FOR: [&[u8]; 5] = [
    b"mining.notify",
    b"mining.set_difficulty",
    b"mining.set_extranonce",
    b"mining.set_version",
    b"client.reconnect",
];

impl Session {
    /// Whether a call of the pool is what its method says; counted if it is not.
    #[inline]
    pub(super) fn is_sound(
        &mut self,
        wire: Wire,
        method: Method,
        message: &Message<'_>,
        cx: &mut Context<'_>,
    ) -> bool {
        let is_sound = match method {
            Method::Notify => job::is_job(message),
            Method::SetDifficulty | Method::SetExtranonce | Method::SetVersionMask => {
                self.wire_mut(wire).note(method, message)
            }
            Method::Other => !is_taken_for_another(message.raw(message.method_name)),
            _ => true,
        };
        if !is_sound {
            self.garbage(wire, Oddity::PoolMalformed, cx);
        }
        is_sound
    }

    /// A line that is nothing. Too many of them are no pool.
    #[cold]
    pub(super) fn garbage(&mut self, wire: Wire, oddity: Oddity, cx: &mut Context<'_>) {
        cx.odd(oddity);
        let upstream = self.wire_mut(wire);
        upstream.garbage_count = upstream.garbage_count.saturating_add(1);
        if upstream.garbage_count > GARBAGE_COUNT_MAX {
            self.lose_wire(wire, CloseReason::PoolGarbage, cx);
        }
    }
}

#[cold]
fn is_taken_for_another(name: &[u8]) -> bool {
    let Some(name) = value::string(name) else { return true };
    let begins_with = |known: &&[u8]| {
        name.as_bytes().get(..known.len()).is_some_and(|name| name.eq_ignore_ascii_case(known))
    };
    TAKEN_FOR.iter().any(begins_with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_that_cgminer_takes_for_others_are_told_from_new_ones() {
        for taken in [
            "Client.Reconnect",
            "client.reconnect2",
            "MINING.NOTIFY",
            "mining.set_difficulty ",
            r"client.reconnect\n",
        ] {
            assert!(is_taken_for_another(format!("\"{taken}\"").as_bytes()), "{taken}");
        }
        for new in ["mining.set_goal", "client.get_version", "mining.multi_version", "x", ""] {
            assert!(!is_taken_for_another(format!("\"{new}\"").as_bytes()), "{new}");
        }
        assert!(is_taken_for_another(b"17"), "a method has a name");
    }
}
