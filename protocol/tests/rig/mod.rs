//! A session between two ends that a test holds in its hands, on a clock that the test turns.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod fuzz;

use adit_protocol::event::{CloseReason, ClosedShare, Event, Gone, MoveReason, Oddity, Side, Wire};
use adit_protocol::limits::LINE_PADDING;
use adit_protocol::moment::Moment;
use adit_protocol::names::{NameError, NameRule, NameTable, Template};
use adit_protocol::pool::{Asks, Origin, PoolId, Router};
use adit_protocol::session::{Context, Session, SessionSettings, Shared};
use adit_protocol::workers::Workers;

/// Names by the real table; the key is a hash of the miner's name.
pub struct TestWorkers(pub NameTable);

impl TestWorkers {
    pub fn empty() -> Self {
        Self(NameTable::new(NameRule::default(), 1))
    }
}

impl Workers for TestWorkers {
    fn assign(&mut self, pool: PoolId, raw: &[u8]) -> Result<Box<[u8]>, NameError> {
        let name = self.0.assign(raw)?;
        // The pools of a test tell their names apart; the first one has them as the rule makes them.
        Ok(if pool == POOL {
            name.into()
        } else {
            [format!("P{}.", pool.0).as_bytes(), name].concat().into()
        })
    }

    fn proven(&mut self, _: PoolId, raw: &[u8]) -> u32 {
        raw.iter().fold(7, |sum: u32, &byte| sum.wrapping_mul(31).wrapping_add(byte.into()))
    }

    fn release(&mut self, _: PoolId, raw: &[u8]) {
        self.0.release(raw);
    }
}

/// The pool that the rig's sessions get.
pub const POOL: PoolId = PoolId(1);

/// Chooses always the same.
pub struct TestRouter(pub Option<PoolId>);

impl Router for TestRouter {
    fn choose(&mut self, _: &Asks<'_>) -> Option<PoolId> {
        self.0
    }
}

pub const ORIGIN: Origin =
    Origin { listener: 0, address: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST) };

pub fn shared_with(settings: SessionSettings, account: Option<&str>, template: Option<&str>) -> Shared {
    let template = template.map(|text| Template::parse(text).expect("template"));
    let rule = NameRule::new(account.map(str::to_owned), template).expect("rule");
    let workers = Box::new(TestWorkers(NameTable::new(rule, 1_000)));
    Shared::new(settings, workers, Box::new(TestRouter(Some(POOL))))
}

pub struct Rig {
    pub session: Session,
    pub shared: Shared,
    pub now: Moment,
    pub events: Vec<Event>,
    /// Whether a session without a pool is ended at once.
    pub ends_without_pool: bool,
    pub to_miner: Vec<u8>,
    pub to_wires: [Vec<u8>; 2],
}

impl Default for Rig {
    fn default() -> Self {
        Self::with(shared_with(SessionSettings::default(), None, None))
    }
}

impl Rig {
    pub fn with(shared: Shared) -> Self {
        Self {
            session: Session::new(Moment(0), ORIGIN),
            shared,
            now: Moment(0),
            events: Vec::new(),
            ends_without_pool: true,
            to_miner: Vec::new(),
            to_wires: Default::default(),
        }
    }

    /// A rig whose miner has subscribed and authorised `name`, with nothing left in the buffers.
    pub fn mining(name: &str) -> Self {
        let mut rig = Self::default();
        rig.log_in(name);
        rig
    }

    pub fn log_in(&mut self, name: &str) {
        self.miner("{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"rig/1.0\"]}\n");
        self.connected(Wire::A);
        self.pool("{\"id\":1000,\"result\":[[[\"mining.notify\",\"a\"]],\"f000000a\",4],\"error\":null}\n");
        self.miner(&format!("{{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"{name}\",\"x\"]}}\n"));
        self.pool("{\"id\":1001,\"result\":true,\"error\":null}\n");
        self.take_miner();
        self.take_pool();
        self.events.clear();
    }

    pub fn call(&mut self, act: impl FnOnce(&mut Session, &mut Context<'_>)) {
        let mut cx = Context {
            now: self.now,
            to_miner: &mut self.to_miner,
            to_wires: self.to_wires.each_mut(),
            shared: &mut self.shared,
        };
        act(&mut self.session, &mut cx);
        let lost = cx.shared.events.iter().find_map(|event| match event {
            Event::PoolLost { why, .. } => Some(*why),
            _ => None,
        });
        if let Some(why) = lost.filter(|_| self.ends_without_pool) {
            self.session.end(why, cx.now, &mut cx);
        }
        self.events.append(&mut self.shared.events);
    }

    pub fn bytes(&mut self, side: Side, bytes: &[u8]) {
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + LINE_PADDING, b'!');
        self.call(|session, cx| session.receive(side, &mut buffer, bytes.len(), cx));
    }

    pub fn miner(&mut self, text: &str) {
        self.bytes(Side::Miner, text.as_bytes());
    }

    pub fn pool(&mut self, text: &str) {
        self.on(Wire::A, text);
    }

    /// The pool on this wire says something.
    pub fn on(&mut self, wire: Wire, text: &str) {
        self.bytes(Side::Pool(wire), text.as_bytes());
    }

    /// What went to the pool on this wire.
    pub fn take_wire(&mut self, wire: Wire) -> String {
        String::from_utf8(std::mem::take(&mut self.to_wires[wire.index()])).expect("text for the pool")
    }

    pub fn prepare(&mut self, wire: Wire, pool: PoolId, why: MoveReason) {
        let mut begun = false;
        self.call(|session, cx| begun = session.prepare(wire, pool, why, cx));
        assert!(begun, "the place was free");
    }

    pub fn connected(&mut self, wire: Wire) {
        self.call(|session, cx| session.connected(wire, cx));
    }

    pub fn gone(&mut self, side: Side, why: Gone) {
        self.call(|session, cx| session.gone(side, why, cx));
    }

    /// Turns the clock, calling `timeout` at each deadline on the way.
    pub fn pass_ms(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        loop {
            let deadline = self.session.deadline(&self.shared.settings);
            if deadline > end {
                break;
            }
            self.now = self.now.max(deadline);
            let before = (self.now, deadline);
            self.call(Session::timeout);
            let after = (self.now, self.session.deadline(&self.shared.settings));
            assert!(
                after.1 > before.1,
                "a deadline that was handled does not come again: {before:?} {after:?}"
            );
        }
        self.now = end;
    }

    pub fn take_miner_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to_miner)
    }

    pub fn take_pool_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.to_wires[0])
    }

    pub fn take_miner(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.to_miner)).expect("text for the miner")
    }

    pub fn take_pool(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.to_wires[0])).expect("text for the pool")
    }

    pub fn finished(&self) -> Option<CloseReason> {
        let mut reasons = self.events.iter().filter_map(|event| match event {
            Event::Finish(reason) => Some(*reason),
            _ => None,
        });
        let first = reasons.next();
        assert_eq!(reasons.next(), None, "finished twice");
        assert_eq!(first.is_some(), self.session.is_finished());
        first
    }

    pub fn shares(&self) -> Vec<ClosedShare> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Share(share) => Some(*share),
                _ => None,
            })
            .collect()
    }

    pub fn oddities(&self) -> Vec<Oddity> {
        self.events
            .iter()
            .filter_map(|event| match event {
                Event::Odd(oddity) => Some(*oddity),
                _ => None,
            })
            .collect()
    }
}
