//! Deterministic simulation of the protocol core: one seed gives miners, pools, a clock and faults.
//!
//! Several sessions share one [`Shared`](adit_protocol::session::Shared), as on a shard. The network splits bytes anywhere
//! and delays them; pools answer late, never, twice, out of order, in every shape, refuse names, are killed, freeze, talk
//! noise, come back, and use the same job ids and extranonces as others or not; miners pipeline, reuse ids, leave in the
//! middle of a line; owners decide as they like what becomes of a session without a pool, move miners without need, keep
//! prepared connections and give them to others; names belong to some of the pools only, and are told to no other. Every pool compares each share with the job that it gave on that very
//! connection. At quiescence the checker asks: exactly one answer and one outcome per request, no acceptance that the pool
//! did not give, no share to a pool it was not made for, outcomes equal to what the pools said.
//!
//! `ADIT_SIMULATION_SEEDS=5000` runs more seeds, `ADIT_SIMULATION_SEED=17` runs one. A failure names its seed.

mod check;
mod faults;
mod homes;
mod miner;
mod owner;
mod pool;
mod random;
mod world;

use faults::Fault;
use world::World;

/// Seeds per run of the tests.
const SEEDS: u64 = 256;
/// Seeds within which each broken variant is to be noticed; most are within a few.
const SEEDS_OF_A_FAULT: u64 = 512;

#[expect(
    clippy::disallowed_methods,
    reason = "the core takes settings as arguments, a test takes them where it can"
)]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn every_seed_keeps_every_promise() {
    let seeds = match number("ADIT_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("ADIT_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let mut totals = check::Totals::default();
    for seed in seeds.clone() {
        match World::run(seed, Fault::None) {
            Ok(seen) => totals.add(&seen),
            Err(broken) => panic!("seed {seed}: {broken}\nrepeat with ADIT_SIMULATION_SEED={seed}"),
        }
    }
    println!("{totals:?}");
    if seeds.end - seeds.start >= SEEDS {
        // A simulation in which nothing happens proves nothing.
        totals.assert_all_seen();
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(World::run(7, Fault::None), World::run(7, Fault::None));
}

#[test]
fn a_broken_proxy_is_caught() {
    for fault in [
        Fault::AcceptBeforeThePool,
        Fault::DropAnAnswer,
        Fault::AnswerTwice,
        Fault::LoseAnOutcome,
        Fault::MixUpPools,
        Fault::ReorderTheHandshake,
        Fault::SharesFollowTheMiner,
        Fault::JobsOfBothPools,
        Fault::ForgetTranslation,
        Fault::TranslateTheNewestOnly,
        Fault::FirstJobNotClean,
        Fault::PassReconnectDown,
        Fault::LeaveExtranonceOut,
        Fault::TellNamesToAnyPool,
    ] {
        let is_caught = (0..SEEDS_OF_A_FAULT).any(|seed| World::run(seed, fault).is_err());
        assert!(is_caught, "{fault:?} went unnoticed in {SEEDS_OF_A_FAULT} seeds");
    }
}
