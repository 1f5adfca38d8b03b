#![forbid(unsafe_code)]
//! The ledger: every share, exactly once, in SQLite, without ever slowing a miner.
//!
//! ```text
//!  shard 0 ─ Outbox ─┐
//!  shard 1 ─ Outbox ─┼─▶ ledger's thread ─▶ SQLite file ◀─ readers: queries, export, backup, verify
//!  shard n ─ Outbox ─┘    batches, rollups
//! ```
//!
//! # What a row means
//! One row of `shares` is one closed ticket: one `mining.submit` that became a share, and its one end, which is accepted
//! or rejected by the pool, refused here without going to a pool, or unanswered (sent, and no verdict before our deadline
//! or before its connection was lost). Every closed ticket is exactly one row, or is counted in exactly one gap.
//!
//! A *gap* stands for shares that found no room in their shard's bounded outbox, because the disk stalled or refused for
//! too long. It says from when to when, and how many by outcome, exactly. The minute rollups count rows and gaps alike, so
//! hashrates and totals stay exact; what a gap lacks is the single rows. It is never silent.
//!
//! A *rollup* is what the shares of a worker, or of a pool, in one minute add up to. It is written when its minute is over,
//! once; `meta.rollups_through` marks the share up to which rollups are complete, to the share, at every moment.
//!
//! # When it is durable
//! A row is durable 250 ms after its verdict at most ([`limits::DURABLE_MS_MAX`]): committed, it survives the end of the
//! process, `kill -9` included; rollups that were not written by then are made from the rows at the next start. It survives a loss of power once a checkpoint has put it into
//! the main file, five seconds later at most ([`limits::CHECKPOINT_INTERVAL_MS`]). Nothing that was killed needs a hand
//! at the next start. A clean stop loses nothing.
//!
//! While the disk stalls or refuses, this cannot hold: then rows wait, the failure is in [`health::Health`], writes are
//! tried again until they succeed, memory stays bounded, and no shard waits.
//!
//! # What it takes
//! Measured by `cargo bench -p adit-benches --bench ledger`: under 0.6 µs of CPU and 40 bytes per row, all indexes and
//! rollups included (45 bytes when shares are checked here), in large batches; 1 µs in batches of 100 ms at 1,000 shares
//! per second; 0.2 to 0.6 µs more where 10,000 workers take turns. A day of 1,000 shares per second by 1,000 workers is
//! 3.55 GB, rollups included. A push takes some 10 ns, and 13 ns into a gap.
//!
//! # Where to start
//! [`ledger::Ledger::start`] gives a running ledger and an [`outbox::Outbox`] per shard, into which go
//! [`record::ShareRow`]s and [`record::Note`]s. Who is no shard enters audit events by [`events::EventLog`].
//!
//! ```
//! use std::time::Duration;
//!
//! use adit_protocol::event::Outcome;
//! use adit_store::clock::now_us;
//! use adit_store::ledger::{Ledger, LedgerConfig};
//! use adit_store::record::{ReasonKey, SessionKey, ShareRow};
//!
//! let directory = tempfile::tempdir()?;
//! let config = LedgerConfig::new(directory.path().join("ledger.db"));
//! let (ledger, mut outboxes) = Ledger::start(&config, 1)?;
//! let mut outbox = outboxes.remove(0); // goes to its shard
//! let row = ShareRow {
//!     verdict_us: now_us(),
//!     session: SessionKey::NONE,
//!     difficulty: 65_536.0,
//!     share_difficulty: f64::NAN,
//!     latency_us: 41_300,
//!     worker: outbox.names().worker("account.rig1"),
//!     job: 1,
//!     pool: outbox.names().pool("main"),
//!     reason: ReasonKey::NONE,
//!     code: 0,
//!     outcome: Outcome::Accepted,
//!     class: None,
//!     block_candidate: false,
//! };
//! outbox.push(row);
//! drop(outbox); // the shard has stopped
//! assert!(ledger.stop(Duration::from_secs(10)).is_clean());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod audit_trail;
pub mod backup;
pub mod clock;
pub mod codes;
pub mod durations;
pub mod events;
pub mod file;
pub mod hashrate;
pub mod health;
mod ids;
pub mod info;
pub mod ledger;
pub mod limits;
pub mod names;
mod notes;
pub mod outbox;
pub mod questions;
pub mod reader;
pub mod record;
pub mod retention;
mod rollups;
mod rows;
pub mod schema;
pub mod series;
pub mod shares;
pub mod sink;
pub mod sketch;
pub mod sqlite;
pub mod tally;
pub mod verify;
mod writer;

pub use writer::{CLOCK_STEP, Stopped};
