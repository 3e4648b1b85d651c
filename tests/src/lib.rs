//! Helpers of the tests that only the whole workspace can run.
#![forbid(unsafe_code)]

pub mod reference;
