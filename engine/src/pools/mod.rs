//! Pools: which there are, which of them a miner gets, and how they are.
//!
//! ```text
//!  routes ──▶ group ──▶ plan ──▶ pool          breaker (one per pool) ──▶ state ──▶ plan
//!  (where a miner came in, how it is called)   (what sessions and probes report)
//! ```
//!
//! Pure: `network`, `pattern`, `settings`, `course` (where one miner should mine, and when it is moved there). They know no sockets, no clock, no randomness, no locks; whoever owns those
//! tells them what happened, and when, and asks them what follows. The rest runs: `catalogue` (which pools, under which
//! numbers), `standing` (how they stand, for all shards to read), `orders` (where operators want workers), `view` (all of
//! it, where one is chosen), `placement` and `learned` (how sessions ask, and names that came before), `reports` (what
//! shards say about them), `probe`, `counters`, `reserved`, `issued` (session ids), `places`
//! (where pools sent their clients). Not here: how a live miner is moved to the pool that was chosen
//! ([`crate::shard`]).

pub mod breaker;
pub mod catalogue;
mod checks;
pub mod control;
pub mod counters;
pub mod course;
pub mod drill;
pub mod explain;
mod hurry;
pub mod issued;
pub mod learned;
pub mod network;
pub mod orders;
pub mod pattern;
pub mod placement;
pub mod places;
pub mod plan;
pub mod probe;
pub mod reload;
pub mod rendezvous;
pub mod reports;
pub mod reserved;
pub mod routes;
pub mod settings;
pub mod split;
pub mod standing;
pub mod status;
pub mod view;
