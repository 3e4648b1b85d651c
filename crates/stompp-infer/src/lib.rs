#![doc = include_str!("../README.md")]
//!
//! # Exactness
//!
//! Signs are those of the trainer's evaluation in `f32`, to the bit, with vector instructions of any level:
//! - Thresholds are found by evaluating the trainer's own batch norm, `fma(x - mean, inv_std * scale, shift)`, at integer sums.
//! - Convolutions of floats sum in the trainer's order, with fused multiplication and addition at every level. Without the feature
//!   `std` that is done in software.
//! - Where the trainer convolves floats by Winograd's method (3x3, stride 1, at least 16 channels on both sides, even images), its sums
//!   are rounded otherwise and a sign behind them can differ at a near tie. No network of `stompp-resnet` with binary activations has
//!   such a layer. A trainer without AVX2 does not fuse, so its own signs can differ from these in the same way.
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
