//! The gradient of a convolution in its input.

use rayon::prelude::*;

use super::ConvShape;
use super::gather::{Images, Phase, Positions, gather};
use super::planes::Layout;
use crate::check;
use crate::panel::{self, Offsets};
use crate::scratch::Scratch;
use crate::simd::Simd;

/// `gx += gy` carried back through the convolution with `w`: each input position gathers, over all kernels and all
/// taps that read it, tap times output gradient.
///
/// `w` is `(O, C, K, K)`, `gy` is `(N, O, H', W')`, `gx` is `(N, C, H, W)`. With a stride of `s`, input positions fall
/// into `s * s` phases by their remainders, each with its own taps; the sum over taps and kernels is a convolution of
/// `gy` again.
///
/// # Panics
///
/// If a length does not fit `s`, or the kernel does not fit the input ([`ConvShape::out_height`]).
pub fn conv2d_backward_input(s: &ConvShape, w: &[f32], gy: &[f32], gx: &mut [f32]) {
    check::length("w", w.len(), s.weight_len());
    check::length("gy", gy.len(), s.output_len());
    check::length("gx", gx.len(), s.input_len());
    if gx.is_empty() || gy.is_empty() {
        return;
    }
    let simd = Simd::current();
    let width = panel::width(simd, s.in_channels);
    let (rows, columns) = (s.out_height(), s.out_width());

    // Rows of `gy` that input rows ask for, beyond the first and the last.
    let before = (s.kernel - 1).saturating_sub(s.padding).div_ceil(s.stride);
    let after = |extent: usize, out: usize| ((extent - 1 + s.padding) / s.stride + 1).saturating_sub(out);
    let after = (after(s.in_height, rows), after(s.in_width, columns));
    let layout = Layout::new(0..s.out_channels, s.out_channels, (rows, columns), before, after);

    let images_per_group = s.images_per_group(s.in_pixels());
    let mut phases = Vec::new();
    for row in 0..s.stride.min(s.in_height) {
        for column in 0..s.stride.min(s.in_width) {
            phases.extend(phase(
                s,
                &layout,
                before,
                (row, column),
                (simd, width),
                images_per_group,
                w,
            ));
        }
    }
    let gy = (
        gy,
        Images {
            channels: s.out_channels,
            plane: rows * columns,
        },
    );
    let gx = (
        gx,
        Images {
            channels: s.in_channels,
            plane: s.in_pixels(),
        },
    );
    gather(simd, width, &layout, &phases, gy, gx, images_per_group, true);
}

/// The input positions with remainders `(row, column)`, unless no tap reads them.
fn phase(
    s: &ConvShape,
    layout: &Layout,
    before: usize,
    (row, column): (usize, usize),
    (_, width): (Simd, usize),
    images_per_group: usize,
    w: &[f32],
) -> Option<Phase> {
    // Input row `r` is read by tap `k` of output row `(r + padding - k) / stride`, if that is whole.
    let taps = |remainder: usize| -> Vec<(usize, usize)> {
        (0..s.kernel)
            .filter(|tap| (remainder + s.padding + s.stride * s.kernel - tap).is_multiple_of(s.stride))
            .map(|tap| {
                // Position in the padded plane; never negative, because `before` rows precede the first.
                let padded = remainder + s.padding + s.stride * before;
                (tap, (padded - tap) / s.stride)
            })
            .collect()
    };
    let (row_taps, column_taps) = (taps(row), taps(column));
    let taps: Vec<(usize, (usize, usize))> = row_taps
        .iter()
        .flat_map(|&(ky, y)| column_taps.iter().map(move |&(kx, x)| (ky * s.kernel + kx, (y, x))))
        .collect();
    if taps.is_empty() {
        return None;
    }
    let steps: Offsets = (0..s.out_channels)
        .flat_map(|o| taps.iter().map(move |&(_, (y, x))| layout.entry(o, y, x)))
        .collect();

    let area = s.kernel * s.kernel;
    let mut weights = Scratch::new(s.in_channels.div_ceil(width) * steps.len() * width);
    weights
        .par_chunks_mut(steps.len() * width)
        .enumerate()
        .for_each(|(panel, weights)| {
            let lanes = width.min(s.in_channels - panel * width);
            for (o, weights) in weights.chunks_mut(taps.len() * width).enumerate() {
                let w = &w[(o * s.in_channels + panel * width) * area..];
                for (weights, &(tap, _)) in weights.chunks_mut(width).zip(&taps) {
                    for (lane, weight) in weights.iter_mut().enumerate() {
                        *weight = if lane < lanes { w[lane * area + tap] } else { 0.0 };
                    }
                }
            }
        });

    let (rows, columns) = (
        (s.in_height - row).div_ceil(s.stride),
        (s.in_width - column).div_ceil(s.stride),
    );
    let positions = if s.stride == 1 {
        Positions {
            first: 0,
            rows: 1,
            columns: rows * columns,
            row_step: 0,
            column_step: 1,
        }
    } else {
        let first = row * s.in_width + column;
        Positions {
            first,
            rows,
            columns,
            row_step: s.stride * s.in_width,
            column_step: s.stride,
        }
    };
    Some(Phase {
        rows: layout.grid(images_per_group, (rows, columns), 1),
        steps,
        weights,
        positions,
    })
}
