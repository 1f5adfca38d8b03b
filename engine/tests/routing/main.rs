//! Which pool a miner comes to, on the built binary: by the path it names, its listener, its network and its name.

#[path = "../common/mod.rs"]
mod common;
mod support;

mod names;
mod paths;
mod places;
mod reloaded;
