//! Fuzz target `mnist`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stompp_fuzz::mnist(data));
