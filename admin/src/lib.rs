//! What operators see: an HTTP API over a [`Control`] that the engine implements.
//!
//! ```text
//! script, Prometheus, browser ──HTTP──▶ front ──▶ tiny_http ──▶ handler threads ──▶ dyn Control ──▶ engine
//! ```
//!
//! This crate knows no engine type and asks the engine nothing but what [`Control`] has. What it shows are the plain
//! values of [`view`].

pub mod control;
pub mod health;
pub mod limits;
pub mod server;
pub mod view;

mod api;

pub use control::{AuditRecord, Caller, Command, Control, Done, Refusal};
pub use server::{AdminServer, Options, StartError};
