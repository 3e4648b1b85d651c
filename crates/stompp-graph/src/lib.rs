//! Neural networks as data: a list of nodes with names, ops, inputs and shapes.
//!
//! A [`Graph`] describes a network once. The training executor, the freezer, the cost summary, the packed file and the
//! exporters all read that description. A graph holds no weights and knows no device.
//!
//! ```
//! use stompp_graph::{Conv, GraphBuilder};
//!
//! let mut g = GraphBuilder::new([3, 32, 32]);
//! let x = g.conv("conv1", g.input(), Conv::k3(16))?;
//! let x = g.batch_norm("bn1", x)?;
//! let a = g.activation("act1", x)?;
//! let y = g.binary_conv("conv2", a, Conv::k3(16))?;
//! let y = g.batch_norm("bn2", y)?;
//! let y = g.add("add", y, a)?;
//! let y = g.activation("act2", y)?;
//! let y = g.global_average_pool("pool", y)?;
//! let logits = g.linear("fc", y, 10)?;
//! let graph = g.finish(logits)?;
//!
//! assert_eq!(graph.output_shape(), [10, 1, 1]);
//! assert_eq!(graph.units().len(), 1); // `conv2` and `act1`, which feeds it
//! # Ok::<(), stompp_graph::GraphError>(())
//! ```
//!
//! Every network this crate accepts can be trained: shapes are checked when a node is added, and an error names the node and
//! the shapes. With the feature `std` (on by default) a graph also has a text form, see [`Graph::from_toml`].
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
