//! What operators see: an HTTP API over a [`Control`] that the engine implements, and a stream of [`Events`] that it
//! publishes.
//!
//! ```text
//! script, Prometheus, browser ──▶ front ──▶ tiny_http ──▶ handlers ──▶ dyn Control ──▶ engine
//!                                   │
//!                                   └── listeners ◀── streams ◀── ring ◀── Events ◀── engine
//! ```
//!
//! This crate knows no engine type and asks the engine nothing but what [`Control`] has. What it shows are the plain
//! values of [`view`].

pub mod access;
pub mod control;
pub mod events;
pub mod health;
pub mod limits;
pub mod metrics;
pub mod problem;
pub mod server;
pub mod view;

mod answer;
mod api;
mod backend;
mod clock;
mod front;
mod query;
mod streams;

pub use access::{NewToken, Role, Token, TokenHash};
pub use control::{AuditRecord, Caller, Command, Control, Done, Refusal};
pub use events::{Event, Events};
pub use server::{AdminServer, Options, StartError};
