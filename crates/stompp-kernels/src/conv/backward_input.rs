//! The gradient of a convolution with respect to its input.

use rayon::prelude::*;

use super::gather::{Gather, TapPhase};
use super::planes::{PixelBlocks, PlaneLayout, Planes};
use super::{ConvShape, winograd};
use crate::panel::{Row, offset};
use crate::scratch::Scratch;
use crate::simd::Simd;
use crate::transpose::{copy, transpose};
use crate::{check, panel};

/// Adds the gradient of a convolution with respect to its input to `gx`. Each input position sums tap times output gradient over all
/// kernels and all taps that read it.
///
/// `w` is `(O, C, K, K)`, `gy` is `(N, O, H', W')`, `gx` is `(N, C, H, W)`. With stride `s`, there are `s * s` phases of input positions,
/// one for each remainder of row and column. Each phase has its own taps, and its sum over taps and kernels is a convolution of `gy`.
///
/// # Panics
///
/// Panics if a length does not fit `s`, or the kernel does not fit the input ([`ConvShape::out_height`]).
pub fn conv2d_backward_input(s: &ConvShape, w: &[f32], gy: &[f32], gx: &mut [f32]) {
    check::length("w", w.len(), s.weight_len());
    check::length("gy", gy.len(), s.output_len());
    check::length("gx", gx.len(), s.input_len());
    if gx.is_empty() || gy.is_empty() {
        return;
    }
    let simd = Simd::current();
    if winograd::is_suitable(s) {
        return winograd::backward_input(s, simd, w, gy, gx);
    }
    let width = panel::width(simd, s.in_channels);
    let (rows, columns) = (s.out_height(), s.out_width());
    let images_per_group = s.images_per_group(s.in_pixels());
    let phases = phases(s);
    let weights = pack(s, simd, width, &phases, w);
    let gather = |phases| Gather {
        weights,
        simd,
        width,
        phases,
        x: s.output(),
        y: s.input(),
        images_per_group,
        add: true,
    };

    if s.is_pointwise() {
        let blocks = PixelBlocks { images: s.output() };
        let steps = (0..s.out_channels).map(|o| blocks.entry(o)).collect();
        let positions = positions(s, images_per_group, (0, 0), (rows, columns));
        let rows = blocks
            .grid(images_per_group)
            .zip(positions)
            .map(|(x, out)| Row { x, out })
            .collect();
        let phase = TapPhase { rows, steps }; // Other positions have no tap.
        gather(vec![phase]).run(|gy| Planes::Staged(blocks.stage(gy)), gy, gx);
        return;
    }

    // Rows of `gy` before the first and after the last that input rows read.
    let before = (s.kernel - 1).saturating_sub(s.padding).div_ceil(s.stride);
    let after = |extent: usize, out: usize| ((extent - 1 + s.padding) / s.stride + 1).saturating_sub(out);
    let after = (after(s.in_height, rows), after(s.in_width, columns));
    let layout = PlaneLayout::new(0..s.out_channels, s.out_channels, (rows, columns), before, after);
    // The output row for tap `k` of the input row with a remainder. Never negative, because `before` rows precede the first.
    let padded = |remainder: usize, tap: usize| (remainder + s.padding + s.stride * before - tap) / s.stride;
    let phases = phases.into_iter().map(|(remainders, taps)| {
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
        TapPhase {
            rows: layout
                .grid(images_per_group, extents, 1)
                .zip(positions)
                .map(|(x, out)| Row { x, out })
                .collect(),
            steps: steps.map(|(o, (row, column))| layout.entry(o, row, column)).collect(),
        }
    });
    gather(phases.collect()).run(|gy| layout.stage(gy), gy, gx);
}

/// Returns the remainders of rows and columns that any tap reads, each with its taps.
///
/// Tap `k` of output row `(r + padding - k) / stride` reads input row `r`, if this is an integer.
fn phases(s: &ConvShape) -> Vec<((usize, usize), Vec<usize>)> {
    let reads =
        |remainder: usize, tap: usize| (remainder + s.padding + s.stride * s.kernel - tap).is_multiple_of(s.stride);
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

/// Returns the indices of the input pixels with these remainders, image by image.
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

/// Packs the weights in panels of input channels, each ordered by `(phase, output channel, tap of the phase)`.
fn pack(s: &ConvShape, simd: Simd, width: usize, phases: &[((usize, usize), Vec<usize>)], w: &[f32]) -> Scratch {
    /// Number of parallel tasks. Each reads a range of input channels of every output channel. Fewer tasks have longer ranges.
    const TASKS: usize = 8;
    let area = s.kernel * s.kernel;
    let taps: usize = phases.iter().map(|(_, taps)| taps.len()).sum();
    let panel_len = s.out_channels * taps * width;
    let panels = s.in_channels.div_ceil(width);
    let panels_per_task = panels.div_ceil(TASKS);
    let mut weights = Scratch::new(panels * panel_len);
    weights
        .par_chunks_mut(panels_per_task * panel_len)
        .enumerate()
        .for_each(|(task, weights)| {
            let mut turned = Scratch::zeros(area * width);
            for o in 0..s.out_channels {
                for (panel, weights) in weights.chunks_mut(panel_len).enumerate() {
                    let channel = (task * panels_per_task + panel) * width;
                    let lanes = width.min(s.in_channels - channel);
                    let src = &w[(o * s.in_channels + channel) * area..];
                    if area == 1 {
                        let (weights, above) = weights[o * width..][..width].split_at_mut(lanes);
                        copy(&src[..lanes], weights);
                        above.fill(0.0);
                        continue;
                    }
                    transpose(simd, [lanes, area], (src, area), (&mut turned, width), false);
                    let mut first = 0;
                    for (_, taps) in phases {
                        let weights = &mut weights[first + o * taps.len() * width..];
                        for (weights, tap) in weights.chunks_mut(width).zip(taps) {
                            copy(&turned[tap * width..][..width], weights);
                        }
                        first += s.out_channels * taps.len() * width;
                    }
                }
            }
        });
    weights
}
