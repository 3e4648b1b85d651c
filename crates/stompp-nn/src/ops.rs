//! Differentiable ops recorded on dfdx's tape.
//!
//! All follow one rule: **an input whose tape records gets a gradient, an input whose tape does not costs nothing in the
//! backward pass.** The output's tape records if any input's does. Gradients of intermediate tensors are taken out of the
//! map as soon as they are used, so backward memory shrinks as it goes.
//!
//! Tensors are made contiguous on entry (free when they already are). Mismatched sizes panic, as in dfdx.

mod batch_norm;
mod conv;
mod linear;
mod loss;
mod pointwise;
mod pool;

pub use batch_norm::{RunningStatistics, batch_norm, batch_norm_running};
pub use conv::{conv_shape, conv2d, conv2d_with};
pub use linear::linear;
pub use loss::{cross_entropy, smoothed_cross_entropy};
pub use pointwise::{add, relu};
pub use pool::{average_pool, global_average_pool, max_pool};

/// Takes a tensor's gradient out of the map, leaving a placeholder: it must not be asked for again, unless
/// [`put_gradient!`](crate::put_gradient) puts it back. For ops written elsewhere, inside their backward step.
///
/// `take_gradient!(gradients, &tensor_or_ghost, &device)`; a macro because dfdx does not name what the two have in common.
#[macro_export]
macro_rules! take_gradient {
    ($gradients:expr, $tensor:expr, $device:expr) => {{
        let placeholder = $crate::dfdx::tensor::Storage::<f32>::try_alloc_len($device, 1)?;
        ::std::mem::replace($gradients.get_or_alloc_mut($tensor)?, placeholder)
    }};
}

/// Puts a gradient back that [`take_gradient!`](crate::take_gradient) took out, so that several can be written to at once.
#[macro_export]
macro_rules! put_gradient {
    ($gradients:expr, $tensor:expr, $gradient:expr) => {
        *$gradients.get_or_alloc_mut($tensor)? = $gradient
    };
}
