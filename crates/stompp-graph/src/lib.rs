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
mod op;
#[cfg(feature = "std")]
mod text;
mod unit;

pub use builder::GraphBuilder;
pub use cost::{LayerSummary, Summary};
pub use deploy::{DeployPlan, DeployStep};
#[cfg(feature = "std")]
pub use describe::{Costs, Description, NodeDescription};
pub use error::GraphError;
pub use graph::{Graph, Node, NodeId, Shape, TensorRole, TensorSpec};
pub use op::{ActivationRule, Conv, Op, Pool};
#[cfg(feature = "std")]
pub use text::TextError;
pub use unit::Unit;
