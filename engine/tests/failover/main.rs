//! Pools fail, miners keep hashing: 200 miners, half of them with `set_extranonce`, and two pools in processes of their own
//! that are killed, frozen and made to misbehave. One file per fault.
//!
//! Whatever happens, every submit gets one answer, none is shown accepted that no pool accepted, none reaches a pool whose
//! work it is not, and the ledger has every share: [`support::Scene::end`] holds all books against each other.
//! Each fault is here on the real program, and in a seeded simulation:
//!
//! | fault | here | of the session (`protocol/tests/simulation`), of pools (`engine/src/pools`) |
//! |---|---|---|
//! | killed: the process is gone | `killed`, `kept` | `Nature::outages_ms` |
//! | frozen: connections stand, silence | `frozen` | `Nature::frozen_ms` |
//! | accepts and never answers | `mute` | `Nature::is_mute`, `silent_percent` |
//! | refuses the name | `refusing` | `Nature::refuses_ms` |
//! | garbage | `garbage` | `Nature::garbage_ms` |
//! | reset in the middle of a line | `reset` | `Nature::torn_ms` |
//! | flapping | `flapping` | `Nature::outages_ms` with many; random lives in `breaker/tests.rs`; farms in `course/simulation.rs` |
//! | the only pool restarts | `only_pool` | `Totals::restarted` |
//! | no usable pool | `no_pool` | every run in which tries run out |
//! | split by weight | `split` | farms of all kinds in `plan.rs` |
//! | a miner or this machine is at fault, no pool | `data_plane/blame.rs`, `descriptors_run_out.rs` | `breaker/tests.rs` |
//!
//! How long it takes is a matter of `adit-loadtest run failover`, on a machine that has nothing else to do.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod drilled;
mod flapping;
mod frozen;
mod garbage;
mod kept;
mod killed;
mod moved;
mod mute;
mod no_pool;
mod only_pool;
mod redirects;
mod refusing;
mod reset;
mod session_ids;
mod split;
mod standby;

/// Not a test: what the process of a pool runs. Without its variable it has nothing to do.
#[test]
fn a_pool_in_a_process_of_its_own() {
    use adit_loadtest::pool_process::{ENVIRONMENT, serve};
    if std::env::var_os(ENVIRONMENT).is_some() {
        serve(std::io::stdin(), std::io::stdout()).expect("a pool");
    }
}
