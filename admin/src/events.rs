//! What happens, as it happens: the engine publishes events, operators follow them.
//!
//! ```text
//! shards, control thread ──publish──▶ bounded queue ──▶ streams thread ──▶ ring ──▶ each listener's own bounded queue
//! ```
//!
//! Publishing never blocks and never waits: when the queue is full the event is lost and counted. While nobody runs the
//! admin side, publishing costs one load. Events are for people and dashboards; what must not be lost is in the ledger.

mod filter;
mod kind;
mod publish;
mod ring;
mod sampler;

pub(crate) use filter::Filter;
pub use kind::{Event, Kind, ShareOutcome};
pub use publish::{Events, Inbox};
pub(crate) use ring::{Entry, Ring};
pub use sampler::ShareSampler;
