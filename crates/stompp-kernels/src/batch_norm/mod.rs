//! Batch normalization over `(N, C, inner)`: statistics, normalization and its gradients, alone or followed by a quantizer.

mod backward;
mod quantized;
mod sums;

pub use quantized::{
    BatchNormParams, BatchNormQuantizeGradients, batch_norm_quantize_backward, batch_norm_quantize_forward,
};

use rayon::prelude::*;

use crate::check;
use crate::elementwise::ChannelShape;
use crate::parallel::{PIECE, for_each_piece_of};
use crate::simd::{Kernel, Lanes, Simd, map_row};
use backward::{DirectGradient, backward};
use sums::{ChannelSums, Rows};

/// Computes the mean and the biased variance (divided by `N * inner`) of every channel of `x`, `(N, C, inner)`.
///
/// The elements and their squares, which `f64` represents exactly, are summed in `f64`. The results of an empty channel are 0 and 0.
///
/// # Panics
///
/// Panics if a length does not fit `s`.
pub fn batch_norm_statistics(s: &ChannelShape, x: &[f32], mean: &mut [f32], var: &mut [f32]) {
    check::length("x", x.len(), s.len());
    check::length("mean", mean.len(), s.channels);
    check::length("var", var.len(), s.channels);
    let simd = Simd::current();
    let count = (s.batch * s.inner).max(1) as f64;
    mean.par_iter_mut()
        .zip(var)
        .enumerate()
        .for_each(|(channel, (mean, var))| {
            let [sum, squares] = simd.run(ChannelSums {
                images: s.batch,
                rows: Rows::new(s, x, channel),
            });
            let m = sum / count;
            *mean = m as f32;
            *var = (squares / count - m * m).max(0.0) as f32;
        });
}

/// Computes `y = (x - mean) * inv_std * scale + shift` per channel. `y` is overwritten.
///
/// # Panics
///
/// Panics if a length does not fit `s`.
pub fn batch_norm_forward(
    s: &ChannelShape,
    x: &[f32],
    mean: &[f32],
    inv_std: &[f32],
    scale: &[f32],
    shift: &[f32],
    y: &mut [f32],
) {
    let norm = BatchNormParams {
        mean,
        inv_std,
        scale,
        shift,
    };
    norm.check(s);
    check::length("x", x.len(), s.len());
    check::length("y", y.len(), s.len());
    let simd = Simd::current();
    for_each_piece_of(rows_per_piece(s) * s.inner, y, |start, y| {
        let x = &x[start..][..y.len()];
        simd.run(Forward {
            s,
            norm,
            first_row: start / s.inner.max(1),
            x,
            y,
        });
    });
}

/// Normalizes rows of the tensor, starting at row `first_row`.
struct Forward<'a> {
    s: &'a ChannelShape,
    norm: BatchNormParams<'a>,
    first_row: usize,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let inner = self.s.inner.max(1);
        for (row, (x, y)) in (self.first_row..).zip(self.x.chunks(inner).zip(self.y.chunks_mut(inner))) {
            // SAFETY: the caller guarantees the instructions.
            unsafe { map_row::<L, 1, false>([x], y, self.norm.channel(row % self.s.channels)) };
        }
    }
}

/// Adds the gradients of a batch norm in training, where `mean` and `inv_std` are the statistics of `x`.
///
/// With `n = N * inner` and `h = (x - mean) * inv_std`, per channel:
///
/// - `gshift += sum gy`, `gscale += sum gy h`;
/// - `gx += scale * inv_std * (gy - sum gy / n - h * (sum gy h) / n)`, if `gx` is given.
///
/// All sums are in `f64`.
///
/// # Panics
///
/// Panics if a length does not fit `s`.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_backward(
    s: &ChannelShape,
    x: &[f32],
    mean: &[f32],
    inv_std: &[f32],
    scale: &[f32],
    gy: &[f32],
    gx: Option<&mut [f32]>,
    gscale: &mut [f32],
    gshift: &mut [f32],
) {
    // The gradients do not depend on the shift: any slice of the right length can be passed.
    let norm = BatchNormParams {
        mean,
        inv_std,
        scale,
        shift: mean,
    };
    check::length("gy", gy.len(), s.len());
    backward(s, x, norm, DirectGradient { s, g: gy }, gx, false, None, gscale, gshift);
}

/// Returns the number of rows of `inner` elements in a parallel piece.
fn rows_per_piece(s: &ChannelShape) -> usize {
    (PIECE / s.inner.max(1)).max(1)
}
