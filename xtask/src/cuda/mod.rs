//! What has to do with NVIDIA GPUs: `cuda-verify` runs the tests that need one, or a fake driver instead; `cuda-bundle` makes what a GPU
//! machine without Rust can run; `cuda-rehearsal` makes the same with a fake driver and runs its script.

pub(crate) mod bundle;
mod programs;
pub(crate) mod rehearsal;
mod toolkit;
pub(crate) mod verify;
