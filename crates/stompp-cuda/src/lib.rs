//! How fast on a GPU: the kernels of binary network training for NVIDIA's, on device pointers in NCHW order.
//!
//! What `stompp-kernels` is for the CPU. The sources are in `kernels/`, compiled by NVRTC when a [`Gpu`] is opened; matrix
//! products are cuBLAS's, convolutions cuDNN's where it can be loaded, else products of patches by cuBLAS. The crate knows
//! nothing of tensors with gradients, of networks or of freezing schedules, and is empty without the feature `cuda`.
//!
//! # Invariants
//!
//! - **Same input, same bits**, unless [`GpuSettings::deterministic`] is off: sums have a fixed order, no kernel adds
//!   floating-point numbers atomically, and of cuDNN only deterministic algorithms are taken.
//! - **Everything happens in order on the null stream**, dfdx's own: memory may be freed as soon as the last kernel that uses
//!   it is launched.
//! - **Shapes are the caller's duty**, as in `stompp-kernels`: a length that does not fit is a bug and panics. No kernel is
//!   launched on memory whose length was not checked.
//! - **Gradients accumulate** (`+=`), other outputs are overwritten, unless a function says otherwise.
//!
//! Without a GPU the feature `cuda-stand-in` runs all of it: the same sources, compiled as C++, behind a driver that has the
//! CPU as its device (`stand-in/`). The tests of this crate and of those above it use it.
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
mod linear;
mod loss;
mod memory;
mod norms;
mod pool;
mod profile;
mod quantize;
mod refresh;
mod xnor;

pub use batch_norm::{BatchNormParams, Moments, NormGradients};
pub use choice::AlgorithmChoice;
pub use cudnn::TensorLayout;
pub use error::{GpuError, OpenGpuError};
pub use gpu::{Gpu, GpuSettings, Versions};
pub use images::DeviceImages;
pub use memory::{Floats, FloatsMut};
pub use norms::PendingNorms;
pub use profile::{KernelTime, ProfileSpan};
pub use quantize::Quantizer;
pub use refresh::MaskChanges;
pub use xnor::{SignConvAlgorithm, Signs};
