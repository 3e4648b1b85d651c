//! The layers that dfdx 0.13 lacks on stable Rust, as ops on its tape.
//!
//! dfdx compiles convolution and pooling on nightly compilers only, and its batch norm is slow on the CPU. This crate brings
//! [`Conv2d`], [`BatchNorm2d`], [`Linear`], [`GlobalAveragePool`] and [`MaxPool2d`] that implement dfdx's module traits and
//! therefore compose with dfdx's own layers, tuples included, and the optimizers of [`optim`]:
//!
//! ```
//! use dfdx::prelude::*;
//! use stompp_nn::builder::{BatchNorm2d, Conv2d, Linear};
//! use stompp_nn::GlobalAveragePool;
//!
//! type Net = (Conv2d<3, 8, 3, 1, 1>, BatchNorm2d<8>, ReLU, GlobalAveragePool, Linear<8, 10>);
//! let dev = Cpu::default();
//! let mut net = dev.build_module::<Net, f32>();
//! let x: Tensor<Rank4<2, 3, 16, 16>, f32, _> = dev.sample_normal();
//! let logits = net.forward_mut(x.leaky_traced()); // training mode
//! let gradients = logits.square().mean().backward();
//! assert_eq!(gradients.get(&net.0.weight).shape().num_elements(), 8 * 3 * 3 * 3);
//! ```
//!
//! Three ideas carry it:
//! - [`Backend`] is all that a device must provide. A layer calls nothing else.
//! - A tensor's tape says whether its gradient is wanted ([`Recording`]); [`SwitchTape`] lets a network decide that at run
//!   time, layer by layer.
//! - Sizes are dfdx [`Dim`](dfdx::shapes::Dim)s: `Const<N>` where the compiler should check them, `usize` where a width is
//!   a command-line option.
//!
//! **This crate knows nothing of binarization, networks or schedules.** Relies on details of dfdx 0.13.0 (in `cpu/view.rs`),
//! which is therefore pinned exactly.
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
pub use tape::{Recording, SwitchTape};
pub use visit::{TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut};

/// What an op returns: a tensor on the tape `T`, or the device's error.
pub type OpResult<S, D, T = dfdx::tensor::NoneTape> =
    Result<dfdx::tensor::Tensor<S, f32, D, T>, <D as dfdx::tensor::HasErr>::Err>;

/// Shape of an image batch whose height and width are known at run time: (N, C, H, W).
pub type ImageShape<B, C> = (B, C, usize, usize);
