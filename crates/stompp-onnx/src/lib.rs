#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod export;
mod model;
mod proto;

pub use export::export;

/// The operators that an exported file uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Standard operators only. The batch size is variable. Signs are `Where(x >= 0, 1, -1)`, because ONNX's `Sign` is 0 at 0.
    Standard,
    /// QONNX: signs and binary weights are `BipolarQuant`. The batch size is variable.
    Qonnx,
    /// OpenVINO. The batch size is 1. Each binary convolution with a multiple of 8 input channels has its own `FakeQuantize` with two
    /// levels, so that OpenVINO runs it on bits. Other signs are as in [`Dialect::Standard`].
    OpenVino,
}

/// An error of [`export`](export()).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A tensor of the graph is missing.
    #[error("tensor `{0}` is missing")]
    Missing(String),
    /// The number of entries of a tensor differs from the graph's.
    #[error("tensor `{name}` has {given} entries, the graph expects {wanted}")]
    Length {
        /// The tensor.
        name: String,
        /// Entries given.
        given: usize,
        /// Entries wanted.
        wanted: usize,
    },
}
