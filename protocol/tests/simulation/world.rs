//! The clock, the network and the proxy between simulated miners and pools.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use adit_protocol::event::{CloseReason, Event, Gone, Side, Wire};
use adit_protocol::limits::LINE_PADDING;
use adit_protocol::moment::Moment;
use adit_protocol::session::{Context, Session, SessionSettings, Shared};

use crate::check::{self, Totals};
use crate::miner::{Leave, Miner};
use crate::pool::{Pool, Temper};
use crate::random::Random;

#[path = "../rig/mod.rs"]
mod rig;

/// What is broken on purpose, to see that the checker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    AcceptBeforeThePool,
    DropAnAnswer,
    AnswerTwice,
    LoseAnOutcome,
    MixUpPools,
    ReorderTheHandshake,
}

/// When all is over: longer than every deadline.
const END_MS: u64 = 200_000;

enum What {
    MinerSays { line: String, request: Option<usize> },
    ToSession { side: Side, bytes: Vec<u8>, request: Option<usize>, verdict: Option<bool> },
    PoolSays { line: String, verdict: Option<bool> },
    Connected,
    Gone(Side, Gone),
    Job,
}

struct Lane {
    session: Session,
    miner: Miner,
    pool: Pool,
    events: Vec<Event>,
    to_miner: Vec<u8>,
    to_pool: Vec<u8>,
    connected: bool,
    /// Until when each side's line is busy: bytes of one direction never overtake each other.
    busy: [u64; 2],
    side_gone: [bool; 2],
    /// Most bytes that come at once.
    piece_max: u64,
    accepts_delivered: usize,
    verdicts_delivered: usize,
}

pub struct World {
    random: Random,
    now_us: u64,
    shared: Shared,
    lanes: Vec<Lane>,
    tempers: Vec<Temper>,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    acts: Vec<Option<What>>,
    fault: Fault,
    fault_done: bool,
}

impl World {
    pub fn run(seed: u64, fault: Fault) -> Result<Totals, String> {
        let mut world = Self::new(seed, fault);
        while let Some(Reverse((at, act, lane))) = world.next_act() {
            world.now_us = at;
            match act {
                u64::MAX => world.call(lane, Session::timeout)?,
                act => {
                    if let Some(what) = world.acts[act as usize].take() {
                        world.act(lane, what)?;
                    }
                }
            }
        }
        let mut totals = Totals::default();
        for index in 0..world.lanes.len() {
            world.call(index, |session, cx| session.end(CloseReason::Stopping, cx.now, cx))?;
            world.call(index, Session::timeout)?;
            let lane = &world.lanes[index];
            let left = check::lane(&check::Lane {
                miner: &lane.miner,
                pool: &lane.pool,
                events: &lane.events,
                accepts_delivered: lane.accepts_delivered,
                verdicts_delivered: lane.verdicts_delivered,
            });
            totals.add(&left.map_err(|broken| format!("lane {index}: {broken}"))?);
        }
        if world.shared.job_bytes_count() > 0 {
            return Err("contents of jobs are kept although no session is left".to_owned());
        }
        Ok(totals)
    }

    fn new(seed: u64, fault: Fault) -> Self {
        let mut random = Random::new(seed);
        let count = 1 + random.below(5) as usize;
        let settings = SessionSettings { share_check: random.chance(50), ..SessionSettings::default() };
        let mut world = Self {
            now_us: 0,
            shared: rig::shared_with(settings, Some("POOLACCOUNT"), None),
            lanes: Vec::new(),
            tempers: Vec::new(),
            queue: BinaryHeap::new(),
            acts: Vec::new(),
            fault,
            fault_done: false,
            random: random.clone(),
        };
        for index in 0..count {
            let temper = Temper::new(&mut random);
            let mut miner = Miner::new(index, &mut random);
            let plan = miner.plan(&mut random);
            world.lanes.push(Lane {
                session: Session::new(Moment(0), rig::ORIGIN),
                miner,
                pool: Pool::new(index, temper),
                events: Vec::new(),
                to_miner: Vec::new(),
                to_pool: Vec::new(),
                connected: false,
                busy: [0; 2],
                side_gone: [false; 2],
                piece_max: *random.pick(&[1, 7, 100, 4_000, 100_000]),
                accepts_delivered: 0,
                verdicts_delivered: 0,
            });
            world.tempers.push(temper);
            world.schedule_plan(index, plan);
        }
        world.random = random;
        world
    }

    fn schedule_plan(&mut self, lane: usize, plan: Vec<(u64, String)>) {
        let mut at = 0;
        let mut request = 0;
        for (wait_ms, line) in plan {
            at += wait_ms * 1_000;
            // `pong` is no request and has no entry in the miner's list.
            let is_request = !line.contains("\"pong\"");
            self.push(at, lane, What::MinerSays { line, request: is_request.then_some(request) });
            request += usize::from(is_request);
        }
        let later = at + self.random.below(20_000_000);
        match self.lanes[lane].miner.leave {
            Leave::Stay => {}
            Leave::HalfClose => self.push(later, lane, What::Gone(Side::Miner, Gone::Closed)),
            Leave::Reset => self.push(at / 2, lane, What::Gone(Side::Miner, Gone::Broken)),
            Leave::MidLine => {
                let half = "{\"id\":7,\"method\":\"mining.submit\",\"par".to_owned();
                self.push(later, lane, What::MinerSays { line: half, request: None });
                self.push(later + 1_000_000, lane, What::Gone(Side::Miner, Gone::Broken));
            }
        }
        if self.tempers[lane].lives_ms != u64::MAX {
            let why = *self.random.pick(&[Gone::Closed, Gone::Broken]);
            self.push(self.tempers[lane].lives_ms * 1_000, lane, What::Gone(Side::Pool(Wire::A), why));
        }
        for _ in 0..self.random.below(6) {
            let at = self.random.below(60_000_000);
            self.push(at, lane, What::Job);
        }
    }

    fn push(&mut self, at: u64, lane: usize, what: What) {
        self.queue.push(Reverse((at.max(self.now_us), self.acts.len() as u64, lane)));
        self.acts.push(Some(what));
    }

    /// The next act or deadline, whichever is earlier.
    fn next_act(&mut self) -> Option<Reverse<(u64, u64, usize)>> {
        let deadline = |lane: &Lane| lane.session.deadline(&self.shared.settings).0;
        let timer = self.lanes.iter().enumerate().map(|(n, lane)| (deadline(lane), u64::MAX, n)).min();
        let next_at = self.queue.peek().map_or(u64::MAX, |Reverse((at, _, _))| *at);
        match timer {
            Some((at, act, lane)) if at < next_at && at <= END_MS * 1_000 => {
                Some(Reverse((at.max(self.now_us), act, lane)))
            }
            _ if next_at <= END_MS * 1_000 => self.queue.pop(),
            _ => None,
        }
    }

    fn act(&mut self, lane: usize, what: What) -> Result<(), String> {
        match what {
            What::MinerSays { line, request } => {
                if !self.lanes[lane].side_gone[0] {
                    let text = self.lanes[lane].miner.fill_in(&line);
                    self.transmit(lane, Side::Miner, text.as_bytes(), request, None);
                }
                Ok(())
            }
            What::ToSession { side, bytes, request, verdict } => {
                self.deliver(lane, side, &bytes, request, verdict)
            }
            What::PoolSays { line, verdict } => {
                if !self.lanes[lane].side_gone[1] {
                    self.transmit(lane, Side::Pool(Wire::A), line.as_bytes(), None, verdict);
                }
                Ok(())
            }
            What::Connected => {
                self.lanes[lane].connected = true;
                self.call(lane, |session, cx| session.connected(Wire::A, cx))?;
                self.flush(lane)
            }
            What::Gone(side, why) => {
                let index = usize::from(side == Side::Pool(Wire::A));
                if side == Side::Pool(Wire::A) && !self.lanes[lane].connected && why != Gone::DialFailed {
                    return Ok(());
                }
                self.lanes[lane].side_gone[index] = true;
                self.call(lane, |session, cx| session.gone(side, why, cx))
            }
            What::Job => {
                if self.lanes[lane].connected && !self.lanes[lane].side_gone[1] {
                    let notify = self.lanes[lane].pool.job(&mut self.random);
                    self.transmit(lane, Side::Pool(Wire::A), notify.as_bytes(), None, None);
                }
                Ok(())
            }
        }
    }

    fn deliver(
        &mut self,
        lane: usize,
        side: Side,
        bytes: &[u8],
        request: Option<usize>,
        verdict: Option<bool>,
    ) -> Result<(), String> {
        let there = &mut self.lanes[lane];
        if there.side_gone[usize::from(side == Side::Pool(Wire::A))] || there.session.is_finished() {
            return Ok(());
        }
        if let Some(request) = request {
            there.miner.requests[request].heard = true;
        }
        if let Some(accepted) = verdict {
            there.verdicts_delivered += 1;
            there.accepts_delivered += usize::from(accepted);
        }
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + LINE_PADDING, b'}');
        self.call(lane, |session, cx| session.receive(side, &mut buffer, bytes.len(), cx))
    }

    /// Sends bytes on their way to the session, split anywhere. The marks travel with the last piece.
    fn transmit(
        &mut self,
        lane: usize,
        side: Side,
        bytes: &[u8],
        request: Option<usize>,
        verdict: Option<bool>,
    ) {
        let most = self.lanes[lane].piece_max;
        let mut rest = bytes;
        while !rest.is_empty() {
            let len = if rest.len() < 400 || most > 1 { 1 + self.random.below(most) as usize } else { 400 };
            let (piece, tail) = rest.split_at(len.min(rest.len()));
            rest = tail;
            let delay_us = self.random.below(if most > 1_000 { 100 } else { 2_000 });
            let busy = &mut self.lanes[lane].busy[usize::from(side == Side::Pool(Wire::A))];
            *busy = (*busy).max(self.now_us) + delay_us;
            let at = *busy;
            let is_last = rest.is_empty();
            self.push(
                at,
                lane,
                What::ToSession {
                    side,
                    bytes: piece.to_vec(),
                    request: request.filter(|_| is_last),
                    verdict: verdict.filter(|_| is_last),
                },
            );
        }
    }

    fn call(&mut self, index: usize, act: impl FnOnce(&mut Session, &mut Context<'_>)) -> Result<(), String> {
        let lane = &mut self.lanes[index];
        let before = lane.to_miner.len();
        let mut cx = Context {
            now: Moment(self.now_us),
            to_miner: &mut lane.to_miner,
            to_wires: [&mut lane.to_pool, &mut Vec::new()],
            shared: &mut self.shared,
        };
        act(&mut lane.session, &mut cx);
        let lost = cx.shared.events.iter().find_map(|event| match event {
            Event::PoolLost { why, .. } => Some(*why),
            _ => None,
        });
        if let Some(why) = lost {
            lane.session.end(why, cx.now, &mut cx);
        }
        let mut events = std::mem::take(&mut self.shared.events);
        self.break_something(index, before, &mut events);
        for event in &events {
            if matches!(event, Event::Dial { .. }) {
                let unreachable = self.tempers[index].unreachable;
                let at = self.now_us + self.random.below(100_000);
                let what = if unreachable {
                    What::Gone(Side::Pool(Wire::A), Gone::DialFailed)
                } else {
                    What::Connected
                };
                self.push(at, index, what);
            }
        }
        self.lanes[index].events.extend(events);
        let lane = &mut self.lanes[index];
        let written = std::mem::take(&mut lane.to_miner);
        for line in String::from_utf8_lossy(&written).lines() {
            lane.miner.hear(line);
        }
        self.flush(index)
    }

    /// What the session wrote for the pool reaches the pool, once the connection stands.
    fn flush(&mut self, index: usize) -> Result<(), String> {
        let from = if self.fault == Fault::MixUpPools && index > 0 { index - 1 } else { index };
        if !self.lanes[index].connected || self.lanes[index].side_gone[1] {
            return Ok(());
        }
        let written = std::mem::take(&mut self.lanes[index].to_pool);
        for line in String::from_utf8_lossy(&written).lines() {
            let replies = self.lanes[from].pool.hear(line, &mut self.random)?;
            for reply in replies {
                let at_us = self.now_us + reply.after_ms * 1_000;
                let verdict = reply.verdict.map(|(_, accepted)| accepted);
                self.push(at_us, index, What::PoolSays { line: reply.line, verdict });
            }
        }
        Ok(())
    }

    /// The deliberately broken variants.
    fn break_something(&mut self, index: usize, before: usize, events: &mut Vec<Event>) {
        let lane = &mut self.lanes[index];
        let fresh = String::from_utf8_lossy(&lane.to_miner[before..]).into_owned();
        let replace = |lane: &mut Lane, text: &str| {
            lane.to_miner.truncate(before);
            lane.to_miner.extend_from_slice(text.as_bytes());
        };
        let is_answer = fresh.contains("\"result\":true") && !fresh.contains("method");
        match self.fault {
            Fault::AcceptBeforeThePool => replace(
                lane,
                &fresh.replace(
                    "\"result\":null,\"error\":[20,\"pool did not answer\",null]",
                    "\"result\":true,\"error\":null",
                ),
            ),
            Fault::DropAnAnswer if is_answer && !self.fault_done => {
                self.fault_done = true;
                replace(lane, "");
            }
            Fault::AnswerTwice if is_answer && !self.fault_done => {
                self.fault_done = true;
                replace(lane, &format!("{fresh}{fresh}"));
            }
            Fault::LoseAnOutcome if !self.fault_done => {
                let count = events.len();
                events.retain(|event| !matches!(event, Event::Share(_)));
                self.fault_done = events.len() != count;
            }
            Fault::ReorderTheHandshake => {
                let lines: Vec<&str> = fresh.split_inclusive('\n').rev().collect();
                replace(lane, &lines.concat());
            }
            _ => {}
        }
    }
}
