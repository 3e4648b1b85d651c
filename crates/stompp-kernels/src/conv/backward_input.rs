//! The gradient of a convolution in its input.

use rayon::prelude::*;

use super::ConvShape;
use super::gather::{Gather, Phase};
use super::planes::{Blocks, Layout, Planes};
use crate::panel::{Row, offset};
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::transpose::Transpose;
use crate::{check, panel};

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
    let images_per_group = s.images_per_group(s.in_pixels());
    let phases = phases(s);
    let mut weights = pack(s, simd, width, &phases, w);
    let gather = |phases| Gather {
        simd,
        width,
        phases,
        x: s.output(),
        y: s.input(),
        images_per_group,
        add: true,
    };

    if s.is_pointwise() {
        let blocks = Blocks {
            images: s.output(),
            in_width: columns,
            rows,
            columns,
            stride: 1,
        };
        let steps = (0..s.out_channels).map(|o| blocks.entry(o)).collect();
        let positions = positions(s, images_per_group, (0, 0), (rows, columns));
        let rows = blocks
            .grid(images_per_group)
            .zip(positions)
            .map(|(x, out)| Row { x, out })
            .collect();
        let phase = Phase {
            rows,
            steps,
            weights: weights.swap_remove(0),
        }; // All others have no tap.
        gather(vec![phase]).run(|gy| Planes::Staged(blocks.stage(gy)), gy, gx);
        return;
    }

    // Rows of `gy` that input rows ask for, beyond the first and the last.
    let before = (s.kernel - 1).saturating_sub(s.padding).div_ceil(s.stride);
    let after = |extent: usize, out: usize| ((extent - 1 + s.padding) / s.stride + 1).saturating_sub(out);
    let after = (after(s.in_height, rows), after(s.in_width, columns));
    let layout = Layout::new(0..s.out_channels, s.out_channels, (rows, columns), before, after);
    // Where tap `k` of the input row with a remainder finds its output row; never negative, because `before` rows
    // precede the first.
    let padded = |remainder: usize, tap: usize| (remainder + s.padding + s.stride * before - tap) / s.stride;
    let phases = phases.into_iter().zip(weights).map(|((remainders, taps), weights)| {
        let tap = |tap: usize| {
            (
                padded(remainders.0, tap / s.kernel),
                padded(remainders.1, tap % s.kernel),
            )
        };
        let steps = (0..s.out_channels).flat_map(|o| taps.iter().map(move |&t| (o, tap(t))));
        let extent = |extent: usize, remainder: usize| (extent - remainder).div_ceil(s.stride);
        let extents = (extent(s.in_height, remainders.0), extent(s.in_width, remainders.1));
        let positions = positions(s, images_per_group, remainders, extents);
        Phase {
            rows: layout
                .grid(images_per_group, extents, 1)
                .zip(positions)
                .map(|(x, out)| Row { x, out })
                .collect(),
            steps: steps.map(|(o, (row, column))| layout.entry(o, row, column)).collect(),
            weights,
        }
    });
    gather(phases.collect()).run(|gy| layout.stage(gy), gy, gx);
}

/// The remainders of rows and columns that any tap reads, each with its taps.
///
/// Input row `r` is read by tap `k` of output row `(r + padding - k) / stride`, if that is whole.
fn phases(s: &ConvShape) -> Vec<((usize, usize), Vec<usize>)> {
    let reads = |remainder: usize, tap: usize| (remainder + s.padding + s.stride * s.kernel - tap) % s.stride == 0;
    (0..s.stride.min(s.in_height))
        .flat_map(|row| (0..s.stride.min(s.in_width)).map(move |column| (row, column)))
        .map(|(row, column)| {
            let taps =
                (0..s.kernel * s.kernel).filter(|tap| reads(row, tap / s.kernel) && reads(column, tap % s.kernel));
            ((row, column), taps.collect::<Vec<_>>())
        })
        .filter(|(_, taps)| !taps.is_empty())
        .collect()
}

/// Numbers of the input pixels with these remainders, image by image.
fn positions(
    s: &ConvShape,
    images: usize,
    (row, column): (usize, usize),
    (rows, columns): (usize, usize),
) -> impl Iterator<Item = u32> {
    (0..images * rows * columns).map(move |i| {
        let (image, y, x) = (i / (rows * columns), i / columns % rows, i % columns);
        offset((image * s.in_height + row + y * s.stride) * s.in_width + column + x * s.stride)
    })
}

/// For each phase, panels of input channels, `(output channel, tap of the phase)` in their order.
fn pack(s: &ConvShape, simd: Simd, width: usize, phases: &[((usize, usize), Vec<usize>)], w: &[f32]) -> Vec<Scratch> {
    let area = s.kernel * s.kernel;
    let panels = s.in_channels.div_ceil(width);
    let mut weights: Vec<Scratch> = phases
        .iter()
        .map(|(_, taps)| Scratch::new(panels * s.out_channels * taps.len() * width))
        .collect();
    for (weights, (_, taps)) in weights.iter_mut().zip(phases) {
        weights
            .par_chunks_mut(s.out_channels * taps.len() * width)
            .enumerate()
            .for_each(|(panel, weights)| {
                let lanes = width.min(s.in_channels - panel * width);
                let mut turned = Scratch::zeros(area * width);
                for (o, weights) in weights.chunks_mut(taps.len() * width).enumerate() {
                    let src = &w[(o * s.in_channels + panel * width) * area..];
                    let dst = &mut turned[..];
                    Transpose {
                        rows: lanes,
                        columns: area,
                        src,
                        src_stride: area,
                        dst,
                        dst_stride: width,
                        add: false,
                    }
                    .compute(simd);
                    for (weights, tap) in weights.chunks_mut(width).zip(taps) {
                        weights.copy_from_slice(&turned[tap * width..][..width]);
                    }
                }
            });
    }
    weights
}
