//! Fuzz target `plan`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stompp_fuzz::plan(data));
