//! A session between a miner and a pool that say and do anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| adit_fuzz::rig::fuzz::session(data));
