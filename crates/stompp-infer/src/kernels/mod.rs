//! Kernels that count bits and sum floats.

pub(crate) mod binary;
pub(crate) mod dense;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod lookup;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod planes;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod popcount;
pub(crate) mod tail;
pub(crate) mod window;
