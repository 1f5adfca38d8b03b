//! The miner's half of a session: what it has asked for, the names it goes by, and how long it may take.
//!
//! State and judgement only; the lines are handled in [`session`](crate::session).

use crate::framer::MinerFramer;
use crate::limits::{NAMES_COUNT_MAX, USER_AGENT_BYTES_MAX};
use crate::message::Message;
use crate::moment::Moment;
use crate::pool::Origin;
use crate::session::SessionSettings;
use crate::upstream::{Extranonce, IssuedId};
use crate::value;
use crate::workers::NO_WORKER;

/// How far a miner has come, as far as it depends on the miner alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing but white space came.
    Silent,
    /// A first byte came that may begin a line of Stratum.
    Greeted,
    /// A valid Stratum request came: only then a pool is dialled.
    Speaking,
    /// It asked to subscribe.
    Subscribing,
}

/// How a name stands with the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its authorize is on the way. Shares in this name are forwarded: miners pipeline.
    Asked,
    /// The pool accepted it.
    Authorised,
}

/// A name of this miner.
#[derive(Clone, Debug)]
pub struct Name {
    /// The bytes between the quotes as the miner sent them.
    pub raw: Box<[u8]>,
    /// The engine's key of the worker, once the pool accepted the name.
    pub worker: u32,
    /// How it stands.
    pub standing: Standing,
    /// The password that came with it, as raw JSON; empty when there was none, or none worth keeping.
    pub password: Box<[u8]>,
    /// Authorizes on the way for it; miners may repeat one.
    pub asked_count: u16,
}

/// The miner's half.
#[derive(Debug)]
pub struct Downstream {
    /// Where it came in.
    pub origin: Origin,
    /// Cuts its bytes into lines.
    pub framer: MinerFramer,
    /// When the connection was accepted.
    pub accepted: Moment,
    /// When its last bytes came.
    pub heard: Moment,
    /// How far it has come.
    pub stage: Stage,
    /// The path that it came in by, if any.
    pub path: Option<Box<str>>,
    /// A name that it authorises in bytes that have come and are not handled yet.
    pub name_ahead: Option<Box<[u8]>>,
    /// Whether it said that it understands `mining.set_extranonce`.
    pub takes_extranonce: bool,
    /// The version mask it asked for in configure.
    pub mask_asked: Option<u32>,
    /// Its last configure's params, raw; empty before, and where they are not worth keeping.
    pub configure_params: Box<[u8]>,
    /// The user agent in its last subscribe, raw JSON; empty if it named none.
    pub agent_json: Box<[u8]>,
    /// Whether it sent `mining.extranonce.subscribe`.
    pub subscribes_extranonce: bool,
    /// The extranonce and the version mask in force at the miner, as of when its last pool was left.
    pub left_with: (Option<Extranonce>, u32),
    /// Whether a pool changed one of these and was left before the miner heard of it: what is in force there is unknown.
    pub missed_terms: bool,
    /// The pool that it had last, and how that called its session, while it has none: there it may be taken up again.
    pub left_session: Option<Box<IssuedId>>,
    /// What it calls itself in subscribe, cleaned; already before that if the subscribe has come and is not handled yet.
    pub user_agent: Box<str>,
    names: Vec<Option<Name>>,
}

impl Downstream {
    /// A miner that just connected.
    pub fn new(now: Moment, origin: Origin) -> Self {
        Self {
            origin,
            framer: MinerFramer::default(),
            accepted: now,
            heard: now,
            stage: Stage::Silent,
            path: None,
            name_ahead: None,
            takes_extranonce: false,
            mask_asked: None,
            configure_params: Box::default(),
            agent_json: Box::default(),
            subscribes_extranonce: false,
            left_with: (None, 0),
            missed_terms: false,
            left_session: None,
            user_agent: "".into(),
            names: Vec::new(),
        }
    }

    /// The name with these raw JSON bytes, quotes included.
    #[inline]
    pub fn find(&self, json: &[u8]) -> Option<u8> {
        let raw = json.get(1..json.len().checked_sub(1)?)?;
        let same = |name: &Option<Name>| name.as_ref().is_some_and(|name| &*name.raw == raw);
        match self.names.iter().position(same) {
            Some(index) => Some(index as u8),
            // The same name may be spelled with other escapes than in its authorize.
            None if raw.contains(&b'\\') => self.find_unescaped(json),
            None => None,
        }
    }

    #[cold]
    fn find_unescaped(&self, json: &[u8]) -> Option<u8> {
        let wanted = value::string(json)?;
        let same = |name: &Option<Name>| {
            name.as_ref().and_then(|name| unescaped(&name.raw)).is_some_and(|known| known == wanted)
        };
        self.names.iter().position(same).map(|index| index as u8)
    }

    /// The name with these bytes between its quotes.
    pub fn find_raw(&self, raw: &[u8]) -> Option<u8> {
        self.names().find(|(_, name)| &*name.raw == raw).map(|(index, _)| index)
    }

    /// The name at this index.
    #[inline]
    pub fn name(&self, index: u8) -> Option<&Name> {
        self.names.get(usize::from(index))?.as_ref()
    }

    /// The name at this index.
    pub fn name_mut(&mut self, index: u8) -> Option<&mut Name> {
        self.names.get_mut(usize::from(index))?.as_mut()
    }

    /// Whether one more name is allowed.
    pub fn has_room_for_name(&self) -> bool {
        self.names.iter().flatten().count() < NAMES_COUNT_MAX
    }

    /// Adds a name and returns its index.
    pub fn add_name(&mut self, raw: &[u8]) -> u8 {
        let name = Some(Name {
            raw: raw.into(),
            worker: NO_WORKER,
            standing: Standing::Asked,
            password: Box::default(),
            asked_count: 0,
        });
        if let Some(index) = self.names.iter().position(Option::is_none) {
            self.names[index] = name;
            return index as u8;
        }
        self.names.push(name);
        (self.names.len() - 1) as u8
    }

    /// Takes a name away and returns it.
    pub fn remove_name(&mut self, index: u8) -> Option<Name> {
        self.names.get_mut(usize::from(index))?.take()
    }

    /// All names and their indices.
    pub fn names(&self) -> impl Iterator<Item = (u8, &Name)> {
        (0..).zip(&self.names).filter_map(|(index, name)| Some((index, name.as_ref()?)))
    }

    /// Whether the pool accepted any of its names.
    pub fn is_authorised(&self) -> bool {
        self.names.iter().flatten().any(|name| name.standing == Standing::Authorised)
    }

    /// Notes what a subscribe says the miner is.
    pub fn note_agent(&mut self, subscribe: &Message<'_>) {
        let text = value::string(subscribe.param(0));
        self.user_agent = text.map_or_else(|| "".into(), |text| clean_user_agent(&text));
    }

    /// By when the miner must have done what comes next: first request, subscribe, authorise, then anything at all.
    pub fn deadline(&self, settings: &SessionSettings) -> Moment {
        match self.stage {
            Stage::Silent | Stage::Greeted => self.accepted.plus_ms(settings.first_request_ms),
            Stage::Speaking => self.accepted.plus_ms(settings.subscribe_ms),
            Stage::Subscribing if self.is_authorised() => self.heard.plus_ms(settings.miner_idle_ms),
            Stage::Subscribing => self.accepted.plus_ms(settings.authorize_ms),
        }
    }
}

fn unescaped(raw: &[u8]) -> Option<String> {
    let mut json = Vec::with_capacity(raw.len() + 2);
    json.push(b'"');
    json.extend_from_slice(raw);
    json.push(b'"');
    value::string(&json).map(std::borrow::Cow::into_owned)
}

/// A user agent fit for logs: visible ASCII only, bounded.
pub fn clean_user_agent(text: &str) -> Box<str> {
    text.chars().filter(|c| matches!(c, ' '..='~')).take(USER_AGENT_BYTES_MAX).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn downstream() -> Downstream {
        Downstream::new(Moment(0), Origin { listener: 0, address: [127, 0, 0, 1].into() })
    }

    #[test]
    fn a_name_is_found_however_it_is_escaped() {
        let mut downstream = downstream();
        let index = downstream.add_name(b"a/b.rig");
        assert_eq!(downstream.find(b"\"a/b.rig\""), Some(index));
        assert_eq!(downstream.find(br#""a\/b\u002erig""#), Some(index));
        assert_eq!(downstream.find(b"\"a/b.rig2\""), None);
        assert_eq!(downstream.find(b"\""), None);
        let escaped = downstream.add_name(br"x\u0041");
        assert_eq!(downstream.find(br#""x\u0041""#), Some(escaped));
    }

    #[test]
    fn the_place_of_a_removed_name_is_used_again() {
        let mut downstream = downstream();
        for n in 0..NAMES_COUNT_MAX {
            assert!(downstream.has_room_for_name());
            downstream.add_name(format!("n{n}").as_bytes());
        }
        assert!(!downstream.has_room_for_name());
        assert!(downstream.remove_name(3).is_some());
        assert_eq!(downstream.add_name(b"again"), 3);
    }

    #[test]
    fn a_user_agent_keeps_no_control_characters() {
        assert_eq!(&*clean_user_agent("a\u{1b}[31mb\n\u{e9}c/1.0 (x)"), "a[31mbc/1.0 (x)");
        assert_eq!(clean_user_agent(&"x".repeat(1_000)).len(), USER_AGENT_BYTES_MAX);
    }
}
