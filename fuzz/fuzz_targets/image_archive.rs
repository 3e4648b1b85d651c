//! Fuzz target `image_archive`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stompp_fuzz::image_archive(data));
