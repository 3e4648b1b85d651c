//! Batch normalization over `(N, C, inner)`: statistics, normalization and its gradients.

use rayon::prelude::*;

use crate::check;
use crate::elementwise::ChannelShape;
use crate::parallel::for_each_piece_of;
use crate::simd::Simd;

/// Partial sums per channel: wide enough for two vectors of eight doubles.
const LANES: usize = 16;

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
    mean.par_iter_mut().zip(var).enumerate().for_each(|(c, (mean, var))| {
        let [sum, squares] = simd.vectorize(|| {
            let mut sums = [[0.0; LANES]; 2];
            for image in 0..s.batch {
                accumulate(
                    row(s, x, image, c),
                    |x| [f64::from(x), f64::from(x) * f64::from(x)],
                    &mut sums,
                );
            }
            sums.map(total)
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
    check::length("x", x.len(), s.len());
    check::length("y", y.len(), s.len());
    for (what, slice) in [("mean", mean), ("inv_std", inv_std), ("scale", scale), ("shift", shift)] {
        check::length(what, slice.len(), s.channels);
    }
    if y.is_empty() {
        return;
    }
    let simd = Simd::current();
    for_each_piece_of(rows_per_piece(s) * s.inner, y, |start, y| {
        let x = &x[start..][..y.len()];
        simd.vectorize(|| {
            for (i, (x, y)) in x.chunks(s.inner).zip(y.chunks_mut(s.inner)).enumerate() {
                let c = (start / s.inner + i) % s.channels;
                let (mean, factor, shift) = (mean[c], inv_std[c] * scale[c], shift[c]);
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = (x - mean) * factor + shift;
                }
            }
        });
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
    check::length("x", x.len(), s.len());
    check::length("gy", gy.len(), s.len());
    for (what, slice) in [
        ("mean", mean),
        ("inv_std", inv_std),
        ("scale", scale),
        ("gscale", gscale),
        ("gshift", gshift),
    ] {
        check::length(what, slice.len(), s.channels);
    }
    let simd = Simd::current();
    let sums: Vec<[f64; 2]> = (0..s.channels)
        .into_par_iter()
        .map(|c| {
            let mean = f64::from(mean[c]);
            let [sum, product] = simd.vectorize(|| {
                let mut sums = [[0.0; LANES]; 2];
                for image in 0..s.batch {
                    let (x, gy) = (row(s, x, image, c), row(s, gy, image, c));
                    accumulate_pairs(
                        x,
                        gy,
                        |x, gy| [f64::from(gy), f64::from(gy) * (f64::from(x) - mean)],
                        &mut sums,
                    );
                }
                sums.map(total)
            });
            [sum, product * f64::from(inv_std[c])]
        })
        .collect();
    for (c, &[sum, product]) in sums.iter().enumerate() {
        gshift[c] += sum as f32;
        gscale[c] += product as f32;
    }
    let Some(gx) = gx else { return };
    check::length("gx", gx.len(), s.len());
    if gx.is_empty() {
        return;
    }
    let count = (s.batch * s.inner) as f64;
    for_each_piece_of(rows_per_piece(s) * s.inner, gx, |start, gx| {
        let (x, gy) = (&x[start..][..gx.len()], &gy[start..][..gx.len()]);
        simd.vectorize(|| {
            let rows = x.chunks(s.inner).zip(gy.chunks(s.inner)).zip(gx.chunks_mut(s.inner));
            for (i, ((x, gy), gx)) in rows.enumerate() {
                let c = (start / s.inner + i) % s.channels;
                let factor = scale[c] * inv_std[c];
                let (mean, mean_gy) = (mean[c], (sums[c][0] / count) as f32);
                let slope = (sums[c][1] / count * f64::from(inv_std[c])) as f32;
                for ((gx, &x), &gy) in gx.iter_mut().zip(x).zip(gy) {
                    *gx += factor * (gy - mean_gy - (x - mean) * slope);
                }
            }
        });
    });
}

fn row<'a>(s: &ChannelShape, x: &'a [f32], image: usize, channel: usize) -> &'a [f32] {
    &x[(image * s.channels + channel) * s.inner..][..s.inner]
}

/// Rows of `inner` elements that make a parallel piece.
fn rows_per_piece(s: &ChannelShape) -> usize {
    (crate::parallel::PIECE / s.inner.max(1)).max(1)
}

/// Adds the `K` terms of every element to partial sums, element `i` to lane `i % LANES`.
#[inline(always)]
fn accumulate<const K: usize>(x: &[f32], term: impl Fn(f32) -> [f64; K], sums: &mut [[f64; LANES]; K]) {
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            let terms = term(block[lane]);
            for k in 0..K {
                sums[k][lane] += terms[k];
            }
        }
    }
    for (lane, &x) in rest.iter().enumerate() {
        let terms = term(x);
        for k in 0..K {
            sums[k][lane] += terms[k];
        }
    }
}

/// As [`accumulate`], for pairs of elements.
#[inline(always)]
fn accumulate_pairs<const K: usize>(
    x: &[f32],
    y: &[f32],
    term: impl Fn(f32, f32) -> [f64; K],
    sums: &mut [[f64; LANES]; K],
) {
    let ((x_blocks, x_rest), (y_blocks, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in x_blocks.iter().zip(y_blocks) {
        for lane in 0..LANES {
            let terms = term(x[lane], y[lane]);
            for k in 0..K {
                sums[k][lane] += terms[k];
            }
        }
    }
    for (lane, (&x, &y)) in x_rest.iter().zip(y_rest).enumerate() {
        let terms = term(x, y);
        for k in 0..K {
            sums[k][lane] += terms[k];
        }
    }
}

/// The sum of the lanes, by halves.
#[inline(always)]
fn total(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] += lanes[i + half];
        }
        half /= 2;
    }
    lanes[0]
}
