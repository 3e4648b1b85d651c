//! The error of building a graph.

use crate::{graph::Shape, op::DisplayShape};
use alloc::string::String;

/// A graph cannot be built. Each message names the node and the shapes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A name is empty, taken, reserved, or has a character other than letters, digits, `.`, `_` and `-`.
    #[error("node `{node}`: {reason}")]
    Name {
        /// The name.
        node: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A size is zero or too large.
    #[error("node `{node}`: {what} is {value}, expected {expected}")]
    Size {
        /// The node.
        node: String,
        /// Which size.
        what: &'static str,
        /// The given value.
        value: usize,
        /// The accepted values.
        expected: &'static str,
    },
    /// The input is smaller than the kernel or window.
    #[error("node `{node}`: its input `{input}` is {}, too small for a {kernel}x{kernel} window with padding {padding}", DisplayShape(*shape))]
    TooSmall {
        /// The node.
        node: String,
        /// Its input.
        input: String,
        /// The input's shape.
        shape: Shape,
        /// Side of the window.
        kernel: usize,
        /// Entries around the input.
        padding: usize,
    },
    /// The two inputs of a sum have different shapes.
    #[error("node `{node}`: cannot add `{left}` ({}) and `{right}` ({})", DisplayShape(*left_shape), DisplayShape(*right_shape))]
    ShapesDiffer {
        /// The node.
        node: String,
        /// Its first input.
        left: String,
        /// Shape of the first input.
        left_shape: Shape,
        /// Its second input.
        right: String,
        /// Shape of the second input.
        right_shape: Shape,
    },
    /// A node's output or weight has too many entries.
    #[error("node `{node}`: {what} would have more than {} entries", crate::builder::MAX_ENTRIES)]
    TooLarge {
        /// The node.
        node: String,
        /// `its output` or `its weight`.
        what: &'static str,
    },
    /// An input is not a node of this graph.
    #[error("node `{node}`: this graph has no node number {input} to read")]
    UnknownInput {
        /// The node.
        node: String,
        /// Index of the input.
        input: usize,
    },
    /// The output does not depend on a node.
    #[error("node `{node}`: the output `{output}` does not depend on it")]
    Unused {
        /// The node.
        node: String,
        /// The output.
        output: String,
    },
}
