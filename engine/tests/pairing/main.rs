//! Every request of a miner meets its answer: ids, methods, shapes, deadlines, ends, names. Miner and pool are driven by
//! hand, line by line, with the built binary between them.

#[path = "../common/mod.rs"]
mod common;
mod ends;
mod ids;
mod methods;
mod names;
mod silence;
