//! Load that costs little: miners and a pool that do just enough to make round trips, each in a process of its own.
//!
//! What a proxy costs can only be seen when the peers around it cost no more than it does, so these read no JSON, keep
//! no record of single shares, and make one read and one write per round trip. They count what went wrong all the same:
//! a comparison in which an answer was missing, refused or astray is not worth its figures. Miners and pools that look
//! closely, with an audit of every share, are [`crate::sim_miner`] and [`crate::scripted_pool`].

mod crowd;
mod kernel;
mod link;
pub mod miners;
pub mod pool;
mod wire;
