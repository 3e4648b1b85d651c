//! *What* freezing does to a network.
//!
//! A quantized tensor `u`, a weight or an activation, is replaced entry by entry by
//! `M * sign(u) + (1 - M) * clip(u, -1, 1)` (paper). `M = 1` entries are *frozen*, committed to their hard binary value;
//! `M = 0` entries are *open*.
//!
//! Most programs need [`Network`], which trains and evaluates a graph of `stompp-graph`, [`Binarization`], which says what of it
//! freezes, and [`Freezer`], which freezes it along a plan of `stompp-schedule`:
//!
//! ```
//! use dfdx::prelude::*;
//! use stompp_binarize::{Binarization, EvalMode, Freezer, Network};
//! use stompp_graph::{Conv, GraphBuilder};
//! use stompp_nn::{SwitchTape, ops, optim::{Optimizer, Sgd}};
//!
//! let mut g = GraphBuilder::new([3, 8, 8]);
//! let x = g.conv("conv1", g.input(), Conv::k3(8))?;
//! let x = g.batch_norm("bn1", x)?;
//! let a = g.activation("act1", x)?;
//! let x = g.binary_conv("conv2", a, Conv::k3(8))?; // a unit: `act1` and `conv2`
//! let x = g.global_average_pool("pool", x)?;
//! let logits = g.linear("fc", x, 2)?;
//!
//! let device = stompp_nn::cpu();
//! let mut network = Network::new(&device, &g.finish(logits)?, Binarization::BNN, 0)?;
//! let freezer = Freezer::for_network(&mut network, 40, "0.1w".parse()?)?;
//! let mut sgd = Sgd::new(0.1, 0.9);
//! for step in 0..40 {
//!     freezer.apply(step, &mut network)?; // before each step
//!     let images = device.sample_normal_like(&(4, 3, 8, 8));
//!     let loss = ops::cross_entropy(network.forward_train(images)?, &[0, 1, 0, 1])?;
//!     let mut gradients = SwitchTape::into_owned_tape(loss).expect("the last layer learns").backward();
//!     sgd.step(&device, &mut network, &mut gradients)?;
//! }
//! let images = device.sample_normal_like(&(1, 3, 8, 8));
//! let (current, binarized) = (EvalMode::Current, EvalMode::Binarized);
//! assert_eq!(network.evaluate(images.clone(), current)?.as_vec(), network.evaluate(images, binarized)?.as_vec());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | for | see |
//! |---|---|
//! | one quantized tensor | [`MaskedQuantizer`], [`FreezeState`], [`Surrogate`]; [`quantize()`] is the op alone |
//! | layers without a graph | [`BinaryConv2d`], [`Activation`]; [`Convolution`] and [`NormActivation`] compute both and a batch norm at once |
//! | a network of your own type | [`Freezable`], [`UnitMut`] |
//! | another device | [`backend`] |
//!
//! **Words.** A unit is *open*, *freezing* or *committed*. `stompp_schedule::Phase` is what a plan says of a unit at a step;
//! [`FreezeState`] is what a tensor is in, with its mask.
//!
//! Invariants:
//! - **Nothing freezes inside a forward pass.** Only [`Freezer::apply`] and the explicit methods of [`MaskedQuantizer`]
//!   change a freeze state, and evaluation changes nothing.
//! - **A committed quantizer under [`Surrogate::Blocked`] takes its output off the tape**, because its gradient is exactly
//!   zero: what lies upstream needs no backward pass.
//! - **`sign(0) = +1`**, for both zeros.
//! - **This crate knows nothing of architectures, data or trainers.**
#![forbid(unsafe_code)]

mod activation;
pub mod backend;
mod binarization;
mod conv;
mod cpu;
#[cfg(feature = "cuda")]
mod cuda;
mod eval_mode;
mod freezer;
mod mask;
mod network;
mod op;
mod quantizer;
mod unit;

pub use activation::Activation;
pub use backend::BinaryBackend;
pub use binarization::{Binarization, Granularity};
pub use conv::BinaryConv2d;
pub use eval_mode::EvalMode;
pub use freezer::{Freezable, FreezeReport, Freezer, UnitMut, UnitReport, WindowSharing};
pub use network::{Feature, Network};
pub use op::quantize;
pub use quantizer::{FreezeState, MaskedQuantizer, RestoreMaskError};
pub use stompp_graph::ActivationRule;
pub use stompp_kernels::Surrogate;
pub use unit::{Convolution, NormActivation};

use backend::{FreezingMask, NormQuantize, NormQuantizeGradients, Refresher};
