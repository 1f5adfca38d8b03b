//! The owner of the sessions: connects, decides what becomes of a session without a pool, moves miners for no reason, and
//! keeps prepared connections for others. It decides by lot; whatever it decides, the promises hold.

use std::cell::Cell;
use std::rc::Rc;

use adit_protocol::event::{CloseReason, Event, Gone, MoveReason, Wire};
use adit_protocol::names::NameError;
use adit_protocol::pool::PoolId;
use adit_protocol::session_ids::SessionIds;
use adit_protocol::workers::Workers;

use crate::miner::session_id;
use crate::pool::Connection;
use crate::world::{What, World};

/// Knows which pool issued an id by the id itself.
pub struct ByTheirLooks;

impl SessionIds for ByTheirLooks {
    fn issued(&mut self, _: &[u8], _: PoolId) {}

    fn may_resume(&mut self, id: &[u8], pool: PoolId) -> bool {
        let issuer = format!("\"{}", session_id(usize::from(pool.0) - 1, ""));
        id.starts_with(issuer.as_bytes())
    }
}

/// Counts uses of names, so that one that is not given back is noticed.
pub struct CountedWorkers {
    pub names: Box<dyn Workers>,
    pub uses: Rc<Cell<i64>>,
}

impl Workers for CountedWorkers {
    fn assign(&mut self, pool: PoolId, raw: &[u8]) -> Result<Box<[u8]>, NameError> {
        let name = self.names.assign(pool, raw)?;
        self.uses.set(self.uses.get() + 1);
        Ok(name)
    }

    fn proven(&mut self, pool: PoolId, raw: &[u8]) -> u32 {
        self.names.proven(pool, raw)
    }

    fn release(&mut self, pool: PoolId, raw: &[u8]) {
        self.uses.set(self.uses.get() - 1);
        self.names.release(pool, raw);
    }
}

impl World {
    /// Keeps the map of connections true. `Err` if the session says what cannot be.
    pub fn note(&mut self, lane: usize, event: &Event) -> Result<(), String> {
        match *event {
            Event::Dial { wire, pool } => {
                self.connect(lane, wire, pool)?;
                self.lanes[lane].current = self.lanes[lane].wires[wire.index()];
            }
            Event::Switched { wire, .. } => {
                let there = &mut self.lanes[lane];
                there.current = there.wires[wire.index()];
                there.wants_clean = there.current;
                if there.current.is_none() {
                    return Err("switched to a wire without a connection".to_owned());
                }
            }
            Event::PoolLost { wire, .. } | Event::Misplaced { left: Some(wire), .. } => {
                self.lanes[lane].current = None;
                self.close(lane, wire)?;
            }
            Event::LoginFailed { wire, .. } | Event::WireDone { wire } => self.close(lane, wire)?,
            _ => {}
        }
        Ok(())
    }

    /// Answers what a session says.
    pub fn decide(&mut self, lane: usize, event: &Event) -> Result<(), String> {
        let now = self.now();
        match *event {
            Event::PoolLost { why, .. } => match self.random.below(100) {
                0..75 => self.prepare_any(lane, MoveReason::PoolLost)?,
                75..90 => {
                    let wait_ms = self.random.below(30_000);
                    self.call(lane, |session, _| session.wait_for_pool(now.plus_ms(wait_ms)))?;
                    let at = self.now_us + self.random.below(20_000_000);
                    self.push(at, What::Move { lane });
                }
                _ => self.call(lane, |session, cx| session.end(why, cx.now, cx))?,
            },
            Event::LoginFailed { .. } if self.lanes[lane].current.is_none() => {
                self.lanes[lane].tries_left -= 1;
                if self.lanes[lane].tries_left == 0 {
                    return self.call(lane, |session, cx| session.end(CloseReason::NoPool, cx.now, cx));
                }
                self.call(lane, |session, _| session.wait_for_pool(now.plus_ms(30_000)))?;
                let at = self.now_us + self.random.below(3_000_000);
                self.push(at, What::Move { lane });
            }
            Event::Prepared { wire, .. } if self.lanes[lane].is_stock => {
                self.stocked += 1;
                self.keep(lane, wire)?;
            }
            Event::Prepared { wire, can_switch: false, .. } => match self.random.below(100) {
                0..75 => self.keep(lane, wire)?,
                75..85 => self.stay(lane, wire)?,
                _ => {}
            },
            Event::Arrived { pool } => {
                if self.random.chance(80) {
                    self.give_kept(lane)?;
                }
                if self.lanes[lane].wires == [None; 2] {
                    self.prepare(lane, pool, MoveReason::PoolLost)?;
                }
            }
            Event::Subscribing if self.random.chance(60) => self.give_kept(lane)?,
            // A lazy owner's miner is answered at the deadline.
            Event::Misplaced { pool, .. } if self.random.chance(90) => {
                self.prepare(lane, pool, MoveReason::Placement)?;
            }
            Event::Reconnect { pool, .. } => {
                let mut told = None;
                self.call(lane, |session, _| told = session.take_reconnect())?;
                told.ok_or("nowhere to reconnect to")?;
                self.prepare(lane, pool, MoveReason::Reconnect)?;
            }
            _ => {}
        }
        Ok(())
    }

    pub fn prepare_any(&mut self, lane: usize, why: MoveReason) -> Result<(), String> {
        let pool = PoolId(1 + self.random.below(self.pools.len() as u64) as u16);
        self.prepare(lane, pool, why)
    }

    /// Prepares this pool, or another one if the miner's name is known and does not belong there.
    fn prepare(&mut self, lane: usize, pool: PoolId, why: MoveReason) -> Result<(), String> {
        let name = self.name_of(lane);
        let pool = self.homes.or_home(name.as_deref(), pool, &mut self.random);
        let Some(wire) = self.lanes[lane].session.spare_wire() else { return Ok(()) };
        let mut begun = false;
        self.call(lane, |session, cx| begun = session.prepare(wire, pool, why, cx))?;
        if begun { self.connect(lane, wire, pool) } else { Ok(()) }
    }

    /// The name by which a miner is placed, once it is known.
    fn name_of(&self, lane: usize) -> Option<String> {
        let asks = self.lanes[lane].session.asks();
        asks.name.map(|name| String::from_utf8_lossy(name).into_owned())
    }

    /// The prepared connection is kept for another session, and this one ends.
    fn keep(&mut self, lane: usize, wire: Wire) -> Result<(), String> {
        let mut prepared = None;
        self.call(lane, |session, cx| prepared = session.detach(wire, cx))?;
        let Some(prepared) = prepared else { return Ok(()) };
        let number = self.lanes[lane].wires[wire.index()].take().ok_or("a wire without a connection")?;
        self.connections[number].lane = None;
        self.kept.push((number, prepared));
        let wait_ms = self.random.below(3_000);
        self.call(lane, |session, cx| session.end(CloseReason::PoolClosed, cx.now.plus_ms(wait_ms), cx))
    }

    /// The miner stays where it is, and what was prepared for it is closed.
    fn stay(&mut self, lane: usize, wire: Wire) -> Result<(), String> {
        let mut prepared = None;
        self.call(lane, |session, cx| prepared = session.detach(wire, cx))?;
        if let Some(prepared) = prepared {
            prepared.discard(&mut self.shared);
            self.close(lane, wire)?;
        }
        Ok(())
    }

    fn give_kept(&mut self, lane: usize) -> Result<(), String> {
        let (Some(wire), false) = (self.lanes[lane].session.spare_wire(), self.kept.is_empty()) else {
            return Ok(());
        };
        if self.lanes[lane].wires[wire.index()].is_some() {
            return Ok(());
        }
        let at = self.random.below(self.kept.len() as u64) as usize;
        if !self.homes.is_home(self.name_of(lane).as_deref(), self.kept[at].1.pool()) {
            return Ok(());
        }
        let (number, prepared) = self.kept.swap_remove(at);
        self.lanes[lane].wires[wire.index()] = Some(number);
        self.connections[number].lane = Some(lane);
        let mut left = None;
        self.call(lane, |session, cx| left = session.adopt(wire, prepared, MoveReason::Kept, cx).err())?;
        if let Some(prepared) = left {
            self.lanes[lane].wires[wire.index()] = None;
            self.connections[number].lane = None;
            self.kept.push((number, prepared));
            return Ok(());
        }
        self.adopted += 1;
        self.ahead += usize::from(self.lanes[lane].current.is_none());
        self.lanes[lane].connected_once = true;
        // At once: what is still on its way is behind it.
        for piece in std::mem::take(&mut self.connections[number].backlog) {
            self.deliver(number, piece.as_bytes(), None)?;
        }
        Ok(())
    }

    fn connect(&mut self, lane: usize, wire: Wire, pool: PoolId) -> Result<(), String> {
        let pool = usize::from(pool.0) - 1;
        let number = self.connections.len();
        let nature = self.pools[pool].clone();
        let (lives_ms, away) = (nature.lives_ms, nature.is_away(self.now_us / 1_000));
        let unreachable = away || self.random.chance(nature.unreachable_percent);
        let is_first = std::mem::replace(&mut self.lanes[lane].connected_once, true);
        self.connections.push(Connection::new(number, pool, lane, !is_first, nature));
        let place = &mut self.lanes[lane].wires[wire.index()];
        if place.replace(number).is_some() {
            return Err("a wire was given out twice".to_owned());
        }
        let at = self.now_us + self.random.below(100_000);
        if unreachable {
            self.push(at, What::PoolGone { connection: number, why: Gone::DialFailed });
            return Ok(());
        }
        self.push(at, What::Connected { connection: number });
        if lives_ms != u64::MAX {
            let why = *self.random.pick(&[Gone::Closed, Gone::Broken]);
            self.push(at + lives_ms * 1_000, What::PoolGone { connection: number, why });
        }
        // Some pools tell more jobs than are remembered, and those soon.
        let (jobs, within_us) = if self.random.chance(40) {
            (20 + self.random.below(40), *self.random.pick(&[2_000_000, 60_000_000]))
        } else {
            (self.random.below(8), 60_000_000)
        };
        for _ in 0..jobs {
            let at = at + self.random.below(within_us);
            self.push(at, What::Job { connection: number });
        }
        Ok(())
    }

    fn close(&mut self, lane: usize, wire: Wire) -> Result<(), String> {
        let number = self.lanes[lane].wires[wire.index()].take();
        let number = number.ok_or("the end of a connection that is none")?;
        self.connections[number].gone = true;
        Ok(())
    }
}
