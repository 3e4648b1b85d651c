//! Trained networks as small files, and an engine that runs them on bits.
//!
//! [`pack`] turns a graph and trained tensors into a file: a safetensors file with one bit a binary weight, and batch norms folded
//! into integer thresholds. [`Network`] runs such a file. Between binary convolutions activations stay bits.
//!
//! ```
//! use stompp_graph::{ActivationRule, Conv, GraphBuilder, find_tensor};
//! use stompp_infer::{NetworkInfo, Network, pack};
//!
//! let mut g = GraphBuilder::new([3, 8, 8]);
//! let x = g.conv("conv1", g.input(), Conv::k3(16))?;
//! let a = g.activation("act1", x)?;
//! let x = g.binary_conv("conv2", a, Conv::k3(16))?;
//! let x = g.batch_norm("bn2", x)?;
//! let x = g.activation("act2", x)?;
//! let x = g.global_average_pool("pool", x)?;
//! let logits = g.linear("fc", x, 10)?;
//! let graph = g.finish(logits)?;
//! // Trained tensors, by name. Here: made up.
//! let tensors: Vec<_> = graph.tensors().iter().map(|t| (t.name.clone(), vec![0.5; t.shape.iter().product()])).collect();
//!
//! let file = pack(&graph, ActivationRule::Quantized, find_tensor(&tensors), &NetworkInfo::default())?;
//! let network = Network::from_bytes(&file)?;
//! let image = vec![0.25; 3 * 8 * 8];
//! let top = network.classify(&image)?;
//! assert_eq!(top.len(), 5);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Exactness
//! Signs are those of the trainer's evaluation in `f32`, to the bit, with vector instructions of any level:
//! - Thresholds are found by evaluating the trainer's own batch norm, `fma(x - mean, inv_std * scale, shift)`, at integer sums.
//! - Convolutions of floats sum in the trainer's order, with fused multiplication and addition at every level. Without the feature
//!   `std` that is done in software.
//! - Where the trainer convolves floats by Winograd's method (3x3, stride 1, at least 16 channels on both sides, even images), its sums
//!   are rounded otherwise and a sign behind them can differ at a near tie. No network of `stompp-resnet` with binary activations has
//!   such a layer. A trainer without AVX2 does not fuse, so its own signs can differ from these in the same way.
//!
//! # Without `std`
//! `Network::from_bytes` borrows the weights from the bytes, which need no alignment: they can stay in flash. Use
//! [`Network::scratch`] and [`Network::run`].
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
