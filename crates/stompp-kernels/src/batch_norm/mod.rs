//! Batch normalization over `(N, C, inner)`: statistics, normalization and its gradients, alone or with a quantizer
//! behind it.

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

/// Mean and biased variance (divided by `N * inner`) of every channel of `x`, which is `(N, C, inner)`.
///
/// Sums run in `f64`, over elements and over their squares, which `f64` holds exactly. An empty channel gives 0 and 0.
///
/// # Panics
///
/// If a length does not fit `s`.
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

/// `y = (x - mean) * inv_std * scale + shift`, per channel; `y` is overwritten.
///
/// # Panics
///
/// If a length does not fit `s`.
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

/// Rows of channels, from row `first_row` of the tensor on.
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
            // SAFETY: the caller vouches for the instructions.
            unsafe { map_row::<L, 1, false>([x], y, self.norm.channel(row % self.s.channels)) };
        }
    }
}

/// The gradients of a batch norm in training, where `mean` and `inv_std` are those of `x` itself.
///
/// With `n = N * inner` and `h = (x - mean) * inv_std`, per channel:
///
/// - `gshift += sum gy`, `gscale += sum gy h`;
/// - `gx += scale * inv_std * (gy - sum gy / n - h * (sum gy h) / n)`, if asked for.
///
/// Sums run in `f64`.
///
/// # Panics
///
/// If a length does not fit `s`.
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
    // The shift has no part in the gradients; any slice of the right length will do.
    let norm = BatchNormParams {
        mean,
        inv_std,
        scale,
        shift: mean,
    };
    check::length("gy", gy.len(), s.len());
    backward(s, x, norm, DirectGradient { s, g: gy }, gx, false, None, gscale, gshift);
}

/// Rows of `inner` elements that make a parallel piece.
fn rows_per_piece(s: &ChannelShape) -> usize {
    (PIECE / s.inner.max(1)).max(1)
}
