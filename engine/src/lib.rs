//! Adit's engine: everything of the `adit` binary that touches the world outside.
//!
//! Protocol questions are answered by `adit-protocol`; this crate moves the bytes.

#![deny(unsafe_code)] // but for `ring`

pub mod cli;
pub mod config;
pub mod logging;
pub mod ring;
pub mod settings;
pub mod signals;
pub mod startup;
pub mod workers;
