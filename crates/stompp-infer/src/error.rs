//! Why packing, opening or running is refused.

use alloc::string::String;
use stompp_graph::GraphError;

/// A network cannot be packed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
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
    /// A tensor has a NaN or an infinity.
    #[error("tensor `{0}` has an entry that is not finite")]
    NotFinite(String),
    /// A batch norm cannot be evaluated: a negative variance, or values so large that they overflow.
    #[error("batch norm `{node}`: channel {channel} cannot be evaluated (mean {mean}, factor {factor}, shift {shift})")]
    BatchNorm {
        /// The node.
        node: String,
        /// The channel.
        channel: usize,
        /// Its running mean.
        mean: f32,
        /// Its scale over its standard deviation.
        factor: f32,
        /// Its shift.
        shift: f32,
    },
    /// A binary convolution sums more products than `f32` counts exactly.
    #[error("node `{0}` sums more than 2^24 products")]
    TooManyProducts(String),
    /// A class name has a line break, or there are other than as many names as outputs.
    #[error("class names: {0}")]
    Classes(String),
    /// The graph's network has more than 2^31 bytes when packed.
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
    /// The file is shorter than its header says, or has bytes behind its tensors.
    #[error("the file has {given} bytes, its header says {wanted}: it is cut off or has been appended to")]
    Size {
        /// Bytes of the file.
        given: usize,
        /// Bytes that the header says.
        wanted: u64,
    },
    /// The header is not that of a safetensors file.
    #[error("not a safetensors file: {0}")]
    Header(String),
    /// It is a safetensors file of another kind, such as a trainer's latent weights.
    #[error("a safetensors file, but not a packed network (`stompp pack` writes those)")]
    OtherFormat,
    /// It was written for another version of the format.
    #[error("version `{0}` of the packed file is not known; this program reads version {VERSION}", VERSION = crate::info::VERSION)]
    Version(String),
    /// The checksum does not fit: a byte was changed.
    #[error("the checksum does not fit: the file is damaged")]
    Checksum,
    /// An entry of the header's metadata is missing or not understood.
    #[error("the header's `{key}`: {problem}")]
    Metadata {
        /// Which entry.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The graph in the header is refused.
    #[error("the network: {0}")]
    Graph(#[from] GraphError),
    /// A tensor is missing, unknown, or of another type or shape.
    #[error("tensor `{name}`: {problem}")]
    Tensor {
        /// The tensor.
        name: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// The environment variable `STOMPP_SIMD` names no level, or one that this machine lacks.
    #[error("STOMPP_SIMD: {0}")]
    Level(String),
}

/// An image cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The input or output has another length than the network's.
    #[error("the {what} has {given} entries, the network wants {wanted}")]
    Length {
        /// `image`, `images` or `output`.
        what: &'static str,
        /// Entries given.
        given: usize,
        /// Entries wanted.
        wanted: usize,
    },
    /// Scratch memory could not be had.
    #[error("no memory for {0} bytes of scratch")]
    Memory(usize),
    /// The scratch was made for another network.
    #[error("the scratch was made for another network")]
    WrongScratch,
}
