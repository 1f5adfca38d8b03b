//! A share's way through a session, without sockets: a miner's submit goes up, the pool's verdict comes down.
//!
//! The session is the one that a shard runs, logged in and with a job, tracking on; what a shard does around it (counters,
//! latencies, the ledger's outbox) is for whoever measures to add.

use std::net::{IpAddr, Ipv4Addr};

use adit_protocol::event::{ClosedShare, Event, Outcome, Side, Wire};
use adit_protocol::limits::LINE_PADDING;
use adit_protocol::moment::Moment;
use adit_protocol::names::{NameError, NameRule, NameTable};
use adit_protocol::pool::{Asks, Origin, PoolId, Router};
use adit_protocol::session::{Context, Session, SessionSettings, Shared};
use adit_protocol::workers::Workers;

const WORKER: &str = "bc1qexample.rig01";
const ORIGIN: Origin = Origin { listener: 0, address: IpAddr::V4(Ipv4Addr::LOCALHOST) };
/// Where the nonce's digits stand, counted from the end of a submit.
const NONCE_FROM_END: usize = 12;
const NONCE_DIGITS: usize = 8;
/// What stands before the id of a line that the session sends to the pool.
const BEFORE_ID: usize = br#"{"id":"#.len();

/// One table of names, as a shard without templates has it.
struct Names(NameTable);

impl Workers for Names {
    fn assign(&mut self, _: PoolId, raw: &[u8]) -> Result<Box<[u8]>, NameError> {
        Ok(self.0.assign(raw)?.into())
    }

    fn proven(&mut self, _: PoolId, _: &[u8]) -> u32 {
        1
    }

    fn release(&mut self, _: PoolId, raw: &[u8]) {
        self.0.release(raw);
    }
}

/// There is one pool.
struct OnePool;

impl Router for OnePool {
    fn choose(&mut self, _: &Asks<'_>) -> Option<PoolId> {
        Some(PoolId(1))
    }
}

/// A miner, its session and its pool.
pub struct Way {
    session: Session,
    shared: Shared,
    now: Moment,
    to_miner: Vec<u8>,
    to_pool: Vec<u8>,
    other_wire: Vec<u8>,
    /// The submit as the miner sends it, with its padding behind it.
    submit: Vec<u8>,
    /// The bytes of a receive.
    received: Vec<u8>,
    nonce: u32,
}

impl Way {
    /// A miner that has logged in and has a job of a full block; with `share_check` its shares are hashed here, too.
    pub fn new(share_check: bool) -> Self {
        let names = Box::new(Names(NameTable::new(NameRule::default(), 1_000)));
        let settings = SessionSettings { share_check, ..SessionSettings::default() };
        let submit = format!(
            "{{\"id\":4,\"method\":\"mining.submit\",\"params\":[\"{WORKER}\",\"6f3a\",\"00000007\",\"66252f80\",\"00000000\"]}}\n"
        );
        let mut way = Self {
            session: Session::new(Moment(0), ORIGIN),
            shared: Shared::new(settings, names, Box::new(OnePool)),
            now: Moment(1),
            to_miner: Vec::new(),
            to_pool: Vec::new(),
            other_wire: Vec::new(),
            submit: submit.into_bytes(),
            received: Vec::new(),
            nonce: 0,
        };
        way.log_in();
        way
    }

    fn log_in(&mut self) {
        let pool = Side::Pool(Wire::A);
        self.say(Side::Miner, "{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"bench/1.0\"]}\n");
        self.call(|session, cx| session.connected(Wire::A, cx));
        self.say(
            pool,
            "{\"id\":1000,\"result\":[[[\"mining.notify\",\"a\"]],\"f000000a\",4],\"error\":null}\n",
        );
        self.say(
            Side::Miner,
            &format!("{{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"{WORKER}\",\"x\"]}}\n"),
        );
        self.say(pool, "{\"id\":1001,\"result\":true,\"error\":null}\n");
        self.say(pool, "{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[16384]}\n");
        let branches = vec![format!("\"{}\"", "52".repeat(32)); 12].join(",");
        let (prevhash, coinb1, coinb2) = ("fd".repeat(32), "02".repeat(60), "ff".repeat(140));
        self.say(
            pool,
            &format!(
                "{{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"6f3a\",\"{prevhash}\",\"{coinb1}\",\
                 \"{coinb2}\",[{branches}],\"20000000\",\"17034219\",\"66252f80\",true]}}\n"
            ),
        );
        self.settle();
    }

    fn say(&mut self, side: Side, text: &str) {
        self.receive(text.len(), |received| received.copy_from_slice(text.as_bytes()));
        self.take(side, text.len());
    }

    /// Fills what a receive of so many bytes brought.
    fn receive(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) {
        self.received.resize(len + LINE_PADDING, 0);
        if let Some(received) = self.received.get_mut(..len) {
            fill(received);
        }
    }

    fn take(&mut self, side: Side, len: usize) {
        let mut received = std::mem::take(&mut self.received);
        self.call(|session, cx| session.receive(side, &mut received, len, cx));
        self.received = received;
    }

    fn call(&mut self, act: impl FnOnce(&mut Session, &mut Context<'_>)) {
        let mut cx = Context {
            now: self.now,
            to_miner: &mut self.to_miner,
            to_wires: [&mut self.to_pool, &mut self.other_wire],
            shared: &mut self.shared,
        };
        act(&mut self.session, &mut cx);
    }

    /// Lets go of what was sent and told.
    fn settle(&mut self) {
        self.to_miner.clear();
        self.to_pool.clear();
        self.shared.events.clear();
    }

    /// The miner sends its next share: [`Way::up`] takes it.
    pub fn next_submit(&mut self) {
        self.nonce = self.nonce.wrapping_add(1);
        let nonce = self.nonce.wrapping_mul(0x9e37_79b1);
        let at = self.submit.len() - NONCE_FROM_END;
        for (nth, digit) in self.submit.iter_mut().skip(at).take(NONCE_DIGITS).enumerate() {
            let shift = 4 * (NONCE_DIGITS - 1 - nth);
            *digit = b"0123456789abcdef"[(nonce >> shift) as usize & 0xf];
        }
        let submit = std::mem::take(&mut self.submit);
        self.receive(submit.len(), |received| received.copy_from_slice(&submit));
        self.submit = submit;
    }

    /// The session takes the miner's bytes.
    #[inline(never)]
    pub fn up(&mut self) {
        self.take(Side::Miner, self.submit.len());
    }

    /// The pool accepts what it was sent last: [`Way::down`] takes it. False if it was sent nothing.
    pub fn next_verdict(&mut self) -> bool {
        let rest = self.to_pool.get(BEFORE_ID..).unwrap_or_default();
        let id = rest.split(|byte| !byte.is_ascii_digit()).next().unwrap_or_default();
        let answer = [b"{\"id\":", id, b",\"result\":true,\"error\":null}\n"].concat();
        let is_known = !id.is_empty();
        self.receive(answer.len(), |received| received.copy_from_slice(&answer));
        is_known
    }

    /// The session takes the pool's bytes.
    #[inline(never)]
    pub fn down(&mut self) {
        self.take(Side::Pool(Wire::A), self.received.len() - LINE_PADDING);
    }

    /// What became of the share, if the miner was told of it; makes room for the next.
    pub fn closed(&mut self) -> Option<ClosedShare> {
        let share = self.shared.events.iter().find_map(|event| match event {
            Event::Share(share) => Some(*share),
            _ => None,
        });
        let is_told = self.to_miner == b"{\"id\":4,\"result\":true,\"error\":null}\n";
        self.settle();
        share.filter(|_| is_told)
    }

    /// A share up and its verdict down, so many times; how many were accepted.
    pub fn exchange(&mut self, count: u64) -> u64 {
        let mut accepted = 0;
        for _ in 0..count {
            self.next_submit();
            self.up();
            if self.next_verdict() {
                self.down();
            }
            accepted += u64::from(self.closed().is_some_and(|share| share.outcome == Outcome::Accepted));
        }
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_share_goes_up_as_it_is_and_comes_back_accepted() {
        for share_check in [false, true] {
            let mut way = Way::new(share_check);
            way.next_submit();
            way.up();
            let sent = String::from_utf8_lossy(&way.to_pool).into_owned();
            assert!(sent.ends_with("\"00000007\",\"66252f80\",\"9e3779b1\"]}\n"), "{sent}");
            assert!(way.next_verdict());
            way.down();
            let share = way.closed().unwrap();
            assert_eq!((share.outcome, !share.share_difficulty.is_nan()), (Outcome::Accepted, share_check));
            assert_eq!(way.exchange(1_000), 1_000);
            assert!(!way.next_verdict(), "nothing is on its way to the pool");
        }
    }
}
