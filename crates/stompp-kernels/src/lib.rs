#![doc = include_str!("../README.md")]
//!
//! # Invariants
//!
//! - **No allocation that depends on the whole patch matrix.** Convolutions read patches where they lie, or transform a few
//!   tiles at a time.
//! - **The number of threads changes no bit.** Work is split by shape alone and every reduction has a fixed order.
//!   The [SIMD level](simd) may change the last bits of a sum: levels have vectors of different width, and the portable
//!   one does not fuse multiplication and addition.
//! - **Shapes are the caller's duty.** A slice whose length does not fit its shape is a bug and panics, with the name
//!   of the slice; every public function says so by pointing here. Values never panic.
//! - **Gradients accumulate** (`+=`), outputs of forward kernels are overwritten, unless a function says otherwise.
//!
//! # Threads
//!
//! Kernels use the rayon pool of the calling thread. Call them from a thread of the pool (inside `rayon::scope` or
//! `ThreadPool::install`): from elsewhere each call waits for a hand-over to the pool and back, which a small kernel feels.

pub mod batch_norm;
pub mod conv;
pub mod elementwise;
pub mod linear;
pub mod loss;
pub mod optim;
pub mod pool;
pub mod quantize;
pub mod simd;
pub mod xnor;

mod check;
mod panel;
mod parallel;
mod scratch;
mod transpose;

pub use batch_norm::{
    BatchNormParams, BatchNormQuantizeGradients, batch_norm_backward, batch_norm_forward, batch_norm_quantize_backward,
    batch_norm_quantize_forward, batch_norm_statistics,
};
pub use conv::{ConvShape, conv2d_backward_input, conv2d_backward_weight, conv2d_forward};
pub use elementwise::{ChannelShape, accumulate, add_forward, relu_backward, relu_forward, square_sum};
pub use linear::{linear_backward, linear_forward};
pub use loss::cross_entropy;
pub use optim::{AdamStep, SgdStep, adam_step, sgd_momentum_step};
pub use pool::{
    PoolShape, average_pool_backward, average_pool_forward, global_average_pool_backward, global_average_pool_forward,
    max_pool_backward, max_pool_forward,
};
pub use quantize::{FreezeState, Surrogate, quantize_backward, quantize_forward};
pub use xnor::{BitTensor, BitWeights, xnor_conv2d};
