//! The networks of the paper: ResNet-18, -34, -50 and the CIFAR family 6n+2, whose weights and activations freeze.
//!
//! Arranged as torchvision's, with each ReLU replaced by the activation in front of the next convolution, and named as its
//! `state_dict`. First, last and shortcut layers stay in full precision (paper). A network is built from an
//! [`Architecture`], which also gives its [`Summary`] without building it.
//!
//! Depth, width, classes and image size are values, not types: they are command-line options, and one compiled network
//! serves them all. (The layers of `stompp-nn` check sizes at compile time for whoever composes a network of their own.)
//!
//! Invariants:
//! - **The forward pass of training finds the boundary itself**: whatever lies upstream of a quantizer that passes no
//!   gradient runs off the tape, and changes no bit of the result by that.
//! - **This crate knows nothing of data, optimizers or schedules.**
//!
//! ```
//! use dfdx::tensor::{Cpu, ZerosTensor};
//! use dfdx::shapes::HasShape;
//! use stompp_binarize::{Freezable, View};
//! use stompp_resnet::{Architecture, Binarization, Model, ResNet};
//!
//! let architecture = Architecture::new("resnet8".parse::<Model>()?, Some(4), 10, 16)?;
//! let mut net = ResNet::new(&Cpu::default(), &architecture, Binarization::BNN, 0)?;
//! assert_eq!(net.units().len(), 6);
//! let images = Cpu::default().zeros_like(&(2, 3, 16, 16));
//! assert_eq!(*net.evaluate(images, View::Deployed)?.shape(), (2, 10));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod architecture;
mod block;
mod model;
mod network;
mod summary;

pub use architecture::{Architecture, ArchitectureError, BlockSpec, ConvSpec, Stem};
pub use block::Block;
pub use model::{Model, UnknownModel};
pub use network::{ActivationRule, Binarization, Feature, Granularity, ResNet};
pub use summary::{LayerSummary, Summary};
