//! Errors of packing, opening and running a network.

use alloc::string::String;
use stompp_graph::GraphError;

/// A network cannot be packed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
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
    /// A tensor has a NaN or an infinity.
    #[error("tensor `{0}` has an entry that is not finite")]
    NotFinite(String),
    /// A batch norm has a negative variance, or its evaluation can overflow.
    #[error("batch norm `{node}`: channel {channel} cannot be evaluated (mean {mean}, factor {factor}, shift {shift})")]
    BatchNorm {
        /// The node.
        node: String,
        /// The channel.
        channel: usize,
        /// Running mean of the channel.
        mean: f32,
        /// Scale divided by the standard deviation.
        factor: f32,
        /// Shift of the channel.
        shift: f32,
    },
    /// A binary convolution sums more products than `f32` can count exactly (2^24).
    #[error("node `{0}` sums more than 2^24 products")]
    TooManyProducts(String),
    /// A class name is empty or has a line break, or the number of names differs from the number of outputs.
    #[error("class names: {0}")]
    Classes(String),
    /// The packed network would be larger than 2 GiB.
    #[error("the packed network would be larger than 2 GiB")]
    TooLarge,
}

/// A file is not a packed network, or is damaged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file cannot be read.
    #[cfg(feature = "std")]
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is shorter than its header says, or has bytes after its tensors.
    #[error("the file has {given} bytes, its header says {wanted}: it is cut off or has been appended to")]
    Size {
        /// Bytes of the file.
        given: usize,
        /// Bytes according to the header.
        wanted: u64,
    },
    /// The file has no valid safetensors header.
    #[error("not a safetensors file: {0}")]
    Header(String),
    /// The file is a safetensors file, but not a packed network. It may hold a trainer's latent weights.
    #[error("a safetensors file, but not a packed network (`stompp pack` writes those)")]
    OtherFormat,
    /// The file has an unknown version of the format.
    #[error("version `{0}` of the packed file is not known; this program reads version {VERSION}", VERSION = crate::info::VERSION)]
    Version(String),
    /// The checksum does not match: the file was changed.
    #[error("the checksum does not fit: the file is damaged")]
    Checksum,
    /// An entry of the header's metadata is missing or invalid.
    #[error("the header's `{key}`: {problem}")]
    Metadata {
        /// Which entry.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The header describes an invalid graph.
    #[error("the network: {0}")]
    Graph(#[from] GraphError),
    /// A tensor is missing, unknown, or has the wrong type or shape.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The requested [`SimdLevel`](crate::SimdLevel) is unknown, or this machine does not support it.
    #[error("STOMPP_SIMD: {0}")]
    Level(String),
}

/// A network cannot run on an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The length of the input or output differs from the network's.
    #[error("the {what} has {given} entries, the network expects {wanted}")]
    Length {
        /// `image`, `images` or `output`.
        what: &'static str,
        /// Entries given.
        given: usize,
        /// Entries wanted.
        wanted: usize,
    },
    /// Scratch memory cannot be allocated.
    #[error("no memory for {0} bytes of scratch")]
    Memory(usize),
    /// The scratch was made for another network.
    #[error("the scratch was made for another network")]
    WrongScratch,
}
