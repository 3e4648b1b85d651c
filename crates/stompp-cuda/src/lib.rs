#![doc = include_str!("../README.md")]
//!
//! # Invariants
//!
//! - **Same input, same bits**, unless [`GpuSettings::deterministic`] is off: sums have a fixed order, no kernel adds
//!   floating-point numbers atomically, and of cuDNN only deterministic algorithms are used.
//! - **Everything happens in order on the null stream**, dfdx's own: memory may be freed as soon as the last kernel that uses
//!   it is launched.
//! - **Shapes are the caller's duty**, as in `stompp-kernels`: a length that does not fit is a bug and panics. No kernel is
//!   launched on memory whose length was not checked.
//! - **Gradients accumulate** (`+=`), other outputs are overwritten, unless a function says otherwise.
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
