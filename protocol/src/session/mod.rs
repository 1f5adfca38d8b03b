//! A session: the protocol state of one miner and its pool. Bytes and a moment go in, bytes and events come out.
//!
//! Calling order: [`Session::new`] at accept; [`Session::receive`] for bytes of either side; on [`Event::Dial`] the owner
//! connects and later calls [`Session::connected`], or [`Session::gone`] with the reason; [`Session::timeout`] when
//! [`Session::deadline`] has come; [`Session::stop`] to settle and end. After [`Event::Finish`] the owner flushes and closes;
//! further calls are harmless and do nothing.

use crate::event::{Event, Gone, Side};
use crate::moment::Moment;

/// What a session borrows from its shard for one call.
pub struct Context<'a> {
    /// The present.
    pub now: Moment,
    /// Bytes for the miner are appended here.
    pub to_miner: &'a mut Vec<u8>,
    /// Bytes for the pool are appended here; the owner keeps them until the connection stands.
    pub to_pool: &'a mut Vec<u8>,
    /// What all sessions of a shard share.
    pub shared: &'a mut Shared,
}

/// What all sessions of a shard share: parser, reassembly buffers, jobs, settings; and the events of the running call.
#[derive(Default)]
pub struct Shared {
    /// Filled by each call, drained by the owner.
    pub events: Vec<Event>,
}

/// Protocol state of one miner and its pool. A plain value: no descriptor, no pointer into its shard.
#[derive(Debug)]
pub struct Session {
    finished: bool,
}

impl Session {
    /// A session for a miner that just connected.
    pub fn new(_now: Moment, _shared: &Shared) -> Self {
        Self { finished: false }
    }

    /// Takes `bytes[..len]` as received from `side`; at least `LINE_PADDING` further writable bytes follow in `bytes`.
    pub fn receive(&mut self, _side: Side, _bytes: &mut [u8], _len: usize, _cx: &mut Context<'_>) {}

    /// The connection to the pool stands.
    pub fn connected(&mut self, _cx: &mut Context<'_>) {}

    /// Nothing more will come from `side`.
    pub fn gone(&mut self, _side: Side, _why: Gone, _cx: &mut Context<'_>) {}

    /// The next moment at which [`Session::timeout`] wants to be called, [`Moment::NEVER`] if none.
    pub fn deadline(&self) -> Moment {
        Moment::NEVER
    }

    /// Handles all deadlines that have come.
    pub fn timeout(&mut self, _cx: &mut Context<'_>) {}

    /// Adit stops: no new requests, pending submits settle up to `until`, then [`Event::Finish`].
    pub fn stop(&mut self, _until: Moment, _cx: &mut Context<'_>) {}

    /// Whether [`Event::Finish`] was told.
    pub fn is_finished(&self) -> bool {
        self.finished
    }
}
