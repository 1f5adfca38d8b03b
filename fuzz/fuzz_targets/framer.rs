//! A stream in receives of all sizes through the framer, held against a plain split.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| adit_fuzz::checks::framer(data));
