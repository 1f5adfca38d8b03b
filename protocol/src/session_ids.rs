//! Session ids: what a pool calls a subscription, so that its miner may take it up again later (ckpool gives the same
//! extranonce1 then, for ten minutes).
//!
//! A miner names the id of its last session at whatever pool it comes to. Only the pool that issued an id shall see it: to
//! another one it means nothing, or somebody else's session. Which pool issued which id is the engine's to remember
//! ([`SessionIds`]); here is how ids are read.

use crate::message::{Message, Span};
use crate::pool::PoolId;
use crate::rewrite::Change;
use crate::value;

/// Longest session id that is kept, raw JSON.
const ID_BYTES_MAX: usize = 128;
/// What stands in the place of an id where something follows: bosminer sends it when it has none.
const NONE: &[u8] = b"null";

/// A session's door to what is known of session ids, raw JSON strings. Called at subscribes only.
pub trait SessionIds {
    /// `pool` issued this id.
    fn issued(&mut self, id: &[u8], pool: PoolId);

    /// Whether a miner that names this id may name it to `pool`.
    fn may_resume(&mut self, id: &[u8], pool: PoolId) -> bool;
}

/// Remembers nothing and allows everything: for one pool that is the only one.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnePool;

impl SessionIds for OnePool {
    fn issued(&mut self, _: &[u8], _: PoolId) {}

    fn may_resume(&mut self, _: &[u8], _: PoolId) -> bool {
        true
    }
}

/// The session id in the result of a subscribe, a raw JSON string: beside `mining.notify`, in a pair of its own or alone.
pub fn in_result(result: &[u8]) -> Option<&[u8]> {
    let mut subscriptions: &[u8] = &[];
    let mut is_first = true;
    value::elements(result, |element| {
        if std::mem::take(&mut is_first) {
            subscriptions = element;
        }
    })?;
    let mut id = None;
    let mut was_notify = false;
    value::elements(subscriptions, |element| {
        if std::mem::take(&mut was_notify) {
            id = id.or(Some(element));
        }
        was_notify = is_notify(element);
        id = id.or_else(|| in_pair(element));
    })?;
    id.filter(|id| is_id(id))
}

fn in_pair(pair: &[u8]) -> Option<&[u8]> {
    let mut parts: [&[u8]; 2] = [&[]; 2];
    let mut n = 0;
    value::elements(pair, |part| {
        if let Some(place) = parts.get_mut(n) {
            *place = part;
        }
        n += 1;
    })?;
    is_notify(parts[0]).then_some(parts[1])
}

fn is_notify(raw: &[u8]) -> bool {
    value::plain_str(raw) == Some("mining.notify")
}

fn is_id(raw: &[u8]) -> bool {
    (3..=ID_BYTES_MAX).contains(&raw.len()) && value::plain_str(raw).is_some()
}

/// The session id that a miner's subscribe names, raw JSON. `NiceHash` signs its requests as a buyer; what stands there is no
/// id, and must stay as it is.
pub fn in_subscribe<'a>(subscribe: &Message<'a>) -> Option<&'a [u8]> {
    let is_signed = value::plain_str(subscribe.param(0)).is_some_and(|agent| agent.starts_with("NiceHash/"));
    let id = subscribe.param(1);
    (!is_signed && id.len() > 2 && id.first() == Some(&b'"')).then_some(id)
}

/// The change that takes the session id out of a subscribe: as if it never had one.
pub fn without_id(subscribe: &Message<'_>) -> Change<'static> {
    let [agent, id, ..] = subscribe.params.items;
    if subscribe.params.count > 2 {
        Change { span: id, bytes: NONE }
    } else {
        Change { span: Span { start: agent.end, end: id.end }, bytes: b"" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LINE_PADDING;
    use crate::message::Line;
    use crate::parse::Parser;
    use crate::rewrite::splice;

    #[test]
    fn the_id_beside_notify_is_the_sessions() {
        for (result, id) in [
            (r#"[[["mining.set_difficulty","5f"],["mining.notify","5e"]],"f000000a",8]"#, Some(r#""5e""#)),
            (r#"[[["mining.notify","5e"]],"f000000a",8]"#, Some(r#""5e""#)),
            (r#"[["mining.notify","ae68"],"",8]"#, Some(r#""ae68""#)),
            (r#"[[["mining.notify",""]],"f0",8]"#, None),
            (r#"[[["mining.notify",17]],"f0",8]"#, None),
            (r#"[[["mining.notify"]],"f0",8]"#, None),
            (r#"[[["mining.set_difficulty","5f"]],"f0",8]"#, None),
            (r#"[[],"f0",8]"#, None),
            (r#"[null,"f0",8]"#, None),
            ("null", None),
        ] {
            assert_eq!(in_result(result.as_bytes()), id.map(str::as_bytes), "{result}");
        }
        let long = format!(r#"[[["mining.notify","{}"]],"f0",8]"#, "a".repeat(ID_BYTES_MAX));
        assert_eq!(in_result(long.as_bytes()), None);
    }

    #[test]
    fn a_subscribe_without_its_id_is_one_of_a_miner_that_is_new() {
        for (params, without) in [
            (r#"["rig/1.0","5e"]"#, Some(r#"["rig/1.0"]"#)),
            (r#"["rig/1.0" , "5e" ]"#, Some(r#"["rig/1.0" ]"#)),
            (r#"[null,"5e"]"#, Some("[null]")),
            (r#"["rig/1.0","5e","pool.example",3333]"#, Some(r#"["rig/1.0",null,"pool.example",3333]"#)),
            (r#"["rig/1.0"]"#, None),
            (r#"["rig/1.0",null,"pool.example",null]"#, None),
            (r#"["rig/1.0",""]"#, None),
            (r#"["NiceHash/1.0.0","1514767599123","ab12"]"#, None),
            ("[]", None),
            ("{}", None),
        ] {
            let line =
                |params: &str| format!("{{\"id\":1,\"method\":\"mining.subscribe\",\"params\":{params}}}");
            let text = line(params);
            let mut bytes = [text.as_bytes(), &[0; LINE_PADDING]].concat();
            let mut parser = Parser::new();
            let message = parser.parse(Line::new(&mut bytes, text.len()).unwrap()).unwrap();
            let changed = in_subscribe(&message).map(|_| {
                let mut out = Vec::new();
                splice(&mut out, message.line, [without_id(&message)]);
                String::from_utf8(out).unwrap()
            });
            assert_eq!(changed, without.map(|params| line(params) + "\n"), "{params}");
        }
    }
}
