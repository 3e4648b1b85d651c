//! Binary networks as ONNX files.
//!
//! [`export`] writes a graph with trained tensors for other tools, in one of three [`Dialect`]s.
//!
//! ```
//! use stompp_graph::{ActivationRule, Conv, GraphBuilder, find_tensor};
//! use stompp_onnx::{Dialect, export};
//!
//! let mut g = GraphBuilder::new([3, 8, 8]);
//! let x = g.conv("conv1", g.input(), Conv::k3(16))?;
//! let a = g.activation("act1", x)?;
//! let x = g.binary_conv("conv2", a, Conv::k3(16))?;
//! let x = g.global_average_pool("pool", x)?;
//! let logits = g.linear("fc", x, 10)?;
//! let graph = g.finish(logits)?;
//! // Trained tensors, by name. Here: made up.
//! let tensors: Vec<_> = graph.tensors().iter().map(|t| (t.name.clone(), vec![0.5; t.shape.iter().product()])).collect();
//!
//! let file = export(&graph, ActivationRule::Quantized, find_tensor(&tensors), Dialect::Standard, &[])?;
//! assert!(file.windows(5).any(|bytes| bytes == b"Where"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod export;
mod model;
mod proto;

pub use export::export;

/// For which tools a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Standard operators only, the batch size left open. Signs are `Where(x >= 0, 1, -1)`, because ONNX's `Sign` is 0 at 0.
    Standard,
    /// Signs and binary weights are QONNX's `BipolarQuant`, the batch size left open.
    Qonnx,
    /// The batch size is 1, and signs before binary convolutions are OpenVINO's `FakeQuantize` with two levels, one for each
    /// convolution: OpenVINO runs these on bits, if their input channels are a multiple of 8. The others are as in
    /// [`Dialect::Standard`].
    OpenVino,
}

/// A network cannot be exported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A tensor of the graph was not given.
    #[error("tensor `{0}` is missing")]
    Missing(String),
    /// A tensor has another number of entries than the graph says.
    #[error("tensor `{name}` has {given} entries, the graph wants {wanted}")]
    Length {
        /// The tensor.
        name: String,
        /// Entries given.
        given: usize,
        /// Entries wanted.
        wanted: usize,
    },
}
