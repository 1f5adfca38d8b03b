//! One line through the parser, held against `serde_json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| adit_fuzz::checks::parser(data));
