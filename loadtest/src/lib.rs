//! What Adit is tried with: simulated miners, scripted pools, and the audit that compares what both saw.
//!
//! ```text
//!   Fleet (sim_miner) ──▶ the built adit (process) ──▶ ScriptedPool
//!         │                                                │
//!         └────── FleetReport ──▶ audit ◀── PoolLog ───────┘
//! ```
//!
//! All of it uses plain threads and sockets and never links the engine: it drives the real binary from outside.
#![forbid(unsafe_code)]

pub mod audit;
pub mod compare;
pub mod cpu_miner;
pub mod disk;
mod hall;
pub mod json_line;
pub mod lean;
pub mod ledger_trouble;
mod line_socket;
pub mod peer;
pub mod pool_process;
pub mod practice_pool;
pub mod process;
pub mod proof;
pub mod replay;
pub mod scenario;
pub mod scripted_pool;
pub mod shapes;
pub mod share;
pub mod sim_miner;
mod timers;
pub mod transcript;
pub mod usage;
pub mod wait;
