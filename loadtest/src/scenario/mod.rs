//! Scenarios: what miners, pool and strangers do to a real Adit, and what must hold meanwhile, as a TOML file.
//!
//! ```text
//!   Scenario (file) ──▶ run ──▶ Outcome: figures, objectives missed, audit
//! ```
//!
//! Miners and pools are the ones that look closely ([`crate::sim_miner`], [`crate::pool_process`]), and every scenario
//! ends with the audit of all shares: miners against pools, and the ledger against both. What Adit costs beside other
//! proxies is measured in [`crate::compare`] instead.

mod books;
mod breaks;
mod file;
mod fleet;
mod hostile;
mod live;
mod objectives;
mod outcome;
mod page;
mod plot;
mod run;
mod schedule;
mod steps;

pub use breaks::{BreakFigures, Failover};
pub use file::{AditPart, HostilePart, POOLS_MAX, ReadError, Scenario};
pub use fleet::{FleetPart, Ramp};
pub use live::{Live, Phase};
pub use objectives::Objectives;
pub use outcome::{Figures, Moment, Outcome};
pub use run::{Means, RunError, run};
pub use steps::{Action, Step};
