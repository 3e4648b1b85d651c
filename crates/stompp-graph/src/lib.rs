#![doc = include_str!("../README.md")]
//!
//! # Text form
//!
//! With the feature `std` (on by default) a graph can be written and read as TOML, see [`Graph::from_toml`].
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod builder;
mod cost;
mod deploy;
#[cfg(feature = "std")]
mod describe;
mod dot;
mod error;
mod graph;
mod lookup;
mod op;
#[cfg(feature = "std")]
mod text;
mod unit;

pub use builder::GraphBuilder;
pub use cost::{CostSummary, LayerSummary};
pub use deploy::{DeployPlan, DeployStep};
#[cfg(feature = "std")]
pub use describe::{CostDescription, Description, NodeDescription};
pub use error::GraphError;
pub use graph::{Graph, Node, NodeId, Shape, TensorRole, TensorSpec};
pub use lookup::find_tensor;
pub use op::{ActivationRule, Conv, Op, Pool};
#[cfg(feature = "std")]
pub use text::TextError;
pub use unit::Unit;
