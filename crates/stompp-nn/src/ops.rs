//! Differentiable ops recorded on dfdx's tape.
//!
//! All follow one rule: **an input whose tape records gets a gradient, an input whose tape does not costs nothing in the
//! backward pass.** The output's tape records if any input's does. Gradients of intermediate tensors are taken out of the
//! map as soon as they are used, so the backward pass frees memory as it runs.
//!
//! Tensors are made contiguous on entry (free when they already are). Mismatched sizes panic, as in dfdx.

mod batch_norm;
mod conv;
mod linear;
mod loss;
mod pointwise;
mod pool;

pub use batch_norm::{RunningStatistics, batch_norm, batch_norm_recomputable, batch_norm_running};
pub use conv::{conv_shape, conv2d, conv2d_with};
pub use linear::linear;
pub use loss::{cross_entropy, smoothed_cross_entropy};
pub use pointwise::{add, relu};
pub use pool::{average_pool, global_average_pool, max_pool};

/// Takes a tensor's gradient out of the map and leaves a placeholder. The gradient must not be read again, unless
/// [`put_gradient!`](crate::put_gradient) puts it back. For the backward step of ops in other crates.
///
/// `take_gradient!(gradients, &tensor_or_ghost, &device)`; it is a macro because dfdx has no public name for what the two
/// have in common.
#[macro_export]
macro_rules! take_gradient {
    ($gradients:expr, $tensor:expr, $device:expr) => {{
        let placeholder = $crate::dfdx::tensor::Storage::<f32>::try_alloc_len($device, 1)?;
        ::std::mem::replace($gradients.get_or_alloc_mut($tensor)?, placeholder)
    }};
}

/// Puts back a gradient that [`take_gradient!`](crate::take_gradient) took out. A kernel can write to several gradients that are out.
#[macro_export]
macro_rules! put_gradient {
    ($gradients:expr, $tensor:expr, $gradient:expr) => {
        *$gradients.get_or_alloc_mut($tensor)? = $gradient
    };
}
