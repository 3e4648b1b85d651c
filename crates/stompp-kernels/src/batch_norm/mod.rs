//! Batch normalization over `(N, C, inner)`: statistics, normalization and its gradients, alone or followed by a quantizer.

mod backward;
mod quantized;
mod sums;

pub use backward::GradientSums;
pub use quantized::{
    BatchNormParams, BatchNormQuantizeGradients, batch_norm_quantize_backward, batch_norm_quantize_backward_sums,
    batch_norm_quantize_forward,
};

use rayon::prelude::*;

use crate::check;
use crate::elementwise::ChannelShape;
use crate::parallel::{PIECE, for_each_piece_of};
use crate::simd::{Kernel, Lanes, Simd, map_row};
use crate::slices::Slices;
use backward::{DirectGradient, Input, backward, backward_sums};
use sums::{ChannelSums, Rows, SliceSums};

/// Computes the mean and the biased variance (divided by `N * inner`) of every channel of `x`, `(N, C, inner)`.
///
/// The elements and their squares, which `f64` represents exactly, are summed in `f64`. The results of an empty channel are 0 and 0.
///
/// # Panics
///
/// Panics if a length does not fit `s`.
pub fn batch_norm_statistics(s: &ChannelShape, x: &[f32], mean: &mut [f32], var: &mut [f32]) {
    check::length("mean", mean.len(), s.channels);
    check::length("var", var.len(), s.channels);
    let mut sums = vec![[0.0; 2]; s.channels];
    batch_norm_sums(s, Slices::ONE, x, &mut sums);
    batch_norm_moments(s.batch * s.inner, &sums, mean, var);
}

/// Computes the sum of every channel of `x`, `(N, C, inner)`, and the sum of its squares, in `f64`. The sums of the slices are added in
/// pairs ([`Slices::total`]).
///
/// # Panics
///
/// Panics if a length does not fit `s`.
pub fn batch_norm_sums(s: &ChannelShape, slices: Slices, x: &[f32], sums: &mut [[f64; 2]]) {
    check::length("x", x.len(), s.len());
    check::length("sums", sums.len(), s.channels);
    let (simd, slices) = (Simd::current(), SliceSums::new(slices, s.batch));
    sums.par_iter_mut().enumerate().for_each(|(channel, sums)| {
        *sums = slices.total(|images| {
            simd.run(ChannelSums {
                images,
                rows: Rows::new(s, x, channel),
            })
        });
    });
}

/// Computes the mean and the biased variance of every channel with `count` elements from the sums of [`batch_norm_sums`].
///
/// # Panics
///
/// Panics if there is not one mean and one variance for each channel.
pub fn batch_norm_moments(count: usize, sums: &[[f64; 2]], mean: &mut [f32], var: &mut [f32]) {
    check::length("mean", mean.len(), sums.len());
    check::length("var", var.len(), sums.len());
    let count = count.max(1) as f64;
    for ([sum, squares], (mean, var)) in sums.iter().zip(mean.iter_mut().zip(var)) {
        let m = sum / count;
        *mean = m as f32;
        *var = (squares / count - m * m).max(0.0) as f32;
    }
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
/// All sums are in `f64`. If `x` is a part of a larger batch, `sums` has the sums of that batch.
///
/// # Panics
///
/// Panics if a length does not fit `s`.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_backward(
    s: &ChannelShape,
    sums: Option<GradientSums<'_>>,
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
    let upstream = DirectGradient { s, g: gy };
    let input = match gx {
        Some(gx) => Input::AddTo(x, gx),
        None => Input::Only(x),
    };
    backward(s, sums, input, norm, upstream, None, gscale, gshift);
}

/// Computes the sums for [`GradientSums`]. The sums of the slices are added in pairs ([`Slices::total`]).
///
/// # Panics
///
/// Panics if a length does not fit `s`.
pub fn batch_norm_backward_sums(
    s: &ChannelShape,
    slices: Slices,
    x: &[f32],
    mean: &[f32],
    gy: &[f32],
    sums: &mut [[f64; 2]],
) {
    check::length("gy", gy.len(), s.len());
    backward_sums(s, slices, x, mean, DirectGradient { s, g: gy }, sums);
}

/// Returns the number of rows of `inner` elements in a parallel piece.
fn rows_per_piece(s: &ChannelShape) -> usize {
    (PIECE / s.inner.max(1)).max(1)
}
