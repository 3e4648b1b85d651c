#![doc = include_str!("../README.md")]
//!
//! # Invariants
//!
//! - **The patch matrix is never allocated.** Convolutions read patches from the image, or transform a few tiles at a time.
//! - **Results do not depend on the number of threads.** Work is split by shape alone, and every reduction has a fixed order. The
//!   [SIMD level](simd) may change the last bits of a sum, because levels have vectors of different width and the portable level does
//!   not use fused multiply-add.
//! - **The caller must pass matching shapes.** A function panics with the name of the slice if a length does not match its shape.
//!   The values in a slice never cause a panic.
//! - **Gradients accumulate** (`+=`). Outputs of forward kernels are overwritten, unless a function says otherwise.
//!
//! # Threads
//!
//! Kernels use the rayon pool of the calling thread. Call them from a thread of the pool (inside `rayon::scope` or
//! `ThreadPool::install`). From another thread, each call must switch to the pool and back, which slows down small kernels.

pub mod batch_norm;
pub mod conv;
pub mod elementwise;
pub mod linear;
pub mod loss;
pub mod optim;
pub mod pool;
pub mod quantize;
pub mod simd;
pub mod slices;
pub mod xnor;

mod check;
mod panel;
mod parallel;
mod scratch;
mod transpose;

pub use batch_norm::{
    BatchNormParams, BatchNormQuantizeGradients, GradientSums, batch_norm_backward, batch_norm_backward_sums,
    batch_norm_forward, batch_norm_moments, batch_norm_quantize_backward, batch_norm_quantize_backward_sums,
    batch_norm_quantize_forward, batch_norm_statistics, batch_norm_sums,
};
pub use conv::{
    ConvShape, conv2d_backward_input, conv2d_backward_weight, conv2d_backward_weight_in_slices, conv2d_forward,
};
pub use elementwise::{ChannelShape, accumulate, add_forward, relu_backward, relu_forward, square_sum};
pub use linear::{linear_backward, linear_forward};
pub use loss::{LossShape, cross_entropy, cross_entropy_sum};
pub use optim::{AdamStep, SgdStep, adam_step, sgd_momentum_step};
pub use pool::{
    PoolShape, average_pool_backward, average_pool_forward, global_average_pool_backward, global_average_pool_forward,
    max_pool_backward, max_pool_forward,
};
pub use quantize::{FreezeState, Surrogate, quantize_backward, quantize_forward};
pub use slices::Slices;
pub use xnor::{BitTensor, BitWeights, xnor_conv2d};
