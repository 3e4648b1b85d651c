#![doc = include_str!("../README.md")]
//!
//! # Invariants
//!
//! - **Results are bitwise reproducible**, unless [`GpuSettings::deterministic`] is off. Sums have a fixed order, no kernel adds
//!   floating-point numbers atomically, and only deterministic algorithms of cuDNN are used.
//! - **All work is queued in order on the null stream**, which dfdx uses. Memory may be freed as soon as the last kernel that uses it
//!   is launched.
//! - **The caller must pass matching shapes**, as in `stompp-kernels`. Every function panics if a length does not match its shape; the
//!   lengths are checked before a kernel is launched.
//! - **Sums over slices do not depend on the number of processes** that share a batch. For this, each slice is computed by itself, also
//!   where images do not depend on each other: libraries choose algorithms by the number of images.
//! - **Gradients accumulate** (`+=`). Other outputs are overwritten, unless a function says otherwise.
#![cfg(feature = "cuda")]

mod batch_norm;
mod by_cudnn;
mod choice;
mod conv;
mod cudnn;
mod elementwise;
mod error;
mod gpu;
mod images;
mod kernels;
mod launch;
mod library;
mod linear;
mod loss;
mod memory;
mod nccl;
mod norms;
mod pool;
mod profile;
mod quantize;
mod refresh;
mod sums;
mod xnor;

pub use batch_norm::{BatchNormParams, Moments, NormGradients};
pub use choice::AlgorithmChoice;
pub use cudnn::TensorLayout;
pub use error::{GpuError, OpenGpuError};
pub use gpu::{Gpu, GpuSettings, Versions, gpu_of_process};
pub use images::DeviceImages;
pub use memory::{Floats, FloatsMut};
pub use nccl::{Communicator, UniqueId};
pub use norms::PendingNorms;
pub use profile::{KernelTime, ProfileSpan};
pub use quantize::Quantizer;
pub use refresh::MaskChanges;
pub use sums::{BatchSums, Exchange};
pub use xnor::{SignConvAlgorithm, Signs};
