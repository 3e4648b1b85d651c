//! Builders of residual networks: ResNet-18, -34, -50, the CIFAR family 6n+2, and their Bi-Real variants.
//!
//! An [`Architecture`] gives a [`Graph`](stompp_graph::Graph), which the executor of `stompp-binarize` trains. Layers are arranged as
//! torchvision's, with each ReLU replaced by the activation in front of the next convolution, and named as its `state_dict`. The
//! first, the last and the shortcut layers stay in full precision (*paper*).
//!
//! ```
//! use stompp_graph::{ActivationRule, CostSummary};
//! use stompp_resnet::{Architecture, Model};
//!
//! let graph = Architecture::new("resnet18".parse::<Model>()?, None, 10, 32)?.graph();
//! assert_eq!(graph.units().len(), 16);
//! println!("{}", CostSummary::new(&graph, ActivationRule::Quantized));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Depth, width, classes and image size are values, because they are command-line options. **This crate knows no tensors and no
//! training.**
#![forbid(unsafe_code)]

mod architecture;
mod block;
mod model;

pub use architecture::{Architecture, ArchitectureError, Stem};
pub use model::{Model, UnknownModel};
