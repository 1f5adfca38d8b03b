//! Pools as sessions know them: a number, the terms of dealing with it, and the door to whoever chooses among them.
//!
//! Which pools there are, how they are, and which of them is right for a miner is the engine's business ([`Router`]); a
//! session only says what it knows of its miner. Nothing here connects to anything.

use std::net::IpAddr;

use crate::limits::POOLS_COUNT_MAX;

/// Number of a configured pool. Never used again for another one while the process runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolId(pub u16);

impl PoolId {
    /// No pool: none was chosen yet.
    pub const NONE: Self = Self(0);
}

/// What a connection to a pool is held to. Taken when it is wanted, so that a reload changes none that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// By when configure, subscribe and authorize are answered here if the pool does not answer.
    pub handshake_reply_ms: u32,
    /// The same for a submit.
    pub submit_reply_ms: u32,
    /// Longest silence once it is connected.
    pub silence_ms: u32,
    /// To the first job, from when the pool accepted a subscribe and a name; in a login that Adit makes itself, from the
    /// connection.
    pub first_job_ms: u32,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            handshake_reply_ms: 10_000,
            submit_reply_ms: 15_000,
            silence_ms: 120_000,
            first_job_ms: 30_000,
        }
    }
}

/// How sessions deal with one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long to wait for what.
    pub deadlines: Deadlines,
    /// The password sent instead of the miner's, as it stands between the quotes of a JSON string.
    pub password: Option<Box<str>>,
    /// The pool's host as configured, to tell whether a `client.reconnect` stays within its domain.
    pub host: Option<Box<str>>,
}

/// The terms of all pools, by their number.
#[derive(Clone, Debug, Default)]
pub struct TermsTable {
    terms: Vec<Terms>,
    default: Terms,
}

impl TermsTable {
    /// Sets the terms of a pool. Numbers from [`POOLS_COUNT_MAX`] on are ignored: they keep the default.
    pub fn set(&mut self, pool: PoolId, terms: Terms) {
        let index = usize::from(pool.0);
        if index >= POOLS_COUNT_MAX {
            return;
        }
        if self.terms.len() <= index {
            self.terms.resize_with(index + 1, Terms::default);
        }
        if let Some(place) = self.terms.get_mut(index) {
            *place = terms;
        }
    }

    /// The terms of a pool; the default ones where none were set.
    pub fn of(&self, pool: PoolId) -> &Terms {
        self.terms.get(usize::from(pool.0)).unwrap_or(&self.default)
    }
}

/// Where a miner came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of the listener.
    pub listener: u16,
    /// The miner's address.
    pub address: IpAddr,
}

/// What is known of a miner when a pool is chosen for it.
#[derive(Clone, Copy, Debug)]
pub struct Asks<'a> {
    /// Where it came in.
    pub origin: Origin,
    /// The path that it asked for by an HTTP request before it spoke Stratum.
    pub path: Option<&'a str>,
    /// What it calls itself in subscribe, if that is known already and it does.
    pub agent: Option<&'a str>,
    /// The name it authorises, raw bytes between the quotes, if that is known already.
    pub name: Option<&'a [u8]>,
    /// Whether it could be moved to another pool without a new connection, as far as that depends on the miner.
    pub can_follow: bool,
}

/// Whether a name that a miner authorises belongs to the pool that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// It does.
    Stay,
    /// It belongs to this one. Its authorize is not sent to the present pool, but waits for the other.
    Move(PoolId),
    /// It belongs to another one, and the miner has to come back for it: its connection is closed.
    Close,
    /// It belongs elsewhere, and none of its pools is there: the miner is sent away.
    Nowhere,
    /// It belongs elsewhere, and the miner was closed for it in vain too often.
    Refuse,
}

/// The session's door to the choice of pools. Called at a miner's first request and at new names, never per message.
pub trait Router {
    /// The pool for a miner that just made its first valid request. `None`: there is none, and the miner is sent away.
    fn choose(&mut self, asks: &Asks<'_>) -> Option<PoolId>;

    /// Whether a connection that was prepared earlier is kept for this miner, to whom `pool` was just given. Then no other
    /// one is made: [`Event::Arrived`](crate::event::Event::Arrived) asks the owner for it.
    fn keeps(&mut self, _asks: &Asks<'_>, _pool: PoolId) -> bool {
        false
    }

    /// Whether the name in `asks` belongs to `pool`, which the miner has. Of a miner that can follow it is asked without
    /// consequence.
    fn place(&mut self, _asks: &Asks<'_>, _pool: PoolId) -> Placement {
        Placement::Stay
    }

    /// Whether miners may come in by this path (`GET` with a path, `CONNECT` with a target). Others are web clients.
    fn knows_path(&self, _path: &str) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pool_has_terms_and_a_number_out_of_bounds_takes_no_room() {
        let mut table = TermsTable::default();
        let strict = Terms { password: Some("secret".into()), ..Terms::default() };
        table.set(PoolId(3), strict.clone());
        table.set(PoolId(u16::MAX), strict.clone());
        assert_eq!(table.of(PoolId(3)), &strict);
        for other in [PoolId::NONE, PoolId(2), PoolId(4), PoolId(u16::MAX)] {
            assert_eq!(table.of(other), &Terms::default());
        }
        assert_eq!(table.terms.len(), 4);
    }
}
