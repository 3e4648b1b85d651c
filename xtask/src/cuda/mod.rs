//! Commands for NVIDIA GPUs. `cuda-verify` runs the tests that need a GPU, on one or on a fake driver. `cuda-bundle` makes a folder that a
//! GPU machine without Rust can run. `cuda-rehearsal` makes the same folder with a fake driver and runs its script.

pub(crate) mod bundle;
mod programs;
pub(crate) mod rehearsal;
mod toolkit;
pub(crate) mod verify;
