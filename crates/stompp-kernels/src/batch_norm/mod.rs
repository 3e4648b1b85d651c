//! Batch normalization over `(N, C, inner)`: statistics, normalization and its gradients, alone or with a quantizer
//! behind it.

mod quantized;
mod sums;

pub use quantized::{Normalization, batch_norm_quantize_backward, batch_norm_quantize_forward};

use rayon::prelude::*;

use crate::check;
use crate::elementwise::ChannelShape;
use crate::parallel::{PIECE, for_each_piece_of};
use crate::scratch::Scratch;
use crate::simd::Simd;
use sums::{Gradients, Moments, RowSums, Rows};

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
            let [sum, squares] = simd.run(RowSums {
                images: s.batch,
                tensors: [Rows::of_channel(s, x, channel)],
                term: Moments,
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
    let norm = Normalization {
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
        simd.vectorize(
            #[inline(always)]
            || {
                for (i, (x, y)) in x.chunks(s.inner.max(1)).zip(y.chunks_mut(s.inner.max(1))).enumerate() {
                    let channel = norm.channel((start / s.inner + i) % s.channels);
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y = channel.apply(x));
                }
            },
        );
    });
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
    let norm = Normalization {
        mean,
        inv_std,
        scale,
        shift: mean,
    };
    backward(
        s,
        x,
        norm,
        gy,
        gx,
        gscale,
        gshift,
        None::<fn(usize, &[f32], &[f32], &mut [f32])>,
    );
}

/// Batch norm's gradients from the gradient `g` of its output, or from what `gate` makes of it.
///
/// `gate(channel, x, g, gated)` is called for rows of one channel of one image.
#[allow(clippy::too_many_arguments)]
fn backward<G: Fn(usize, &[f32], &[f32], &mut [f32]) + Sync>(
    s: &ChannelShape,
    x: &[f32],
    norm: Normalization,
    g: &[f32],
    gx: Option<&mut [f32]>,
    gscale: &mut [f32],
    gshift: &mut [f32],
    gate: Option<G>,
) {
    norm.check(s);
    check::length("x", x.len(), s.len());
    check::length("gy", g.len(), s.len());
    check::length("gscale", gscale.len(), s.channels);
    check::length("gshift", gshift.len(), s.channels);
    if let Some(gx) = &gx {
        check::length("gx", gx.len(), s.len());
    }
    if s.is_empty() {
        return;
    }
    let simd = Simd::current();
    let (of_image, count) = (s.channels * s.inner, (s.batch * s.inner) as f64);
    // A task is some channels of all images: their gradients are summed, then read again while they are near.
    let block = (PIECE / (s.batch * s.inner)).max(1);
    let mut gx_parts: Vec<Vec<&mut [f32]>> = (0..s.channels.div_ceil(block)).map(|_| Vec::new()).collect();
    for image in gx.into_iter().flat_map(|gx| gx.chunks_mut(of_image)) {
        gx_parts
            .iter_mut()
            .zip(image.chunks_mut(block * s.inner))
            .for_each(|(parts, part)| parts.push(part));
    }
    let params = gscale.par_chunks_mut(block).zip(gshift.par_chunks_mut(block));
    gx_parts
        .into_par_iter()
        .zip(params)
        .enumerate()
        .for_each(|(task, (mut gx, (gscale, gshift)))| {
            let mut gated = Scratch::new(if gate.is_some() { s.batch * s.inner } else { 0 });
            for (i, (gscale, gshift)) in gscale.iter_mut().zip(gshift).enumerate() {
                let channel = task * block + i;
                let x = Rows::of_channel(s, x, channel);
                let g = match &gate {
                    None => Rows::of_channel(s, g, channel),
                    Some(gate) => {
                        let g = Rows::of_channel(s, g, channel);
                        for (image, gated) in gated.chunks_mut(s.inner).enumerate() {
                            gate(channel, x.row(image), g.row(image), gated);
                        }
                        Rows {
                            x: &gated,
                            first: 0,
                            step: s.inner,
                            inner: s.inner,
                        }
                    }
                };
                let (mean, inv_std) = (norm.mean[channel], norm.inv_std[channel]);
                let term = Gradients { mean: f64::from(mean) };
                let [sum, product] = simd.run(RowSums {
                    images: s.batch,
                    tensors: [x, g],
                    term,
                });
                let product = product * f64::from(inv_std);
                *gshift += sum as f32;
                *gscale += product as f32;
                let (mean_g, slope) = ((sum / count) as f32, (product / count * f64::from(inv_std)) as f32);
                let factor = norm.scale[channel] * inv_std;
                simd.vectorize(
                    #[inline(always)]
                    || {
                        for (image, gx) in gx.iter_mut().enumerate() {
                            let gx = &mut gx[i * s.inner..][..s.inner];
                            for ((gx, &x), &g) in gx.iter_mut().zip(x.row(image)).zip(g.row(image)) {
                                *gx += factor * (g - mean_g - (x - mean) * slope);
                            }
                        }
                    },
                );
            }
        });
}

/// Rows of `inner` elements that make a parallel piece.
fn rows_per_piece(s: &ChannelShape) -> usize {
    (PIECE / s.inner.max(1)).max(1)
}
