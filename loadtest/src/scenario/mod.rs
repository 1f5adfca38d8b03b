//! Scenarios: what miners, pool and strangers do to a real Adit, and what must hold meanwhile, as a TOML file.
//!
//! ```text
//!   Scenario (file) ──▶ run ──▶ Outcome: figures, objectives missed, audit
//! ```
//!
//! Miners and pool are the ones that look closely ([`crate::sim_miner`], [`crate::scripted_pool`]), and every scenario
//! ends with the audit of all shares. What Adit costs beside other proxies is measured in [`crate::compare`] instead.

mod file;
mod hostile;
mod outcome;
mod run;

pub use file::{Action, FleetPart, HostilePart, Objectives, PoolPart, ReadError, Scenario, Step};
pub use outcome::{Figures, Moment, Outcome};
pub use run::{RunError, run};
