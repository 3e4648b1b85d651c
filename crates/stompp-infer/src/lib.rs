#![doc = include_str!("../README.md")]
//!
//! # Exactness
//!
//! At every [`SimdLevel`], the signs equal those of the trainer's evaluation in `f32`:
//! - [`pack`] finds each threshold by evaluating the trainer's batch norm, `fma(x - mean, inv_std * scale, shift)`, at integer sums.
//! - Convolutions of floats sum in the trainer's order and use fused multiply-add at every level. Without the feature `std`, fused
//!   multiply-add is computed in software.
//!
//! There are two exceptions. In both, sums are rounded differently, so a sign can differ if the sum is very close to a threshold:
//! - The trainer uses Winograd's method for some float convolutions (3x3, stride 1, at least 16 channels on both sides, even images).
//!   No network of `stompp-resnet` with binary activations has such a layer.
//! - A trainer without AVX2 does not use fused multiply-add.
//!
//! # Without `std`
//!
//! Use [`Network::from_bytes`], [`Network::scratch`] and [`Network::run`].
#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

mod container;
mod error;
mod graph_text;
mod info;
mod kernels;
#[cfg(feature = "std")]
pub mod limit;
mod memory;
mod network;
mod pack;
mod run;
mod simd;
mod tensors;
mod threshold;

pub use error::{OpenError, PackError, RunError};
pub use info::NetworkInfo;
pub use memory::MemoryUse;
pub use network::{ClassProbability, Network, TopClasses, top_k};
pub use pack::pack;
pub use run::Scratch;
pub use simd::SimdLevel;
