//! One wire of a session: what its pool has granted and told.
//!
//! State and judgement only; the lines are handled in [`session`](crate::session).

use crate::framer::PoolFramer;
use crate::limits::{EXTRANONCE1_BYTES_MAX, EXTRANONCE2_SIZE_MAX, EXTRANONCE2_SIZE_MIN};
use crate::login::{Answer, Login};
use crate::message::{Message, Method};
use crate::moment::Moment;
use crate::pool::{Deadlines, PoolId, Terms};
use crate::value;

/// How the connection to the pool stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// There is none: the place is free.
    #[default]
    Idle,
    /// Being made.
    Dialling,
    /// It stands.
    Up,
}

/// What subscribe gave: the space of this connection's shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extranonce {
    bytes: [u8; EXTRANONCE1_BYTES_MAX],
    len: u8,
    /// Bytes of extranonce2.
    pub extranonce2_size: u8,
}

impl Extranonce {
    /// Reads extranonce1 (a JSON string of hex, which p2pool leaves empty) and the size of extranonce2.
    pub fn read(extranonce1: &[u8], size: &[u8]) -> Option<Self> {
        let text = value::plain_str(extranonce1)?;
        let extranonce2_size = u8::try_from(value::unsigned(size)?).ok()?;
        let is_size = (EXTRANONCE2_SIZE_MIN..=EXTRANONCE2_SIZE_MAX).contains(&usize::from(extranonce2_size));
        if !text.len().is_multiple_of(2) || !is_size {
            return None;
        }
        let mut bytes = [0; EXTRANONCE1_BYTES_MAX];
        let len = text.len() / 2;
        for (place, pair) in bytes.get_mut(..len)?.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).ok().filter(|digits| !digits.starts_with('+'))?;
            *place = u8::from_str_radix(digits, 16).ok()?;
        }
        Some(Self { bytes, len: len as u8, extranonce2_size })
    }

    /// Reads the result of a subscribe: `[subscriptions, extranonce1, extranonce2_size]`.
    pub fn from_result(result: &[u8]) -> Option<Self> {
        let mut parts: [&[u8]; 3] = [&[]; 3];
        let mut n = 0;
        value::elements(result, |part| {
            if let Some(place) = parts.get_mut(n) {
                *place = part;
            }
            n += 1;
        })?;
        Self::read(parts[1], parts[2])
    }

    /// The bytes of extranonce1.
    pub fn extranonce1(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// extranonce1 in hex.
    pub fn extranonce1_hex(&self) -> String {
        self.extranonce1().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }
}

/// A session id: the pool that issued it, and the id itself, a raw JSON string.
pub type IssuedId = (PoolId, Box<[u8]>);

/// A connection to a pool, or the place for one.
#[derive(Debug)]
pub struct Upstream {
    /// Cuts its bytes into lines.
    pub framer: PoolFramer,
    /// Which pool it is.
    pub pool: PoolId,
    /// How the connection stands.
    pub link: Link,
    /// How long the pool may take, as of the moment at which it was wanted.
    pub deadlines: Deadlines,
    /// When its last bytes came, or when the connection was made.
    pub heard: Moment,
    /// What subscribe gave, once the pool answered it.
    pub extranonce: Option<Extranonce>,
    /// How the pool calls the subscription, if it does.
    pub session_id: Option<Box<IssuedId>>,
    /// The difficulty that counts from the next job on; 0 until told.
    pub difficulty: f64,
    /// The version bits that the miner may roll.
    pub version_mask: u32,
    /// Counts up when the extranonce changes: shares of older jobs cannot be checked here any more.
    pub generation: u8,
    /// What is added to the ids of our requests on this wire: another session may have used the same ones on it before.
    pub id_offset: u32,
    /// Lines since the last good job that were not Stratum.
    pub garbage_count: u16,
    /// Whether a job came.
    pub had_job: bool,
    /// Whether the next job is to be told as a clean one: the miner came here without any.
    pub clean_next: bool,
    /// The login that Adit makes on it, while it is not the current one.
    pub login: Option<Box<Login>>,
    /// Until when it lingers, if it does.
    pub linger_until: Moment,
    /// The miner's names as JSON strings for this pool, quotes included, at the indices that they have in
    /// [`Downstream`](crate::downstream::Downstream). Each is one use of the name, to be released.
    names: Vec<Option<Box<[u8]>>>,
    /// Names that the pool accepted for an earlier session of this connection, and that the miner has not asked for.
    pub spare_names: Vec<SpareName>,
}

/// A name that is authorised at the pool, and not yet known here.
#[derive(Debug)]
pub struct SpareName {
    /// The bytes between the quotes as the miner sends them.
    pub raw: Box<[u8]>,
    /// How the pool calls it, a JSON string.
    pub json: Box<[u8]>,
    /// The pool's yes.
    pub answer: Answer,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            framer: PoolFramer::default(),
            pool: PoolId::NONE,
            link: Link::Idle,
            deadlines: Deadlines::default(),
            heard: Moment::default(),
            extranonce: None,
            session_id: None,
            difficulty: 0.0,
            version_mask: 0,
            generation: 0,
            id_offset: 0,
            garbage_count: 0,
            had_job: false,
            clean_next: false,
            login: None,
            linger_until: Moment::NEVER,
            names: Vec::new(),
            spare_names: Vec::new(),
        }
    }
}

impl Upstream {
    /// A wire that is about to be connected to this pool.
    pub fn dialling(pool: PoolId, terms: &Terms) -> Self {
        Self { pool, link: Link::Dialling, deadlines: terms.deadlines, ..Self::default() }
    }

    /// When the pool's silence has lasted too long.
    #[inline]
    pub fn silence_deadline(&self) -> Moment {
        match self.link {
            Link::Up => self.heard.plus_ms(self.deadlines.silence_ms.into()),
            Link::Idle | Link::Dialling => Moment::NEVER,
        }
    }

    /// Takes a new extranonce. It counts from the next job on.
    pub fn set_extranonce(&mut self, extranonce: Extranonce) {
        if self.extranonce.is_some_and(|known| known != extranonce) {
            self.generation = self.generation.wrapping_add(1);
        }
        self.extranonce = Some(extranonce);
    }

    /// Notes a line by which the pool changes what its shares must be like. Whether it is one that can be read.
    pub fn note(&mut self, method: Method, message: &Message<'_>) -> bool {
        match method {
            Method::SetDifficulty => self.set_difficulty(message.param(0)),
            Method::SetExtranonce => {
                let extranonce = Extranonce::read(message.param(0), message.param(1));
                extranonce.map(|extranonce| self.set_extranonce(extranonce)).is_some()
            }
            // Some send the mask alone instead of a list.
            Method::SetVersionMask if message.params.is_array => self.set_version_mask(message.param(0)),
            Method::SetVersionMask => self.set_version_mask(message.raw(message.params.whole)),
            _ => false,
        }
    }

    /// Takes a new difficulty. False for what is none: zero, negative, not finite, no number.
    pub fn set_difficulty(&mut self, raw: &[u8]) -> bool {
        let difficulty = value::number(raw).filter(|difficulty| *difficulty > 0.0);
        difficulty.map(|difficulty| self.difficulty = difficulty).is_some()
    }

    /// Takes a new version mask, a JSON string of hex. False for what is none.
    pub fn set_version_mask(&mut self, raw: &[u8]) -> bool {
        mask(raw).map(|mask| self.version_mask = mask).is_some()
    }

    /// The session that the wire belongs to goes on at its pool, counting extranonces from here.
    pub fn become_current(&mut self, generation: u8) {
        self.generation = generation;
        self.login = None;
    }

    /// How the pool calls the name at this index, as a JSON string.
    #[inline]
    pub fn name(&self, index: u8) -> Option<&[u8]> {
        self.names.get(usize::from(index))?.as_deref()
    }

    /// Notes how the pool calls the name at this index.
    pub fn set_name(&mut self, index: u8, upstream: &[u8]) {
        let mut json = Vec::with_capacity(upstream.len() + 2);
        json.push(b'"');
        json.extend_from_slice(upstream);
        json.push(b'"');
        self.set_name_json(index, json.into());
    }

    /// The same for what is a JSON string already.
    pub fn set_name_json(&mut self, index: u8, json: Box<[u8]>) {
        let index = usize::from(index);
        if self.names.len() <= index {
            self.names.resize(index + 1, None);
        }
        self.names[index] = Some(json);
    }

    /// Forgets the name at this index, and returns it if there was one.
    pub fn take_name(&mut self, index: u8) -> Option<Box<[u8]>> {
        self.names.get_mut(usize::from(index))?.take()
    }
}

/// A version mask: a JSON string of up to eight hex digits.
pub fn mask(raw: &[u8]) -> Option<u32> {
    value::plain_str(raw)
        .filter(|text| !text.starts_with('+'))
        .and_then(|text| u32::from_str_radix(text, 16).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscribe_result_gives_the_extranonces() {
        let result = br#"[[["mining.set_difficulty","5f"],["mining.notify","5f"]],"f000000a",8]"#;
        let extranonce = Extranonce::from_result(result).expect("valid");
        assert_eq!((extranonce.extranonce1(), extranonce.extranonce2_size), (&[0xf0, 0, 0, 0x0a][..], 8));
        assert_eq!(extranonce.extranonce1_hex(), "f000000a");
        let flat = br#"["mining.notify","ae6812eb4cd7735a302a8a9dd95cf71f","",8]"#;
        assert_eq!(Extranonce::from_result(flat), None);
        assert_eq!(
            Extranonce::from_result(br#"[["mining.notify","ae"],"",8]"#).map(|e| e.extranonce1().len()),
            Some(0)
        );
    }

    #[test]
    fn what_is_no_extranonce_is_none() {
        for result in [
            "null",
            "[]",
            r#"[[],"f00",8]"#,
            r#"[[],"zz",8]"#,
            r#"[[],"+1",8]"#,
            r#"[[],"f0",17]"#,
            r#"[[],"f0",0]"#,
            r#"[[],"f0",-1]"#,
            r#"[[],"f0"]"#,
            r"[[],5,8]",
            "true",
            r#"{"a":1}"#,
        ] {
            assert_eq!(Extranonce::from_result(result.as_bytes()), None, "{result}");
        }
        let long = format!(r#"[[],"{}",8]"#, "00".repeat(EXTRANONCE1_BYTES_MAX + 1));
        assert_eq!(Extranonce::from_result(long.as_bytes()), None);
    }

    #[test]
    fn only_sane_difficulties_count() {
        let mut upstream = Upstream::default();
        assert!(upstream.set_difficulty(b"0.002"));
        for bad in ["0", "-1", "1e999", "\"5\"", "null", "NaN"] {
            assert!(!upstream.set_difficulty(bad.as_bytes()), "{bad}");
        }
        assert!((upstream.difficulty - 0.002).abs() < f64::EPSILON);
    }

    #[test]
    fn a_mask_is_hex() {
        assert_eq!(mask(b"\"1fffe000\""), Some(0x1fff_e000));
        assert_eq!(mask(b"\"+fffe000\""), None);
        assert_eq!(mask(b"536862720"), None);
    }
}
