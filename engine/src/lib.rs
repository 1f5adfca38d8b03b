//! Adit's engine: everything of the `adit` binary that touches the world outside.
//!
//! Protocol questions are answered by `adit-protocol`; this crate moves the bytes.

#![deny(unsafe_code)] // but for `ring`

mod admission;
mod affinity;
pub mod bans;
pub mod buckets;
pub mod cli;
mod clock;
pub mod config;
pub mod control;
pub mod counters;
mod curves;
mod descriptors;
pub mod dice;
mod figures;
mod history;
pub mod latency;
mod listen;
pub mod logging;
mod news;
pub mod pools;
pub mod process;
pub mod reload;
#[cfg(feature = "sentry")]
pub mod reporting;
mod resolver;
pub mod ring;
pub mod roster;
pub mod settings;
mod shard;
pub mod signals;
mod spread;
pub mod startup;
pub mod supervisor;
pub mod vitals;
mod worker_views;
pub mod workers;
