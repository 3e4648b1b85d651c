#![doc = include_str!("../README.md")]
//!
//! # How it works
//!
//! - [`Backend`] has all operations that a device must provide. Layers call nothing else.
//! - A tensor's tape decides whether its gradient is computed ([`Recording`]); [`SwitchTape`] lets a network decide that at run
//!   time, layer by layer.
//! - Sizes are dfdx [`Dim`](dfdx::shapes::Dim)s.
//! - Details of dfdx 0.13.0 that this crate relies on are in `cpu/view.rs`; dfdx is therefore pinned exactly.
#![deny(unsafe_code)]

pub mod backend;
mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
mod device;
mod error;
mod init;
mod layers;
pub mod ops;
pub mod optim;
mod reduction;
mod saved;
mod scratch;
mod tape;
mod visit;

pub use backend::Backend;
pub use device::{cpu, tensor};
pub use dfdx;
pub use error::DeviceError;
pub use init::{kaiming_normal, uniform_fan_in};
pub use layers::{BatchNorm2d, Conv2d, GlobalAveragePool, Linear, MaxPool2d, builder};
pub use rand::rand_core;
pub use reduction::{BatchReduction, GradientBuckets, GradientTotals};
pub use saved::{Recomputable, Recompute, Saved};
pub use stompp_kernels::Slices;
pub use tape::{Recording, SwitchTape};
pub use visit::{TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut};

/// The result of an op: a tensor on the tape `T`, or the device's error.
pub type OpResult<S, D, T = dfdx::tensor::NoneTape> =
    Result<dfdx::tensor::Tensor<S, f32, D, T>, <D as dfdx::tensor::HasErr>::Err>;

/// Shape of an image batch whose height and width are known at run time: (N, C, H, W).
pub type ImageShape<B, C> = (B, C, usize, usize);
