//! The clock, the network and the proxy between simulated miners and pools.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

use adit_protocol::event::{CloseReason, Event, Gone, MoveReason, Side, Wire};
use adit_protocol::limits::LINE_PADDING;
use adit_protocol::moment::Moment;
use adit_protocol::pool::{Deadlines, PoolId, Terms};
use adit_protocol::session::{Context, Prepared, Session, SessionSettings, Shared};

use crate::check::{self, Totals};
use crate::faults::Fault;
use crate::homes::{ByName, Homes};
use crate::miner::{Leave, Miner};
use crate::owner::{ByTheirLooks, CountedWorkers};
use crate::pool::{Connection, Nature};
use crate::random::Random;

#[path = "../rig/mod.rs"]
mod rig;

/// When all is over: longer than every deadline.
const END_MS: u64 = 200_000;
/// Acts and deadlines of one run; usual ones have some ten thousand.
const ACTS_MAX: u64 = 2_000_000;
/// Logins that may fail in a row while there is no pool.
const TRIES_MAX: u32 = 5;

pub enum What {
    MinerSays { lane: usize, line: String, request: Option<usize> },
    FromMiner { lane: usize, bytes: Vec<u8>, request: Option<usize> },
    MinerGone { lane: usize, why: Gone },
    PoolSays { connection: usize, line: String, verdict: Option<bool> },
    FromPool { connection: usize, bytes: Vec<u8>, verdict: Option<bool> },
    Connected { connection: usize },
    PoolGone { connection: usize, why: Gone },
    Job { connection: usize },
    Killed { pool: usize },
    Torn { pool: usize },
    Says { pool: usize, line: &'static str },
    Move { lane: usize },
    Stock { lane: usize },
}

pub struct Lane {
    pub session: Session,
    pub miner: Miner,
    /// Numbers of the connections that its wires are.
    pub wires: [Option<usize>; 2],
    /// The connection that the miner mines on, as the session told.
    pub current: Option<usize>,
    /// What was current in the course of the running call.
    pub path: Vec<Option<usize>>,
    /// The connection whose next job told must be clean.
    pub wants_clean: Option<usize>,
    pub connected_once: bool,
    /// It has no miner: it makes a connection that is kept for any.
    pub is_stock: bool,
    /// Ids told to the miner instead of the session's, and the session's, where translation is broken on purpose.
    pub mistold: BTreeMap<String, String>,
    pub told_ids: Vec<String>,
    pub tries_left: u32,
    events: Vec<Event>,
    pub to_miner: Vec<u8>,
    to_wires: [Vec<u8>; 2],
    miner_busy_us: u64,
    miner_gone: bool,
    /// Most bytes that come at once.
    piece_max: u64,
    accepts_delivered: usize,
    verdicts_delivered: usize,
}

pub struct World {
    pub random: Random,
    pub now_us: u64,
    pub shared: Shared,
    pub lanes: Vec<Lane>,
    pub pools: Vec<Nature>,
    pub homes: Homes,
    pub connections: Vec<Connection>,
    pub kept: Vec<(usize, Box<Prepared>)>,
    pub adopted: usize,
    /// Those adopted by a miner that did not subscribe until then.
    pub ahead: usize,
    pub stocked: usize,
    renamed: usize,
    /// Connections that an outage after the first one broke, and lines that a reset cut in two.
    flapped: usize,
    torn: usize,
    name_uses: Rc<Cell<i64>>,
    queue: BinaryHeap<Reverse<(u64, usize)>>,
    acts: Vec<Option<What>>,
    pub fault: Fault,
    pub fault_done: bool,
}

impl World {
    pub fn run(seed: u64, fault: Fault) -> Result<Totals, String> {
        let mut world = Self::new(seed, fault);
        for acts in 0.. {
            let Some(next) = world.next() else { break };
            if acts > ACTS_MAX {
                return Err("a deadline that was handled comes again".to_owned());
            }
            match next {
                Next::Timeout(lane) => world.call(lane, Session::timeout)?,
                Next::Act(what) => world.act(what)?,
            }
        }
        world.end()
    }

    fn end(mut self) -> Result<Totals, String> {
        let mut totals = Totals {
            adopted: self.adopted,
            ahead: self.ahead,
            stocked: self.stocked,
            renamed: self.renamed,
            flapped: self.flapped,
            torn: self.torn,
            ..Totals::default()
        };
        for (_, prepared) in std::mem::take(&mut self.kept) {
            prepared.discard(&mut self.shared);
        }
        for index in 0..self.lanes.len() {
            self.call(index, |session, cx| session.end(CloseReason::Stopping, cx.now, cx))?;
            let lane = &self.lanes[index];
            let mut verdicts = BTreeMap::new();
            for connection in &self.connections {
                for (&nonce, &verdict) in &connection.verdicts {
                    if nonce >> 16 == index as u32 + 1 && verdicts.insert(nonce, verdict).is_some() {
                        return Err(format!("share {nonce:08x} came to two pools"));
                    }
                }
            }
            let left = check::lane(&check::Lane {
                miner: &lane.miner,
                verdicts: &verdicts,
                events: &lane.events,
                accepts_delivered: lane.accepts_delivered,
                verdicts_delivered: lane.verdicts_delivered,
            });
            totals.add(&left.map_err(|broken| format!("lane {index}: {broken}"))?);
        }
        if self.shared.job_bytes_count() > 0 {
            return Err("contents of jobs are kept although no session is left".to_owned());
        }
        match self.name_uses.get() {
            0 => Ok(totals),
            uses => Err(format!("names are used {uses} times although no session is left")),
        }
    }

    fn new(seed: u64, fault: Fault) -> Self {
        let mut random = Random::new(seed);
        let settings = SessionSettings { share_check: random.chance(50), ..SessionSettings::default() };
        let mut shared = rig::shared_with(settings, Some("POOLACCOUNT"), None);
        let pools: Vec<Nature> = (0..=random.below(3)).map(|_| Nature::new(&mut random)).collect();
        for number in 1..=pools.len() as u16 {
            let silence_ms = *random.pick(&[120_000, 20_000]);
            let deadlines = Deadlines { silence_ms, first_job_ms: 10_000, ..Deadlines::default() };
            shared.terms.set(PoolId(number), Terms { deadlines, ..Terms::default() });
        }
        let lanes_count = 1 + random.below(5) as usize;
        let homes = Homes::new(lanes_count, pools.len(), &mut random);
        let is_careless = fault == Fault::TellNamesToAnyPool;
        shared.router = Box::new(ByName { random: random.clone(), homes: homes.clone(), is_careless });
        shared.session_ids = Box::new(ByTheirLooks);
        let name_uses = Rc::default();
        let no_workers: Box<dyn adit_protocol::workers::Workers> = Box::new(rig::TestWorkers::empty());
        let names = std::mem::replace(&mut shared.workers, no_workers);
        shared.workers = Box::new(CountedWorkers { names, uses: Rc::clone(&name_uses) });
        let mut world = Self {
            now_us: 0,
            shared,
            lanes: Vec::new(),
            pools,
            homes,
            connections: Vec::new(),
            kept: Vec::new(),
            adopted: 0,
            ahead: 0,
            stocked: 0,
            renamed: 0,
            flapped: 0,
            torn: 0,
            name_uses,
            queue: BinaryHeap::new(),
            acts: Vec::new(),
            fault,
            fault_done: false,
            random,
        };
        world.schedule_pools();
        for index in 0..lanes_count {
            let (starts_us, plan) = world.add_lane(index);
            world.schedule_plan(index, starts_us, plan);
        }
        for index in lanes_count..lanes_count + world.random.below(4) as usize {
            let (starts_us, _) = world.add_lane(index);
            world.lanes[index].is_stock = true;
            world.push(starts_us, What::Stock { lane: index });
        }
        world
    }

    /// A session, when it starts, and what its miner has in mind.
    fn add_lane(&mut self, index: usize) -> (u64, Vec<(u64, String)>) {
        let mut miner = Miner::new(index, &mut self.random);
        let plan = miner.plan(&mut self.random);
        let starts_us = if self.random.chance(30) { 0 } else { self.random.below(40_000_000) };
        self.lanes.push(Lane {
            session: Session::new(Moment(starts_us), rig::ORIGIN),
            miner,
            wires: [None; 2],
            current: None,
            path: Vec::new(),
            wants_clean: None,
            connected_once: false,
            is_stock: false,
            mistold: BTreeMap::new(),
            told_ids: Vec::new(),
            tries_left: TRIES_MAX,
            events: Vec::new(),
            to_miner: Vec::new(),
            to_wires: Default::default(),
            miner_busy_us: 0,
            miner_gone: false,
            piece_max: *self.random.pick(&[1, 7, 100, 4_000, 100_000]),
            accepts_delivered: 0,
            verdicts_delivered: 0,
        });
        (starts_us, plan)
    }

    fn schedule_pools(&mut self) {
        for pool in 0..self.pools.len() {
            let nature = self.pools[pool].clone();
            for (from_ms, _) in nature.outages_ms {
                self.push(from_ms * 1_000, What::Killed { pool });
            }
            if let Some(at) = nature.torn_ms {
                self.push(at * 1_000, What::Torn { pool });
            }
            let noise = "\u{1}noise\n\u{1}noise\n\u{1}noise\n\u{1}noise\n\u{1}noise\n\u{1}noise\n\u{1}noise\n\u{1}noise\n\u{1}noise\n";
            let reconnect = "{\"id\":null,\"method\":\"client.reconnect\",\"params\":[]}\n";
            for (at, line) in [(nature.garbage_ms, noise), (nature.reconnect_ms, reconnect)] {
                if let Some(at) = at {
                    self.push(at * 1_000, What::Says { pool, line });
                }
            }
        }
    }

    fn schedule_plan(&mut self, lane: usize, starts_us: u64, plan: Vec<(u64, String)>) {
        let mut at = starts_us;
        let mut request = 0;
        for (wait_ms, line) in plan {
            at += wait_ms * 1_000;
            let is_request = !line.contains("\"pong\"");
            self.push(at, What::MinerSays { lane, line, request: is_request.then_some(request) });
            request += usize::from(is_request);
        }
        let later = at + self.random.below(20_000_000);
        match self.lanes[lane].miner.leave {
            Leave::Stay => {}
            Leave::HalfClose => self.push(later, What::MinerGone { lane, why: Gone::Closed }),
            Leave::Reset => self.push(at / 2, What::MinerGone { lane, why: Gone::Broken }),
            Leave::MidLine => {
                let half = "{\"id\":7,\"method\":\"mining.submit\",\"par".to_owned();
                self.push(later, What::MinerSays { lane, line: half, request: None });
                self.push(later + 1_000_000, What::MinerGone { lane, why: Gone::Broken });
            }
        }
        for _ in 0..self.random.below(4) {
            let at = starts_us + self.random.below(60_000_000);
            self.push(at, What::Move { lane });
        }
    }

    pub fn push(&mut self, at: u64, what: What) {
        self.queue.push(Reverse((at.max(self.now_us), self.acts.len())));
        self.acts.push(Some(what));
    }

    pub fn now(&self) -> Moment {
        Moment(self.now_us)
    }

    /// The next act or deadline, whichever is earlier; sets the clock.
    fn next(&mut self) -> Option<Next> {
        let deadline = |lane: &Lane| lane.session.deadline(&self.shared.settings).0;
        let timer = self.lanes.iter().enumerate().map(|(n, lane)| (deadline(lane), n)).min();
        let act_at = self.queue.peek().map_or(u64::MAX, |Reverse((at, _))| *at);
        let (timer_at, lane) = timer.unwrap_or((u64::MAX, 0));
        if timer_at.min(act_at) > END_MS * 1_000 {
            return None;
        }
        self.now_us = self.now_us.max(timer_at.min(act_at));
        if timer_at < act_at {
            return Some(Next::Timeout(lane));
        }
        let Reverse((_, act)) = self.queue.pop()?;
        self.acts[act].take().map(Next::Act)
    }

    fn act(&mut self, what: What) -> Result<(), String> {
        match what {
            What::MinerSays { lane, line, request } => {
                if !self.lanes[lane].miner_gone {
                    let text = self.lanes[lane].miner.fill_in(&line, &mut self.random);
                    let text = self.mistranslated(lane, text);
                    self.transmit_from_miner(lane, text.as_bytes(), request);
                }
            }
            What::FromMiner { lane, bytes, request } => {
                let there = &mut self.lanes[lane];
                if there.miner_gone || there.session.is_finished() {
                    return Ok(());
                }
                if let Some(request) = request {
                    there.miner.requests[request].heard = true;
                }
                return self.receive(lane, Side::Miner, &bytes);
            }
            What::MinerGone { lane, why } => {
                self.lanes[lane].miner_gone = true;
                return self.call(lane, |session, cx| session.gone(Side::Miner, why, cx));
            }
            What::PoolSays { connection, line, verdict } => {
                self.transmit_from_pool(connection, line.as_bytes(), verdict);
            }
            What::FromPool { connection, bytes, verdict } => {
                return self.deliver(connection, &bytes, verdict);
            }
            What::Connected { connection } => {
                self.connections[connection].stands = true;
                let Some((lane, wire)) = self.place(connection) else { return Ok(()) };
                self.call(lane, |session, cx| session.connected(wire, cx))?;
                let waiting = std::mem::take(&mut self.connections[connection].waiting);
                return self.hand_to_pool(connection, &waiting);
            }
            What::PoolGone { connection, why } => return self.pool_gone(connection, why),
            What::Job { connection } => {
                let there = &mut self.connections[connection];
                if there.stands && !there.gone && !self.pools[there.pool].is_frozen(self.now_us / 1_000) {
                    let notify = there.job(&mut self.random);
                    self.transmit_from_pool(connection, notify.as_bytes(), None);
                }
            }
            What::Killed { pool } => {
                let first_ms = self.pools[pool].outages_ms.first().map_or(0, |&(from_ms, _)| from_ms);
                let is_again = self.now_us > first_ms * 1_000;
                for connection in self.connections_of(pool) {
                    self.flapped += usize::from(is_again);
                    self.pool_gone(connection, Gone::Broken)?;
                }
            }
            What::Torn { pool } => {
                for connection in self.connections_of(pool) {
                    let job = self.connections[connection].job(&mut self.random);
                    let cut_at = 1 + self.random.below(job.len() as u64 - 2) as usize;
                    self.transmit_from_pool(connection, &job.as_bytes()[..cut_at], None);
                    let at = self.connections[connection].busy_us;
                    self.push(at, What::PoolGone { connection, why: Gone::Broken });
                    self.torn += 1;
                }
            }
            What::Says { pool, line } => {
                for connection in self.connections_of(pool) {
                    self.transmit_from_pool(connection, line.as_bytes(), None);
                }
            }
            What::Move { lane } => return self.prepare_any(lane, MoveReason::Operator),
            What::Stock { lane } => return self.prepare_any(lane, MoveReason::Stock),
        }
        Ok(())
    }

    fn connections_of(&self, pool: usize) -> Vec<usize> {
        let of = |connection: &&Connection| connection.pool == pool && connection.stands && !connection.gone;
        self.connections.iter().filter(of).map(|connection| connection.number).collect()
    }

    /// Which lane and wire a connection is.
    fn place(&self, connection: usize) -> Option<(usize, Wire)> {
        let lane = self.connections[connection].lane?;
        let wire =
            Wire::ALL.into_iter().find(|wire| self.lanes[lane].wires[wire.index()] == Some(connection))?;
        (!self.connections[connection].gone).then_some((lane, wire))
    }

    fn pool_gone(&mut self, connection: usize, why: Gone) -> Result<(), String> {
        let stands = self.connections[connection].stands;
        if !stands && why != Gone::DialFailed {
            return Ok(());
        }
        let place = self.place(connection);
        self.connections[connection].gone = true;
        if let Some(at) = self.kept.iter().position(|(number, _)| *number == connection) {
            self.kept.swap_remove(at).1.discard(&mut self.shared);
        }
        match place {
            Some((lane, wire)) => self.call(lane, |session, cx| session.gone(Side::Pool(wire), why, cx)),
            None => Ok(()),
        }
    }

    pub fn deliver(&mut self, connection: usize, bytes: &[u8], verdict: Option<bool>) -> Result<(), String> {
        let there = &mut self.connections[connection];
        if there.lane.is_none() && !there.gone {
            there.backlog.push(String::from_utf8_lossy(bytes).into_owned());
            return Ok(());
        }
        let Some((lane, wire)) = self.place(connection) else { return Ok(()) };
        let lane_there = &mut self.lanes[lane];
        if lane_there.session.is_finished() {
            return Ok(());
        }
        if let Some(accepted) = verdict {
            lane_there.verdicts_delivered += 1;
            lane_there.accepts_delivered += usize::from(accepted);
        }
        self.receive(lane, Side::Pool(wire), bytes)
    }

    fn receive(&mut self, lane: usize, side: Side, bytes: &[u8]) -> Result<(), String> {
        let mut buffer = bytes.to_vec();
        buffer.resize(bytes.len() + LINE_PADDING, b'}');
        let due = |world: &Self| world.lanes[lane].session.deadline(&world.shared.settings);
        let before = due(self);
        self.call(lane, |session, cx| session.receive(side, &mut buffer, bytes.len(), cx))?;
        let session = &self.lanes[lane].session;
        if !session.may_be_due_before(before) && due(self) < before {
            return Err(format!("the deadline came nearer unnoticed: {before:?}, then {:?}", due(self)));
        }
        Ok(())
    }

    /// Cuts bytes anywhere, and says for each piece how long it takes and whether it is the last one.
    fn cut(&mut self, most: u64, bytes: &[u8]) -> Vec<(u64, Vec<u8>, bool)> {
        let mut rest = bytes;
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let len = if rest.len() < 400 || most > 1 { 1 + self.random.below(most) as usize } else { 400 };
            let (piece, tail) = rest.split_at(len.min(rest.len()));
            rest = tail;
            let delay_us = self.random.below(if most > 1_000 { 100 } else { 2_000 });
            pieces.push((delay_us, piece.to_vec(), rest.is_empty()));
        }
        pieces
    }

    fn transmit_from_miner(&mut self, lane: usize, bytes: &[u8], request: Option<usize>) {
        for (delay_us, bytes, is_last) in self.cut(self.lanes[lane].piece_max, bytes) {
            let busy_us = &mut self.lanes[lane].miner_busy_us;
            *busy_us = (*busy_us).max(self.now_us) + delay_us;
            let at = *busy_us;
            self.push(at, What::FromMiner { lane, bytes, request: request.filter(|_| is_last) });
        }
    }

    /// The marks travel with the last piece.
    fn transmit_from_pool(&mut self, connection: usize, bytes: &[u8], verdict: Option<bool>) {
        let there = &self.connections[connection];
        if there.gone {
            return;
        }
        let most = there.lane.map_or(4_000, |lane| self.lanes[lane].piece_max);
        for (delay_us, bytes, is_last) in self.cut(most, bytes) {
            let busy_us = &mut self.connections[connection].busy_us;
            *busy_us = (*busy_us).max(self.now_us) + delay_us;
            let at = *busy_us;
            self.push(at, What::FromPool { connection, bytes, verdict: verdict.filter(|_| is_last) });
        }
    }

    pub fn call(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Session, &mut Context<'_>),
    ) -> Result<(), String> {
        let lane = &mut self.lanes[index];
        let before = lane.current;
        lane.path = vec![before];
        let mut cx = Context {
            now: Moment(self.now_us),
            to_miner: &mut lane.to_miner,
            to_wires: lane.to_wires.each_mut(),
            shared: &mut self.shared,
        };
        act(&mut lane.session, &mut cx);
        let mut events = std::mem::take(&mut self.shared.events);
        for event in &events {
            self.note(index, event)?;
            let lane = &mut self.lanes[index];
            lane.path.push(lane.current);
        }
        self.break_something(index, before, &mut events);
        self.lanes[index].events.extend(&events);
        self.hand_to_miner(index)?;
        for wire in Wire::ALL {
            let bytes = std::mem::take(&mut self.lanes[index].to_wires[wire.index()]);
            if let Some(connection) = self.lanes[index].wires[wire.index()] {
                self.hand_to_pool(connection, &bytes)?;
            }
        }
        for event in events {
            self.decide(index, &event)?;
        }
        Ok(())
    }

    /// The miner hears what the session wrote. Its jobs are of what was current in the course of the call, in that order.
    fn hand_to_miner(&mut self, index: usize) -> Result<(), String> {
        let lane = &mut self.lanes[index];
        let written = std::mem::take(&mut lane.to_miner);
        for line in String::from_utf8_lossy(&written).lines() {
            lane.miner.hear(line);
            self.renamed += usize::from(line.contains("\"mining.notify\",\"params\":[\"z"));
        }
        let mut at = 0;
        for (tag, clean) in std::mem::take(&mut lane.miner.told) {
            let connection = usize::from_str_radix(&tag[..8], 16).ok();
            let Some(further) = lane.path[at..].iter().position(|current| *current == connection) else {
                return Err(format!("a job of connection {connection:?} on the way {:?}", lane.path));
            };
            at += further;
            if lane.wants_clean == connection {
                lane.wants_clean = None;
                if !clean {
                    return Err("the first job of a pool was not clean".to_owned());
                }
            }
        }
        Ok(())
    }

    /// What the session wrote for a pool reaches it, once the connection stands.
    fn hand_to_pool(&mut self, connection: usize, bytes: &[u8]) -> Result<(), String> {
        let there = &mut self.connections[connection];
        if there.gone {
            return Ok(());
        }
        if !there.stands {
            there.waiting.extend_from_slice(bytes);
            return Ok(());
        }
        let Some(lane) = there.lane else { return Ok(()) };
        let now_ms = self.now_us / 1_000;
        for line in String::from_utf8_lossy(bytes).lines() {
            let target = self.misdirected(lane, connection, line);
            let shares = &self.lanes[lane].miner.shares;
            self.check_home(target, line)?;
            let replies = self.connections[target].hear(line, shares, now_ms, &mut self.random)?;
            for reply in replies {
                let at_us = self.now_us + reply.after_ms * 1_000;
                let verdict = reply.verdict.map(|(_, accepted)| accepted);
                self.push(at_us, What::PoolSays { connection, line: reply.line, verdict });
            }
        }
        Ok(())
    }
}

impl World {
    /// No pool is ever told a name that does not belong to it.
    fn check_home(&self, connection: usize, line: &str) -> Result<(), String> {
        let pool = PoolId(self.connections[connection].pool as u16 + 1);
        let name = line.split('"').find(|text| text.contains("POOLACCOUNT."));
        if line.contains("mining.authorize") && !self.homes.is_home(name, pool) {
            return Err(format!("{name:?} was told to pool {}", pool.0));
        }
        Ok(())
    }
}

enum Next {
    Timeout(usize),
    Act(What),
}
