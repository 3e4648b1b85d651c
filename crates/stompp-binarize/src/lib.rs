//! *What* freezing does to a network.
//!
//! A quantized tensor `u`, a weight or an activation, is replaced entry by entry by
//! `M * sign(u) + (1 - M) * clip(u, -1, 1)` (paper). `M = 1` entries are *frozen*, committed to their hard binary value;
//! `M = 0` entries are *open*. This crate has that quantizer ([`MaskedQuantizer`]), the layers made of it ([`Activation`],
//! [`BinaryConv2d`]) and the [`Freezer`] that moves a network along a plan of `stompp-schedule`.
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
mod backend;
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
pub use freezer::{Freezable, FreezeReport, Freezer, UnitMut, UnitReport, Windows};
pub use mask::{FreezingMask, MaskOnDevice, Refresher};
pub use network::{Feature, Network};
pub use op::quantize;
pub use quantizer::{FreezeState, MaskedQuantizer, RestoreMaskError};
pub use stompp_graph::ActivationRule;
pub use stompp_kernels::Surrogate;
pub use unit::{Convolution, NormActivation, NormQuantize, NormQuantizeGradients};
