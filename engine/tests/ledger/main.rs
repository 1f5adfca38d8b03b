//! The ledger as operators meet it: what `adit run` wrote, what `adit ledger` says of it, and what survives.

#[path = "../common/mod.rs"]
mod common;

mod conservation;
#[path = "../../../store/tests/common/disk_witness.rs"]
mod disk_witness;
mod durability;
mod refusals;
mod restart;
mod tools;
mod trouble;
