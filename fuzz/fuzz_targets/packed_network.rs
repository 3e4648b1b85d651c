//! Fuzz target `packed_network`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stompp_fuzz::packed_network(data));
