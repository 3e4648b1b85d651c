//! What has to do with NVIDIA GPUs: `cuda-verify` runs the tests that need one, or their stand-in; `cuda-bundle` makes what a GPU
//! machine without Rust can run.

pub(crate) mod bundle;
mod toolkit;
pub(crate) mod verify;
