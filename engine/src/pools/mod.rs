//! Pools: which there are, which of them a miner gets, and how they are.
//!
//! ```text
//!  routes ──▶ group ──▶ plan ──▶ pool          breaker (one per pool) ──▶ state ──▶ plan
//!  (where a miner came in, how it is called)   (what sessions and probes report)
//! ```
//!
//! All of it pure: no sockets, no clock, no randomness, no locks. Whoever owns those tells these modules what happened, and
//! when, and asks them what follows. Not here: how a live miner is moved to the pool that was chosen.

pub mod breaker;
pub mod explain;
pub mod network;
pub mod pattern;
pub mod plan;
pub mod reload;
pub mod rendezvous;
pub mod routes;
pub mod settings;
pub mod split;
