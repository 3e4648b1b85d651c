//! Fuzz target `cifar_archive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stompp_fuzz::cifar_archive(data));
