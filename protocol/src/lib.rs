#![forbid(unsafe_code)]
//! Stratum V1 as a value: bytes and a moment go in, bytes and events come out. No sockets, no clock, no threads.
//!
//! ```text
//!            bytes                 Line               Message<'_>
//!  socket ───────────▶ framer ───────────▶ parse ───────────▶ session ──▶ bytes for the other socket
//!                                                               │
//!                                                               └──▶ events (dial, share closed, close …)
//! ```

pub mod difficulty;
pub mod downstream;
pub mod event;
pub mod framer;
pub mod hash;
pub mod hex;
pub mod hold;
pub mod job;
pub mod limits;
pub mod login;
pub mod merkle;
pub mod message;
pub mod moment;
pub mod names;
pub mod parse;
pub mod pending;
pub mod pool;
pub mod raw_id;
pub mod reasons;
pub mod reconnect;
pub mod replies;
pub mod rewrite;
pub mod session;
pub mod session_ids;
pub mod share;
pub mod template;
pub mod upstream;
pub mod value;
pub mod verdict;
pub mod workers;
