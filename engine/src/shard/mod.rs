//! A shard: one thread that owns some of the connections and everything they need, and shares none of it.
//!
//! ```text
//!            ┌──────────────── turn (plane) ────────────────┐
//!  ring ───▶ │ accept · dial · exchange (session) · ending  │ ───▶ one send per direction
//!            └────────▲───────────────▲─────────────────────┘
//!                  mailbox          wheel
//! ```
//!
//! The thread is a glommio executor; the plane is its one task that never awaits a socket. It runs its own ring, lets
//! glommio have its turn now and then, and parks when nothing happens ([`run`]).

mod accept;
pub mod books;
mod dial;
pub mod drill;
mod ending;
mod events;
mod exchange;
pub mod fleet;
mod judging;
pub mod kept;
pub mod mailbox;
mod moves;
pub mod orders;
mod output;
mod pair;
mod placing;
mod plane;
mod redirects;
mod reload;
mod returns;
mod stock;
mod trail;
pub mod wheel;
mod wires;
pub mod workers;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use adit_protocol::moment::Moment;
use adit_protocol::pool::{PoolId, Router};
use adit_protocol::session::{SessionSettings, Shared};

use crate::admission::Admission;
use crate::clock::Clock;
use crate::counters::CounterWriter;
use crate::latency::Recorder;
use crate::news::desk::Desk;
use crate::pools::catalogue::Catalogue;
use crate::pools::counters::PoolCounterWriter;
use crate::pools::issued::Issued;
use crate::pools::network::Network;
use crate::pools::places::Places;
use crate::pools::reports::Reports;
use crate::pools::reserved::Reserved;
use crate::pools::view::PoolsView;
use crate::ring::eventfd::EventFd;
use crate::settings::Settings;
use crate::vitals::VitalsWriter;
use crate::workers::Registry;
use books::Books;
use kept::KeptUpstream;
use mailbox::Mailbox;
use plane::Plane;

/// How long the plane runs before glommio has its turn. Nothing that is prompt goes through glommio, and each turn of it
/// is a handful of calls into the kernel.
const RUN_US: u64 = 50_000;

/// A message to a shard.
#[derive(Debug)]
pub enum Mail {
    /// Take no new connections, let sessions settle up to then, close.
    Stop {
        /// When open requests are given up.
        until: Moment,
    },
    /// Close everything at once.
    StopNow,
    /// Let the sessions of these miners settle up to then, and close them.
    Dismiss {
        /// Whose sessions.
        whom: Whom,
        /// When open requests are given up.
        until: Moment,
    },
    /// Move the miners that an operator wants elsewhere, and answer what that means.
    Order(orders::Order),
    /// Take part in a failover drill.
    Drill(drill::DrillStep),
    /// Answer with a piece of the workers' figures.
    Figures(workers::Question),
    /// Pools stand otherwise than before: look after the sessions.
    PoolsStand,
    /// There are other pools than before, or other rules for them.
    PoolsAre(Arc<Catalogue>),
}

/// Some of the miners.
#[derive(Clone, Copy, Debug)]
pub enum Whom {
    /// Those that mine under the name with this key.
    Worker(u32),
    /// Those that come from this network.
    Network(Network),
    /// Those that mine at this pool.
    Pool(PoolId),
}

/// What a shard is made from. Everything in it may cross to the shard's thread; the ring is made there.
pub struct Seed {
    /// The settings of the process.
    pub settings: Arc<Settings>,
    /// Names across shards.
    pub workers: Arc<Registry>,
    /// The process's clock.
    pub clock: Clock,
    /// This shard's own listeners.
    pub listeners: Vec<TcpListener>,
    /// Watched by the ring.
    pub ring_eventfd: Arc<EventFd>,
    /// Slept on while parked.
    pub park_eventfd: Arc<EventFd>,
    /// Messages to this shard; made from the two above.
    pub mailbox: Arc<Mailbox<Mail>>,
    /// This shard's counters.
    pub counters: CounterWriter,
    /// This shard's latencies.
    pub latency: Recorder,
    /// Who may connect.
    pub admission: Admission,
    /// Which pools there are, and how they stand.
    pub pools: PoolsView,
    /// Connections that shards keep for miners' returns.
    pub reserved: Reserved<KeptUpstream>,
    /// Which pool issued which session id.
    pub issued: Issued,
    /// Where pools sent their clients.
    pub places: Places,
    /// Where it says what became of its connections to them.
    pub reports: Reports,
    /// What it counts per pool.
    pub pool_counters: PoolCounterWriter,
    /// The way into the ledger, if one is kept.
    pub books: Option<Books>,
    /// Signs of life.
    pub vitals: VitalsWriter,
    /// What operators are told as it happens.
    pub(crate) news: Desk,
}

/// Runs a shard on the present glommio executor until it was told to stop. `ready` is called once, with the news
/// whether it serves.
pub async fn run(seed: Seed, ready: impl FnOnce(io::Result<()>)) -> io::Result<()> {
    let park = seed.park_eventfd.clone();
    let made = Plane::new(seed).and_then(|plane| {
        plane.ring.register_eventfd(&park)?;
        Ok((plane, park.sleeper()?))
    });
    let (mut plane, sleeper) = match made {
        Ok(made) => made,
        Err(error) => {
            ready(Err(error));
            return Ok(());
        }
    };
    ready(Ok(()));
    while !plane.is_done() {
        plane.ring.mute_eventfd(true);
        if !plane.run_until_idle()? {
            // Leaves no task runnable, so that the executor looks after its own ring.
            park.signal();
            sleeper.sleep().await?;
        } else if plane.may_park()? {
            sleeper.sleep().await?;
            plane.mailbox.back();
        }
    }
    plane.latency.finish();
    if let Some(books) = &mut plane.books {
        books.tell_all(plane.now);
    }
    sleeper.close().await;
    Ok(())
}

impl Plane {
    /// Turns until it is glommio's turn, or nothing came from one ring of the timer to the next. Whether that is so.
    fn run_until_idle(&mut self) -> io::Result<bool> {
        let until = self.clock.now() + RUN_US;
        let mut has_worked = true;
        while !self.is_done() && self.now < until {
            let turned = self.turn(true)?;
            has_worked |= turned.has_worked;
            if turned.has_rung && !std::mem::take(&mut has_worked) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Prepares to park: from here on the registered eventfd tells of completions. False if there is something to do.
    fn may_park(&mut self) -> io::Result<bool> {
        self.ring_by(self.next_moment());
        self.ring.mute_eventfd(false);
        let worked = self.turn(false)?.has_worked || self.is_done() || self.ring.has_work() || self.is_busy();
        let stays = worked || self.mailbox.going_to_park();
        if stays {
            self.mailbox.back();
        }
        Ok(!stays)
    }
}

/// What the sessions of one shard share.
fn new_shared(
    settings: &Settings,
    workers: &Arc<Registry>,
    pools: &PoolsView,
    router: impl Router + 'static,
) -> Shared {
    let timeouts = &settings.timeouts;
    let session = SessionSettings {
        first_request_ms: timeouts.first_request_ms,
        subscribe_ms: timeouts.subscribe_ms,
        authorize_ms: timeouts.authorize_ms,
        miner_idle_ms: timeouts.miner_idle_ms,
        extranonce_reply_ms: SessionSettings::default().extranonce_reply_ms,
        linger_ms: settings.failover.linger_ms,
        settle_ms: timeouts.drain_ms,
        share_check: settings.share_check,
    };
    let mut shared = Shared::new(session, workers.door(), Box::new(router));
    shared.terms = pools.catalogue.terms();
    shared
}

#[cfg(test)]
mod tests;
