#![forbid(unsafe_code)]
//! The ledger: every share, exactly once, in SQLite, without ever slowing a miner.
//!
//! ```text
//!  shard 0 ─ Outbox ─┐
//!  shard 1 ─ Outbox ─┼─▶ ledger's thread ─▶ SQLite file ◀─ readers: queries, export, backup, verify
//!  shard n ─ Outbox ─┘
//! ```

pub mod limits;
pub mod names;
pub mod outbox;
pub mod record;
pub mod sketch;
pub mod tally;
