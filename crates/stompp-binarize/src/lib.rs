#![doc = include_str!("../README.md")]
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | a graph that is trained | [`Network`], [`Binarization`], [`Freezer`] |
//! | one quantized tensor | [`MaskedQuantizer`], [`FreezeState`], [`Surrogate`]; [`quantize()`] is the op alone |
//! | layers without a graph | [`BinaryConv2d`], [`Activation`]; [`Convolution`] and [`NormActivation`] compute both and a batch norm at once |
//! | a network of your own type | [`Freezable`], [`UnitMut`] |
//! | another device | [`backend`] |
//!
//! # Terms
//!
//! A quantized tensor `u`, a weight or an activation, is replaced entry by entry by
//! `M * sign(u) + (1 - M) * clip(u, -1, 1)` (paper). `M = 1` entries are *frozen*, committed to their hard binary value;
//! `M = 0` entries are *open*. A unit is *open*, *freezing* or *committed*. `stompp_schedule::Phase` is the planned state of a unit at
//! a step; [`FreezeState`] is the current state of a tensor, with its mask.
//!
//! # Invariants
//!
//! - **Nothing freezes inside a forward pass.** Only [`Freezer::apply`] and the explicit methods of [`MaskedQuantizer`]
//!   change a freeze state, and evaluation changes nothing.
//! - **A committed quantizer under [`Surrogate::Blocked`] takes its output off the tape**, because its gradient is exactly
//!   zero. Layers that only feed it need no backward pass.
//! - **`sign(0) = +1`**, for both zeros.
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
