//! `client.reconnect`: a pool wants a client elsewhere within its domain, and the client is Adit.
//!
//! Another connection to the same pool is made at the place that it named, logged in and switched to like any other; a
//! miner that cannot be switched live is closed, and comes back to that very connection. The wait that the pool asks for is
//! kept, the moves are spread over time and bounded like others, and a miner follows once per hold time, so that a pool
//! that says it again and again moves nobody endlessly. A pool that closes the old connection meanwhile did not fail: its
//! miners go where it sent them, at once.
//!
//! A redirect is for one connection. Whoever comes anew, fails over or comes back to that pool later goes to the address
//! that is configured; the pool can send it on again.
//!
//! Not here: what a pool may name ([`adit_protocol::reconnect`]), and how names are looked up ([`crate::pools::places`]).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use adit_protocol::event::{MoveReason, Wire};
use adit_protocol::moment::Moment;
use adit_protocol::pool::PoolId;

use super::moves::UNDER_WAY_COUNT_MAX;
use super::pair::{Key, Pair, Phase};
use super::plane::Plane;
use super::trail::Deed;
use crate::resolver::PoolAddresses;

/// Longest wait that a pool may ask for.
const WAIT_MS_MAX: u64 = 600_000;
/// When it is tried again what could not be done yet: a name without an address, too many logins under way.
const RETRY_MS: u64 = 500;
/// How often a name may have no address yet.
const RETRIES_MAX: u8 = 20;
/// Refusals that are told of one session. A pool may ask as often as it likes, and the log and the ledger must not grow by
/// it; each is counted all the same.
const REFUSALS_TOLD_MAX: u8 = 4;
/// How long a miner whose connection the pool closed waits for the place that the pool named, rather than go to another pool.
const IDLE_MS_MAX: u64 = 2_000;

/// What a session was asked to do by its pool.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    wanted: Option<Box<Redirect>>,
    /// The connection that the pool wants to be left: its end is no failure.
    leaving: Option<Wire>,
    /// No other one is followed before.
    hold_until: Moment,
    /// Refusals that were told.
    refusals_told: u8,
    /// The place that is about to be connected to on a wire, instead of the pool's own.
    next: Option<(Wire, Arc<[SocketAddr]>)>,
}

/// A place where the pool wants the session, until it is gone to.
#[derive(Debug)]
struct Redirect {
    /// Where the pool said it.
    wire: Wire,
    pool: PoolId,
    /// The host and the port.
    place: String,
    addresses: PoolAddresses,
    /// The pool wants nobody before.
    not_before: Moment,
    at: Moment,
    retries_left: u8,
}

impl Redirects {
    /// The session mines on this wire now: what was wanted on another one is of the past.
    pub(super) fn switched_to(&mut self, wire: Wire) {
        self.leaving = None;
        self.wanted.take_if(|redirect| redirect.wire != wire);
    }

    /// Where this wire is to be connected to, if not to the pool's own address. Told once.
    pub(super) fn take_addresses(&mut self, wire: Wire) -> Option<Arc<[SocketAddr]>> {
        self.next.take_if(|(next, _)| *next == wire).map(|(_, addresses)| addresses)
    }

    /// When there is something to do.
    pub(super) fn deadline(&self) -> Moment {
        self.wanted.as_ref().map_or(Moment::NEVER, |redirect| redirect.at)
    }
}

impl Plane {
    /// The pool on this wire wants to be connected to elsewhere.
    pub(super) fn redirected(&mut self, key: Key, wire: Wire, pool: PoolId) {
        let Some(entry) = self.pools.catalogue.get(pool).cloned() else { return };
        let settings = self.pools.catalogue.settings().clone();
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let Some(target) = pair.session.take_reconnect() else { return };
        if pair.phase != Phase::Open || pair.is_stock() {
            return;
        }
        let host = target.host.as_deref().unwrap_or(&entry.settings.host);
        let port = target.port.unwrap_or(entry.settings.port);
        let place = format!("{host}:{port}");
        let refresh = Duration::from_millis(settings.timeouts.resolve_refresh_ms);
        let Some(addresses) = self.places.find(host, port, refresh) else {
            return self.note_refusal(key, pool, "refused, too many places", &place);
        };
        let not_before = self.now.plus_ms((u64::from(target.wait_s) * 1_000).min(WAIT_MS_MAX));
        let spread_ms = self.dice.below(settings.failover.failback_spread_ms);
        let redirects = pair.redirects.get_or_insert_default();
        // A miner that would have to reconnect for it has just come, perhaps for the same reason. Where the pool closes the
        // connection it must anyway.
        let arrived =
            if pair.session.takes_extranonce() { Moment(0) } else { pair.moves.course.hold_until() };
        let at = not_before.plus_ms(spread_ms).max(redirects.hold_until).max(arrived);
        redirects.leaving = (redirects.hold_until <= self.now).then_some(wire);
        let retries_left = RETRIES_MAX;
        redirects.wanted =
            Some(Box::new(Redirect { wire, pool, place, addresses, not_before, at, retries_left }));
        self.set_timer(key);
    }

    /// The pool named a place in another domain.
    pub(super) fn redirect_refused(&mut self, key: Key, pool: PoolId) {
        let refused = |pair: &mut Pair| pair.session.take_refused_reconnect();
        let Some(target) = self.pairs.get_mut(key).and_then(refused) else { return };
        let (host, port) = (target.host.unwrap_or_default(), target.port.unwrap_or_default());
        self.note_refusal(key, pool, "refused, another domain", &format!("{host}:{port}"));
    }

    /// The moment to follow has come.
    pub(super) fn redirect_due(&mut self, key: Key) {
        let (now, busy) = (self.now, self.moves_under_way >= UNDER_WAY_COUNT_MAX);
        let hold_ms = self.pools.catalogue.settings().failover.hold_ms;
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let Some(redirects) = &mut pair.redirects else { return };
        let Some(mut redirect) = redirects.wanted.take_if(|redirect| redirect.at <= now) else { return };
        let is_there = pair.session.current_wire() == Some(redirect.wire) || pair.moves.is_lost();
        if pair.phase != Phase::Open || !is_there || pair.session.pool() != redirect.pool {
            return;
        }
        let found = redirect.addresses.newest();
        if pair.moves.under_way.is_some() || busy || found.is_empty() {
            redirect.retries_left = redirect.retries_left.saturating_sub(u8::from(found.is_empty()));
            // One that has no pool does not wait for a name.
            if redirect.retries_left == 0 || (found.is_empty() && pair.moves.is_lost()) {
                let (pool, place) = (redirect.pool, redirect.place);
                self.note_redirect(pool, "given up, no address", &place);
                return self.look_again(key);
            }
            redirect.at = now.plus_ms(RETRY_MS);
            redirects.wanted = Some(redirect);
            return self.set_timer(key);
        }
        let Some(wire) = pair.session.spare_wire() else { return };
        redirects.hold_until = now.plus_ms(hold_ms);
        redirects.leaving = Some(redirect.wire);
        self.note_redirect(redirect.pool, "followed", &redirect.place);
        if !self.prepare(key, wire, redirect.pool, MoveReason::Reconnect) {
            return;
        }
        if let Some(redirects) = self.pairs.get_mut(key).and_then(|pair| pair.redirects.as_mut()) {
            redirects.next = Some((wire, found));
        }
        self.move_begins(key, wire);
        self.open_wire(key, wire, redirect.pool);
    }

    /// A session lost its pool. Whether it waits for the place that the pool has named before.
    pub(super) fn follows_at_once(&mut self, key: Key) -> bool {
        let now = self.now;
        let Some(pair) = self.pairs.get_mut(key) else { return false };
        let Some(redirects) = &mut pair.redirects else { return false };
        let (is_held, soon) = (redirects.leaving.is_none(), now.plus_ms(IDLE_MS_MAX));
        redirects.wanted.take_if(|wanted| is_held || wanted.not_before > soon);
        let Some(redirect) = &mut redirects.wanted else { return false };
        redirect.at = redirect.not_before.max(now);
        self.set_timer(key);
        true
    }

    /// Whether the end of this connection is what its pool said before.
    pub(super) fn was_sent_away(&mut self, key: Key, wire: Wire) -> bool {
        self.pairs.get_mut(key).is_some_and(|pair| {
            pair.redirects.as_ref().is_some_and(|redirects| redirects.leaving == Some(wire))
        })
    }

    /// Tells of a refusal, if it is one of the first of its session.
    fn note_refusal(&mut self, key: Key, pool: PoolId, outcome: &'static str, place: &str) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let redirects = pair.redirects.get_or_insert_default();
        if redirects.refusals_told < REFUSALS_TOLD_MAX {
            redirects.refusals_told += 1;
            self.note_redirect(pool, outcome, place);
        }
    }

    fn note_redirect(&mut self, pool: PoolId, outcome: &'static str, place: &str) {
        let name = self.pools.catalogue.get(pool).map_or("", |entry| &entry.settings.name);
        log::info!("pool {name}: client.reconnect to {place}: {outcome}");
        let pool = self.pool_keys.of(pool);
        if let Some(books) = &mut self.books {
            books.redirected(Deed::Redirected { pool, outcome }, place, self.now);
        }
    }
}
